//! Addresses, protocols and services as the program compares them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use slb_common::connection::{v4_words, v6_words};

use crate::config::model::{Family, Protocol};

/// Words of an address.
pub fn words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => v4_words(address.octets()),
        IpAddr::V6(address) => v6_words(address.octets()),
    }
}

/// An address from its words.
pub fn address(family: Family, words: [u64; 2]) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from((words[0] as u32).to_ne_bytes()).into(),
        Family::V6 => {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&words[0].to_ne_bytes());
            octets[8..].copy_from_slice(&words[1].to_ne_bytes());
            Ipv6Addr::from(octets).into()
        }
    }
}

/// An address from its words where nothing says its family: IPv4 if it can be.
pub fn any_address(words: [u64; 2]) -> IpAddr {
    let v4 = address(Family::V4, words);
    if self::words(v4) == words { v4 } else { address(Family::V6, words) }
}

/// IP protocol number.
pub const fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

/// The protocol with a number.
pub const fn protocol(number: u8) -> Option<Protocol> {
    match number {
        6 => Some(Protocol::Tcp),
        17 => Some(Protocol::Udp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_from_its_words_alone() {
        for text in ["10.0.0.100", "0.0.0.1", "255.255.255.255", "2001:db8::1", "fd01:2:3:4::"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(any_address(words(address)), address);
        }
    }
}
