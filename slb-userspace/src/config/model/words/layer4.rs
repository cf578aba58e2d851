//! Limits and options as an operator says them, for the report of a change.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use ipnet::IpNet;

use crate::config::model::{
    Acl, BackendLimits, Bandwidth, Blackhole, ClientLimits, ForwardingMode, Instance, Limits,
    Listener, MssClamp, NoBackend, OnBackendDown, Persistence, Protocol, Specification, SynDefence,
    SynDefenceMode, TcpTimestamps,
};

impl Instance {
    /// Its limits, one sentence each; none that is what leaving it out means.
    pub fn settings(&self) -> Vec<String> {
        let specification = Some(self.specification.to_string());
        let specification = specification.filter(|_| self.specification != Specification::shared());
        let bandwidth =
            (self.bandwidth != Bandwidth::default()).then(|| self.bandwidth.to_string());
        let blackhole = self.blackhole.as_ref().map(ToString::to_string);
        [specification, bandwidth, blackhole].into_iter().flatten().collect()
    }
}

impl Listener {
    /// Its ports: `80`, or `8000-8100`.
    pub fn ports(&self) -> String {
        match self.is_range() {
            true => format!("{}-{}", self.port, self.last_port),
            false => self.port.to_string(),
        }
    }

    /// What it does besides scheduling, one sentence each; none that is what leaving it out means.
    pub fn settings(&self) -> Vec<String> {
        let word = |usual: bool, said: String| (!usual).then_some(said);
        let tunnel = self.mode == ForwardingMode::Tunnel && self.protocol == Protocol::Tcp;
        let mss = if tunnel { MssClamp::Auto } else { MssClamp::Off };
        let adopt = if self.adopt { "adopted" } else { "answered by RST" };
        let defence = &self.syn_defence;
        let usual_defence = defence.mode == SynDefenceMode::Auto
            && defence.threshold == 10_000
            && defence.exempt.is_empty();
        let drain = self.drain_timeout;
        [
            word(!self.is_range(), format!("ports {}", self.ports())),
            word(self.mode == ForwardingMode::Nat, format!("mode {}", self.mode)),
            self.slow_start.map(|time| format!("slow start {}", seconds(time))),
            self.persistence.as_ref().map(ToString::to_string),
            word(drain == Duration::from_secs(300), format!("drain timeout {}", seconds(drain))),
            word(
                self.on_backend_down == OnBackendDown::Keep,
                format!("connections of a failed backend: {}", self.on_backend_down),
            ),
            word(!self.one_packet, "one-packet scheduling".to_owned()),
            word(
                self.tcp_timestamps == TcpTimestamps::Auto,
                format!("TCP timestamps: {}", self.tcp_timestamps),
            ),
            word(self.mss_clamp == mss, format!("MSS clamp {}", self.mss_clamp)),
            word(self.limits == Limits::default(), self.limits.to_string()),
            word(self.bandwidth == Bandwidth::default(), self.bandwidth.to_string()),
            self.acl.as_ref().map(ToString::to_string),
            word(usual_defence, defence.to_string()),
            word(
                self.no_backend == NoBackend::Reset,
                format!("without a backend: {}", self.no_backend),
            ),
            word(self.adopt == self.scheduler.hashes(), format!("unknown connections are {adopt}")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl fmt::Display for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (timeout, v4, v6) = (seconds(self.timeout), self.netmask, self.netmask6);
        write!(f, "persistence {timeout}, /{v4} and /{v6}")?;
        match &self.shared {
            Some(name) => write!(f, ", shared as {name}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for MssClamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Auto => f.write_str("auto"),
            Self::Value(value) => write!(f, "{value}"),
        }
    }
}

impl fmt::Display for Specification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "specification {}", self.name)?;
        if self.name == Self::CUSTOM {
            let queries = self.qps.map(|limit| format!("{limit} queries/s"));
            write!(f, " of {}", listed(counts(self.max_connections, self.cps).chain(queries)))?;
        }
        Ok(())
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client.as_ref().map(ToString::to_string);
        let shadow = self.shadow.then(|| "counted only".to_owned());
        let said = counts(self.max_connections, self.cps).chain(client).chain(shadow);
        write!(f, "limits {}", listed(said))
    }
}

impl fmt::Display for ClientLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = listed(counts(self.max_connections, self.cps));
        write!(f, "{said} for each client /{} or /{}", self.netmask, self.netmask6)
    }
}

impl fmt::Display for BackendLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limits {}", listed(counts(self.max_connections, self.cps)))
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = |name, bits: Option<u64>| bits.map(|bits| format!("{name} {}", rate(bits)));
        let ways = [way("in", self.inbound), way("out", self.outbound)];
        write!(f, "bandwidth {}", listed(ways.into_iter().flatten()))
    }
}

impl fmt::Display for Blackhole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packets = self.pps.map(|pps| format!("{pps} packets/s"));
        let above = [packets, self.bps.map(rate)].into_iter().flatten().collect::<Vec<_>>();
        write!(f, "blackhole above {} for {}", above.join(" or "), seconds(self.duration))
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "acl: {} {}", self.kind, networks(&self.networks))
    }
}

impl fmt::Display for SynDefence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SYN defence {}", self.mode)?;
        if self.mode == SynDefenceMode::Auto {
            write!(f, " above {}/s", self.threshold)?;
        }
        match &*self.exempt {
            [] => Ok(()),
            exempt => write!(f, ", but not for {}", networks(exempt)),
        }
    }
}

/// A few prefixes by themselves; many by their number and a mark that changes when they do.
fn networks(networks: &[IpNet]) -> String {
    if networks.len() <= 4 {
        return listed(networks.iter().map(ToString::to_string));
    }
    let mut hasher = DefaultHasher::new();
    networks.hash(&mut hasher);
    format!("{} prefixes (#{:06x})", networks.len(), hasher.finish() & 0xff_ffff)
}

fn counts(max_connections: Option<u64>, cps: Option<u64>) -> impl Iterator<Item = String> {
    let connections = max_connections.map(|limit| format!("{limit} connections"));
    connections.into_iter().chain(cps.map(|limit| format!("{limit} new/s")))
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    match parts.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "none".to_owned(),
        some => some,
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// By the largest unit that leaves a whole number.
fn rate(bits: u64) -> String {
    let units = [(1_000_000_000, "Gbit/s"), (1_000_000, "Mbit/s"), (1000, "kbit/s")];
    match units.iter().find(|(size, _)| bits.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{} {unit}", bits / size),
        None => format!("{bits} bit/s"),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{load_str, model::Config};

    fn config(instance: &str, listener: &str) -> Config {
        let text = format!(
            "[dataplane]\ninterfaces = [\"eth0\"]\n[[instance]]\nname = \"shop\"\n\
             vips = [\"10.0.0.100\"]\n{instance}\n[[instance.listener]]\nprotocol = \"tcp\"\n\
             backends = [{{ address = \"10.0.1.1\" }}]\n{listener}\n"
        );
        load_str("slb.toml", &text).unwrap_or_else(|found| panic!("{found}")).config
    }

    fn listener(lines: &str) -> Vec<String> {
        config("", lines).instances[0].listeners[0].settings()
    }

    #[test]
    fn what_is_usual_is_not_said() {
        assert_eq!(listener("port = 80"), [""; 0]);
        assert_eq!(listener("port = 80\nscheduler = \"mh\"\nadopt = true"), [""; 0]);
        assert_eq!(listener("port = 80\nmode = \"tunnel\""), ["mode tunnel"]);
        assert_eq!(config("", "port = 80").instances[0].settings(), [""; 0]);
    }

    #[test]
    fn every_setting_of_a_listener_is_said() {
        let said = listener(
            r#"port = "8000-8100"
            mode = "dr"
            slow_start = "30s"
            persistence = { netmask = 24, shared = "a" }
            drain_timeout = "0s"
            on_backend_down = "reset"
            tcp_timestamps = "keep"
            mss_clamp = 1400
            limits = { max_connections = 9, client = { cps = 1 }, shadow = true }
            bandwidth = { in = "2500kbit" }
            acl = { deny = ["10.0.0.0/8"] }
            syn_defence = { threshold = 7, exempt = ["192.0.2.1"] }
            no_backend = "drop"
            adopt = true"#,
        );
        assert_eq!(
            said,
            [
                "ports 8000-8100",
                "mode dr",
                "slow start 30 s",
                "persistence 1000 s, /24 and /128, shared as a",
                "drain timeout 0 s",
                "connections of a failed backend: reset",
                "TCP timestamps: keep",
                "MSS clamp 1400",
                "limits 9 connections, 1 new/s for each client /32 or /64, counted only",
                "bandwidth in 2500 kbit/s",
                "acl: deny 10.0.0.0/8",
                "SYN defence auto above 7/s, but not for 192.0.2.1/32",
                "without a backend: drop",
                "unknown connections are adopted",
            ]
        );
    }

    #[test]
    fn limits_of_an_instance_are_said() {
        let said = |lines: &str| config(lines, "port = 80").instances[0].settings();
        assert_eq!(
            said(
                "specification = { cps = 5, qps = 6 }\nbandwidth = { out = \"1Gbit\" }\n\
                 blackhole = { pps = 7, bps = \"2Mbit\" }"
            ),
            [
                "specification custom of 5 new/s, 6 queries/s",
                "bandwidth out 1 Gbit/s",
                "blackhole above 7 packets/s or 2 Mbit/s for 60 s",
            ]
        );
        assert_eq!(said("specification = \"slb.s1.small\""), ["specification slb.s1.small"]);
    }

    #[test]
    fn one_entry_of_many_that_changes_is_told() {
        let acl = |last: &str| {
            listener(&format!(
                "port = 80\nacl = {{ deny = [\"10.0.0.1\", \"10.0.0.2\", \"10.0.0.3\", \
                 \"10.0.0.4\", \"{last}\"] }}"
            ))
        };
        assert!(acl("10.0.0.5")[0].starts_with("acl: deny 5 prefixes (#"));
        assert_ne!(acl("10.0.0.5"), acl("10.0.0.6"));
        assert_eq!(acl("10.0.0.5"), acl("10.0.0.5"));
    }
}
