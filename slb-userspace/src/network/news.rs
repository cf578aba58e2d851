//! What the kernel tells of its own accord.

use futures_util::{StreamExt, future::ready, stream::BoxStream};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::{MulticastGroup, packet_core::NetlinkPayload, sys::AsyncSocket};

use super::{
    Error,
    neighbours::{self, Key, Neighbour},
};

/// One piece of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A neighbour is known, has changed, or (`None`) is deleted.
    Neighbour(Key, Option<Neighbour>),
    /// Interfaces have changed.
    Links,
    /// Routes, rules or addresses have changed.
    Routes,
    /// There were more than the buffer could take.
    Lost,
}

/// Ends when the socket is closed.
pub(super) type NewsStream = BoxStream<'static, News>;

/// Receive buffer, bytes: a full one makes us read everything again.
const BUFFER: usize = 1 << 20;

/// Opens the socket that news come by. Requests have another: a full buffer loses answers, too.
pub(super) fn subscribe() -> Result<NewsStream, Error> {
    let (mut connection, _, messages) = rtnetlink::new_multicast_connection(&[
        MulticastGroup::Neigh,
        MulticastGroup::Link,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Ipv6Rule,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
    ])?;
    // The system may allow less; that only means more full reads.
    let _ = connection.socket_mut().socket_mut().set_rx_buf_sz(BUFFER);
    tokio::spawn(connection);
    Ok(messages.filter_map(|(message, _)| ready(read(&message.payload))).boxed())
}

fn read(payload: &NetlinkPayload<RouteNetlinkMessage>) -> Option<News> {
    use RouteNetlinkMessage::{
        DelAddress, DelLink, DelNeighbour, DelRoute, DelRule, NewAddress, NewLink, NewNeighbour,
        NewRoute, NewRule,
    };
    let message = match payload {
        NetlinkPayload::Overrun(_) => return Some(News::Lost),
        NetlinkPayload::InnerMessage(message) => message,
        _ => return None,
    };
    match message {
        NewNeighbour(message) => {
            neighbours::parse(message).map(|(key, known)| News::Neighbour(key, Some(known)))
        }
        DelNeighbour(message) => {
            neighbours::parse(message).map(|(key, _)| News::Neighbour(key, None))
        }
        NewLink(_) | DelLink(_) => Some(News::Links),
        NewRoute(_) | DelRoute(_) | NewRule(_) | DelRule(_) | NewAddress(_) | DelAddress(_) => {
            Some(News::Routes)
        }
        _ => None,
    }
}
