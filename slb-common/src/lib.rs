//! What the XDP program and the daemon share: the shapes of the maps, the hash that places a
//! connection, the list of verdicts. Everything that crosses the kernel border is defined here,
//! once, as plain bytes without padding.
#![no_std]

pub mod admission;
pub mod answer;
pub mod bench;
pub mod connection;
pub mod cookie;
pub mod fragment;
pub mod hash;
pub mod meta;
pub mod next_hop;
pub mod one_packet;
pub mod range;
pub mod service;
pub mod stage;
pub mod template;
pub mod toa;
pub mod verdict;
pub mod vip;

pub use answer::Answer;
pub use verdict::{Action, Verdict};

/// Number of the maps' shapes together. Raise it with every change to a type of this crate that
/// lies in a map: the daemon refuses to adopt pinned maps of another number.
pub const ABI_VERSION: u32 = 5;
