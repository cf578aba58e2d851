//! Templates in their maps. Whoever opens a connection holds the template first, then agrees with
//! others that do so at the same time. Both words of a template change by atomic operations only.

use slb_common::{
    service::{BACKEND_PRESENT, BACKEND_USABLE},
    template::{Key, Life, SharedBackend, Target, Template},
};

use crate::{
    atomic,
    maps::{self, SHARED_BACKENDS, TEMPLATES4, TEMPLATES6, backend_of},
    verified,
};

/// Compare-and-swaps that are tried before a connection goes without.
const ROUNDS: u32 = 8;
/// `BPF_NOEXIST`: makes an element, and changes none that is there.
const NEW_ONLY: u64 = 1;
/// What making an element ends with that is there already.
const EXISTS: i32 = -17;

/// A template in its map.
#[derive(Clone, Copy)]
struct Place(*mut Template);

impl Place {
    #[inline(always)]
    fn of<const W: usize>(key: &Key<W>) -> Option<Self> {
        let template = if W == 1 {
            TEMPLATES4.get_ptr_mut([key[0]])
        } else {
            TEMPLATES6.get_ptr_mut([key[0], key[1], key[2]])
        };
        template.map(Self)
    }

    #[inline(always)]
    fn life(self) -> Life {
        // SAFETY: a map gave the pointer; its words are aligned, and an element that is deleted
        // meanwhile stays memory of the map.
        Life(unsafe { atomic::load(&raw const (*self.0).life) })
    }

    #[inline(always)]
    fn target(self) -> Target {
        // SAFETY: as in `life`.
        Target(unsafe { atomic::load(&raw const (*self.0).target) })
    }

    #[inline(always)]
    fn swap_life(self, old: Life, new: Life) -> bool {
        // SAFETY: as in `life`.
        unsafe { atomic::compare_and_swap(&raw mut (*self.0).life, old.0, new.0) }
    }

    #[inline(always)]
    fn swap_target(self, old: Target, new: Target) -> bool {
        // SAFETY: as in `life`.
        unsafe { atomic::compare_and_swap(&raw mut (*self.0).target, old.0, new.0) }
    }
}

/// Makes a template, unless there is one.
#[inline(always)]
fn make<const W: usize>(key: &Key<W>, template: Template) -> Result<(), i32> {
    if W == 1 {
        TEMPLATES4.insert([key[0]], template, NEW_ONLY)
    } else {
        TEMPLATES6.insert([key[0], key[1], key[2]], template, NEW_ONLY)
    }
}

/// Counts a connection for the client's template, if there is one: then it stays. An expired one
/// names no backend any more.
#[inline(always)]
pub fn hold<const W: usize>(key: &Key<W>) -> Target {
    let now = maps::tick();
    let mut round = 0;
    while round < ROUNDS {
        round += 1;
        let Some(template) = Place::of(key) else { return Target::ABSENT };
        let life = template.life();
        if life.connections() == Life::CLAIMED {
            continue;
        }
        let target = template.target();
        if target.slot() != Target::NOBODY && life.expired(now, target.timeout()) {
            // Before it is held, so that nobody who finds it held takes the former backend.
            template.swap_target(target, target.cleared());
            continue;
        }
        if template.swap_life(life, Life::new(life.connections() + 1, now)) {
            return template.target();
        }
    }
    Target::ABSENT
}

/// Makes the template name `wanted`, unless another packet of the client was quicker: then what
/// that one wanted holds. `seen` is what the held template said before, or [`Target::ABSENT`].
/// Returns what it says now, held; [`Target::ABSENT`] if there is none and none could be made.
#[inline(always)]
pub fn settle<const W: usize>(key: &Key<W>, service: u16, seen: Target, wanted: Target) -> Target {
    let life = Life::new(1, maps::tick()).0;
    let (mut seen, mut round) = (seen, 0);
    while round < ROUNDS {
        round += 1;
        if seen == Target::ABSENT {
            match make(key, Template { life, target: wanted.0 }) {
                Ok(()) => return wanted,
                Err(EXISTS) => seen = verified::hold_template(key),
                Err(_) => return Target::ABSENT,
            }
        } else {
            let Some(template) = Place::of(key) else { return Target::ABSENT };
            if template.swap_target(seen, wanted.after(seen)) {
                return wanted;
            }
            seen = template.target();
        }
        if verified::usable(service, seen).is_some() {
            return seen;
        }
    }
    seen
}

/// Notes the end of a connection that held its client's template.
#[inline(always)]
pub fn release<const W: usize>(key: &Key<W>) {
    let Some(template) = Place::of(key) else { return };
    if matches!(template.life().connections(), 0 | Life::CLAIMED) {
        return;
    }
    // SAFETY: as in `Place::life`. Held, it cannot be deleted.
    unsafe {
        atomic::store_low_u32(&raw mut (*template.0).life, maps::tick());
        atomic::fetch_add(&raw mut (*template.0).life, Life::ONE.wrapping_neg());
    }
}

/// The slot of a target's backend in a service, if new connections may go there. A slot that has
/// become free keeps its address until its next use: other listeners find their own by it.
#[inline(always)]
pub fn usable(service: u16, target: Target) -> Option<u32> {
    let (mut slot, named) = (target.slot(), backend_of(target.slot())?);
    let free = named.flags & BACKEND_PRESENT == 0;
    let generation = target.generation().wrapping_add(u8::from(free));
    if target == Target::ABSENT || named.generation != generation {
        return None;
    }
    if free || named.service != service {
        let key = SharedBackend { address: named.address, service: service.into() };
        // SAFETY: the value is a number that the daemon replaces whole.
        slot = *unsafe { SHARED_BACKENDS.get(key) }?;
    }
    let (own, both) = (backend_of(slot)?, BACKEND_PRESENT | BACKEND_USABLE);
    (own.service == service && own.flags & both == both).then_some(slot)
}

/// Makes the template name no backend; true if it named one.
#[inline(always)]
pub fn flush<const W: usize>(key: &Key<W>) -> bool {
    let mut round = 0;
    while round < ROUNDS {
        round += 1;
        let Some(template) = Place::of(key) else { return false };
        let target = template.target();
        if target.slot() == Target::NOBODY {
            return false;
        }
        if template.swap_target(target, target.cleared()) {
            return true;
        }
    }
    false
}

/// Deletes a template without connections whose time is over or that names no backend. It is
/// claimed first, so that nobody holds it meanwhile.
#[inline(always)]
pub fn expire<const W: usize>(key: &Key<W>) -> bool {
    let Some(template) = Place::of(key) else { return false };
    let (life, target) = (template.life(), template.target());
    if life.connections() != Life::CLAIMED {
        let forgotten = life.connections() == 0 && target.slot() == Target::NOBODY;
        if !forgotten && !life.expired(maps::tick(), target.timeout()) {
            return false;
        }
        if !template.swap_life(life, Life::new(Life::CLAIMED, life.tick())) {
            return false;
        }
    }
    let gone = if W == 1 {
        TEMPLATES4.remove([key[0]])
    } else {
        TEMPLATES6.remove([key[0], key[1], key[2]])
    };
    gone.is_ok()
}
