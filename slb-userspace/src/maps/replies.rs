//! What programs need to know whose replies they see where no entry says it: those of backends to
//! datagrams that were scheduled one by one.

use std::collections::BTreeMap;

use aya::maps::{HashMap as BpfHashMap, MapData};
use slb_common::one_packet::{Reply, ReplyKey};
use zerocopy::transmute;

use super::kernel::{Kernel, map_error, typed};
use crate::bpf::{Error, load::Object};

const NAME: &str = "ONE_PACKET_REPLIES";

/// The map.
pub(super) struct Replies(BpfHashMap<MapData, [u64; 3], [u64; 3]>);

impl Replies {
    /// Opens the map of an object.
    ///
    /// # Errors
    /// It is missing or of another type.
    pub(super) fn open(object: &mut Object) -> Result<Self, Error> {
        Ok(Self(typed(object, NAME)?))
    }

    /// Says whose replies are whose. Programs look at the slot, too: no order of writes matters.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn set(&mut self, wanted: &BTreeMap<ReplyKey, Reply>) -> Result<(), Error> {
        let failed = |error| map_error(NAME, &error);
        let present: BTreeMap<ReplyKey, Reply> = self
            .0
            .iter()
            .filter_map(Result::ok)
            .map(|(key, reply)| (transmute!(key), transmute!(reply)))
            .collect();
        for key in present.keys().filter(|key| !wanted.contains_key(key)) {
            let key: [u64; 3] = transmute!(*key);
            self.0.remove(&key).map_err(failed)?;
        }
        for (key, reply) in wanted.iter().filter(|(key, reply)| present.get(key) != Some(reply)) {
            let (key, reply): ([u64; 3], [u64; 3]) = (transmute!(*key), transmute!(*reply));
            self.0.insert(key, reply, 0).map_err(failed)?;
        }
        Ok(())
    }
}

impl Kernel {
    /// Says which backends' replies belong to datagrams without entry.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_replies(&mut self, wanted: &BTreeMap<ReplyKey, Reply>) -> Result<(), Error> {
        self.replies.set(wanted)
    }
}
