//! Checks of one interface that XDP is to be attached to.

use std::{collections::HashSet, io};

use super::{
    Finding, Level, ethtool, if_native,
    netdev::{self, XdpFeatures},
    owner::{self, Owner},
};
use crate::{
    config::model::{DataplaneSettings, XdpMode},
    network::links::{Link, LinkKind, LinkState, LinkTable, XdpPlace},
};

/// The largest MTU with which every driver gives native XDP a packet in one buffer of a page.
const LARGEST_SINGLE_BUFFER_MTU: u32 = 3498;

/// All of them.
pub(super) fn findings(
    links: &LinkTable,
    name: &str,
    settings: &DataplaneSettings,
) -> Vec<Finding> {
    let mode = settings.xdp_mode;
    let Some(link) = links.by_name(name) else {
        let there: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        let evidence = format!("no interface is called `{name}`; there are {}", there.join(", "));
        return vec![Finding::failure(name, evidence).mend("correct dataplane.interfaces")];
    };
    let features = netdev::features(link.index);
    let mut findings = vec![state(link), kind(link, links)];
    findings.push(attached(link, |id| owner::of(id, name, &settings.pin_dir)));
    findings.push(mtu(link, features.as_ref().ok().copied(), mode));
    findings.push(xdp(link, features, mode));
    match ethtool::offloads(name) {
        Ok(on) => {
            findings.push(merging(link, &on, mode));
            findings.push(vlan_tags(link, links, &on));
            findings.extend(veth_peer(link));
        }
        Err(error) => findings.push(Finding::warning(
            format!("{name}: offloads"),
            format!("the driver does not tell them: {error}"),
        )),
    }
    findings
}

fn state(link: &Link) -> Finding {
    let (name, what) = (&link.name, format!("{}: state", link.name));
    match link.state {
        LinkState::Up => Finding::ok(what, "up"),
        LinkState::NoCarrier => Finding::failure(what, "set up, but without carrier")
            .mend("connect the cable, or set up the other end"),
        LinkState::Down => {
            Finding::failure(what, "down").mend(format!("ip link set dev {name} up"))
        }
    }
}

fn kind(link: &Link, links: &LinkTable) -> Finding {
    let what = format!("{}: kind", link.name);
    match &link.kind {
        LinkKind::Vlan { parent, id, .. } => {
            let parent = parent.map_or("its parent".into(), |parent| links.name(parent));
            Finding::warning(
                what,
                format!("VLAN {id} of {parent}; only generic XDP runs on a VLAN interface"),
            )
            .mend(format!("name {parent} in dataplane.interfaces: tagged frames are understood"))
        }
        LinkKind::Bridge => Finding::warning(what, "bridge; only generic XDP runs on one")
            .mend("name the bridge's ports in dataplane.interfaces"),
        LinkKind::Loopback => Finding::warning(what, "loopback; clients do not come by it"),
        LinkKind::Device if link.mac.is_none() => {
            Finding::failure(what, "not an Ethernet interface")
        }
        LinkKind::Device => Finding::ok(what, "network card"),
        LinkKind::Veth => Finding::ok(what, "veth"),
        LinkKind::Bond => Finding::ok(what, "bond"),
        LinkKind::Other(kind) => Finding::warning(what, format!("{kind}; not tried with XDP")),
    }
}

fn attached(link: &Link, owner: impl FnOnce(u32) -> Owner) -> Finding {
    let what = format!("{}: XDP programs", link.name);
    let Some(program) = link.xdp.first() else { return Finding::ok(what, "none attached") };
    let place = match program.place {
        XdpPlace::Driver => "native",
        XdpPlace::Stack => "generic",
        XdpPlace::Hardware => "offloaded",
    };
    let id = program.id;
    let why = match owner(id) {
        Owner::Slb => return Finding::ok(what, format!("slbd's own, program {id} ({place})")),
        Owner::Another => "of another owner; slbd does not displace it",
        Owner::Unknown => "slbd displaces it only if it is its own",
    };
    Finding::warning(what, format!("program {id} is attached ({place}), {why}"))
        .mend(format!("bpftool prog show id {id}"))
}

fn mtu(link: &Link, features: Option<XdpFeatures>, mode: XdpMode) -> Finding {
    let (what, mtu) = (format!("{}: MTU", link.name), link.mtu);
    if mtu <= LARGEST_SINGLE_BUFFER_MTU {
        return Finding::ok(what, format!("{mtu} bytes"));
    }
    let also = match features {
        Some(features) if features.has(XdpFeatures::BUFFERS) => {
            " (its driver could give several buffers, the program takes one)"
        }
        _ => "",
    };
    let evidence = format!("{mtu} bytes do not fit the one buffer of native XDP{also}");
    let finding = Finding { level: if_native(mode), ..Finding::ok(what, evidence) };
    finding.mend(format!("ip link set dev {} mtu {LARGEST_SINGLE_BUFFER_MTU}", link.name))
}

fn xdp(link: &Link, features: io::Result<XdpFeatures>, mode: XdpMode) -> Finding {
    let what = format!("{}: XDP in the driver", link.name);
    let features = match features {
        Ok(features) => features,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::warning(what, "this kernel does not tell it (Linux 6.3 does)");
        }
        Err(error) => return Finding::warning(what, format!("could not be asked: {error}")),
    };
    let words = [
        (XdpFeatures::BASIC, "basic"),
        (XdpFeatures::REDIRECT, "redirect"),
        (XdpFeatures::TRANSMIT, "transmit of redirected frames"),
    ];
    let (there, missing): (Vec<_>, Vec<_>) =
        words.into_iter().partition(|(feature, _)| features.has(*feature));
    let list =
        |of: Vec<(u64, &'static str)>| of.iter().map(|of| of.1).collect::<Vec<_>>().join(", ");
    let needed = XdpFeatures::BASIC | XdpFeatures::REDIRECT;
    if !features.has(needed) {
        let finding = Finding::ok(what, format!("missing: {}", list(missing)));
        return Finding { level: if_native(mode), ..finding }
            .mend("xdp_mode = \"generic\" runs on any interface, several times slower");
    }
    if features.has(XdpFeatures::TRANSMIT) {
        return Finding::ok(what, list(there));
    }
    let mend = match link.kind {
        LinkKind::Veth => "attach XDP at the far end, or `ethtool -K DEV gro on` at the far end",
        _ => "many drivers get it once a program is attached, if they have queues left",
    };
    let evidence = format!("missing: {}; frames redirected to it are lost", list(missing));
    let level = if mode == XdpMode::Generic { Level::Ok } else { Level::Warning };
    Finding { level, ..Finding::ok(what, evidence) }.mend(mend)
}

fn merging(link: &Link, on: &HashSet<String>, mode: XdpMode) -> Finding {
    let (name, what) = (&link.name, format!("{}: receive offloads", link.name));
    let active: Vec<&str> =
        ["rx-lro", "rx-gro-hw"].into_iter().filter(|offload| on.contains(*offload)).collect();
    if active.is_empty() {
        return Finding::ok(what, "packets are not merged before XDP");
    }
    let evidence =
        format!("{} on; native XDP is refused, or sees merged packets", active.join(" and "));
    // The kernel switches both off by itself for generic XDP.
    Finding { level: if_native(mode), ..Finding::ok(what, evidence) }
        .mend(format!("ethtool -K {name} lro off rx-gro-hw off"))
}

fn vlan_tags(link: &Link, links: &LinkTable, on: &HashSet<String>) -> Finding {
    let (name, what) = (&link.name, format!("{}: VLAN offload", link.name));
    if !on.contains("rx-vlan-hw-parse") {
        return Finding::ok(what, "off; XDP sees tags");
    }
    let is_ours =
        |of: &&Link| matches!(of.kind, LinkKind::Vlan { parent, .. } if parent == Some(link.index));
    let vlans: Vec<&str> = links.iter().filter(is_ours).map(|of| of.name.as_str()).collect();
    if vlans.is_empty() {
        return Finding::ok(what, "on; XDP would not see tags, but no VLAN uses it");
    }
    let evidence = format!("on; XDP does not see the tags of {}", vlans.join(", "));
    Finding::warning(what, evidence).mend(format!("ethtool -K {name} rxvlan off"))
}

/// A veth's packets come as its peer made them, which cannot be seen from here.
fn veth_peer(link: &Link) -> Option<Finding> {
    (link.kind == LinkKind::Veth).then(|| {
        Finding::ok(
            format!("{}: the peer's offloads", link.name),
            "cannot be seen from here; with them on, XDP gets unfinished checksums and packets \
             longer than the MTU",
        )
        .mend("at the far end: ethtool -K DEV tx off tso off gso off")
    })
}

#[cfg(test)]
mod tests;
