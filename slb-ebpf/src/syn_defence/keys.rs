//! What proves a cookie: a keyed hash of who asks whom with which number, under a key that changes
//! ([`slb_common::cookie`]).

use slb_common::cookie::{Cookie, Key, Offer, sip};

use crate::{maps::COOKIE_KEYS, parse::Packet};

/// Of the last word that is hashed: a challenge, which carries no number of the client.
const CHALLENGE: u64 = 1 << 63;

/// Which key makes cookies now.
#[inline(always)]
fn current() -> Option<u32> {
    let keys = COOKIE_KEYS.get_ptr(0)?;
    // SAFETY: the map gave the pointer.
    Some(unsafe { (&raw const (*keys).current).read_volatile() } as u32 & 1)
}

/// One of the keys.
#[inline(always)]
fn key(number: u32) -> Option<Key> {
    let keys = COOKIE_KEYS.get_ptr(0)?;
    // SAFETY: as above. A key that is being replaced proves nothing, for one packet.
    unsafe {
        let place =
            if number == 0 { &raw const (*keys).keys[0] } else { &raw const (*keys).keys[1] };
        Some(place.read_volatile())
    }
}

/// The cookie for a client's SYN of number `sequence`.
#[inline(always)]
pub fn make<const W: usize>(packet: &Packet<W>, sequence: u32, offer: Offer) -> Option<Cookie> {
    made_by(current()?, packet, sequence, offer)
}

/// True if a cookie is the one for this client's SYN.
#[inline(always)]
pub fn proves<const W: usize>(packet: &Packet<W>, sequence: u32, cookie: Cookie) -> bool {
    made_by(cookie.key(), packet, sequence, cookie.offer()) == Some(cookie)
}

/// The cookie that one of the keys makes.
#[inline(always)]
fn made_by<const W: usize>(
    number: u32,
    packet: &Packet<W>,
    sequence: u32,
    offer: Offer,
) -> Option<Cookie> {
    let bare = Cookie::new(0, offer, number);
    let said = u64::from(sequence) << 8 | u64::from(bare.0);
    Some(Cookie::new(mac(packet, key(number)?, said), offer, number))
}

/// The number that a client's SYN is challenged by.
#[inline(always)]
pub fn challenge<const W: usize>(packet: &Packet<W>) -> Option<u32> {
    challenged_by(current()?, packet)
}

/// True if it is the number that this client was challenged by.
#[inline(always)]
pub fn passes<const W: usize>(packet: &Packet<W>, number: u32) -> bool {
    challenged_by(number & 1, packet) == Some(number)
}

/// The challenge that one of the keys makes.
#[inline(always)]
fn challenged_by<const W: usize>(number: u32, packet: &Packet<W>) -> Option<u32> {
    Some(mac(packet, key(number)?, CHALLENGE) & !1 | number)
}

/// The hash of both endpoints of a client's segment, and what it says; on a stack frame of its own.
#[inline(never)]
fn mac<const W: usize>(packet: &Packet<W>, key: Key, said: u64) -> u32 {
    let (client, vip) = (&packet.source, &packet.destination);
    let sum = match W {
        1 => sip(key, &[client[0], vip[0], said]),
        _ => sip(
            key,
            &[client[0], client[1 % W], client[2 % W], vip[0], vip[1 % W], vip[2 % W], said],
        ),
    };
    (sum >> 32) as u32
}
