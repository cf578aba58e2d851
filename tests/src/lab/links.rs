//! Wires between namespaces: veth pairs, bridges, and offloads that XDP can live with.

use anyhow::Result;

use super::Namespace;

/// One end of a wire: an interface name in a namespace.
pub struct End<'a> {
    /// Where it is.
    pub namespace: &'a Namespace,
    /// Its name there.
    pub interface: &'a str,
}

/// Joins two namespaces by a veth pair; both ends are up, with offloads off.
pub fn wire(here: &End<'_>, there: &End<'_>, mtu: u16) -> Result<()> {
    wide_wire(here, there, mtu, 1)
}

/// The same with so many queues. A frame goes into that of the processor that sends it: with one for
/// each, none has to wait for another processor that has not emptied it yet.
pub fn wide_wire(here: &End<'_>, there: &End<'_>, mtu: u16, queues: usize) -> Result<()> {
    let queues = format!("numtxqueues {queues} numrxqueues {queues}");
    here.namespace.ip_batch(&format!(
        "link add {} mtu {mtu} {queues} type veth peer name {} mtu {mtu} {queues} netns {}",
        here.interface,
        there.interface,
        there.namespace.name()
    ))?;
    for end in [here, there] {
        plain_frames(end.namespace, end.interface)?;
        end.namespace.ip_batch(&format!("link set {} up", end.interface))?;
    }
    Ok(())
}

/// Makes every frame look as it would on a cable. With offloads on, XDP sees unfinished checksums,
/// frames longer than the MTU and no VLAN tags.
fn plain_frames(namespace: &Namespace, interface: &str) -> Result<()> {
    let off = ["tx", "tso", "gso", "gro", "rxvlan", "txvlan"];
    let mut arguments = vec!["-K", interface];
    arguments.extend(off.iter().flat_map(|offload| [*offload, "off"]));
    namespace.output("ethtool", &arguments).map(drop)
}

/// Makes a bridge that forwards at once and filters nothing.
pub fn bridge(namespace: &Namespace, name: &str, mtu: u16) -> Result<()> {
    namespace.ip_batch(&format!(
        "link add {name} mtu {mtu} type bridge forward_delay 0 stp_state 0 mcast_snooping 0\n\
         link set {name} up"
    ))
}

/// Puts an interface on a bridge.
pub fn plug(namespace: &Namespace, bridge: &str, interface: &str) -> Result<()> {
    namespace.ip_batch(&format!("link set {interface} master {bridge}"))
}
