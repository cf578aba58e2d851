//! VIPs as the XDP program sees them: what is noted of each, and the settings of the whole data
//! plane.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Places of `VIP_STATES`; place 0 is of no VIP.
pub const VIP_STATES: u32 = 4096;

/// Nothing is answered for it: all its listeners are stopped.
pub const VIP_STOPPED: u32 = 1;
/// Too much comes for it: everything is dropped until [`VipState::blackholed_until`].
pub const VIP_BLACKHOLED: u32 = 2;

/// Value of the array `VIP_STATES`, by the index that the map `VIPS` gives for an address.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct VipState {
    /// Bits `VIP_*`, written by the daemon alone.
    pub flags: u32,
    /// Always 0.
    pub reserved: u32,
    /// Nanoseconds of the monotonic clock; written by the daemon alone.
    pub blackholed_until: u64,
    /// Half-open connections, a [`Window`](crate::cookie::Window).
    pub syn_window: u64,
    /// Until when SYNs are answered by cookies, in ticks; 0: they never were.
    pub cookies_until: u64,
    /// For the stages that need more.
    pub spare: [u64; 4],
}

/// Value of the per-CPU array `COUNT_VIPS`, by the same index; counted only while
/// [`SETTING_METER_VIPS`] is set.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct VipCounters {
    /// Packets to the VIP, dropped ones included.
    pub packets: u64,
    /// Their bytes, from the network header on.
    pub bytes: u64,
}

/// Packets to VIPs are counted by VIP, and VIPs may be blackholed.
pub const SETTING_METER_VIPS: u32 = 1;

/// Value of the hash map `ADDRESSES`: an interface's own addresses, as words; 0: it has none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct InterfaceAddresses {
    /// IPv4.
    pub v4: [u64; 2],
    /// IPv6, not a link-local one.
    pub v6: [u64; 2],
}

/// Key of `ADDRESSES`: the interface that frames come by, and the outer VLAN id in them.
#[inline(always)]
pub const fn interface_key(interface: u32, vlan: u16) -> u64 {
    (vlan as u64) << 32 | interface as u64
}

/// An address or prefix that outer headers of tunnels come from.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct TunnelSource {
    /// Address words as in [`crate::service::Backend::address`].
    pub address: [u64; 2],
    /// Bits of the address that a hash of the flow fills in, as a mask in the same form; 0: none.
    pub spread: [u64; 2],
}

/// The one value of the array `SETTINGS`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Settings {
    /// Bits `SETTING_*`.
    pub flags: u32,
    /// IPv4 places of the array `LOCALS` that may hold an address, from place 0 on.
    pub locals_v4: u32,
    /// IPv6 places of the array `LOCALS` that may hold an address, from place [`LOCALS_V6`] on.
    pub locals_v6: u32,
    /// Processors that local ports are shared out among; 0 counts as 1.
    pub processors: u32,
    /// Outer source of tunnels over IPv4.
    pub tunnel_v4: TunnelSource,
    /// Outer source of tunnels over IPv6.
    pub tunnel_v6: TunnelSource,
}

/// Places of `LOCALS`: local addresses of full NAT.
pub const LOCALS: u32 = 8192;
/// First place of IPv6 addresses.
pub const LOCALS_V6: u32 = 4096;

/// Value of the array `LOCALS`. An address keeps its place as long as it is configured: entries
/// name the place.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct LocalAddress {
    /// Address words as in [`crate::service::Backend::address`].
    pub address: [u64; 2],
    /// [`LOCAL_TAKES_NEW`].
    pub flags: u32,
    /// Always 0.
    pub reserved: u32,
}

/// New connections may use the local address.
pub const LOCAL_TAKES_NEW: u32 = 1;

/// Lowest local port; all up to 65 535 are used.
pub const LOCAL_PORT_FIRST: u16 = 1024;
/// How many local ports there are for each local address, backend endpoint and protocol.
pub const LOCAL_PORT_COUNT: u32 = 65_536 - LOCAL_PORT_FIRST as u32;

/// Key of `LOCAL_PORTS4` (`W` = 1) and `LOCAL_PORTS6` (`W` = 3): the endpoints of a reply of full
/// NAT. Both extras are the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct LocalKey<const W: usize> {
    /// Where the reply goes to.
    pub local: [u64; W],
    /// Where it comes from.
    pub backend: [u64; W],
}

/// Value of `LOCAL_PORTS4` and `LOCAL_PORTS6`: whose the local port is. Either the number of a
/// line, or, while that is not known yet, this bit and the processor that took the port.
pub const LOCAL_PORT_TAKEN: u64 = 1 << 63;

const _: () = assert!(size_of::<LocalAddress>() == 24);
const _: () = assert!(size_of::<LocalKey<1>>() == 16 && size_of::<LocalKey<3>>() == 48);
const _: () = assert!(size_of::<VipState>() == 64 && size_of::<Settings>() == 80);
