//! Takes a lab away by its name: processes, namespaces, pins, files.
//!
//! It needs nothing but the name, so it works from `Drop`, from a signal's thread while the lab is
//! still being built, and from another process after the first was killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{bpffs, namespace};

/// Labs of tests: `slb-test-PID-NUMBER`.
pub const TEST_PREFIX: &str = "slb-test-";

/// Where a lab keeps its configuration, logs and sockets.
pub fn work_dir(lab: &str) -> PathBuf {
    std::env::temp_dir().join(lab)
}

/// Where a lab's daemon pins its programs and maps.
pub fn pin_dir(lab: &str) -> PathBuf {
    Path::new(bpffs::MOUNT_POINT).join(lab)
}

/// Removes everything that carries the lab's name; what is not there is no error. Processes in
/// its namespaces get SIGTERM, after 3 s SIGKILL; this process is spared.
pub fn remove(lab: &str) {
    let namespaces = entries(Path::new(namespace::DIRECTORY), |name| belongs(name, lab));
    end_processes(&namespaces);
    // Pins hold bpf_links: without them the programs leave their interfaces.
    for pin in entries(Path::new(bpffs::MOUNT_POINT), |name| belongs(name, lab)) {
        let path = Path::new(bpffs::MOUNT_POINT).join(pin);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
    for name in namespaces {
        let _ = Command::new("ip").args(["netns", "del", &name]).output();
    }
    let _ = fs::remove_dir_all(work_dir(lab));
}

/// What of a lab is still there.
pub fn found(lab: &str) -> Vec<PathBuf> {
    [Path::new(namespace::DIRECTORY), Path::new(bpffs::MOUNT_POINT), &std::env::temp_dir()]
        .into_iter()
        .flat_map(|directory| {
            entries(directory, |name| belongs(name, lab))
                .into_iter()
                .map(|name| directory.join(name))
        })
        .collect()
}

/// Removes the labs of processes that no longer run (they were killed before they could).
pub fn remove_of_dead_processes() {
    let mut labs: Vec<String> = [namespace::DIRECTORY, bpffs::MOUNT_POINT]
        .into_iter()
        .flat_map(|directory| entries(Path::new(directory), |name| name.starts_with(TEST_PREFIX)))
        .filter_map(|name| lab_of(&name))
        .filter(|(_, process)| !Path::new("/proc").join(process).exists())
        .map(|(lab, _)| lab)
        .collect();
    labs.sort();
    labs.dedup();
    for lab in labs {
        remove(&lab);
    }
}

/// `slb-test-12-3-client1` belongs to the lab `slb-test-12-3` of process 12.
fn lab_of(name: &str) -> Option<(String, String)> {
    let mut parts = name.strip_prefix(TEST_PREFIX)?.split('-');
    let (process, number) = (parts.next()?, parts.next()?);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (digits(process) && digits(number))
        .then(|| (format!("{TEST_PREFIX}{process}-{number}"), process.to_owned()))
}

fn end_processes(namespaces: &[String]) {
    let deadline = Instant::now() + Duration::from_secs(3);
    let mut signal = Signal::SIGTERM;
    loop {
        let processes: Vec<Pid> = namespaces.iter().flat_map(|name| processes_in(name)).collect();
        if processes.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            if signal == Signal::SIGKILL {
                return;
            }
            signal = Signal::SIGKILL;
        }
        for process in processes {
            let _ = kill(process, signal);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Other processes whose main thread is in the namespace.
fn processes_in(namespace: &str) -> Vec<Pid> {
    let Ok(output) = Command::new("ip").args(["netns", "pids", namespace]).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .map(Pid::from_raw)
        .filter(|process| *process != Pid::this())
        .collect()
}

fn belongs(name: &str, lab: &str) -> bool {
    name.strip_prefix(lab).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn entries(directory: &Path, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let Ok(found) = fs::read_dir(directory) else {
        return Vec::new();
    };
    found
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| wanted(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_lab_and_process() {
        let lab = Some(("slb-test-12-3".to_owned(), "12".to_owned()));
        assert_eq!(lab_of("slb-test-12-3-client1"), lab);
        assert_eq!(lab_of("slb-test-12-3"), lab);
        assert_eq!(lab_of("slb-demo-client1"), None);
        assert_eq!(lab_of("slb-test-12"), None);
    }

    #[test]
    fn a_lab_owns_no_other_lab_whose_name_begins_the_same() {
        assert!(belongs("slb-test-12-1-client1", "slb-test-12-1"));
        assert!(belongs("slb-test-12-1", "slb-test-12-1"));
        assert!(!belongs("slb-test-12-10-client1", "slb-test-12-1"));
    }
}
