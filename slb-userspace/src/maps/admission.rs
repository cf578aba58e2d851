//! What admission counts and keeps in the kernel: refusals, instances, blackholed VIPs.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use aya::maps::{HashMap as BpfHashMap, MapData, PerCpuArray};
use slb_common::{
    admission::{Reason, RefusedCounters},
    service::{Gauges, INSTANCE_PRESENT, Instance},
    vip::{SETTING_METER_VIPS, VIP_BLACKHOLED, VipCounters},
};

use super::{
    kernel::{Kernel, map_error, typed},
    lists::Lists,
};
use crate::{
    bpf::{
        Error,
        load::Object,
        mapping::{Access, Mapping},
    },
    config::model::AccessList,
};

/// Words of one processor's refusals.
const REFUSED_WORDS: usize = size_of::<RefusedCounters>() / 8;

/// The maps of admission.
pub(super) struct Maps {
    instances: Mapping<Instance>,
    gauges_instances: Mapping<Gauges>,
    lists: Lists,
    clients: BpfHashMap<MapData, [u64; 3], [u64; 2]>,
    count_refused: PerCpuArray<MapData, [u64; REFUSED_WORDS]>,
    count_vips: PerCpuArray<MapData, [u64; 2]>,
}

impl Maps {
    pub(super) fn open(object: &mut Object) -> Result<Self, Error> {
        Ok(Self {
            instances: object.mapping("INSTANCES", Access::Write)?,
            gauges_instances: object.mapping("GAUGES_INSTANCES", Access::Read)?,
            lists: Lists { v4: typed(object, "ACL4")?, v6: typed(object, "ACL6")? },
            clients: typed(object, "CLIENTS")?,
            count_refused: typed(object, "COUNT_REFUSED")?,
            count_vips: typed(object, "COUNT_VIPS")?,
        })
    }
}

/// Words of [`Settings`]: its flags with the number of IPv4 locals.
const SETTINGS_FLAGS: usize = 0;
/// Word of a VIP's state that says until when it is blackholed.
const VIP_UNTIL: usize = 1;

impl Kernel {
    /// Writes the place of an instance.
    pub(super) fn set_instance(&self, place: u16, to: &Instance) {
        self.admission.instances.set(u32::from(place), to);
    }

    /// Instances in use, by place.
    pub fn instances(&self) -> BTreeMap<u16, Instance> {
        let all = (0..self.max_services())
            .map(|place| (place, self.admission.instances.get(u32::from(place))));
        all.filter(|(_, instance)| instance.flags & INSTANCE_PRESENT != 0).collect()
    }

    /// Entries of an instance.
    pub fn instance_gauges(&self, place: u16) -> Gauges {
        self.admission.gauges_instances.get(u32::from(place))
    }

    /// Writes a list's entries.
    pub(super) fn fill_list(&mut self, number: u32, list: &AccessList) -> Result<(), Error> {
        self.admission.lists.fill(number, list).map_err(|error| map_error("ACL4/6", &error))
    }

    /// Removes a list's entries.
    pub(super) fn drop_list(&mut self, number: u32, list: &AccessList) -> Result<(), Error> {
        self.admission.lists.remove(number, list).map_err(|error| map_error("ACL4/6", &error))
    }

    /// Every list with its number.
    pub fn lists(&self) -> BTreeMap<u32, AccessList> {
        self.admission.lists.all().into_iter().map(|(list, all)| (list, Arc::from(all))).collect()
    }

    /// Prefixes of clients that are counted: words of [`slb_common::admission::ClientKey`], and
    /// entries with the bucket.
    pub fn clients(&self) -> impl Iterator<Item = ([u64; 3], [u64; 2])> {
        self.admission.clients.iter().filter_map(Result::ok)
    }

    /// Forgets a prefix of clients.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forget_client(&mut self, key: &[u64; 3]) -> Result<(), Error> {
        self.admission.clients.remove(key).map_err(|error| map_error("CLIENTS", &error))
    }

    /// What a service has refused, all processors together.
    ///
    /// # Errors
    /// The kernel's.
    pub fn refused(&self, service: u16) -> Result<RefusedCounters, Error> {
        let values = self.admission.count_refused.get(&u32::from(service), 0);
        let values = values.map_err(|error| map_error("COUNT_REFUSED", &error))?;
        let mut sum = RefusedCounters::default();
        for words in values.iter() {
            let (refused, shadow) = words.split_at(Reason::COUNT);
            sum.refused.iter_mut().zip(refused).for_each(|(sum, word)| *sum += word);
            sum.shadow.iter_mut().zip(shadow).for_each(|(sum, word)| *sum += word);
        }
        Ok(sum)
    }

    /// Sets a service's refusals to 0.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn forget_refused(&mut self, service: u16) -> Result<(), Error> {
        let failed = |error: &dyn std::error::Error| map_error("COUNT_REFUSED", error);
        let processors = aya::util::nr_cpus().map_err(|(_, error)| failed(&error))?;
        let zero = aya::maps::PerCpuValues::try_from(vec![[0; REFUSED_WORDS]; processors]);
        let zero = zero.map_err(|error| failed(&error))?;
        let set = self.admission.count_refused.set(u32::from(service), zero, 0);
        set.map_err(|error| failed(&error))
    }

    /// Has the program count packets by VIP and look whether one is blackholed.
    pub fn meter_vips(&self, on: bool) {
        let bit = u64::from(SETTING_METER_VIPS);
        let flags = &self.settings.words(0)[SETTINGS_FLAGS];
        match on {
            true => flags.fetch_or(bit, Ordering::AcqRel),
            false => flags.fetch_and(!bit, Ordering::AcqRel),
        };
    }

    /// Packets and bytes that came for a VIP while they were counted.
    ///
    /// # Errors
    /// The kernel's.
    pub fn vip_counters(&self, vip: IpAddr) -> Result<VipCounters, Error> {
        let Some(place) = self.vip_place(vip) else { return Ok(VipCounters::default()) };
        let values = self.admission.count_vips.get(&place, 0);
        let values = values.map_err(|error| map_error("COUNT_VIPS", &error))?;
        Ok(VipCounters {
            packets: values.iter().map(|[packets, _]| packets).sum(),
            bytes: values.iter().map(|[_, bytes]| bytes).sum(),
        })
    }

    /// Until when nothing is let through to a VIP, in nanoseconds of the monotonic clock; `None`
    /// ends it.
    pub fn blackhole(&self, vip: IpAddr, until: Option<u64>) {
        if let (Some(until), Some(place)) = (until, self.vip_place(vip)) {
            self.vip_states.words(place)[VIP_UNTIL].store(until, Ordering::Release);
        }
        self.flag_vip(vip, |flags| match until {
            Some(_) => flags | VIP_BLACKHOLED,
            None => flags & !VIP_BLACKHOLED,
        });
    }

    /// Until when a VIP is blackholed, if it is.
    pub fn blackholed_until(&self, vip: IpAddr) -> Option<u64> {
        let state = self.vip_state(vip)?;
        (state.flags & VIP_BLACKHOLED != 0).then_some(state.blackholed_until)
    }
}
