//! The command line: arguments in, a report and an exit code out.
//!
//! One exit code per outcome, so that a script can act on it ([`Exit`]). Every
//! failure says what is wrong, where, and what to do, on standard error;
//! standard output carries the result alone.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod audit;
mod output;
mod progress;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked holds.
    Holds = 0,
    /// Something was contradicted; the output shows it and how to repeat it.
    Violated = 1,
    /// The request, or a file it names, cannot be understood.
    Usage = 2,
    /// Something the request needs is not there: a server, most often.
    Environment = 3,
    /// Nothing was contradicted, but not everything was shown.
    Inconclusive = 4,
}

/// A message for standard error, and the exit code that goes with it.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    fn usage(text: impl ToString) -> Self {
        Self {
            exit: Exit::Usage,
            text: text.to_string(),
        }
    }

    fn environment(text: impl ToString) -> Self {
        Self {
            exit: Exit::Environment,
            text: text.to_string(),
        }
    }
}

/// Puts admission gates on trial.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 80, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 holds, 1 violated, 2 usage, 3 environment missing \
(no server), 4 inconclusive";

#[derive(Debug, Subcommand)]
enum Command {
    /// A verdict per requirement of PER-002, with evidence to run again
    Audit(AuditArgs),
    /// A share of the users of an audit on a real server; started by it
    #[command(hide = true)]
    Crowd,
}

#[derive(Debug, Args)]
struct AuditArgs {
    /// Judge a past report by its figures (JSON, see verify/data/per-002-report.json)
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Audit on a real Redis: a URL, `docker`, or `local` (a redis-server on the PATH)
    #[arg(long, value_name = "URL|docker|local", conflicts_with = "evidence")]
    redis: Option<String>,
    /// Processes that the users are spread over (real Redis)
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,
    /// Divide the times of the sustained scenario by this (real Redis)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    scale: u64,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// Layout of the result
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Write the result to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For eyes, 80 columns
    Terminal,
    /// For programs
    Json,
    /// For a ticket or a wiki
    Markdown,
    /// For a CI server
    Junit,
}

/// Runs the command that the process was called with.
#[must_use]
pub fn main() -> ExitCode {
    // clap itself ends the process for --help (0) and usage errors (2).
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Audit(args) => audit::run(&args),
        Command::Crowd => crowd(),
    };
    let exit = result.unwrap_or_else(|failure| {
        // Nobody may be listening; the exit code still tells.
        let _ = writeln!(std::io::stderr(), "error: {}", failure.text);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

/// Runs a share of an audit's users; what goes wrong is the audit's to judge.
fn crowd() -> Result<Exit, Failure> {
    let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
    crate::audit::crowd::work(input, output)
        .map(|()| Exit::Holds)
        .map_err(Failure::environment)
}
