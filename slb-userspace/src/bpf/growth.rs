//! Maps of local ports that an earlier daemon made without room, because it had no local addresses:
//! they hold nothing, so a new daemon that needs them makes them anew. Once there is room it stays.

use super::{Error, FullNat, pins::Pins, shape};

/// One for each address family.
pub(super) const LOCAL_PORTS: [&str; 2] = ["LOCAL_PORTS4", "LOCAL_PORTS6"];

/// Whether the pinned maps have room for local ports.
///
/// # Errors
/// A map that cannot be read.
pub(super) fn there(pins: &Pins) -> Result<FullNat, Error> {
    for name in LOCAL_PORTS {
        let path = pins.map(name);
        if path.exists() && shape::of_pin(&path)?.max_entries > 1 {
            return Ok(FullNat::On);
        }
    }
    Ok(FullNat::Off)
}

/// Takes maps without room away if there shall be room, so that they are made anew. Returns
/// whether there is or will be room.
///
/// # Errors
/// A map that cannot be removed.
pub(super) fn grow(pins: &Pins, there: FullNat, wanted: FullNat) -> Result<FullNat, Error> {
    if there == FullNat::On {
        return Ok(FullNat::On);
    }
    if wanted == FullNat::On {
        LOCAL_PORTS.iter().try_for_each(|name| pins.remove(&pins.map(name)))?;
    }
    Ok(wanted)
}
