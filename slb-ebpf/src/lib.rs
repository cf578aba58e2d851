//! The data plane's logic. `main.rs` is the XDP program; everything that needs no kernel also
//! builds on the host, where it is unit-tested.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics, asm_experimental_arch))]
#![cfg_attr(target_arch = "bpf", allow(internal_features))]

pub mod atomic;
pub mod checksum;
pub mod connections;
pub mod flood;
pub mod fragments;
pub mod headers;
pub mod packet;
pub mod parse;
pub mod port_search;
pub mod schedulers;
pub mod tcp_options;
pub mod toa;

#[cfg(target_arch = "bpf")]
pub mod admission;
#[cfg(target_arch = "bpf")]
pub mod answer;
#[cfg(target_arch = "bpf")]
pub mod batch;
#[cfg(target_arch = "bpf")]
pub mod entering;
#[cfg(target_arch = "bpf")]
pub mod entries;
#[cfg(target_arch = "bpf")]
pub mod forward;
#[cfg(target_arch = "bpf")]
pub mod handover;
#[cfg(target_arch = "bpf")]
pub mod hops;
#[cfg(target_arch = "bpf")]
pub mod icmp;
#[cfg(target_arch = "bpf")]
pub mod local_ports;
#[cfg(target_arch = "bpf")]
pub mod maps;
#[cfg(target_arch = "bpf")]
pub mod neighbours;
#[cfg(target_arch = "bpf")]
pub mod one_packet;
#[cfg(target_arch = "bpf")]
pub mod opening;
#[cfg(target_arch = "bpf")]
pub mod persistence;
#[cfg(target_arch = "bpf")]
pub mod pipeline;
#[cfg(target_arch = "bpf")]
pub mod sequences;
#[cfg(target_arch = "bpf")]
pub mod services;
#[cfg(target_arch = "bpf")]
pub mod splice;
#[cfg(target_arch = "bpf")]
pub mod stats;
#[cfg(target_arch = "bpf")]
pub mod syn_defence;
#[cfg(target_arch = "bpf")]
pub mod template_batch;
#[cfg(target_arch = "bpf")]
pub mod ties;
#[cfg(target_arch = "bpf")]
pub mod verified;
