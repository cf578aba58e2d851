//! `slb blackhole ...`.

use std::net::IpAddr;

use clap::{Args, Subcommand};

use super::{
    Answer, Format, report,
    table::{Column, Style, cell, number, render},
};
use crate::api::{BlackholeList, BlackholeRelease, BlackholeRow, Client};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List VIPs to which nothing is let through, why, and for how long
    List,
    /// Let packets through to a VIP again; its thresholds stay
    Release(Release),
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false)]
pub(super) struct Release {
    /// This VIP, e.g. 10.0.0.100
    vip: Option<IpAddr>,
    /// All of them
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    format: Format,
) -> anyhow::Result<Answer> {
    match command {
        Command::List => Ok(format.write(&client.blackholes().await?, people)?.into()),
        Command::Release(Release { vip, .. }) => {
            let report = client.blackhole_release(&BlackholeRelease { vip }).await?;
            Ok(format.write(&report, report::people)?.into())
        }
    }
}

fn people(list: &BlackholeList, style: Style) -> String {
    use Column::{Number, Words};
    let columns = [
        Words("VIP"),
        Words("INSTANCE"),
        Number("PACKETS/S"),
        Number("BITS/S"),
        Number("ENDS IN S"),
    ];
    match list.blackholes.as_slice() {
        [] => "no VIP is blackholed\n".to_owned(),
        some => render(style, 0, &columns, some.iter().map(row)),
    }
}

fn row(row: &BlackholeRow) -> Vec<comfy_table::Cell> {
    let known = |rate: Option<u64>| rate.map_or_else(|| cell("-"), number);
    vec![
        cell(row.vip.to_string()),
        cell(row.instance.clone()),
        known(row.pps),
        known(row.bps),
        number(row.ends_in_s),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_came_for_a_vip_and_how_long_it_is_blackholed() {
        assert_eq!(people(&BlackholeList::default(), Style::Plain), "no VIP is blackholed\n");
        let row = |vip: &str, pps| BlackholeRow {
            vip: vip.parse().unwrap(),
            instance: "shop".to_owned(),
            pps,
            bps: pps.map(|pps| pps * 480),
            ends_in_s: 57,
        };
        let list = BlackholeList {
            blackholes: vec![row("10.0.0.100", Some(2_000_000)), row("fd00::100", None)],
        };
        let expected = "\
VIP         INSTANCE  PACKETS/S     BITS/S  ENDS IN S
10.0.0.100  shop        2000000  960000000         57
fd00::100   shop              -          -         57
";
        let shown = people(&list, Style::Plain);
        assert_eq!(shown, expected, "\n{shown}");
    }
}
