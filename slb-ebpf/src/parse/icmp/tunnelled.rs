//! What an error about the outer packet of a tunnel means for the sender of the inner one, who has
//! never heard of a tunnel (RFC 2003 section 4, RFC 2473 section 8).

use super::{v4, v6};
use crate::headers::Icmp;

/// The source route that nobody asked for has failed.
const V4_SOURCE_ROUTE: u8 = 5;
/// The receiver does not know what follows a header: it takes no tunnels.
const V6_NEXT_HEADER: u8 = 1;

/// Every way carries so much (RFC 791, RFC 8200 section 5); who is told less does not believe it.
#[inline(always)]
pub const fn least_mtu<const W: usize>() -> u32 {
    if W == 1 { 68 } else { 1280 }
}

/// What a router has to say about the outer packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is longer than this MTU; 0: the router does not say.
    TooBig(u32),
    /// It does not arrive.
    Unreachable,
}

/// Reads the header of an error about an outer packet; `None`: it says nothing about the inner one.
#[inline(always)]
pub const fn trouble<const W: usize>(header: &Icmp) -> Option<Trouble> {
    let (kind, code, rest) = (header.kind, header.code, u32::from_be(header.rest));
    let unreachable = Some(Trouble::Unreachable);
    if W == 1 {
        return match (kind, code) {
            (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED) => Some(Trouble::TooBig(rest & 0xffff)),
            (v4::UNREACHABLE, v4::PORT | V4_SOURCE_ROUTE) => None,
            // A loop inside the tunnel is none that the client could see.
            (v4::UNREACHABLE, _) | (v4::TIME_EXCEEDED, 0) => unreachable,
            _ => None,
        };
    }
    match (kind, code) {
        (v6::TOO_BIG, _) => Some(Trouble::TooBig(rest)),
        (v6::UNREACHABLE, v6::PORT) => None,
        (v6::UNREACHABLE, _) | (v6::TIME_EXCEEDED, 0) => unreachable,
        (v6::PARAMETER_PROBLEM, V6_NEXT_HEADER) => unreachable,
        _ => None,
    }
}

/// The header of the error about the inner packet, its checksum left out; `overhead` is what the
/// outer header takes.
#[inline(always)]
pub const fn about_inner<const W: usize>(trouble: Trouble, overhead: u32) -> Icmp {
    let (kind, code, mtu) = match (trouble, W) {
        (Trouble::Unreachable, 1) => (v4::UNREACHABLE, v4::HOST, 0),
        (Trouble::Unreachable, _) => (v6::UNREACHABLE, v6::ADDRESS, 0),
        // Who knows of MTUs is told none either.
        (Trouble::TooBig(0), 1) => (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED, 0),
        (Trouble::TooBig(mtu), 1) => {
            (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED, within::<W>(mtu, overhead))
        }
        (Trouble::TooBig(mtu), _) => (v6::TOO_BIG, 0, within::<W>(mtu, overhead)),
    };
    Icmp { kind, code, checksum: 0, rest: mtu.to_be() }
}

/// What is left of an MTU for the inner packet.
#[inline(always)]
const fn within<const W: usize>(mtu: u32, overhead: u32) -> u32 {
    let mtu = mtu.saturating_sub(overhead);
    if mtu < least_mtu::<W>() { least_mtu::<W>() } else { mtu }
}

#[cfg(test)]
mod tests {
    use super::{Trouble::*, *};

    fn header(kind: u8, code: u8, mtu: u32) -> Icmp {
        Icmp { kind, code, checksum: 0, rest: mtu.to_be() }
    }

    #[test]
    fn of_errors_about_an_outer_packet_the_client_is_told_those_that_concern_its_own() {
        for (kind, code, expected) in [
            (3, 0, Some(Unreachable)),
            (3, 1, Some(Unreachable)),
            // No host takes tunnels there; the client has sent none.
            (3, 2, Some(Unreachable)),
            (3, 3, None),
            (3, 4, Some(TooBig(1400))),
            (3, 5, None),
            (3, 13, Some(Unreachable)),
            (11, 0, Some(Unreachable)),
            (11, 1, None),
            (12, 0, None),
        ] {
            // The upper half means something else.
            let header = header(kind, code, 0xff_0000 | 1400);
            assert_eq!(trouble::<1>(&header), expected, "{kind} {code}");
        }
        for (kind, code, expected) in [
            (1, 0, Some(Unreachable)),
            (1, 3, Some(Unreachable)),
            (1, 4, None),
            (2, 0, Some(TooBig(1400))),
            (3, 0, Some(Unreachable)),
            (3, 1, None),
            (4, 0, None),
            (4, 1, Some(Unreachable)),
        ] {
            assert_eq!(trouble::<3>(&header(kind, code, 1400)), expected, "{kind} {code}");
        }
    }

    #[test]
    fn the_outer_header_is_taken_off_the_mtu_but_no_more_than_every_way_carries() {
        let said = |header: Icmp| (header.kind, header.code, u32::from_be(header.rest));
        for (mtu, overhead, v4, v6) in [
            (1400, 20, 1380, 1380),
            (1400, 40, 1360, 1360),
            (1300, 40, 1260, 1280),
            (60, 40, 68, 1280),
            (0, 40, 0, 1280),
            (u32::MAX, 40, u32::MAX - 40, u32::MAX - 40),
        ] {
            assert_eq!(said(about_inner::<1>(TooBig(mtu), overhead)), (3, 4, v4), "{mtu}");
            assert_eq!(said(about_inner::<3>(TooBig(mtu), overhead)), (2, 0, v6), "{mtu}");
        }
        assert_eq!(said(about_inner::<1>(Unreachable, 40)), (3, 1, 0));
        assert_eq!(said(about_inner::<3>(Unreachable, 40)), (1, 3, 0));
    }
}
