//! The eBPF objects: loading them with fresh or pinned maps, attaching XDP to interfaces, and
//! memory mappings of array maps.

pub mod attach;
pub mod elements;
mod growth;
pub mod load;
pub mod log;
pub mod mapping;
pub mod pins;
mod shape;

use std::path::PathBuf;

use slb_common::{
    admission::{ClientKey, ClientState, RefusedCounters},
    connection::WAYS,
    fragment::BUCKET_WORDS,
    next_hop::{CLIENT_HOPS, NextHop},
    one_packet::{CLIENT_WAY_WORDS, CLIENT_WAYS},
    service::{AddressBitmap, Backend, Counters, Gauges, Instance, Meter, Service},
    vip::{LOCALS, LocalAddress, VIP_STATES, VipCounters, VipState},
};

use crate::config::model::DataplaneSettings;

/// The data plane's object, built from `slb-ebpf`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/slb.o"));
/// The object that exercises the connection table alone, for tests and benchmarks.
pub static TABLE_LAB: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/table-lab.o"));
/// The object with the benchmarks' own programs: what varies packets, and floors.
pub static BENCH: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench.o"));

/// A cursor has a cache line of its own.
const CURSOR_BYTES: u64 = 64;
/// Four bytes, but the kernel keeps elements of arrays at multiples of eight.
const RING_SLOT_BYTES: u64 = 8;

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
    /// Persistence templates of each family.
    pub templates: u32,
    /// Entries of access lists.
    pub acl_entries: u32,
    /// Buckets of four fragmented datagrams (256 bytes) in each family, a power of two.
    pub fragments: u32,
    /// Whether connections may use full NAT: each then needs a place for its local port.
    pub full_nat: FullNat,
}

/// Whether there are local addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullNat {
    /// None: no local port is ever taken.
    Off,
    /// Some.
    On,
}

impl Sizes {
    /// Services that fit for so many backend slots: a service without backends is no use, and ids
    /// are 16 bits.
    const MAX_SERVICES: u32 = 65_535;
    /// Connections that processors may be making at one moment.
    const OPENING: u32 = 1024;

    /// The sizes that the settings ask for.
    pub fn of(settings: &DataplaneSettings) -> Self {
        Self {
            buckets_v4: buckets(settings.max_connections),
            buckets_v6: buckets(settings.max_connections_v6),
            services: settings.max_backends.min(Self::MAX_SERVICES),
            backends: settings.max_backends,
            ring_slots: settings.ring_slots,
            templates: settings.max_templates,
            acl_entries: settings.max_acl_entries,
            // Half of the places are taken then: both buckets of a datagram are rarely full.
            fragments: (settings.max_fragments / 2).next_power_of_two(),
            full_nat: if settings.local_addresses.is_empty() { FullNat::Off } else { FullNat::On },
        }
    }

    /// Local ports that can be taken at once beside a table of so many buckets: one for every line,
    /// so that the table alone says when it is full, and some for connections about to be made.
    pub const fn local_ports(&self, buckets: u32) -> u32 {
        match self.full_nat {
            FullNat::Off => 1,
            FullNat::On => buckets * WAYS + Self::OPENING,
        }
    }

    /// Ports of VIPs in each address family, and VIPs: four for each service.
    pub const fn leads(&self) -> u32 {
        self.services * 4
    }

    /// Places for entries of access lists, of which a list that changes needs some twice. They
    /// take memory when they are used.
    pub const fn acl_places(&self) -> u32 {
        self.acl_entries.saturating_mul(2)
    }

    /// Prefixes of clients whose connections are counted: one for every sixteen connections.
    pub const fn clients(&self) -> u32 {
        let clients = (self.buckets_v4 + self.buckets_v6) / 4;
        if clients < 1024 { 1024 } else { clients }
    }

    /// Bytes that all maps take on a machine with so many possible processors, once as many
    /// templates live as can: within a percent what the kernel counts.
    pub fn bytes(&self, processors: usize) -> u64 {
        // What the kernel puts before each key of a hash table, and a bucket of one.
        const ELEMENT: u64 = 48;
        const BUCKET: u64 = 16;
        let hash = |entries: u32, key_and_value: u64| {
            u64::from(entries) * (ELEMENT + key_and_value)
                + u64::from(entries.next_power_of_two()) * BUCKET
        };
        // One pointer finds the copies of all processors.
        let counters = (size_of::<Counters>() * processors + size_of::<u64>()) as u64;
        let refused = (size_of::<RefusedCounters>() * processors + size_of::<u64>()) as u64;
        let of_service = (size_of::<Service>() + 2 * size_of::<Gauges>() + size_of::<Instance>())
            as u64
            + CURSOR_BYTES
            + 2 * size_of::<Meter>() as u64
            + refused
            + counters;
        let of_backend =
            (size_of::<Backend>() + size_of::<Gauges>() + size_of::<Meter>()) as u64 + counters;
        let leads = self.leads();
        // Lines, and a word of sequence numbers for each.
        u64::from(self.buckets_v4) * (256 + 32)
            + u64::from(self.buckets_v6) * (512 + 32)
            + hash(leads, 16)
            + hash(leads, 32)
            + hash(leads, 24)
            + hash(self.templates, 8 + 16)
            + hash(self.templates, 24 + 16)
            + hash(self.backends, 24 + 8)
            + hash(self.clients(), (size_of::<ClientKey>() + size_of::<ClientState>()) as u64)
            + u64::from(self.services) * of_service
            + u64::from(self.backends) * of_backend
            + u64::from(self.ring_slots) * RING_SLOT_BYTES
            + hash(self.local_ports(self.buckets_v4), 16 + 8)
            + hash(self.local_ports(self.buckets_v6), 48 + 8)
            + u64::from(LOCALS) * size_of::<LocalAddress>() as u64
            + 3 * size_of::<AddressBitmap>() as u64
            + u64::from(CLIENT_HOPS) * size_of::<NextHop>() as u64
            + u64::from(VIP_STATES) * size_of::<VipState>() as u64
            + u64::from(self.fragments) * 2 * (BUCKET_WORDS * size_of::<u64>()) as u64
            + hash(leads, 24 + 24)
            + u64::from(CLIENT_WAYS) * (CLIENT_WAY_WORDS * size_of::<u64>()) as u64
            + u64::from(VIP_STATES) * (size_of::<VipCounters>() * processors + 8) as u64
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
    /// Pinned maps of another build.
    #[error(
        "{directory} holds maps that this slbd did not make ({what})\nhint: finish with the slbd \
         that made them (`slbd --detach` ends all its connections), then start this one",
        directory = directory.display()
    )]
    Shape {
        /// Where they are pinned.
        directory: PathBuf,
        /// Which map differs, in what.
        what: String,
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
    use super::{FullNat, Sizes, buckets};

    #[test]
    fn a_full_configuration_fills_at_most_five_places_of_eight() {
        for connections in [1024, 65_536, 1_000_000, 1_300_000, 10_000_000, 64_000_000] {
            let places = f64::from(buckets(connections)) * 4.0;
            assert!(f64::from(connections) / places <= 0.6251, "{connections}");
        }
        assert_eq!(buckets(1_000_000), 524_288);
        assert_eq!(buckets(10_000_000), 4_194_304);
    }

    #[test]
    fn the_bytes_of_all_maps_are_counted_and_grow_with_every_size() {
        let sizes = Sizes {
            buckets_v4: 524_288,
            buckets_v6: 32_768,
            services: 16_384,
            backends: 16_384,
            ring_slots: 4_194_304,
            full_nat: FullNat::Off,
            templates: 0,
            acl_entries: 200_000,
            fragments: 8192,
        };
        // What Linux 6.18 counts for them with two processors: `memlock` of each map's fdinfo,
        // those of templates left out.
        let counted: u64 = 265_797_400;
        let estimate = sizes.bytes(2);
        assert!(estimate.abs_diff(counted) <= counted / 100, "{estimate} of {counted}");
        for larger in [
            Sizes { buckets_v4: 1_048_576, ..sizes },
            Sizes { buckets_v6: 65_536, ..sizes },
            Sizes { services: 16_385, ..sizes },
            Sizes { backends: 16_385, ..sizes },
            Sizes { ring_slots: 4_194_305, ..sizes },
            Sizes { full_nat: FullNat::On, ..sizes },
            Sizes { templates: 1, ..sizes },
            Sizes { fragments: 16_384, ..sizes },
        ] {
            assert!(larger.bytes(2) > estimate, "{larger:?}");
        }
        // For each processor two counters of 40 bytes more and the refusals' 144, and one of each VIP.
        let of_processor = 16_384 * (2 * 40 + 144) + 4096 * 16;
        assert_eq!(sizes.bytes(3) - estimate, of_processor);
    }
}
