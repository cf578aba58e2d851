//! A small network in one machine: clients, a balancer and backends in network namespaces, real
//! servers and clients on real sockets, and the daemon's binaries between them.
//!
//! ```text
//!  client1 ┐                                      ┌ backend1
//!  client2 ┼ bridge ── eth0 [balancer] eth1 ── bridge ┼ backend2      two arms
//!          ┘                                      └ backend3
//! ```
//!
//! A lab has a name, and everything it makes carries it: namespaces (`NAME-client1`), its working
//! directory and the pin directory. So one function, [`leftovers::remove`], takes a lab away:
//! when it is dropped, after a panic, after Ctrl-C, and for labs of processes that were killed.

pub mod answering;
pub mod answers;
pub mod bpffs;
pub mod clients;
mod construction;
pub mod conversations;
pub mod daemon;
pub mod decapsulator;
pub mod far;
pub mod flooder;
pub mod http;
pub mod kept;
pub mod leftovers;
pub mod links;
pub mod namespace;
pub mod packets_counted;
pub mod probes;
pub mod servers;
pub mod topology;
pub mod traffic;

pub use answers::{Answers, ClientError};
pub use clients::{Held, Load, Question, ask, hold};
pub use conversations::{Conversations, Inverter, Pace};
pub use daemon::{Slbd, binary};
pub use decapsulator::Decapsulator;
pub use flooder::Flooder;
pub use kept::{Kept, name_on, tcp_from, udp_from};
pub use namespace::Namespace;
pub use packets_counted::{BytesCounted, PacketsCounted};
pub use servers::{Served, Server, Service};
pub use topology::{Arms, Families, Host, Lab, LabBuilder, Net, VIP_V4, VIP_V6};
pub use traffic::Traffic;
