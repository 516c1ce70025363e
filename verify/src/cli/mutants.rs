//! `verify mutants`: the kill matrix.

use serde_json::json;

use super::progress::Progress;
use super::{Exit, Failure, Format, MutantsArgs};
use crate::mutant::matrix::{self, Effort, Row};
use crate::mutant::{self, Mutant};
use crate::subject;

pub(super) fn run(args: &MutantsArgs) -> Result<Exit, Failure> {
    let chosen: Vec<&Mutant> = match &args.only {
        None => mutant::all().collect(),
        Some(name) => vec![mutant::by_name(name).map_err(Failure::usage)?],
    };
    let effort = Effort {
        trials: args.seeds,
        budget: args.budget,
    };
    let progress = Progress::start();
    let mut rows = Vec::new();
    for (n, mutant) in chosen.iter().enumerate() {
        progress.say(&format!(
            "{} ({} of {})",
            mutant.name(),
            n + 1,
            chosen.len()
        ));
        rows.push(matrix::hunt(mutant, effort));
    }
    progress.say("the gate itself, under the same effort");
    // As much as the dearest of its mutants was given before it died.
    let most = rows.iter().map(|row| row.executions.1).max().unwrap_or(1);
    let spent = Effort {
        budget: most,
        ..effort
    };
    let slots = subject::by_name("slots").map_err(Failure::usage)?;
    let broken = matrix::acquit(&slots, spent);
    drop(progress);
    let result = Matrix {
        rows,
        acquitted: spent.trials * spent.budget,
        broken,
    };
    let text = match args.output.format() {
        Format::Terminal => result.terminal(),
        Format::Json => result.json()?,
        Format::Markdown => result.markdown(effort),
        Format::Junit => {
            return Err(Failure::usage(
                "the kill matrix has no JUnit layout; use terminal, json or markdown",
            ));
        }
    };
    args.output.text(&text)?;
    let dead = result.rows.iter().all(Row::is_dead);
    Ok(if dead && result.broken.is_empty() {
        Exit::Holds
    } else {
        Exit::Violated
    })
}

/// All that is shown.
struct Matrix {
    rows: Vec<Row>,
    /// Runs in which the gate itself showed nothing, or `broken`.
    acquitted: u64,
    broken: Vec<(u64, String)>,
}

impl Matrix {
    fn terminal(&self) -> String {
        let mut text = format!(
            "{:<4} {:<31} {:<8} {:>11} {:>15} {:>7}\n",
            "", "mutant", "killed", "executions", "seconds", "trials"
        );
        for row in &self.rows {
            let Row {
                class,
                mutant,
                property,
                executions: (n50, n95),
                seconds: (s50, s95),
                killed: (killed, trials),
                ..
            } = row;
            text += &format!(
                "{class:<4} {mutant:<31} {property:<8} {n50:>5} {n95:>5} {s50:>7.3} {s95:>7.3} {:>7}\n",
                format!("{killed}/{trials}")
            );
        }
        text += "\nExecutions and seconds to the kill: median, 95th percentile.\n";
        for row in self.rows.iter().filter(|row| !row.is_dead()) {
            text += &format!("{}\n", survivor(row));
        }
        text + &self.verdict() + "\n"
    }

    fn json(&self) -> Result<String, Failure> {
        let value = json!({
            "rows": self.rows,
            "gate": {"runs": self.acquitted, "broken": self.broken},
        });
        let text = serde_json::to_string_pretty(&value).map_err(Failure::environment)?;
        Ok(text + "\n")
    }

    fn markdown(&self, effort: Effort) -> String {
        let mut text = format!(
            "# Mutants\n\n\
             Gates that are wrong on purpose, and what each costs to find. Every one faces the runs \
             that acquit the gate itself: workload, configuration, faults and their weights are drawn \
             from the seed, and none has a scenario made for it. *Killed by* is the property that \
             must break; being caught by others only would not count. Hard ones (●) pass the five load \
             scenarios of PER-002.\n\n\
             Over {} trials with seeds of their own: executions and seconds to the kill, median and \
             95th percentile. Written by\n\n\
             ```sh\n\
             cargo run --release -p verify -- mutants --format markdown --out verify/MUTANTS.md\n\
             ```\n\n\
             | class | mutant | what is wrong | hard | killed by | strategy | executions | seconds |\n\
             |---|---|---|:-:|---|---|--:|--:|\n",
            effort.trials
        );
        for row in &self.rows {
            let Row {
                class,
                mutant,
                about,
                property,
                strategy,
                executions: (n50, n95),
                seconds: (s50, s95),
                ..
            } = row;
            let hard = if row.hard { "●" } else { "" };
            text += &format!(
                "| {class} | `{mutant}` | {about} | {hard} | {property} | {strategy} | {n50} / {n95} | {s50:.3} / {s95:.3} |\n"
            );
        }
        text.push('\n');
        for row in self.rows.iter().filter(|row| !row.is_dead()) {
            text += &format!("- {}\n", survivor(row));
        }
        text + &self.verdict() + "\n"
    }

    fn verdict(&self) -> String {
        match self.broken.first() {
            None => format!(
                "The gate itself showed nothing in {} runs of the same pool.",
                self.acquitted
            ),
            Some((seed, what)) => format!("The gate itself broke in seed {seed}: {what}."),
        }
    }
}

fn survivor(row: &Row) -> String {
    let others: Vec<&str> = row.others.iter().copied().collect();
    format!(
        "{} survived {} of {} trials{}",
        row.mutant,
        row.killed.1 - row.killed.0,
        row.killed.1,
        if others.is_empty() {
            ", and nothing else saw it".to_owned()
        } else {
            format!("; only {} saw it there", others.join(", "))
        }
    )
}
