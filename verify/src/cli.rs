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
}

#[derive(Debug, Args)]
struct AuditArgs {
    /// Judge a past report by its figures (JSON, see verify/data/per-002-report.json)
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
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
    };
    let exit = result.unwrap_or_else(|failure| {
        // Nobody may be listening; the exit code still tells.
        let _ = writeln!(std::io::stderr(), "error: {}", failure.text);
        failure.exit
    });
    ExitCode::from(exit as u8)
}
