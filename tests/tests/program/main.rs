//! Program tests: packets into the XDP program in this kernel, packets out of it, each in a
//! network namespace and with maps of its own. What should come out is built by etherparse.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use slb_tests::program::{balancer, cases, listener, loaded};

mod admission;
mod answers;
mod bandwidth;
mod cookies;
mod counting;
mod direct;
mod forwarding;
mod fragments;
mod full_nat;
mod icmp_errors;
mod lifetimes;
mod links;
mod malformed;
mod matrix;
mod one_packet;
mod passing;
mod persistence;
mod processors;
mod quic;
mod random;
mod ranges;
mod refused;
mod routes;
mod scheduling;
mod shared_bits;
mod splicing;
mod states;
mod syn_defence;
mod tcp_options;
mod toa;
mod too_big;
mod truncated;
mod tunnel;
mod tunnel_errors;
