//! The command line: arguments in, a report and an exit code out.
//!
//! One exit code per outcome, so that a script can act on it ([`Exit`]). Every
//! failure says what is wrong, where, and what to do, on standard error;
//! standard output carries the result alone.

use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sluice_sim::redis::Version;
use sluice_sim::world::FaultKind;

use crate::history::Budget;
use crate::scenario::{Load, Scenario};
use crate::strategy::{Strategy, Tactic};
use crate::subject::{Kind, Subject};
use picture::PictureArgs;

mod audit;
mod determinism;
mod diff;
mod failover;
mod find;
mod history;
mod mutants;
mod output;
mod picture;
mod progress;
mod prove;
mod redis;
mod replay;
mod script;
mod swarm;

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
    /// Search seeds for the first that breaks a gate; shows it, and how to repeat it
    Find(FindArgs),
    /// Run a seed or a recorded file again: the same steps, the same digest
    Replay(ReplayArgs),
    /// Check a recorded history for linearizability; shows the smallest part that is wrong
    History(HistoryArgs),
    /// Print a script of the gate with its parts, ready for SCRIPT LOAD from any language
    Script(ScriptArgs),
    /// Explore every schedule within bounds; prints what that shows, and what not
    Prove(ProveArgs),
    /// Hunt gates that are wrong on purpose: what each costs to find, by strategy
    Mutants(MutantsArgs),
    /// Run every seed twice, in two processes: the same digest after every step
    #[command(mut_arg("subject", |arg| arg.default_value("slots")))]
    CheckDeterminism(DeterminismArgs),
    /// Run swarms of faults until so many joins were given a place
    #[command(mut_arg("subject", |arg| arg.default_value("slots")))]
    Swarm(SwarmArgs),
    /// What a failover does to a gate's cap, what keeps it, and what breaks it again
    Failover(FailoverArgs),
    /// One of the two processes: writes every step
    #[command(hide = true)]
    Steps(StepsArgs),
    /// Ask the simulated and a real Redis the same at random, for a while; shrinks
    /// what they answer differently
    Diff(DiffArgs),
    /// Serve the simulated Redis over TCP, to clients in any language
    Redis(RedisArgs),
    /// A share of the users of an audit on a real server; started by it
    #[command(hide = true)]
    Crowd,
}

#[derive(Debug, Args)]
struct AuditArgs {
    /// The gate under audit, on the simulator
    #[arg(long, value_name = "NAME", default_value = "slots")]
    subject: String,
    /// Seeds of the fault swarms, on the simulator
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..200")]
    seeds: Range<u64>,
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
struct FindArgs {
    #[command(flatten)]
    gate: GateArgs,
    /// Seeds to search, the last one left out [default: 0..10000]
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Option<Range<u64>>,
    /// Record the run that was found (shrunken, or whole with --no-shrink) in
    /// this file, for `verify replay FILE`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Why it happens, in a line, for the recorded file
    #[arg(
        long,
        value_name = "TEXT",
        requires = "record",
        conflicts_with = "no_shrink"
    )]
    note: Option<String>,
    /// Shrink what was found to what matters; the default
    #[arg(long, overrides_with = "no_shrink")]
    shrink: bool,
    /// Show the run as it was found
    #[arg(long)]
    no_shrink: bool,
    #[command(flatten)]
    picture: PictureArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// A seed, or a file that `verify find --record` wrote; or many seeds, to be
    /// repeated on a real server (--on), the last one left out: then --subject may
    /// be several, or `all`, or `mutants`, and the workload is `repeatable`
    #[arg(value_name = "SEED|FILE|A..B")]
    what: String,
    #[command(flatten)]
    gate: GateArgs,
    /// Go on after the first violation
    #[arg(long)]
    to_end: bool,
    /// Repeat it on a real server too. `redis`: a private one on the simulated
    /// clock, step for step, of the first redis-server or valkey-server on the
    /// PATH, or of the binary at this path (Linux). A URL, `docker`, `local`: one
    /// that has its own time, as far as that does not matter
    #[arg(long, value_name = "SERVER")]
    on: Option<String>,
    #[command(flatten)]
    picture: PictureArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct HistoryArgs {
    /// One operation a line, as JSON, after a header (see verify/src/history/format.rs)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Slots of each key [default: those of the header]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cap: Option<u32>,
    /// Give up a search beyond so many configurations of a key
    #[arg(long, value_name = "N", default_value_t = Budget::default().configurations)]
    budget: u64,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct ScriptArgs {
    /// The operation
    #[arg(value_name = "NAME", value_parser = script::names())]
    name: String,
}

#[derive(Debug, Args)]
struct ProveArgs {
    /// The gate
    #[arg(long, value_name = "NAME", default_value = "slots")]
    subject: String,
    /// Clients, each on a host of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    clients: u16,
    /// Slots
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    cap: u32,
    /// Operations of each client: acquire, release, acquire, release …
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = even)]
    ops: u32,
    /// Most faults on a path
    #[arg(long, value_name = "N", default_value_t = 1)]
    faults: u32,
    /// How often time may pass on a path, each time to the next deadline
    #[arg(long, value_name = "N", default_value_t = 1)]
    clock_steps: u32,
    /// Which faults
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = fault, default_value = "cut,crash,script_flush")]
    alphabet: Vec<FaultKind>,
    /// Give up beyond so many states
    #[arg(long, value_name = "N", default_value_t = 50_000_000)]
    states: u64,
    /// Tell clients apart that differ in their names only
    #[arg(long)]
    no_symmetry: bool,
    /// Try local events in every order too
    #[arg(long)]
    no_reduction: bool,
    /// Tell states apart by every number in them, statistics too
    #[arg(long)]
    exact: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct MutantsArgs {
    /// Only this one
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Trials of each, with seeds of their own
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Most runs of a trial; a mutant that is not killed by then survives
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    budget: u64,
    /// Who makes decisions: random, pct, pct:DEPTH, pos, guided; several, or all
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "random"
    )]
    strategy: Vec<String>,
    /// Begin no more trials of a mutant by a strategy after so many seconds; the
    /// gate itself is given ten times as many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Do not look for the least counterexample of each
    #[arg(long)]
    no_shrink: bool,
    /// Look for each for at most so many seconds
    #[arg(long, value_name = "N", conflicts_with = "no_shrink", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    shrink_seconds: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct DeterminismArgs {
    #[command(flatten)]
    gate: GateArgs,
    /// Seeds to run twice
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..100")]
    seeds: Range<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct SwarmArgs {
    #[command(flatten)]
    gate: GateArgs,
    /// Joins that must be given a place, over all runs together
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    joins: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct FailoverArgs {
    /// Seeds over which beliefs are counted
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..400")]
    seeds: Range<u64>,
    /// Seeds searched for each counterexample, from the first of --seeds
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u64).range(1..))]
    budget: u64,
    /// Show counterexamples as they were found
    #[arg(long)]
    no_shrink: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct StepsArgs {
    #[command(flatten)]
    gate: GateArgs,
    #[arg(long, value_parser = seeds)]
    seeds: Range<u64>,
    #[arg(long)]
    threads: usize,
}

#[derive(Debug, Args)]
struct DiffArgs {
    /// How long, as in 30s, 10m, 1h [default: 1m without --commands]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// So many commands
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    commands: Option<u64>,
    /// Go on until so many differences are found
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    differences: u64,
    /// The real server: a URL, `docker`, `local`, or whatever is found
    #[arg(long, value_name = "SERVER", default_value = "redis")]
    redis: String,
    /// The seed of the first sequence; each has the next one
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// A number and its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let unit = match text.chars().next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        _ => return Err("write a number and s, m or h, as in 10m".to_owned()),
    };
    let number: u64 = text[..text.len() - 1]
        .parse()
        .map_err(|_| format!("\"{text}\" is not a time; write a number and s, m or h"))?;
    let seconds = number.checked_mul(unit).filter(|s| *s <= 30 * 86_400);
    let seconds = seconds.ok_or("that is more than 30 days")?;
    Ok(Duration::from_secs(seconds))
}

#[derive(Debug, Args)]
struct RedisArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6379")]
    listen: String,
    /// Whose time it is: the machine's, or one that stands still until a client
    /// says `CLOCK ADVANCE milliseconds`
    #[arg(long, value_enum, default_value_t = ServedClock::Wall)]
    clock: ServedClock,
    /// Which server is imitated: 6.2, 7.0, 7.2, 8.0, 8.2, valkey-8 or valkey-9
    #[arg(long, value_name = "VERSION", value_parser = imitated, default_value = "7.2")]
    imitate: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ServedClock {
    /// That of this machine
    Wall,
    /// Its own, for tests that cannot wait
    Sim,
}

fn imitated(text: &str) -> Result<Version, String> {
    let mut all = Version::ALL.into_iter();
    all.find(|version| version.name() == text).ok_or_else(|| {
        let names = Version::ALL.map(Version::name).join(", ");
        format!("\"{text}\" is not imitated; take one of {names}")
    })
}

/// An even number of operations: who comes also goes.
fn even(text: &str) -> Result<u32, String> {
    let n: u32 = text
        .parse()
        .map_err(|_| format!("\"{text}\" is not a number"))?;
    if n == 0 || !n.is_multiple_of(2) || n > 100 {
        return Err("it must be even, from 2 to 100: who acquires also releases".to_owned());
    }
    Ok(n)
}

fn fault(text: &str) -> Result<FaultKind, String> {
    let known = || FaultKind::ALL.map(FaultKind::name).join(", ");
    let kind = FaultKind::ALL.into_iter().find(|kind| kind.name() == text);
    kind.ok_or_else(|| format!("no fault is called \"{text}\"; known are: {}", known()))
}

impl MutantsArgs {
    /// As it was said on the command line, but for the output.
    fn words(&self) -> String {
        let mut words = format!(" --strategy {}", self.strategy.join(","));
        words += &format!(" --seeds {} --budget {}", self.seeds, self.budget);
        if let Some(name) = &self.only {
            words += &format!(" --only {name}");
        }
        if let Some(seconds) = self.seconds {
            words += &format!(" --seconds {seconds}");
        }
        if let Some(seconds) = self.shrink_seconds {
            words += &format!(" --shrink-seconds {seconds}");
        }
        if self.no_shrink {
            words += " --no-shrink";
        }
        words
    }
}

/// A gate and its workload.
#[derive(Debug, Args)]
struct GateArgs {
    /// The gate on trial
    #[arg(long, value_name = "NAME", default_value = "naive")]
    subject: String,
    /// The workload [default: race, and swarm for per-process]
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Slots of the race or the rush
    #[arg(long, value_name = "N")]
    cap: Option<u32>,
    /// Clients of the race or the rush
    #[arg(long, value_name = "N")]
    clients: Option<u16>,
    /// Who makes decisions: random, pct, pct:DEPTH, pos; guided to find (by what
    /// its runs have met so far, and not out of one seed each)
    #[arg(long, value_name = "NAME", default_value_t = Tactic::default())]
    strategy: Tactic,
}

impl GateArgs {
    /// Where the run of one seed is asked for.
    fn by_seed(&self) -> Result<Strategy, Failure> {
        self.strategy.by_seed().map_err(Failure::usage)
    }

    /// As it was said on the command line, for another process.
    fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("--subject={}", self.subject),
            format!("--strategy={}", self.strategy),
        ];
        words.extend(
            self.scenario
                .iter()
                .map(|name| format!("--scenario={name}")),
        );
        words.extend(self.cap.iter().map(|n| format!("--cap={n}")));
        words.extend(self.clients.iter().map(|n| format!("--clients={n}")));
        words
    }

    /// The same, but where nothing is said of it, the workload with the most in it.
    fn scenario_or_swarm(&self, subject: &Subject) -> Result<Scenario, Failure> {
        match (&self.scenario, self.cap, self.clients) {
            (None, None, None) => Ok(Scenario::swarm()),
            _ => self.scenario(subject),
        }
    }

    fn scenario(&self, subject: &Subject) -> Result<Scenario, Failure> {
        let sized = self.cap.is_some() || self.clients.is_some();
        let named = match &self.scenario {
            Some(name) => Some(Scenario::by_name(name).map_err(Failure::usage)?),
            // A race has no second level, where this one goes wrong.
            None if !sized && subject.kind == Kind::PerProcess => Some(Scenario::swarm()),
            None => None,
        };
        let scenario = match named {
            Some(named) if !sized => return Ok(named),
            None => Scenario::race(self.cap.unwrap_or(2), self.clients.unwrap_or(4)),
            Some(named) => {
                let cap = self.cap.unwrap_or(named.sessions);
                let clients = self.clients.unwrap_or(named.users);
                match named.load {
                    Load::Race => Scenario::race(cap, clients),
                    Load::Rush => Scenario::rush(cap, clients),
                    Load::Burst
                    | Load::Sustained { .. }
                    | Load::Idle
                    | Load::Swarm
                    | Load::Repeatable
                    | Load::Proof { .. } => {
                        let text = format!(
                            "--cap and --clients cannot be used with --scenario {}; \
                             use them with race or rush",
                            named.name
                        );
                        return Err(Failure::usage(text));
                    }
                }
            }
        };
        sensible(&scenario).map(|()| scenario)
    }
}

/// Refuses workloads that nobody can run: they may come from a file.
fn sensible(scenario: &Scenario) -> Result<(), Failure> {
    let within = |what: &str, n: u32, max: u32| {
        if (1..=max).contains(&n) {
            return Ok(());
        }
        let text = format!("{what} is {n}; it must be between 1 and {max}");
        Err(Failure::usage(text))
    };
    within("the cap (--cap)", scenario.sessions, 1_000_000)?;
    within(
        "the number of clients (--clients)",
        scenario.users.into(),
        256,
    )?;
    within("the number of processes", scenario.processes.into(), 256)?;
    within("the query cap", scenario.queries.unwrap_or(1), 1_000_000)
}

/// `A..B`, or one number for that seed alone.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |part: &str| {
        part.parse::<u64>()
            .map_err(|_| format!("\"{part}\" is not a number; write A..B, as in 0..1000"))
    };
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => {
            let seed = number(text)?;
            seed..seed.checked_add(1).ok_or("that seed is too large")?
        }
    };
    if range.is_empty() {
        return Err("it is empty: B must be greater than A".to_owned());
    }
    Ok(range)
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
        Command::Find(args) => find::run(&args),
        Command::History(args) => history::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Script(args) => script::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Mutants(args) => mutants::run(&args),
        Command::Swarm(args) => swarm::run(&args),
        Command::Failover(args) => failover::run(&args),
        Command::CheckDeterminism(args) => determinism::run(&args),
        Command::Steps(args) => determinism::steps(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Redis(args) => redis::run(&args),
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
    fn gone() {
        std::process::exit(Exit::Environment as i32)
    }
    let input = std::io::BufReader::new(std::io::stdin());
    crate::audit::crowd::work(input, std::io::stdout().lock(), gone)
        .map(|()| Exit::Holds)
        .map_err(Failure::environment)
}
