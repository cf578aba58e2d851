//! What is said of interfaces that a test machine may not have.

use super::*;
use crate::network::links::{VlanTag, XdpProgram};

fn eth0() -> Link {
    Link {
        index: 2,
        name: "eth0".into(),
        mac: Some([2; 6]),
        mtu: 1500,
        state: LinkState::Up,
        kind: LinkKind::Device,
        xdp: vec![],
    }
}

fn on(offloads: &[&str]) -> HashSet<String> {
    offloads.iter().map(|offload| offload.to_string()).collect()
}

const MODES: [XdpMode; 3] = [XdpMode::Native, XdpMode::Auto, XdpMode::Generic];
const BY_MODE: [Level; 3] = [Level::Failure, Level::Warning, Level::Ok];

#[test]
fn lro_and_hardware_gro_are_found_and_the_command_named() {
    assert_eq!(merging(&eth0(), &on(&["rx-gro"]), XdpMode::Native).level, Level::Ok);
    for offload in ["rx-lro", "rx-gro-hw"] {
        assert_eq!(MODES.map(|mode| merging(&eth0(), &on(&[offload]), mode).level), BY_MODE);
    }
    let finding = merging(&eth0(), &on(&["rx-lro", "rx-gro-hw"]), XdpMode::Auto);
    assert_eq!(
        finding.evidence,
        "rx-lro and rx-gro-hw on; native XDP is refused, or sees merged packets"
    );
    assert_eq!(finding.mend.as_deref(), Some("ethtool -K eth0 lro off rx-gro-hw off"));
}

#[test]
fn a_vlan_offload_matters_only_where_there_is_a_vlan() {
    let vlan = Link {
        index: 7,
        name: "eth0.42".into(),
        kind: LinkKind::Vlan { parent: Some(2), id: 42, tag: VlanTag::Customer },
        ..eth0()
    };
    let alone: LinkTable = [eth0()].into_iter().collect();
    let both: LinkTable = [eth0(), vlan].into_iter().collect();
    let parse = on(&["rx-vlan-hw-parse"]);
    assert_eq!(vlan_tags(&eth0(), &alone, &parse).level, Level::Ok);
    assert_eq!(vlan_tags(&eth0(), &both, &on(&[])).level, Level::Ok);
    let finding = vlan_tags(&eth0(), &both, &parse);
    assert_eq!(finding.level, Level::Warning);
    assert_eq!(finding.evidence, "on; XDP does not see the tags of eth0.42");
}

#[test]
fn a_driver_without_redirect_fails_only_native_mode() {
    let basic = || Ok(XdpFeatures(XdpFeatures::BASIC));
    assert_eq!(MODES.map(|mode| xdp(&eth0(), basic(), mode).level), BY_MODE);
    let finding = xdp(&eth0(), basic(), XdpMode::Native);
    assert_eq!(finding.evidence, "missing: redirect, transmit of redirected frames");
}

#[test]
fn a_driver_that_cannot_send_redirected_frames_is_a_warning() {
    let features = || Ok(XdpFeatures(XdpFeatures::BASIC | XdpFeatures::REDIRECT));
    assert_eq!(xdp(&eth0(), features(), XdpMode::Native).level, Level::Warning);
    assert_eq!(xdp(&eth0(), features(), XdpMode::Generic).level, Level::Ok);
    assert_eq!(xdp(&eth0(), Ok(XdpFeatures(7)), XdpMode::Native).level, Level::Ok);
    let unknown = Err(io::Error::from(io::ErrorKind::NotFound));
    assert_eq!(xdp(&eth0(), unknown, XdpMode::Native).level, Level::Warning);
}

#[test]
fn jumbo_frames_do_not_fit_native_xdp() {
    let jumbo = |mtu| Link { mtu, ..eth0() };
    assert_eq!(MODES.map(|mode| super::mtu(&jumbo(3499), None, mode).level), BY_MODE);
    assert_eq!(super::mtu(&jumbo(3498), None, XdpMode::Native).level, Level::Ok);
}

#[test]
fn a_program_of_another_owner_is_a_warning_and_slbds_own_is_not() {
    let xdp = vec![XdpProgram { id: 37, place: XdpPlace::Driver }];
    let link = Link { xdp, ..eth0() };
    for (owner, level, evidence) in [
        (Owner::Slb, Level::Ok, "slbd's own, program 37 (native)"),
        (
            Owner::Another,
            Level::Warning,
            "program 37 is attached (native), of another owner; slbd does not displace it",
        ),
        (
            Owner::Unknown,
            Level::Warning,
            "program 37 is attached (native), slbd displaces it only if it is its own",
        ),
    ] {
        let finding = attached(&link, |id| {
            assert_eq!(id, 37);
            owner
        });
        assert_eq!((finding.level, finding.evidence.as_str()), (level, evidence));
    }
    let finding = attached(&eth0(), |_| unreachable!("nothing is attached"));
    assert_eq!(finding.level, Level::Ok);
}

#[test]
fn a_vlan_interface_is_to_be_replaced_by_its_parent() {
    let kind_of_vlan = LinkKind::Vlan { parent: Some(2), id: 42, tag: VlanTag::Customer };
    let vlan = Link { index: 7, name: "eth0.42".into(), kind: kind_of_vlan, ..eth0() };
    let links: LinkTable = [eth0(), vlan.clone()].into_iter().collect();
    let finding = kind(&vlan, &links);
    assert_eq!(finding.level, Level::Warning);
    assert!(finding.mend.unwrap().starts_with("name eth0 in dataplane.interfaces"));
}
