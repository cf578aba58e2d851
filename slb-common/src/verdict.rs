//! How a packet's story ends. One list: the number is the index of the counter, the label is the
//! metric's and the command line's, the comment is the manual.

use crate::stage::Stage;

/// What the kernel does with a packet, told apart from why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Untouched to the network stack.
    Pass,
    /// Rewritten and sent.
    Forward,
    /// Thrown away.
    Drop,
    /// Thrown away, and its sender told so where that is due (RST, ICMP).
    Refuse,
    /// Became the answer to itself.
    Answer,
    /// Handed over to another program, which ends its story; never counted.
    HandOver,
}

macro_rules! verdicts {
    (
        $($(#[doc = $doc:literal])+ $name:ident = $label:literal, $action:ident;)+
        hand over: $($(#[doc = $about:literal])+ $to:ident = $stage:ident;)+
    ) => {
        /// Why a packet was passed, forwarded or dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Verdict {
            $($(#[doc = $doc])+ $name,)+
            $($(#[doc = $about])+ $to,)+
        }

        impl Verdict {
            /// Every verdict that is counted, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            /// How many there are: the length of the counters' map.
            pub const COUNT: usize = Self::ALL.len();

            /// The counter's index.
            pub const fn index(self) -> u32 {
                self as u32
            }

            /// The verdict with this number.
            pub const fn from_index(index: u32) -> Option<Self> {
                if (index as usize) < Self::COUNT { Some(Self::ALL[index as usize]) } else { None }
            }

            /// Metric label and name on the command line.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ $(Self::$to => stringify!($stage),)+ }
            }

            /// What becomes of the packet.
            pub const fn action(self) -> Action {
                match self {
                    $(Self::$name => Action::$action,)+
                    $(Self::$to => Action::HandOver,)+
                }
            }

            /// Who goes on with the packet, if its story has not ended.
            pub const fn stage(self) -> Option<Stage> {
                match self {
                    $(Self::$to => Some(Stage::$stage),)+
                    _ => None,
                }
            }

            /// The manual: what it means and what to do about it.
            pub const fn manual(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)+
                    $(Self::$to => concat!($($about),+),)+
                }
            }
        }
    };
}

verdicts! {
    /// Neither IPv4 nor IPv6 (ARP, LLDP...): the network stack's.
    PassNotIp = "not_ip", Pass;
    /// Neither to a VIP nor from a backend: other traffic of this host.
    PassNotOurs = "not_ours", Pass;
    /// To a VIP, on a protocol and port without a listener.
    PassNoListener = "no_listener", Pass;
    /// To a VIP or from a backend, neither TCP nor UDP (ICMP...): the network stack answers.
    PassOtherProtocol = "other_protocol", Pass;
    /// From a backend's address, but of no balanced connection (health checks, its own traffic).
    PassNoConnection = "backend_no_connection", Pass;
    /// Too short to hold the headers that would tell whose it is.
    PassShort = "short_frame", Pass;
    /// An ICMP error to a VIP that quotes none of its connections, or one about the outer header of a
    /// tunnel that no client can be told of: too little of the inner packet is quoted, or it is none
    /// that was sent.
    PassIcmpNoConnection = "icmp_no_connection", Pass;

    /// Rewritten and sent out of the interface it came by.
    Transmitted = "transmitted", Forward;
    /// Rewritten and sent out of another interface.
    Redirected = "redirected", Forward;

    /// A SYN that was answered by a cookie: the listener's SYN-flood defence is on. Its client's
    /// next segment proves it and opens the connection.
    AnsweredCookie = "syn_cookie", Answer;
    /// A SYN that was answered by a challenge, in dr and tunnel: a client that is there refuses it,
    /// and is let in for the next 300 s.
    AnsweredChallenge = "syn_challenge", Answer;
    /// A SYN-ACK that a backend has repeated because its client, which came by a cookie, waits
    /// for its first word: answered in the client's place.
    AnsweredHandshake = "handshake_completed", Answer;

    /// The RST by which a client passes a challenge; it does its work here.
    DropChallengePassed = "syn_challenge_passed", Drop;
    /// A header is cut off by the end of the frame.
    DropTruncated = "truncated", Drop;
    /// A length field contradicts the frame or another header, or a fragment is as long as none is
    /// made: no multiple of 8 bytes though others follow, or beyond the longest datagram.
    DropBadLength = "bad_length", Drop;
    /// The packet is not of the IP version that its frame says.
    DropVersion = "wrong_ip_version", Drop;
    /// The IPv4 header's checksum is wrong: damaged on the way or badly made.
    DropBadChecksum = "bad_ip_checksum", Drop;
    /// TCP flags that no connection sends (SYN+FIN, none at all...): a scan.
    DropBadFlags = "bad_tcp_flags", Drop;
    /// The source is no address that a host may send from (loopback, multicast, zero), or is
    /// the VIP that the packet is sent to.
    DropMartian = "martian_source", Drop;
    /// A fragment without ports, and the first one, which has them, did not come within the
    /// second before it, or its connection is gone.
    DropFragmentWithoutFirst = "fragment_without_first", Drop;
    /// No place is left to remember a first fragment: raise `dataplane.max_fragments`.
    DropFragmentTableFull = "fragment_table_full", Drop;
    /// A fragment that cuts a TCP or UDP header, or begins inside one (RFC 1858): no sender makes
    /// such.
    DropTinyFragment = "tiny_fragment", Drop;
    /// More IPv6 extension headers than are looked through.
    DropExtension = "ipv6_extension", Drop;
    /// TTL or hop limit ran out here.
    DropTtl = "ttl_exceeded", Refuse;
    /// Longer than the way to its backend or client takes, in a tunnel with the outer header. IPv6,
    /// and IPv4 with DF set, are told so; IPv4 without DF is not: nothing is fragmented here.
    DropTooBig = "too_big", Refuse;
    /// The listener is stopped, or all listeners of the VIP are.
    DropStopped = "listener_stopped", Drop;
    /// A TCP segment of no connection that is not a SYN.
    DropNoConnection = "no_connection", Refuse;
    /// No backend is usable: all unhealthy, drained or of the other family.
    DropNoBackend = "no_backend", Refuse;
    /// The backend is the client itself: nat cannot answer it.
    DropHairpin = "hairpin", Drop;
    /// This client reaches the same backend by another VIP from the same port: replies would mix.
    DropTupleInUse = "backend_tuple_in_use", Drop;
    /// Full NAT: no local port is free toward this backend, as far as was looked. Add addresses to
    /// `dataplane.local_addresses`, or backends.
    DropNoLocalPort = "no_local_port", Drop;
    /// The client's address is not on the listener's allow list, or on its deny list.
    DropAcl = "acl", Drop;
    /// The listener has as many connections as its limits allow.
    DropConnectionLimit = "connection_limit", Drop;
    /// The listener has taken as many new connections in this second as its limits allow.
    DropRateLimit = "rate_limit", Drop;
    /// The client's prefix has as many connections as the listener allows each.
    DropClientConnectionLimit = "client_connection_limit", Drop;
    /// The client's prefix has opened as many connections in this second as the listener allows.
    DropClientRateLimit = "client_rate_limit", Drop;
    /// The instance has as many connections as its specification allows.
    DropInstanceConnectionLimit = "instance_connection_limit", Drop;
    /// The instance has taken as many new connections in this second as its specification allows.
    DropInstanceRateLimit = "instance_rate_limit", Drop;
    /// Every usable backend has reached its limits.
    DropBackendLimit = "backend_limit", Drop;
    /// Above the bandwidth of the listener or of its instance.
    DropBandwidth = "bandwidth", Drop;
    /// Too much comes for the VIP: nothing is let through to it for a while (`slb blackhole list`).
    DropBlackholed = "blackholed", Drop;
    /// The connection table has no place left: raise `max_connections`.
    DropTableFull = "table_full", Drop;
    /// One client endpoint holds all the places it may have in the table.
    DropClientFull = "client_endpoint_full", Drop;
    /// Other processors kept changing the same bucket of the table; the sender's retry gets in.
    DropContended = "contended", Drop;
    /// The backend's or client's next hop is not known (no neighbour, no route).
    DropNoNextHop = "no_next_hop", Drop;
    /// No outer source address for the tunnel to this backend: set `dataplane.tunnel_source`.
    DropNoTunnelSource = "no_tunnel_source", Drop;
    /// The frame could not be given other VLAN tags or an outer header (no headroom).
    DropNoHeadroom = "no_headroom", Drop;
    /// A map that must be there is not: report it as a bug.
    DropInternal = "internal", Drop;

    hand over:
    /// IPv6: the entry has only the hot path of IPv4.
    ToIpv6 = Ipv6;
    /// Needs something that the hot path leaves out.
    ToRare = Rare;
    /// The same over IPv6.
    ToRareIpv6 = RareIpv6;
    /// The first packet of a connection.
    ToOpen = Open;
    /// ICMP: it may be an error that concerns a connection.
    ToIcmp = Icmp;
    /// TCP while SYNs are answered by cookies.
    ToCookie = Cookie;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_order_of_the_list() {
        for (number, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(verdict.index() as usize, number);
            assert_eq!(Verdict::from_index(number as u32), Some(*verdict));
        }
    }

    #[test]
    fn labels_are_unique() {
        for (number, verdict) in Verdict::ALL.iter().enumerate() {
            assert!(Verdict::ALL[..number].iter().all(|other| other.label() != verdict.label()));
        }
    }
}
