//! A copy of the repository to break things in, with a target directory of its own that stays warm.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::mutation::Mutation;
use crate::{object, run};

/// The copy.
pub(crate) struct Scratch {
    source: PathBuf,
    target: PathBuf,
    /// Where daemon and tests find the eBPF objects.
    objects: PathBuf,
}

impl Scratch {
    /// Makes the copy what the repository is now, uncommitted changes included. Files that are the
    /// same keep their times, so that little is built anew.
    ///
    /// # Errors
    /// git does not tell the files, or one cannot be written.
    pub(crate) fn prepare() -> Result<Self> {
        let directory = run::target_dir().join("mutate");
        let [source, target, objects] =
            ["source", "target", "objects"].map(|name| directory.join(name));
        let scratch = Self { source, target, objects };
        fs::create_dir_all(&scratch.source)?;
        fs::create_dir_all(&scratch.objects)?;
        let wanted = listed(run::root(), &["--cached", "--others", "--exclude-standard"])?;
        for path in &wanted {
            match fs::read(run::root().join(path)) {
                Ok(text) => scratch.write(path, &text)?,
                Err(error) if error.kind() == ErrorKind::NotFound => scratch.remove(path)?,
                Err(error) => return Err(error).with_context(|| path.clone()),
            }
        }
        // What an earlier copy had and the repository has no more, as a renamed file.
        for path in files_below(&scratch.source, "")? {
            if !wanted.contains(&path) {
                scratch.remove(&path)?;
            }
        }
        Ok(scratch)
    }

    /// Breaks it; what is returned restores it.
    ///
    /// # Errors
    /// The mutation does not fit the source, or the file cannot be written.
    pub(crate) fn mutate(&self, mutation: &Mutation) -> Result<Restore<'_>> {
        let source = fs::read_to_string(self.source.join(&mutation.file))
            .with_context(|| mutation.file.clone())?;
        let mutant = mutation.apply(&source).map_err(anyhow::Error::msg)?;
        let restore = Restore { scratch: self, path: mutation.file.clone(), source };
        self.write(&mutation.file, mutant.as_bytes())?;
        Ok(restore)
    }

    /// Builds the eBPF objects. They lie beside the binaries and not in them: a change of the data
    /// plane then needs neither daemon nor tests built anew, which takes longer than the object.
    ///
    /// # Errors
    /// The compiler's words.
    pub(crate) fn objects(&self) -> Result<(), String> {
        object::build(&self.source, object::DEBUG, &self.target.join("ebpf"), &self.objects)
    }

    /// A cargo that works in the copy and is stopped when it takes longer than that.
    pub(crate) fn cargo(&self, seconds: u32) -> Command {
        let cargo = run::cargo();
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", &seconds.to_string()]).arg(cargo.get_program());
        command.current_dir(&self.source).env("CARGO_TARGET_DIR", &self.target);
        // Read by slb-userspace's build script.
        command.env("SLB_OBJECTS_APART", &self.objects);
        // Where the lab finds the daemon.
        command.env("SLB_BIN_DIR", self.target.join("debug"));
        command
    }

    fn write(&self, path: &str, text: &[u8]) -> Result<()> {
        let to = self.source.join(path);
        if fs::read(&to).is_ok_and(|there| there == text) {
            return Ok(());
        }
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&to, text).with_context(|| to.display().to_string())
    }

    fn remove(&self, path: &str) -> Result<()> {
        match fs::remove_file(self.source.join(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| path.to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Puts a file back when it goes.
pub(crate) struct Restore<'a> {
    scratch: &'a Scratch,
    path: String,
    source: String,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.scratch.write(&self.path, self.source.as_bytes()) {
            eprintln!("error: the copy stays broken until the next start: {error:#}");
        }
    }
}

fn listed(directory: &Path, arguments: &[&str]) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(directory).args(["ls-files", "-z"]).args(arguments);
    let output = git.output().context("`git` did not start")?;
    if !output.status.success() {
        bail!("`{}` ended with {}", run::line(&git), output.status);
    }
    let text = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    Ok(text.split_terminator('\0').map(ToOwned::to_owned).collect())
}

fn files_below(directory: &Path, prefix: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path(), &format!("{path}/"))?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
