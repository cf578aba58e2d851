//! Bringing a hash map to what it should hold.

use std::collections::BTreeMap;

use aya::{
    Pod,
    maps::{HashMap as BpfHashMap, MapData},
};

use super::kernel::map_error;
use crate::bpf::Error;

/// Makes a map hold this and nothing else; what is right already is not written.
///
/// # Errors
/// The kernel's.
pub(super) fn bring<K: Pod + Ord, V: Pod + PartialEq>(
    name: &'static str,
    map: &mut BpfHashMap<MapData, K, V>,
    wanted: &BTreeMap<K, V>,
) -> Result<(), Error> {
    let failed = |error| map_error(name, &error);
    let present: BTreeMap<K, V> = map.iter().filter_map(Result::ok).collect();
    for key in present.keys().filter(|key| !wanted.contains_key(key)) {
        map.remove(key).map_err(failed)?;
    }
    for (key, value) in wanted.iter().filter(|(key, value)| present.get(key) != Some(value)) {
        map.insert(key, value, 0).map_err(failed)?;
    }
    Ok(())
}
