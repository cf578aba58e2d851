//! What a packet costs without a balancer: parsed and sent back, alone or with one look into memory.

use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_TX},
    helpers::generated::bpf_ktime_get_coarse_ns,
    programs::XdpContext,
};
use slb_common::hash::mix;
use slb_ebpf::{
    headers::{Ethernet, Ipv4, Ipv6, Udp},
    packet::{Frame, unknown},
    parse::{
        TCP, UDP,
        link::{IPV4, IPV6},
    },
};

use crate::maps::{HASH, LRU, MEMORY, PROGRESS, TEMPLATE};

/// A flow as the kernel's tables know it: the source's address (of IPv6 the last word), the
/// destination's, and both ports.
type Key = [u32; 3];

/// Sixteen calls, none of which the compiler can leave out.
#[inline(always)]
pub(crate) fn calls() -> u32 {
    let mut word = u64::from(XDP_TX);
    let mut call = 0;
    while call < 16 {
        word = same(word);
        call += 1;
    }
    word as u32
}

/// Sixteen looks at the coarse clock.
#[inline(always)]
pub(crate) fn clock() -> u32 {
    let mut sum = 0;
    let mut look = 0;
    while look < 16 {
        // SAFETY: the helper takes nothing and returns a number.
        sum |= unsafe { bpf_ktime_get_coarse_ns() };
        look += 1;
    }
    if sum == 0 { XDP_ABORTED } else { XDP_TX }
}

#[inline(never)]
fn same(word: u64) -> u64 {
    unknown(word)
}

/// Exchanges both ends of a packet.
#[inline(always)]
pub(crate) fn swap(context: &XdpContext) -> Option<u32> {
    swap_found(context, |_| Some(()))
}

/// The same if its flow is found.
#[inline(always)]
pub(crate) fn swap_found(context: &XdpContext, find: impl Fn(&Key) -> Option<()>) -> Option<u32> {
    let frame = Frame::of(context);
    let ethernet = frame.place::<Ethernet>(0).ok()?;
    // SAFETY: `place` has checked that each header lies in the frame.
    unsafe {
        let (source, destination, ports) = match (*ethernet).ethertype {
            IPV4 => {
                let header = frame.place::<Ipv4>(14).ok()?;
                if (*header).version_length != 0x45 || !carried((*header).protocol) {
                    return None;
                }
                let ends = ((*header).source, (*header).destination);
                ((*header).source, (*header).destination) = (ends.1, ends.0);
                (ends.0, ends.1, frame.place::<Udp>(34).ok()?)
            }
            IPV6 => {
                let header = frame.place::<Ipv6>(14).ok()?;
                if !carried((*header).next_header) {
                    return None;
                }
                let ends = ((*header).source, (*header).destination);
                ((*header).source, (*header).destination) = (ends.1, ends.0);
                (ends.0[3], ends.1[3], frame.place::<Udp>(54).ok()?)
            }
            _ => return None,
        };
        let (from, to) = ((*ports).source, (*ports).destination);
        ((*ports).source, (*ports).destination) = (to, from);
        find(&[source, destination, u32::from(from) << 16 | u32::from(to)])?;
        let macs = ((*ethernet).source, (*ethernet).destination);
        ((*ethernet).source, (*ethernet).destination) = (macs.1, macs.0);
    }
    Some(XDP_TX)
}

#[inline(always)]
const fn carried(protocol: u8) -> bool {
    protocol == TCP || protocol == UDP
}

/// One load of one of so many words as there are flows, which lie anywhere in `MEMORY`. Which one
/// it is follows from the load before: the processor cannot begin with it earlier.
#[inline(always)]
pub(crate) fn load() -> Option<()> {
    let progress = PROGRESS.get_ptr_mut(0)?;
    // SAFETY: the map gave the pointer, and one processor alone runs the programs of an object.
    unsafe {
        let template = TEMPLATE.get_ptr(0)?;
        let state = mix((*progress).loaded.wrapping_add(1));
        let flow = (state & 0xffff_ffff) * u64::from((*template).flows) >> 32;
        let index = mix(flow ^ 0x5eed) as u32 & (*template).mask;
        let place = MEMORY.get_ptr(index)?.cast::<u64>();
        (*progress).loaded = state ^ place.add((mix(flow) >> 61) as usize & 3).read_volatile();
    }
    Some(())
}

#[inline(always)]
pub(crate) fn in_hash(key: &Key) -> Option<()> {
    // SAFETY: nobody deletes from it.
    unsafe { HASH.get(key) }.map(drop)
}

#[inline(always)]
pub(crate) fn in_lru(key: &Key) -> Option<()> {
    // SAFETY: likewise.
    unsafe { LRU.get(key) }.map(drop)
}

/// Puts a packet's flow into both tables.
#[inline(always)]
pub(crate) fn fill(context: &XdpContext) -> Option<u32> {
    swap_found(context, |key| {
        HASH.insert(key, 1_u64, 0).ok()?;
        LRU.insert(key, 1_u64, 0).ok()
    })
}
