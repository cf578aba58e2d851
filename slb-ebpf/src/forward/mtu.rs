//! The MTU that an ICMP error tells (RFC 1191, RFC 4443 section 3.2), where the balancer makes
//! packets longer than the error's receiver sends them.

use crate::{
    checksum::Delta,
    headers::Icmp,
    packet::{Frame, Short},
    parse::icmp::{tunnelled::least_mtu, v4, v6},
};

/// Takes `less` off the MTU that the error at `message` tells, if it tells one.
#[inline(always)]
pub fn lessen<const W: usize>(frame: Frame, message: u16, less: u16) -> Result<(), Short> {
    let place = frame.place::<Icmp>(usize::from(message))?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        let tells = if W == 1 {
            (*place).kind == v4::UNREACHABLE && (*place).code == v4::FRAGMENTATION_NEEDED
        } else {
            (*place).kind == v6::TOO_BIG
        };
        // Over IPv4 the upper half means nothing, and 0 that the router does not know of this.
        let before = (*place).rest;
        let mtu = u32::from_be(before) & if W == 1 { 0xffff } else { u32::MAX };
        if !tells || mtu <= least_mtu::<W>() {
            return Ok(());
        }
        let after = mtu.saturating_sub(u32::from(less));
        let after = if after < least_mtu::<W>() { least_mtu::<W>() } else { after };
        (*place).rest = before & !mtu.to_be() | after.to_be();
        let delta = Delta::NONE.replace32(before, (*place).rest);
        (*place).checksum = delta.apply((*place).checksum);
    }
    Ok(())
}
