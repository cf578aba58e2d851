//! Lab tests: real sockets through the daemon's XDP program, in network namespaces. Every test has
//! a network of its own. They need root, and run one after the other (`--test-threads=1`): a test
//! that counts errors must not wait for another one's processor time.

mod scene;
mod seen;
mod services;

mod admission;
mod backend_commands;
mod backend_setup;
mod bandwidth;
mod cookies;
mod counters;
mod detach;
mod distribution;
mod draining;
mod failover;
mod flood;
mod foreign_traffic;
mod fragments;
mod icmp;
mod lifetimes;
mod lists;
mod messages;
mod modes;
mod next_hops;
mod no_backend;
mod past_the_balancer;
mod persistence;
mod reload;
mod restart;
mod segments;
mod server_ids;
mod slow_start;
mod source_hash;
mod toa;
mod traces;
mod two_vips;
mod udp_flows;
