//! `verify replay A..B --on redis`: random runs on a real server, and a table.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::json;
use sluice_sim::redis::Engine;

use super::super::progress::Progress;
use super::super::{Exit, Failure, Format, ReplayArgs};
use crate::audit::scenario_arguments;
use crate::mutant;
use crate::on_redis::many::{self, Servers, Tally};
use crate::scenario::Scenario;
use crate::subject::{self, Subject};

#[expect(clippy::disallowed_methods, reason = "says how long it took")]
pub(super) fn run(args: &ReplayArgs, seeds: Range<u64>) -> Result<Exit, Failure> {
    let Some(on) = args.on.as_deref() else {
        return Err(where_to());
    };
    let binary = super::private(on).ok_or_else(where_to)?;
    let subjects = subjects(&args.gate.subject)?;
    let gate = &args.gate;
    let scenario = match (&gate.scenario, gate.cap, gate.clients) {
        (None, None, None) => Scenario::repeatable(),
        _ => gate.scenario(&subjects[0])?,
    };
    let strategy = gate.by_seed()?;
    let servers = Servers::new(binary).map_err(Failure::environment)?;
    let server = servers.describe();
    let start = Instant::now();
    let progress = Progress::start();
    let mut tallies = Vec::new();
    for subject in &subjects {
        let strategy = strategy.fitted(subject, &scenario, &Engine::new());
        let done = AtomicU64::new(0);
        let each = |_| {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            let all = seeds.end - seeds.start;
            progress.say(&format!("{}: {done} of {all} runs", subject.name));
        };
        let tally = many::replay(&servers, subject, &scenario, strategy, seeds.clone(), each);
        let tally =
            tally.map_err(|broken| Failure::environment(format!("{}, {broken}", subject.name)))?;
        progress.log(&row(&tally));
        tallies.push(tally);
    }
    drop(progress);
    let text = match args.output.format() {
        Format::Json => json!({
            "server": server,
            "scenario": scenario.name,
            "seeds": [seeds.start, seeds.end],
            "subjects": tallies,
        })
        .to_string(),
        Format::Terminal | Format::Markdown | Format::Junit => {
            let (from, to) = (seeds.start, seeds.end);
            let mut text = format!("seeds {from}..{to} of {}, on {server}\n\n", scenario.name);
            text += &table(&tallies);
            text += &sums(&tallies);
            for tally in &tallies {
                text += &remarks(tally, &scenario, on);
            }
            text + &format!("{:.1} s", start.elapsed().as_secs_f64())
        }
    };
    args.output.text(&(text + "\n"))?;
    Ok(if tallies.iter().any(|tally| tally.differing > 0) {
        Exit::Violated
    } else if tallies.iter().any(|tally| tally.identical < tally.runs) {
        Exit::Inconclusive
    } else {
        Exit::Holds
    })
}

fn where_to() -> Failure {
    Failure::usage(
        "many seeds are replayed on private servers on the simulated clock: add --on redis, or \
         --on and the path of a server's binary",
    )
}

/// `all`, `mutants`, or names with commas between them.
fn subjects(names: &str) -> Result<Vec<Subject>, Failure> {
    let mut all = Vec::new();
    for name in names.split(',') {
        match name {
            "all" => all.extend(subject::ALL),
            "mutants" => all.extend(mutant::all().map(|mutant| mutant.subject)),
            name => all.push(subject::by_name(name).map_err(Failure::usage)?),
        }
    }
    Ok(all)
}

const COLUMNS: [&str; 10] = [
    "subject",
    "runs",
    "identical",
    "steps",
    "replies",
    "messages",
    "ran out",
    "cuts",
    "client crashes",
    "server restarts",
];

fn row(tally: &Tally) -> String {
    let happened = |name| tally.happened.get(name).copied().unwrap_or(0);
    let numbers: [u64; COLUMNS.len() - 1] = [
        tally.runs,
        tally.identical,
        tally.steps,
        tally.replies,
        tally.messages,
        tally.ran_out,
        happened("cuts"),
        happened("client crashes"),
        happened("server restarts"),
    ];
    let numbers = numbers.map(|number| number.to_string()).join(" | ");
    format!("| {} | {numbers} |", tally.subject)
}

/// In Markdown, which eyes can read, too.
fn table(tallies: &[Tally]) -> String {
    let mut lines = vec![
        format!("| {} |", COLUMNS.join(" | ")),
        format!("|---|{}", "--:|".repeat(COLUMNS.len() - 1)),
    ];
    lines.extend(tallies.iter().map(row));
    lines.join("\n") + "\n\n"
}

fn sums(tallies: &[Tally]) -> String {
    let total = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    let mut happened = BTreeMap::<&str, u64>::new();
    for (name, times) in tallies.iter().flat_map(|tally| &tally.happened) {
        *happened.entry(name).or_default() += times;
    }
    let happened = happened
        .iter()
        .map(|(name, times)| format!("{name} {times}"));
    format!(
        "{} of {} runs were identical to their end: {} replies (of these, {} errors with the same \
         code and other words), {} messages, {} keys in the end, and TIME with each command.\n\
         Ran out {}; {}.\n",
        total(|t| t.identical),
        total(|t| t.runs),
        total(|t| t.replies),
        total(|t| t.other_words),
        total(|t| t.messages),
        total(|t| t.keys),
        total(|t| t.ran_out),
        happened.collect::<Vec<_>>().join(", ")
    )
}

/// What the table has no room for.
fn remarks(tally: &Tally, scenario: &Scenario, on: &str) -> String {
    let name = &tally.subject;
    let mut text = String::new();
    for (why, (runs, seeds)) in &tally.not_replayable {
        text += &format!("{name}: {runs} not replayable to their end: {why}; seeds {seeds:?}");
        text += if *runs > seeds.len() as u64 {
            " …\n"
        } else {
            "\n"
        };
    }
    for (seed, report) in &tally.differences {
        let scenario = scenario_arguments(scenario);
        text += &format!(
            "✗ {name}, seed {seed}: {report}\n  again: cargo run --release -p verify -- replay \
             {seed} --subject {name}{scenario} --to-end --on {on}\n"
        );
    }
    let more = tally.differing - tally.differences.len() as u64;
    if more > 0 {
        text += &format!("  and {more} more runs of {name} that differ\n");
    }
    text
}
