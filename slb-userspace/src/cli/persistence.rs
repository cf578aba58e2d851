//! `slb persistence ...`.

use clap::{Args, Subcommand};

use super::{
    Answer, Format, report,
    table::{Column, Style, Tone, cell, number, render, toned},
};
use crate::api::{
    Client, ClientMatch, ListenerSelector, TemplateFilter, TemplateFlush, TemplateList,
    TemplateRow,
    connections::{DEFAULT_LIMIT, MAX_LIMIT},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List which client goes to which backend, and for how long
    List(Filters),
    /// Forget it: new connections of these clients are scheduled anew, others go on
    Flush(Flush),
}

#[derive(Debug, Args)]
pub(super) struct Filters {
    /// Only this listener, e.g. shop/tcp:80
    #[arg(long)]
    listener: Option<ListenerSelector>,
    /// Only this client, as ADDRESS or PREFIX/LENGTH
    #[arg(long)]
    client: Option<ClientMatch>,
    /// Templates to show at most
    #[arg(long, value_name = "N", default_value_t = DEFAULT_LIMIT as u64,
        value_parser = clap::value_parser!(u64).range(1..=MAX_LIMIT as u64))]
    limit: u64,
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = true)]
pub(super) struct Flush {
    /// Clients of this listener, and of those that share with it
    #[arg(long)]
    listener: Option<ListenerSelector>,
    /// This client, as ADDRESS or PREFIX/LENGTH
    #[arg(long)]
    client: Option<ClientMatch>,
    /// All clients of all listeners
    #[arg(long, conflicts_with_all = ["listener", "client"])]
    all: bool,
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    format: Format,
) -> anyhow::Result<Answer> {
    match command {
        Command::List(Filters { listener, client: clients, limit }) => {
            let limit = Some(limit.try_into()?);
            let filter = TemplateFilter { listener, client: clients, limit };
            Ok(format.write(&client.templates(&filter).await?, people)?.into())
        }
        Command::Flush(Flush { listener, client: clients, all }) => {
            let flush = TemplateFlush { listener, client: clients, all };
            let report = client.templates_flush(&flush).await?;
            Ok(format.write(&report, report::people)?.into())
        }
    }
}

fn people(list: &TemplateList, style: Style) -> String {
    use Column::{Number, Words};
    let columns = [
        Words("CLIENT"),
        Words("BACKEND"),
        Number("CONNECTIONS"),
        Number("EXPIRES S"),
        Words("LISTENERS"),
    ];
    let mut text = match list.matching {
        0 => "no persistence templates\n".to_owned(),
        _ => render(style, 0, &columns, list.templates.iter().map(row)),
    };
    let shown = list.templates.len() as u64;
    if shown < list.matching {
        text += &format!("{shown} of {} shown; --limit shows more\n", list.matching);
    }
    if list.without_template > 0 {
        let without = list.without_template;
        text += &format!("{without} connections found no room: raise dataplane.max_templates\n");
    }
    text
}

fn row(row: &TemplateRow) -> Vec<comfy_table::Cell> {
    let listeners: Vec<String> = row.listeners.iter().map(ToString::to_string).collect();
    vec![
        cell(row.client.to_string()),
        cell(row.backend.to_string()),
        number(row.connections),
        match row.expires_in_s {
            Some(seconds) => number(seconds),
            None => toned("-", Tone::Good),
        },
        cell(listeners.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(matching: u64, without_template: u64) -> TemplateList {
        let template = |client: &str, connections, expires_in_s, listeners: &[&str]| TemplateRow {
            client: client.parse().unwrap(),
            listeners: listeners.iter().map(|name| name.parse().unwrap()).collect(),
            backend: "10.0.1.11:8080".parse().unwrap(),
            connections,
            expires_in_s,
        };
        let templates = vec![
            template("10.9.0.0/24", 12, None, &["shop/tcp:80", "shop/tcp:443"]),
            template("10.9.1.7", 0, Some(299), &["shop/udp:53"]),
        ];
        TemplateList { matching, without_template, templates }
    }

    #[test]
    fn every_template_has_a_line() {
        let shown = people(&list(2, 0), Style::Plain);
        let expected = "\
CLIENT       BACKEND         CONNECTIONS  EXPIRES S  LISTENERS
10.9.0.0/24  10.0.1.11:8080           12          -  shop/tcp:80, shop/tcp:443
10.9.1.7     10.0.1.11:8080            0        299  shop/udp:53
";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn what_is_not_shown_and_what_found_no_room_is_said() {
        let shown = people(&list(7, 3), Style::Plain);
        assert!(shown.ends_with(
            "\n2 of 7 shown; --limit shows more\n\
             3 connections found no room: raise dataplane.max_templates\n"
        ));
        assert_eq!(people(&TemplateList::default(), Style::Plain), "no persistence templates\n");
    }
}
