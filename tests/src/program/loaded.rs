//! The loaded program with its maps. The kernel takes a third of a second to verify it, so tests
//! hand it on to each other, with everything that one has written wiped out.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError, atomic::Ordering::Relaxed},
};

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues};
use slb_common::{
    connection::{BUCKET_WORDS_V4, BUCKET_WORDS_V6, endpoint},
    cookie::CookieKeys,
    fragment::BUCKET_WORDS,
    next_hop::NextHop,
    one_packet::CLIENT_WAY_WORDS,
    service::{AddressBitmap, Backend, Gauges, Instance, Meter, Service},
    vip::{LOCAL_PORT_TAKEN, LocalAddress, Settings, VipState},
};
use slb_userspace::{
    bpf::{FullNat, Sizes, load::Object, mapping::Access},
    config::model::Family,
    expiry,
    maps::{
        Kernel, Operation,
        operation::Addresses,
        words::{number, words},
    },
    objects,
};

use super::cases::Case;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Services.
const SERVICES: u32 = 64;
/// Backend slots.
pub const BACKENDS: u32 = 64;
/// Persistence templates of each family.
pub const TEMPLATES: u32 = 1024;
/// Words of a scheduler's cursor.
const CURSOR_WORDS: usize = 8;

/// Those that no test uses now, by their tables' buckets.
static IDLE: Mutex<BTreeMap<u32, Vec<Loaded>>> = Mutex::new(BTreeMap::new());

/// The program and its maps.
pub struct Loaded {
    /// The object.
    pub object: Object,
    /// Its maps, as the daemon has them.
    pub kernel: Kernel,
    /// The templates, to write what time would.
    pub templates_v4: HashMap<MapData, [u64; 1], [u64; 2]>,
    /// The same over IPv6.
    pub templates_v6: HashMap<MapData, [u64; 3], [u64; 2]>,
    cursors: Array<MapData, [u64; CURSOR_WORDS]>,
    local_ports_v4: HashMap<MapData, [u64; 2], u64>,
    local_ports_v6: HashMap<MapData, [u64; 6], u64>,
    /// Clients that have passed a challenge.
    pub challenged: HashMap<MapData, [u64; 2], u64>,
    /// Buckets of answers.
    answers: PerCpuArray<MapData, u64>,
    /// Under which others find it when it is idle, if they do.
    kept_under: Option<u32>,
}

impl Loaded {
    /// A program with empty maps and tables of so many buckets.
    pub fn take(buckets: u32) -> Self {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let used = idle.get_mut(&buckets).and_then(Vec::pop);
        drop(idle);
        match used {
            Some(mut loaded) => {
                loaded.wipe();
                loaded
            }
            None => Self { kept_under: Some(buckets), ..Self::of_sizes(sizes(buckets)) },
        }
    }

    /// Hands it on, or lets it go.
    pub fn give_back(self) {
        let Some(buckets) = self.kept_under else { return };
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry(buckets).or_default().push(self);
    }

    /// A program with maps of these sizes, which is not handed on.
    pub fn of_sizes(sizes: Sizes) -> Self {
        let mut object = Object::load_private(objects::data_plane(), sizes).unwrap();
        object.load_stages().unwrap();
        let again = |name| match object.map(name).unwrap() {
            Map::HashMap(map) => Map::HashMap(MapData::from_id(map.info().unwrap().id()).unwrap()),
            _ => panic!("{name} is no hash map"),
        };
        let templates_v4 = HashMap::try_from(again("TEMPLATES4")).unwrap();
        let templates_v6 = HashMap::try_from(again("TEMPLATES6")).unwrap();
        let kernel = Kernel::open(&mut object).unwrap();
        let cursors = Array::try_from(object.take_map("CURSORS").unwrap()).unwrap();
        let local_ports_v4 = HashMap::try_from(object.take_map("LOCAL_PORTS4").unwrap()).unwrap();
        let local_ports_v6 = HashMap::try_from(object.take_map("LOCAL_PORTS6").unwrap()).unwrap();
        let answers = PerCpuArray::try_from(object.take_map("ANSWER_BUCKETS").unwrap()).unwrap();
        let challenged = HashMap::try_from(object.take_map("CHALLENGED").unwrap()).unwrap();
        Self {
            object,
            kernel,
            challenged,
            templates_v4,
            templates_v6,
            cursors,
            local_ports_v4,
            local_ports_v6,
            answers,
            kept_under: None,
        }
    }

    /// Makes every map what it was when it was new.
    fn wipe(&mut self) {
        let leads = self.kernel.leads().into_keys();
        leads.for_each(|from| self.kernel.apply(&Operation::Unlead { from }).unwrap());
        // The bitmaps are wiped with the other arrays; this is for the map beside them.
        let nobody = Operation::SetAddresses { which: Addresses::Vips, addresses: Vec::new() };
        self.kernel.apply(&nobody).unwrap();
        self.kernel.set_egress(&BTreeMap::new()).unwrap();
        self.kernel.set_own_addresses(&BTreeMap::new()).unwrap();
        self.fill_answer_buckets();
        let keys: Vec<_> = self.templates_v4.keys().map(Result::unwrap).collect();
        keys.iter().for_each(|key| self.templates_v4.remove(key).unwrap());
        let keys: Vec<_> = self.templates_v6.keys().map(Result::unwrap).collect();
        keys.iter().for_each(|key| self.templates_v6.remove(key).unwrap());
        self.kernel.templates.set_shared(&BTreeMap::new()).unwrap();
        self.kernel.set_replies(&BTreeMap::new()).unwrap();
        self.zero::<[u64; BUCKET_WORDS]>("FRAGMENTS");
        self.zero::<[u64; CLIENT_WAY_WORDS]>("CLIENT_WAYS");
        self.zero::<[u64; BUCKET_WORDS_V4]>("CONNECTIONS4");
        self.zero::<[u64; BUCKET_WORDS_V6]>("CONNECTIONS6");
        self.zero::<Service>("SERVICES");
        self.zero::<Backend>("BACKENDS");
        for gauges in ["GAUGES", "GAUGES_SERVICES", "GAUGES_INSTANCES"] {
            self.zero::<Gauges>(gauges);
        }
        self.zero::<Instance>("INSTANCES");
        for meters in ["METERS_SERVICES", "METERS_INSTANCES", "METERS_BACKENDS"] {
            self.zero::<Meter>(meters);
        }
        for (number, list) in self.kernel.lists() {
            self.kernel.apply(&Operation::DropList { number, list }).unwrap();
        }
        let clients: Vec<[u64; 3]> = self.kernel.clients().map(|(key, _)| key).collect();
        clients.iter().for_each(|key| self.kernel.forget_client(key).unwrap());
        self.zero::<Settings>("SETTINGS");
        self.zero::<VipState>("VIP_STATES");
        self.kernel.set_cookie_keys(&CookieKeys::default());
        let remembered: Vec<_> = self.challenged.keys().map(Result::unwrap).collect();
        remembered.iter().for_each(|key| self.challenged.remove(key).unwrap());
        self.zero::<u64>("SEQUENCES4");
        self.zero::<u64>("SEQUENCES6");
        self.zero::<LocalAddress>("LOCALS");
        self.forget_local_ports();
        self.zero::<u32>("RINGS");
        self.zero::<AddressBitmap>("BITMAPS");
        self.zero::<NextHop>("HOPS_CLIENTS");
        for service in 0..SERVICES {
            self.cursors.set(service, [0; CURSOR_WORDS], 0).unwrap();
            self.kernel.forget_service(service as u16).unwrap();
        }
        (0..BACKENDS).for_each(|slot| self.kernel.forget_backend(slot).unwrap());
    }

    /// Gives every processor all the tokens for answers that it may have.
    pub fn fill_answer_buckets(&mut self) {
        let processors = aya::util::nr_cpus().unwrap();
        for bucket in 0..2 {
            let full = PerCpuValues::try_from(vec![0; processors]).unwrap();
            self.answers.set(bucket, full, 0).unwrap();
        }
    }

    /// Local ports that are taken: how many over IPv4, how many over IPv6.
    pub fn local_ports(&self) -> (usize, usize) {
        (self.local_ports_v4.keys().count(), self.local_ports_v6.keys().count())
    }

    /// Takes a local port as a connection on another processor would.
    pub fn take_local_port(
        &mut self,
        case: Case,
        (local, port): (IpAddr, u16),
        backend: SocketAddr,
    ) {
        let protocol = u16::from(number(case.protocol));
        let port = port.to_be_bytes();
        let backend_port = backend.port().to_be_bytes();
        let (local, backend) = (words(local), words(backend.ip()));
        match case.family {
            Family::V4 => {
                let [a]: [u64; 1] = endpoint(local, port, protocol);
                let [b]: [u64; 1] = endpoint(backend, backend_port, protocol);
                self.local_ports_v4.insert([a, b], LOCAL_PORT_TAKEN, 1).unwrap();
            }
            Family::V6 => {
                let [a, b, c]: [u64; 3] = endpoint(local, port, protocol);
                let [d, e, f]: [u64; 3] = endpoint(backend, backend_port, protocol);
                self.local_ports_v6.insert([a, b, c, d, e, f], LOCAL_PORT_TAKEN, 1).unwrap();
            }
        }
    }

    /// Ends every entry, as the daemon does.
    pub fn cut_all(&mut self) {
        for family in [Family::V4, Family::V6] {
            expiry::cut(&mut self.object, &self.kernel, family, |_| true).unwrap();
        }
    }

    /// Gives all local ports back.
    fn forget_local_ports(&mut self) {
        let v4: Vec<_> = self.local_ports_v4.keys().map(Result::unwrap).collect();
        v4.iter().for_each(|key| self.local_ports_v4.remove(key).unwrap());
        let v6: Vec<_> = self.local_ports_v6.keys().map(Result::unwrap).collect();
        v6.iter().for_each(|key| self.local_ports_v6.remove(key).unwrap());
    }

    fn zero<T: FromBytes + IntoBytes + Immutable>(&self, map: &'static str) {
        let mapping = self.object.mapping::<T>(map, Access::Write).unwrap();
        for index in 0..mapping.len() {
            mapping.words(index).iter().for_each(|word| word.store(0, Relaxed));
        }
    }
}

/// Sizes with so many buckets in the tables.
pub fn sizes(buckets: u32) -> Sizes {
    Sizes {
        buckets_v4: buckets,
        buckets_v6: buckets,
        services: SERVICES,
        backends: BACKENDS,
        ring_slots: 70_000,
        full_nat: FullNat::On,
        templates: TEMPLATES,
        fragments: 256,
        acl_entries: 100_000,
    }
}
