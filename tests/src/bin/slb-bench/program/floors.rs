//! What rows are compared with, measured in the same rounds.

use super::scene::{Measured, Path};
use crate::{
    budget::{Floor, Judged},
    report::Row,
};

/// The floors of a list of rows.
pub(crate) struct Floors {
    /// For each program that varies packets: its packets' floor, first without it, then behind it.
    pairs: Vec<(Measured, Measured)>,
    /// By how many places a load may go to.
    memory: Vec<(u32, Measured)>,
}

impl Floors {
    /// Those that these rows need.
    pub(crate) fn of(list: &[Measured]) -> Self {
        let mut floors = Self { pairs: Vec::new(), memory: Vec::new() };
        for measured in list.iter().filter(|measured| compared(measured.path)) {
            let stream = &measured.stream;
            let known = |(alone, _): &(Measured, _)| alone.stream.program == stream.program;
            if !floors.pairs.iter().any(known) {
                let name = stream.program.replace('_', " ");
                let floor = |what: &str, path| {
                    Measured::own(&format!("floor, {name}: {what}"), path, stream.clone())
                };
                floors.pairs.push((
                    floor("swap", Path::Alone("swap")),
                    floor("swap, packets varied", Path::Varied("swap")),
                ));
            }
            if let Floor::Memory(flows) = measured.floor
                && !floors.memory.iter().any(|(known, _)| *known == flows)
            {
                let mut stream = stream.clone();
                stream.template.flows = flows;
                let what = format!("floor: swap after a load, one of {}", grouped(flows));
                let path = Path::Alone("swap_after_load");
                floors.memory.push((flows, Measured::own(&what, path, stream)));
            }
        }
        floors
    }

    /// All of them, to be measured.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut Measured> {
        let pairs = self.pairs.iter_mut().flat_map(|(alone, varied)| [alone, varied]);
        pairs.chain(self.memory.iter_mut().map(|(_, measured)| measured))
    }

    /// The floors as rows.
    pub(crate) fn into_rows(self) -> impl Iterator<Item = Row> {
        let pairs = self.pairs.into_iter().flat_map(|(alone, varied)| [alone, varied]);
        pairs.chain(self.memory.into_iter().map(|(_, measured)| measured)).map(|floor| floor.row)
    }

    /// A row without what varying its packets costs, beside its floor.
    pub(crate) fn judge(&self, measured: &Measured) -> Option<Judged> {
        if !compared(measured.path) {
            return None;
        }
        let program = measured.stream.program;
        let (alone, varied) =
            self.pairs.iter().find(|(alone, _)| alone.stream.program == program)?;
        let (alone, varied) = (alone.row.median(), varied.row.median());
        let varying = if measured.path == Path::Constant { 0.0 } else { varied - alone };
        let floor = match measured.floor {
            Floor::Memory(flows) => {
                let (_, floor) = self.memory.iter().find(|(known, _)| *known == flows)?;
                floor.row.median()
            }
            Floor::Swap => alone,
        };
        Some(Judged { net: measured.row.median() - varying, floor, budget: measured.budget })
    }
}

/// A floor is compared with nothing.
const fn compared(path: Path) -> bool {
    !matches!(path, Path::Alone(_))
}

/// A number for people.
pub(crate) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut words = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            words.push(' ');
        }
        words.push(digit);
    }
    words
}

#[cfg(test)]
mod tests {
    use slb_tests::packets::{Packet, flags};

    use super::*;
    use crate::stream::{End, Stream, Stretch};

    fn measured(path: Path, rounds: &[f64]) -> Measured {
        let [source, destination] =
            ["10.0.0.1:4000", "203.0.113.1:80"].map(|end| end.parse().unwrap());
        let packet = Packet { payload: vec![0; 6], ..Packet::tcp(source, destination, flags::ACK) };
        let stream = Stream::new(&packet, End::Client, Stretch { first: 0, flows: 1 });
        let mut measured = Measured::own("row", path, stream);
        measured.row.rounds = rounds.to_vec();
        measured
    }

    #[test]
    fn what_varying_costs_on_the_bare_program_is_taken_off() {
        let row = measured(Path::Balanced, &[50.0]);
        let row = row.beside(Floor::Memory(1000), None);
        let mut floors = Floors::of(std::slice::from_ref(&row));
        for (floor, ns) in floors.all().zip([10.0, 18.0, 30.0]) {
            floor.row.rounds.push(ns);
        }
        let judged = floors.judge(&row).unwrap();
        assert_eq!((judged.net, judged.floor), (42.0, 30.0));
        let constant = measured(Path::Constant, &[50.0]);
        let judged = floors.judge(&constant).unwrap();
        assert_eq!((judged.net, judged.floor), (50.0, 10.0));
        assert!(floors.judge(&measured(Path::Alone("swap"), &[1.0])).is_none());
    }

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        let words = [1, 999, 1000, 65_536, 1_000_000].map(grouped);
        assert_eq!(words, ["1", "999", "1 000", "65 536", "1 000 000"]);
    }
}
