//! `slb drops`: why packets were dropped and what their senders were told; with `--all` how all
//! packets ended.

use clap::Args;
use comfy_table::Cell;

use super::{
    Answer, Format,
    table::{Column, Style, Tone, cell, number, render, toned},
};
use crate::api::{AnswerCount, Client, VerdictAction, VerdictCount, VerdictList};

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
    let answered = list.answers.iter().filter(|one| one.packets > 0);
    seen.sort_by_key(|one| std::cmp::Reverse(one.packets));
    let columns = [Number("PACKETS"), Words("REASON"), Words("MEANING")];
    let row = |one: &&VerdictCount| vec![number(one.packets), cell(&one.label), cell(&one.manual)];
    let mut text = render(style, 0, &columns, seen.iter().map(row));
    text.push_str(&answers(answered, style));
    text
}

/// What senders were told, below what became of their packets; nothing if there is nothing.
fn answers<'a>(shown: impl Iterator<Item = &'a AnswerCount>, style: Style) -> String {
    use Column::{Number, Words};
    let columns = [Number("ANSWERS"), Words("ANSWER"), Words("MEANING")];
    let row = |one: &AnswerCount| vec![number(one.packets), cell(&one.label), cell(&one.manual)];
    let mut rows = shown.map(row).peekable();
    if rows.peek().is_none() {
        return String::new();
    }
    format!("\n{}", render(style, 0, &columns, rows))
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
    let mut text = render(style, 0, &columns, list.verdicts.iter().map(row));
    text.push_str(&answers(list.answers.iter(), style));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use slb_common::{Answer, Verdict};

    fn list() -> VerdictList {
        let counts = [
            (Verdict::PassNotOurs, 12),
            (Verdict::Transmitted, 123_456),
            (Verdict::DropTruncated, 1),
            (Verdict::DropHairpin, 0),
            (Verdict::DropNoBackend, 987),
        ];
        let counts = counts.map(|(verdict, packets)| VerdictCount::new(verdict, packets));
        let answers = [(Answer::Reset, 901), (Answer::Unreachable, 0), (Answer::Suppressed, 86)];
        let answers = answers.map(|(answer, packets)| AnswerCount::new(answer, packets));
        VerdictList { verdicts: counts.to_vec(), answers: answers.to_vec() }
    }

    #[test]
    fn drops_that_happened_are_listed_by_number_each_with_its_meaning() {
        let shown = drops(&dropped(list()), Style::Plain);
        let expected = "\
PACKETS  REASON      MEANING
    987  no_backend  No backend is usable: all unhealthy, drained or of the other family.
      1  truncated   A header is cut off by the end of the frame.

ANSWERS  ANSWER      MEANING
    901  reset       A RST, to a TCP segment without connection or backend.
     86  suppressed  An answer that was due but not sent: too many in this second on this processor.
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

ANSWERS  ANSWER       MEANING
    901  reset        A RST, to a TCP segment without connection or backend.
      0  unreachable  ICMP port unreachable, to a datagram without backend.
     86  suppressed   An answer that was due but not sent: too many in this second on this processor.
";
        assert_eq!(shown, expected, "\n{shown}");
    }
}
