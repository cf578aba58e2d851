//! The words of a line that change: control, last sight, and the word that guards a bucket.

/// States of an entry, the low 4 bits of its control word.
pub mod state {
    /// Nothing is here.
    pub const FREE: u8 = 0;
    /// A program is filling it in.
    pub const CLAIMED: u8 = 1;
    /// TCP, SYN received.
    pub const SYN: u8 = 2;
    /// TCP, handshake complete.
    pub const ESTABLISHED: u8 = 3;
    /// TCP, one side has sent FIN.
    pub const FIN: u8 = 4;
    /// TCP, both sides have.
    pub const TIME_WAIT: u8 = 5;
    /// TCP, one side has sent RST.
    pub const CLOSED: u8 = 6;
    /// UDP, no reply yet.
    pub const UDP_NEW: u8 = 7;
    /// UDP, answered.
    pub const UDP_SEEN: u8 = 8;

    /// The name that people read.
    pub const fn name(state: u8) -> &'static str {
        match state {
            FREE => "free",
            CLAIMED => "claimed",
            SYN => "syn-received",
            ESTABLISHED => "established",
            FIN => "fin-wait",
            TIME_WAIT => "time-wait",
            CLOSED => "closed",
            UDP_NEW => "udp-unreplied",
            UDP_SEEN => "udp",
            _ => "unknown",
        }
    }
}

/// Flags of an entry, bits 4–7 of its control word.
pub mod flag {
    /// The client has sent FIN.
    pub const CLIENT_FIN: u8 = 1;
    /// The backend has sent FIN.
    pub const BACKEND_FIN: u8 = 2;
    /// The backend has answered the SYN.
    pub const ANSWERED: u8 = 4;
    /// UDP in dr and tunnel, whose replies nobody sees: packets of the client, as far as they are
    /// counted.
    pub const COUNT: u8 = 3;
}

/// Which gauge counts an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No live entry.
    None,
    /// Established TCP, answered UDP.
    Active,
    /// Handshake, unanswered UDP.
    Opening,
    /// Closing.
    Closing,
}

impl Class {
    /// True for the entries that limits of connections count.
    #[inline(always)]
    pub const fn limited(self) -> bool {
        matches!(self, Self::Active | Self::Opening)
    }
}

/// An entry's control word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control(pub u64);

impl Control {
    /// Puts a control word together; only the low 24 bits of `generation` count.
    #[inline(always)]
    pub const fn new(tag: u32, generation: u32, flags: u8, state: u8) -> Self {
        Self(
            (tag as u64) << 32
                | (generation as u64 & 0xff_ffff) << 8
                | (flags as u64 & 0xf) << 4
                | (state as u64 & 0xf),
        )
    }

    /// Part of the hash that finds it.
    #[inline(always)]
    pub const fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// How often the place has been taken, modulo 2²⁴.
    #[inline(always)]
    pub const fn generation(self) -> u32 {
        (self.0 >> 8) as u32 & 0xff_ffff
    }

    /// Bits of [`flag`].
    #[inline(always)]
    pub const fn flags(self) -> u8 {
        (self.0 >> 4) as u8 & 0xf
    }

    /// One of [`state`].
    #[inline(always)]
    pub const fn state(self) -> u8 {
        self.0 as u8 & 0xf
    }

    /// The same entry in another state.
    #[inline(always)]
    pub const fn with(self, flags: u8, state: u8) -> Self {
        Self(self.0 & !0xff | (flags as u64 & 0xf) << 4 | (state as u64 & 0xf))
    }

    /// True if it stands for a connection, expired or not.
    #[inline(always)]
    pub const fn live(self) -> bool {
        self.state() > state::CLAIMED
    }

    /// The gauge that counts it.
    #[inline(always)]
    pub const fn class(self) -> Class {
        match self.state() {
            state::FREE | state::CLAIMED => Class::None,
            state::ESTABLISHED | state::UDP_SEEN => Class::Active,
            state::SYN | state::UDP_NEW => Class::Opening,
            _ => Class::Closing,
        }
    }
}

/// The word of last sight and backend slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(pub u64);

impl Seen {
    /// Puts it together; only the low 24 bits of `slot` count.
    #[inline(always)]
    pub const fn new(tick: u32, slot: u32, generation: u8) -> Self {
        Self(tick as u64 | (slot as u64 & 0xff_ffff) << 32 | (generation as u64) << 56)
    }

    /// Tick of the last packet.
    #[inline(always)]
    pub const fn tick(self) -> u32 {
        self.0 as u32
    }

    /// Backend slot.
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        (self.0 >> 32) as u32 & 0xff_ffff
    }

    /// Generation of the slot when the connection was opened.
    #[inline(always)]
    pub const fn generation(self) -> u8 {
        (self.0 >> 56) as u8
    }
}

/// The word that guards the inserts of a bucket: version 60 | reach 3 | lock 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketWord(pub u64);

impl BucketWord {
    /// True while somebody inserts.
    #[inline(always)]
    pub const fn locked(self) -> bool {
        self.0 & 1 != 0
    }

    /// Buckets past [`BUCKETS_ALWAYS`] that may hold an entry whose primary bucket is this one.
    #[inline(always)]
    pub const fn reach(self) -> u32 {
        (self.0 >> 1) as u32 & 7
    }

    /// The same word, locked.
    #[inline(always)]
    pub const fn lock(self) -> Self {
        Self(self.0 | 1)
    }

    /// The same word with another reach.
    #[inline(always)]
    pub const fn with_reach(self, reach: u32) -> Self {
        Self(self.0 & !0xe | (reach as u64 & 7) << 1)
    }

    /// Unlocked, one version on.
    #[inline(always)]
    pub const fn release(self) -> Self {
        Self((self.0 & !1).wrapping_add(16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_word_gives_back_what_it_was_made_of() {
        let control = Control::new(0xdead_beef, 0xab_cdef, 0xa, state::FIN);
        assert_eq!(control.tag(), 0xdead_beef);
        assert_eq!(control.generation(), 0xab_cdef);
        assert_eq!((control.flags(), control.state()), (0xa, state::FIN));
        let other = control.with(1, state::TIME_WAIT);
        assert_eq!((other.tag(), other.generation()), (control.tag(), control.generation()));
        assert_eq!((other.flags(), other.state()), (1, state::TIME_WAIT));
    }

    #[test]
    fn releasing_a_bucket_word_changes_the_version_and_keeps_the_reach() {
        let word = BucketWord(0).with_reach(5).lock();
        assert!(word.locked());
        let free = word.release();
        assert!(!free.locked());
        assert_eq!(free.reach(), 5);
        assert_ne!(free, BucketWord(0).with_reach(5));
    }
}
