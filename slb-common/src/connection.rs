//! One connection, one line of the table: its words, its control word, its states.
//!
//! A line is 8 words (64 bytes, one cache line) for IPv4 and 16 for IPv6. `W` is the number of
//! words of an endpoint, 1 or 3, and stands for the family everywhere:
//!
//! ```text
//! word      what                                                   written
//! 0         control: tag 32 | generation 24 | flags 4 | state 4    compare-and-swap only
//! 1 … W     client: address, port 16, protocol 16                  once per generation
//! 1+W …     vip: address, port 16, service 16                      once per generation
//! 1+2W …    backend: address, port 16, next hop to the client 16   address and port once
//! 1+3W      last seen 32 | backend slot 24 | slot generation 8     last seen: when it changes
//! 2+3W      local address 16 | local port 16 | persistence 32      for full NAT, persistence
//! 3+3W      sequence delta 32 | window shift 5                     for the SYN proxy
//! last      bucket word, in way 0 only: version 60 | reach 3 | lock 1
//! ```
//!
//! Four lines are a bucket. An endpoint's last word holds its port in bits 32–47 as it is on the
//! wire and 16 bits of something else above; an IPv4 address lies in the low 32 bits.

use crate::service::Timeouts;

/// Lines of a bucket.
pub const WAYS: u32 = 4;
/// Buckets that may hold a connection.
pub const BUCKETS_PER_CLIENT: u32 = 8;
/// Buckets that are always looked at; the others only as far as the primary bucket's reach says.
pub const BUCKETS_ALWAYS: u32 = 2;
/// Entries of one client endpoint at most, of the 32 places that it hashes to.
pub const ENTRIES_PER_CLIENT: u32 = 24;

/// Words of a line.
pub const fn line_words<const W: usize>() -> usize {
    if W == 1 { 8 } else { 16 }
}

/// Words of a bucket of IPv4 lines.
pub const BUCKET_WORDS_V4: usize = line_words::<1>() * WAYS as usize;
/// Words of a bucket of IPv6 lines.
pub const BUCKET_WORDS_V6: usize = line_words::<3>() * WAYS as usize;

/// Offsets in words of what a line holds.
pub mod offset {
    /// Control word.
    pub const CONTROL: usize = 0;
    /// Client endpoint.
    pub const CLIENT: usize = 1;

    /// VIP endpoint.
    pub const fn vip<const W: usize>() -> usize {
        1 + W
    }

    /// Backend endpoint.
    pub const fn backend<const W: usize>() -> usize {
        1 + 2 * W
    }

    /// Last seen and backend slot.
    pub const fn seen<const W: usize>() -> usize {
        1 + 3 * W
    }

    /// The bucket's word, if the line is the bucket's first.
    pub const fn bucket_word<const W: usize>() -> usize {
        super::line_words::<W>() - 1
    }
}

/// Words of an endpoint for its last word's upper 16 bits.
pub const EXTRA_SHIFT: u32 = 48;
/// Place of the port in an endpoint's last word.
pub const PORT_SHIFT: u32 = 32;

/// Words of an IPv4 address.
#[inline(always)]
pub const fn v4_words(address: [u8; 4]) -> [u64; 2] {
    [u32::from_ne_bytes(address) as u64, 0]
}

/// Words of an IPv6 address.
#[inline(always)]
pub const fn v6_words(address: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = address;
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes(rest)]
}

/// Builds an endpoint from an address's words, a port as on the wire and 16 bits of something.
#[inline(always)]
pub const fn endpoint<const W: usize>(address: [u64; 2], port: [u8; 2], extra: u16) -> [u64; W] {
    let mut words = [0; W];
    let last = (u16::from_ne_bytes(port) as u64) << PORT_SHIFT | (extra as u64) << EXTRA_SHIFT;
    if W == 1 {
        words[0] = address[0] | last;
    } else {
        words[0] = address[0];
        words[1] = address[1];
        words[W - 1] = last;
    }
    words
}

/// The address of an endpoint, as words.
#[inline(always)]
pub const fn endpoint_address<const W: usize>(words: &[u64; W]) -> [u64; 2] {
    if W == 1 { [words[0] & 0xffff_ffff, 0] } else { [words[0], words[1]] }
}

/// The port of an endpoint, as on the wire.
#[inline(always)]
pub const fn endpoint_port<const W: usize>(words: &[u64; W]) -> [u8; 2] {
    ((words[W - 1] >> PORT_SHIFT) as u16).to_ne_bytes()
}

/// The upper 16 bits of an endpoint's last word.
#[inline(always)]
pub const fn endpoint_extra<const W: usize>(words: &[u64; W]) -> u16 {
    (words[W - 1] >> EXTRA_SHIFT) as u16
}

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
}

/// Which gauge counts an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No live entry.
    None,
    /// Established TCP, answered UDP.
    Active,
    /// Handshake, closing, unanswered UDP.
    Inactive,
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
            _ => Class::Inactive,
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

/// Nanoseconds of a tick, as a shift: 2²⁸ ns, about 268 ms.
pub const TICK_SHIFT: u32 = 28;

/// Ticks that cover `seconds`: never less than asked.
pub const fn ticks(seconds: u64) -> u32 {
    ((seconds * 1_000_000_000 + (1 << TICK_SHIFT) - 1) >> TICK_SHIFT) as u32
}

/// How long an entry stays after a RST: time for what is still on the way.
pub const CLOSED_TIMEOUT: u32 = ticks(10);

impl Timeouts {
    /// Idle times in ticks: established (TCP, and UDP), handshake, one FIN seen, both seen.
    pub const fn new(established: u32, syn: u32, fin: u32, time_wait: u32) -> Self {
        let mut by_state = [established; 16];
        by_state[state::SYN as usize] = syn;
        by_state[state::FIN as usize] = fin;
        by_state[state::TIME_WAIT as usize] = time_wait;
        by_state[state::CLOSED as usize] = CLOSED_TIMEOUT;
        Self { by_state }
    }

    /// Ticks without a packet after which an entry in this state is gone.
    #[inline(always)]
    pub const fn of(&self, state: u8) -> u32 {
        self.by_state[(state & 0xf) as usize]
    }
}

/// True if nothing has been seen for longer than `timeout`. Ticks wrap after 36 years.
#[inline(always)]
pub const fn expired(seen: Seen, now: u32, timeout: u32) -> bool {
    let idle = now.wrapping_sub(seen.tick());
    // A packet on another processor may carry a tick that is ahead of `now`: not idle at all.
    idle > timeout && idle < 1 << 31
}

/// One entry of the request that the daemon hands to the program `table_batch`.
pub mod batch {
    use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

    /// End the entry if it has expired.
    pub const EXPIRE: u16 = 0;
    /// End the entry.
    pub const CUT: u16 = 1;
    /// Lower the reach of a bucket: `slot` is the bucket, `value` the new reach.
    pub const LOWER_REACH: u16 = 2;

    /// Operations of one request.
    pub const LENGTH: usize = 64;
    /// Bytes before the first operation: a frame of a test run must hold an Ethernet header.
    pub const HEADER: usize = 16;

    /// An operation on the table, done only if the word is still the expected one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    pub struct Operation {
        /// Line (bucket × 4 + way), or the bucket for [`LOWER_REACH`].
        pub slot: u32,
        /// 4 or 6.
        pub family: u16,
        /// [`EXPIRE`], [`CUT`] or [`LOWER_REACH`].
        pub kind: u16,
        /// Control word, or bucket word, that the daemon has seen.
        pub expected: u64,
        /// New reach.
        pub value: u64,
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
    fn an_endpoint_gives_back_address_port_and_extra() {
        let v4 = v4_words([10, 0, 0, 1]);
        let words: [u64; 1] = endpoint(v4, 8080_u16.to_be_bytes(), 17);
        assert_eq!(endpoint_address(&words), v4);
        assert_eq!(endpoint_port(&words), 8080_u16.to_be_bytes());
        assert_eq!(endpoint_extra(&words), 17);
        let v6 = v6_words([0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        let words: [u64; 3] = endpoint(v6, 443_u16.to_be_bytes(), 0xffff);
        assert_eq!(endpoint_address(&words), v6);
        assert_eq!(endpoint_port(&words), 443_u16.to_be_bytes());
        assert_eq!(endpoint_extra(&words), 0xffff);
    }

    #[test]
    fn ticks_never_cover_less_than_the_seconds_asked_for() {
        for seconds in [1, 2, 30, 60, 90, 900, 3600] {
            let nanoseconds = u64::from(ticks(seconds)) << TICK_SHIFT;
            assert!(nanoseconds >= seconds * 1_000_000_000);
            assert!(nanoseconds < seconds * 1_000_000_000 + (1 << TICK_SHIFT));
        }
    }

    #[test]
    fn an_entry_seen_in_a_later_tick_than_now_is_not_expired() {
        assert!(!expired(Seen::new(100, 0, 0), 99, 1));
        assert!(!expired(Seen::new(100, 0, 0), 101, 1));
        assert!(expired(Seen::new(100, 0, 0), 102, 1));
        assert!(expired(Seen::new(u32::MAX, 0, 0), 5, 3));
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
