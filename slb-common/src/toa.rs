//! TOA, the TCP option by which a balancer tells a backend who the client is, and what the
//! backend's program and `slb toa` share. Nothing of it lies in the daemon's maps.

/// Kind of the option: one of the two for experiments (RFC 4727), as the kernel module `toa` has it.
pub const KIND: u8 = 254;
/// Kind, length, port, IPv4 address.
pub const LENGTH_V4: u8 = 8;
/// Kind, length, port, IPv6 address.
pub const LENGTH_V6: u8 = 20;

/// Networks of balancers that one backend can believe.
pub const MAX_NETWORKS: usize = 1024;
/// Value of a network that is believed.
pub const BELIEVED: u32 = 1;
/// Value of a network that is not, inside a larger one that is.
pub const NOT_BELIEVED: u32 = 0;

/// What a socket's storage holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Client {
    /// Network byte order; an IPv4 address is IPv4-mapped.
    pub address: [u32; 4],
    /// Network byte order.
    pub port: u16,
    /// A number of [`state`].
    pub state: u16,
}
const _: () = assert!(size_of::<Client>() == 20);

/// What is known of a socket's client.
pub mod state {
    /// Nothing, and no option is waited for.
    pub const UNKNOWN: u16 = 0;
    /// Nothing yet: the first data may bring the option.
    pub const AWAITED: u16 = 1;
    /// An IPv4 address.
    pub const V4: u16 = 2;
    /// An IPv6 address.
    pub const V6: u16 = 3;
}

/// The third word of an IPv4-mapped address (RFC 4291 section 2.5.5.2), network byte order.
pub const MAPPED: u32 = 0xffff_u32.to_be();

/// Declares the counters once: index, label and manual.
macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident = $label:literal,)+) => {
        /// What the program counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Counter {
            $(#[doc = $doc] $name,)+
        }

        impl Counter {
            /// All of them, each at its index in the map.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name in JSON and on the command line.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            /// What it counts.
            pub const fn manual(self) -> &'static str {
                match self { $(Self::$name => $doc.trim_ascii(),)+ }
            }
        }
    };
}

counters! {
    /// Connections whose client was told by an option for IPv4.
    ClientV4 = "client_v4",
    /// Connections whose client was told by an option for IPv6.
    ClientV6 = "client_v6",
    /// Connections without an option, from a balancer's network.
    Absent = "absent",
    /// Options that were not believed: the sender is in no balancer's network.
    NotBelieved = "not_believed",
    /// Options of a wrong length, without address or port, or for IPv6 on an IPv4 socket.
    Malformed = "malformed",
    /// Connections for which the kernel had no memory to keep the client.
    NoMemory = "no_memory",
}
