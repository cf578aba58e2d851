//! Memory that other processors change meanwhile: loads and stores that are really made, and the
//! three atomic operations that BPF v3 has. `AtomicU64` itself does not compile for BPF before v4,
//! which has atomic loads; on the host it stands in.
//!
//! Every pointer given to these functions must point to an aligned `u64` (or `u32`, `u16`) that
//! outlives the call: a place in a map value, whose bounds the verifier has checked.

#[cfg(target_arch = "bpf")]
use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg, atomic_xadd, atomic_xchg};
#[cfg(not(target_arch = "bpf"))]
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::SeqCst};

/// Reads a word.
///
/// # Safety
/// See the module.
#[inline(always)]
pub unsafe fn load(place: *const u64) -> u64 {
    // SAFETY: the caller vouches for the pointer; an aligned load of a word is one instruction.
    #[cfg(target_arch = "bpf")]
    return unsafe { place.read_volatile() };
    // SAFETY: as above.
    #[cfg(not(target_arch = "bpf"))]
    return unsafe { AtomicU64::from_ptr(place.cast_mut()) }.load(SeqCst);
}

/// Writes a word.
///
/// # Safety
/// See the module.
#[inline(always)]
pub unsafe fn store(place: *mut u64, value: u64) {
    // SAFETY: the caller vouches for the pointer; an aligned store of a word is one instruction.
    #[cfg(target_arch = "bpf")]
    return unsafe { place.write_volatile(value) };
    // SAFETY: as above.
    #[cfg(not(target_arch = "bpf"))]
    return unsafe { AtomicU64::from_ptr(place) }.store(value, SeqCst);
}

/// Writes the low half of a word, whose high half stays as it is whoever writes it.
///
/// # Safety
/// See the module.
#[inline(always)]
pub unsafe fn store_low_u32(place: *mut u64, value: u32) {
    let low = place.cast::<u32>();
    // SAFETY: the low half of an aligned word on a little-endian machine is an aligned u32.
    #[cfg(target_arch = "bpf")]
    return unsafe { low.write_volatile(value) };
    // SAFETY: as above.
    #[cfg(not(target_arch = "bpf"))]
    return unsafe { AtomicU32::from_ptr(low) }.store(value, SeqCst);
}

/// Writes the highest 16 bits of a word.
///
/// # Safety
/// See the module.
#[inline(always)]
pub unsafe fn store_high_u16(place: *mut u64, value: u16) {
    // SAFETY: the fourth quarter of an aligned word is an aligned u16 inside it.
    let high = unsafe { place.cast::<u16>().add(3) };
    // SAFETY: as above.
    #[cfg(target_arch = "bpf")]
    return unsafe { high.write_volatile(value) };
    // SAFETY: as above.
    #[cfg(not(target_arch = "bpf"))]
    return unsafe { AtomicU16::from_ptr(high) }.store(value, SeqCst);
}

/// Replaces `old` by `new`; false if the word was not `old`.
///
/// # Safety
/// See the module.
#[inline(always)]
pub unsafe fn compare_and_swap(place: *mut u64, old: u64, new: u64) -> bool {
    // SAFETY: the caller vouches for the pointer.
    #[cfg(target_arch = "bpf")]
    return unsafe { atomic_cxchg::<u64, { SeqCst }, { SeqCst }>(place, old, new).1 };
    // SAFETY: as above.
    #[cfg(not(target_arch = "bpf"))]
    return unsafe { AtomicU64::from_ptr(place) }
        .compare_exchange(old, new, SeqCst, SeqCst)
        .is_ok();
}

/// Writes a word after everything before it: the store that publishes.
///
/// # Safety
/// See the module.
#[inline(always)]
pub unsafe fn publish(place: *mut u64, value: u64) {
    // SAFETY: the caller vouches for the pointer.
    #[cfg(target_arch = "bpf")]
    let _before = unsafe { atomic_xchg::<u64, { SeqCst }>(place, value) };
    // SAFETY: as above.
    #[cfg(not(target_arch = "bpf"))]
    let _before = unsafe { AtomicU64::from_ptr(place) }.swap(value, SeqCst);
}

/// Adds, wrapping, and returns what was there before.
///
/// # Safety
/// See the module.
#[inline(always)]
pub unsafe fn fetch_add(place: *mut u64, value: u64) -> u64 {
    // SAFETY: the caller vouches for the pointer.
    #[cfg(target_arch = "bpf")]
    return unsafe { atomic_xadd::<u64, u64, { SeqCst }>(place, value) };
    // SAFETY: as above.
    #[cfg(not(target_arch = "bpf"))]
    return unsafe { AtomicU64::from_ptr(place) }.fetch_add(value, SeqCst);
}
