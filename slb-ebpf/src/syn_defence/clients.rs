//! Segments of clients: SYNs are answered, and answers are recognised.

use slb_common::{
    Verdict,
    cookie::{Cookie, Offer},
};

use super::{
    SCALE, keys, offer,
    segments::{SynOptions, WITH_OPTIONS},
    stage::Came,
};
use crate::{
    connections::tcp_state::tcp,
    handover,
    headers::Tcp,
    maps::{self, CHALLENGED},
    packet::Short,
    pipeline::Look,
    splice,
    tcp_options::Offered,
};

/// How long a client that has passed a challenge is let in.
const REMEMBERED_NS: u64 = 300 * 1_000_000_000;

impl<const W: usize> Came<'_, W> {
    /// A SYN: its answer carries all that is to be known of it. It opens no window, so that no data
    /// comes before there is a backend for it.
    #[inline(always)]
    pub(super) fn answer(&self, mss: u16) -> Result<Verdict, Short> {
        let Offered { mss: wanted, scale, sack } =
            offer::read(self.context, self.packet.network.transport);
        let sequence = u32::from_be(self.segment.sequence);
        let offer = Offer::new(wanted, scale, sack, W == 1);
        let Some(cookie) = keys::make(self.packet, sequence, offer) else {
            return Ok(Verdict::DropInternal);
        };
        let answer = Tcp {
            sequence: cookie.0.to_be(),
            acknowledgement: sequence.wrapping_add(1).to_be(),
            length: WITH_OPTIONS,
            ..self.back(tcp::SYN | tcp::ACK)
        };
        let options = SynOptions::new(mss, sack, offer.scale().map(|_| SCALE));
        self.send_back(&answer, &options)?;
        Ok(Verdict::AnsweredCookie)
    }

    /// A SYN: acknowledged by a wrong number, which its sender refuses by a RST of that number (RFC
    /// 9293 section 3.10.7.3), if it is there.
    #[inline(always)]
    pub(super) fn challenge(&self) -> Result<Verdict, Short> {
        let Some(number) = keys::challenge(self.packet) else {
            return Ok(Verdict::DropInternal);
        };
        let right = u32::from_be(self.segment.sequence).wrapping_add(1);
        // Once in four milliards it would be right: then something else, which nobody passes.
        let number = if number == right { !number } else { number };
        let answer = Tcp { acknowledgement: number.to_be(), ..self.back(tcp::SYN | tcp::ACK) };
        self.send_back(&answer, &SynOptions::NONE)?;
        Ok(Verdict::AnsweredChallenge)
    }

    /// A RST of no connection: the answer to a challenge?
    #[inline(always)]
    pub(super) fn remember(&self) -> Result<Verdict, Short> {
        if !keys::passes(self.packet, u32::from_be(self.segment.sequence)) {
            return Ok(Verdict::DropNoConnection);
        }
        let until = maps::now_ns() + REMEMBERED_NS;
        // Full, it gives up who has not been seen for longest.
        let _kept = CHALLENGED.insert(&self.addresses.source, &until, 0);
        Ok(Verdict::DropChallengePassed)
    }

    /// An ACK of no connection: the answer to a cookie? Then the SYN that it was given for comes
    /// to life again.
    #[inline(always)]
    pub(super) fn prove(&self) -> Result<Verdict, Short> {
        let cookie = Cookie(u32::from_be(self.segment.acknowledgement).wrapping_sub(1));
        let Some(sequence) = self.proven_syn(cookie) else {
            return Ok(Verdict::DropNoConnection);
        };
        self.make_syn(sequence, cookie)?;
        Ok(handover::proven(cookie))
    }

    /// The number of the SYN that a cookie was given for.
    #[inline(always)]
    fn proven_syn(&self, cookie: Cookie) -> Option<u32> {
        let sequence = u32::from_be(self.segment.sequence);
        let before = sequence.wrapping_sub(1);
        if keys::proves(self.packet, before, cookie) {
            return Some(before);
        }
        // Whose ACK was lost asks for a window by the number before its next one (RFC 9293 section
        // 3.8.6.1, as Linux does it): that of its SYN.
        keys::proves(self.packet, sequence, cookie).then_some(sequence)
    }

    /// A segment of a client that waits: the backend of its line has not answered the SYN.
    #[inline(always)]
    pub(super) fn repeat(&self, line: u32) -> Result<Verdict, Short> {
        let before = match Self::waiting(line) {
            Ok((_, before)) => before,
            Err(verdict) => return Ok(verdict),
        };
        self.make_syn(splice::awaited::<W>(line).wrapping_sub(1), Cookie(before.delta()))?;
        Ok(handover::rare(Look::First))
    }

    /// Makes the client's SYN of a later segment.
    #[inline(always)]
    fn make_syn(&self, sequence: u32, cookie: Cookie) -> Result<(), Short> {
        let offer = cookie.offer();
        // The window of a SYN is not scaled.
        let window = u32::from(u16::from_be(self.segment.window)) << offer.scale().unwrap_or(0);
        let window = if window > 0xffff { 0xffff } else { window as u16 };
        let syn = Tcp {
            sequence: sequence.to_be(),
            length: WITH_OPTIONS,
            window: window.to_be(),
            ..self.along(tcp::SYN)
        };
        let options = SynOptions::new(offer.mss(W == 1), offer.sack(), offer.scale());
        self.become_segment(&syn, &options)
    }
}
