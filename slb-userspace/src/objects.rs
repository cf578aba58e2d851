//! The eBPF objects, built from `slb-ebpf` by the build script.

#[cfg(objects_apart)]
use std::{fs, sync::LazyLock};

/// An object as a part of the binary.
#[cfg(not(objects_apart))]
macro_rules! object {
    ($name:literal) => {
        aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/", $name, ".o"))
    };
}

/// An object read from a directory that was fixed when the binary was built. `cargo xtask mutate`
/// builds daemon and tests so, because it changes the data plane many times and them not at all.
#[cfg(objects_apart)]
macro_rules! object {
    ($name:literal) => {{
        static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let path = concat!(env!("SLB_OBJECTS_APART"), "/", $name, ".o");
            fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"))
        });
        &BYTES
    }};
}

/// The data plane.
pub fn data_plane() -> &'static [u8] {
    object!("slb")
}

/// What exercises the connection table alone, for tests and benchmarks.
pub fn table_lab() -> &'static [u8] {
    object!("table-lab")
}

/// The benchmarks' own programs: what varies packets, and floors.
pub fn bench() -> &'static [u8] {
    object!("bench")
}

/// The programs that show a backend's servers their clients.
pub fn toa() -> &'static [u8] {
    object!("toa")
}
