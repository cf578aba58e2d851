//! A named network namespace: run closures and commands inside it.
//!
//! Entering is a plain `setns` of one thread or of a child before `exec`. `ip netns exec` and
//! `ip -n` also remount /sys, which hides /sys/fs/bpf from what they run.

use std::{
    fs::File,
    io::Write,
    os::unix::process::CommandExt,
    panic,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};
use serde_json::Value;

use crate::packets::Mac;

/// Where iproute2 keeps a file per named namespace.
pub const DIRECTORY: &str = "/run/netns";

/// A handle to a network namespace. Cloning is cheap; dropping does not remove the namespace,
/// the lab that made it does.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    file: Arc<File>,
}

impl Namespace {
    /// Makes a new namespace with its loopback up.
    pub fn create(name: &str) -> Result<Self> {
        let made = Command::new("ip")
            .args(["netns", "add", name])
            .output()
            .context("cannot run `ip` (Debian: iproute2)")?;
        ensure!(
            made.status.success(),
            "ip netns add {name}: {}",
            String::from_utf8_lossy(&made.stderr).trim()
        );
        let namespace = Self::open(name)?;
        namespace.ip_batch("link set lo up")?;
        Ok(namespace)
    }

    /// Opens a namespace that exists.
    pub fn open(name: &str) -> Result<Self> {
        let path = PathBuf::from(DIRECTORY).join(name);
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        Ok(Self { name: name.to_owned(), file: Arc::new(file) })
    }

    /// Its name, as `ip netns` lists it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that `nsenter --net=` takes.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(DIRECTORY).join(&self.name)
    }

    /// Runs `job` on a fresh thread inside the namespace and waits for it. Sockets that it makes
    /// stay in the namespace wherever they are used later. A panic in `job` goes on here.
    pub fn run<T: Send>(&self, job: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                self.enter()?;
                Ok(job())
            });
            worker.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
        })
    }

    /// Moves the calling thread into the namespace for the rest of its life.
    pub fn enter(&self) -> Result<()> {
        setns(&*self.file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("enter network namespace {}", self.name))
    }

    /// A command that will run inside the namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let file = Arc::clone(&self.file);
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; setns on an
        // open descriptor is a bare system call and the error path does not allocate.
        unsafe {
            command.pre_exec(move || {
                setns(&*file, CloneFlags::CLONE_NEWNET).map_err(std::io::Error::from)
            });
        }
        command
    }

    /// Runs a command inside the namespace and returns what it printed; an error carries what it
    /// printed to its error output.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self
            .command(program)
            .args(arguments)
            .output()
            .with_context(|| format!("run {program} in {}", self.name))?;
        ensure!(
            output.status.success(),
            "in {}: {program} {}: {}",
            self.name,
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Feeds `lines` to one `ip -batch`: a process per namespace instead of one per line.
    pub fn ip_batch(&self, lines: &str) -> Result<()> {
        let mut child = self
            .command("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run `ip` (Debian: iproute2)")?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(lines.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "in {}: ip -batch: {}\nthe lines were:\n{lines}",
            self.name,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// The address of an Ethernet interface, as `ip` writes it.
    pub fn link_address(&self, interface: &str) -> Result<String> {
        let shown = self.output("ip", &["-json", "link", "show", "dev", interface])?;
        let shown: Value = serde_json::from_str(&shown)?;
        let address = shown[0]["address"].as_str();
        Ok(address.context("an interface without an address")?.to_owned())
    }

    /// The same in bytes.
    pub fn mac(&self, interface: &str) -> Result<Mac> {
        let text = self.link_address(interface)?;
        let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16));
        let bytes: Vec<u8> = bytes.collect::<Result<_, _>>()?;
        Mac::try_from(bytes).ok().with_context(|| format!("{text} is no MAC address"))
    }

    /// Writes kernel settings of this namespace: paths below /proc/sys, with slashes.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        // /proc/sys/net shows the namespace of the thread that opens it.
        self.run(|| {
            for (path, value) in settings {
                let path = format!("/proc/sys/{path}");
                std::fs::write(&path, value).with_context(|| format!("write {value} to {path}"))?;
            }
            Ok(())
        })?
    }
}
