//! The SLB library.
