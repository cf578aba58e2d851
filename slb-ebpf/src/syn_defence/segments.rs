//! Segments that the defence makes of those that came: bare headers, with the options of a SYN or
//! without any. Their checksums are made anew, as nothing of the old segment stays.

use aya_ebpf::programs::XdpContext;

use super::stage::Came;
use crate::{
    answer,
    checksum::fold,
    forward::{message, room},
    headers::Tcp,
    packet::{Frame, Header, Short},
    parse::{self, Addresses, TCP},
};

/// A TCP header without options, as its length field has it.
pub const BARE: u8 = 5 << 4;
/// A TCP header with [`SynOptions`].
pub const WITH_OPTIONS: u8 = 8 << 4;

/// What is announced in a SYN or SYN-ACK: MSS, SACK, window scale, each with no-operations for what
/// is missing (RFC 9293, RFC 2018, RFC 7323).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct SynOptions {
    /// 2, 4 and the size.
    mss: u32,
    /// 4, 2 and two no-operations.
    sack: u32,
    /// A no-operation, 3, 3 and the shift.
    scale: u32,
}

// SAFETY: integers without padding.
unsafe impl Header for SynOptions {}

impl SynOptions {
    /// Of a segment that has none.
    pub const NONE: Self = Self { mss: 0, sack: 0, scale: 0 };

    /// Announces these; `mss` in host byte order.
    #[inline(always)]
    pub const fn new(mss: u16, sack: bool, scale: Option<u8>) -> Self {
        let [high, low] = mss.to_be_bytes();
        Self {
            mss: u32::from_ne_bytes([2, 4, high, low]),
            sack: u32::from_ne_bytes(if sack { [4, 2, 1, 1] } else { [1; 4] }),
            scale: u32::from_ne_bytes(match scale {
                Some(shift) => [1, 3, 3, shift],
                None => [1; 4],
            }),
        }
    }

    /// Sum of the options, for the segment's checksum.
    #[inline(always)]
    const fn sum(&self) -> u64 {
        self.mss as u64 + self.sack as u64 + self.scale as u64
    }
}

/// Bytes of a segment without data.
#[inline(always)]
const fn length(segment: &Tcp) -> usize {
    (segment.length >> 4) as usize * 4
}

impl<const W: usize> Came<'_, W> {
    /// Sends a segment to where this one came from: behind a new network header from its receiver
    /// to its sender.
    #[inline(always)]
    pub(super) fn send_back(&self, segment: &Tcp, options: &SynOptions) -> Result<(), Short> {
        let at = self.packet.link.at();
        let transport = at + parse::fixed_length::<W>();
        resize(self.context, transport, segment)?;
        let frame = Frame::of(self.context);
        answer::turn_round(frame).ok_or(Short)?;
        let addresses = self.addresses.swapped();
        parse::write::<W>(frame, at, &addresses, (0, TCP), length(segment) as u16)?;
        write(frame, transport, &addresses, segment, options)
    }

    /// Puts a segment in the place of this one; its network header goes on.
    #[inline(always)]
    pub(super) fn become_segment(&self, segment: &Tcp, options: &SynOptions) -> Result<(), Short> {
        let transport = usize::from(self.packet.network.transport);
        resize(self.context, transport, segment)?;
        let frame = Frame::of(self.context);
        let longer = (length(segment) as u16).wrapping_sub(self.packet.network.payload);
        parse::lengthen::<W>(frame, self.packet.link.at(), longer)?;
        write(frame, transport, &self.addresses, segment, options)
    }
}

/// Writes a segment and its checksum.
#[inline(always)]
fn write(
    frame: Frame,
    at: usize,
    addresses: &Addresses,
    segment: &Tcp,
    options: &SynOptions,
) -> Result<(), Short> {
    let mut sum = parse::pseudo_sum(addresses, TCP, length(segment) as u16) + segment.sum();
    if segment.length == WITH_OPTIONS {
        sum += options.sum();
        let place = frame.place::<SynOptions>(at + size_of::<Tcp>())?;
        // SAFETY: `place` has checked that the options lie in the frame.
        unsafe { place.write(*options) };
    }
    let place = frame.place::<Tcp>(at)?;
    // SAFETY: as above.
    unsafe { place.write(Tcp { checksum: !fold(sum), ..*segment }) };
    Ok(())
}

/// Makes the frame as long as what is before `transport`, and behind it a segment of this length;
/// it may move, so nothing read before counts.
#[inline(always)]
fn resize(context: &XdpContext, transport: usize, segment: &Tcp) -> Result<(), Short> {
    let wanted = transport + length(segment);
    let missing = wanted as i32 - Frame::of(context).length() as i32;
    if missing > 0 {
        return room::make(context, transport, missing).map(|_| ());
    }
    message::trim(context, wanted).ok_or(Short)
}
