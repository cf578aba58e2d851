//! Whom a listener lets in and how much of him, as its services say it in the kernel.

use slb_common::{
    connection::ticks,
    cookie::LIFETIME_S,
    service::{
        self, Bandwidth, Limits, SERVICE_ACL_ALLOWS, SERVICE_COOKIES_ALWAYS, SERVICE_COOKIES_AUTO,
        SERVICE_METERED, SERVICE_SHADOW, Service,
    },
};

use crate::config::model::{
    self, AccessList, AclKind, Backend, Family, Instance, Listener, Protocol, SynDefenceMode,
};

/// Limits, bandwidth and lists of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Bits `SERVICE_*`.
    pub flags: u32,
    /// Of all its connections.
    pub limits: Limits,
    /// Of one client prefix.
    pub client_limits: Limits,
    /// Length of that prefix; 0: clients have no limits.
    pub client_prefix: u8,
    /// Its own bandwidth.
    pub bandwidth: Bandwidth,
    /// Who may or may not come.
    pub acl: Option<AccessList>,
    /// Who never gets a cookie.
    pub exempt: Option<AccessList>,
    /// Half-open connections of a VIP in a second from which on others do.
    pub cookie_threshold: u32,
    /// The specification of its instance.
    pub instance_limits: Limits,
    /// The bandwidth of its instance.
    pub instance_bandwidth: Bandwidth,
}

/// What the configuration says for one family of a listener.
pub(super) fn of(instance: &Instance, listener: &Listener, family: Family) -> Admission {
    let limits = &listener.limits;
    let (client_limits, client_prefix) = match limits.client {
        Some(client) => (
            narrow(client.max_connections, client.cps),
            match family {
                Family::V4 => client.netmask,
                Family::V6 => client.netmask6,
            },
        ),
        None => (Limits::default(), 0),
    };
    let one_sided = !listener.mode.sees_replies();
    let bandwidth = bytes(listener.bandwidth, one_sided);
    let instance_bandwidth = bytes(instance.bandwidth, false);
    let metered = bandwidth != Bandwidth::default()
        || instance_bandwidth.inbound != 0
        || (instance_bandwidth.outbound != 0 && !one_sided);
    let allows = listener.acl.as_ref().is_some_and(|acl| acl.kind == AclKind::Allow);
    let flag = |set: bool, bit: u32| if set { bit } else { 0 };
    let exempt = &listener.syn_defence.exempt;
    Admission {
        flags: flag(allows, SERVICE_ACL_ALLOWS)
            | flag(limits.shadow, SERVICE_SHADOW)
            | flag(metered, SERVICE_METERED)
            | defence(listener),
        limits: narrow(limits.max_connections, limits.cps),
        client_limits,
        client_prefix,
        bandwidth,
        acl: listener.acl.as_ref().map(|acl| acl.networks.clone()),
        exempt: (!exempt.is_empty()).then(|| exempt.clone()),
        cookie_threshold: listener.syn_defence.threshold,
        instance_limits: narrow(instance.specification.max_connections, instance.specification.cps),
        instance_bandwidth,
    }
}

/// When SYNs are answered by cookies.
const fn defence(listener: &Listener) -> u32 {
    match (listener.protocol, listener.syn_defence.mode) {
        (Protocol::Udp, _) | (_, SynDefenceMode::Off) => 0,
        (_, SynDefenceMode::Auto) => SERVICE_COOKIES_AUTO,
        (_, SynDefenceMode::Always) => SERVICE_COOKIES_ALWAYS,
    }
}

/// Until when a service takes answers to cookies that were given under its former flags, in ticks:
/// the connections that begin with them are not lost by a reload.
pub(super) const fn answers_until(before: Option<&Service>, flags: u32, now: u32) -> u32 {
    const MODES: u32 = SERVICE_COOKIES_ALWAYS | SERVICE_COOKIES_AUTO;
    let Some(before) = before else { return 0 };
    let former = before.flags & MODES;
    if former == 0 || former == flags & MODES {
        return before.answers_until;
    }
    now.saturating_add(ticks(LIFETIME_S))
}

/// The limits of a backend.
pub(super) fn of_backend(backend: &Backend) -> Limits {
    narrow(backend.limits.max_connections, backend.limits.cps)
}

impl Admission {
    /// Writes all of it into a service, with the numbers of its lists and its instance.
    pub(super) fn fill(&self, to: &mut Service, acl: u32, exempt: u32, instance: u16) {
        to.flags |= self.flags;
        to.limits = self.limits;
        to.client_limits = self.client_limits;
        to.client_prefix = self.client_prefix;
        to.bandwidth = self.bandwidth;
        to.cookie_threshold = self.cookie_threshold;
        (to.acl, to.exempt, to.instance) = (acl, exempt, instance);
    }

    /// The instance's value, by the hash of its name.
    pub(super) const fn instance(&self, name: u32) -> service::Instance {
        service::Instance {
            limits: self.instance_limits,
            bandwidth: self.instance_bandwidth,
            flags: service::INSTANCE_PRESENT,
            name,
        }
    }
}

/// Limits in the kernel's numbers: what does not fit is no limit there either.
fn narrow(connections: Option<u64>, rate: Option<u64>) -> Limits {
    let number = |limit: Option<u64>| limit.map_or(0, |limit| limit.try_into().unwrap_or(u32::MAX));
    Limits { connections: number(connections), rate: number(rate) }
}

/// Bytes per second.
fn bytes(bandwidth: model::Bandwidth, one_sided: bool) -> Bandwidth {
    let rate = |bits: Option<u64>| bits.map_or(0, |bits| (bits / 8).max(1));
    let outbound = if one_sided { 0 } else { rate(bandwidth.outbound) };
    Bandwidth { inbound: rate(bandwidth.inbound), outbound }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the SYN-flood defence off unless `listener` says otherwise.
    fn admissions(instance: &str, listener: &str) -> [Admission; 2] {
        let defence = match listener.contains("syn_defence") {
            true => "",
            false => "syn_defence = { mode = \"off\" }",
        };
        let text = format!(
            "[dataplane]\ninterfaces = [\"eth0\"]\n[[instance]]\nname = \"a\"\nvips = \
             [\"192.0.2.1\", \"fd00::1\"]\n{instance}\n[[instance.listener]]\nprotocol = \
             \"tcp\"\nport = 80\n{listener}\n{defence}\nbackends = [{{ address = \"10.0.0.1\", port = 80 }}]\n"
        );
        let config = crate::config::load_str("test.toml", &text).expect("sound").config;
        let instance = &config.instances[0];
        [Family::V4, Family::V6].map(|family| of(instance, &instance.listeners[0], family))
    }

    #[test]
    fn syn_defence_is_the_listeners_and_auto_by_default() {
        let of = |listener| admissions("", listener).map(|one| (one.flags, one.cookie_threshold));
        assert_eq!(of("syn_defence = {}"), [(SERVICE_COOKIES_AUTO, 10_000); 2]);
        let always = "syn_defence = { mode = \"always\", threshold = 7 }";
        assert_eq!(of(always), [(SERVICE_COOKIES_ALWAYS, 7); 2]);
        assert_eq!(of("syn_defence = { mode = \"off\" }"), [(0, 10_000); 2]);
    }

    #[test]
    fn limits_of_listener_clients_and_instance_are_each_where_they_belong() {
        let [v4, v6] = admissions(
            "specification = \"slb.s2.small\"",
            "limits = { max_connections = 10, cps = 20, shadow = true, client = { \
             max_connections = 3, cps = 4, netmask = 24, netmask6 = 56 } }",
        );
        assert_eq!(v4.limits, Limits { connections: 10, rate: 20 });
        assert_eq!(v4.client_limits, Limits { connections: 3, rate: 4 });
        assert_eq!((v4.client_prefix, v6.client_prefix), (24, 56));
        assert_eq!(v4.instance_limits, Limits { connections: 50_000, rate: 5_000 });
        assert_eq!(v4.flags, SERVICE_SHADOW);
    }

    #[test]
    fn bandwidth_is_bytes_and_makes_a_service_metered() {
        let [none, _] = admissions("", "");
        assert_eq!(none, Admission { cookie_threshold: 10_000, ..Admission::default() });
        let [own, _] = admissions("", "bandwidth = { in = \"8Mbit\" }");
        assert_eq!(own.bandwidth, Bandwidth { inbound: 1_000_000, outbound: 0 });
        assert_eq!(own.flags, SERVICE_METERED);
        let [shared, _] = admissions("bandwidth = { out = \"80Mbit\" }", "");
        assert_eq!(shared.bandwidth, Bandwidth::default());
        assert_eq!(shared.instance_bandwidth, Bandwidth { inbound: 0, outbound: 10_000_000 });
        assert_eq!(shared.flags, SERVICE_METERED);
    }

    #[test]
    fn an_allow_list_says_so_and_both_families_share_it() {
        let [v4, v6] = admissions("", "acl = { allow = [\"10.0.0.0/8\", \"fd00::/8\"] }");
        assert_eq!(v4.flags, SERVICE_ACL_ALLOWS);
        assert_eq!(v4.acl, v6.acl);
        assert_eq!(v4.acl.map(|list| list.len()), Some(2));
        let [deny, _] = admissions("", "acl = { deny = [] }");
        assert_eq!((deny.flags, deny.acl.map(|list| list.len())), (0, Some(0)));
    }
}
