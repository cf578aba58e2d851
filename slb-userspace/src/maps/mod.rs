//! The kernel's maps as the daemon sees them. [`kernel`] is the only writer; [`operation`] says
//! what can be written; [`words`] how addresses and protocols are; [`table`] reads the connection
//! table, [`templates`] what persistence remembers; [`counters`] adds up the processors; [`locals`]
//! are full NAT's addresses.

pub mod counters;
pub mod kernel;
pub mod locals;
pub mod operation;
pub mod table;
pub mod templates;
pub mod words;

pub use kernel::Kernel;
pub use operation::Operation;
