//! Persistence templates as they lie in their maps, and what programs need to find their backends.

use std::{collections::BTreeMap, net::IpAddr, os::fd::AsFd};

use aya::maps::{HashMap as BpfHashMap, Map, MapData, PerCpuArray};
use ipnet::IpNet;
use slb_common::{
    connection::endpoint_address,
    template::{Key, Life, SharedBackend, Target, Template, group_of, prefix_of},
};
use zerocopy::transmute;

use super::{
    contents,
    kernel::{map_error, typed},
    words::address,
};
use crate::{
    bpf::{Error, elements, load::Object},
    config::model::Family,
};

/// The maps.
pub struct Templates {
    v4: MapData,
    v6: MapData,
    without: PerCpuArray<MapData, u64>,
    shared: BpfHashMap<MapData, [u64; 3], u32>,
}

/// A template as it was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Family of the client.
    pub family: Family,
    /// The words of its key, of IPv4 the first alone.
    pub key: [u64; 3],
    /// Whose it is.
    pub client: IpNet,
    /// Services that share it.
    pub group: u16,
    /// Its connections and when it was used last.
    pub life: Life,
    /// Where new connections go.
    pub target: Target,
}

impl Templates {
    /// Opens the maps of an object.
    ///
    /// # Errors
    /// A map is missing or of another type.
    pub fn open(object: &mut Object) -> Result<Self, Error> {
        Ok(Self {
            v4: hash(object, "TEMPLATES4")?,
            v6: hash(object, "TEMPLATES6")?,
            without: typed(object, "COUNT_NO_TEMPLATE")?,
            shared: typed(object, "SHARED_BACKENDS")?,
        })
    }

    /// Some templates of a family, from a place on, and where to go on; `None`: from the first.
    ///
    /// # Errors
    /// The kernel's.
    pub fn part(
        &self,
        family: Family,
        from: Option<u32>,
    ) -> Result<(Vec<Found>, Option<u32>), Error> {
        match family {
            Family::V4 => part::<1>(&self.v4, family, from),
            Family::V6 => part::<3>(&self.v6, family, from),
        }
    }

    /// Every template of a family.
    ///
    /// # Errors
    /// The kernel's.
    pub fn all(&self, family: Family) -> Result<Vec<Found>, Error> {
        let (mut found, mut next) = self.part(family, None)?;
        while let Some(from) = next {
            let (more, after) = self.part(family, Some(from))?;
            found.extend(more);
            next = after;
        }
        Ok(found)
    }

    /// Connections of a family that found no room for a template.
    ///
    /// # Errors
    /// The kernel's.
    pub fn without(&self, family: Family) -> Result<u64, Error> {
        let index = match family {
            Family::V4 => 0,
            Family::V6 => 1,
        };
        let values = self.without.get(&index, 0);
        Ok(values.map_err(|error| map_error("COUNT_NO_TEMPLATE", &error))?.iter().sum())
    }

    /// Says in which slots services that share templates find a backend's address. Programs look
    /// at the slot, too: no order of writes matters.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_shared(&mut self, wanted: &BTreeMap<SharedBackend, u32>) -> Result<(), Error> {
        let wanted = wanted.iter().map(|(key, slot)| (transmute!(*key), *slot));
        contents::bring("SHARED_BACKENDS", &mut self.shared, &wanted.collect())
    }
}

fn hash(object: &mut Object, name: &'static str) -> Result<MapData, Error> {
    match object.take_map(name)? {
        Map::HashMap(map) => Ok(map),
        _ => Err(Error::Map { name, error: "not a hash map".into() }),
    }
}

fn part<const W: usize>(
    map: &MapData,
    family: Family,
    from: Option<u32>,
) -> Result<(Vec<Found>, Option<u32>), Error> {
    let part = elements::read::<Key<W>, Template>(map.fd().as_fd(), from)
        .map_err(|error| Error::System { call: "BPF_MAP_LOOKUP_BATCH", error })?;
    let found = part.elements.iter().filter_map(|(key, template)| found(family, key, template));
    Ok((found.collect(), part.next))
}

/// A template by its key and value; `None` for one that is just being deleted.
fn found<const W: usize>(family: Family, key: &Key<W>, template: &Template) -> Option<Found> {
    let (life, target) = (Life(template.life), Target(template.target));
    let client: IpAddr = address(family, endpoint_address(key));
    let mut words = [0; 3];
    words[..W].copy_from_slice(key);
    Some(Found {
        family,
        key: words,
        client: IpNet::new(client, prefix_of(key)).ok()?,
        group: group_of(key),
        life,
        target,
    })
}
