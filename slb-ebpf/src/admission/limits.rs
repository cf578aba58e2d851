//! Limits of new connections: of the client's prefix, the service, the instance, the backend.

use slb_common::{
    admission::Reason,
    connection::Ties,
    service::{Limits, SERVICE_SHADOW, Service},
};

use super::{clients::Entered, count, refuse};
use crate::{
    maps::{self, GAUGES_INSTANCES, GAUGES_SERVICES, INSTANCES, METERS_INSTANCES, METERS_SERVICES},
    packet::Step,
    verified,
};

/// The service holds a reservation.
const SERVICE: u32 = 1;
/// The instance does.
const INSTANCE: u32 = 2;
/// The client's prefix counts the connection.
const CLIENT: u32 = 4;

/// What is reserved for a new connection until its entry is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket(u32);

impl Ticket {
    /// The ties of the entry, by which it is counted for its client.
    #[inline(always)]
    pub const fn tied(self, ties: Ties) -> Ties {
        if self.0 & CLIENT != 0 { ties.with_client(self.prefix()) } else { ties }
    }

    /// Prefix length by which the client is counted.
    #[inline(always)]
    const fn prefix(self) -> u8 {
        (self.0 >> 8) as u8
    }
}

/// Lets a new connection of a client in, or says which limit it has met.
#[inline(always)]
pub fn enter(id: u16, service: &Service, client: [u64; 2]) -> Step<Ticket> {
    if service.limits == Limits::default()
        && service.client_prefix == 0
        && of_instance(service) == Limits::default()
    {
        return Ok(Ticket::default());
    }
    match verified::enter(id, client) {
        Ok(held) => Ok(Ticket(held)),
        Err(reason) => Err(refuse(id, reason)),
    }
}

/// Ends the reservations; `made` says whether an entry was.
#[inline(always)]
pub fn leave(id: u16, service: &Service, ticket: Ticket, client: [u64; 2], made: bool) {
    if ticket.0 == 0 {
        return;
    }
    if ticket.0 & SERVICE != 0
        && let Some(meter) = METERS_SERVICES.get_ptr_mut(u32::from(id))
    {
        // SAFETY: the map gave the pointer.
        unsafe { super::reserve::give_back(meter) };
    }
    if ticket.0 & INSTANCE != 0
        && let Some(meter) = METERS_INSTANCES.get_ptr_mut(u32::from(service.instance))
    {
        // SAFETY: the map gave the pointer.
        unsafe { super::reserve::give_back(meter) };
    }
    if ticket.0 & CLIENT != 0 && !made {
        verified::count_client(id, ticket.prefix(), service.family == 4, client, -1);
    }
}

/// [`enter`], in a function of its own: all connections first, then all rates, so that what is
/// refused takes as little as possible from buckets.
#[inline(always)]
pub fn reserve_all(id: u16, service: &Service, client: [u64; 2]) -> Result<u32, Reason> {
    let mut held = 0;
    match try_all(id, service, client, &mut held) {
        Ok(()) => Ok(held),
        Err(reason) => {
            leave(id, service, Ticket(held), client, false);
            Err(reason)
        }
    }
}

/// The limits of a service's instance.
#[inline(always)]
fn of_instance(service: &Service) -> Limits {
    match INSTANCES.get_ptr(u32::from(service.instance)) {
        // SAFETY: the map gave the pointer.
        Some(instance) => unsafe { (*instance).limits },
        None => Limits::default(),
    }
}

#[inline(always)]
fn try_all(id: u16, service: &Service, client: [u64; 2], held: &mut u32) -> Result<(), Reason> {
    let (number, instance) = (u32::from(id), u32::from(service.instance));
    let (specified, shadow) = (of_instance(service), service.flags & SERVICE_SHADOW != 0);
    let now = maps::units();
    let prefix = service.client_prefix;
    if prefix != 0 {
        let counted = CLIENT | u32::from(prefix) << 8;
        match verified::enter_client(id, prefix, service.family == 4, client) {
            Entered::Counted => *held |= counted,
            Entered::Full(reason) if !shadow => return Err(reason),
            Entered::Full(reason) => {
                count(id, reason, true);
                *held |= counted;
            }
            Entered::NoPlace => {}
        }
    }
    if service.limits.connections != 0 {
        let (meter, gauges) =
            (METERS_SERVICES.get_ptr_mut(number), GAUGES_SERVICES.get_ptr(number));
        if verified::reserve(meter, gauges, service.limits.connections) {
            *held |= SERVICE;
        } else if shadow {
            count(id, Reason::Connections, true);
        } else {
            return Err(Reason::Connections);
        }
    }
    if specified.connections != 0 {
        let gauges = GAUGES_INSTANCES.get_ptr(instance);
        let meter = METERS_INSTANCES.get_ptr_mut(instance);
        if !verified::reserve(meter, gauges, specified.connections) {
            return Err(Reason::InstanceConnections);
        }
        *held |= INSTANCE;
    }
    if service.limits.rate != 0
        && !verified::take_one(METERS_SERVICES.get_ptr_mut(number), now, service.limits.rate)
    {
        if !shadow {
            return Err(Reason::Rate);
        }
        count(id, Reason::Rate, true);
    }
    if specified.rate != 0
        && !verified::take_one(METERS_INSTANCES.get_ptr_mut(instance), now, specified.rate)
    {
        if service.limits.rate != 0
            && let Some(meter) = METERS_SERVICES.get_ptr_mut(number)
        {
            // SAFETY: the map gave the pointer.
            unsafe {
                super::reserve::put_back(&raw mut (*meter).connections, service.limits.rate);
            }
        }
        return Err(Reason::InstanceRate);
    }
    Ok(())
}
