//! In what two configurations differ: settings that a running daemon cannot change, and what the
//! report of a change tells.

use std::collections::BTreeSet;

use crate::{
    api::ApiError,
    config::model::{BackendLimits, Config, Protocol},
    overlay::selector,
};

/// What it takes to change a setting that is read at the start only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// A new start of the daemon.
    Start,
    /// The end of the data plane first: what the daemon would adopt was made with it.
    Detach,
}

/// Refuses settings that cannot change while the daemon runs, and says what it takes.
pub(super) fn needs_restart(before: &Config, after: &Config) -> Result<(), ApiError> {
    use Needs::{Detach, Start};
    let (old, new) = (&before.dataplane, &after.dataplane);
    let changed = [
        (Start, "daemon.socket", before.daemon.socket != after.daemon.socket),
        (Start, "daemon.state_dir", before.daemon.state_dir != after.daemon.state_dir),
        (Start, "dataplane.interfaces", old.interfaces != new.interfaces),
        (Start, "dataplane.xdp_mode", old.xdp_mode != new.xdp_mode),
        (Detach, "dataplane.max_connections", old.max_connections != new.max_connections),
        (Detach, "dataplane.max_connections_v6", old.max_connections_v6 != new.max_connections_v6),
        (Detach, "dataplane.max_backends", old.max_backends != new.max_backends),
        (Detach, "dataplane.ring_slots", old.ring_slots != new.ring_slots),
        (Detach, "dataplane.pin_dir", old.pin_dir != new.pin_dir),
        (Start, "dataplane.vip_owner", old.vip_owner != new.vip_owner),
        (Start, "dataplane.local_addresses", old.local_addresses != new.local_addresses),
        (Start, "dataplane.tunnel_source", old.tunnel_source != new.tunnel_source),
        (Detach, "dataplane.max_templates", old.max_templates != new.max_templates),
        (Detach, "dataplane.max_fragments", old.max_fragments != new.max_fragments),
        (Detach, "dataplane.max_acl_entries", old.max_acl_entries != new.max_acl_entries),
        (Start, "dataplane.cookie_key_file", old.cookie_key_file != new.cookie_key_file),
    ];
    let names = |needs: &[Needs]| {
        let fitting = changed.iter().filter(|(how, _, changed)| *changed && needs.contains(how));
        fitting.map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ")
    };
    let (all, by_detach) = (names(&[Start, Detach]), names(&[Detach]));
    if all.is_empty() {
        return Ok(());
    }
    let hint = if by_detach.is_empty() {
        "nothing was changed; set back what differs, or restart slbd to apply it".to_owned()
    } else {
        format!(
            "nothing was changed; set back what differs; {by_detach} needs `slbd --detach` with \
             the former file (ends all connections) and a new start"
        )
    };
    Err(ApiError::refused(format!("{all} cannot change while slbd runs")).with_hint(hint))
}

/// One line for everything that went and everything that came.
pub(super) fn changes(before: &Config, after: &Config) -> Vec<String> {
    let (before, after) = (summary(before), summary(after));
    let gone = before.difference(&after).map(|line| format!("- {line}"));
    gone.chain(after.difference(&before).map(|line| format!("+ {line}"))).collect()
}

/// One line for everything that an operator would call a thing.
fn summary(config: &Config) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for instance in &config.instances {
        let of_instance = instance.settings().into_iter();
        lines.extend(of_instance.map(|said| format!("instance {}: {said}", instance.name)));
        for listener in &instance.listeners {
            let name = selector(&instance.name, listener);
            let of_listener = listener.settings().into_iter();
            lines.extend(of_listener.map(|said| format!("listener {name}: {said}")));
            let vips: Vec<String> = instance.vips.iter().map(ToString::to_string).collect();
            lines.insert(format!(
                "listener {name} on {}, scheduler {}{}",
                vips.join(", "),
                listener.scheduler,
                if listener.enabled && instance.enabled { "" } else { ", stopped" }
            ));
            lines.insert(match listener.protocol {
                Protocol::Tcp => format!("timeouts of {name}: {}", listener.timeouts),
                // The other states are TCP's.
                Protocol::Udp => {
                    format!("timeout of {name}: {} s", listener.timeouts.established.as_secs_f64())
                }
            });
            lines.insert(format!("health check of {name}: {}", listener.health_check));
            lines.extend(
                listener
                    .slow_start
                    .map(|ramp| format!("slow start of {name}: {} s", ramp.as_secs_f64())),
            );
            lines.extend(listener.backends.iter().map(|backend| {
                let limits = match backend.limits {
                    none if none == BackendLimits::default() => String::new(),
                    limits => format!(", {limits}"),
                };
                let ports = if backend.maps_ports { ", one to one" } else { "" };
                let id = backend.server_id.map(|id| format!(", server id {id}"));
                format!(
                    "backend {} of {name}, weight {}, {}{}{limits}{ports}",
                    backend.endpoint(),
                    backend.weight,
                    backend.role,
                    id.unwrap_or_default()
                )
            }));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{load_str, tests::COOKIE_KEY};

    const FILE: &str = r#"
[daemon]
socket = "/run/slb/slb.sock"
[dataplane]
interfaces = ["eth0"]
max_connections = 1_000_000
[[instance]]
name = "shop"
vips = ["10.0.0.100"]
[[instance.listener]]
protocol = "tcp"
port = 80
health_check = { type = "http", path = "/healthz" }
backends = [{ address = "10.0.1.11", port = 8080 }]
[[instance.listener]]
protocol = "udp"
port = 53
health_check = { type = "tcp", port = 8080 }
backends = [{ address = "10.0.1.11", port = 53 }]
"#;

    /// The file with one line more or another.
    fn with(old: &str, new: &str) -> Config {
        assert_eq!(FILE.matches(old).count(), 1, "{old:?} stands once in the file");
        load_str("slb.toml", &FILE.replace(old, new)).unwrap().config
    }

    fn refusal(old: &str, new: &str) -> (String, String) {
        let error = needs_restart(&with("[daemon]", "[daemon]"), &with(old, new)).unwrap_err();
        (error.message, error.hint.unwrap())
    }

    #[test]
    fn a_setting_of_the_start_is_refused_and_applied_by_a_restart() {
        let key = format!("[\"eth0\"]\ncookie_key_file = {COOKIE_KEY:?}");
        for (name, old, new) in [
            ("daemon.socket", "/run/slb/slb.sock", "/run/other.sock"),
            ("dataplane.interfaces", "[\"eth0\"]", "[\"eth1\"]"),
            ("dataplane.xdp_mode", "[\"eth0\"]", "[\"eth0\"]\nxdp_mode = \"generic\""),
            ("dataplane.vip_owner", "[\"eth0\"]", "[\"eth0\"]\nvip_owner = \"external\""),
            (
                "dataplane.local_addresses",
                "[\"eth0\"]",
                "[\"eth0\"]\nlocal_addresses = [\"100.64.0.0/28\"]",
            ),
            ("dataplane.tunnel_source", "[\"eth0\"]", "[\"eth0\"]\ntunnel_source = \"192.0.2.1\""),
            ("dataplane.cookie_key_file", "[\"eth0\"]", &key),
        ] {
            let (message, hint) = refusal(old, new);
            assert_eq!(message, format!("{name} cannot change while slbd runs"));
            assert!(hint.ends_with("or restart slbd to apply it"), "{hint}");
        }
    }

    #[test]
    fn what_the_maps_were_made_with_needs_a_detach_and_says_that_it_ends_connections() {
        for (name, setting) in [
            ("dataplane.max_connections_v6", "max_connections_v6 = 2048"),
            ("dataplane.max_backends", "max_backends = 64"),
            ("dataplane.ring_slots", "ring_slots = 65_536"),
            ("dataplane.max_templates", "max_templates = 2048"),
            ("dataplane.max_fragments", "max_fragments = 2048"),
            ("dataplane.max_acl_entries", "max_acl_entries = 2048"),
            ("dataplane.pin_dir", "pin_dir = \"/sys/fs/bpf/other\""),
        ] {
            let (message, hint) = refusal("[\"eth0\"]", &format!("[\"eth0\"]\n{setting}"));
            assert_eq!(message, format!("{name} cannot change while slbd runs"));
            let wanted = format!(
                "{name} needs `slbd --detach` with the former file (ends all connections) and a \
                 new start"
            );
            assert!(hint.ends_with(&wanted), "{hint}");
        }
        let (message, hint) = refusal(
            "[\"eth0\"]\nmax_connections = 1_000_000",
            "[\"eth1\"]\nmax_connections = 2048",
        );
        let both = "dataplane.interfaces, dataplane.max_connections cannot change while slbd runs";
        assert_eq!(message, both);
        assert!(hint.contains("; dataplane.max_connections needs"), "{hint}");
    }

    #[test]
    fn what_may_change_is_not_refused() {
        let same = with("[daemon]", "[daemon]");
        assert_eq!(needs_restart(&same, &with("/healthz", "/ready")), Ok(()));
    }

    #[test]
    fn the_report_says_checks_and_timeouts_in_words() {
        let before = with("[daemon]", "[daemon]");
        let after = with(
            "health_check = { type = \"http\", path = \"/healthz\" }",
            "fin_timeout = \"5s\"\nhealth_check = { type = \"tcp\" }",
        );
        assert_eq!(
            changes(&before, &after),
            [
                "- health check of shop/tcp:80: HTTP GET /healthz every 2 s, time-out 5 s, \
                 3 up / 3 down, wants 2xx or 3xx",
                "- timeouts of shop/tcp:80: established 900 s, SYN 30 s, FIN 60 s, TIME-WAIT 60 s",
                "+ health check of shop/tcp:80: TCP handshake every 2 s, time-out 5 s, \
                 3 up / 3 down",
                "+ timeouts of shop/tcp:80: established 900 s, SYN 30 s, FIN 5 s, TIME-WAIT 60 s",
            ]
        );
        let after = with("port = 53\nhealth", "port = 53\nestablished_timeout = \"20s\"\nhealth");
        assert_eq!(
            changes(&before, &after),
            ["- timeout of shop/udp:53: 90 s", "+ timeout of shop/udp:53: 20 s"]
        );
        assert_eq!(changes(&before, &before), [""; 0]);
    }
    #[test]
    fn the_report_says_limits_and_options() {
        let before = with("[daemon]", "[daemon]");
        let old = "backends = [{ address = \"10.0.1.11\", port = 8080 }]";
        let new = "persistence = {}\n\
                   backends = [{ address = \"10.0.1.11\", port = 8080, limits = { cps = 5 } }]";
        assert_eq!(
            changes(&before, &with(old, new)),
            [
                "- backend 10.0.1.11:8080 of shop/tcp:80, weight 100, primary",
                "+ backend 10.0.1.11:8080 of shop/tcp:80, weight 100, primary, limits 5 new/s",
                "+ listener shop/tcp:80: persistence 1000 s, /32 and /128",
            ]
        );
        let after = with("vips = [", "specification = \"slb.s3.large\"\nvips = [");
        assert_eq!(changes(&before, &after), ["+ instance shop: specification slb.s3.large"]);
    }
}
