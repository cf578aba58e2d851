//! VIPs on the host (`vip_owner = host`), so that the kernel answers ARP, NDP and echo for them.
//!
//! What we add is marked with [`OWNER`] in the address's protocol field (Linux 5.18), so a daemon
//! that starts anew knows its own, and addresses of others are never touched.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::IpAddr,
};

use futures_util::TryStreamExt;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use rtnetlink::Handle;

use super::{Error, links::LinkTable, neighbours::OWNER};

/// A VIP was put on an interface or taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which way.
    pub kind: ChangeKind,
    /// The VIP.
    pub address: IpAddr,
    /// Name of the interface.
    pub interface: String,
}

/// Which way a VIP went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It was put on the interface.
    Added,
    /// It was taken off.
    Removed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.kind {
            ChangeKind::Added => "added to",
            ChangeKind::Removed => "removed from",
        };
        write!(f, "VIP {} {way} {}", self.address, self.interface)
    }
}

/// Puts the wanted VIPs on the host and takes those off that are ours and no longer wanted. Each
/// goes to the interface whose network contains it, else to the first. A VIP that is there
/// already, whoever put it there, stays as it is.
///
/// # Errors
/// An interface that is not there, or the kernel's refusal; what was done before it stays.
pub async fn sync(interfaces: &[String], wanted: &[IpAddr]) -> Result<Vec<Change>, Error> {
    let handle = super::connect()?;
    let links = LinkTable::read(&handle).await?;
    let index = |name: &String| {
        let link = links.by_name(name).ok_or_else(|| Error::NoInterface { name: name.clone() })?;
        Ok(link.index)
    };
    let interfaces = interfaces.iter().map(index).collect::<Result<Vec<u32>, Error>>()?;
    let present = present(&handle).await?;
    let steps = plan(&present, &interfaces, wanted)?;
    act(&handle, &links, steps).await
}

/// Takes all VIPs off the host that are ours.
///
/// # Errors
/// The kernel's refusal; what was done before it stays.
pub async fn remove_all() -> Result<Vec<Change>, Error> {
    sync(&[], &[]).await
}

/// An address of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) address: IpAddr,
    pub(super) prefix_length: u8,
    pub(super) interface: u32,
    /// A VIP that a daemon has put there.
    pub(super) ours: bool,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    kind: ChangeKind,
    address: IpAddr,
    interface: u32,
}

/// What is to be done, additions first: a VIP that changes its interface is never absent.
fn plan(present: &[Present], interfaces: &[u32], wanted: &[IpAddr]) -> Result<Vec<Step>, Error> {
    let mut homes = HashMap::new();
    for &vip in wanted {
        homes.insert(vip, home(present, interfaces, vip).ok_or(Error::NoDataplaneInterface)?);
    }
    let of_others: HashSet<IpAddr> =
        present.iter().filter(|there| !there.ours).map(|there| there.address).collect();
    let is_home = |there: &Present| {
        homes.get(&there.address) == Some(&there.interface) && !of_others.contains(&there.address)
    };
    let at_home: HashSet<IpAddr> = present
        .iter()
        .filter(|there| there.ours && is_home(there))
        .map(|there| there.address)
        .collect();

    let mut steps = Vec::new();
    for (&address, &interface) in &homes {
        if !of_others.contains(&address) && !at_home.contains(&address) {
            steps.push(Step { kind: ChangeKind::Added, address, interface });
        }
    }
    for there in present.iter().filter(|there| there.ours && !is_home(there)) {
        let (address, interface) = (there.address, there.interface);
        steps.push(Step { kind: ChangeKind::Removed, address, interface });
    }
    steps.sort_by_key(|step| (step.kind, step.address, step.interface));
    Ok(steps)
}

/// The interface with the longest network that contains the VIP, else the first.
fn home(present: &[Present], interfaces: &[u32], vip: IpAddr) -> Option<u32> {
    let networks = present.iter().filter(|there| {
        !there.ours && interfaces.contains(&there.interface) && contains(there, vip)
    });
    networks
        .max_by_key(|there| there.prefix_length)
        .map(|there| there.interface)
        .or_else(|| interfaces.first().copied())
}

fn contains(network: &Present, vip: IpAddr) -> bool {
    let length = u32::from(network.prefix_length);
    match (network.address, vip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (1..32).contains(&length) && (a.to_bits() ^ b.to_bits()) >> (32 - length) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (1..128).contains(&length) && (a.to_bits() ^ b.to_bits()) >> (128 - length) == 0
        }
        _ => false,
    }
}

/// Every address of the host, in the kernel's order.
pub(super) async fn present(handle: &Handle) -> Result<Vec<Present>, Error> {
    let messages = handle.address().get().execute().try_collect::<Vec<_>>().await;
    Ok(messages.map_err(Error::of("list the addresses"))?.iter().filter_map(parse).collect())
}

fn parse(message: &AddressMessage) -> Option<Present> {
    let (mut peer, mut local, mut ours) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Protocol(protocol) => ours = u8::from(*protocol) == OWNER,
            _ => {}
        }
    }
    // IPv6 tells its own address as the peer's unless there is one.
    let address = local.or(peer)?;
    let (prefix_length, interface) = (message.header.prefix_len, message.header.index);
    Some(Present { address, prefix_length, interface, ours })
}

async fn act(handle: &Handle, links: &LinkTable, steps: Vec<Step>) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for Step { kind, address, interface } in steps {
        let name = links.name(interface);
        match kind {
            ChangeKind::Added => {
                add(handle, address, interface)
                    .await
                    .map_err(Error::of(format!("add VIP {address} to {name}")))?;
            }
            ChangeKind::Removed => {
                let message = message(handle, address, interface);
                match handle.address().del(message).execute().await {
                    Ok(()) => {}
                    // Somebody else took it off, or the interface with it.
                    Err(rtnetlink::Error::NetlinkError(refusal))
                        if [-libc::EADDRNOTAVAIL, -libc::ENODEV].contains(&refusal.raw_code()) => {}
                    Err(error) => {
                        return Err(Error::of(format!("remove VIP {address} from {name}"))(error));
                    }
                }
            }
        }
        changes.push(Change { kind, address, interface: name });
    }
    Ok(changes)
}

async fn add(handle: &Handle, address: IpAddr, interface: u32) -> Result<(), rtnetlink::Error> {
    let mut request = handle.address().add(interface, address, host_prefix(address));
    *request.message_mut() = message(handle, address, interface);
    request.execute().await
}

const fn host_prefix(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn message(handle: &Handle, address: IpAddr, interface: u32) -> AddressMessage {
    let mut request = handle.address().add(interface, address, host_prefix(address));
    let message = request.message_mut();
    message.header.scope = AddressScope::Universe;
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(OWNER)));
    if address.is_ipv6() {
        // Detection of duplicates would keep the VIP mute for a second, and for ever if the
        // balancer that it is taken over from still answers.
        let flags = AddressFlags::Nodad | AddressFlags::Noprefixroute;
        message.attributes.push(AddressAttribute::Flags(flags));
        // Not preferred: health checks and the host's own connections must not come from a VIP.
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_preferred = 0;
        lifetime.ifa_valid = u32::MAX;
        message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    }
    message.clone()
}

#[cfg(test)]
mod tests;
