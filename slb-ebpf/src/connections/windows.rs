//! Which segments may be believed, by the sequence numbers that the client's direction has told. A
//! forged segment outside the windows changes nothing here (RFC 5961); the endpoints judge it for
//! themselves, as it is forwarded all the same.

use slb_common::connection::Sequences;

use super::tcp_state::tcp;

/// How far from the expected number a segment that acknowledges may be, on either side, in both of
/// its numbers: more than what is under way on any connection, and 1/16 384 for who guesses.
const WINDOW: u32 = 1 << 24;
/// How far behind the expected number a reset may be that acknowledges nothing: it answers a
/// segment that was still under way, with that one's numbers.
const RESET_WINDOW: u32 = 1 << 16;
/// How far ahead of the SYN-ACK the client's answer to it may be, in both of its numbers.
const HANDSHAKE_WINDOW: u32 = 1 << 20;

/// A TCP segment, its numbers in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of its first byte, or of SYN or FIN.
    pub sequence: u32,
    /// Number that it acknowledges, if it has ACK.
    pub acknowledged: u32,
    /// Bytes of data, SYN and FIN counted as one each.
    pub length: u32,
    /// Bits of [`tcp`].
    pub flags: u8,
}

/// What is known of the connection that a segment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody but the client has said anything yet, or nobody else ever will be heard.
    Opening,
    /// The backend has answered.
    Answered,
    /// The handshake is complete.
    Open,
}

impl Segment {
    #[inline(always)]
    const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    #[inline(always)]
    const fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.length)
    }

    /// What is known after it, if nothing was before.
    #[inline(always)]
    const fn alone(&self) -> Sequences {
        Sequences::new(self.end(), if self.has(tcp::ACK) { self.acknowledged } else { 0 })
    }
}

/// Judges a segment of the client: what is known after it, or `None` if it cannot be believed.
#[inline(always)]
pub fn from_client(known: Sequences, segment: &Segment, phase: Phase) -> Option<Sequences> {
    if segment.has(tcp::RST) {
        let unknown = known == Sequences::default();
        return (unknown || resets(segment, known.end(), known.acknowledged())).then_some(known);
    }
    if phase as u32 == Phase::Opening as u32 || known == Sequences::default() {
        return Some(segment.alone());
    }
    if segment.has(tcp::SYN) {
        // It repeats the handshake, or is answered by a challenge: neither tells anything.
        return Some(known);
    }
    let believed = match phase {
        Phase::Answered => {
            segment.sequence.wrapping_sub(known.end()) < HANDSHAKE_WINDOW
                && segment.acknowledged.wrapping_sub(known.acknowledged()) < HANDSHAKE_WINDOW
        }
        _ => near(segment.sequence, known.end()) & near(segment.acknowledged, known.acknowledged()),
    };
    // Old segments that come once more never take anything back.
    let after = Sequences::new(
        later(known.end(), segment.end()),
        later(known.acknowledged(), segment.acknowledged),
    );
    believed.then_some(after)
}

/// Judges a segment of the backend with SYN, FIN or RST; the others change no state that matters.
/// Its sequence number is the one that the client sees.
#[inline(always)]
pub fn from_backend(known: Sequences, segment: &Segment, phase: Phase) -> Option<Sequences> {
    let handshake = phase as u32 != Phase::Open as u32;
    if segment.has(tcp::SYN) {
        // Of several SYNs it says which one counts.
        let begun = Sequences::new(segment.acknowledged, segment.end());
        return Some(if handshake { begun } else { known });
    }
    let believed = known == Sequences::default()
        || if !segment.has(tcp::RST) {
            near(segment.sequence, known.acknowledged()) & near(segment.acknowledged, known.end())
        } else if handshake && segment.has(tcp::ACK) {
            // A refusal has no number of its own (RFC 9293 section 3.10.7.1).
            segment.acknowledged == known.end()
        } else {
            resets(segment, known.acknowledged(), known.end())
        };
    believed.then_some(known)
}

/// True for a reset whose sender may have sent it: `next` is expected of it, `sent` has been sent
/// to it.
#[inline(always)]
const fn resets(segment: &Segment, next: u32, sent: u32) -> bool {
    if segment.has(tcp::ACK) {
        near(segment.sequence, next) & near(segment.acknowledged, sent)
    } else {
        next.wrapping_sub(segment.sequence) <= RESET_WINDOW
    }
}

#[inline(always)]
const fn near(number: u32, expected: u32) -> bool {
    number.wrapping_sub(expected).wrapping_add(WINDOW) <= 2 * WINDOW
}

/// The later of two sequence numbers less than 2³¹ apart.
#[inline(always)]
const fn later(one: u32, other: u32) -> u32 {
    if other.wrapping_sub(one) < 1 << 31 { other } else { one }
}

#[cfg(test)]
mod tests;
