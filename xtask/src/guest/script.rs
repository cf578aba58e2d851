//! What the guest does after booting, and the marks by which its output is read.

use std::path::PathBuf;
use std::process::ExitCode;

/// Begins the lines that are for us. They may have something else before them: the kernel's
/// messages go to the same serial line.
const MARK: &str = "[guest]";

/// Something to run in the guest.
pub(crate) struct Task {
    /// One word.
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    pub(crate) arguments: Vec<String>,
}

/// What a task runs.
pub(crate) enum Program {
    /// One of this machine's, which is copied into the guest.
    Copied(PathBuf),
    /// One that the guest has.
    There(String),
}

/// What the guest printed, by task.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// As `uname -r` says it; none if the guest did not come so far.
    pub(crate) kernel: Option<String>,
    /// In the order in which they began.
    pub(crate) tasks: Vec<Ran>,
    /// The last one has ended and the guest switched itself off.
    pub(crate) complete: bool,
}

/// A task that began.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) name: String,
    pub(crate) lines: Vec<String>,
    /// None if the guest stopped before the task.
    pub(crate) exit_code: Option<i32>,
}

/// The guest's first and only script. `modules` are paths in the guest, `tasks` names and command
/// lines.
pub(super) fn init(modules: &[String], tasks: &[(&str, String)], binaries: &str) -> String {
    let mut script = format!(
        "#!/bin/sh\n\
         export PATH=/usr/sbin:/bin:{binaries} HOME=/tmp NO_COLOR=1 SLB_BIN_DIR={binaries}\n\
         mount -t proc proc /proc\n\
         mount -t sysfs sysfs /sys\n\
         mount -t devtmpfs devtmpfs /dev\n\
         mount -t tmpfs tmpfs /tmp\n\
         mount -t tmpfs tmpfs /run\n\
         mount -t bpf bpf /sys/fs/bpf\n\
         mkdir -p /run/netns\n\
         cd /tmp\n"
    );
    for module in modules {
        script += &format!("insmod {module}\n");
    }
    script += &format!("ip link set lo up\necho \"{MARK} kernel $(uname -r)\"\n");
    for (name, line) in tasks {
        script += &format!("echo \"{MARK} begin {name}\"\n{line}\necho \"{MARK} end {name} $?\"\n");
    }
    script += &format!("echo \"{MARK} off\"\npoweroff -f\n");
    script
}

/// A command line of the guest's shell.
pub(super) fn line(program: &str, arguments: &[String]) -> String {
    let quoted = |word: &String| format!(" '{}'", word.replace('\'', r"'\''"));
    std::iter::once(program.to_owned()).chain(arguments.iter().map(quoted)).collect()
}

impl Transcript {
    /// A task that began.
    pub(crate) fn task(&self, name: &str) -> Option<&Ran> {
        self.tasks.iter().find(|ran| ran.name == name)
    }

    /// How the command ends that has handed a task to the guest: as the task, or with 1 if that did
    /// not end.
    pub(crate) fn exit_code(&self, name: &str) -> ExitCode {
        let code = self.task(name).and_then(|ran| ran.exit_code);
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into()
    }

    /// The task that is running, as far as it has been read.
    pub(super) fn running(&self) -> Option<&str> {
        let last = self.tasks.last().filter(|ran| ran.exit_code.is_none());
        last.map(|ran| ran.name.as_str())
    }

    /// Reads the next line that came over the serial line.
    pub(super) fn add(&mut self, line: &str) {
        let marked = line.split_once(MARK).map(|(_, words)| words.split_whitespace());
        let words: Vec<&str> = marked.into_iter().flatten().collect();
        let open = self.tasks.last_mut().filter(|ran| ran.exit_code.is_none());
        match (&words[..], open) {
            (["kernel", release], _) => self.kernel = Some((*release).to_owned()),
            (["begin", name], _) => self.tasks.push(Ran {
                name: (*name).to_owned(),
                lines: Vec::new(),
                exit_code: None,
            }),
            (["end", name, code], Some(ran)) if ran.name == *name => {
                ran.exit_code = code.parse().ok();
            }
            (["off"], _) => self.complete = true,
            (_, Some(ran)) => ran.lines.push(line.to_owned()),
            (_, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [&str; 10] = [
        "SeaBIOS",
        "[guest] kernel 6.1.0-56-amd64",
        "[guest] begin demo",
        "All 21 statements held",
        "[guest] end demo 0",
        "[guest] begin program",
        "test result: FAILED. 1 passed; 1 failed; 0 ignored",
        "[   31.795218] a message[guest] end program 101",
        "[guest] off",
        "[   31.795218] reboot: Power down",
    ];

    fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> Transcript {
        let mut transcript = Transcript::default();
        lines.into_iter().for_each(|line| transcript.add(line));
        transcript
    }

    #[test]
    fn output_is_told_apart_by_task_and_has_its_exit_code() {
        let transcript = read(WHOLE);
        assert_eq!(transcript.kernel.as_deref(), Some("6.1.0-56-amd64"));
        assert!(transcript.complete);
        let told: Vec<_> = transcript
            .tasks
            .iter()
            .map(|ran| (ran.name.as_str(), ran.lines.len(), ran.exit_code))
            .collect();
        assert_eq!(told, [("demo", 1, Some(0)), ("program", 1, Some(101))]);
    }

    #[test]
    fn a_task_in_which_the_guest_stopped_has_no_exit_code() {
        let transcript = read(WHOLE.into_iter().take(4));
        assert!(!transcript.complete);
        assert_eq!(transcript.tasks.len(), 1);
        assert_eq!(transcript.tasks[0].exit_code, None);
        assert_eq!(transcript.running(), Some("demo"));
        assert_eq!(read(WHOLE.into_iter().take(5)).running(), None);
    }

    #[test]
    fn a_task_gets_its_arguments_as_they_are() {
        let arguments = ["--only", "it's $HOME"].map(str::to_owned);
        assert_eq!(line("/slb/x", &arguments), r"/slb/x '--only' 'it'\''s $HOME'");
        assert_eq!(line("/slb/x", &[]), "/slb/x");
    }

    #[test]
    fn the_script_prints_the_marks_that_are_read() {
        let modules = ["/lib/modules/veth.ko".to_owned()];
        let script = init(&modules, &[("demo", "/slb/slb-demo".to_owned())], "/slb");
        // What `echo` would print of it.
        let printed: Vec<String> = script
            .lines()
            .filter_map(|line| line.strip_prefix("echo \""))
            .map(|line| line.replace("$(uname -r)", "6.1.0").replace("$?", "7").replace('"', ""))
            .collect();
        let transcript = read(printed.iter().map(String::as_str));
        let ran = Ran { name: "demo".to_owned(), lines: Vec::new(), exit_code: Some(7) };
        let wanted =
            Transcript { kernel: Some("6.1.0".to_owned()), tasks: vec![ran], complete: true };
        assert_eq!(transcript, wanted);
    }
}
