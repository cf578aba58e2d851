//! From what is wanted to a list of writes. Everything here is pure: [`desired`] says what the
//! kernel should hold, [`slow_start`] how much of its weight a backend gets, `segments` what
//! becomes of TCP options, [`rings`] turns weights into rings, [`arena`] finds room for them,
//! [`persistence`] numbers groups of templates, [`one_packet`] says whose replies are whose, and
//! [`diff`] compares with what the kernel holds ([`applied`]) and orders the writes, among them
//! those to what packets come in by (`entrances`). [`reclaim`] frees what nobody needs any more;
//! `refusal` says what becomes of packets without connection or backend; [`admission`] whom a
//! listener lets in, by `lists` and `instances` that have places of their own.

pub mod admission;
pub mod applied;
pub mod arena;
pub mod desired;
pub mod diff;
mod entrances;
mod instances;
mod lists;
mod numbers;
pub mod one_packet;
pub mod persistence;
pub mod reclaim;
mod refusal;
pub mod rings;
mod segments;
pub mod slow_start;

pub use entrances::entrances;

#[cfg(test)]
mod tests;
