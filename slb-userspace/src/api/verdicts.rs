//! How packets ended, counted, as the API's JSON says it.

use serde::{Deserialize, Serialize};
use slb_common::{Action, Answer, Verdict};

/// How often packets ended in each way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictList {
    /// Every verdict, in the order of its number.
    pub verdicts: Vec<VerdictCount>,
    /// Every answer to refused packets, in the order of its number.
    pub answers: Vec<AnswerCount>,
}

/// How often the sender of a refused packet was told so in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerCount {
    /// The metric's label.
    pub label: String,
    /// How many, since the tables were made.
    pub packets: u64,
    /// What it says.
    pub manual: String,
}

/// How often packets ended in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictCount {
    /// The metric's label.
    pub label: String,
    /// What became of the packets.
    pub action: VerdictAction,
    /// How many, since the tables were made.
    pub packets: u64,
    /// What it means and what to do about it.
    pub manual: String,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictAction {
    /// Untouched to the network stack.
    Pass,
    /// Rewritten and sent.
    Forward,
    /// Became the answer to itself.
    Answer,
    /// Thrown away.
    Drop,
}

impl VerdictCount {
    /// A verdict of the program and its counter.
    pub fn new(verdict: Verdict, packets: u64) -> Self {
        let action = match verdict.action() {
            Action::Pass => VerdictAction::Pass,
            Action::Forward => VerdictAction::Forward,
            Action::Answer => VerdictAction::Answer,
            Action::Drop | Action::Refuse | Action::HandOver => VerdictAction::Drop,
        };
        let manual = sentence(verdict.manual());
        Self { label: verdict.label().to_owned(), action, packets, manual }
    }
}

impl AnswerCount {
    /// An answer of the program and its counter.
    pub fn new(answer: Answer, packets: u64) -> Self {
        let (label, manual) = (answer.label().to_owned(), sentence(answer.manual()));
        Self { label, packets, manual }
    }
}

/// A manual without the line breaks of the code.
fn sentence(manual: &str) -> String {
    manual.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl VerdictAction {
    /// The word of the JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Forward => "forward",
            Self::Answer => "answer",
            Self::Drop => "drop",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_carries_its_label_its_action_and_its_manual_as_one_clean_sentence() {
        let count = VerdictCount::new(Verdict::DropHairpin, 7);
        assert_eq!(count.label, "hairpin");
        assert_eq!(count.action, VerdictAction::Drop);
        assert_eq!(count.packets, 7);
        assert_eq!(count.manual, "The backend is the client itself: nat cannot answer it.");
    }

    #[test]
    fn words_for_people_are_the_words_of_the_json() {
        for one in [VerdictAction::Pass, VerdictAction::Forward, VerdictAction::Drop] {
            assert_eq!(serde_json::to_value(one).unwrap(), one.word());
        }
    }
}
