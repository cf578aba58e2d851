//! What the sender of a refused packet is told. One list, like the verdicts': the number is the
//! index of the counter, the label is the metric's and the command line's, the comment the manual.

macro_rules! answers {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal;)+) => {
        /// An answer that the program made, or kept to itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Answer {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Answer {
            /// Every answer, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            /// How many there are: the length of the counters' map.
            pub const COUNT: usize = Self::ALL.len();

            /// The counter's index.
            pub const fn index(self) -> u32 {
                self as u32
            }

            /// Metric label and name on the command line.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }

            /// The manual.
            pub const fn manual(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),+ }
            }

            /// True if something was sent.
            pub const fn sent(self) -> bool {
                !matches!(self, Self::Suppressed)
            }
        }
    };
}

answers! {
    /// A RST, to a TCP segment without connection or backend.
    Reset = "reset";
    /// ICMP port unreachable, to a datagram without backend.
    Unreachable = "unreachable";
    /// ICMP time exceeded, to a packet whose TTL or hop limit ran out here.
    TimeExceeded = "time_exceeded";
    /// ICMP fragmentation needed or packet too big, to a packet that does not fit its way.
    TooBig = "too_big";
    /// An answer that was due but not sent: too many in this second on this processor.
    Suppressed = "suppressed";
}

/// ICMP errors in a second, on each processor (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 f).
pub const ICMP_RATE: u32 = 1000;
/// RSTs in a second, on each processor: as many clients learn at once that nobody is there.
pub const RESET_RATE: u32 = 10_000;
/// What of a second's answers may be sent at once: one part of so many.
pub const BURST_PARTS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_order_of_the_list() {
        for (number, answer) in Answer::ALL.iter().enumerate() {
            assert_eq!(answer.index() as usize, number);
        }
    }

    #[test]
    fn labels_are_unique() {
        for (number, answer) in Answer::ALL.iter().enumerate() {
            assert!(Answer::ALL[..number].iter().all(|other| other.label() != answer.label()));
        }
    }
}
