//! `slb`, the command line. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    slb_userspace::cli::main()
}
