//! Loading the object: with maps of its own for tests, or with pinned maps that an earlier daemon
//! may have left in use.

use std::{os::fd::AsFd, path::PathBuf};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, ProgramArray},
    programs::{ProgramError, TestRun, TestRunOptions, Xdp},
};
use slb_common::{ABI_VERSION, connection::WAYS, hash::Seed, meta::Meta, stage::Stage};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    Error, FullNat, Sizes, growth,
    mapping::{Access, Mapping},
    pins::{self, Pins},
    shape,
};
use crate::objects;

/// A map's size by the settings.
type SizeOf = fn(&Sizes) -> u32;

/// Maps whose size the settings decide.
pub(super) const SIZED: [(&str, SizeOf); 32] = [
    ("CONNECTIONS4", |sizes| sizes.buckets_v4),
    ("CONNECTIONS6", |sizes| sizes.buckets_v6),
    ("SERVICES", |sizes| sizes.services),
    ("SERVICES4", Sizes::leads),
    ("SERVICES6", Sizes::leads),
    ("RANGES", Sizes::leads),
    ("VIPS", Sizes::leads),
    ("CURSORS", |sizes| sizes.services),
    ("COUNT_SERVICES", |sizes| sizes.services),
    ("BACKENDS", |sizes| sizes.backends),
    ("GAUGES", |sizes| sizes.backends),
    ("COUNT_BACKENDS", |sizes| sizes.backends),
    ("RINGS", |sizes| sizes.ring_slots),
    ("GAUGES_SERVICES", |sizes| sizes.services),
    ("GAUGES_INSTANCES", |sizes| sizes.services),
    ("INSTANCES", |sizes| sizes.services),
    ("METERS_SERVICES", |sizes| sizes.services),
    ("METERS_INSTANCES", |sizes| sizes.services),
    ("METERS_BACKENDS", |sizes| sizes.backends),
    ("COUNT_REFUSED", |sizes| sizes.services),
    ("ACL4", Sizes::acl_places),
    ("ACL6", Sizes::acl_places),
    ("CLIENTS", Sizes::clients),
    ("SEQUENCES4", |sizes| sizes.buckets_v4 * WAYS),
    ("SEQUENCES6", |sizes| sizes.buckets_v6 * WAYS),
    ("LOCAL_PORTS4", |sizes| sizes.local_ports(sizes.buckets_v4)),
    ("LOCAL_PORTS6", |sizes| sizes.local_ports(sizes.buckets_v6)),
    ("TEMPLATES4", |sizes| sizes.templates),
    ("TEMPLATES6", |sizes| sizes.templates),
    ("SHARED_BACKENDS", |sizes| sizes.backends),
    ("FRAGMENTS", |sizes| sizes.fragments * 2),
    ("ONE_PACKET_REPLIES", Sizes::leads),
];

/// Every map that outlives the daemon.
pub const PINNED: [&str; 45] = [
    "META",
    "CONNECTIONS4",
    "CONNECTIONS6",
    "SERVICES4",
    "SERVICES6",
    "RANGES",
    "SERVICES",
    "CURSORS",
    "RINGS",
    "BACKENDS",
    "GAUGES",
    "BITMAPS",
    "VIPS",
    "HOPS_CLIENTS",
    "COUNT_BACKENDS",
    "COUNT_SERVICES",
    "COUNT_VERDICTS",
    "COUNT_ANSWERS",
    "GAUGES_SERVICES",
    "GAUGES_INSTANCES",
    "INSTANCES",
    "METERS_SERVICES",
    "METERS_INSTANCES",
    "METERS_BACKENDS",
    "ACL4",
    "ACL6",
    "CLIENTS",
    "COUNT_REFUSED",
    "COUNT_VIPS",
    "SETTINGS",
    "VIP_STATES",
    "SEQUENCES4",
    "SEQUENCES6",
    "LOCALS",
    "LOCAL_PORTS4",
    "LOCAL_PORTS6",
    "TEMPLATES4",
    "TEMPLATES6",
    "SHARED_BACKENDS",
    "COUNT_NO_TEMPLATE",
    "FRAGMENTS",
    "ONE_PACKET_REPLIES",
    "CLIENT_WAYS",
    "COOKIE_KEYS",
    "CHALLENGED",
];

/// Whether the maps are new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Made now, empty.
    Created,
    /// An earlier daemon's, with its connections in them.
    Adopted,
}

/// A loaded object.
pub struct Object {
    ebpf: Ebpf,
    /// Sizes of its maps.
    pub sizes: Sizes,
    /// Whether its maps are new.
    pub origin: Origin,
    /// Its programs that a packet may be handed over to. The kernel empties the map when nobody
    /// holds it any more.
    stages: Option<Map>,
}

impl Object {
    /// Loads an object with maps that nobody else sees, and the well-known hash seed.
    ///
    /// # Errors
    /// The kernel's.
    pub fn load_private(object: &[u8], sizes: Sizes) -> Result<Self, Error> {
        Self::load(object, sizes, Seed::fixed(), None, Origin::Created)
    }

    /// Loads the data plane on the maps of `pins`, made now if there are none.
    ///
    /// # Errors
    /// Maps of another ABI or size; the kernel's.
    pub fn load_pinned(sizes: Sizes, pins: &Pins) -> Result<Self, Error> {
        pins.prepare()?;
        match found(pins, &sizes)? {
            Some((meta, there)) => {
                let full_nat = growth::grow(pins, there, sizes.full_nat)?;
                let sizes = Sizes { full_nat, ..sizes };
                Self::load(objects::data_plane(), sizes, meta.seed, Some(pins), Origin::Adopted)
            }
            None => {
                pins.remove_maps()?;
                let seed = pins::random_seed()?;
                let object =
                    Self::load(objects::data_plane(), sizes, seed, Some(pins), Origin::Created)?;
                // Last: maps without it are taken for unfinished and made anew.
                let meta = Meta {
                    abi: ABI_VERSION,
                    buckets_v4: sizes.buckets_v4,
                    buckets_v6: sizes.buckets_v6,
                    reserved: 0,
                    seed,
                };
                object.write_meta(&meta)?;
                Ok(object)
            }
        }
    }

    fn load(
        object: &[u8],
        sizes: Sizes,
        seed: Seed,
        pins: Option<&Pins>,
        origin: Origin,
    ) -> Result<Self, Error> {
        let (mask_v4, mask_v6) = (sizes.buckets_v4 - 1, sizes.buckets_v6 - 1);
        let mask_fragments = sizes.fragments - 1;
        let mut loader = EbpfLoader::new();
        for (name, size) in SIZED {
            loader.map_max_entries(name, size(&sizes));
        }
        loader.override_global("SEED", seed.as_bytes(), true);
        loader.override_global("MASK_V4", &mask_v4, true);
        loader.override_global("MASK_V6", &mask_v6, true);
        loader.override_global("MASK_FRAGMENTS", &mask_fragments, true);
        let log_level = super::log::level();
        loader.override_global(aya_log::LEVEL, &log_level, false);
        for name in pins.into_iter().flat_map(|_| PINNED) {
            loader.map_pin_path(name, pins.map(|pins| pins.map(name)).unwrap_or_default());
        }
        let ebpf = loader.load(object)?;
        Ok(Self { ebpf, sizes, origin, stages: None })
    }

    /// A program of the object, verified by the kernel.
    ///
    /// # Errors
    /// No such program, or the verifier's words.
    pub fn program(&mut self, name: &'static str) -> Result<&mut Xdp, Error> {
        let program = self
            .ebpf
            .program_mut(name)
            .ok_or(Error::Map { name, error: "no such program in the object".into() })?;
        let program: &mut Xdp =
            program.try_into().map_err(|error| Error::Program { program: name, error })?;
        if program.fd().is_err() {
            load_patiently(program).map_err(|error| Error::Program { program: name, error })?;
        }
        Ok(program)
    }

    /// Loads every program that a packet may be handed over to, and puts it into its place.
    ///
    /// # Errors
    /// The kernel's.
    pub fn load_stages(&mut self) -> Result<(), Error> {
        const NAME: &str = "STAGES";
        for stage in Stage::ALL {
            self.program(stage.program())?;
        }
        let failed = |error: String| Error::Map { name: NAME, error };
        let mut map = self.take_map(NAME)?;
        let mut stages =
            ProgramArray::try_from(&mut map).map_err(|error| failed(error.to_string()))?;
        for stage in Stage::ALL {
            let name = stage.program();
            let program = self.program(name)?;
            let fd = program.fd().map_err(|error| Error::Program { program: name, error })?;
            stages.set(*stage as u32, fd, 0).map_err(|error| failed(error.to_string()))?;
        }
        self.stages = Some(map);
        Ok(())
    }

    /// Pins the programs that packets are handed over to, so that they outlive this process.
    ///
    /// # Errors
    /// They are not loaded, or the pin cannot be made.
    pub fn pin_stages(&self, pins: &Pins) -> Result<PathBuf, Error> {
        let path = pins.next_stages()?;
        let failed = |error: String| Error::Path { path: path.clone(), error };
        let Some(Map::ProgramArray(stages)) = &self.stages else {
            return Err(failed("the programs are not loaded".to_owned()));
        };
        stages.pin(&path).map_err(|error| failed(error.to_string()))?;
        Ok(path)
    }

    /// Runs a program on one packet, as often as said; returns what it returned and its time.
    ///
    /// # Errors
    /// The kernel's.
    pub fn run(
        &mut self,
        name: &'static str,
        options: TestRunOptions<'_>,
    ) -> Result<aya::programs::TestRunResult, Error> {
        self.program(name)?
            .test_run(options)
            .map_err(|error| Error::Program { program: name, error })
    }

    /// The object itself, for what aya does with the whole of it.
    pub(super) const fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// A map of the object.
    ///
    /// # Errors
    /// No such map.
    pub fn map(&self, name: &'static str) -> Result<&Map, Error> {
        self.ebpf.map(name).ok_or(Error::Map { name, error: "not in the object".into() })
    }

    /// Takes a map out of the object, for typed access.
    ///
    /// # Errors
    /// No such map, or already taken.
    pub fn take_map(&mut self, name: &'static str) -> Result<Map, Error> {
        self.ebpf.take_map(name).ok_or(Error::Map { name, error: "not in the object".into() })
    }

    /// Maps an array of the object into memory.
    ///
    /// # Errors
    /// No such array, or the kernel's.
    pub fn mapping<T>(&self, name: &'static str, access: Access) -> Result<Mapping<T>, Error>
    where
        T: FromBytes + IntoBytes + zerocopy::Immutable,
    {
        match self.map(name)? {
            Map::Array(map) => Mapping::new(map.fd().as_fd(), entries(name, map)?, access),
            _ => Err(Error::Map { name, error: "not an array".into() }),
        }
    }

    fn write_meta(&self, meta: &Meta) -> Result<(), Error> {
        let name = "META";
        match self.map(name)? {
            Map::Array(map) => super::pins::write_first(map.fd().as_fd(), meta),
            _ => Err(Error::Map { name, error: "not an array".into() }),
        }
    }
}

/// Loads a program. The verifier gives up with EAGAIN when a signal is pending for the thread,
/// whatever that is about; the next attempt is as good as the first.
fn load_patiently(program: &mut Xdp) -> Result<(), ProgramError> {
    const ATTEMPTS: u32 = 20;
    let mut attempt = 1;
    loop {
        match program.load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EAGAIN) && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Elements of a map.
fn entries(name: &'static str, map: &MapData) -> Result<u32, Error> {
    map.info()
        .map(|info| info.max_entries())
        .map_err(|error| Error::Map { name, error: error.to_string() })
}

/// The finished maps of an earlier daemon, if there are any that this one may adopt, and whether
/// they have room for local ports.
fn found(pins: &Pins, sizes: &Sizes) -> Result<Option<(Meta, FullNat)>, Error> {
    let Some(meta) = pins.read_meta()? else { return Ok(None) };
    if meta.abi != ABI_VERSION {
        return Err(Error::Abi {
            directory: pins.directory().to_owned(),
            found: meta.abi,
            own: ABI_VERSION,
        });
    }
    let there = growth::there(pins)?;
    shape::check(pins, objects::data_plane(), &Sizes { full_nat: there, ..*sizes })?;
    Ok(Some((meta, there)))
}
