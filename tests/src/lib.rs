//! What the program tests, the lab tests and the demo share.

pub mod lab;
