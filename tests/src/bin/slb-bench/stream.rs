//! A stream of packets that differ by their flow: the frame without what varies, where the fields
//! are, and whose turn it is.

use std::net::{IpAddr, SocketAddr};

use slb_common::{
    bench::{Flow, HEAD_V4, HEAD_V6, Progress, Template, WORDS_V4, WORDS_V6},
    hash::mix,
};
use slb_tests::packets::Packet;
use slb_userspace::config::model::Family;

/// Bytes of an Ethernet header.
const LINK: usize = 14;
/// Bytes of an IPv4 header.
const NETWORK_V4: usize = 20;

/// Who sends the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Address and port of the source vary.
    Client,
    /// Address and port of the destination vary, and the backend's own address.
    Backend,
}

/// Flows that lie one after the other in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) first: u32,
    pub(crate) flows: u32,
}

/// Packets that take turns.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// The program that varies them.
    pub(crate) program: &'static str,
    /// One of them.
    pub(crate) frame: Vec<u8>,
    pub(crate) template: Template,
    pub(crate) progress: Progress,
}

impl Stream {
    /// Packets like this one, of these flows. The data of a segment goes on where that of the one
    /// before it has ended.
    pub(crate) fn new(packet: &Packet, from: End, stretch: Stretch) -> Self {
        let family = Family::of(packet.source.ip());
        let frame = packet.bytes();
        let mut plain = frame.clone();
        for field in fields(family, from) {
            plain[field].fill(0);
        }
        if family == Family::V4 {
            plain[LINK + 10..LINK + 12].fill(0);
        }
        let (head, words) = match family {
            Family::V4 => (HEAD_V4, WORDS_V4),
            Family::V6 => (HEAD_V6, WORDS_V6),
        };
        let mut template = Template {
            length: frame.len() as u32,
            first: stretch.first,
            flows: stretch.flows,
            sum: sum(&plain[LINK..LINK + NETWORK_V4]),
            step: if packet.transport_is_tcp() { packet.payload.len() as u32 } else { 0 },
            ..Template::default()
        };
        template.head[..head].copy_from_slice(&plain[..head]);
        let (chunks, _) = plain[head..].as_chunks::<8>();
        assert!(chunks.len() >= words, "a frame of {} bytes is too short", frame.len());
        for (word, bytes) in template.words.iter_mut().zip(chunks).take(words) {
            *word = u64::from_ne_bytes(*bytes);
        }
        let program = match (family, from) {
            (Family::V4, End::Client) => "from_client_v4",
            (Family::V4, End::Backend) => "from_backend_v4",
            (Family::V6, End::Client) => "from_client_v6",
            (Family::V6, End::Backend) => "from_backend_v6",
        };
        Self { program, frame, template, progress: Progress::default() }
    }

    /// The same with a wrong header checksum.
    pub(crate) fn damaged(mut self) -> Self {
        self.template.sum += 1;
        self
    }
}

/// What varies.
fn fields(family: Family, from: End) -> Vec<std::ops::Range<usize>> {
    match (family, from) {
        (Family::V4, End::Client) => vec![26..30, 34..36],
        (Family::V4, End::Backend) => vec![30..34, 36..38, 28..30],
        (Family::V6, End::Client) => vec![34..38, 54..56],
        (Family::V6, End::Backend) => vec![50..54, 56..58, 36..38],
    }
}

/// Sum of 16-bit words as they lie in memory (RFC 1071 section 2 B).
fn sum(bytes: &[u8]) -> u32 {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| u32::from(u16::from_ne_bytes(*pair))).sum()
}

/// The flow of the `number`-th client, of 2²⁴.
pub(crate) fn client(number: u32) -> Flow {
    let [_, b, c, d] = number.to_be_bytes();
    let port = 1024 + (mix(u64::from(number)) % 60_000) as u16;
    Flow::new([10, b, c, d], port.to_be_bytes(), [0; 2])
}

/// The flow with this other end, which for a backend's packets comes from this address.
pub(crate) fn between(end: SocketAddr, backend: IpAddr) -> Flow {
    let [.., c, d] = last_bytes(backend);
    Flow::new(last_bytes(end.ip()), end.port().to_be_bytes(), [c, d])
}

fn last_bytes(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
    }
}

/// Puts flows into an order in which none says anything of the next, the same each time.
pub(crate) fn shuffle(flows: &mut [Flow]) {
    for last in (1..flows.len()).rev() {
        let other = mix(last as u64 ^ 0x5_1b) % (last as u64 + 1);
        flows.swap(last, other as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use slb_tests::packets::flags;

    use super::*;

    const ALL: Stretch = Stretch { first: 0, flows: 9 };

    fn packet(ends: [&str; 2]) -> Packet {
        let [source, destination] = ends.map(|end| end.parse().unwrap());
        Packet { payload: vec![7; 6], ..Packet::tcp(source, destination, flags::ACK) }
    }

    #[test]
    fn a_template_holds_the_frame_but_for_what_varies() {
        let packet = packet(["198.51.100.7:4000", "203.0.113.1:80"]);
        let stream = Stream::new(&packet, End::Client, ALL);
        let bytes: Vec<u8> = stream.template.head[..HEAD_V4]
            .iter()
            .copied()
            .chain(stream.template.words.iter().flat_map(|word| word.to_ne_bytes()))
            .collect();
        for (at, (byte, original)) in bytes.iter().zip(&stream.frame).take(58).enumerate() {
            let varies = matches!(at, 24..30 | 34..36);
            assert_eq!(*byte, if varies { 0 } else { *original }, "at {at}");
        }
        assert_eq!((stream.template.length, stream.template.step), (60, 6));
    }

    #[test]
    fn the_sum_and_what_varies_give_the_checksum_of_the_whole_header() {
        for (from, flow) in [
            (End::Client, between("198.51.100.7:4000".parse().unwrap(), [0; 4].into())),
            (End::Backend, between("203.0.113.1:80".parse().unwrap(), [198, 51, 100, 7].into())),
        ] {
            let packet = packet(["198.51.100.7:4000", "203.0.113.1:80"]);
            let stream = Stream::new(&packet, from, ALL);
            let backend = if from == End::Backend { flow.backend() } else { 0 };
            let address = flow.address();
            let mut total =
                u64::from(stream.template.sum) + (address & 0xffff) + (address >> 16) + backend;
            while total >> 16 != 0 {
                total = (total & 0xffff) + (total >> 16);
            }
            let expected = u16::from_ne_bytes([stream.frame[24], stream.frame[25]]);
            assert_eq!(!(total as u16), expected, "{from:?}");
        }
    }

    #[test]
    fn a_million_clients_are_a_million_flows_in_any_order() {
        let mut flows: Vec<Flow> = (0..1_000_000).map(client).collect();
        let before = flows.clone();
        shuffle(&mut flows);
        let same = flows.iter().zip(&before).filter(|(a, b)| a == b).count();
        assert!(same < 100, "{same} have kept their place");
        assert_eq!(flows.iter().map(|flow| flow.0).collect::<HashSet<_>>().len(), 1_000_000);
    }
}
