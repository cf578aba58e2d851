//! What is put where, and what is left alone.

use super::*;

fn there(address: &str, prefix_length: u8, interface: u32) -> Present {
    Present { address: address.parse().unwrap(), prefix_length, interface, ours: false }
}

fn ours(address: &str, interface: u32) -> Present {
    let address: IpAddr = address.parse().unwrap();
    Present { address, prefix_length: host_prefix(address), interface, ours: true }
}

fn steps(present: &[Present], interfaces: &[u32], wanted: &[&str]) -> Vec<String> {
    let wanted: Vec<IpAddr> = wanted.iter().map(|vip| vip.parse().unwrap()).collect();
    let steps = plan(present, interfaces, &wanted).unwrap();
    steps
        .iter()
        .map(|step| format!("{:?} {} {}", step.kind, step.address, step.interface))
        .collect()
}

#[test]
fn a_vip_goes_to_the_interface_whose_network_contains_it() {
    let hosts = [
        there("10.0.0.1", 8, 2),
        there("10.9.0.1", 16, 3),
        there("fd00::1", 64, 3),
        there("10.9.9.1", 24, 4),
    ];
    assert_eq!(steps(&hosts, &[2, 3], &["10.0.0.100"]), ["Added 10.0.0.100 2"]);
    assert_eq!(steps(&hosts, &[2, 3], &["10.9.9.100"]), ["Added 10.9.9.100 3"]);
    assert_eq!(steps(&hosts, &[2, 3], &["fd00::100"]), ["Added fd00::100 3"]);
}

#[test]
fn a_vip_of_no_network_goes_to_the_first_interface() {
    let hosts = [there("10.0.0.1", 24, 3), there("192.0.2.7", 32, 3), there("0.0.0.0", 0, 3)];
    assert_eq!(steps(&hosts, &[2, 3], &["192.0.2.7", "203.0.113.1"]), ["Added 203.0.113.1 2"]);
    assert!(plan(&hosts, &[], &["203.0.113.1".parse().unwrap()]).is_err());
}

#[test]
fn a_vip_that_is_there_stays_as_it_is() {
    assert!(steps(&[ours("10.0.0.100", 2)], &[2], &["10.0.0.100"]).is_empty());
    assert!(steps(&[there("10.0.0.100", 24, 2)], &[2], &["10.0.0.100"]).is_empty());
    assert!(steps(&[there("10.0.0.100", 32, 1)], &[2], &["10.0.0.100"]).is_empty());
}

#[test]
fn only_our_own_are_removed() {
    let hosts = [ours("10.0.0.100", 2), there("10.0.0.101", 32, 2)];
    assert_eq!(steps(&hosts, &[2], &[]), ["Removed 10.0.0.100 2"]);
}

#[test]
fn our_own_goes_when_somebody_else_has_added_it_too() {
    let hosts = [ours("10.0.0.100", 2), there("10.0.0.100", 24, 3)];
    assert_eq!(steps(&hosts, &[2, 3], &["10.0.0.100"]), ["Removed 10.0.0.100 2"]);
}

#[test]
fn a_vip_is_added_to_its_new_interface_before_it_leaves_the_old_one() {
    let hosts = [ours("10.0.0.100", 2), there("10.0.0.1", 24, 3)];
    assert_eq!(
        steps(&hosts, &[2, 3], &["10.0.0.100"]),
        ["Added 10.0.0.100 3", "Removed 10.0.0.100 2"]
    );
}

#[test]
fn a_change_is_said_as_a_sentence() {
    let change = |kind| {
        let (address, interface) = ("10.0.0.100".parse().unwrap(), "eth0".to_owned());
        Change { kind, address, interface }.to_string()
    };
    assert_eq!(change(ChangeKind::Added), "VIP 10.0.0.100 added to eth0");
    assert_eq!(change(ChangeKind::Removed), "VIP 10.0.0.100 removed from eth0");
}
