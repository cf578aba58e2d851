//! What an interface's driver can do with XDP, as it says itself (Linux 6.3).

use std::io;

use rtnetlink::packet_core::DefaultNla;

use super::netlink::{Family, attribute};

/// The features of one interface: bits of linux/netdev.h `enum netdev_xdp_act`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct XdpFeatures(pub(super) u64);

impl XdpFeatures {
    /// Native XDP with all verdicts but redirect.
    pub(super) const BASIC: u64 = 1;
    /// Native XDP may redirect to other interfaces.
    pub(super) const REDIRECT: u64 = 2;
    /// Others may redirect to this interface.
    pub(super) const TRANSMIT: u64 = 4;
    /// Native XDP takes frames of several buffers.
    pub(super) const BUFFERS: u64 = 32;

    pub(super) const fn has(self, feature: u64) -> bool {
        self.0 & feature == feature
    }
}

/// Asks for the features of the interface of that index.
pub(super) fn features(interface: u32) -> io::Result<XdpFeatures> {
    const DEV_GET: u8 = 1;
    const IFINDEX: u16 = 1;
    const XDP_FEATURES: u16 = 3;
    let index = DefaultNla::new(IFINDEX, interface.to_ne_bytes().to_vec());
    let answer = Family::open("netdev")?.ask(DEV_GET, &[index])?;
    let features = attribute(&answer, XDP_FEATURES).and_then(|value| value.try_into().ok());
    let features = features.ok_or_else(|| io::Error::other("the answer has no XDP features"))?;
    Ok(XdpFeatures(u64::from_ne_bytes(features)))
}
