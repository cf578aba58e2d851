//! The words of a line that some connections need: what they are tied to, how their segments are
//! translated, and the sequence numbers that have been seen.

/// What an entry holds elsewhere and gives back when it ends.
///
/// Bits: local address 16 | local port 16 | persistence group 16 | its prefix 8 | client prefix 8,
/// the local address highest. The prefixes tell how the keys of template and client are made from
/// the client's address, whatever the service says by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ties(pub u64);

impl Ties {
    /// Tied to nothing.
    pub const NONE: Self = Self(0);

    /// The same, with a place in `LOCALS` and a port as on the wire: full NAT.
    #[inline(always)]
    pub const fn with_local(self, address: u16, port: [u8; 2]) -> Self {
        let local = (address as u64) << 16 | u16::from_ne_bytes(port) as u64;
        Self(self.0 & 0xffff_ffff | local << 32)
    }

    /// The same, with a template.
    #[inline(always)]
    pub const fn with_template(self, group: u16, prefix: u8) -> Self {
        Self(self.0 & !0xffff_ff00 | (group as u64) << 16 | (prefix as u64) << 8)
    }

    /// The same, counted for a client prefix.
    #[inline(always)]
    pub const fn with_client(self, prefix: u8) -> Self {
        Self(self.0 & !0xff | prefix as u64)
    }

    /// Place of the local address in `LOCALS`.
    #[inline(always)]
    pub const fn local_address(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Local port, as on the wire; 0: not full NAT.
    #[inline(always)]
    pub const fn local_port(self) -> [u8; 2] {
        ((self.0 >> 32) as u16).to_ne_bytes()
    }

    /// Group of the template.
    #[inline(always)]
    pub const fn group(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Prefix length of the template; 0: none.
    #[inline(always)]
    pub const fn template_prefix(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Prefix length by which the client is counted; 0: it is not.
    #[inline(always)]
    pub const fn client_prefix(self) -> u8 {
        self.0 as u8
    }
}

/// Marks of an entry, bits of its translation word.
pub mod mark {
    /// Segments of this connection take the rare pipeline: options are added, or sequence numbers
    /// translated.
    pub const RARE: u8 = 1;
    /// The client's address travels in its segments until the backend has sent more than SYN-ACK.
    pub const TOA: u8 = 2;
    /// The handshake with the client was made by cookie; the backend's sequence numbers differ.
    pub const SPLICED: u8 = 4;
    /// The backend's SYN-ACK has not come yet.
    pub const WAITING: u8 = 8;
}

/// How an entry's packets are rewritten.
///
/// Bits: marks 8 | spare 8 | window shift 8 | mode 8 | sequence delta 32, the marks highest. In
/// dr and tunnel the tick of the first packet stands in place of the delta, and what tells the last
/// SYN from others in place of spare bits and window shift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Translation(pub u64);

impl Translation {
    /// The translation of a mode, nothing else.
    #[inline(always)]
    pub const fn of_mode(mode: u8) -> Self {
        Self((mode as u64) << 32)
    }

    /// One of [`crate::service::mode`].
    #[inline(always)]
    pub const fn mode(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// Bits of [`mark`].
    #[inline(always)]
    pub const fn marks(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// The same with other marks.
    #[inline(always)]
    pub const fn with_marks(self, marks: u8) -> Self {
        Self(self.0 & !(0xff << 56) | (marks as u64) << 56)
    }

    /// What is added to the backend's sequence numbers toward the client, host byte order; while
    /// [`mark::WAITING`] is set, the cookie that the client was given.
    #[inline(always)]
    pub const fn delta(self) -> u32 {
        self.0 as u32
    }

    /// How much windows are shifted toward the client: above 0 left, below 0 right.
    #[inline(always)]
    pub const fn window_shift(self) -> i8 {
        (self.0 >> 40) as i8
    }

    /// The same with the tick of the first packet: dr and tunnel, which translate no sequence
    /// numbers, keep it where the delta would be.
    #[inline(always)]
    pub const fn with_opened(self, tick: u32) -> Self {
        self.with_delta(tick, 0)
    }

    /// The same with a SYN of this sequence number as the last one: dr and tunnel. Half of the bits
    /// are kept, which one of 65 536 others has in common with it.
    #[inline(always)]
    pub const fn with_begun(self, sequence: u32) -> Self {
        let begun = (sequence ^ sequence >> 16) as u16;
        Self(self.0 & !(0xffff << 40) | (begun as u64) << 40)
    }

    /// Tick of the first packet, in dr and tunnel.
    #[inline(always)]
    pub const fn opened(self) -> u32 {
        self.delta()
    }

    /// The same with another delta and window shift.
    #[inline(always)]
    pub const fn with_delta(self, delta: u32, window_shift: i8) -> Self {
        let kept = self.0 & !(0xff << 40 | 0xffff_ffff);
        Self(kept | (window_shift as u8 as u64) << 40 | delta as u64)
    }
}

/// Value of the arrays `SEQUENCES4` and `SEQUENCES6`, by line: what the client's segments told,
/// host byte order. Only the client's direction writes it, so that replies do not fetch the line.
///
/// Bits: end of the client's last segment 32 | its acknowledgement number 32, the end highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequences(pub u64);

impl Sequences {
    /// From a segment of the client: the sequence number after it, and what it acknowledges.
    #[inline(always)]
    pub const fn new(end: u32, acknowledged: u32) -> Self {
        Self((end as u64) << 32 | acknowledged as u64)
    }

    /// The client's next sequence number.
    #[inline(always)]
    pub const fn end(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The next sequence number that the client expects of the backend.
    #[inline(always)]
    pub const fn acknowledged(self) -> u32 {
        self.0 as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_give_back_what_they_were_made_of() {
        let ties = Ties::NONE.with_local(9, [1, 2]).with_template(0xabcd, 24).with_client(56);
        assert_eq!((ties.local_address(), ties.local_port()), (9, [1, 2]));
        assert_eq!((ties.group(), ties.template_prefix(), ties.client_prefix()), (0xabcd, 24, 56));
        let other = ties.with_local(0xffff, [0xff; 2]).with_client(1);
        assert_eq!((other.group(), other.template_prefix()), (0xabcd, 24));
    }

    #[test]
    fn a_translation_gives_back_what_it_was_made_of() {
        let translation =
            Translation::of_mode(3).with_marks(0x85).with_delta(0xdead_beef, -7).with_marks(5);
        assert_eq!((translation.mode(), translation.marks()), (3, 5));
        assert_eq!((translation.delta(), translation.window_shift()), (0xdead_beef, -7));
    }

    #[test]
    fn a_translation_tells_one_syn_from_the_next_and_keeps_the_rest() {
        let first = Translation::of_mode(2).with_marks(0x85).with_opened(0xdead_beef);
        for other in [0, 1, 0xffff, 0x0001_0000, 0x8000_0000, u32::MAX - 1] {
            let before = first.with_begun(0x1234_5678);
            assert_ne!(before.with_begun(other), before, "{other:#x}");
            assert_eq!(before.with_begun(other).with_begun(0x1234_5678), before);
            let begun = before.with_begun(other);
            assert_eq!((begun.mode(), begun.marks(), begun.opened()), (2, 0x85, 0xdead_beef));
        }
    }
}
