//! Segments of backends whose clients have been answered before they were asked.

use slb_common::{
    Verdict,
    connection::{mark, offset},
    cookie::Cookie,
};

use super::{SCALE, offer, segments::SynOptions, stage::Came};
use crate::{
    connections::{line::Line, tcp_state::tcp},
    handover,
    headers::Tcp,
    maps::Maps,
    packet::Short,
    parse,
    pipeline::Look,
    splice, verified,
};

/// The window by which a backend's repeated SYN-ACK is answered: with the usual scales room for what
/// a server says first.
const FIRST_WINDOW: u16 = 1024;

impl<const W: usize> Came<'_, W> {
    /// A backend's SYN-ACK on a connection whose client has got one before: the client gets the
    /// backend's window by it, as an ACK.
    #[inline(always)]
    pub(super) fn splice(&self, number: u32) -> Result<Verdict, Short> {
        let (line, before) = match Self::waiting(number) {
            Ok(found) => found,
            Err(verdict) => return Ok(verdict),
        };
        if u32::from_be(self.segment.acknowledgement) != splice::awaited::<W>(number) {
            // It still knows a connection of these ports that was half open: told to forget it, it
            // takes the next SYN.
            return Ok(Verdict::DropNoConnection);
        }
        let (cookie, sequence) = (Cookie(before.delta()), u32::from_be(self.segment.sequence));
        let theirs = offer::read(self.context, self.packet.network.transport).scale;
        // Without the client's scale the backend has none either.
        let ours = if cookie.offer().scale().is_some() { SCALE } else { 0 };
        let theirs = theirs.unwrap_or(0);
        let after = before
            .with_marks(before.marks() & !mark::WAITING)
            .with_delta(cookie.0.wrapping_sub(sequence), theirs as i8 - ours as i8);
        if !line.swap_translation(before, after) {
            return Ok(Verdict::DropContended);
        }
        let window = u16::from_be(self.segment.window) >> (theirs & 15);
        let ack = Tcp {
            sequence: sequence.wrapping_add(1).to_be(),
            acknowledgement: self.segment.acknowledgement,
            window: window.to_be(),
            ..self.along(tcp::ACK)
        };
        self.become_segment(&ack, &SynOptions::NONE)?;
        Ok(handover::rare(Look::First))
    }

    /// A SYN-ACK that its backend has repeated: its client knows nothing of it and waits for the
    /// backend's first word.
    #[inline(always)]
    pub(super) fn acknowledge(&self, line: u32) -> Result<Verdict, Short> {
        let Some(line) = Line::<W>::of_slot(Maps, line) else { return Ok(Verdict::DropInternal) };
        let ack = Tcp {
            sequence: self.segment.acknowledgement,
            acknowledgement: u32::from_be(self.segment.sequence).wrapping_add(1).to_be(),
            window: FIRST_WINDOW.to_be(),
            ..self.back(tcp::ACK)
        };
        self.send_back(&ack, &SynOptions::NONE)?;
        if line.translation().marks() & mark::TOA != 0 {
            let (at, client) = (self.packet.link.at(), line.endpoint(offset::CLIENT));
            let transport = (at + parse::fixed_length::<W>()) as u16;
            verified::insert_toa(self.context, &client, at, transport);
        }
        Ok(Verdict::AnsweredHandshake)
    }
}
