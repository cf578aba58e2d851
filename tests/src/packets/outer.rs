//! The header of a tunnel around a packet.

use std::net::IpAddr;

use etherparse::{IpDscp, IpEcn, IpNumber, Ipv4Header, Ipv6Header};

use super::CLASS;

/// The outer header of a tunnel, of its own addresses' family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Who encapsulated it.
    pub source: IpAddr,
    /// Who takes it out again.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
}

impl Outer {
    pub(super) fn header(&self, carries: IpNumber, length: usize) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut header = Ipv4Header {
                    dscp: IpDscp::try_new(CLASS >> 2).expect("6 bits"),
                    ecn: IpEcn::try_new(CLASS & 3).expect("2 bits"),
                    dont_fragment: true,
                    time_to_live: self.ttl,
                    protocol: carries,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Default::default()
                };
                header.set_payload_len(length).expect("a packet of less than 64 KiB");
                header.header_checksum = header.calc_header_checksum();
                header.to_bytes().to_vec()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut header = Ipv6Header {
                    traffic_class: CLASS,
                    next_header: carries,
                    hop_limit: self.ttl,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Default::default()
                };
                header.set_payload_length(length).expect("a packet of less than 64 KiB");
                header.to_bytes().to_vec()
            }
            _ => unreachable!("both ends of a tunnel are of one family"),
        }
    }
}
