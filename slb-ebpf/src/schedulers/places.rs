//! What schedulers draw from in the kernel: the ring arena, the cursors and the gauges.

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use slb_common::service::Ring;

use super::{Load, Places, least_connections::Measure};
use crate::{
    admission::backends,
    atomic,
    maps::{CURSORS, GAUGES, RINGS, backend_of},
    verified,
};

/// A service's ring and what schedulers ask about it.
#[derive(Clone, Copy)]
pub struct ServicePlaces {
    /// Service id.
    pub service: u16,
    /// Its ring.
    pub ring: Ring,
}

impl Places for ServicePlaces {
    #[inline(always)]
    fn slot(self, place: u32) -> Option<u32> {
        RINGS.get(self.ring.offset().wrapping_add(place)).copied()
    }

    #[inline(always)]
    fn load(self, slot: u32) -> Option<Load> {
        let gauges = GAUGES.get_ptr(slot)?;
        let weight = match backends::full(slot, gauges) {
            true => 0,
            false => backend_of(slot)?.weight,
        };
        // SAFETY: the map gave the pointer; the fields are aligned words.
        let (active, opening, closing) = unsafe {
            (
                atomic::load(&raw const (*gauges).active),
                atomic::load(&raw const (*gauges).opening),
                atomic::load(&raw const (*gauges).closing),
            )
        };
        Some(Load { active, inactive: opening.wrapping_add(closing), weight })
    }

    #[inline(always)]
    fn rank(self, place: u32, measure: Measure, refused: u32) -> u64 {
        verified::rank(self.ring, place, measure, refused)
    }

    #[inline(always)]
    fn turn(self) -> u64 {
        match CURSORS.get_ptr_mut(u32::from(self.service)) {
            // SAFETY: the map gave the pointer; the first word is aligned.
            Some(cursor) => unsafe { atomic::fetch_add(cursor.cast(), 1) },
            None => 0,
        }
    }

    #[inline(always)]
    fn random(self) -> u32 {
        // SAFETY: the helper takes nothing and returns a number.
        unsafe { bpf_get_prandom_u32() }
    }
}
