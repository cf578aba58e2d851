//! Attaching and detaching.

use std::{
    fs::File,
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{LpmTrie, MapInfo},
    programs::{
        CgroupAttachMode, Program, ProgramError,
        links::{FdLink, LinkError},
        loaded_links,
    },
};

use super::{
    Error, Status, Wanted, cgroup,
    links::{MAPS, PROGRAMS, Pins},
    networks::Networks,
    status,
};
use crate::objects;

/// How long the kernel may take to end links whose pins are gone.
const LINKS_END: Duration = Duration::from_secs(2);

/// Attaches, or does so anew: the maps stay, so that accepted connections keep their clients, and
/// each link is replaced only when the one in its place runs.
///
/// # Errors
/// Something is missing on this machine, or rights; the kernel refuses. Then everything is as
/// before.
pub fn attach(wanted: &Wanted) -> Result<Status, Error> {
    let cgroup = cgroup::open(wanted.cgroup.as_deref())?;
    let pins = Pins::new(&wanted.pin_dir);
    pins.prepare()?;
    let _locked = pins.lock()?;
    let mut before = 0;
    for program in PROGRAMS {
        before += u32::from(pins.read(program)?.is_some());
    }
    attach_locked(wanted, &cgroup, &pins).inspect_err(|_| {
        if before == 0 {
            let _ = pins.remove_all();
        }
    })?;
    status(&wanted.pin_dir)
}

fn attach_locked(wanted: &Wanted, cgroup: &File, pins: &Pins<'_>) -> Result<(), Error> {
    let mut object = load(pins)?;
    let mut links = Vec::new();
    // Everything is loaded before anything is attached.
    for name in PROGRAMS {
        load_program(program(&mut object, name)?)
            .map_err(|error| Error::of_kernel(&format!("loading {name}"), &error))?;
    }
    let failed = |error| Error::of_kernel("the map of networks", &error);
    let networks = object.take_map("TOA_NETWORKS").ok_or_else(|| not_in_object("TOA_NETWORKS"))?;
    Networks::new(LpmTrie::try_from(networks).map_err(failed)?)
        .set(&wanted.from)
        .map_err(failed)?;
    for name in PROGRAMS {
        let link = attach_program(program(&mut object, name)?, cgroup)
            .map_err(|error| Error::of_kernel(&format!("attaching {name}"), &error))?;
        links.push((name, link));
    }
    links.into_iter().try_for_each(|(name, link)| pins.replace(name, link))
}

/// The object on the pinned maps, made now if there are none.
fn load(pins: &Pins<'_>) -> Result<Ebpf, Error> {
    let mut loader = EbpfLoader::new();
    for name in MAPS {
        loader.map_pin_path(name, pins.map(name));
    }
    let fits = MAPS.iter().all(|name| fits(&pins.map(name), name));
    if !fits {
        return Err(Error::of_caller(
            "the pinned maps are of another version",
            "`slb toa detach` first; connections that are open then show the balancer's address",
        ));
    }
    loader.load(objects::toa()).map_err(|error| Error::of_kernel("loading the object", &error))
}

/// True if there is no such pin or it is a map like the object's.
fn fits(pin: &Path, name: &str) -> bool {
    let Ok(info) = MapInfo::from_pin(pin) else { return !pin.exists() };
    let Ok(object) = aya_obj::Object::parse(objects::toa()) else { return false };
    object.maps.get(name).is_some_and(|map| {
        let kind = info.map_type().map_or(0, |kind| kind as u32);
        (map.map_type(), map.key_size(), map.value_size(), map.max_entries())
            == (kind, info.key_size(), info.value_size(), info.max_entries())
    })
}

fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Program, Error> {
    object.program_mut(name).ok_or_else(|| not_in_object(name))
}

fn not_in_object(name: &str) -> Error {
    Error::of_caller(format!("{name} is not in the object"), "build slb anew")
}

fn load_program(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::SockOps(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn attach_program(program: &mut Program, cgroup: &File) -> Result<FdLink, ProgramError> {
    // A link always lets others be beside it, and takes no flag for it.
    let mode = CgroupAttachMode::Single;
    match program {
        Program::SockOps(program) => {
            let id = program.attach(cgroup, mode)?;
            program.take_link(id)?.try_into().map_err(no_link)
        }
        Program::CgroupSockAddr(program) => {
            let id = program.attach(cgroup, mode)?;
            program.take_link(id)?.try_into().map_err(no_link)
        }
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Only before Linux 5.7, where links are not yet.
fn no_link(_: LinkError) -> ProgramError {
    io::Error::new(io::ErrorKind::Unsupported, "this kernel has no links; it needs Linux 6.1")
        .into()
}

/// Detaches, and waits until the kernel has ended the links. False if nothing was attached.
///
/// # Errors
/// A pin cannot be removed.
pub fn detach(pin_dir: &Path) -> Result<bool, Error> {
    let pins = Pins::new(pin_dir);
    let Some(_locked) = pins.lock()? else { return Ok(false) };
    let mut ending = Vec::new();
    for program in PROGRAMS {
        ending.extend(pins.read(program)?.map(|link| link.id));
    }
    pins.remove_all()?;
    let begun = Instant::now();
    while begun.elapsed() < LINKS_END && are_there(&ending) {
        thread::sleep(LINKS_END / 200);
    }
    Ok(!ending.is_empty())
}

/// True if the kernel has any of these links; false where it may not be asked.
fn are_there(links: &[u32]) -> bool {
    let there = loaded_links().filter_map(Result::ok);
    !links.is_empty() && there.into_iter().any(|link| links.contains(&link.id()))
}
