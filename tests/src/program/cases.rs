//! Both families, TCP and UDP: who talks to whom in a test, so that one test proves four things.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::packets::{BACKEND_START, CLIENT_START, Mac, Packet, flags};
use slb_common::Verdict;
use slb_userspace::config::model::{Family, Protocol};

use super::{
    balancer::{Balancer, ELSEWHERE, Ended, OWN_MAC},
    listener::{Installed, Listener},
};

/// The client's MAC address, or its router's.
pub const CLIENT_MAC: Mac = [2, 0, 0, 0, 0, 0xc1];
/// The balancer's MAC address toward clients.
pub const FRONT_MAC: Mac = [2, 0, 0, 0, 0, 0xba];

/// A router that reports errors: toward the client, or behind the balancer.
pub fn router(family: Family) -> IpAddr {
    match family {
        Family::V4 => [203, 0, 114, 9].into(),
        Family::V6 => [0x2001, 0xdb8, 9, 0, 0, 0, 0, 9].into(),
    }
}

/// A family and a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// IPv4 or IPv6.
    pub family: Family,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// All four.
pub const CASES: [Case; 4] = [
    Case { family: Family::V4, protocol: Protocol::Tcp },
    Case { family: Family::V4, protocol: Protocol::Udp },
    Case { family: Family::V6, protocol: Protocol::Tcp },
    Case { family: Family::V6, protocol: Protocol::Udp },
];

/// The two of TCP.
pub const TCP_CASES: [Case; 2] = [CASES[0], CASES[2]];

impl Case {
    fn address(self, v4: [u8; 4], v6: [u16; 8]) -> IpAddr {
        match self.family {
            Family::V4 => IpAddr::from(v4),
            Family::V6 => IpAddr::from(Ipv6Addr::from(v6)),
        }
    }

    /// The `number`-th client, on a port of its own.
    pub fn client(self, number: u16) -> SocketAddr {
        let [high, low] = number.to_be_bytes();
        let ip = self.address([198, 51, high, low], [0x2001, 0xdb8, 0xc, 0, 0, 0, 0xfeed, number]);
        SocketAddr::new(ip, 30_000 + number % 30_000)
    }

    /// The `number`-th VIP's port 80.
    pub fn vip_number(self, number: u8) -> SocketAddr {
        let ip =
            self.address([203, 0, 113, number], [0x2001, 0xdb8, 0xa, 0, 0, 0, 0, number.into()]);
        SocketAddr::new(ip, 80)
    }

    /// The VIP that most tests use.
    pub fn vip(self) -> SocketAddr {
        self.vip_number(1)
    }

    /// The `number`-th backend's port 8080.
    pub fn backend(self, number: u8) -> SocketAddr {
        let ip = self.address([10, 0, 1, number], [0xfd01, 0, 0, 0, 0, 0, 0xbe, number.into()]);
        SocketAddr::new(ip, 8080)
    }

    /// A listener on the VIP with so many backends.
    pub fn listener(self, backends: u8) -> Listener {
        let backends: Vec<_> = (1..=backends).map(|number| self.backend(number)).collect();
        Listener::new(self.vip(), self.protocol, &backends)
    }

    /// A program with that listener.
    pub fn balancer(self, backends: u8) -> (Balancer, Installed) {
        Balancer::with(&self.listener(backends))
    }

    /// A packet from a client to a VIP: of these flags, if it is TCP.
    pub fn to_vip(self, client: SocketAddr, vip: SocketAddr, tcp: u8) -> Packet {
        let sequence = CLIENT_START + u32::from(tcp & flags::SYN == 0);
        Packet { macs: (CLIENT_MAC, FRONT_MAC), ..self.packet(client, vip, tcp) }
            .numbered(sequence, BACKEND_START + 1)
    }

    /// A packet that opens a connection of the first client.
    pub fn first(self) -> Packet {
        self.to_vip(self.client(1), self.vip(), flags::SYN)
    }

    /// A packet in the middle of the first client's connection.
    pub fn next(self) -> Packet {
        self.to_vip(self.client(1), self.vip(), flags::ACK | flags::PSH)
    }

    /// A packet from a backend to a client.
    pub fn reply(self, backend: SocketAddr, client: SocketAddr, tcp: u8) -> Packet {
        let sequence = BACKEND_START + u32::from(tcp & flags::SYN == 0);
        Packet { macs: ([2, 0, 0, 0, 1, 1], OWN_MAC), ..self.packet(backend, client, tcp) }
            .numbered(sequence, CLIENT_START + 1)
    }

    /// The first backend's answer to the first client's first packet.
    pub fn answer(self) -> Packet {
        self.reply(self.backend(1), self.client(1), flags::SYN | flags::ACK)
    }

    fn packet(self, source: SocketAddr, destination: SocketAddr, tcp: u8) -> Packet {
        match self.protocol {
            Protocol::Tcp => Packet::tcp(source, destination, tcp),
            Protocol::Udp => Packet::udp(source, destination),
        }
    }

    /// Opens and answers a connection, so that it is active.
    pub fn establish(
        self,
        balancer: &mut Balancer,
        client: SocketAddr,
        vip: SocketAddr,
    ) -> SocketAddr {
        let opened = balancer.receive(&self.to_vip(client, vip, flags::SYN));
        assert_eq!(opened.verdict, Verdict::Redirected, "{self:?}: {client} opens");
        let (_, backend) = crate::packets::endpoints(&opened.frame);
        balancer.receive(&self.reply(backend, client, flags::SYN | flags::ACK));
        balancer.receive(&self.to_vip(client, vip, flags::ACK));
        backend
    }
}

/// The packet as it leaves toward the first backend, which stands behind another interface.
pub fn forwarded(packet: &Packet, backend: SocketAddr) -> Packet {
    Packet {
        macs: (OWN_MAC, [2, 0, 0, 0, 1, 1]),
        tags: Vec::new(),
        destination: backend,
        ttl: packet.ttl - 1,
        ..packet.clone()
    }
}

/// The packet as it leaves toward the client, by the way that the client's first packet came.
pub fn answered(packet: &Packet, vip: SocketAddr) -> Packet {
    Packet {
        macs: (FRONT_MAC, CLIENT_MAC),
        tags: Vec::new(),
        source: vip,
        ttl: packet.ttl - 1,
        ..packet.clone()
    }
}

/// The packet was sent, and is byte for byte what it should be.
pub fn assert_sent(ended: &Ended, expected: &Packet, interface: u32) {
    let verdict = match interface {
        ELSEWHERE => Verdict::Redirected,
        _ => Verdict::Transmitted,
    };
    assert_eq!(ended.verdict, verdict);
    let bytes = expected.bytes();
    assert!(
        ended.frame == bytes,
        "expected {expected:?}\n  {}\nbut out came\n  {}",
        hex(&bytes),
        hex(&ended.frame)
    );
}

/// Bytes for people.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
