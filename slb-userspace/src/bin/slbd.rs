//! The daemon's command line.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use slb_userspace::{bpf, config, daemon, preflight};

/// The SLB daemon: loads the XDP program, checks backends, answers `slb`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Attach to this interface instead of those of the file.
    #[arg(long, value_name = "IF")]
    interface: Vec<String>,
    /// Only say whether this machine can run it: kernel, driver, offloads, memory, rights.
    #[arg(long, conflicts_with = "detach")]
    preflight: bool,
    /// End the data plane: detach XDP, remove maps and VIPs. All its connections end.
    #[arg(long)]
    detach: bool,
    /// With --preflight: as JSON.
    #[arg(long, requires = "preflight")]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SLB_LOG")
                .unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("slbd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut checked = match config::load(&arguments.config) {
        Ok(checked) => checked,
        Err(found) => {
            eprintln!("{found}");
            return Ok(ExitCode::from(if found.file_unreadable() { 2 } else { 1 }));
        }
    };
    if !arguments.interface.is_empty() {
        checked.config.dataplane.interfaces.clone_from(&arguments.interface);
    }
    for warning in &checked.warnings {
        tracing::warn!("{warning}");
    }
    if arguments.preflight {
        let processors = aya::util::nr_cpus().map_err(|(path, error)| {
            anyhow::Error::new(error).context(format!("the number of processors: {path}"))
        })?;
        let bytes = bpf::Sizes::of(&checked.config.dataplane).bytes(processors);
        let findings = preflight::run(&checked.config, bytes);
        let text = match arguments.json {
            true => preflight::json(&findings)?,
            false => preflight::text(&findings),
        };
        println!("{text}");
        return Ok(ExitCode::from(preflight::exit_code(&findings)));
    }
    if let Some(missing) = preflight::missing_rights() {
        let hint = missing.mend.map(|mend| format!("\nhint: {mend}")).unwrap_or_default();
        anyhow::bail!("{}: {}{hint}", missing.what, missing.evidence);
    }
    let runtime = tokio::runtime::Runtime::new().context("the tokio runtime")?;
    if arguments.detach {
        for line in runtime.block_on(daemon::detach(&checked.config))? {
            println!("{line}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    runtime.block_on(daemon::run(&arguments.config, checked.config, arguments.interface))
}
