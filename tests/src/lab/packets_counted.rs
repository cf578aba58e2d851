//! The kernel's own count of packets and bytes at a host: an oracle that shares nothing with the
//! balancer.

use std::{fs, ops::Sub};

use anyhow::{Context, Result};

use super::Namespace;

/// TCP segments and UDP datagrams of one namespace, both families, from /proc/net/snmp.
///
/// TCP counts every segment, RSTs and ACKs from TIME_WAIT too, and repeated ones by themselves
/// (RFC 4022, `tcpOutSegs`). With segmentation offloads off, as in a lab, a segment is a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketsCounted {
    /// Sent by this host.
    pub sent: u64,
    /// Received by this host.
    pub received: u64,
}

impl PacketsCounted {
    /// Since the namespace was made.
    pub fn read(namespace: &Namespace) -> Result<Self> {
        let (snmp, snmp6) = namespace.run(|| -> Result<(String, String)> {
            // /proc/net would show the namespace of the process, not of this thread.
            Ok((
                fs::read_to_string("/proc/thread-self/net/snmp")?,
                // Absent when the kernel has no IPv6.
                fs::read_to_string("/proc/thread-self/net/snmp6").unwrap_or_default(),
            ))
        })??;
        // TCP is counted once for both families, UDP for each.
        let sum = |tcp: &str, udp: &str, udp6: &str| {
            let udp6 = line_value(&snmp6, udp6).unwrap_or(0);
            Some(column(&snmp, "Tcp:", tcp)? + column(&snmp, "Udp:", udp)? + udp6)
        };
        let repeated = column(&snmp, "Tcp:", "RetransSegs").context("read snmp")?;
        let sent = sum("OutSegs", "OutDatagrams", "Udp6OutDatagrams").context("read snmp")?;
        Ok(Self {
            sent: sent + repeated,
            received: sum("InSegs", "InDatagrams", "Udp6InDatagrams").context("read snmp")?,
        })
    }
}

impl Sub for PacketsCounted {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { sent: self.sent - earlier.sent, received: self.received - earlier.received }
    }
}

/// Bytes of IPv4 packets of one namespace, headers included, from /proc/net/netstat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BytesCounted {
    /// Sent by this host.
    pub sent: u64,
    /// Received by this host.
    pub received: u64,
}

impl BytesCounted {
    /// Since the namespace was made.
    pub fn read(namespace: &Namespace) -> Result<Self> {
        let netstat = namespace.run(|| fs::read_to_string("/proc/thread-self/net/netstat"))??;
        let value = |name| column(&netstat, "IpExt:", name).context("read netstat");
        Ok(Self { sent: value("OutOctets")?, received: value("InOctets")? })
    }
}

impl Sub for BytesCounted {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { sent: self.sent - earlier.sent, received: self.received - earlier.received }
    }
}

/// `snmp` and `netstat` have two lines per protocol: names, then values.
fn column(text: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(protocol));
    let position = lines.next()?.split(' ').position(|field| field == name)?;
    lines.next()?.split(' ').nth(position)?.parse().ok()
}

/// `snmp6` has one line per value.
fn line_value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_name() {
        let snmp = "Tcp: RtoMin InSegs OutSegs\nTcp: 200 7 9\nUdp: InDatagrams\nUdp: 3\n";
        assert_eq!(column(snmp, "Tcp:", "OutSegs"), Some(9));
        assert_eq!(column(snmp, "Udp:", "InDatagrams"), Some(3));
        assert_eq!(column(snmp, "Udp:", "OutSegs"), None);
        assert_eq!(line_value("Ip6In 4\nUdp6In   \t 5\n", "Udp6In"), Some(5));
    }
}
