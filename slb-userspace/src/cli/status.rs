//! `slb status`: the data plane, then every listener with its backends, problems last.

use std::collections::BTreeMap;

use super::{
    Answer, Format,
    backend::{self, COLUMNS},
    table::{Style, bytes, counted, printable, render},
};
use crate::{
    api::{Admin, BackendStatus, Client, DataplaneStatus, Health, ListenerStatus, Status},
    config::model::Family,
};

pub(super) async fn run(client: &Client, format: Format) -> anyhow::Result<Answer> {
    let status = client.status().await?;
    Ok(Answer { text: format.write(&status, people)?, problems: problems(&status) })
}

/// What is out of service.
fn problems(status: &Status) -> Vec<String> {
    let mut found = Vec::new();
    if status.dataplane.interfaces.is_empty() {
        found.push("the data plane has no interface".to_owned());
    }
    for interface in status.dataplane.interfaces.iter().filter(|one| !one.attached) {
        let name = &interface.name;
        let why = interface.problem.as_deref().map(|why| format!(": {}", printable(why)));
        found.push(format!("the data plane is not attached to {name}{}", why.unwrap_or_default()));
    }
    for instance in &status.instances {
        for vip in &instance.flooded_vips {
            let name = &instance.name;
            found.push(format!("{vip} of {name} is under a SYN flood: SYNs get cookies"));
        }
    }
    for (instance, listener) in status.listeners() {
        if !(instance.enabled && listener.enabled) {
            continue;
        }
        let name = listener.selector(instance);
        if listener.backends.is_empty() {
            found.push(format!("{name} has no backends"));
        }
        for family in [Family::V4, Family::V6] {
            if instance.vips.iter().any(|vip| Family::of(*vip) == family)
                && let Some(why) = no_healthy_backend(listener, family)
            {
                found.push(format!("{name} has no healthy {family} backend: {why}"));
            }
        }
    }
    found
}

/// What the backends of a family are instead of ready; nothing if one is, or if there are none:
/// that is how the file wants it, and `slb check` warns.
fn no_healthy_backend(listener: &ListenerStatus, family: Family) -> Option<String> {
    let serves = |one: &&BackendStatus| {
        listener.mode.crosses_families() || Family::of(one.address) == family
    };
    let mut backends = listener.backends.iter().filter(serves);
    let mut kinds: Vec<(&str, u64)> = Vec::new();
    let word = |health, admin| match (health, admin) {
        (_, Admin::Drained | Admin::Draining | Admin::Stopped) => Admin::word(admin),
        _ => Health::word(health),
    };
    let all_out = backends.all(|backend| {
        let word = word(backend.health, backend.admin);
        match kinds.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => kinds.push((word, 1)),
        }
        !backend.is_ready()
    });
    let listed: Vec<String> = kinds.iter().map(|(word, count)| format!("{count} {word}")).collect();
    (all_out && !kinds.is_empty()).then(|| listed.join(", "))
}

fn people(status: &Status, style: Style) -> String {
    let mut text = dataplane(&status.dataplane);
    for instance in &status.instances {
        let vips: Vec<String> = instance.vips.iter().map(ToString::to_string).collect();
        let stopped = if instance.enabled { "" } else { "  stopped" };
        text += &format!(
            "\n{}  {}  {}{stopped}\n",
            instance.name,
            vips.join(", "),
            instance.specification
        );
        for listener in &instance.listeners {
            text += &listener_head(listener);
            text += &refusals("refused", &listener.refused);
            text += &refusals("would refuse", &listener.would_refuse);
            let rows = listener.backends.iter().map(backend::row);
            if listener.backends.is_empty() {
                text += "    no backends\n";
            } else {
                text += &render(style, 4, &COLUMNS, rows);
            }
        }
    }
    if status.instances.is_empty() {
        text += "\nno instances\n";
    }
    text
}

fn dataplane(dataplane: &DataplaneStatus) -> String {
    let DataplaneStatus { connections_v6, max_connections_v6, .. } = *dataplane;
    let connections_v4 = dataplane.connections.saturating_sub(connections_v6);
    let attached: Vec<&str> = dataplane
        .interfaces
        .iter()
        .filter(|one| one.attached)
        .map(|one| one.name.as_str())
        .collect();
    let mut text = match attached.as_slice() {
        [] => "data plane   not attached\n".to_owned(),
        some => format!("data plane   {} on {}\n", dataplane.xdp_mode, some.join(", ")),
    };
    for interface in dataplane.interfaces.iter().filter(|one| !one.attached) {
        let why = interface.problem.as_deref().map(|why| format!(": {}", printable(why)));
        text += &format!("             not on {}{}\n", interface.name, why.unwrap_or_default());
    }
    text += &format!(
        "connections  IPv4 {connections_v4} of {}, IPv6 {connections_v6} of {max_connections_v6}\n",
        dataplane.max_connections
    );
    text
}

fn listener_head(listener: &ListenerStatus) -> String {
    let counts = &listener.counts;
    let stopped = if listener.enabled { "" } else { "  stopped" };
    format!(
        "\n  {}:{}  {}  {}{stopped}\n    {} active, {} inactive, {} opened; \
         in {} ({}), out {} ({})\n",
        listener.protocol,
        listener.port,
        listener.scheduler,
        listener.mode,
        counts.active_connections,
        counts.inactive_connections,
        counts.connections_total,
        bytes(counts.bytes_in),
        counted(counts.packets_in, "packet"),
        bytes(counts.bytes_out),
        counted(counts.packets_out, "packet"),
    )
}

/// A line of what was refused, if anything was.
fn refusals(what: &str, by_reason: &BTreeMap<String, u64>) -> String {
    let counts: Vec<String> =
        by_reason.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    if counts.is_empty() { String::new() } else { format!("    {what}: {}\n", counts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::samples;

    #[test]
    fn people_see_the_data_plane_then_each_listener_with_its_backends() {
        let expected = "\
data plane   native on eth0
connections  IPv4 5 of 1000000, IPv6 0 of 250000

shop  10.0.0.100, fd00::100  shared

  tcp:80  wrr  nat
    4 active, 1 inactive, 1041 opened; in 12.3 MiB (9876 packets), out 48.0 MiB (12345 packets)
    BACKEND          WEIGHT  ROLE     ADMIN   ACTIVE  INACTIVE  OPENED  HEALTH     REASON
    10.0.1.11:8080      100  primary  active       4         1     512  healthy    HTTP 200 in 1 ms
    10.0.1.12:8080       50  primary  active       0         0      17  unhealthy  connection refused
    [fd01::11]:8080     100  primary  active       0         0     512  healthy    HTTP 200 in 1 ms

  udp:53  mh  nat
    0 active, 0 inactive, 0 opened; in 0 B (0 packets), out 0 B (0 packets)
    BACKEND         WEIGHT  ROLE     ADMIN   ACTIVE  INACTIVE  OPENED  HEALTH   REASON
    10.0.1.13:8080     100  primary  active       0         0       0  healthy  HTTP 200 in 1 ms
";
        let shown = people(&samples::status(), Style::Plain);
        assert_eq!(shown, expected, "\n{shown}");
        assert_eq!(problems(&samples::status()), [""; 0]);
    }

    #[test]
    fn an_interface_without_the_program_is_shown_and_is_a_problem() {
        let mut status = samples::status();
        status.dataplane.interfaces[0].attached = false;
        status.dataplane.interfaces[0].problem = Some("no such device".to_owned());
        let shown = people(&status, Style::Plain);
        let head = "data plane   not attached\n             not on eth0: no such device\n";
        assert!(shown.starts_with(head), "{shown}");
        let expected = ["the data plane is not attached to eth0: no such device"];
        assert_eq!(problems(&status), expected);
    }

    #[test]
    fn a_listener_without_a_healthy_backend_is_a_problem_that_says_what_they_are() {
        let mut status = samples::status();
        let backends = &mut status.instances[0].listeners[0].backends;
        backends[0].admin = Admin::Drained;
        let expected = ["shop/tcp:80 has no healthy IPv4 backend: 1 drained, 1 unhealthy"];
        assert_eq!(problems(&status), expected);
    }

    #[test]
    fn each_family_of_a_listener_needs_a_healthy_backend_of_its_own() {
        let mut status = samples::status();
        status.instances[0].listeners[0].backends[2].health = Health::Checking;
        let expected = ["shop/tcp:80 has no healthy IPv6 backend: 1 checking"];
        assert_eq!(problems(&status), expected);
        status.instances[0].vips.retain(|vip| vip.is_ipv4());
        assert_eq!(problems(&status), [""; 0], "no VIP needs it");
    }

    #[test]
    fn a_stopped_listener_needs_no_backend() {
        let mut status = samples::status();
        status.instances[0].listeners[0].backends.clear();
        assert_eq!(problems(&status), ["shop/tcp:80 has no backends"]);
        status.instances[0].listeners[0].enabled = false;
        assert_eq!(problems(&status), [""; 0]);
        let shown = people(&status, Style::Plain);
        assert!(shown.contains("  tcp:80  wrr  nat  stopped\n"), "{shown}");
        assert!(shown.contains("\n    no backends\n"), "{shown}");
    }

    #[test]
    fn an_unhealthy_backend_stands_out_on_a_terminal() {
        let shown = people(&samples::status(), Style::Coloured);
        let line = shown.lines().find(|line| line.contains("10.0.1.12")).unwrap();
        assert!(line.contains("\u{1b}["), "{line:?}");
    }
}
