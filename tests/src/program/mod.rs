//! The program with maps of its own, set up by the daemon's operations: for program tests, which
//! run it on one packet at a time, and for benchmarks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

pub mod balancer;
pub mod cases;
mod consistency;
pub mod listener;
pub mod loaded;
pub mod modes;
