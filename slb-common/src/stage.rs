//! The programs that a packet may be handed over to, and what is handed over. Each of them begins
//! with a stack of its own: that is what they are split for.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::cookie::Cookie;

macro_rules! stages {
    ($($(#[doc = $doc:literal])+ $name:ident = $program:literal;)+) => {
        /// A program of the object besides the entry, by its place in the map `STAGES`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Stage {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Stage {
            /// Every stage, in the order of its place.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The program's name in the object.
            pub const fn program(self) -> &'static str {
                match self { $(Self::$name => $program),+ }
            }
        }
    };
}

stages! {
    /// The hot path of IPv6.
    Ipv6 = "slb_ipv6";
    /// The pipeline with everything that is rare: fragments, TCP options, translated sequence
    /// numbers, packets whose direction the addresses did not tell.
    Rare = "slb_rare";
    /// The same over IPv6.
    RareIpv6 = "slb_rare_ipv6";
    /// The slow path: a connection's first packet.
    Open = "slb_open";
    /// Answers made from the packet itself: RST, ICMP errors.
    Answer = "slb_answer";
    /// ICMP errors that concern a connection.
    Icmp = "slb_icmp";
    /// SYN cookies and challenges, and the handshakes behind them.
    Cookie = "slb_cookie";
}

/// Places of the map `STAGES`.
pub const STAGES: usize = 16;

/// What one program hands to the next: the value of the per-CPU array `HANDOVER`. Whoever is handed a
/// packet finds here what was written for it, and in the rest what an earlier packet left.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Handover {
    /// One of [`look`].
    pub look: u32,
    /// With [`look::PROVEN`]: the cookie that the client has answered.
    pub proven_by: Cookie,
    /// For [`Stage::Answer`]: number of the verdict that is answered.
    pub verdict: u32,
    /// For [`Stage::Answer`]: the MTU that the packet does not fit, if it is that.
    pub mtu: u32,
    /// For [`Stage::Cookie`]: one of [`cookie_task`].
    pub cookie_task: u32,
    /// With [`cookie_task::ANSWER`]: the MSS to announce, host byte order.
    pub announced_mss: u32,
    /// With [`cookie_task::REPEAT`], `SPLICE`, `ACKNOWLEDGE`: number of the connection's line.
    pub line: u32,
    /// For stages that need more.
    pub spare: [u32; 9],
}

/// Where a packet's connection is looked for.
pub mod look {
    /// By the direction that its addresses suggest.
    pub const FIRST: u32 = 0;
    /// Once more, after the slow path has opened it.
    pub const OPENED: u32 = 1;
    /// As a reply: the client's address only shared a bit with a VIP.
    pub const REPLY: u32 = 2;
    /// Nowhere: the slow path has chosen a backend for this datagram alone.
    pub const CHOSEN: u32 = 3;
    /// By the slow path: the SYN of a connection that has ended, on the same ports.
    pub const ANEW: u32 = 4;
    /// By the slow path: the SYN of a client that has answered a cookie, [`Handover::proven_by`].
    pub const PROVEN: u32 = 5;
}

/// What [`Stage::Cookie`] does with a packet.
pub mod cookie_task {
    /// Answers a SYN by a cookie.
    pub const ANSWER: u32 = 0;
    /// Answers a SYN by a SYN-ACK that its sender must refuse.
    pub const CHALLENGE: u32 = 1;
    /// Looks whether an ACK answers a cookie, and makes the SYN of it.
    pub const PROVE: u32 = 2;
    /// Looks whether a RST answers a challenge, and remembers its sender.
    pub const REMEMBER: u32 = 3;
    /// Makes the SYN of a client's segment once more: its backend has not answered yet.
    pub const REPEAT: u32 = 4;
    /// Makes the ACK of a backend's SYN-ACK that the client waits for, and notes its numbers.
    pub const SPLICE: u32 = 5;
    /// Answers a backend that repeats its SYN-ACK, in place of the client.
    pub const ACKNOWLEDGE: u32 = 6;
}

const _: () = assert!(size_of::<Handover>() == 64 && Stage::ALL.len() <= STAGES);
