//! Packets that are not forwarded: other traffic, and what is dropped.

use anyhow::Result;
use slb_common::{
    Verdict,
    bench::Flow,
    service::{Limits, SERVICE_COOKIES_ALWAYS, mode},
};
use slb_tests::{
    packets::flags,
    program::cases::{CASES, Case},
};
use slb_userspace::{bpf::FullNat, config::model::Family, maps::Operation};

use super::{
    Extent, Scene,
    established::padded,
    listeners::{self, Features},
    scene::{Measured, Outcome, Path, Stage, Table},
};
use crate::{
    budget::{self, Floor},
    stream::{End, Stream, Stretch, client},
};

/// Clients whose packets come.
const CLIENTS: u32 = 65_536;
/// Entries of the list that denies all of them, but for that one entry.
const DENYING: u32 = 100;
/// All of them.
const ALL: Stretch = Stretch { first: 0, flows: CLIENTS };

/// A stage with a listener that has every feature, and clients.
fn stage(case: Case) -> Result<Stage> {
    let table = Table { family: Family::V4, connections: CLIENTS, full_nat: FullNat::Off };
    let mut stage = Stage::new(table, CLIENTS)?;
    let listener = listeners::listener(case, mode::NAT);
    listeners::install(&mut stage.balancer, case, listener, Features::all(case.family));
    let flows: Vec<Flow> = (0..CLIENTS).map(client).collect();
    stage.varied.write_flows(0, &flows);
    Ok(stage)
}

/// Floors of nothing at all, and traffic of others.
pub(super) fn passing() -> Scene {
    Scene::new("pass: traffic that is not ours".into(), |extent| {
        let mut list = Vec::new();
        for (case, name) in [(CASES[0], "v4"), (CASES[2], "v6")] {
            let mut stranger = case.client(9);
            stranger.set_port(80);
            let packet = padded(case.to_vip(case.client(1), stranger, flags::ACK));
            let stream = Stream::new(&packet, End::Client, ALL);
            if list.is_empty() {
                for (what, own) in [
                    ("bare drop", "bare_drop"),
                    ("bare transmit", "bare_transmit"),
                    ("bare transmit after 16 calls of a function", "bare_calls"),
                    ("bare transmit after 16 looks at the coarse clock", "bare_clock"),
                ] {
                    list.push(Measured::own(what, Path::Alone(own), stream.clone()));
                }
            }
            let pass = |what: &str| {
                Measured::new(format!("pass {name} TCP to others, {what}"), stream.clone())
                    .ending(Verdict::PassNotOurs)
                    .beside(Floor::Swap, Some(budget::PASS))
            };
            list.push(pass("one flow").constant());
            list.push(pass("65 536 flows"));
        }
        let mut arp = list[list.len() - 1].stream.clone();
        arp.frame[12..14].copy_from_slice(&[0x08, 0x06]);
        let arp = Measured::new("pass ARP".into(), arp).constant();
        list.push(arp.ending(Verdict::PassNotIp).beside(Floor::Swap, Some(budget::PASS)));
        stage(CASES[0])?.run(list, extent)
    })
}

/// What is dropped, and why, and what is answered without a connection.
pub(super) fn dropping() -> Scene {
    Scene::new("refused: drops and cookies".into(), drops)
}

fn drops(extent: Extent) -> Result<Vec<Outcome>> {
    let case = CASES[0];
    let mut stage = stage(case)?;
    let to = |vip, tcp| {
        let packet = padded(case.to_vip(case.client(1), vip, tcp));
        Stream::new(&packet, End::Client, ALL)
    };
    let mut listen = |number, features, limits| {
        let mut listener = listeners::listener(case, mode::NAT);
        listener.vips = vec![case.vip_number(number)];
        listener.more.limits = limits;
        listeners::install(&mut stage.balancer, case, listener, features);
        case.vip_number(number)
    };
    let one = Limits { connections: 1, rate: 0 };
    let denying = listen(2, Features { acl: DENYING, ..Features::default() }, Limits::default());
    let limited = listen(3, Features::default(), one);
    let defence = Features { syn_defence: SERVICE_COOKIES_ALWAYS, ..Features::default() };
    let defended = listen(4, defence, Limits::default());
    let everybody = ["10.0.0.0/8".parse()?].into();
    stage.balancer.apply(Operation::FillList { number: 1 + DENYING, list: everybody });
    stage.send(&mut to(limited, flags::SYN), 1, Verdict::Transmitted)?;

    let scan = flags::SYN | flags::FIN;
    let row = |what: &str, stream: Stream, verdict| {
        Measured::new(format!("drop: {what}"), stream).ending(verdict)
    };
    let damaged = to(case.vip(), flags::SYN).damaged();
    let cookie = Measured::new("SYN answered by cookie".into(), to(defended, flags::SYN));
    let list = vec![
        cookie.ending(Verdict::AnsweredCookie).beside(Floor::Swap, Some(budget::COOKIE)),
        row("wrong header checksum", damaged, Verdict::DropBadChecksum),
        row("flags of no connection", to(case.vip(), scan), Verdict::DropBadFlags),
        row("a segment of no connection", to(case.vip(), flags::ACK), Verdict::DropNoConnection),
        row("denied by the access list", to(denying, flags::SYN), Verdict::DropAcl),
        row("over the limit", to(limited, flags::SYN), Verdict::DropConnectionLimit),
    ];
    stage.run(list, extent)
}
