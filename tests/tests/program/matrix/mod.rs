//! The matrix: in every mode, family and protocol, everything that may come of a connection. Each
//! cell has a program of its own, and is named where it fails.

mod cells;
mod oracle;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
};

use slb_common::{Verdict, connection::state};
use slb_tests::{
    icmp::Trouble,
    packets::{
        Mac, Packet, Transport, endpoints,
        flags::{ACK, FIN, PSH, RST, SYN},
    },
};
use slb_userspace::config::model::{Family, Protocol};

use super::{
    balancer::{Action, Balancer, ELSEWHERE, INTERFACE},
    cases::{CLIENT_MAC, hex},
    full_nat::local,
    routes,
};
use cells::{Cell, Column, cells_of};
pub(crate) use cells::{Mode, Row, rows_of};

const NAT: &[Mode] = &[Mode::Nat];
const DIRECT: &[Mode] = &[Mode::Direct];
const TUNNELS: &[Mode] = &[Mode::Tunnel(Family::V4), Mode::Tunnel(Family::V6)];
const FULL_NAT: &[Mode] = &[Mode::FullNat];

#[test]
fn in_nat_whatever_comes_of_a_connection_reaches_its_other_side() {
    play_all(NAT);
}

#[test]
fn in_direct_routing_whatever_comes_of_a_connection_reaches_its_backend() {
    play_all(DIRECT);
}

#[test]
fn in_a_tunnel_whatever_comes_of_a_connection_reaches_its_backend() {
    play_all(TUNNELS);
}

#[test]
fn in_full_nat_whatever_comes_of_a_connection_reaches_its_other_side() {
    play_all(FULL_NAT);
}

#[test]
fn no_cell_of_the_matrix_is_skipped() {
    let mut wanted = BTreeSet::new();
    for mode in ["Nat", "Direct", "Tunnel(V4)", "Tunnel(V6)", "FullNat"] {
        for family in ["V4", "V6"] {
            let both = "FirstPacket Established IcmpToVip IcmpToClient Fragments OneTag TwoTags \
                        Options";
            for (protocol, columns) in [("Tcp", "Fin Rst"), ("Tcp", both), ("Udp", both)] {
                for column in columns.split_whitespace() {
                    wanted.insert(format!("{mode} × {family} × {protocol} × {column}"));
                }
            }
        }
    }
    assert_eq!(wanted.len(), 5 * 2 * (10 + 8));
    let played: Vec<String> = [NAT, DIRECT, TUNNELS, FULL_NAT]
        .into_iter()
        .flat_map(cells_of)
        .map(|cell| cell.to_string())
        .collect();
    assert_eq!(played.len(), wanted.len());
    assert_eq!(played.into_iter().collect::<BTreeSet<_>>(), wanted);
}

/// Plays every cell of some modes, also after one has failed.
fn play_all(modes: &[Mode]) {
    let mut failed = Vec::new();
    for cell in cells_of(modes) {
        match catch_unwind(AssertUnwindSafe(|| play(cell))) {
            Ok(compared) => assert!(compared > 0, "{cell}: nothing was compared"),
            Err(_) => {
                eprintln!("... in {cell}");
                failed.push(cell.to_string());
            }
        }
    }
    let count = cells_of(modes).count();
    assert!(failed.is_empty(), "{} of {count} cells: {failed:#?}", failed.len());
}

/// Plays one cell; returns how many packets were compared.
fn play(cell: Cell) -> u32 {
    match cell.column {
        Column::FirstPacket => first_packet(cell),
        Column::Established => established(cell),
        Column::Fin => fin(cell),
        Column::Rst => rst(cell),
        Column::IcmpToVip => icmp_to_vip(cell),
        Column::IcmpToClient => icmp_to_client(cell),
        Column::Fragments => fragments(cell),
        Column::OneTag => one_tag(cell),
        Column::TwoTags => two_tags(cell),
        Column::Options => options(cell),
    }
}

fn first_packet(cell: Cell) -> u32 {
    let mut scene = Scene::new(cell);
    let first = scene.row.case.first();
    scene.open(&first);
    // Again, as if it had been lost.
    scene.reaches_backend(&first);
    scene.is(state::SYN, state::UDP_NEW);
    scene.done()
}

fn established(cell: Cell) -> u32 {
    let mut scene = Scene::established(cell);
    let unanswered = if scene.row.two_sided() { state::UDP_SEEN } else { state::UDP_NEW };
    for length in [0, 1, 2, 1001] {
        let payload: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        scene.reaches_backend(&Packet { payload: payload.clone(), ..scene.row.case.next() });
        scene.reaches_client(&Packet { payload, ..scene.row.reply(scene.peer, ACK | PSH) });
        scene.is(state::ESTABLISHED, unanswered);
    }
    scene.done()
}

fn fin(cell: Cell) -> u32 {
    let mut scene = Scene::established(cell);
    scene.reaches_backend(&scene.request(FIN | ACK));
    scene.is(state::FIN, state::FIN);
    scene.reaches_client(&scene.row.reply(scene.peer, FIN | ACK));
    // Where only the client is seen, nobody knows that both have.
    let both = if scene.row.two_sided() { state::TIME_WAIT } else { state::FIN };
    scene.is(both, both);
    scene.reaches_backend(&scene.request(ACK));
    scene.is(both, both);
    scene.done()
}

fn rst(cell: Cell) -> u32 {
    let mut scene = Scene::established(cell);
    scene.reaches_backend(&scene.request(RST));
    scene.is(state::CLOSED, state::CLOSED);
    let compared = scene.done();
    let mut scene = Scene::established(cell);
    scene.reaches_client(&scene.row.reply(scene.peer, RST | ACK));
    let seen = if scene.row.two_sided() { state::CLOSED } else { state::ESTABLISHED };
    scene.is(seen, seen);
    compared + scene.done()
}

fn icmp_to_vip(cell: Cell) -> u32 {
    let mut scene = Scene::established(cell);
    for trouble in Trouble::ALL {
        let (comes, leaves) = scene.row.error_to_backend(scene.peer, trouble);
        scene.leaves(&comes, &leaves, ELSEWHERE);
    }
    scene.done()
}

fn icmp_to_client(cell: Cell) -> u32 {
    let mut scene = Scene::established(cell);
    for trouble in Trouble::ALL {
        for (comes, leaves) in scene.row.errors_to_client(scene.peer, trouble) {
            match scene.row.two_sided() {
                true => scene.leaves(&comes, &leaves, INTERFACE),
                false => scene.passes(&comes),
            }
        }
    }
    scene.done()
}

fn fragments(cell: Cell) -> u32 {
    let mut scene = Scene::established(cell);
    let payload: Vec<u8> = (0..150).collect();
    let request = Packet { payload: payload.clone(), ..scene.row.case.next() };
    let reply = Packet { payload, ..scene.row.reply(scene.peer, ACK | PSH) };
    let (to, from) = (scene.row.to_backend(&request, scene.peer), scene.row.to_client(&reply));
    for number in [0, 2, 1] {
        let of = |packet: &Packet| packet.pieces(64)[number].clone();
        scene.leaves(&of(&request), &of(&to), ELSEWHERE);
        match scene.row.two_sided() {
            true => scene.leaves(&of(&reply), &of(&from), INTERFACE),
            false => scene.passes(&of(&reply)),
        }
    }
    scene.done()
}

fn one_tag(cell: Cell) -> u32 {
    let mut scene = Scene::behind(cell, 7);
    scene.tags = (vec![7], vec![5]);
    let tagged = |packet: Packet, tag| Packet { tags: vec![tag], ..packet };
    scene.open(&tagged(scene.row.case.first(), 5));
    scene.reaches_client(&tagged(scene.row.reply(scene.peer, SYN | ACK), 7));
    scene.reaches_backend(&tagged(scene.row.case.next(), 5));
    scene.reaches_client(&tagged(scene.row.reply(scene.peer, ACK), 7));
    scene.done()
}

fn two_tags(cell: Cell) -> u32 {
    let mut scene = Scene::behind(cell, 7);
    scene.tags.0 = vec![7];
    // Two tags do not tell the way back: a route does, by an interface that adds what it needs.
    scene.by = routes::route(scene.row.case);
    scene.router = routes::ROUTER_MAC;
    let tagged = |packet: Packet| Packet { tags: vec![6, 5], ..packet };
    scene.open(&tagged(scene.row.case.first()));
    scene.reaches_client(&tagged(scene.row.reply(scene.peer, SYN | ACK)));
    scene.reaches_backend(&tagged(scene.row.case.next()));
    scene.reaches_client(&tagged(scene.row.reply(scene.peer, ACK)));
    scene.done()
}

fn options(cell: Cell) -> u32 {
    let variations = match cell.row.case.family {
        Family::V4 => vec![vec![(0, vec![1; 4])], vec![(0, vec![1; 40])]],
        Family::V6 => {
            vec![vec![(0, vec![1; 6])], vec![(0, vec![1; 6]), (43, vec![1; 22]), (60, vec![1; 14])]]
        }
    };
    let mut compared = 0;
    for extras in variations {
        let with = |packet: Packet| Packet { extras: extras.clone(), ..packet };
        let mut scene = Scene::new(cell);
        scene.open(&with(scene.row.case.first()));
        scene.reaches_client(&with(scene.row.reply(scene.peer, SYN | ACK)));
        scene.reaches_backend(&with(scene.row.case.next()));
        scene.reaches_client(&with(scene.row.reply(scene.peer, ACK | PSH)));
        compared += scene.done();
    }
    compared
}

/// A program with one listener, and what its packets must look like.
struct Scene {
    balancer: Balancer,
    cell: Cell,
    row: Row,
    /// Whom the backend takes for the client.
    peer: SocketAddr,
    /// The interface by which packets come.
    by: u32,
    /// Tags of what leaves: to the backend, to the client.
    tags: (Vec<u16>, Vec<u16>),
    /// The MAC address to which replies go.
    router: Mac,
    /// Full NAT names the client in its segments: the backend has sent nothing but SYN-ACKs.
    names: bool,
    compared: u32,
}

impl Scene {
    fn new(cell: Cell) -> Self {
        Self::behind(cell, 0)
    }

    /// Its backend's next hop wants this tag.
    fn behind(cell: Cell, vlan: u16) -> Self {
        let row = cell.row;
        Self {
            balancer: row.balancer(vlan),
            cell,
            row,
            peer: row.case.client(1),
            by: INTERFACE,
            tags: Default::default(),
            router: CLIENT_MAC,
            names: row.mode == Mode::FullNat,
            compared: 0,
        }
    }

    /// With a connection of the first client that is open as far as anybody here can see.
    fn established(cell: Cell) -> Self {
        let mut scene = Self::new(cell);
        scene.open(&scene.row.case.first());
        scene.reaches_client(&scene.row.reply(scene.peer, SYN | ACK));
        scene.reaches_backend(&scene.request(ACK));
        scene.reaches_client(&scene.row.reply(scene.peer, ACK));
        scene
    }

    /// Sends the first packet, of which full NAT chooses the source.
    fn open(&mut self, first: &Packet) {
        if self.row.mode == Mode::FullNat {
            let opened = self.balancer.receive_by(self.by, &first.bytes());
            assert_eq!(opened.verdict, Verdict::Redirected, "{}: {first:?}", self.cell);
            self.peer = endpoints(&opened.frame).0;
            let local = local(self.row.case, 1);
            assert_eq!(self.peer.ip(), local, "{}: {first:?}", self.cell);
        }
        self.reaches_backend(first);
    }

    fn request(&self, tcp: u8) -> Packet {
        self.row.case.to_vip(self.row.case.client(1), self.row.case.vip(), tcp)
    }

    fn reaches_backend(&mut self, packet: &Packet) {
        let expected = match self.names {
            true => self.row.naming_client(packet, self.peer),
            false => self.row.to_backend(packet, self.peer),
        };
        let expected = Packet { tags: self.tags.0.clone(), ..expected };
        self.leaves(packet, &expected, ELSEWHERE);
    }

    /// Where replies do not come by, this one passes if it does.
    fn reaches_client(&mut self, reply: &Packet) {
        if !self.row.two_sided() {
            return self.passes(reply);
        }
        let expected = self.row.to_client(reply);
        let macs = (expected.macs.0, self.router);
        let expected = Packet { macs, tags: self.tags.1.clone(), ..expected };
        self.names &= is_syn(reply);
        self.leaves(reply, &expected, self.by);
    }

    fn leaves(&mut self, packet: &Packet, expected: &Packet, interface: u32) {
        let ended = self.balancer.receive_by(self.by, &packet.bytes());
        let verdict = match interface {
            ELSEWHERE => Verdict::Redirected,
            _ => Verdict::Transmitted,
        };
        assert_eq!(ended.verdict, verdict, "{}: {packet:?}", self.cell);
        let bytes = expected.bytes();
        assert!(
            ended.frame == bytes,
            "{}: of {packet:?} there should be {expected:?}\n  {}\nbut out came\n  {}",
            self.cell,
            hex(&bytes),
            hex(&ended.frame)
        );
        self.compared += 1;
    }

    fn passes(&mut self, packet: &Packet) {
        let ended = self.balancer.receive_by(self.by, &packet.bytes());
        assert_eq!(ended.action, Action::Pass, "{}: {packet:?}", self.cell);
        assert!(ended.frame == packet.bytes(), "{}: changed: {packet:?}", self.cell);
        self.compared += 1;
    }

    /// The only connection is in this state.
    fn is(&self, tcp: u8, udp: u8) {
        let wanted = if self.row.case.protocol == Protocol::Tcp { tcp } else { udp };
        let now = self.balancer.entry().control.state();
        assert_eq!(state::name(now), state::name(wanted), "{}", self.cell);
    }

    /// Everything was of one connection, and is counted right.
    fn done(self) -> u32 {
        assert_eq!(self.balancer.entries().len(), 1, "{}", self.cell);
        self.balancer.assert_consistent();
        self.compared
    }
}

fn is_syn(packet: &Packet) -> bool {
    matches!(packet.transport, Transport::Tcp { flags, .. } if flags & SYN != 0)
}
