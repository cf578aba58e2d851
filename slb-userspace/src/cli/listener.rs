//! `slb listener ...`.

use clap::Subcommand;

use super::{
    Answer, Format,
    table::{Column, Style, Tone, bytes, cell, number, render, toned},
};
use crate::api::{Client, ListenerList, ListenerRow};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List all listeners, one line each
    List,
}

pub(super) async fn run(
    Command::List: Command,
    client: &Client,
    format: Format,
) -> anyhow::Result<Answer> {
    Ok(format.write(&client.listeners().await?, people)?.into())
}

fn people(list: &ListenerList, style: Style) -> String {
    use Column::{Number, Words};
    let columns = [
        Words("LISTENER"),
        Words("VIPS"),
        Words("SCHEDULER"),
        Words("MODE"),
        Number("READY"),
        Number("ACTIVE"),
        Number("INACTIVE"),
        Number("OPENED"),
        Number("IN"),
        Number("OUT"),
    ];
    if list.listeners.is_empty() {
        return "no listeners\n".to_owned();
    }
    render(style, 0, &columns, list.listeners.iter().map(row))
}

fn row(row: &ListenerRow) -> Vec<comfy_table::Cell> {
    let vips: Vec<String> = row.vips.iter().map(ToString::to_string).collect();
    let ready = format!("{}/{}", row.ready_backends, row.backends);
    vec![
        cell(row.listener.to_string()),
        cell(vips.join(", ")),
        cell(row.scheduler.word()),
        cell(row.mode.word()),
        match (row.enabled, row.ready_backends) {
            (false, _) => toned("stopped", Tone::Pending),
            (true, 0) => toned(ready, Tone::Bad),
            (true, _) => cell(ready),
        },
        number(row.counts.active_connections),
        number(row.counts.inactive_connections),
        number(row.counts.connections_total),
        cell(bytes(row.counts.bytes_in)),
        cell(bytes(row.counts.bytes_out)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::samples;

    #[test]
    fn every_listener_has_a_line_with_its_ready_backends() {
        let mut status = samples::status();
        status.instances[0].listeners[1].enabled = false;
        let shown = people(&status.listener_list(), Style::Plain);
        let expected = "\
LISTENER     VIPS                   SCHEDULER  MODE    READY  ACTIVE  INACTIVE  OPENED        IN       OUT
shop/tcp:80  10.0.0.100, fd00::100  wrr        nat       2/3       4         1    1041  12.3 MiB  48.0 MiB
shop/udp:53  10.0.0.100, fd00::100  mh         nat   stopped       0         0       0       0 B       0 B
";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn no_listeners_is_said_in_words() {
        assert_eq!(people(&ListenerList { listeners: vec![] }, Style::Plain), "no listeners\n");
    }
}
