//! `slb-l7`, the sidecar for HTTP and WebSocket listeners. Not built yet: it says so.

use std::process::ExitCode;

use clap::Parser;

/// The layer-7 sidecar of slbd; this version has none.
#[derive(Parser)]
#[command(name = "slb-l7", version)]
struct Cli {}

fn main() -> ExitCode {
    let Cli {} = Cli::parse();
    eprintln!(
        "error: HTTP, HTTPS and WebSocket listeners come with the layer-7 sidecar, \
         which this version does not have\n  \
         hint: a tcp listener passes HTTP and TLS through to its backends"
    );
    ExitCode::FAILURE
}
