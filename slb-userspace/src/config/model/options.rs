//! What a listener does besides forwarding: persistence, ACL, SYN defence and smaller settings.

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// New connections of one client go to the backend it had before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// How long a template outlives its last connection.
    pub timeout: Duration,
    /// Prefix length of IPv4 clients that count as one, 1–32.
    pub netmask: u8,
    /// Prefix length of IPv6 clients that count as one, 1–128.
    pub netmask6: u8,
    /// Listeners of one instance with the same name share templates; they agree in everything
    /// above and in the addresses of their backends, each of which stands once in each.
    pub shared: Option<String>,
}

/// What happens to established TCP connections of a backend that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBackendDown {
    /// They stay: the backend may come back.
    Keep,
    /// Both sides get a RST.
    Reset,
}

/// What happens to TCP timestamps of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TcpTimestamps {
    /// They reach the backend.
    Keep,
    /// They are not offered to the backend.
    Strip,
    /// Stripped in fullnat, where clients share a source address and PAWS would bite, else kept.
    Auto,
}

/// How the MSS in SYN segments is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MssClamp {
    /// Not at all.
    Off,
    /// To what the path to the backend takes; in tunnel mode only.
    Auto,
    /// To at most this, 536–9000.
    Value(u16),
}

/// Networks in their order, none twice, overlaps possible; shared, since there may be many.
pub type AccessList = Arc<[IpNet]>;

/// Who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// What it means to be listed.
    pub kind: AclKind,
    /// Inline entries and those of the file, of both families.
    pub networks: AccessList,
}

/// What it means to be listed in an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AclKind {
    /// Only listed clients may connect.
    Allow,
    /// Listed clients may not connect.
    Deny,
}

/// When SYNs are answered by cookies or challenges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynDefence {
    /// Whether it depends on the threshold.
    pub mode: SynDefenceMode,
    /// Half-open connections per second of a VIP above which [`SynDefenceMode::Auto`] begins.
    pub threshold: u32,
    /// Clients that never meet it.
    pub exempt: AccessList,
}

/// `syn_defence.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SynDefenceMode {
    /// From the threshold on, until 30 s below half of it.
    Auto,
    /// For every SYN.
    Always,
    /// Never.
    Off,
}

/// What a client gets without a usable backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoBackend {
    /// TCP: a RST. UDP: ICMP port unreachable.
    Reset,
    /// Nothing.
    Drop,
}
