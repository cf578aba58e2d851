//! The interfaces of this network namespace, as one snapshot.

use std::{collections::BTreeMap, fmt};

use futures_util::TryStreamExt;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    LinkXdp, VlanProtocol, XdpAttached,
};
use rtnetlink::Handle;
use slb_common::next_hop::NO_VLAN;

use super::Error;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its own address; absent where it is not Ethernet.
    pub mac: Option<Mac>,
    /// Largest IP packet, bytes.
    pub mtu: u32,
    /// Whether frames can pass.
    pub state: LinkState,
    /// What it is made of.
    pub kind: LinkKind,
    /// XDP programs on it.
    pub xdp: Vec<XdpProgram>,
}

/// Whether frames can pass an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Set up, and something is at the other end.
    Up,
    /// Set up, but nothing is at the other end.
    NoCarrier,
    /// Not set up by the operator.
    Down,
}

/// What an interface is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A network card, or what looks like one (virtio).
    Device,
    /// The loopback interface.
    Loopback,
    /// One VLAN of another interface.
    Vlan {
        /// Index of that interface; absent if it is in another network namespace.
        parent: Option<u32>,
        /// VLAN id, host byte order.
        id: u16,
        /// EtherType of the tag.
        tag: VlanTag,
    },
    /// One end of a virtual cable.
    Veth,
    /// Several interfaces as one.
    Bond,
    /// A software switch.
    Bridge,
    /// Anything else, by the kernel's word for it.
    Other(String),
}

/// EtherType of a VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanTag {
    /// 802.1Q, 0x8100.
    Customer,
    /// 802.1ad, 0x88a8.
    Service,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// Its id in the kernel.
    pub id: u32,
    /// Where it runs.
    pub place: XdpPlace,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpPlace {
    /// In the driver: native.
    Driver,
    /// In the network stack: generic.
    Stack,
    /// In the network card.
    Hardware,
}

/// How XDP sends a frame that routing sends out of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Egress {
    /// Index of the interface to redirect to; never a VLAN interface, which XDP cannot send from.
    pub interface: u32,
    /// VLAN id of the tag to put on, host byte order; [`NO_VLAN`]: none.
    pub vlan: u16,
    /// Source MAC address.
    pub source: Mac,
}

/// Why XDP cannot send out of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoEgress {
    /// No interface has that index.
    Gone,
    /// It is not set up.
    Down {
        /// Its name.
        name: String,
    },
    /// Nothing is at its other end.
    NoCarrier {
        /// Its name.
        name: String,
    },
    /// It has no Ethernet address.
    NotEthernet {
        /// Its name.
        name: String,
    },
    /// A VLAN interface whose parent is in another network namespace.
    ParentElsewhere {
        /// Its name.
        name: String,
    },
    /// More tags than one, or one that is not 802.1Q.
    Tags {
        /// Its name.
        name: String,
    },
}

/// All interfaces at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkTable {
    by_index: BTreeMap<u32, Link>,
}

impl LinkTable {
    /// Asks the kernel for all interfaces.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn read(handle: &Handle) -> Result<Self, Error> {
        let links = handle.link().get().execute();
        let links = links.map_ok(|message| Link::parse(&message)).try_collect::<Vec<_>>().await;
        Ok(links.map_err(Error::of("list the interfaces"))?.into_iter().collect())
    }

    /// The interface of an index.
    pub fn get(&self, index: u32) -> Option<&Link> {
        self.by_index.get(&index)
    }

    /// The interface of a name.
    pub fn by_name(&self, name: &str) -> Option<&Link> {
        self.by_index.values().find(|link| link.name == name)
    }

    /// All interfaces by index.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.by_index.values()
    }

    /// The name of an interface, for messages.
    pub fn name(&self, index: u32) -> String {
        self.get(index).map_or_else(|| format!("interface {index}"), |link| link.name.clone())
    }

    /// How XDP sends a frame that routing sends out of the interface of that index.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn egress(&self, index: u32) -> Result<Egress, NoEgress> {
        let link = self.get(index).ok_or(NoEgress::Gone)?;
        let source = link.ready()?;
        let (parent, id, tag) = match link.kind {
            LinkKind::Vlan { parent, id, tag } => (parent, id, tag),
            _ => return Ok(Egress { interface: index, vlan: NO_VLAN, source }),
        };
        let name = link.name.clone();
        let Some(parent) = parent else { return Err(NoEgress::ParentElsewhere { name }) };
        let parent = self.get(parent).ok_or(NoEgress::Gone)?;
        if tag == VlanTag::Service || matches!(parent.kind, LinkKind::Vlan { .. }) {
            return Err(NoEgress::Tags { name });
        }
        parent.ready()?;
        Ok(Egress { interface: parent.index, vlan: id, source })
    }
}

impl LinkTable {
    /// VLAN interfaces as the program wants to know them: the parent's index and the VLAN id, or
    /// zeroes where XDP cannot send the frame.
    pub fn vlan_egress(&self) -> BTreeMap<u32, [u32; 2]> {
        let vlans = self.iter().filter(|link| matches!(link.kind, LinkKind::Vlan { .. }));
        vlans
            .map(|link| {
                let egress = self.egress(link.index);
                (link.index, egress.map_or([0, 0], |to| [to.interface, u32::from(to.vlan)]))
            })
            .collect()
    }
}

impl FromIterator<Link> for LinkTable {
    fn from_iter<T: IntoIterator<Item = Link>>(links: T) -> Self {
        Self { by_index: links.into_iter().map(|link| (link.index, link)).collect() }
    }
}

impl Link {
    /// Reads one from the kernel's message about it.
    pub fn parse(message: &LinkMessage) -> Self {
        let (flags, layer) = (message.header.flags, message.header.link_layer_type);
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            state: state(flags),
            kind: LinkKind::Device,
            xdp: Vec::new(),
        };
        if flags.contains(LinkFlags::Loopback) {
            link.kind = LinkKind::Loopback;
        }
        let (mut parent, mut elsewhere) = (None, false);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(bytes) if layer == LinkLayerType::Ether => {
                    link.mac = bytes.as_slice().try_into().ok();
                }
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Link(index) => parent = Some(*index),
                LinkAttribute::LinkNetNsId(_) => elsewhere = true,
                LinkAttribute::LinkInfo(infos) => {
                    if let Some(kind) = kind(infos) {
                        link.kind = kind;
                    }
                }
                LinkAttribute::Xdp(attributes) => link.xdp = programs(attributes),
                _ => {}
            }
        }
        if let LinkKind::Vlan { parent: of_vlan, .. } = &mut link.kind {
            // The index of a parent in another namespace says nothing in this one.
            *of_vlan = parent.filter(|_| !elsewhere);
        }
        link
    }

    /// Its MAC address if frames can pass it.
    fn ready(&self) -> Result<Mac, NoEgress> {
        let name = || self.name.clone();
        match self.state {
            LinkState::Down => Err(NoEgress::Down { name: name() }),
            LinkState::NoCarrier => Err(NoEgress::NoCarrier { name: name() }),
            LinkState::Up => self.mac.ok_or_else(|| NoEgress::NotEthernet { name: name() }),
        }
    }
}

impl fmt::Display for NoEgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => write!(f, "its interface is gone"),
            Self::Down { name } => write!(f, "{name} is down"),
            Self::NoCarrier { name } => write!(f, "{name} has no carrier"),
            Self::NotEthernet { name } => write!(f, "{name} is not an Ethernet interface"),
            Self::ParentElsewhere { name } => {
                write!(f, "{name} is a VLAN of an interface in another network namespace")
            }
            Self::Tags { name } => write!(f, "{name} needs more than one 802.1Q tag"),
        }
    }
}

fn state(flags: LinkFlags) -> LinkState {
    if !flags.contains(LinkFlags::Up) {
        LinkState::Down
    } else if flags.contains(LinkFlags::LowerUp) {
        LinkState::Up
    } else {
        LinkState::NoCarrier
    }
}

fn kind(infos: &[LinkInfo]) -> Option<LinkKind> {
    let kind = infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    })?;
    Some(match kind {
        InfoKind::Vlan => vlan(infos),
        InfoKind::Veth => LinkKind::Veth,
        InfoKind::Bond => LinkKind::Bond,
        InfoKind::Bridge => LinkKind::Bridge,
        other => LinkKind::Other(other.to_string()),
    })
}

fn vlan(infos: &[LinkInfo]) -> LinkKind {
    let (mut id, mut tag) = (NO_VLAN, VlanTag::Customer);
    for info in infos {
        let LinkInfo::Data(InfoData::Vlan(attributes)) = info else { continue };
        for attribute in attributes {
            match attribute {
                InfoVlan::Id(value) => id = *value,
                InfoVlan::Protocol(VlanProtocol::Ieee8021Ad) => tag = VlanTag::Service,
                _ => {}
            }
        }
    }
    LinkKind::Vlan { parent: None, id, tag }
}

fn programs(attributes: &[LinkXdp]) -> Vec<XdpProgram> {
    // One program is told by a mode and an id; several by one id for each place.
    let mode = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::Attached(XdpAttached::Driver) => Some(XdpPlace::Driver),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(XdpPlace::Stack),
        LinkXdp::Attached(XdpAttached::Hardware) => Some(XdpPlace::Hardware),
        _ => None,
    });
    let program = |attribute: &LinkXdp| match (attribute, mode) {
        (LinkXdp::ProgId(id), Some(place)) => Some(XdpProgram { id: *id, place }),
        (LinkXdp::DrvProgId(id), None) => Some(XdpProgram { id: *id, place: XdpPlace::Driver }),
        (LinkXdp::SkbProgId(id), None) => Some(XdpProgram { id: *id, place: XdpPlace::Stack }),
        (LinkXdp::HwProgId(id), None) => Some(XdpProgram { id: *id, place: XdpPlace::Hardware }),
        _ => None,
    };
    attributes.iter().filter_map(program).filter(|program| program.id != 0).collect()
}

#[cfg(test)]
mod tests;
