//! `--keep`: the scene lives on without the demonstration, until `--clean`.
//!
//! The daemon is a process of its own already. The servers are threads of the demonstration, so a
//! process takes them over that lives in a backend's namespace: there `--clean` finds it.

use std::{
    env,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{Host, Load, Namespace, Net, Question, VIP_V4, ask, binary, leftovers};

use crate::{
    scene::{self, HTTP_PORT, PATIENCE, Scene, WEIGHTS},
    show::Show,
};

/// Name of the lab that is kept: one at a time.
pub(crate) const LAB: &str = "slb-demo";

/// There is one name for what is kept.
pub(crate) fn refuse_second() -> Result<()> {
    ensure!(
        leftovers::found(LAB).is_empty(),
        "a demonstration is running already\nhint: `cargo xtask demo -- --clean` ends it"
    );
    Ok(())
}

/// Hands the servers over, leaves everything in place and says how to look around.
pub(crate) fn leave_running(show: &mut Show, mut scene: Scene) -> Result<()> {
    show.step("It stays");
    scene.servers.clear();
    let backend = &scene.lab.backends[0].namespace;
    let program = env::current_exe()?;
    backend
        .command(&program.to_string_lossy())
        .arg("--backends")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("start the backends' process")?;
    let client = scene.lab.clients[0].namespace.clone();
    let begun = Instant::now();
    let load = Load::sequential(6).patience(Duration::from_secs(1));
    loop {
        let answers = ask(&client, (VIP_V4, HTTP_PORT).into(), Question::Http, load)?;
        if answers.errors.is_empty() {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "the backends do not answer again: {answers}");
    }
    let socket = scene.slbd()?.socket();
    let config = scene.slbd()?.config_path();
    if let Some(slbd) = scene.slbd.take() {
        slbd.keep();
    }
    scene.lab.keep();
    show.claim(true, "client, balancer and backends live on");
    let (slb, client, balancer) = (binary("slb")?, client.path(), namespace_path("balancer"));
    let (slb, socket) = (slb.display(), socket.display());
    let (client, balancer) = (client.display(), balancer.display());
    println!(
        "
    as the client:
      nsenter --net={client} curl http://{VIP_V4}
    the balancer's state, its connections, its counters:
      {slb} --socket {socket} status
      {slb} --socket {socket} conns
      {slb} --socket {socket} drops --all
    the XDP program on its interfaces:
      nsenter --net={balancer} ip link
    its configuration (then `slb reload`):
      {}
    take it all away:
      {} --clean",
        config.display(),
        program.display()
    );
    Ok(())
}

/// Starts the servers of the kept lab and runs until killed.
pub(crate) fn be_backends() -> Result<ExitCode> {
    let backends = (1..)
        .zip(WEIGHTS)
        .map(|(number, _)| {
            let name = format!("backend{number}");
            let namespace = Namespace::open(&format!("{LAB}-{name}"))?;
            let (v4, v6) = (Net::Backends.v4(10 + number), Net::Backends.v6(10 + number));
            Ok(Host { name, namespace, v4, v6 })
        })
        .collect::<Result<Vec<Host>>>()?;
    let _servers = scene::start_servers(&backends)?;
    loop {
        thread::park();
    }
}

/// Takes away what `--keep` left.
pub(crate) fn clean() {
    let was_there = !leftovers::found(LAB).is_empty();
    leftovers::remove(LAB);
    println!("{}", if was_there { "The demonstration is gone." } else { "Nothing was running." });
}

fn namespace_path(host: &str) -> PathBuf {
    PathBuf::from(slb_tests::lab::namespace::DIRECTORY).join(format!("{LAB}-{host}"))
}
