//! The connection table: set-associative, four lines to a bucket, one line a connection, found by
//! both directions because the bucket comes from the client's endpoint alone.
//!
//! [`lookup`] reads without a lock; [`insert`] is the only place that makes an entry, after
//! [`sight`] has looked at each bucket; [`transition`] changes states, [`tcp_state`] and
//! [`one_sided`] say to which, [`windows`] whether a segment may be believed.
//! All of them stand on [`store`] (where the table lies), [`bucket`] and [`line`].
//! ADR 1 has the measurements behind this shape.

pub mod bucket;
pub mod insert;
pub mod line;
pub mod lookup;
pub mod one_sided;
pub mod sight;
pub mod store;
pub mod tcp_state;
pub mod transition;
pub mod windows;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod stress;
#[cfg(test)]
mod tests;
