//! What the client's kernel counts: packets and bytes to and from each listener, by nftables.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::Value;
use slb_tests::lab::{Namespace, VIP_V4, VIP_V6};

use crate::{ground::LISTENERS, seen};

/// Counters in the client's network, one for each listener and direction, both families.
pub(crate) struct Counted(Namespace);

/// Packets, and bytes of theirs from the IP header on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl Counted {
    pub(crate) fn start(client: &Namespace) -> Result<Self> {
        let (mut counters, mut sent, mut received) = (String::new(), String::new(), String::new());
        for listener in &LISTENERS {
            let (protocol, port) = (listener.protocol, listener.port);
            // Writing to a string cannot fail.
            let _ = write!(
                counters,
                "counter sent-{port} {{ }}\ncounter received-{port} {{ }}\ncounter syns-{port} {{ }}\n"
            );
            for vip in [format!("ip daddr {VIP_V4}"), format!("ip6 daddr {VIP_V6}")] {
                let _ =
                    writeln!(sent, "{vip} {protocol} dport {port} counter name \"sent-{port}\"");
                if protocol == "tcp" {
                    let syn = format!("tcp dport {port} tcp flags & (syn | ack) == syn");
                    let _ = writeln!(sent, "{vip} {syn} counter name \"syns-{port}\"");
                }
                let back = vip.replace("daddr", "saddr");
                let _ = writeln!(
                    received,
                    "{back} {protocol} sport {port} counter name \"received-{port}\""
                );
            }
        }
        let rules = format!(
            "table inet soak {{\n{counters}\
             chain sent {{\ntype filter hook output priority 0;\n{sent}}}\n\
             chain received {{\ntype filter hook input priority 0;\n{received}}}\n}}\n"
        );
        client.output("nft", &[&rules])?;
        Ok(Self(client.clone()))
    }

    /// What a listener's port was sent, and what came from there.
    pub(crate) fn at(&self, port: u16) -> Result<(Count, Count)> {
        Ok((self.read(&format!("sent-{port}"))?, self.read(&format!("received-{port}"))?))
    }

    /// SYNs that a listener's port was sent, repeated ones too.
    pub(crate) fn syns(&self, port: u16) -> Result<u64> {
        Ok(self.read(&format!("syns-{port}"))?.packets)
    }

    fn read(&self, name: &str) -> Result<Count> {
        let list: Value =
            serde_json::from_str(&self.0.output("nft", &["-j", "list", "counters"])?)?;
        let mut all = seen::array(&list["nftables"]).map(|one| &one["counter"]);
        let counter = all.find(|one| one["name"] == name).with_context(|| name.to_owned())?;
        let number = |what| seen::number(counter, what);
        Ok(Count { packets: number("packets"), bytes: number("bytes") })
    }
}
