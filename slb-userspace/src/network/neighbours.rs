//! The kernel's neighbour tables (ARP and NDP) as we last heard of them, and the asking.

use std::{collections::HashMap, net::IpAddr};

use futures_util::{StreamExt, TryStreamExt};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
        NeighbourState,
    },
    route::RouteProtocol,
};
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
};

use super::{Error, links::Mac};

/// Who added a neighbour or an address, as the kernel keeps it with the entry: "S" for SLB. A
/// restarted daemon knows its own by it. Free in the kernel's and iproute2's lists of protocols.
pub const OWNER: u8 = b'S';

/// How many former MAC addresses are remembered, so that a scan of a large prefix costs no memory.
const MOST_REMEMBERED: usize = 65_536;

/// Names a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Index of the interface.
    pub interface: u32,
    /// Address on its link.
    pub address: IpAddr,
}

/// What the kernel knows about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its MAC address, if it is known and Ethernet.
    pub mac: Option<Mac>,
    /// State of the entry.
    pub state: NeighbourState,
    /// True if the kernel keeps it fresh by itself (`NTF_EXT_MANAGED`).
    pub managed: bool,
    /// True if a daemon of ours asked for it.
    pub ours: bool,
}

/// A neighbour that has another MAC address than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub key: Key,
    /// What it had.
    pub old: Mac,
    /// What it has.
    pub new: Mac,
}

/// All neighbours.
#[derive(Debug, Default)]
pub struct NeighbourTable {
    entries: HashMap<Key, Neighbour>,
    // Outlives the entry: one that is deleted and comes back elsewhere has moved, too.
    last_macs: HashMap<Key, Mac>,
}

impl Neighbour {
    /// Its MAC address, if frames may be sent there.
    pub fn usable(&self) -> Option<Mac> {
        use NeighbourState::{Delay, Noarp, Permanent, Probe, Reachable, Stale};
        let valid = matches!(self.state, Reachable | Stale | Delay | Probe | Permanent | Noarp);
        self.mac.filter(|_| valid)
    }

    /// True if the operator wrote the entry; asking the kernel to keep it fresh would undo that.
    pub fn fixed(&self) -> bool {
        matches!(self.state, NeighbourState::Permanent | NeighbourState::Noarp)
    }
}

impl NeighbourTable {
    /// Asks the kernel for all neighbours of both families.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn dump(handle: &Handle) -> Result<HashMap<Key, Neighbour>, Error> {
        let messages = handle.neighbours().get().execute().try_collect::<Vec<_>>().await;
        let messages = messages.map_err(Error::of("list the neighbours"))?;
        Ok(messages.iter().filter_map(parse).collect())
    }

    /// What is known of one.
    pub fn get(&self, key: &Key) -> Option<&Neighbour> {
        self.entries.get(key)
    }

    /// All that are known.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Neighbour)> {
        self.entries.iter()
    }

    /// Takes news of one; `None`: the kernel has deleted it.
    pub fn apply(&mut self, key: Key, neighbour: Option<Neighbour>) -> Option<Moved> {
        let Some(neighbour) = neighbour else {
            self.entries.remove(&key);
            return None;
        };
        self.entries.insert(key, neighbour);
        let new = neighbour.usable()?;
        if self.last_macs.len() >= MOST_REMEMBERED {
            self.last_macs.retain(|key, _| self.entries.contains_key(key));
        }
        let old = self.last_macs.insert(key, new)?;
        (old != new).then_some(Moved { key, old, new })
    }

    /// Takes a full list in place of everything that was known.
    pub fn replace(&mut self, all: HashMap<Key, Neighbour>) -> Vec<Moved> {
        self.entries.retain(|key, _| all.contains_key(key));
        all.into_iter().filter_map(|(key, entry)| self.apply(key, Some(entry))).collect()
    }
}

/// Reads one from the kernel's message; `None` for proxies and for the tables of bridges.
pub fn parse(message: &NeighbourMessage) -> Option<(Key, Neighbour)> {
    if message.header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let mut address = None;
    let mut neighbour =
        Neighbour { mac: None, state: message.header.state, managed: false, ours: false };
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                neighbour.mac = bytes.as_slice().try_into().ok();
            }
            NeighbourAttribute::ExtFlags(flags) => {
                neighbour.managed = flags.contains(NeighbourExtFlags::Managed);
            }
            NeighbourAttribute::Protocol(protocol) => {
                neighbour.ours = u8::from(*protocol) == OWNER;
            }
            _ => {}
        }
    }
    address.map(|address| (Key { interface: message.header.ifindex, address }, neighbour))
}

/// Has the kernel resolve a neighbour now and keep it fresh from then on (Linux 5.16).
///
/// # Errors
/// The kernel's refusal.
pub async fn manage(handle: &Handle, key: Key) -> Result<(), Error> {
    let extra = [
        NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed),
        NeighbourAttribute::Protocol(RouteProtocol::from(OWNER)),
    ];
    change(handle, key, NLM_F_CREATE, &extra).await
}

/// Lets a neighbour age again like any other; one that is gone already is fine.
///
/// # Errors
/// The kernel's refusal.
pub async fn release(handle: &Handle, key: Key) -> Result<(), Error> {
    // The flag goes by not being there. Without NTF_USE the entry's state would be reset as well.
    match change(handle, key, 0, &[]).await {
        Err(Error::Netlink { source: rtnetlink::Error::NetlinkError(refusal), .. })
            if [-libc::ENOENT, -libc::ENODEV].contains(&refusal.raw_code()) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}

/// Lets go of all neighbours that daemons of ours had the kernel keep fresh; returns how many.
///
/// # Errors
/// The kernel's refusal; those released before it stay so.
pub async fn release_all() -> Result<usize, Error> {
    let handle = super::connect()?;
    let all = NeighbourTable::dump(&handle).await?;
    let ours = all.into_iter().filter(|(_, entry)| entry.managed && entry.ours);
    let keys: Vec<Key> = ours.map(|(key, _)| key).collect();
    for key in &keys {
        release(&handle, *key).await?;
    }
    Ok(keys.len())
}

async fn change(
    handle: &Handle,
    key: Key,
    flags: u16,
    extra: &[NeighbourAttribute],
) -> Result<(), Error> {
    let mut message = NeighbourMessage::default();
    message.header.family = match key.address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.ifindex = key.interface;
    message.header.flags = NeighbourFlags::Use;
    message.attributes.push(NeighbourAttribute::Destination(key.address.into()));
    message.attributes.extend_from_slice(extra);
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(message));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;

    let action = || format!("have neighbour {} resolved", key.address);
    let mut answers = handle.clone().request(request).map_err(Error::of(action()))?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(refusal) = answer.payload {
            return Err(Error::of(action())(rtnetlink::Error::NetlinkError(refusal)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Key = Key { interface: 2, address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST) };

    fn at(mac: u8, state: NeighbourState) -> Option<Neighbour> {
        Some(Neighbour { mac: Some([mac; 6]), state, managed: false, ours: false })
    }

    #[test]
    fn a_neighbour_that_answers_from_another_mac_has_moved() {
        let mut table = NeighbourTable::default();
        assert_eq!(table.apply(HERE, at(1, NeighbourState::Reachable)), None);
        assert_eq!(table.apply(HERE, at(1, NeighbourState::Stale)), None);
        assert_eq!(
            table.apply(HERE, at(2, NeighbourState::Reachable)),
            Some(Moved { key: HERE, old: [1; 6], new: [2; 6] })
        );
    }

    #[test]
    fn a_neighbour_that_was_gone_in_between_has_moved_as_well() {
        let mut table = NeighbourTable::default();
        table.apply(HERE, at(1, NeighbourState::Reachable));
        table.apply(HERE, None);
        assert_eq!(table.get(&HERE), None);
        let moved = table.apply(HERE, at(2, NeighbourState::Reachable));
        assert_eq!(moved, Some(Moved { key: HERE, old: [1; 6], new: [2; 6] }));
    }

    #[test]
    fn a_neighbour_that_failed_has_not_moved_and_is_not_usable() {
        let mut table = NeighbourTable::default();
        table.apply(HERE, at(1, NeighbourState::Reachable));
        assert_eq!(table.apply(HERE, at(2, NeighbourState::Failed)), None);
        assert_eq!(table.get(&HERE).unwrap().usable(), None);
    }

    #[test]
    fn a_full_list_forgets_the_deleted_and_reports_the_moved() {
        let other = Key { interface: 3, ..HERE };
        let mut table = NeighbourTable::default();
        table.apply(HERE, at(1, NeighbourState::Reachable));
        table.apply(other, at(1, NeighbourState::Reachable));
        let all = HashMap::from([(HERE, at(2, NeighbourState::Stale).unwrap())]);
        assert_eq!(table.replace(all), [Moved { key: HERE, old: [1; 6], new: [2; 6] }]);
        assert_eq!(table.iter().count(), 1);
    }
}
