//! A lab: hosts, their names and addresses, and what may be chosen about them.
//!
//! Client `i` is 10.0.0.(10+i) and fd00::(10+i), backend `i` 10.0.1.(10+i) and fd01::(10+i) (the
//! same digits); the balancer is .1 and ::1 of both nets. Clients reach the VIPs, which lie in
//! their net, through the balancer's address, so it does not matter who answers ARP for them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Result, ensure};

use super::{Namespace, construction, leftovers};

/// The IPv4 VIP that clients have a route to.
pub const VIP_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
/// The IPv6 VIP that clients have a route to.
pub const VIP_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);

/// By how many interfaces the balancer is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arms {
    /// `eth0` to clients and backends alike; frames go back out where they came in.
    One,
    /// `eth0` to the clients, `eth1` to the backends.
    Two,
    /// The same, and `eth2` to everybody else: the default route.
    Three,
}

/// Address families that the hosts have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Both,
}

impl Families {
    /// Whether hosts have IPv4 addresses.
    pub const fn v4(self) -> bool {
        !matches!(self, Self::V6)
    }

    /// Whether hosts have IPv6 addresses.
    pub const fn v6(self) -> bool {
        !matches!(self, Self::V4)
    }
}

/// The subnets of a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// 10.0.0.0/24 and fd00::/64, with the VIPs.
    Clients,
    /// 10.0.1.0/24 and fd01::/64.
    Backends,
    /// 10.0.2.0/24 and fd02::/64, only with three arms.
    Outside,
}

impl Net {
    const fn number(self) -> u8 {
        match self {
            Self::Clients => 0,
            Self::Backends => 1,
            Self::Outside => 2,
        }
    }

    /// A host's IPv4 address.
    pub const fn v4(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.number(), host)
    }

    /// A host's IPv6 address; its last group shows the same digits as the IPv4 address: 11 is
    /// 0x11.
    pub const fn v6(self, host: u8) -> Ipv6Addr {
        let (hundreds, tens, ones) = (host / 100, host / 10 % 10, host % 10);
        let digits = (hundreds as u16) * 0x100 + (tens as u16) * 0x10 + ones as u16;
        Ipv6Addr::new(0xfd00 + self.number() as u16, 0, 0, 0, 0, 0, 0, digits)
    }
}

/// A client or a backend.
#[derive(Clone, Debug)]
pub struct Host {
    /// `client1`, `backend2`...
    pub name: String,
    /// Its network.
    pub namespace: Namespace,
    /// Its IPv4 address, not set up in a lab of IPv6 alone.
    pub v4: Ipv4Addr,
    /// Its IPv6 address, not set up in a lab of IPv4 alone.
    pub v6: Ipv6Addr,
}

impl Host {
    /// Sets this host up as a backend of direct routing and tunnels, which has the VIPs itself.
    /// Replies from them go to the clients' network by themselves; replies from the host's own
    /// addresses, as nat and health checks want them, go on through the balancer.
    ///
    /// # Errors
    /// A setting is refused.
    pub fn take_vips(&self) -> Result<()> {
        self.namespace.sysctl(&[
            ("net/ipv4/conf/all/arp_ignore", "1"),
            ("net/ipv4/conf/all/arp_announce", "2"),
        ])?;
        self.namespace.ip_batch(&format!(
            "addr add {VIP_V4}/32 dev lo\n\
             addr add {VIP_V6}/128 dev lo nodad\n\
             route add 10.0.0.0/24 dev eth0 table 100\n\
             rule add from {VIP_V4} lookup 100\n\
             route add fd00::/64 dev eth0 table 100"
        ))?;
        let rule = ["-6", "rule", "add", "from", &VIP_V6.to_string(), "lookup", "100"];
        self.namespace.output("ip", &rule).map(drop)
    }

    /// An endpoint of this host in the family of `like`.
    pub fn endpoint(&self, like: IpAddr, port: u16) -> SocketAddr {
        match like {
            IpAddr::V4(_) => (self.v4, port).into(),
            IpAddr::V6(_) => (self.v6, port).into(),
        }
    }
}

/// A network that stands; it is removed on drop.
#[derive(Debug)]
pub struct Lab {
    /// Its name, which the name of everything it made begins with.
    pub name: String,
    /// First to last.
    pub clients: Vec<Host>,
    /// Where the daemon runs.
    pub balancer: Namespace,
    /// First to last.
    pub backends: Vec<Host>,
    /// Behind the third arm, if there is one: where packets to everybody else go.
    pub outside: Option<Host>,
    pub(super) arms: Arms,
    pub(super) kept: bool,
}

impl Lab {
    /// A lab of two arms, both families, one client and three backends, unless said otherwise.
    pub fn builder() -> LabBuilder {
        LabBuilder {
            name: None,
            arms: Arms::Two,
            families: Families::Both,
            clients: 1,
            backends: 3,
            mtu: 1500,
        }
    }

    /// Interfaces of the balancer that XDP belongs on.
    pub fn interfaces(&self) -> &'static [&'static str] {
        match self.arms {
            Arms::One => &["eth0"],
            Arms::Two => &["eth0", "eth1"],
            Arms::Three => &["eth0", "eth1", "eth2"],
        }
    }

    /// Where configuration, logs and sockets of this lab are.
    pub fn work_dir(&self) -> PathBuf {
        leftovers::work_dir(&self.name)
    }

    /// Where its daemon pins programs and maps.
    pub fn pin_dir(&self) -> PathBuf {
        leftovers::pin_dir(&self.name)
    }

    /// Leaves everything in place; [`leftovers::remove`] takes it away.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.kept {
            leftovers::remove(&self.name);
        }
    }
}

/// What to build.
#[derive(Clone, Debug)]
pub struct LabBuilder {
    pub(super) name: Option<String>,
    pub(super) arms: Arms,
    pub(super) families: Families,
    pub(super) clients: u8,
    pub(super) backends: u8,
    pub(super) mtu: u16,
}

impl LabBuilder {
    /// A name that others shall find it by; else it is made from the process id.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// By how many interfaces the balancer is connected.
    pub fn arms(mut self, arms: Arms) -> Self {
        self.arms = arms;
        self
    }

    /// Which addresses the hosts get.
    pub fn families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// How many clients; at most 80.
    pub fn clients(mut self, clients: u8) -> Self {
        self.clients = clients;
        self
    }

    /// How many backends; at most 200.
    pub fn backends(mut self, backends: u8) -> Self {
        self.backends = backends;
        self
    }

    /// MTU of every interface, bytes.
    pub fn mtu(mut self, mtu: u16) -> Self {
        self.mtu = mtu;
        self
    }

    /// Builds it. Needs root.
    pub fn build(self) -> Result<Lab> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "a lab needs root: it makes network namespaces and loads BPF programs"
        );
        // Clients come before the VIPs' .100, backends have an octet.
        ensure!(self.clients <= 80 && self.backends <= 200, "too many hosts for the lab's nets");
        construction::build(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_of_a_host_end_in_the_same_digits() {
        assert_eq!(Net::Backends.v4(11).to_string(), "10.0.1.11");
        assert_eq!(Net::Backends.v6(11).to_string(), "fd01::11");
        assert_eq!(Net::Clients.v6(90).to_string(), "fd00::90");
        assert_eq!(Net::Backends.v6(210).to_string(), "fd01::210");
    }
}
