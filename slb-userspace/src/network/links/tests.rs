//! Interfaces as the kernel tells them, and where XDP sends a frame instead.

use super::*;

const MAC: Mac = [2, 0, 0, 0, 0, 1];

fn message(index: u32, name: &str, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.link_layer_type = LinkLayerType::Ether;
    message.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
    message.attributes =
        vec![LinkAttribute::IfName(name.into()), LinkAttribute::Address(MAC.to_vec())];
    message.attributes.extend(attributes);
    message
}

fn vlan_of(parent: u32, id: u16, tag: VlanProtocol) -> Vec<LinkAttribute> {
    let data = InfoData::Vlan(vec![InfoVlan::Id(id), InfoVlan::Protocol(tag)]);
    vec![
        LinkAttribute::Link(parent),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vlan), LinkInfo::Data(data)]),
    ]
}

fn table(messages: &[LinkMessage]) -> LinkTable {
    messages.iter().map(Link::parse).collect()
}

#[test]
fn a_frame_for_a_vlan_interface_leaves_tagged_by_its_parent() {
    let links = table(&[
        message(2, "eth0", vec![]),
        message(7, "eth0.42", vlan_of(2, 42, VlanProtocol::Ieee8021Q)),
    ]);
    let egress = links.egress(7).unwrap();
    assert_eq!(egress, Egress { interface: 2, vlan: 42, source: MAC });
    assert_eq!(links.egress(2).unwrap(), Egress { interface: 2, vlan: 0, source: MAC });
}

#[test]
fn the_program_learns_the_parents_of_vlan_interfaces_and_of_no_others() {
    let links = table(&[
        message(2, "eth0", vec![]),
        message(7, "eth0.42", vlan_of(2, 42, VlanProtocol::Ieee8021Q)),
        message(8, "eth0.43", vlan_of(2, 43, VlanProtocol::Ieee8021Ad)),
    ]);
    assert_eq!(links.vlan_egress(), [(7, [2, 42]), (8, [0, 0])].into());
}

#[test]
fn a_vlan_of_a_parent_in_another_namespace_cannot_be_sent_from() {
    let mut vlan = vlan_of(2, 42, VlanProtocol::Ieee8021Q);
    vlan.push(LinkAttribute::LinkNetNsId(0));
    let links = table(&[message(2, "eth0", vec![]), message(7, "eth0.42", vlan)]);
    assert_eq!(links.egress(7), Err(NoEgress::ParentElsewhere { name: "eth0.42".into() }));
}

#[test]
fn two_tags_or_a_service_tag_cannot_be_sent() {
    let links = table(&[
        message(2, "eth0", vec![]),
        message(7, "outer", vlan_of(2, 42, VlanProtocol::Ieee8021Q)),
        message(8, "inner", vlan_of(7, 43, VlanProtocol::Ieee8021Q)),
        message(9, "service", vlan_of(2, 44, VlanProtocol::Ieee8021Ad)),
    ]);
    assert_eq!(links.egress(8), Err(NoEgress::Tags { name: "inner".into() }));
    assert_eq!(links.egress(9), Err(NoEgress::Tags { name: "service".into() }));
}

#[test]
fn a_vlan_is_as_down_as_its_parent() {
    let mut parent = message(2, "eth0", vec![]);
    parent.header.flags = LinkFlags::Up;
    let links = table(&[parent, message(7, "eth0.42", vlan_of(2, 42, VlanProtocol::Ieee8021Q))]);
    assert_eq!(links.egress(7), Err(NoEgress::NoCarrier { name: "eth0".into() }));
}

#[test]
fn an_interface_without_ethernet_address_cannot_be_sent_from() {
    let mut tunnel = message(3, "tun0", vec![]);
    tunnel.header.link_layer_type = LinkLayerType::None;
    assert_eq!(table(&[tunnel]).egress(3), Err(NoEgress::NotEthernet { name: "tun0".into() }));
    assert_eq!(LinkTable::default().egress(3), Err(NoEgress::Gone));
}

#[test]
fn an_interface_is_down_unless_set_up_and_connected() {
    let state_of = |flags| {
        let mut message = message(2, "eth0", vec![]);
        message.header.flags = flags;
        Link::parse(&message).state
    };
    assert_eq!(state_of(LinkFlags::empty()), LinkState::Down);
    assert_eq!(state_of(LinkFlags::LowerUp), LinkState::Down);
    assert_eq!(state_of(LinkFlags::Up), LinkState::NoCarrier);
    assert_eq!(state_of(LinkFlags::Up | LinkFlags::LowerUp), LinkState::Up);
}

#[test]
fn xdp_programs_are_read_with_their_place() {
    let programs_of =
        |attributes| Link::parse(&message(2, "eth0", vec![LinkAttribute::Xdp(attributes)])).xdp;
    assert_eq!(programs_of(vec![LinkXdp::Attached(XdpAttached::None)]), []);
    assert_eq!(
        programs_of(vec![
            LinkXdp::Attached(XdpAttached::Driver),
            LinkXdp::ProgId(9),
            LinkXdp::DrvProgId(9)
        ]),
        [XdpProgram { id: 9, place: XdpPlace::Driver }]
    );
    assert_eq!(
        programs_of(vec![
            LinkXdp::Attached(XdpAttached::Multiple),
            LinkXdp::DrvProgId(9),
            LinkXdp::SkbProgId(8)
        ]),
        [
            XdpProgram { id: 9, place: XdpPlace::Driver },
            XdpProgram { id: 8, place: XdpPlace::Stack }
        ]
    );
}
