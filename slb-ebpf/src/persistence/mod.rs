//! Persistence by source: a client's template names the backend that its new connections go to.
//! The stage between admission and scheduler.

pub mod templates;

use slb_common::{
    connection::{Ties, endpoint_address, endpoint_extra},
    service::{Persistence, Service},
    template::Target,
};

use crate::{
    atomic,
    connections::insert::New,
    maps::{self, backend_of, service_of},
    schedulers::{Draw, NOBODY},
    stats, verified,
};

/// The backend of a new connection: the one that its client's template names, or what the
/// scheduler draws, which the template names from then on. The connection is tied to the template;
/// if no entry is made, [`give_back`] must follow. `None`: no backend is usable.
#[inline(always)]
pub fn choose<const W: usize>(new: &mut New<W>, draw: Draw) -> Option<u32> {
    let (id, client) = (endpoint_extra(&new.vip), endpoint_address(&new.client));
    let hold = maps::hold()?;
    if draw.attempt == 0 {
        // What the last one held is none of this one's, should the service be gone by now.
        *hold = Hold::NONE;
        *hold = Hold::of::<W>(service_of(id)?, client);
    }
    if draw.refused != NOBODY {
        // The template stays as it is: it is this connection alone that cannot go there.
        return verified::schedule(id, draw);
    }
    let slot = match hold.backend(id) {
        Some(slot) => slot,
        None => verified::schedule(id, draw)?,
    };
    let slot = hold.agree::<W>(client, id, slot);
    new.ties = hold.tie(new.ties);
    Some(slot)
}

/// Lets go of the client's template: no entry was made.
#[inline(always)]
pub fn give_back<const W: usize>(new: &New<W>) {
    if let Some(hold) = maps::hold()
        && hold.target != Target::ABSENT
    {
        let (Persistence { group, prefix, .. }, client) = (hold.persistence, &new.client);
        verified::release::<W>(endpoint_address(client), group, prefix);
    }
}

/// A connection's hold on its client's template, while it is being opened.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Hold {
    /// As the service said at first, whatever it says by now.
    persistence: Persistence,
    /// [`Target::ABSENT`]: there is no template, or it is not held.
    target: Target,
}

impl Hold {
    /// No hold on anything.
    const NONE: Self = Self { persistence: Persistence::of_word(0), target: Target::ABSENT };

    /// Holds the client's template, if its listener has persistence and there is one.
    #[inline(always)]
    fn of<const W: usize>(service: &Service, client: [u64; 2]) -> Self {
        // SAFETY: a service lies in a map; the word is aligned, which its size asserts.
        let word = unsafe { atomic::load((&raw const service.persistence).cast()) };
        let persistence = Persistence::of_word(word);
        let target = match persistence.prefix {
            0 => Target::ABSENT,
            prefix => verified::hold::<W>(client, persistence.group, prefix),
        };
        Self { persistence, target }
    }

    /// The slot of the backend that the template names, if it may get new connections.
    #[inline(always)]
    fn backend(&self, id: u16) -> Option<u32> {
        match self.target {
            Target::ABSENT => None,
            target => verified::usable(id, target),
        }
    }

    /// Makes the template name a slot; returns the one that it names then: another packet of the
    /// client may have been quicker. Without template it is the slot itself.
    #[inline(always)]
    fn agree<const W: usize>(&mut self, client: [u64; 2], id: u16, slot: u32) -> u32 {
        let Some(backend) = backend_of(slot) else { return slot };
        if self.persistence.prefix == 0 || backend.service != id {
            return slot;
        }
        let wanted = Target::new(slot, backend.generation, self.persistence.timeout);
        if self.target.same(wanted) {
            return slot;
        }
        let settled = verified::settle::<W>(client, id, self.persistence, self.target, wanted);
        self.target = settled;
        match settled {
            Target::ABSENT => stats::no_template::<W>(),
            settled if settled.same(wanted) => {}
            settled => return verified::usable(id, settled).unwrap_or(slot),
        }
        slot
    }

    /// The same ties, with the template if it is held.
    #[inline(always)]
    const fn tie(&self, ties: Ties) -> Ties {
        match self.target {
            Target::ABSENT => ties,
            _ => ties.with_template(self.persistence.group, self.persistence.prefix),
        }
    }
}
