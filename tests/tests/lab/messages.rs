//! What the daemon and the command line say when something is not as it should be.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Output,
};

use anyhow::Result;
use slb_tests::lab::{Lab, Load, Question, Slbd, VIP_V4, binary, bpffs};

use crate::{
    scene::{Scene, http_at, without_errors},
    services::{configuration, http},
};

#[test]
fn slb_without_a_daemon_says_where_it_asked_and_exits_2() -> Result<()> {
    let (_lab, slbd) = prepared()?;
    let output = slbd.slb(&["status"])?;
    assert_eq!(output.status.code(), Some(2));
    let socket = slbd.socket();
    let said = format!(
        "error: slbd does not answer on {}: there is no such socket\n  hint: is slbd running? start \
         it with `slbd --config FILE`, or give --socket\n",
        socket.display()
    );
    assert_eq!(errors(&output), said);
    for words in [&["conns"][..], &["reload"], &["backend", "list"], &["listener", "list"]] {
        let output = slbd.slb(words)?;
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert_eq!(errors(&output), said, "{words:?}");
    }
    Ok(())
}

#[test]
fn slb_after_a_killed_daemon_says_that_nobody_listens_and_exits_2() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    scene.slbd.crash()?;
    let output = scene.slbd.slb(&["status"])?;
    assert_eq!(output.status.code(), Some(2));
    let said = errors(&output);
    assert!(said.contains(": nobody listens\n  hint: is slbd running? "), "{said}");
    Ok(())
}

#[test]
fn an_interface_that_does_not_exist_is_named_and_nothing_stays_attached() -> Result<()> {
    let (lab, slbd) = prepared()?;
    edit(&slbd, "\"eth1\"", "\"eth7\"")?;
    let output = slbd.run(&[])?;
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("slbd: interface eth7: unknown network interface eth7\n"), "{said}");
    assert!(said.contains("hint: `ip link` lists the interfaces"), "{said}");
    let links = lab.balancer.output("ip", &["link", "show", "dev", "eth0"])?;
    assert!(!links.contains("xdp"), "{links}");
    assert!(!lab.pin_dir().exists());
    Ok(())
}

#[test]
fn another_xdp_program_is_not_displaced_and_the_message_says_how_to_remove_it() -> Result<()> {
    let (lab, slbd) = prepared()?;
    bpffs::attach_pass_program(&lab.balancer, "eth1")?;
    let before = lab.balancer.output("ip", &["link", "show", "dev", "eth1"])?;
    let output = slbd.run(&[])?;
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("slbd: interface eth1: ") && said.contains("busy"), "{said}");
    assert!(said.contains("hint: another XDP program is attached"), "{said}");
    assert_eq!(lab.balancer.output("ip", &["link", "show", "dev", "eth1"])?, before);
    let links = lab.balancer.output("ip", &["link", "show", "dev", "eth0"])?;
    assert!(!links.contains("xdp"), "{links}");
    Ok(())
}

#[test]
fn a_second_daemon_on_the_same_socket_or_the_same_pins_is_refused_and_the_first_goes_on()
-> Result<()> {
    let scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    let output = scene.slbd.run(&[])?;
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let socket = scene.slbd.socket().display().to_string();
    assert!(said.contains(&format!("another slbd answers on {socket}\n")), "{said}");

    edit(&scene.slbd, "/slb.sock\"", "/other.sock\"")?;
    let output = scene.slbd.run(&[])?;
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let pins = scene.lab.pin_dir().display().to_string();
    assert!(said.contains(&format!("slbd: {pins}: a running slbd uses it\nhint: ")), "{said}");

    let load = Load::concurrent(30, 3);
    without_errors("", scene.ask(http_at(VIP_V4.into()), Question::Http, load)?)?;
    assert!(scene.slbd.status().is_ok());
    Ok(())
}

#[test]
fn a_broken_file_stops_the_daemon_before_it_touches_anything() -> Result<()> {
    let (lab, slbd) = prepared()?;
    edit(&slbd, "scheduler = \"wrr\"", "scheduler = \"wr\"")?;
    let text = fs::read_to_string(slbd.config_path())?;
    let line = text.lines().position(|line| line.contains("\"wr\"")).map_or(0, |at| at + 1);
    let output = slbd.run(&[])?;
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let place = format!("{}:{line}:13: error: ", slbd.config_path().display());
    assert!(said.starts_with(&place), "{said}");
    assert!(said.contains("  hint: ") && said.contains("wrr"), "{said}");
    assert!(!lab.pin_dir().exists());

    // The same words as by the command that only checks.
    let check = slbd.slb(&["check", &slbd.config_path().display().to_string()])?;
    assert_eq!(check.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&check.stdout).into_owned() + &errors(&check);
    assert!(shown.contains(said.lines().next().unwrap_or("nothing")), "{shown}");
    Ok(())
}

#[test]
fn a_file_that_is_not_there_is_named_and_is_wrong_use() -> Result<()> {
    let (_lab, slbd) = prepared()?;
    fs::remove_file(slbd.config_path())?;
    let output = slbd.run(&[])?;
    assert_eq!(output.status.code(), Some(2));
    let path = slbd.config_path().display().to_string();
    let wanted = format!("{path}: error: cannot be read: No such file or directory");
    assert!(errors(&output).starts_with(&wanted), "{}", errors(&output));
    Ok(())
}

#[test]
fn without_the_rights_the_daemon_says_which_it_lacks_and_who_has_them() -> Result<()> {
    const NOBODY: u32 = 65_534;
    let (lab, slbd) = prepared()?;
    // Where others may run it: a build directory may be closed to them.
    let program = lab.work_dir().join("slbd");
    fs::copy(binary("slbd")?, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let output = lab
        .balancer
        .command("nsenter")
        .arg(format!("--net={}", lab.balancer.path().display()))
        .args(["--setgid", &NOBODY.to_string(), "--setuid", &NOBODY.to_string(), "--"])
        .arg(&program)
        .arg("--config")
        .arg(slbd.config_path())
        .process_group(0)
        .output()?;
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("missing: CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON"), "{said}");
    assert!(said.contains("hint: run as root"), "{said}");
    Ok(())
}

/// A lab and the configuration of a daemon that has not been started.
fn prepared() -> Result<(Lab, Slbd)> {
    let lab = Lab::builder().build()?;
    let slbd = Slbd::prepare(&lab, &configuration(&lab.backends, &[http("wrr", [1, 1, 1])]))?;
    Ok((lab, slbd))
}

/// Replaces words of the configuration file.
fn edit(slbd: &Slbd, from: &str, to: &str) -> Result<()> {
    let text = fs::read_to_string(slbd.config_path())?;
    assert!(text.contains(from), "{text}");
    Ok(fs::write(slbd.config_path(), text.replace(from, to))?)
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
