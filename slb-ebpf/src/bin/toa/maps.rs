//! What the programs keep: the clients of sockets, the networks of balancers, counters.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::bpf_sock,
    btf_maps::{LpmTrie, PerCpuArray, SkStorage, lpm_trie::Key},
    helpers::generated::bpf_sk_storage_get,
    macros::btf_map,
};
use slb_common::toa::{BELIEVED, Client, Counter, MAX_NETWORKS};

/// The clients of accepted sockets; an entry goes with its socket.
#[btf_map]
static TOA_CLIENTS: SkStorage<Client> = SkStorage::new();

/// Networks of balancers, IPv4 as IPv4-mapped.
#[btf_map]
static TOA_NETWORKS: LpmTrie<[u32; 4], u32, MAX_NETWORKS> = LpmTrie::new();

#[btf_map]
static TOA_COUNTERS: PerCpuArray<u64, { Counter::ALL.len() }> = PerCpuArray::new();

/// The storage of a socket, for as long as the program runs; none if it has none or, with the flag
/// that makes it, if there is no memory. New storage is zeroes.
///
/// aya's own way to it is for one kind of program only.
#[inline(always)]
pub(crate) fn storage<'a>(socket: *mut bpf_sock, flags: u32) -> Option<&'a mut Client> {
    // The verifier wants to see the comparison.
    if socket.is_null() {
        return None;
    }
    let map: *mut c_void = (&raw const TOA_CLIENTS).cast_mut().cast();
    // SAFETY: a map, a socket of the kernel's, and no first value; what comes back is null or the
    // socket's storage.
    unsafe {
        let kept = bpf_sk_storage_get(map, socket.cast(), ptr::null_mut(), u64::from(flags));
        kept.cast::<Client>().as_mut()
    }
}

/// True if a balancer has this address.
#[inline(always)]
pub(crate) fn is_balancer(address: [u32; 4]) -> bool {
    TOA_NETWORKS.get(&Key::new(128, address)).is_some_and(|word| *word == BELIEVED)
}

#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(place) = TOA_COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: this processor's copy, that only these programs write.
        unsafe { *place += 1 };
    }
}
