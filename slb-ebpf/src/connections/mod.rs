//! The connection table: set-associative, four lines to a bucket, one line a connection, found by
//! both directions because the bucket comes from the client's endpoint alone.
//!
//! [`lookup`] reads without a lock, [`insert`] is the only place that makes an entry, [`table`]
//! holds what both stand on, [`transition`] changes states, [`tcp_state`] says to which.
//! ADR 1 has the measurements behind this shape.

pub mod insert;
pub mod lookup;
pub mod table;
pub mod tcp_state;
pub mod transition;

#[cfg(test)]
mod stress;
#[cfg(test)]
mod tests;
