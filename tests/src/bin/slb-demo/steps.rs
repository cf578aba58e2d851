//! The steps of the story, in order; each shows something and checks what it says.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::Value;
use slb_tests::lab::{
    Answers, Host, Load, PacketsCounted, Question, Slbd, Traffic, VIP_V4, VIP_V6, ask, leftovers,
};

use crate::{
    counts,
    kernel::{self, Attached},
    scene::{ECHO_PORT, HTTP_PORT, PATIENCE, Scene, WEIGHTS, services},
    show::{Bar, Show},
};

/// Requests on each of the HTTP steps.
const HTTP_REQUESTS: u64 = 600;
/// Datagrams, each a flow of its own, on each family of the UDP step.
const DATAGRAMS: u64 = 300;

/// Builds the scene.
pub(crate) fn network(show: &mut Show, name: &str) -> Result<Scene> {
    show.step("A network in network namespaces");
    let scene = Scene::build(name)?;
    show.line("client 10.0.0.11 ── eth0 [ balancer ] eth1 ──┬── backend1 10.0.1.11  weight 3");
    show.line("       fd00::11        VIP 10.0.0.100        ├── backend2 10.0.1.12  weight 2");
    show.line("                       VIP fd00::100         └── backend3 10.0.1.13  weight 1");
    Ok(scene)
}

/// Starts the daemon and looks at how it is attached.
pub(crate) fn daemon(show: &mut Show, scene: &mut Scene) -> Result<()> {
    show.step("The daemon loads its XDP program");
    scene.slbd = Some(Slbd::start(&scene.lab, &services(&scene.lab.backends, WEIGHTS))?);
    let status =
        scene.slbd()?.wait_for_status("all backends healthy", PATIENCE, counts::all_healthy)?;
    let interfaces = scene.lab.interfaces();
    let mode = status["dataplane"]["xdp_mode"].as_str().unwrap_or("unknown");
    show.claim(mode == "native", &format!("slb status: {mode} mode, every backend healthy"));
    let mut native = true;
    for interface in interfaces {
        native &= kernel::xdp(&scene.lab.balancer, interface)? == Attached::Native;
    }
    show.claim(native, &format!("the kernel agrees: native on {}", interfaces.join(" and ")));
    let filters = kernel::packet_filters(&scene.lab.balancer)?;
    show.claim(filters.is_empty(), "no nft or iptables rule: whatever is balanced, XDP did it");
    Ok(())
}

/// HTTP over both families.
pub(crate) fn http(show: &mut Show, scene: &mut Scene) -> Result<()> {
    show.step(&format!("{HTTP_REQUESTS} HTTP connections to http://{VIP_V4}"));
    let vip = (VIP_V4, HTTP_PORT).into();
    distribution(show, scene, vip, Question::Http, HTTP_REQUESTS, WEIGHTS)?;
    show.step(&format!("{HTTP_REQUESTS} HTTP connections to http://[{VIP_V6}]"));
    let vip = (VIP_V6, HTTP_PORT).into();
    distribution(show, scene, vip, Question::Http, HTTP_REQUESTS, WEIGHTS)
}

/// UDP over both families.
pub(crate) fn udp(show: &mut Show, scene: &mut Scene) -> Result<()> {
    show.step(&format!("{DATAGRAMS} UDP flows to each VIP, echoed"));
    for vip in [(VIP_V4, ECHO_PORT).into(), (VIP_V6, ECHO_PORT).into()] {
        distribution(show, scene, vip, Question::Echo, DATAGRAMS, WEIGHTS)?;
    }
    Ok(())
}

/// Compares the balancer's counters with what client and kernel counted.
pub(crate) fn counters(show: &mut Show, scene: &mut Scene) -> Result<()> {
    show.step("The counters agree");
    let client = scene.lab.clients[0].namespace.clone();
    let before = scene.counted_before;
    let (counted, status, forwarded) =
        settled(scene.slbd()?, || Ok(PacketsCounted::read(&client)? - before))?;

    for (protocol, sent) in [("tcp", 2 * HTTP_REQUESTS), ("udp", 2 * DATAGRAMS)] {
        let by_backend = counts::connections(&status, protocol);
        let terms: Vec<String> = by_backend.values().map(u64::to_string).collect();
        let sum: u64 = by_backend.values().sum();
        let text = format!("{protocol}: {} = {sum} connections, {sent} opened", terms.join(" + "));
        let same = by_backend.iter().all(|(address, count)| {
            scene.answered.get(&(protocol, address.clone())) == Some(count)
        });
        show.claim(sum == sent && same, &format!("{text}, backend by backend as answered"));
    }
    let (packets_in, packets_out) =
        (counts::of_listeners(&status, "packets_in"), counts::of_listeners(&status, "packets_out"));
    show.claim(
        (packets_in, packets_out) == (counted.sent, counted.received),
        &format!(
            "packets: {packets_in} in and {packets_out} out; the client's kernel sent {} and got {}",
            counted.sent, counted.received
        ),
    );
    show.claim(
        forwarded == counted.sent + counted.received,
        &format!("the program redirected or transmitted {forwarded}: every single one, both ways"),
    );
    Ok(())
}

/// Reads the counters until they stand still and agree, or for 5 s: last packets are still
/// on their way when the last answer is there.
fn settled(
    slbd: &Slbd,
    counted: impl Fn() -> Result<PacketsCounted>,
) -> Result<(PacketsCounted, Value, u64)> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let (counted, status, drops) =
            (counted()?, slbd.status()?, slbd.json(&["drops", "--all"])?);
        let forwarded =
            counts::verdict(&drops, "transmitted") + counts::verdict(&drops, "redirected");
        let packets = counts::of_listeners(&status, "packets_in")
            + counts::of_listeners(&status, "packets_out");
        let sum = counted.sent + counted.received;
        if (sum == forwarded && sum == packets) || Instant::now() > deadline {
            return Ok((counted, status, forwarded));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Changes weights while connections are open and others are being opened.
pub(crate) fn reload(show: &mut Show, scene: &mut Scene) -> Result<()> {
    const EQUAL: [u64; 3] = [1, 1, 1];
    const KEPT: usize = 6;
    show.step("Reload under traffic: weights 3:2:1 become 1:1:1");
    let (client, pause) = (&scene.lab.clients[0].namespace, Duration::from_millis(1));
    let (v4, v6) = ((VIP_V4, HTTP_PORT).into(), (VIP_V6, HTTP_PORT).into());
    let kept = Traffic::start(client, v4, Question::HttpKeepAlive, KEPT, pause);
    let opened = Traffic::start(client, v6, Question::Http, 4, pause);
    for traffic in [&kept, &opened] {
        traffic.wait_for_answers(200, PATIENCE)?;
    }
    let equal = services(&scene.lab.backends, EQUAL);
    scene.slbd()?.reload(&equal)?;
    for traffic in [&kept, &opened] {
        traffic.wait_for_answers(200, PATIENCE)?;
    }
    let (kept, opened) = (kept.stop()?, opened.stop()?);
    show.claim(
        kept.errors.is_empty(),
        &format!("{KEPT} open connections lived on: {}", in_short(&kept, "requests")),
    );
    show.claim(opened.errors.is_empty(), &in_short(&opened, "new connections"));
    distribution(show, scene, v4, Question::Http, 300, EQUAL)?;
    let weighted = services(&scene.lab.backends, WEIGHTS);
    scene.slbd()?.reload(&weighted)
}

/// Ends the daemon, then detaches the program: now the same request must fail.
pub(crate) fn detach(show: &mut Show, scene: &mut Scene) -> Result<()> {
    show.step("Without the program nothing is balanced");
    let client = scene.lab.clients[0].namespace.clone();
    let vip = (VIP_V4, HTTP_PORT).into();
    let load = Load::concurrent(60, 6).patience(Duration::from_secs(1));
    scene.slbd()?.stop()?;
    let answers = ask(&client, vip, Question::Http, load)?;
    show.claim(
        answers.answered() == 60,
        &format!("daemon stopped, program attached: {}", in_short(&answers, "connections")),
    );
    scene.slbd()?.detach()?;
    let mut nothing = true;
    for interface in scene.lab.interfaces() {
        nothing &= kernel::xdp(&scene.lab.balancer, interface)? == Attached::Nothing;
    }
    show.claim(nothing, "program detached: the kernel shows none on any interface");
    let load = Load::concurrent(6, 6).patience(Duration::from_secs(1));
    let answers = ask(&client, vip, Question::Http, load)?;
    show.claim(
        answers.answered() == 0,
        &format!("the same request now fails: {}", reasons(&answers)),
    );
    Ok(())
}

/// Takes everything away.
pub(crate) fn clean_up(show: &mut Show, scene: Scene) {
    show.step("Cleaned up");
    let name = scene.lab.name.clone();
    drop(scene);
    let left = leftovers::found(&name);
    show.claim(left.is_empty(), "no namespace, process, pin or file is left");
    for each in left {
        show.line(&format!("  left: {}", each.display()));
    }
}

/// Asks a VIP and compares who answered with the weights.
fn distribution(
    show: &mut Show,
    scene: &mut Scene,
    vip: SocketAddr,
    question: Question,
    requests: u64,
    weights: [u64; 3],
) -> Result<()> {
    // A VIP that is dead is given up after a few seconds.
    let load = Load::concurrent(requests, 16).patience(Duration::from_secs(2));
    let answers = scene.ask(vip, question, Load { errors: 20, ..load })?;
    let whole: u64 = weights.iter().sum();
    let bar = |(backend, weight): (&Host, u64)| Bar {
        label: format!("{} {}", backend.name, backend.endpoint(vip.ip(), 0).ip()),
        got: answers.of(&backend.name),
        wanted: requests * weight / whole,
    };
    let bars: Vec<Bar> = scene.lab.backends.iter().zip(weights).map(bar).collect();
    show.bars(&bars);
    let exact = bars.iter().all(|bar| bar.got == bar.wanted);
    let text = format!("exactly as weighted: {}", in_short(&answers, "requests"));
    show.claim(exact && answers.errors.is_empty(), &text);
    Ok(())
}

/// Requests, errors and what they were.
pub(crate) fn in_short(answers: &Answers, what: &str) -> String {
    let median = answers.latency_us.value_at_quantile(0.5) as f64 / 1000.0;
    let count = answers.answered() as usize + answers.errors.len();
    if answers.errors.is_empty() {
        format!("{count} {what}, 0 errors, median {median:.1} ms")
    } else {
        format!("{count} {what}, {} errors ({})", answers.errors.len(), reasons(answers))
    }
}

fn reasons(answers: &Answers) -> String {
    answers.error_counts().into_keys().collect::<Vec<_>>().join("; ")
}
