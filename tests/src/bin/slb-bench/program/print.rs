//! The tables of `bench program`.

use super::scene::Outcome;
use crate::report::Before;

/// Shows what was measured in a scene.
pub(super) fn scene(name: &str, outcomes: &[Outcome], before: &Before) {
    println!(
        "\n{name}\n{:<58} {:>7} {:>7} {:>7} {:>7} {:>6} {:>7} {:>6}",
        "ns per packet", "least", "median", "net", "floor", "ratio", "budget", "before"
    );
    for Outcome { row, judged } in outcomes {
        print!("  {:<56} {:>7.1} {:>7.1}", row.what, row.least(), row.median());
        match judged {
            None => print!(" {:>7} {:>7} {:>6} {:>7}", "", "", "", ""),
            Some(judged) => print!(
                " {:>7.1} {:>7.1} {:>6.2} {:>7}",
                judged.net,
                judged.floor,
                judged.ratio(),
                judged.budget.map_or_else(String::new, |budget| format!("{:.2}", budget.ratio()))
            ),
        }
        let over = judged.is_some_and(|judged| judged.over());
        let since = before.ratio(&row.what, row.median());
        println!(" {since:>6}{}", if over { "  OVER" } else { "" });
    }
}

/// Shows how much of each budget is used; true if one is exceeded.
pub(super) fn budgets(outcomes: &[Outcome]) -> bool {
    println!(
        "\nnet: without what varying the packet costs; floor: bare parse, swap, send, for random \
         flows with one\ndependent load; ratio: net / floor; budget: the ratio that is allowed; \
         before: median / stored median\n"
    );
    let mut over = false;
    for Outcome { row, judged } in outcomes {
        let Some((judged, used)) = judged.and_then(|judged| Some((judged, judged.used()?))) else {
            continue;
        };
        let verdict = if judged.over() { "OVER" } else { "ok" };
        println!("{:<58} {:>4.0} % of its budget  {verdict}", row.what, used * 100.0);
        over |= judged.over();
    }
    over
}
