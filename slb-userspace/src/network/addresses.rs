//! Addresses of the host's interfaces that its own packets may come from.

use std::net::IpAddr;

use futures_util::TryStreamExt;
use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope,
};
use rtnetlink::Handle;

use super::{Error, neighbours::OWNER};

/// The global addresses of these interfaces, in the order of the interfaces and, on each, in the
/// kernel's; those that the daemon has put there are VIPs and not among them.
///
/// # Errors
/// The kernel's refusal.
pub async fn global(handle: &Handle, interfaces: &[u32]) -> Result<Vec<IpAddr>, Error> {
    let messages = handle.address().get().execute().try_collect::<Vec<_>>().await;
    let messages = messages.map_err(Error::of("list the addresses"))?;
    let of = |interface: &u32| {
        let own = messages.iter().filter(|message| message.header.index == *interface);
        own.filter_map(own_address).collect::<Vec<_>>()
    };
    Ok(interfaces.iter().flat_map(of).collect())
}

fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let tentative = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
    if message.header.scope != AddressScope::Universe || message.header.flags.intersects(tentative)
    {
        return None;
    }
    let (mut peer, mut local) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Protocol(protocol) if u8::from(*protocol) == OWNER => return None,
            _ => {}
        }
    }
    local.or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(scope: AddressScope, attributes: Vec<AddressAttribute>) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.scope = scope;
        message.attributes = attributes;
        message
    }

    #[test]
    fn only_a_global_address_that_is_no_vip_of_ours_is_an_own_one() {
        let address: IpAddr = "10.0.1.1".parse().unwrap();
        let there = || AddressAttribute::Local(address);
        let global = |attributes| own_address(&message(AddressScope::Universe, attributes));
        assert_eq!(global(vec![there()]), Some(address));
        assert_eq!(global(vec![there(), AddressAttribute::Protocol(OWNER.into())]), None);
        assert_eq!(own_address(&message(AddressScope::Link, vec![there()])), None);
        let mut tentative = message(AddressScope::Universe, vec![there()]);
        tentative.header.flags = AddressHeaderFlags::Tentative;
        assert_eq!(own_address(&tentative), None);
    }
}
