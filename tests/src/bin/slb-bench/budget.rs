//! Budgets: how much a packet may cost, as a ratio, so that it holds on any machine.
//!
//! Each figure of the design was given together with that of bare XDP on the same machine. Another
//! machine, or the same one at another hour, has another floor: a budget is kept if a row divided by
//! the floor of the same run stays below the budget divided by the floor it was given with.

use serde_json::{Value, json};

/// Nanoseconds of bare XDP (parse, swap, send back) on the machine of the budgets.
const SWAP_NS: f64 = 6.5;

/// What a row is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Floor {
    /// Parse, swap, send back.
    Swap,
    /// The same after one dependent load from a table as large, one of so many.
    Memory(u32),
}

/// At most so much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Budget {
    /// Nanoseconds on the machine of the budgets; if the floor is 1, a ratio.
    most: f64,
    /// The floor of that machine.
    floor: f64,
}

impl Budget {
    /// A budget that was given beside bare XDP.
    const fn of_swap(most: f64) -> Self {
        Self { most, floor: SWAP_NS }
    }

    /// The ratio that a row may have.
    pub(crate) fn ratio(self) -> f64 {
        self.most / self.floor
    }

    /// The figure that it was given as.
    pub(crate) const fn most(self) -> f64 {
        self.most
    }
}

/// Memory-bound floors on the machine of the budgets, nanoseconds. Of a single load none is recorded;
/// of the table's lookup there is, added to a packet: 33–43, 141–150 and 200 for so many flows, 180
/// for a million over IPv6, and 6 for one flow, which misses no cache. A lookup reads more lines than
/// one now and then, so these floors are rather too high and the ratios allowed rather too small.
mod memory {
    use super::SWAP_NS;

    const HOT: f64 = 6.0;
    /// One of 65 536 flows in a table for a million connections.
    pub(super) const MANY: f64 = SWAP_NS + 38.0 - HOT;
    /// One of a million.
    pub(super) const MILLION: f64 = SWAP_NS + 145.0 - HOT;
    /// One of ten million, in a table for as many.
    pub(super) const TEN_MILLION: f64 = SWAP_NS + 200.0 - HOT;
    /// One of a million in a table for a million connections over IPv6.
    pub(super) const MILLION_V6: f64 = SWAP_NS + 180.0 - HOT;
}

/// Other traffic passes.
pub(crate) const PASS: Budget = Budget::of_swap(15.0);
/// A packet of the only connection, IPv4.
pub(crate) const ONE_FLOW: Budget = Budget::of_swap(30.0);
/// One of 65 536 connections at random.
pub(crate) const MANY_FLOWS: Budget = Budget { most: 75.0, floor: memory::MANY };
/// One of a million.
pub(crate) const MILLION_FLOWS: Budget = Budget { most: 190.0, floor: memory::MILLION };
/// One of ten million.
pub(crate) const TEN_MILLION_FLOWS: Budget = Budget { most: 240.0, floor: memory::TEN_MILLION };
/// One of a million over IPv6.
pub(crate) const MILLION_FLOWS_V6: Budget = Budget { most: 230.0, floor: memory::MILLION_V6 };
/// A reply of full NAT, one of a million connections.
pub(crate) const FULL_NAT_REPLY: Budget = Budget { most: 330.0, floor: memory::MILLION };
/// A connection's first packet, half of the table's places taken.
pub(crate) const OPEN: Budget = Budget { most: 350.0, floor: memory::MILLION };
/// A SYN that is answered by a cookie.
pub(crate) const COOKIE: Budget = Budget::of_swap(100.0);
/// Both directions of nat, each on a processor of its own.
pub(crate) const TWO_PROCESSORS: Budget = Budget { most: 1.3, floor: 1.0 };

/// Instructions of a packet in nat and dr, from the kernel's generator to a counter. Not divided by a
/// floor: they do not depend on the machine.
pub(crate) const PKTGEN_INSTRUCTIONS: f64 = 7100.0;

/// A row's figure beside its floor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judged {
    /// The row without what the wrapper costs.
    pub(crate) net: f64,
    /// The floor of the same run.
    pub(crate) floor: f64,
    /// What it may cost at most, if that was said.
    pub(crate) budget: Option<Budget>,
}

impl Judged {
    pub(crate) fn ratio(&self) -> f64 {
        self.net / self.floor
    }

    /// How much of the budget is used: above 1 it is exceeded.
    pub(crate) fn used(&self) -> Option<f64> {
        Some(self.ratio() / self.budget?.ratio())
    }

    /// True if it exceeds its budget, or could not be measured.
    pub(crate) fn over(&self) -> bool {
        self.used().is_some_and(|used| !used.is_finite() || used > 1.0)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "net_ns": self.net,
            "floor_ns": self.floor,
            "ratio": self.ratio(),
            "budget": self.budget.map(Budget::most),
            "budget_ratio": self.budget.map(Budget::ratio),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(net: f64, floor: f64, budget: Budget) -> Judged {
        Judged { net, floor, budget: Some(budget) }
    }

    #[test]
    fn a_budget_goes_with_the_machine_s_floor() {
        assert!(!judged(30.0, 6.5, ONE_FLOW).over());
        assert!(judged(30.1, 6.5, ONE_FLOW).over());
        // A machine that is twice as slow.
        assert!(!judged(60.0, 13.0, ONE_FLOW).over());
        // One that is twice as fast has to be as good.
        assert!(judged(30.0, 3.25, ONE_FLOW).over());
    }

    #[test]
    fn a_row_without_a_budget_is_never_over_it_and_one_without_a_figure_always() {
        assert!(!Judged { net: 1e9, floor: 1.0, budget: None }.over());
        assert!(judged(f64::NAN, 6.5, PASS).over());
        assert!(judged(10.0, 0.0, PASS).over());
    }

    #[test]
    fn what_is_used_of_a_budget_is_the_ratio_of_both_ratios() {
        let used = judged(45.0, 6.5, ONE_FLOW).used().unwrap();
        assert!((used - 1.5).abs() < 1e-9, "{used}");
        let used = judged(26.0, 20.0, TWO_PROCESSORS).used().unwrap();
        assert!((used - 1.0).abs() < 1e-9, "{used}");
    }
}
