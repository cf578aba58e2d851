//! `slb toa`: the client's address on a backend behind mode fullnat. Needs no daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    Answer, Format,
    table::{Column, Style, cell, number, render},
};
use crate::toa::{self, Network, State, Status, Wanted};

const ATTACH_HELP: &str = "\
The option is believed from whoever sends from a network of --from. Give the balancers' \
local_addresses, and let a firewall drop packets from these networks that do not come from a \
balancer. Attaching again replaces programs and networks; accepted connections keep their clients.

Pins do not outlive a reboot: docs/how-to/real-client-address.md has a systemd unit.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make accept() and getpeername() return the client that TCP option 254 tells
    #[command(after_help = ATTACH_HELP)]
    Attach(Attach),
    /// Take everything away that attach made; connections then show the balancer's address
    Detach(Place),
    /// Show what is attached and what was counted; exits 1 if it is not attached
    Status(Place),
}

#[derive(Debug, Args)]
pub(super) struct Attach {
    /// Serve the processes of this cgroup (version 2) and below [default: the root, all processes]
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
    /// Believe options from this network; repeatable [default: 100.64.0.0/10]
    #[arg(long, value_name = "CIDR")]
    from: Vec<Network>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// Directory of a BPF file system that keeps links and maps
    #[arg(long, value_name = "DIR", default_value = toa::PIN_DIR)]
    pin_dir: PathBuf,
}

pub(super) fn run(command: Command, format: Format) -> anyhow::Result<Answer> {
    match command {
        Command::Attach(attach) => {
            Ok(format.write(&toa::attach(&attach.wanted())?, people)?.into())
        }
        Command::Detach(place) => {
            let was_attached = toa::detach(&place.pin_dir)?;
            let answer = serde_json::json!({ "was_attached": was_attached });
            Ok(format.write(&answer, |_, _| detached(was_attached).to_owned())?.into())
        }
        Command::Status(place) => {
            let status = toa::status(&place.pin_dir)?;
            let text = format.write(&status, people)?;
            Ok(Answer { text, problems: problem(&status).into_iter().collect() })
        }
    }
}

impl Attach {
    fn wanted(self) -> Wanted {
        let from = if self.from.is_empty() { toa::default_networks() } else { self.from };
        Wanted { cgroup: self.cgroup, pin_dir: self.place.pin_dir, from }
    }
}

const fn detached(was_attached: bool) -> &'static str {
    if was_attached { "detached\n" } else { "nothing was attached\n" }
}

fn problem(status: &Status) -> Option<String> {
    match status.state {
        State::Attached => None,
        State::Detached => Some("not attached: servers see the balancer's addresses".to_owned()),
        State::Incomplete => {
            Some("programs or their cgroup are gone; `slb toa attach` mends it".to_owned())
        }
    }
}

fn people(status: &Status, style: Style) -> String {
    if status.state == State::Detached {
        return "detached\n".to_owned();
    }
    let word = if status.state == State::Attached { "attached" } else { "incomplete" };
    let cgroup = status.cgroup.as_ref().map_or("(gone)".into(), |path| path.display().to_string());
    let from: Vec<String> = status.from.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{word}; cgroup {cgroup}; pins {}\nbelieved from {}\n",
        status.pin_dir.display(),
        from.join(", ")
    );
    let columns = [Column::Number("CONNECTIONS"), Column::Words("NAME"), Column::Words("MEANING")];
    let rows = status.counters.iter();
    let rows = rows.map(|one| vec![number(one.connections), cell(one.name), cell(one.meaning)]);
    text += &render(style, 0, &columns, rows);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toa::Counted;

    fn status(state: State) -> Status {
        let meaning = "Options of a wrong length.";
        Status {
            state,
            pin_dir: "/sys/fs/bpf/slb-toa".into(),
            cgroup: Some("/sys/fs/cgroup".into()),
            from: ["100.64.0.0/10", "fd64::/64"].map(|text| text.parse().unwrap()).to_vec(),
            counters: vec![Counted { name: "malformed", connections: 12, meaning }],
            programs: Vec::new(),
        }
    }

    #[test]
    fn what_is_attached_is_told_with_its_networks_and_counters() {
        let expected = "\
attached; cgroup /sys/fs/cgroup; pins /sys/fs/bpf/slb-toa
believed from 100.64.0.0/10, fd64::/64
CONNECTIONS  NAME       MEANING
         12  malformed  Options of a wrong length.
";
        assert_eq!(people(&status(State::Attached), Style::Plain), expected);
        assert_eq!(problem(&status(State::Attached)), None);
    }

    #[test]
    fn what_is_not_attached_is_a_problem() {
        assert!(problem(&status(State::Detached)).is_some());
        assert!(problem(&status(State::Incomplete)).is_some_and(|told| told.contains("attach")));
    }
}
