//! Server ids of QUIC connection IDs: in qch each names one backend.

use std::{collections::HashMap, net::SocketAddr};

use super::{Family, Listener, Protocol, Scheduler};

/// One server id of two backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedServerId {
    /// The id.
    pub id: u16,
    /// Who else has it.
    pub other: SocketAddr,
    /// Whose it is as well, further down.
    pub backend: SocketAddr,
}

impl Listener {
    /// True if it finds backends by server ids.
    pub fn reads_server_ids(&self) -> bool {
        self.scheduler == Scheduler::Qch && self.protocol == Protocol::Udp
    }

    /// Server ids that do not say which backend is meant. The two addresses of one server may
    /// share its id.
    pub fn shared_server_ids(&self) -> Vec<SharedServerId> {
        let mut owners = HashMap::new();
        let backends = self.backends.iter().filter(|_| self.reads_server_ids());
        let shared = backends.filter_map(|backend| {
            let (id, endpoint) = (backend.server_id?, backend.endpoint());
            let other = owners.insert((Family::of(backend.address), id), endpoint)?;
            Some(SharedServerId { id, other, backend: endpoint })
        });
        shared.collect()
    }
}
