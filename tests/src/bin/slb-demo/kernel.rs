//! What the kernel itself says about the balancer's namespace, asked without the balancer.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;
use slb_tests::lab::Namespace;

/// How a program is attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    /// In the driver.
    Native,
    /// In the network stack, or offloaded: not what the demonstration is about.
    Otherwise,
    /// No XDP program.
    Nothing,
}

/// Asks the kernel for an interface's XDP program.
pub(crate) fn xdp(namespace: &Namespace, interface: &str) -> Result<Attached> {
    let text = namespace.output("ip", &["-json", "link", "show", "dev", interface])?;
    let link: Value = serde_json::from_str(&text).context("`ip -json` printed no JSON")?;
    // XDP_ATTACHED_DRV of linux/if_link.h.
    Ok(match link[0]["xdp"]["mode"].as_u64() {
        Some(1) => Attached::Native,
        Some(_) => Attached::Otherwise,
        None => Attached::Nothing,
    })
}

/// Packet filters and NAT rules in the namespace, in words; empty when there are none.
pub(crate) fn packet_filters(namespace: &Namespace) -> Result<String> {
    // Without the tool nobody has made nft rules in a namespace that is seconds old.
    let nft = match namespace.command("nft").args(["list", "ruleset"]).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => String::new(),
    };
    let legacy = namespace.run(|| {
        ["ip_tables_names", "ip6_tables_names"]
            .map(|file| Path::new("/proc/thread-self/net").join(file))
            .map(|path| fs::read_to_string(path).unwrap_or_default())
            .concat()
    })?;
    Ok(format!("{nft}{}", legacy.trim()))
}
