//! `slb drops`: why packets were dropped; with `--all` how all packets ended.

use clap::Args;
use comfy_table::Cell;

use super::{
    Answer, Format,
    table::{Column, Style, Tone, cell, number, render, toned},
};
use crate::api::{Client, VerdictAction, VerdictCount, VerdictList};

#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Also what was passed and forwarded, and what has not happened yet
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(
    selection: &Selection,
    client: &Client,
    format: Format,
) -> anyhow::Result<Answer> {
    let counted = client.verdicts().await?;
    Ok(if selection.all {
        format.write(&counted, everything)?.into()
    } else {
        format.write(&dropped(counted), drops)?.into()
    })
}

fn dropped(mut list: VerdictList) -> VerdictList {
    list.verdicts.retain(|one| one.action == VerdictAction::Drop);
    list
}

/// What has happened, the most frequent first.
fn drops(list: &VerdictList, style: Style) -> String {
    use Column::{Number, Words};
    let mut seen: Vec<&VerdictCount> = list.verdicts.iter().filter(|one| one.packets > 0).collect();
    if seen.is_empty() {
        return "nothing has been dropped\n".to_owned();
    }
    seen.sort_by_key(|one| std::cmp::Reverse(one.packets));
    let columns = [Number("PACKETS"), Words("REASON"), Words("MEANING")];
    let row = |one: &&VerdictCount| vec![number(one.packets), cell(&one.label), cell(&one.manual)];
    render(style, 0, &columns, seen.iter().map(row))
}

/// Every verdict, in the program's order.
fn everything(list: &VerdictList, style: Style) -> String {
    use Column::{Number, Words};
    let columns = [Number("PACKETS"), Words("ACTION"), Words("VERDICT"), Words("MEANING")];
    let row = |one: &VerdictCount| -> Vec<Cell> {
        let action = match (one.action, one.packets) {
            (VerdictAction::Drop, 1..) => toned(one.action.word(), Tone::Pending),
            _ => cell(one.action.word()),
        };
        vec![number(one.packets), action, cell(&one.label), cell(&one.manual)]
    };
    render(style, 0, &columns, list.verdicts.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use slb_common::Verdict;

    fn list() -> VerdictList {
        let counts = [
            (Verdict::PassNotOurs, 12),
            (Verdict::Transmitted, 123_456),
            (Verdict::DropTruncated, 1),
            (Verdict::DropHairpin, 0),
            (Verdict::DropNoBackend, 987),
        ];
        let counts = counts.map(|(verdict, packets)| VerdictCount::new(verdict, packets));
        VerdictList { verdicts: counts.to_vec() }
    }

    #[test]
    fn drops_that_happened_are_listed_by_number_each_with_its_meaning() {
        let shown = drops(&dropped(list()), Style::Plain);
        let expected = "\
PACKETS  REASON      MEANING
    987  no_backend  No backend is usable: all unhealthy, drained or of the other family.
      1  truncated   A header is cut off by the end of the frame.
";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn no_drops_is_said_in_words() {
        let mut none = dropped(list());
        none.verdicts.iter_mut().for_each(|one| one.packets = 0);
        assert_eq!(drops(&none, Style::Plain), "nothing has been dropped\n");
    }

    #[test]
    fn with_all_every_verdict_has_a_line_also_those_that_never_happened() {
        let shown = everything(&list(), Style::Plain);
        let expected = "\
PACKETS  ACTION   VERDICT      MEANING
     12  pass     not_ours     Neither to a VIP nor from a backend: other traffic of this host.
 123456  forward  transmitted  Rewritten and sent out of the interface it came by.
      1  drop     truncated    A header is cut off by the end of the frame.
      0  drop     hairpin      The backend is the client itself: nat cannot answer it.
    987  drop     no_backend   No backend is usable: all unhealthy, drained or of the other family.
";
        assert_eq!(shown, expected, "\n{shown}");
    }
}
