//! Typed access to the maps of a loaded object, and the only place that writes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::atomic::Ordering,
};

use aya::maps::{HashMap as BpfHashMap, MapData, PerCpuArray};
use slb_common::{
    cookie::CookieKeys,
    next_hop::NextHop,
    service::{
        AddressBitmap, BITMAP_WORDS, Backend, Gauges, Ring, Service, ServiceKey4, ServiceKey6,
        address_bit,
    },
    vip::{Settings, VIP_STOPPED, VipState},
};
use zerocopy::transmute;

use super::{
    admission, contents,
    counters::{COUNTER_WORDS, Counted},
    locals::Locals,
    operation::{Addresses, Operation, Virtual},
    ranges::Ranges,
    table::Table,
    templates::Templates,
    words::{any_address, number, protocol, words},
};
use crate::bpf::{
    Error,
    load::Object,
    mapping::{Access, Mapping},
};

/// The maps.
pub struct Kernel {
    services: Mapping<Service>,
    backends: Mapping<Backend>,
    gauges: Mapping<Gauges>,
    rings: Mapping<u32>,
    bitmaps: Mapping<AddressBitmap>,
    pub(super) client_hops: Mapping<NextHop>,
    egress: BpfHashMap<MapData, u32, [u32; 2]>,
    leads_v4: BpfHashMap<MapData, [u8; 8], u32>,
    leads_v6: BpfHashMap<MapData, [u8; 20], u32>,
    ranges: Ranges,
    pub(super) vips: BpfHashMap<MapData, [u64; 2], u32>,
    pub(super) vip_states: Mapping<VipState>,
    pub(super) settings: Mapping<Settings>,
    pub(super) cookie_keys: Mapping<CookieKeys>,
    count_backends: PerCpuArray<MapData, [u64; COUNTER_WORDS]>,
    count_services: PerCpuArray<MapData, [u64; COUNTER_WORDS]>,
    count_verdicts: PerCpuArray<MapData, u64>,
    locals: Locals,
    count_answers: PerCpuArray<MapData, u64>,
    pub(super) addresses: BpfHashMap<MapData, u64, [u64; 4]>,
    pub(super) admission: admission::Maps,
    pub(super) replies: BpfHashMap<MapData, [u64; 3], [u64; 3]>,
    /// The connection tables, read-only.
    pub table: Table,
    /// The persistence templates.
    pub templates: Templates,
}

impl Kernel {
    /// Opens the maps of an object.
    ///
    /// # Errors
    /// A map is missing or of another type: the object is not ours.
    pub fn open(object: &mut Object) -> Result<Self, Error> {
        Ok(Self {
            services: object.mapping("SERVICES", Access::Write)?,
            backends: object.mapping("BACKENDS", Access::Write)?,
            gauges: object.mapping("GAUGES", Access::Read)?,
            rings: object.mapping("RINGS", Access::Write)?,
            bitmaps: object.mapping("BITMAPS", Access::Write)?,
            client_hops: object.mapping("HOPS_CLIENTS", Access::Write)?,
            egress: typed(object, "EGRESS")?,
            locals: Locals::open(object)?,
            admission: admission::Maps::open(object)?,
            replies: typed(object, "ONE_PACKET_REPLIES")?,
            table: Table::open(object)?,
            templates: Templates::open(object)?,
            leads_v4: typed(object, "SERVICES4")?,
            leads_v6: typed(object, "SERVICES6")?,
            ranges: Ranges(typed(object, "RANGES")?),
            vips: typed(object, "VIPS")?,
            vip_states: object.mapping("VIP_STATES", Access::Write)?,
            settings: object.mapping("SETTINGS", Access::Write)?,
            cookie_keys: object.mapping("COOKIE_KEYS", Access::Write)?,
            count_backends: typed(object, "COUNT_BACKENDS")?,
            count_services: typed(object, "COUNT_SERVICES")?,
            count_verdicts: typed(object, "COUNT_VERDICTS")?,
            count_answers: typed(object, "COUNT_ANSWERS")?,
            addresses: typed(object, "ADDRESSES")?,
        })
    }

    /// Does one write.
    ///
    /// # Errors
    /// The kernel's, for instance because a map is full.
    pub fn apply(&mut self, operation: &Operation) -> Result<(), Error> {
        match operation {
            Operation::SetBackend { slot, backend } => self.backends.set(*slot, backend),
            Operation::FillRing { offset, places } => self.rings.set_places(*offset, places),
            Operation::SetService { service, to } => {
                self.services.set(u32::from(*service), to);
            }
            Operation::SetInstance { place, to } => self.set_instance(*place, to),
            Operation::FillList { number, list } => self.fill_list(*number, list)?,
            Operation::DropList { number, list } => self.drop_list(*number, list)?,
            Operation::SetAddresses { which, addresses } => {
                self.set_addresses(*which, addresses)?
            }
            Operation::Lead { from, service } => self.lead(from, Some(u32::from(*service)))?,
            Operation::Unlead { from } => self.lead(from, None)?,
            Operation::StopVip { vip } => self.flag_vip(*vip, |flags| flags | VIP_STOPPED),
            Operation::StartVip { vip } => self.flag_vip(*vip, |flags| flags & !VIP_STOPPED),
        }
        Ok(())
    }

    fn set_addresses(&mut self, which: Addresses, addresses: &[IpAddr]) -> Result<(), Error> {
        match which {
            Addresses::Backends => {}
            Addresses::Vips => self.set_vips(addresses)?,
        }
        self.bitmaps.set(bitmap(which), &bits(addresses.iter().copied().map(words)));
        Ok(())
    }

    /// Makes these the local addresses that new connections of full NAT use. Returns all that
    /// connections may use: former ones stay known.
    pub fn set_locals(&mut self, addresses: &[IpAddr]) -> BTreeSet<IpAddr> {
        // Port ranges are shared out among the processors that packets may come in by.
        let processors = aya::util::nr_cpus().map_or(1, |processors| processors as u32);
        let known = self.locals.set(addresses, &self.settings, processors);
        self.bitmaps.set(LOCAL_BITS, &bits(known.iter().copied().map(words)));
        known
    }

    /// The local address in a place.
    pub fn local(&self, place: u16) -> IpAddr {
        self.locals.get(place)
    }

    fn lead(&mut self, from: &Virtual, to: Option<u32>) -> Result<(), Error> {
        if from.of_range {
            return self.ranges.lead(from, to).map_err(|error| map_error("RANGES", &error));
        }
        let (port, protocol) = (from.port.to_be_bytes(), number(from.protocol));
        match from.vip {
            IpAddr::V4(vip) => {
                let key = ServiceKey4 { vip: vip.octets(), port, protocol, reserved: 0 };
                let key: [u8; 8] = transmute!(key);
                match to {
                    Some(service) => self.leads_v4.insert(key, service, 0),
                    None => self.leads_v4.remove(&key),
                }
            }
            IpAddr::V6(vip) => {
                let key = ServiceKey6 { vip: vip.octets(), port, protocol, reserved: 0 };
                let key: [u8; 20] = transmute!(key);
                match to {
                    Some(service) => self.leads_v6.insert(key, service, 0),
                    None => self.leads_v6.remove(&key),
                }
            }
        }
        .map_err(|error| map_error("SERVICES4/6", &error))
    }

    /// What leads to which service.
    pub fn leads(&self) -> BTreeMap<Virtual, u16> {
        let v4 = self.leads_v4.iter().filter_map(Result::ok).filter_map(|(key, service)| {
            let key: ServiceKey4 = transmute!(key);
            Some((virtual_of(IpAddr::from(key.vip), key.port, key.protocol)?, service as u16))
        });
        let v6 = self.leads_v6.iter().filter_map(Result::ok).filter_map(|(key, service)| {
            let key: ServiceKey6 = transmute!(key);
            Some((virtual_of(IpAddr::from(key.vip), key.port, key.protocol)?, service as u16))
        });
        v4.chain(v6).chain(self.ranges.leads()).collect()
    }

    /// VIPs in the map whose bits are set: those that packets are looked up for.
    pub fn vips(&self) -> BTreeSet<IpAddr> {
        let present = self.vips.keys().filter_map(Result::ok).map(any_address);
        self.marked(Addresses::Vips, present)
    }

    /// Those of some addresses whose bits are set.
    pub fn marked(
        &self,
        which: Addresses,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> BTreeSet<IpAddr> {
        let bitmap = self.bitmaps.words(bitmap(which));
        let set = |address: &IpAddr| {
            let bit = address_bit(words(*address));
            bitmap[bit as usize / 64].load(Ordering::Acquire) & 1 << (bit % 64) != 0
        };
        addresses.into_iter().filter(set).collect()
    }

    /// How many services there can be.
    pub fn max_services(&self) -> u16 {
        u16::try_from(self.services.len()).unwrap_or(u16::MAX)
    }

    /// A service, in use or not.
    pub fn service(&self, id: u16) -> Service {
        self.services.get(u32::from(id))
    }

    /// How many backend slots there are.
    pub const fn max_backends(&self) -> u32 {
        self.backends.len()
    }

    /// A backend slot, in use or not.
    pub fn backend(&self, slot: u32) -> Backend {
        self.backends.get(slot)
    }

    /// How many places the ring arena has.
    pub const fn ring_slots(&self) -> u32 {
        self.rings.len()
    }

    /// The places of a ring.
    pub fn ring(&self, ring: Ring) -> Vec<u32> {
        let end = ring.offset().saturating_add(ring.length()).min(self.rings.len());
        (ring.offset()..end).map(|place| self.rings.get(place)).collect()
    }

    /// Entries in the table by backend slot, right now.
    pub fn gauges(&self, slot: u32) -> Gauges {
        self.gauges.get(slot)
    }

    /// Counters of a backend slot, all processors together.
    ///
    /// # Errors
    /// The kernel's.
    pub fn backend_counters(&self, slot: u32) -> Result<Counted, Error> {
        let values = self.count_backends.get(&slot, 0);
        Ok(Counted::sum(&values.map_err(|error| map_error("COUNT_BACKENDS", &error))?))
    }

    /// Counters of a service, all processors together.
    ///
    /// # Errors
    /// The kernel's.
    pub fn service_counters(&self, service: u16) -> Result<Counted, Error> {
        let values = self.count_services.get(&u32::from(service), 0);
        Ok(Counted::sum(&values.map_err(|error| map_error("COUNT_SERVICES", &error))?))
    }

    /// Counter of a verdict, all processors together.
    ///
    /// # Errors
    /// The kernel's.
    pub fn verdict(&self, index: u32) -> Result<u64, Error> {
        let values = self.count_verdicts.get(&index, 0);
        let values = values.map_err(|error| map_error("COUNT_VERDICTS", &error))?;
        Ok(values.iter().sum())
    }

    /// Counter of an answer, all processors together.
    ///
    /// # Errors
    /// The kernel's.
    pub fn answer(&self, index: u32) -> Result<u64, Error> {
        let values = self.count_answers.get(&index, 0);
        let values = values.map_err(|error| map_error("COUNT_ANSWERS", &error))?;
        Ok(values.iter().sum())
    }

    /// Sets the counters of a slot or service to 0, for one that begins a new life.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forget_backend(&mut self, slot: u32) -> Result<(), Error> {
        let zero = zeroes().map_err(|error| map_error("COUNT_BACKENDS", &error))?;
        self.count_backends.set(slot, zero, 0).map_err(|error| map_error("COUNT_BACKENDS", &error))
    }

    /// The same for a service.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forget_service(&mut self, service: u16) -> Result<(), Error> {
        self.forget_refused(service)?;
        let zero = zeroes().map_err(|error| map_error("COUNT_SERVICES", &error))?;
        self.count_services
            .set(u32::from(service), zero, 0)
            .map_err(|error| map_error("COUNT_SERVICES", &error))
    }

    /// Says by which parent and VLAN id frames for VLAN interfaces leave.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_egress(&mut self, wanted: &BTreeMap<u32, [u32; 2]>) -> Result<(), Error> {
        contents::bring("EGRESS", &mut self.egress, wanted)
    }

    /// A next hop to clients, in use or not.
    pub fn client_hop(&self, index: u16) -> NextHop {
        if u32::from(index) < self.client_hops.len() {
            self.client_hops.get(u32::from(index))
        } else {
            NextHop::default()
        }
    }
}

/// Index of the local addresses' bitmap.
const LOCAL_BITS: u32 = 2;

/// The bitmap of these addresses' words.
fn bits(addresses: impl Iterator<Item = [u64; 2]>) -> AddressBitmap {
    let mut bitmap = AddressBitmap { words: [0; BITMAP_WORDS] };
    for address in addresses {
        let bit = address_bit(address);
        bitmap.words[bit as usize / 64] |= 1 << (bit % 64);
    }
    bitmap
}

/// Index of a bitmap.
const fn bitmap(which: Addresses) -> u32 {
    match which {
        Addresses::Vips => 0,
        Addresses::Backends => 1,
    }
}

fn zeroes() -> Result<aya::maps::PerCpuValues<[u64; COUNTER_WORDS]>, std::io::Error> {
    let processors = aya::util::nr_cpus().map_err(|(_, error)| error)?;
    aya::maps::PerCpuValues::try_from(vec![[0; COUNTER_WORDS]; processors])
}

fn virtual_of(vip: IpAddr, port: [u8; 2], number: u8) -> Option<Virtual> {
    Some(Virtual::port(vip, u16::from_be_bytes(port), protocol(number)?))
}

pub(super) fn typed<T>(object: &mut Object, name: &'static str) -> Result<T, Error>
where
    T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    T::try_from(object.take_map(name)?).map_err(|error| map_error(name, &error))
}

pub(super) fn map_error(name: &'static str, error: &dyn std::error::Error) -> Error {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Error::Map { name, error: format!("{error}{cause}") }
}

const _: () = assert!(size_of::<ServiceKey4>() == 8 && size_of::<ServiceKey6>() == 20);
