//! sh and mh: who a client is decides its backend.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use anyhow::Result;
use slb_tests::lab::{VIP_V4, name_on, tcp_from};

use crate::{
    scene::{Scene, name_at},
    services::{NAME, Share, names},
};

/// Source addresses of the client besides its own.
const SOURCES: std::ops::Range<u8> = 120..180;

/// The backend of every source address.
type Owners = BTreeMap<IpAddr, String>;

#[test]
fn with_sh_a_client_has_one_backend_also_over_a_reload_and_a_restart() -> Result<()> {
    a_client_has_one_backend("sh")
}

#[test]
fn with_mh_a_client_has_one_backend_also_over_a_reload_and_a_restart() -> Result<()> {
    a_client_has_one_backend("mh")
}

fn a_client_has_one_backend(scheduler: &'static str) -> Result<()> {
    let mut scene = Scene::usual(&[names(scheduler, [3, 2, 1])])?;
    let owners = first_owners(&scene)?;
    let of = |name: &str| owners.values().filter(|owner| *owner == name).count();
    let shares = ["backend1", "backend2", "backend3"].map(of);
    assert!(shares.iter().all(|count| *count > 0), "all have clients: {shares:?}");
    assert!(shares[0] > shares[2], "weights count: {shares:?}");

    assert_eq!(owners_of(&scene)?, owners, "asked again");
    scene.slbd.slb_ok(&["reload"])?;
    assert_eq!(owners_of(&scene)?, owners, "after a reload");
    // There and back: the same weights give the same places.
    scene.reload(&[names("rr", [3, 2, 1])])?;
    scene.reload(&[names(scheduler, [3, 2, 1])])?;
    assert_eq!(owners_of(&scene)?, owners, "after two changes");
    scene.slbd.crash()?;
    assert_eq!(owners_of(&scene)?, owners, "without the daemon");
    scene.slbd.start_again()?;
    assert_eq!(owners_of(&scene)?, owners, "after a restart");
    Ok(())
}

#[test]
fn with_mh_taking_a_backend_away_moves_only_its_clients() -> Result<()> {
    let scene = Scene::usual(&[names("mh", [1, 1, 1])])?;
    let before = first_owners(&scene)?;
    scene.reload(&[names("mh", [1, 1, 1]).share(2, Share::Absent)])?;
    let without = owners_of(&scene)?;
    let moved = |from: &Owners, to: &Owners| {
        from.iter().filter(|(source, owner)| to[*source] != **owner).count()
    };
    let its_own = before.values().filter(|owner| *owner == "backend2").count();
    assert!(its_own > 5 && without.values().all(|owner| owner != "backend2"));
    // Maglev promises only that few others move (NSDI 2016, section 5.3). None of these does, and
    // its hash has no secret, so that is no luck of this run.
    assert_eq!(moved(&before, &without), its_own);
    scene.reload(&[names("mh", [1, 1, 1])])?;
    scene.wait_for_health(NAME, 2, "healthy")?;
    assert_eq!(owners_of(&scene)?, before, "all are back when it is back");
    Ok(())
}

/// Gives the client its addresses, and asks.
fn first_owners(scene: &Scene) -> Result<Owners> {
    let lines: Vec<String> = SOURCES.map(|n| format!("addr add 10.0.0.{n}/24 dev eth0")).collect();
    scene.client().ip_batch(&lines.join("\n"))?;
    owners_of(scene)
}

/// Twice from each address; an error if it gets two backends.
fn owners_of(scene: &Scene) -> Result<Owners> {
    let mut owners = Owners::new();
    for _ in 0..2 {
        for number in SOURCES {
            let address: IpAddr = Ipv4Addr::new(10, 0, 0, number).into();
            let source = SocketAddr::new(address, 0);
            let name = name_on(&tcp_from(scene.client(), source, name_at(VIP_V4.into()))?)?;
            let owner = owners.entry(address).or_insert_with(|| name.clone());
            anyhow::ensure!(*owner == name, "{address} had {owner} and now {name}");
        }
    }
    Ok(owners)
}
