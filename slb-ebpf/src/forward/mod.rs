//! Forwarding modes: what is rewritten, one file a mode, and how the frame leaves.

pub mod nat;
pub mod send;
