//! A flood of SYNs: each of another client, none of which exists, and the place that their answers
//! come to.

use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX},
    helpers::generated::bpf_xdp_adjust_head,
    programs::XdpContext,
};
use slb_common::{
    bench::{SPOOFED_PAD, SPOOFED_WORDS_V4, SPOOFED_WORDS_V6, Spoofed},
    hash::mix,
};
use slb_ebpf::{
    atomic,
    checksum::Delta,
    connections::tcp_state::tcp,
    headers::{Ethernet, Ipv4, Ipv6, Tcp},
    packet::{Frame, Header},
    parse::{
        TCP,
        link::{IPV4, IPV6},
    },
};

use crate::maps::{ANSWERED, SPOOFED};

/// What is written; its bounds are checked at once.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Words<const WORDS: usize>([u32; WORDS]);

// SAFETY: integers.
unsafe impl<const WORDS: usize> Header for Words<WORDS> {}

/// Where the fields are that differ: words, and of checksums half words.
struct Places {
    words: usize,
    /// The last word of the source's address.
    address: usize,
    ports: usize,
    sequence: usize,
    header_checksum: Option<usize>,
    checksum: usize,
}

const V4: Places = Places {
    words: SPOOFED_WORDS_V4,
    address: 7,
    ports: 9,
    sequence: 10,
    header_checksum: Some(13),
    checksum: 26,
};
const V6: Places = Places {
    words: SPOOFED_WORDS_V6,
    address: 9,
    ports: 14,
    sequence: 15,
    header_checksum: None,
    checksum: 36,
};

/// Makes the frame the SYN of the next client and sends it back out.
#[inline(always)]
pub(crate) fn send<const W: usize>(context: &XdpContext) -> u32 {
    let Some(()) = write::<W>(context) else { return XDP_ABORTED };
    // As the frame begins elsewhere than before, the kernel looks anew at how long it is, which
    // whoever had it last has changed.
    // SAFETY: the helper checks the room; it invalidates pointers, of which none is kept.
    match unsafe { bpf_xdp_adjust_head(context.ctx, SPOOFED_PAD as i32) } {
        0 => XDP_TX,
        _ => XDP_ABORTED,
    }
}

#[inline(always)]
fn write<const W: usize>(context: &XdpContext) -> Option<()> {
    let spoofed = SPOOFED.get_ptr_mut(0)?;
    let frame = Frame::of(context);
    let (at, place): (Places, *mut u32) = if W == 1 {
        (V4, frame.place::<Words<SPOOFED_WORDS_V4>>(0).ok()?.cast())
    } else {
        (V6, frame.place::<Words<SPOOFED_WORDS_V6>>(0).ok()?.cast())
    };
    // SAFETY: the map gave the pointer, and one processor alone makes SYNs; `place` has checked that
    // all words lie in the frame, and the half words of checksums lie in them.
    unsafe {
        let number = (*spoofed).made;
        (*spoofed).made = number + 1;
        let mut index = 0;
        while index < at.words {
            place.add(index).write((*spoofed).words[index]);
            index += 1;
        }
        let (first, second) = (mix(number), mix(number ^ 1 << 63));
        let (mut network, mut transport) = (Delta::NONE, Delta::NONE);
        let mut change = |word: usize, new: u32| {
            let old = (*spoofed).words[word];
            place.add(word).write(new);
            transport = transport.replace32(old, new);
            if word == at.address {
                network = network.replace32(old, new);
            }
        };
        change(at.address, address::<W>(first as u32));
        if W != 1 {
            change(at.address - 1, (first >> 32) as u32);
        }
        let port = (1024 + (second as u16 >> 1)).to_be();
        change(at.ports, (*spoofed).words[at.ports] & 0xffff_0000 | u32::from(port));
        change(at.sequence, (second >> 32) as u32);
        let place = place.cast::<u16>();
        if let Some(checksum) = at.header_checksum {
            place.add(checksum).write(network.apply(half(spoofed, checksum)));
        }
        place.add(at.checksum).write(transport.apply(half(spoofed, at.checksum)));
    }
    Some(())
}

/// A random address's last word; over IPv4 one of 32.0.0.0 to 95.255.255.255.
#[inline(always)]
const fn address<const W: usize>(random: u32) -> u32 {
    if W == 1 { random & 0xffff_ff00 | 32 + (random & 0x3f) } else { random }
}

/// Half a word of the frame that all have in common.
///
/// # Safety
/// `spoofed` must lead to a value, and `index` into its words.
#[inline(always)]
unsafe fn half(spoofed: *const Spoofed, index: usize) -> u16 {
    // SAFETY: the caller vouches for both.
    unsafe { (&raw const (*spoofed).words).cast::<u16>().add(index).read() }
}

/// Counts a segment, and lets nothing hear of it; what is no TCP passes.
#[inline(always)]
pub(crate) fn absorb(context: &XdpContext) -> u32 {
    let Some(segment) = segment(Frame::of(context)) else { return XDP_PASS };
    let Some(answered) = ANSWERED.get_ptr_mut(0) else { return XDP_ABORTED };
    let window = segment.window;
    // SAFETY: the map gave the pointer; its fields are aligned words.
    unsafe {
        let count = match segment.flags {
            flags if flags != tcp::SYN | tcp::ACK => &raw mut (*answered).others,
            _ if window == 0 => &raw mut (*answered).cookies,
            _ => &raw mut (*answered).by_backends,
        };
        atomic::fetch_add(count, 1);
    }
    XDP_DROP
}

/// The frame's TCP header, if that follows its network header.
#[inline(always)]
fn segment(frame: Frame) -> Option<Tcp> {
    const LINK: usize = size_of::<Ethernet>();
    let (protocol, length) = match frame.read::<Ethernet>(0).ok()?.ethertype {
        IPV4 => (frame.read::<Ipv4>(LINK).ok()?.protocol, size_of::<Ipv4>()),
        IPV6 => (frame.read::<Ipv6>(LINK).ok()?.next_header, size_of::<Ipv6>()),
        _ => return None,
    };
    if protocol == TCP { frame.read(LINK + length).ok() } else { None }
}
