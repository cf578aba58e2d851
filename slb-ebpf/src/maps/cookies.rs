//! What the SYN-flood defence remembers.

use aya_ebpf::{
    btf_maps::{Array, LruHashMap},
    macros::btf_map,
};
use slb_common::cookie::{CHALLENGED as CLIENTS, CookieKeys};

use super::MAPPED;

#[btf_map]
pub static COOKIE_KEYS: Array<CookieKeys, 1, MAPPED> = Array::new();
/// Clients that have passed a challenge, and until when that counts, in nanoseconds.
#[btf_map]
pub static CHALLENGED: LruHashMap<[u64; 2], u64, { CLIENTS }> = LruHashMap::new();
