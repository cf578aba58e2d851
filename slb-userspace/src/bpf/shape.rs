//! What a pinned map must be like for the program to run on it. aya takes a pinned map of the right
//! name whatever it is, so this is looked at before.

use std::{collections::BTreeMap, path::Path};

use aya::maps::{MapInfo, MapType};

use super::{
    Error, Sizes,
    growth::LOCAL_PORTS,
    load::{PINNED, SIZED},
    pins::Pins,
};

/// What a map is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    kind: u32,
    key_size: u32,
    value_size: u32,
    flags: u32,
    pub(super) max_entries: u32,
}

/// Checks every pinned map against the object.
///
/// # Errors
/// A map that cannot be read, or is not like the object's.
pub(super) fn check(pins: &Pins, object: &[u8], sizes: &Sizes) -> Result<(), Error> {
    let wanted = of_object(object, sizes)?;
    for (name, wanted) in wanted {
        let path = pins.map(name);
        if LOCAL_PORTS.contains(&name) && !path.exists() {
            // A daemon that was to make it anew did not come to it.
            continue;
        }
        let pinned = of_pin(&path)?;
        let directory = || pins.directory().to_owned();
        if (Shape { max_entries: wanted.max_entries, ..pinned }) != wanted {
            let what = format!("{name}: {}", difference(pinned, wanted));
            return Err(Error::Shape { directory: directory(), what });
        }
        if pinned.max_entries != wanted.max_entries {
            let (there, configured) = (pinned.max_entries, wanted.max_entries);
            let what = format!("{name}: {there} there, {configured} configured");
            return Err(Error::Sizes { directory: directory(), what });
        }
    }
    Ok(())
}

/// The shapes of the object's maps that outlive the daemon.
fn of_object(object: &[u8], sizes: &Sizes) -> Result<BTreeMap<&'static str, Shape>, Error> {
    let object = aya_obj::Object::parse(object).map_err(aya::EbpfError::ParseError)?;
    let shape = |name: &'static str| {
        let map = object.maps.get(name);
        let map = map.ok_or(Error::Map { name, error: "not in the object".into() })?;
        let sized = SIZED.iter().find(|(sized, _)| *sized == name);
        let shape = Shape {
            kind: map.map_type(),
            key_size: map.key_size(),
            value_size: map.value_size(),
            flags: map.map_flags(),
            max_entries: sized.map_or_else(|| map.max_entries(), |(_, size)| size(sizes)),
        };
        Ok((name, shape))
    };
    PINNED.into_iter().map(shape).collect()
}

/// What a pinned map is like.
///
/// # Errors
/// It cannot be read.
pub(super) fn of_pin(path: &Path) -> Result<Shape, Error> {
    let info = MapInfo::from_pin(path)
        .map_err(|error| Error::Path { path: path.to_owned(), error: error.to_string() })?;
    Ok(Shape {
        kind: info.map_type().unwrap_or(MapType::Unspecified) as u32,
        key_size: info.key_size(),
        value_size: info.value_size(),
        flags: info.map_flags(),
        max_entries: info.max_entries(),
    })
}

/// In what two shapes differ, the size aside.
fn difference(pinned: Shape, wanted: Shape) -> String {
    let fields = [
        ("type", pinned.kind, wanted.kind),
        ("key size", pinned.key_size, wanted.key_size),
        ("value size", pinned.value_size, wanted.value_size),
        ("flags", pinned.flags, wanted.flags),
    ];
    let differing = fields.into_iter().filter(|(_, pinned, wanted)| pinned != wanted);
    let told = differing.map(|(what, pinned, wanted)| format!("{what} {pinned}, not {wanted}"));
    told.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use slb_common::service::{Backend, ServiceKey6};

    use super::{super::FullNat, *};

    /// `BPF_F_MMAPABLE` of `linux/bpf.h`.
    const MMAPABLE: u32 = 1 << 10;
    const SIZES: Sizes = Sizes {
        buckets_v4: 16,
        buckets_v6: 8,
        services: 4,
        backends: 32,
        ring_slots: 64,
        full_nat: FullNat::On,
        templates: 128,
        acl_entries: 16,
        fragments: 4,
    };

    #[test]
    fn the_object_says_what_every_pinned_map_must_be_like() {
        let shapes = of_object(crate::objects::data_plane(), &SIZES).unwrap();
        assert_eq!(shapes.len(), PINNED.len());
        let backends = shapes["BACKENDS"];
        assert_eq!(backends.value_size as usize, size_of::<Backend>());
        assert_eq!((backends.max_entries, backends.flags), (32, MMAPABLE));
        let leads = shapes["SERVICES6"];
        assert_eq!(leads.key_size as usize, size_of::<ServiceKey6>());
        assert_eq!((leads.max_entries, leads.kind), (16, MapType::Hash as u32));
        assert_eq!(shapes["RINGS"].max_entries, 64);
        assert_eq!(shapes["LOCAL_PORTS4"].max_entries, 1088);
        let templates = shapes["TEMPLATES6"];
        assert_eq!(
            (templates.key_size, templates.value_size, templates.max_entries),
            (24, 16, 128)
        );
    }

    #[test]
    fn what_differs_is_named_with_both_values() {
        let wanted = Shape { kind: 2, key_size: 4, value_size: 64, flags: 1024, max_entries: 1 };
        let pinned = Shape { value_size: 56, flags: 0, ..wanted };
        assert_eq!(difference(pinned, wanted), "value size 56, not 64; flags 0, not 1024");
    }
}
