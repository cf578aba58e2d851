//! What each mode must make of each packet, as packets that etherparse writes.

use std::net::{IpAddr, SocketAddr};

use slb_common::{Verdict, service::mode};
use slb_tests::{
    icmp::{Trouble, error, network},
    packets::{Packet, Transport, flags},
};
use slb_userspace::config::model::Protocol;

use super::cells::{Mode, Row};
use crate::{
    balancer::{Balancer, OWN_MAC},
    cases::{CLIENT_MAC, Case, FRONT_MAC, forwarded},
    direct::directed,
    full_nat,
    listener::Listener,
    tcp_options::{toa, with_options},
    tunnel::{set_sources, tunnelled},
};

/// What comes, and as what it must leave.
pub(super) type Pair = (Packet, Packet);

impl Row {
    /// True if replies come by the balancer.
    pub(crate) fn two_sided(self) -> bool {
        matches!(self.mode, Mode::Nat | Mode::FullNat)
    }

    /// The backend, where the balancer sends to.
    pub(crate) fn backend(self) -> SocketAddr {
        let Self { mode, case } = self;
        let port = case.vip().port();
        match mode {
            Mode::Nat | Mode::FullNat => case.backend(1),
            Mode::Direct => SocketAddr::new(case.backend(1).ip(), port),
            Mode::Tunnel(family) => SocketAddr::new(Case { family, ..case }.backend(1).ip(), port),
        }
    }

    /// A listener with that backend.
    pub(crate) fn listener(self) -> Listener {
        let mode = match self.mode {
            Mode::Nat => mode::NAT,
            Mode::Direct => mode::DIRECT,
            Mode::Tunnel(_) => mode::TUNNEL,
            Mode::FullNat => mode::FULL_NAT,
        };
        Listener { mode, ..Listener::new(self.case.vip(), self.case.protocol, &[self.backend()]) }
    }

    /// A program with that listener, whose backend's next hop wants this tag.
    pub(crate) fn balancer(self, vlan: u16) -> Balancer {
        let mut listener = self.listener();
        listener.backends[0].vlan = vlan;
        let (mut balancer, _) = Balancer::with(&listener);
        set_sources(&mut balancer);
        if self.mode == Mode::FullNat {
            full_nat::set_locals(&mut balancer, self.case, 1);
        }
        balancer
    }

    /// A program with an open connection of the first client, and whom the backend takes for it.
    pub(crate) fn established(self) -> (Balancer, SocketAddr) {
        let mut balancer = self.balancer(0);
        if self.two_sided() {
            let peer = full_nat::establish(self.case, &mut balancer);
            return (balancer, peer);
        }
        for packet in [self.case.first(), self.case.next()] {
            assert_eq!(balancer.receive(&packet).verdict, Verdict::Redirected, "{self:?}");
        }
        (balancer, self.case.client(1))
    }

    /// A client's packet as the backend must get it. `peer` is whom it then takes for the client.
    pub(crate) fn to_backend(self, packet: &Packet, peer: SocketAddr) -> Packet {
        match self.mode {
            Mode::Nat => forwarded(packet, self.backend()),
            Mode::Direct => directed(packet),
            Mode::Tunnel(_) => tunnelled(packet, self.backend().ip()),
            Mode::FullNat => full_nat::forwarded(packet, peer, self.backend()),
        }
    }

    /// The same where full NAT names the client: in a TCP option before all others, but not in what
    /// opens or aborts a connection.
    pub(super) fn naming_client(self, packet: &Packet, peer: SocketAddr) -> Packet {
        let expected = self.to_backend(packet, peer);
        match &packet.transport {
            Transport::Tcp { flags: tcp, options } if tcp & (flags::SYN | flags::RST) == 0 => {
                with_options(expected, &[&toa(packet.source)[..], options].concat())
            }
            _ => expected,
        }
    }

    /// What the backend sends to its peer.
    pub(crate) fn reply(self, peer: SocketAddr, tcp: u8) -> Packet {
        let own = if self.two_sided() { self.backend() } else { self.case.vip() };
        self.case.reply(own, peer, tcp)
    }

    /// A reply as the client must get it.
    pub(crate) fn to_client(self, reply: &Packet) -> Packet {
        full_nat::answered(reply, self.case.vip(), self.case.client(1))
    }

    /// An error about a reply, that a router before the client sends to the VIP.
    pub(super) fn error_to_backend(self, peer: SocketAddr, trouble: Trouble) -> Pair {
        let Self { mode, case } = self;
        let router = case.client(9).ip();
        let sent = self.reply(peer, flags::ACK);
        let seen = Packet { source: case.vip(), destination: case.client(1), ..sent.clone() };
        let error = |to: IpAddr, quoted: &Packet| Packet {
            macs: (CLIENT_MAC, FRONT_MAC),
            ..error(router, to, trouble, &network(quoted))
        };
        let comes = error(case.vip().ip(), &seen);
        let leaves = match mode {
            // The backend knows of its own packet alone.
            Mode::Nat | Mode::FullNat => directed(&error(self.backend().ip(), &sent)),
            Mode::Direct | Mode::Tunnel(_) => self.to_backend(&comes, peer),
        };
        (comes, leaves)
    }

    /// What a client hears of a trouble behind the balancer: full NAT makes its segments longer by
    /// the option that names it.
    fn told_client(self, trouble: Trouble) -> Trouble {
        match (trouble, self.mode, self.case.protocol) {
            (Trouble::TooBig(mtu), Mode::FullNat, Protocol::Tcp) => {
                Trouble::TooBig(mtu - toa(self.case.client(1)).len() as u16)
            }
            _ => trouble,
        }
    }

    /// Errors about a request, that the backend and a router before it send to whom they take for
    /// the client; as they came where these come by themselves.
    pub(super) fn errors_to_client(self, peer: SocketAddr, trouble: Trouble) -> [Pair; 2] {
        let Self { mode, case } = self;
        let (client, vip) = (case.client(1).ip(), case.vip().ip());
        let router = case.client(9).ip();
        let sent = case.next();
        let seen = match mode {
            Mode::Nat => Packet { destination: self.backend(), ..sent.clone() },
            Mode::Direct | Mode::Tunnel(_) => sent.clone(),
            Mode::FullNat => Packet { source: peer, destination: self.backend(), ..sent.clone() },
        };
        // Each error speaks from an address that the packet's sender knows.
        let itself = (seen.destination.ip(), vip);
        [itself, (router, router)].map(|(speaks, known)| {
            let comes = Packet {
                macs: ([2, 0, 0, 0, 1, 1], OWN_MAC),
                ..error(speaks, peer.ip(), trouble, &network(&seen))
            };
            let leaves = Packet {
                macs: (FRONT_MAC, CLIENT_MAC),
                ttl: comes.ttl - 1,
                ..error(known, client, self.told_client(trouble), &network(&sent))
            };
            let leaves = if self.two_sided() { leaves } else { comes.clone() };
            (comes, leaves)
        })
    }
}
