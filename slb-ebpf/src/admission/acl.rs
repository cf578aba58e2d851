//! Access lists: one trie of each family holds them all, told apart by their numbers, so that a
//! service changes from one to another by one store.

use aya_ebpf::btf_maps::lpm_trie::Key;
use slb_common::{
    admission::{AclKey4, AclKey6, LIST_BITS, Reason},
    service::{SERVICE_ACL_ALLOWS, Service},
};

use crate::{
    maps::{ACL4, ACL6},
    packet::Step,
};

/// Refuses a client that the service's list says has no access.
#[inline(always)]
pub fn admit<const W: usize>(id: u16, service: &Service, client: [u64; 2]) -> Step<()> {
    let allows = service.flags & SERVICE_ACL_ALLOWS != 0;
    match service.acl == 0 || contains::<W>(service.acl, client) == allows {
        true => Ok(()),
        false => Err(super::refuse(id, Reason::Acl)),
    }
}

/// True if a list names an address, as itself or by a prefix.
#[inline(always)]
pub fn contains<const W: usize>(list: u32, address: [u64; 2]) -> bool {
    let [first, second] = address;
    match W {
        1 => contains_v4(list, first) != 0,
        _ => contains_v6(list, first, second) != 0,
    }
}

/// On a stack frame of its own.
#[inline(never)]
fn contains_v4(list: u32, first: u64) -> u32 {
    let key = AclKey4 { list, address: (first as u32).to_ne_bytes() };
    u32::from(ACL4.get(&Key::new(LIST_BITS + 32, key)).is_some())
}

/// Likewise.
#[inline(never)]
fn contains_v6(list: u32, first: u64, second: u64) -> u32 {
    let mut address = [0; 16];
    address[..8].copy_from_slice(&first.to_ne_bytes());
    address[8..].copy_from_slice(&second.to_ne_bytes());
    let key = AclKey6 { list, address };
    u32::from(ACL6.get(&Key::new(LIST_BITS + 128, key)).is_some())
}
