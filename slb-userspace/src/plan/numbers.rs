//! What is wanted of a backend, as the numbers that stand for it in the kernel.

use slb_common::service::{self, BACKEND_DOWN, BACKEND_SAME_PORT, WEIGHT_UNITS};

use super::{desired::DesiredBackend, slow_start::WHOLE};
use crate::{config::model::Scheduler, health::Health};

/// The weight by which backends are compared. It is always in units, not only during a slow start:
/// a packet may come between the writes to two backends.
pub(super) fn units(scheduler: Scheduler, backend: &DesiredBackend) -> u16 {
    let weight = if scheduler == Scheduler::Lc { backend.weight.min(1) } else { backend.weight };
    let units = u32::from(weight) * u32::from(WEIGHT_UNITS);
    // A tenth of the least weight is ten units: nothing above 0 becomes 0.
    (units * u32::from(backend.share) / u32::from(WHOLE)) as u16
}

/// The flag of a backend that has failed.
pub(super) const fn failed(health: Health) -> u16 {
    if matches!(health, Health::Unhealthy) { BACKEND_DOWN } else { 0 }
}

/// The number that stands for a health in the kernel.
pub(super) const fn health_number(health: Health) -> u8 {
    match health {
        Health::Healthy => service::health::HEALTHY,
        Health::Unhealthy => service::health::UNHEALTHY,
        Health::Checking | Health::Unchecked => service::health::UNKNOWN,
    }
}

/// The flag of a backend behind a range of ports that is mapped one to one.
pub(super) const fn same_port(backend: &DesiredBackend) -> u16 {
    if backend.maps_ports { BACKEND_SAME_PORT } else { 0 }
}
