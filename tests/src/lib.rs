//! What the program tests, the lab tests and the demo share.

pub mod bench_object;
pub mod icmp;
pub mod lab;
pub mod packets;
pub mod program;
pub mod table_lab;
