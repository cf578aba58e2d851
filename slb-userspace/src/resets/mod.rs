//! Resets for both ends of a connection that the balancer ends: built from what the table knows
//! ([`frame`]), sent past the kernel's stack by the data plane's own next hops ([`sender`]).

mod frame;
mod sender;

use std::net::{IpAddr, SocketAddr};

use slb_common::{
    connection::{Control, Sequences, state},
    service::mode,
};

pub use self::{
    frame::{Frame, Segment},
    sender::Sender,
};
use crate::maps::{Kernel, table::Line};

/// Why an entry ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its time is over.
    Expired,
    /// Somebody wants it gone, live as it is.
    Cut,
}

/// True if both ends of an entry that ends are told. One that expires in closing or in handshake
/// has ended for them long ago.
pub const fn told(end: End, control: Control) -> bool {
    match control.state() {
        state::ESTABLISHED => true,
        state::SYN | state::FIN => matches!(end, End::Cut),
        _ => false,
    }
}

/// The resets of a connection: to its client, and to its backend if the way there is known.
/// Nothing if none of its segments has told its numbers.
pub fn frames(kernel: &Kernel, line: &Line) -> Vec<Frame> {
    let known = kernel.table.sequences(line.family, line.slot);
    if known == Sequences::default() {
        return Vec::new();
    }
    let backend = kernel.backend(line.seen.slot());
    let same_owner = backend.generation == line.seen.generation();
    let to_client = frame::build(&to_client(line, known), &kernel.client_hop(line.client_hop));
    let local = |place| kernel.local(place);
    let to_backend = to_backend(line, known, local).filter(|_| same_owner && backend.hop.known());
    let to_backend = to_backend.map(|segment| frame::build(&segment, &backend.hop));
    [to_client].into_iter().chain(to_backend).collect()
}

/// The reset that the client takes: from the VIP, where it expects the next byte.
const fn to_client(line: &Line, known: Sequences) -> Segment {
    Segment {
        source: line.vip,
        destination: line.client,
        sequence: known.acknowledged(),
        acknowledges: known.end(),
    }
}

/// The reset that the backend takes: from the client, or from the local endpoint that stands for
/// it, in the numbers that it has seen itself; `local` is the address in a place. `None` for a
/// tunnel, in which the daemon puts nothing.
fn to_backend(line: &Line, known: Sequences, local: impl FnOnce(u16) -> IpAddr) -> Option<Segment> {
    let delta = line.translation.delta();
    let (source, destination, delta): (SocketAddr, SocketAddr, u32) = match line.translation.mode()
    {
        mode::NAT => (line.client, line.backend, delta),
        mode::DIRECT => (line.client, line.vip, 0),
        mode::FULL_NAT => {
            let port = u16::from_be_bytes(line.ties.local_port());
            (SocketAddr::new(local(line.ties.local_address()), port), line.backend, delta)
        }
        _ => return None,
    };
    Some(Segment {
        source,
        destination,
        sequence: known.end(),
        acknowledges: known.acknowledged().wrapping_sub(delta),
    })
}

#[cfg(test)]
mod tests;
