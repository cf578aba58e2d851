//! The eBPF objects: loading them with fresh or pinned maps, attaching XDP to interfaces, and
//! memory mappings of array maps.

pub mod attach;
pub mod load;
pub mod log;
pub mod mapping;
pub mod pins;

use std::path::PathBuf;

use crate::config::model::DataplaneSettings;

/// The data plane's object, built from `slb-ebpf`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/slb.o"));
/// The object that exercises the connection table alone, for tests and benchmarks.
pub static TABLE_LAB: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/table-lab.o"));

/// How large the maps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Buckets of four IPv4 lines (256 bytes), a power of two.
    pub buckets_v4: u32,
    /// Buckets of four IPv6 lines (512 bytes), a power of two.
    pub buckets_v6: u32,
    /// Virtual services: listeners × families.
    pub services: u32,
    /// Backend slots.
    pub backends: u32,
    /// Places of the ring arena.
    pub ring_slots: u32,
}

impl Sizes {
    /// Services that fit for so many backend slots: a service without backends is no use, and ids
    /// are 16 bits.
    const MAX_SERVICES: u32 = 65_535;

    /// The sizes that the settings ask for.
    pub fn of(settings: &DataplaneSettings) -> Self {
        Self {
            buckets_v4: buckets(settings.max_connections),
            buckets_v6: buckets(settings.max_connections_v6),
            services: settings.max_backends.min(Self::MAX_SERVICES),
            backends: settings.max_backends,
            ring_slots: settings.ring_slots,
        }
    }

    /// Bytes that the two connection tables take.
    pub const fn table_bytes(&self) -> u64 {
        self.buckets_v4 as u64 * 256 + self.buckets_v6 as u64 * 512
    }
}

/// Buckets that take `connections` live ones with none refused: at most five places of eight are
/// taken then.
pub fn buckets(connections: u32) -> u32 {
    let places = u64::from(connections) * 8 / 5;
    u32::try_from(places.div_ceil(4).next_power_of_two()).unwrap_or(1 << 31)
}

/// Why the data plane could not be loaded or attached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused the object.
    #[error("the kernel refused the eBPF object: {0}")]
    Load(#[from] aya::EbpfError),
    /// The kernel refused a program.
    #[error("the kernel refused the program {program}: {error}")]
    Program {
        /// Its name.
        program: &'static str,
        /// The verifier's words.
        error: aya::programs::ProgramError,
    },
    /// A map is missing or of another type.
    #[error("map {name}: {error}")]
    Map {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        error: String,
    },
    /// Pinned maps of another version.
    #[error(
        "{directory} holds maps of ABI {found}, this slbd speaks ABI {own}\nhint: finish with the \
         slbd that made them (`slbd --detach` ends all its connections), then start this one",
        directory = directory.display()
    )]
    Abi {
        /// Where they are pinned.
        directory: PathBuf,
        /// Their number.
        found: u32,
        /// Ours.
        own: u32,
    },
    /// Pinned maps of another size.
    #[error(
        "{directory} holds maps for other sizes ({what})\nhint: a table cannot grow while it is in \
         use: set the former value again, or run `slbd --detach --config FILE` (which ends all \
         connections) and start slbd anew",
        directory = directory.display()
    )]
    Sizes {
        /// Where they are pinned.
        directory: PathBuf,
        /// Which setting differs, with both values.
        what: String,
    },
    /// Something with a path.
    #[error("{path}: {error}", path = path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What went wrong.
        error: String,
    },
    /// XDP could not be attached.
    #[error("interface {interface}: {error}\nhint: {hint}")]
    Attach {
        /// Where.
        interface: String,
        /// What went wrong.
        error: String,
        /// What to do.
        hint: &'static str,
    },
    /// An operating system call failed.
    #[error("{call}: {error}")]
    System {
        /// Which.
        call: &'static str,
        /// Why.
        error: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::buckets;

    #[test]
    fn a_full_configuration_fills_at_most_five_places_of_eight() {
        for connections in [1024, 65_536, 1_000_000, 1_300_000, 10_000_000, 64_000_000] {
            let places = f64::from(buckets(connections)) * 4.0;
            assert!(f64::from(connections) / places <= 0.6251, "{connections}");
        }
        assert_eq!(buckets(1_000_000), 524_288);
        assert_eq!(buckets(10_000_000), 4_194_304);
    }
}
