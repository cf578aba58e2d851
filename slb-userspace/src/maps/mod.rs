//! The kernel's maps as the daemon sees them. [`kernel`] is the only writer; [`operation`] says
//! what can be written; [`words`] how addresses and protocols are; [`table`] reads the connection
//! table, [`templates`] what persistence remembers; [`counters`] adds up the processors; [`locals`]
//! are full NAT's addresses; `vips` gives each VIP its place, `ranges` the blocks of port ranges
//! theirs; `tunnel_sources` says where outer headers come from; `lists` and `admission` hold what
//! admission is about.

mod admission;
mod client_hops;
mod contents;
pub mod cookies;
pub mod counters;
pub mod kernel;
mod lists;
pub mod locals;
pub mod operation;
mod ranges;
mod replies;
pub mod table;
pub mod templates;
mod tunnel_sources;
mod vips;
pub mod words;

pub use kernel::Kernel;
pub use operation::Operation;
