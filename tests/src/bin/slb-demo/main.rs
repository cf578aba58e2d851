//! The demonstration: real traffic through the balancer in network namespaces, every statement
//! checked while it is shown. Exit code 0 only if all of them held.

mod counts;
mod failover;
mod interrupt;
mod keep;
mod kernel;
mod scene;
mod show;
mod steps;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use interrupt::{Interrupt, Interrupted};
use scene::Scene;
use show::Show;

/// Shows the balancer at work: client, balancer and three backends in network namespaces.
#[derive(Parser)]
#[command(name = "slb-demo")]
struct Arguments {
    /// Leave it running and print how to look around
    #[arg(long)]
    keep: bool,
    /// Take away what --keep left running
    #[arg(long, conflicts_with = "keep")]
    clean: bool,
    /// Be the backends of a network that is kept
    #[arg(long, hide = true)]
    backends: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = if arguments.clean {
        keep::clean();
        Ok(ExitCode::SUCCESS)
    } else if arguments.backends {
        keep::be_backends()
    } else {
        demonstrate(arguments.keep)
    };
    match result {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => ExitCode::from(interrupt::EXIT_CODE),
        Err(error) => {
            eprintln!("\nslb-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate(keep: bool) -> Result<ExitCode> {
    if keep {
        keep::refuse_second()?;
    }
    let name = if keep { keep::LAB.to_owned() } else { scene::own_name() };
    let interrupt = Interrupt::watch(&name)?;
    let mut show = Show::new();
    let told = tell(&mut show, keep, &name, &interrupt);
    // Once a signal has come, whatever failed failed because of it.
    interrupt.check()?;
    if told.is_err() {
        show.tell_failures();
    }
    told.map(|()| show.finish())
}

fn tell(show: &mut Show, keep: bool, name: &str, interrupt: &Interrupt) -> Result<()> {
    // Whatever fails from here on, dropping the scene takes everything away.
    let mut scene = steps::network(show, name)?;
    let story: [fn(&mut Show, &mut Scene) -> Result<()>; 6] = [
        steps::daemon,
        steps::http,
        steps::udp,
        steps::counters,
        steps::reload,
        failover::failover,
    ];
    for step in story {
        interrupt.check()?;
        step(show, &mut scene)?;
    }
    interrupt.check()?;
    if keep {
        keep::leave_running(show, scene)?;
    } else {
        steps::detach(show, &mut scene)?;
        interrupt.check()?;
        steps::clean_up(show, scene);
    }
    Ok(())
}
