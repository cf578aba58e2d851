//! The SLB daemon and its command line as a library; the binaries are a few lines each.

pub mod api;
pub mod blackholes;
pub mod bpf;
pub mod cli;
pub mod config;
pub mod cookies;
pub mod daemon;
pub mod drains;
pub mod expiry;
pub mod health;
pub mod maps;
pub mod network;
pub mod objects;
pub mod overlay;
pub mod plan;
pub mod preflight;
pub mod reconciler;
pub mod resets;
pub mod status;
pub mod templates;
pub mod text_file;
pub mod toa;
