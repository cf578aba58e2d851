//! The daemon under test: `slbd` in the balancer's namespace and `slb` to talk to it.

use std::{
    env,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{Lab, Namespace};

/// Loading programs and the first health checks, on a machine that does other things too, or that
/// is emulated: there the kernel's verifier alone takes half a minute.
const START_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// What most labs want of `[dataplane]`.
const DATAPLANE: &str = "xdp_mode = \"native\"\nmax_connections = 65_536";

/// A running daemon. Dropping it stops it, detaches its programs and removes its pins.
#[derive(Debug)]
pub struct Slbd {
    balancer: Namespace,
    interfaces: &'static [&'static str],
    work_dir: PathBuf,
    pin_dir: PathBuf,
    dataplane: String,
    child: Option<Child>,
    kept: bool,
}

impl Slbd {
    /// Starts it with `services`: the configuration without `[daemon]` and `[dataplane]`, which
    /// the lab writes. Returns when it answers.
    pub fn start(lab: &Lab, services: &str) -> Result<Self> {
        Self::start_with(lab, DATAPLANE, services)
    }

    /// The same with own lines for `[dataplane]`, beside `interfaces` and `pin_dir`.
    pub fn start_with(lab: &Lab, dataplane: &str, services: &str) -> Result<Self> {
        let mut daemon = Self::prepare_with(lab, dataplane, services)?;
        daemon.start_again()?;
        Ok(daemon)
    }

    /// Writes the configuration and starts nothing, for [`Self::start_again`] or [`Self::run`].
    pub fn prepare(lab: &Lab, services: &str) -> Result<Self> {
        Self::prepare_with(lab, DATAPLANE, services)
    }

    /// The same with own lines for `[dataplane]`.
    pub fn prepare_with(lab: &Lab, dataplane: &str, services: &str) -> Result<Self> {
        let daemon = Self {
            balancer: lab.balancer.clone(),
            interfaces: lab.interfaces(),
            work_dir: lab.work_dir(),
            pin_dir: lab.pin_dir(),
            dataplane: dataplane.to_owned(),
            child: None,
            kept: false,
        };
        daemon.write_config(services)?;
        Ok(daemon)
    }

    /// Starts it with the configuration that is there, after [`Self::stop`] or [`Self::crash`].
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "slbd runs already");
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let child = self
            .balancer
            .command(&path_text(&binary("slbd")?))
            .arg("--config")
            .arg(self.config_path())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal reaches the whole group; the lab decides when it ends.
            .process_group(0)
            .spawn()
            .context("start slbd")?;
        self.child = Some(child);
        self.wait_until_ready()
    }

    /// Runs `slb` on this daemon; its exit code is the caller's to judge.
    pub fn slb(&self, arguments: &[&str]) -> Result<Output> {
        self.balancer
            .command(&path_text(&binary("slb")?))
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .output()
            .context("run slb")
    }

    /// Runs `slb`, wants success, and returns what it printed.
    pub fn slb_ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.slb(arguments)?;
        ensure!(
            output.status.success(),
            "slb {}: {}\n{}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.log_tail()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What an `slb` command prints with `--json`; also when it found a problem (exit code 1).
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let output = self.slb(&arguments)?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "slb {}: {}\n{}{}{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
                self.log_tail()
            )
        })
    }

    /// `slb status --json`.
    pub fn status(&self) -> Result<Value> {
        self.json(&["status"])
    }

    /// Waits until the status satisfies `wanted`; the error shows the last one.
    pub fn wait_for_status(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let status = self.status()?;
            if wanted(&status) {
                return Ok(status);
            }
            ensure!(
                begun.elapsed() < limit,
                "not within {limit:?}: {what}\n{status:#}\n{}",
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes other services into the configuration and reloads it.
    pub fn reload(&self, services: &str) -> Result<()> {
        self.write_config(services)?;
        self.slb_ok(&["reload"]).map(drop)
    }

    /// Writes other services into the configuration and tells nobody.
    pub fn write_config(&self, services: &str) -> Result<()> {
        let text = format!(
            "[daemon]\nsocket = {:?}\nstate_dir = {:?}\n\n[dataplane]\ninterfaces = {:?}\n\
             pin_dir = {:?}\n{}\n\n{services}",
            self.socket(),
            self.work_dir.join("state"),
            self.interfaces,
            self.pin_dir,
            self.dataplane
        );
        fs::write(self.config_path(), text).context("write slb.toml")
    }

    /// Ends it in the orderly way; its programs stay attached and its maps pinned.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::SIGTERM)
    }

    /// Kills it where it stands; its programs stay attached and its maps pinned.
    pub fn crash(&mut self) -> Result<()> {
        self.end(Signal::SIGKILL)
    }

    /// Makes it read its file again, as `systemctl reload` does.
    pub fn hang_up(&self) -> Result<()> {
        let child = self.child.as_ref().context("slbd does not run")?;
        Ok(kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGHUP)?)
    }

    /// Detaches the programs and removes the pins, whether the daemon runs or not; returns what
    /// it printed.
    pub fn detach(&self) -> Result<String> {
        let slbd = path_text(&binary("slbd")?);
        self.balancer.output(&slbd, &["--detach", "--config", &path_text(&self.config_path())])
    }

    /// Runs another `slbd` on this daemon's configuration until it ends, and returns what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut child = self
            .balancer
            .command(&path_text(&binary("slbd")?))
            .arg("--config")
            .arg(self.config_path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start slbd")?;
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if begun.elapsed() > START_LIMIT {
                child.kill()?;
                bail!("slbd {} still runs after {START_LIMIT:?}", arguments.join(" "));
            }
            thread::sleep(Duration::from_millis(5));
        }
        child.wait_with_output().context("wait for slbd")
    }

    /// Whether the process lives.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.work_dir.join("slb.sock")
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.work_dir.join("slb.toml")
    }

    /// The last lines that the daemon wrote.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(30)..];
        format!("slbd's log ({}):\n{}", self.log_path().display(), tail.join("\n"))
    }

    /// Leaves it running when this value is dropped; removing the lab ends it.
    pub fn keep(mut self) {
        self.kept = true;
    }

    fn log_path(&self) -> PathBuf {
        self.work_dir.join("slbd.log")
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                self.child = None;
                bail!("slbd ended at once: {status}\n{}", self.log_tail());
            }
            // 1: it answers, and something is wrong, as long as no check has had its answer.
            let code = || anyhow::Ok(self.slb(&["status"])?.status.code());
            if self.socket().exists() && matches!(code()?, Some(0 | 1)) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < START_LIMIT,
                "slbd does not answer after {START_LIMIT:?}\n{}",
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let pid = Pid::from_raw(child.id().cast_signed());
        if child.try_wait()?.is_none() {
            kill(pid, signal)?;
        }
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if begun.elapsed() > STOP_LIMIT {
                child.kill()?;
                child.wait()?;
                bail!("slbd did not end within {STOP_LIMIT:?} of {signal}\n{}", self.log_tail());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Slbd {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let mut cleaned = self.end(Signal::SIGTERM);
        // No pins: it never got as far as loading, or has been detached.
        if self.pin_dir.exists() {
            cleaned = cleaned.and(self.detach().map(drop));
        }
        if let Err(error) = cleaned
            && !thread::panicking()
        {
            eprintln!("cleaning up after slbd: {error:#}");
        }
        let _ = fs::remove_dir_all(&self.pin_dir);
    }
}

/// One of this workspace's binaries: in `SLB_BIN_DIR`, else beside this executable.
pub fn binary(name: &str) -> Result<PathBuf> {
    let directories: Vec<PathBuf> = match env::var_os("SLB_BIN_DIR") {
        Some(directory) => vec![directory.into()],
        // Tests are one directory below the binaries, in `deps`.
        None => env::current_exe()?.ancestors().skip(1).take(2).map(Path::to_owned).collect(),
    };
    directories
        .iter()
        .map(|directory| directory.join(name))
        .find(|path| path.exists())
        .with_context(|| {
            format!(
                "no {name} in {directories:?}\nhint: build it with `cargo xtask build`, or set \
                 SLB_BIN_DIR"
            )
        })
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
