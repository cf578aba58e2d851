//! `slb conns`: entries of the connection table.

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use comfy_table::Cell;

use super::{
    Answer, Format,
    table::{Column, Style, cell, number, render},
    words::one_of,
};
use crate::{
    api::{
        Client, ConnectionEntry, ConnectionFilter, ConnectionList, ConnectionState, EndpointMatch,
        ListenerSelector,
        connections::{DEFAULT_LIMIT, MAX_LIMIT},
    },
    config::model::Protocol,
};

#[derive(Debug, Args)]
pub(super) struct Filters {
    /// Only tcp or only udp
    #[arg(long, value_parser = one_of(Protocol::WORDS))]
    protocol: Option<Protocol>,
    /// Only this client, as ADDRESS or ADDRESS:PORT
    #[arg(long, value_name = "ENDPOINT")]
    client: Option<EndpointMatch>,
    /// Only this VIP, as ADDRESS or ADDRESS:PORT
    #[arg(long, value_name = "ENDPOINT")]
    vip: Option<EndpointMatch>,
    /// Only this backend, as ADDRESS or ADDRESS:PORT
    #[arg(long, value_name = "ENDPOINT")]
    backend: Option<EndpointMatch>,
    /// Only this state
    #[arg(long, value_parser = state())]
    state: Option<ConnectionState>,
    /// Entries to show at most
    #[arg(long, value_name = "N", default_value_t = DEFAULT_LIMIT as u64, value_parser = limit())]
    limit: u64,
}

impl Filters {
    fn request(&self) -> anyhow::Result<ConnectionFilter> {
        Ok(ConnectionFilter {
            protocol: self.protocol,
            client: self.client,
            vip: self.vip,
            backend: self.backend,
            state: self.state,
            limit: Some(self.limit.try_into()?),
        })
    }
}

pub(super) async fn run(
    filters: &Filters,
    client: &Client,
    format: Format,
) -> anyhow::Result<Answer> {
    let found = client.connections(&filters.request()?).await?;
    Ok(format.write(&found, people)?.into())
}

fn people(list: &ConnectionList, style: Style) -> String {
    use Column::{Number, Words};
    // A column that only fullnat fills.
    let local = list.connections.iter().any(|entry| entry.flow.local.is_some());
    let columns: Vec<Column> = [Words("PROTOCOL"), Words("CLIENT"), Words("VIP")]
        .into_iter()
        .chain(local.then_some(Words("LOCAL")))
        .chain([Words("BACKEND"), Words("STATE"), Number("IDLE S"), Words("LISTENER")])
        .collect();
    let shown = list.connections.len() as u64;
    if list.matching == 0 {
        return "no connections\n".to_owned();
    }
    let mut text =
        render(style, 0, &columns, list.connections.iter().map(|entry| row(entry, local)));
    if shown < list.matching {
        text += &format!("{shown} of {} shown; --limit shows more\n", list.matching);
    }
    text
}

fn row(entry: &ConnectionEntry, with_local: bool) -> Vec<Cell> {
    let listener = ListenerSelector {
        instance: entry.instance.clone(),
        protocol: entry.flow.protocol,
        port: entry.listener_port,
    };
    let local = || cell(entry.flow.local.map_or_else(|| "-".to_owned(), |it| it.to_string()));
    [
        cell(entry.flow.protocol.word()),
        cell(entry.flow.client.to_string()),
        cell(entry.flow.vip.to_string()),
    ]
    .into_iter()
    .chain(with_local.then(local))
    .chain([
        cell(entry.flow.backend.to_string()),
        cell(entry.flow.state.word()),
        number(entry.idle_s),
        cell(listener.to_string()),
    ])
    .collect()
}

fn state() -> impl TypedValueParser<Value = ConnectionState> {
    PossibleValuesParser::new(ConnectionState::ALL.map(ConnectionState::word))
        .try_map(|word| word.parse::<ConnectionState>())
}

fn limit() -> impl TypedValueParser<Value = u64> {
    clap::value_parser!(u64).range(1..=MAX_LIMIT as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Flow;

    fn list(matching: u64) -> ConnectionList {
        let entry = |client: &str, state: &str, idle_s| ConnectionEntry {
            flow: Flow {
                protocol: Protocol::Tcp,
                client: client.parse().unwrap(),
                vip: "10.0.0.100:80".parse().unwrap(),
                backend: "10.0.1.11:8080".parse().unwrap(),
                local: None,
                state: state.parse().unwrap(),
            },
            idle_s,
            instance: "shop".to_owned(),
            listener_port: 80,
        };
        let connections = vec![
            entry("10.9.0.7:40001", "established", 3),
            entry("10.9.0.7:4002", "time-wait", 42),
        ];
        ConnectionList { matching, connections }
    }

    #[test]
    fn a_local_endpoint_has_a_column_only_if_there_is_one() {
        let mut list = list(2);
        list.connections[1].flow.local = Some("100.64.0.1:2000".parse().unwrap());
        let shown = people(&list, Style::Plain);
        let expected = "\
PROTOCOL  CLIENT          VIP            LOCAL            BACKEND         STATE        IDLE S  LISTENER
tcp       10.9.0.7:40001  10.0.0.100:80  -                10.0.1.11:8080  established       3  shop/tcp:80
tcp       10.9.0.7:4002   10.0.0.100:80  100.64.0.1:2000  10.0.1.11:8080  time-wait        42  shop/tcp:80
";
        assert_eq!(shown, expected, "\n{shown}");
        let json = serde_json::to_value(&list).unwrap();
        assert_eq!(json["connections"][1]["local"], "100.64.0.1:2000");
        assert!(json["connections"][0].get("local").is_none());
    }

    #[test]
    fn every_entry_has_a_line() {
        let shown = people(&list(2), Style::Plain);
        let expected = "\
PROTOCOL  CLIENT          VIP            BACKEND         STATE        IDLE S  LISTENER
tcp       10.9.0.7:40001  10.0.0.100:80  10.0.1.11:8080  established       3  shop/tcp:80
tcp       10.9.0.7:4002   10.0.0.100:80  10.0.1.11:8080  time-wait        42  shop/tcp:80
";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn what_is_not_shown_is_said() {
        let shown = people(&list(5321), Style::Plain);
        assert!(shown.ends_with("\n2 of 5321 shown; --limit shows more\n"), "{shown}");
        assert_eq!(people(&ConnectionList::default(), Style::Plain), "no connections\n");
    }
}
