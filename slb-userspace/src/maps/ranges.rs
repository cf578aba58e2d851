//! The trie that finds the service of a port by the block that it is in.

use aya::maps::{LpmTrie, MapData, MapError, lpm_trie::Key};
use slb_common::range::RangeKey;
use zerocopy::transmute;

use super::{
    operation::Virtual,
    words::{address, number, protocol, words},
};
use crate::config::model::Family;

/// The map `RANGES`.
pub(super) struct Ranges(pub(super) LpmTrie<MapData, [u8; size_of::<RangeKey>()], u32>);

impl Ranges {
    /// Leads a block to a service, or nowhere.
    pub(super) fn lead(&mut self, from: &Virtual, to: Option<u32>) -> Result<(), MapError> {
        let key = RangeKey {
            vip: words(from.vip),
            protocol: number(from.protocol),
            family: Family::of(from.vip).number(),
            port: from.port.to_be_bytes(),
            reserved: [0; 4],
        };
        let key = Key::new(RangeKey::ALL_PORTS + from.shared_bits(), transmute!(key));
        match to {
            Some(service) => self.0.insert(&key, service, 0),
            None => self.0.remove(&key),
        }
    }

    /// What leads to which service.
    pub(super) fn leads(&self) -> impl Iterator<Item = (Virtual, u16)> {
        self.0.iter().filter_map(Result::ok).filter_map(|(key, service)| {
            let shared = key.prefix_len().checked_sub(RangeKey::ALL_PORTS)?;
            let key: RangeKey = transmute!(key.data());
            let family = if key.family == 6 { Family::V6 } else { Family::V4 };
            let port = u16::from_be_bytes(key.port);
            // Where no bit is shared, every bit differs.
            let last_port = port | u16::MAX.checked_shr(shared).unwrap_or(0);
            let (vip, protocol) = (address(family, key.vip), protocol(key.protocol)?);
            let block = Virtual { vip, port, last_port, protocol, of_range: true };
            Some((block, service as u16))
        })
    }
}
