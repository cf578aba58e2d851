//! What real TCP sockets agree on through the balancer: timestamps, and how large segments are.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{Kept, Lab, Slbd};

use crate::{
    scene::{PATIENCE, VIPS, start_servers},
    seen,
    services::{HTTP, configuration, http},
};

pub(crate) const DATAPLANE: &str = "xdp_mode = \"native\"\nmax_connections = 65_536\n\
                         local_addresses = [\"100.64.0.8/30\", \"fd64::8/126\"]";

/// What the client's kernel says of an open connection: whether it uses timestamps, and how many
/// bytes it puts into a segment.
fn agreed(lab: &Lab, vip: IpAddr) -> Result<(bool, u16)> {
    let client = &lab.clients[0].namespace;
    let target = SocketAddr::new(vip, HTTP);
    let mut open = Kept::open(client, target, 1)?;
    open.names()?;
    let to = ["-Htino", "state", "established", "dst", &target.to_string()];
    let shown = client.output("ss", &to)?;
    let words: Vec<&str> = shown.split_whitespace().collect();
    let mss: Vec<&str> = words.iter().filter_map(|word| word.strip_prefix("mss:")).collect();
    ensure!(mss.len() == 1, "one connection: {shown}");
    let mss = mss[0].parse().with_context(|| shown.clone())?;
    Ok((words.contains(&"ts"), mss))
}

#[test]
fn sockets_agree_on_the_timestamps_and_segments_that_the_listener_wants() -> Result<()> {
    let lab = Lab::builder().backends(1).build()?;
    let _servers = start_servers(&lab.backends)?;
    let with = |lines: &str| configuration(&lab.backends, &[http("rr", [1]).line(lines)]);
    let slbd = Slbd::start_with(&lab, DATAPLANE, &with("mode = \"nat\""))?;
    // 1500 bytes less both headers; less 12 for timestamps, or 8 and 20 for the client's endpoint.
    for (lines, v4, v6) in [
        ("mode = \"nat\"", (true, 1448), (true, 1428)),
        ("mode = \"fullnat\"", (false, 1452), (false, 1420)),
        ("mode = \"nat\"\ntcp_timestamps = \"strip\"", (false, 1460), (false, 1440)),
        ("mode = \"fullnat\"\ntcp_timestamps = \"keep\"", (true, 1440), (true, 1408)),
        ("mode = \"nat\"\nmss_clamp = 1300", (true, 1288), (true, 1288)),
        ("mode = \"fullnat\"\nmss_clamp = 1300", (false, 1292), (false, 1280)),
    ] {
        slbd.reload(&with(lines))?;
        slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
        for (vip, wanted) in VIPS.into_iter().zip([v4, v6]) {
            assert_eq!(agreed(&lab, vip)?, wanted, "{lines}, {vip}");
        }
    }
    Ok(())
}
