//! One question and its answer over netlink, without a runtime; the interfaces, and the generic
//! families (`netdev`, `ethtool`).

use std::io;

use netlink_packet_route::{RouteNetlinkMessage, link::LinkMessage};
use rtnetlink::{
    packet_core::{
        DefaultNla, Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage,
        NetlinkPayload, NlasIterator,
    },
    sys::{
        Socket, SocketAddr,
        protocols::{NETLINK_GENERIC, NETLINK_ROUTE},
    },
};

use crate::network::links::{Link, LinkTable};

/// Bytes of the netlink header.
const HEADER: usize = 16;
/// Bytes of the generic header: command, version, reserved.
const GENERIC_HEADER: usize = 4;

const NLMSG_ERROR: u16 = 2;

/// All interfaces.
pub(super) fn links() -> io::Result<LinkTable> {
    let socket = connect(NETLINK_ROUTE)?;
    let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let mut question = NetlinkMessage::from(question);
    question.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut links = Vec::new();
    loop {
        let (answer, _) = socket.recv_from_full()?;
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(io::Error::other)?;
            match &message.payload {
                NetlinkPayload::Done(_) => return Ok(links.into_iter().collect()),
                NetlinkPayload::Error(refusal) => return Err(refusal.to_io()),
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                    links.push(Link::parse(link));
                }
                _ => {}
            }
            // Messages begin at multiples of four bytes; a length of 0 would not end.
            let length = (message.header.length as usize).max(HEADER).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// A family of generic netlink.
pub(super) struct Family {
    socket: Socket,
    id: u16,
}

impl Family {
    /// Looks one up by name; the error is `NotFound` where the kernel has none of that name.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        const CONTROLLER: u16 = 16;
        const GET_FAMILY: u8 = 3;
        const FAMILY_ID: u16 = 1;
        const FAMILY_NAME: u16 = 2;
        let controller = Self { socket: connect(NETLINK_GENERIC)?, id: CONTROLLER };
        let name = [name.as_bytes(), b"\0"].concat();
        let answer = controller.ask(GET_FAMILY, &[DefaultNla::new(FAMILY_NAME, name)])?;
        let id = attribute(&answer, FAMILY_ID).and_then(|id| <[u8; 2]>::try_from(id).ok());
        let id = id.ok_or_else(|| io::Error::other("the answer has no family id"))?;
        Ok(Self { id: u16::from_ne_bytes(id), ..controller })
    }

    /// Sends a command; returns the attributes of its one answer.
    pub(super) fn ask(&self, command: u8, attributes: &[DefaultNla]) -> io::Result<Vec<u8>> {
        let attributes_length = attributes.buffer_len();
        let mut question = vec![0; HEADER + GENERIC_HEADER + attributes_length];
        let length = u32::try_from(question.len()).map_err(io::Error::other)?;
        let mut header = NetlinkBuffer::new(&mut question);
        header.set_length(length);
        header.set_message_type(self.id);
        header.set_flags(NLM_F_REQUEST);
        question[HEADER..][..GENERIC_HEADER].copy_from_slice(&[command, 1, 0, 0]);
        attributes.emit(&mut question[HEADER + GENERIC_HEADER..]);
        self.socket.send(&question, 0)?;

        let (answer, _) = self.socket.recv_from_full()?;
        let header = NetlinkBuffer::new_checked(&answer).map_err(io::Error::other)?;
        if header.message_type() == NLMSG_ERROR {
            let code = header.payload().first_chunk::<4>().copied().map_or(0, i32::from_ne_bytes);
            return Err(io::Error::from_raw_os_error(-code));
        }
        Ok(header.payload().get(GENERIC_HEADER..).unwrap_or_default().to_vec())
    }
}

/// The value of the first attribute of that kind.
pub(super) fn attribute(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    each(attributes).find(|(of, _)| *of == kind).map(|(_, value)| value)
}

/// Kind and value of every attribute.
pub(super) fn each(attributes: &[u8]) -> impl Iterator<Item = (u16, Vec<u8>)> {
    let attributes = NlasIterator::new(attributes).map_while(Result::ok);
    attributes.map(|attribute| (attribute.kind(), attribute.value().to_vec()))
}

fn connect(protocol: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    // Port 0 is the kernel; no groups.
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}
