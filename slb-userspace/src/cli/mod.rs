//! The command line `slb`: what may be written, and what each command prints.
//!
//! A command asks the daemon, turns the answer into text by a pure function and says whether a
//! problem was found. Exit code 0: fine; 1: a problem found or a change refused; 2: wrong use, or
//! no daemon.

mod backend;
mod blackhole;
mod check;
mod conns;
mod drops;
mod listener;
mod persistence;
mod report;
mod status;
mod table;
mod toa;
mod words;

use std::{
    env,
    io::{self, ErrorKind as IoErrorKind, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use serde::Serialize;

use self::table::Style;
use crate::{
    api::{Client, ClientError, ErrorKind},
    toa::{Blame, Error as ToaError},
};

/// Where the daemon listens unless its configuration says otherwise.
const DEFAULT_SOCKET: &str = "/run/slb/slb.sock";
/// Variable that names another socket.
const SOCKET_VARIABLE: &str = "SLB_SOCKET";

/// A problem found, or a change refused.
const PROBLEM: u8 = 1;
/// Wrong use, or no daemon.
const WRONG_USE: u8 = 2;

/// Sees and changes what the load balancer slbd does.
#[derive(Debug, Parser)]
#[command(name = "slb", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 fine, 1 a problem found or a change refused, \
    2 wrong use or no daemon.")]
struct Cli {
    /// Unix socket of slbd [default: $SLB_SOCKET, else /run/slb/slb.sock]
    #[arg(long, global = true, value_name = "PATH", display_order = 100)]
    socket: Option<PathBuf>,
    /// Print JSON, as the API says it
    #[arg(long, global = true, display_order = 101)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say everything that is wrong with a configuration file; needs no daemon
    Check {
        /// The file
        file: PathBuf,
    },
    /// Make slbd read its configuration file again
    Reload,
    /// Show the data plane, listeners and backends; exits 1 if something is out of service
    Status,
    /// Look at listeners
    #[command(subcommand)]
    Listener(listener::Command),
    /// Look at backends and change them
    #[command(subcommand)]
    Backend(backend::Command),
    /// Show the connection table
    Conns(conns::Filters),
    /// Look at which client goes to which backend, and forget it
    #[command(subcommand)]
    Persistence(persistence::Command),
    /// VIPs to which nothing is let through because too much came for them
    #[command(subcommand)]
    Blackhole(blackhole::Command),
    /// Show why packets were dropped
    Drops(drops::Selection),
    /// On a backend: let servers see the client's address behind fullnat; needs no daemon
    #[command(subcommand)]
    Toa(toa::Command),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Tables and sentences.
    People(Style),
    /// The API's JSON.
    Json,
}

/// What a command has to say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    /// For standard output.
    text: String,
    /// Each a sentence for standard error; any makes the exit code 1.
    problems: Vec<String>,
}

impl Format {
    /// `answer` as JSON, or as `people` read it.
    fn write<T: Serialize>(
        self,
        answer: &T,
        people: impl FnOnce(&T, Style) -> String,
    ) -> anyhow::Result<String> {
        Ok(match self {
            Self::People(style) => people(answer, style),
            Self::Json => serde_json::to_string_pretty(answer)? + "\n",
        })
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, problems: Vec::new() }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            let (code, hint) = blame(&error);
            if let Some(hint) = hint {
                eprintln!("  hint: {hint}");
            }
            ExitCode::from(code)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let format = if cli.json { Format::Json } else { Format::People(Style::of_stdout()) };
    let socket = cli.socket.or_else(from_environment);
    let client = Client::new(socket.unwrap_or_else(|| DEFAULT_SOCKET.into()));
    let answer = match cli.command {
        Command::Check { file } => return check::run(&file, cli.json),
        Command::Completions { shell } => Answer::from(completions(shell)),
        Command::Reload => wait_for(report::reload(&client, format))?,
        Command::Status => wait_for(status::run(&client, format))?,
        Command::Listener(command) => wait_for(listener::run(command, &client, format))?,
        Command::Backend(command) => wait_for(backend::run(command, &client, format))?,
        Command::Conns(filters) => wait_for(conns::run(&filters, &client, format))?,
        Command::Persistence(command) => wait_for(persistence::run(command, &client, format))?,
        Command::Blackhole(command) => wait_for(blackhole::run(command, &client, format))?,
        Command::Drops(selection) => wait_for(drops::run(&selection, &client, format))?,
        Command::Toa(command) => toa::run(command, format)?,
    };
    print(&answer)
}

/// The variable's socket; an empty one counts as unset.
fn from_environment() -> Option<PathBuf> {
    env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn wait_for(answer: impl Future<Output = anyhow::Result<Answer>>) -> anyhow::Result<Answer> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(answer)
}

fn print(answer: &Answer) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match out.write_all(answer.text.as_bytes()).and_then(|()| out.flush()) {
        // The reader, `head` for one, has seen enough.
        Err(error) if error.kind() == IoErrorKind::BrokenPipe => {}
        written => written?,
    }
    for problem in &answer.problems {
        eprintln!("problem: {problem}");
    }
    Ok(if answer.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(PROBLEM) })
}

fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "slb", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The exit code of an error, and what to do about it.
fn blame(error: &anyhow::Error) -> (u8, Option<&str>) {
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return (code_of(error), error.hint());
    }
    match error.downcast_ref::<ToaError>() {
        Some(error) if error.blame == Blame::Caller => (WRONG_USE, error.hint()),
        Some(error) => (PROBLEM, error.hint()),
        None => (PROBLEM, None),
    }
}

fn code_of(error: &ClientError) -> u8 {
    match error {
        ClientError::Answered(answer) => match answer.kind {
            ErrorKind::NotFound | ErrorKind::Refused | ErrorKind::Internal => PROBLEM,
            ErrorKind::WrongRequest | ErrorKind::WrongMethod | ErrorKind::Unavailable => WRONG_USE,
        },
        ClientError::NotAnswering { .. }
        | ClientError::PermissionDenied(_)
        | ClientError::TimedOut { .. }
        | ClientError::Garbled { .. } => WRONG_USE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ApiError;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_all_commands_may_stand_before_and_after_the_command() {
        for line in ["slb --json --socket /x status", "slb status --json --socket /x"] {
            let cli = parse(line).unwrap();
            assert!(cli.json && cli.socket == Some("/x".into()), "{line}");
        }
    }

    #[test]
    fn a_change_names_its_listener_and_backend_as_the_documentation_does() {
        let cli = parse("slb backend set-weight shop/tcp:80 10.0.1.11:8080 50").unwrap();
        let Command::Backend(backend::Command::SetWeight(set)) = cli.command else {
            panic!("{cli:?}");
        };
        assert_eq!(set.request().listener.to_string(), "shop/tcp:80");
        assert_eq!(set.request().backend.to_string(), "10.0.1.11:8080");
        assert_eq!((set.request().weight, set.request().force), (50, false));
    }

    #[test]
    fn a_wrong_name_is_wrong_use_and_says_what_to_write() {
        for (line, words) in [
            ("slb backend drain shop 10.0.1.11:8080", "e.g. shop/tcp:80"),
            ("slb backend drain shop/tcp:80 10.0.1.11", "e.g. 10.0.1.11:8080"),
            ("slb backend set-weight shop/tcp:80 10.0.1.11:80 101", "0..=100"),
            ("slb conns --state open", "syn-received"),
            ("slb toa attach --from 10.0.0.0/33", "e.g. 100.64.0.0/10"),
            ("slb conns --protocol icmp", "tcp, udp"),
            ("slb conns --limit 100001", "1..=100000"),
            ("slb persistence flush", "<--listener <LISTENER>|--client <CLIENT>|--all>"),
            ("slb persistence flush --all --client 10.0.0.1", "cannot be used with"),
            ("slb persistence list --client web1", "e.g. 10.0.0.1"),
            ("slb blackhole release", "<VIP|--all>"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), i32::from(WRONG_USE));
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn commands_that_are_not_built_are_not_offered() {
        let help = Cli::command().render_help().to_string();
        for word in ["plan", "rollback", "top", "events", "doctor", "trace", "capture"] {
            assert!(!help.contains(&format!("\n  {word} ")), "{word}");
        }
    }

    #[test]
    fn every_shell_gets_completions_of_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            assert!(completions(shell).contains("set-weight"), "{shell}");
        }
    }

    #[test]
    fn no_daemon_is_2_and_a_refusal_is_1() {
        let away = ClientError::PermissionDenied("/x".into());
        assert_eq!(code_of(&away), 2);
        let answered = |kind| code_of(&ClientError::Answered(ApiError::new(kind, "")));
        assert_eq!(answered(ErrorKind::Refused), 1);
        assert_eq!(answered(ErrorKind::NotFound), 1);
        assert_eq!(answered(ErrorKind::WrongRequest), 2);
        assert_eq!(answered(ErrorKind::Unavailable), 2);
    }
}
