//! `slb backend ...`: backends of listeners, seen and changed.

use clap::{Args, Subcommand, builder::TypedValueParser};
use comfy_table::Cell;

use super::{
    Answer, Format, report,
    table::{Column, Style, Tone, cell, number, render, toned},
    words::one_of,
};
use crate::{
    api::{
        Admin, BackendList, BackendSelector, BackendStatus, Client, Health, ListenerSelector,
        command::{self, BackendDrain, BackendRemove, BackendSetWeight},
    },
    config::model::Role,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the backends of a listener, or all
    List {
        /// Only this listener's, as INSTANCE/PROTOCOL:PORT
        listener: Option<ListenerSelector>,
    },
    /// Give a listener a backend
    Add(Add),
    /// Take a backend from a listener; its connections may go on for its drain_timeout
    Remove(Remove),
    /// Set a backend's weight to 0: no new connections, the others until a deadline; set-weight
    /// brings it back
    Drain(Drain),
    /// Change a backend's weight
    SetWeight(SetWeight),
}

/// Which backend of which listener.
#[derive(Clone, Debug, Args)]
struct Which {
    /// Listener, as INSTANCE/PROTOCOL:PORT, e.g. shop/tcp:80
    listener: ListenerSelector,
    /// Backend, as ADDRESS:PORT, e.g. 10.0.1.11:8080 or [fd01::11]:8080
    backend: BackendSelector,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    #[command(flatten)]
    which: Which,
    /// Its share, 0-100; 0 takes no new connections
    #[arg(long, default_value_t = command::DEFAULT_WEIGHT, value_parser = weight())]
    weight: u16,
    /// A backup is used only while no primary is usable
    #[arg(long, default_value_t = Role::Primary, value_parser = role())]
    role: Role,
    /// Scheduler qch: the server id in the QUIC connection IDs that it makes, 0-65535
    #[arg(long, value_name = "N")]
    server_id: Option<u16>,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    #[command(flatten)]
    which: Which,
    /// Cut its connections instead of letting them end
    #[arg(long)]
    now: bool,
    /// Do it even if it is the listener's last usable backend
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Drain {
    #[command(flatten)]
    which: Which,
    /// Reset what is left after this time, 0s-900s [default: the listener's drain_timeout]
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    timeout: Option<u64>,
    /// Do it even if it is the listener's last usable backend
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct SetWeight {
    #[command(flatten)]
    which: Which,
    /// Its share, 0-100; 0 takes no new connections
    #[arg(value_parser = weight())]
    weight: u16,
    /// Set it to 0 even if it is the listener's last usable backend
    #[arg(long)]
    force: bool,
}

impl SetWeight {
    /// What the daemon is asked.
    pub(super) fn request(&self) -> BackendSetWeight {
        let Which { listener, backend } = self.which.clone();
        BackendSetWeight { listener, backend, weight: self.weight, force: self.force }
    }
}

/// Headings for [`row`].
pub(super) const COLUMNS: [Column; 9] = [
    Column::Words("BACKEND"),
    Column::Number("WEIGHT"),
    Column::Words("ROLE"),
    Column::Words("ADMIN"),
    Column::Number("ACTIVE"),
    Column::Number("INACTIVE"),
    Column::Number("OPENED"),
    Column::Words("HEALTH"),
    Column::Words("REASON"),
];

pub(super) async fn run(
    command: Command,
    client: &Client,
    format: Format,
) -> anyhow::Result<Answer> {
    let done = match command {
        Command::List { listener } => {
            let list = client.backends(listener.as_ref()).await?;
            return Ok(format.write(&list, people)?.into());
        }
        Command::Add(Add { which: Which { listener, backend }, weight, role, server_id }) => {
            let add = command::BackendAdd { listener, backend, weight, role, server_id };
            client.backend_add(&add).await?
        }
        Command::Remove(Remove { which: Which { listener, backend }, now, force }) => {
            client.backend_remove(&BackendRemove { listener, backend, now, force }).await?
        }
        Command::Drain(Drain { which: Which { listener, backend }, timeout, force }) => {
            let drain = BackendDrain { listener, backend, timeout_s: timeout, force };
            client.backend_drain(&drain).await?
        }
        Command::SetWeight(set) => client.backend_set_weight(&set.request()).await?,
    };
    Ok(format.write(&done, report::people)?.into())
}

/// A backend's line.
pub(super) fn row(backend: &BackendStatus) -> Vec<Cell> {
    let health = match backend.health {
        Health::Healthy => Some(Tone::Good),
        Health::Checking => Some(Tone::Pending),
        Health::Unhealthy => Some(Tone::Bad),
        Health::Unchecked => None,
    };
    let tone = |word: &str, tone| match tone {
        Some(tone) => toned(word, tone),
        None => cell(word),
    };
    let tone_of_admin = (backend.admin != Admin::Active).then_some(Tone::Pending);
    let admin = match backend.drain_left_s {
        Some(left) => format!("{}, {left} s left", backend.admin.word()),
        None => backend.admin.word().to_owned(),
    };
    vec![
        cell(backend.endpoint().to_string()),
        number(backend.weight),
        cell(backend.role.word()),
        tone(&admin, tone_of_admin),
        number(backend.counts.active_connections),
        number(backend.counts.inactive_connections),
        number(backend.counts.connections_total),
        tone(backend.health.word(), health),
        cell(&backend.health_reason),
    ]
}

fn people(list: &BackendList, style: Style) -> String {
    if list.backends.is_empty() {
        return "no backends\n".to_owned();
    }
    let columns: Vec<Column> = [Column::Words("LISTENER")].into_iter().chain(COLUMNS).collect();
    let rows = list.backends.iter().map(|one| {
        let first = cell(one.listener.to_string());
        [first].into_iter().chain(row(&one.backend)).collect()
    });
    render(style, 0, &columns, rows)
}

/// Seconds, with or without their unit.
fn timeout(text: &str) -> Result<u64, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
    let message = || format!("write 0s to {}s, e.g. 30s", command::MAX_DRAIN_S);
    seconds.filter(|seconds| *seconds <= command::MAX_DRAIN_S).ok_or_else(message)
}

fn weight() -> impl TypedValueParser<Value = u16> {
    clap::value_parser!(u16).range(0..=i64::from(command::MAX_WEIGHT))
}

fn role() -> impl TypedValueParser<Value = Role> {
    one_of(Role::WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::samples;

    #[test]
    fn a_backends_line_begins_with_its_listener() {
        let only = "shop/udp:53".parse().unwrap();
        let list = samples::status().backend_list(Some(&only)).unwrap();
        let shown = people(&list, Style::Plain);
        let expected = "\
LISTENER     BACKEND         WEIGHT  ROLE     ADMIN   ACTIVE  INACTIVE  OPENED  HEALTH   REASON
shop/udp:53  10.0.1.13:8080     100  primary  active       0         0       0  healthy  HTTP 200 in 1 ms
";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn no_backends_is_said_in_words() {
        assert_eq!(people(&BackendList { backends: vec![] }, Style::Plain), "no backends\n");
    }
}
