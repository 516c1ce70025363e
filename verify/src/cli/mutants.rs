//! `verify mutants`: the kill matrix.

use std::time::Duration;

use serde_json::json;

use super::progress::Progress;
use super::{Exit, Failure, Format, MutantsArgs};
use crate::mutant::matrix::{self, Acquittal, Cell, Effort, Row};
use crate::mutant::{self, Mutant};
use crate::strategy::Tactic;
use crate::{pool, subject};

/// The gate itself is given more time than any one of its mutants; and so is the
/// gate that survives failover, which the mutants of B41 are made of.
const ACQUITTAL: u32 = 5;
const GATES: [&str; 2] = ["slots", "slots-guarded"];

pub(super) fn run(args: &MutantsArgs) -> Result<Exit, Failure> {
    let chosen: Vec<&Mutant> = match &args.only {
        None => mutant::all().collect(),
        Some(name) => vec![mutant::by_name(name).map_err(Failure::usage)?],
    };
    let tactics = tactics(&args.strategy)?;
    if args.output.format() == Format::Junit {
        return Err(Failure::usage(
            "the kill matrix has no JUnit layout; use terminal, json or markdown",
        ));
    }
    let effort = Effort {
        trials: args.seeds,
        budget: args.budget,
        time: args.seconds.map(Duration::from_secs),
    };
    let progress = Progress::start();
    let hunted = chosen.iter().zip(1..).map(|(mutant, n)| {
        let say = |strategy: &str| {
            let name = mutant.name();
            progress.say(&format!("{name} ({n} of {}) by {strategy}", chosen.len()));
        };
        let row = matrix::hunt(mutant, &tactics, effort, pool::threads(), say);
        progress.log(in_terminal(&row).trim_end());
        row
    });
    let mut rows: Vec<Row> = hunted.collect();
    if !args.no_shrink {
        progress.say("the least counterexamples");
        let time = args.shrink_seconds.map(Duration::from_secs);
        let least = pool::each(0..rows.len() as u64, pool::threads(), |engine, n| {
            let n = n as usize;
            matrix::least(chosen[n], &rows[n], &tactics, time, engine)
        });
        for (row, least) in rows.iter_mut().zip(least) {
            row.least = least;
        }
    }
    let mut gate = Vec::new();
    for (at, tactic) in tactics.iter().enumerate() {
        progress.say(&format!(
            "the gate itself, under the same effort ({tactic})"
        ));
        // As much as the dearest of its mutants was given before it died.
        let cells = rows.iter().map(|row| &row.cells[at]);
        let most = cells.map(|cell| cell.executions.1).max().unwrap_or(1);
        let spent = Effort {
            budget: most,
            time: effort.time.map(|time| time * ACQUITTAL),
            ..effort
        };
        for name in GATES {
            let subject = subject::by_name(name).map_err(Failure::usage)?;
            gate.push(matrix::acquit(&subject, *tactic, spent, pool::threads()));
        }
    }
    drop(progress);
    let result = Matrix { rows, gate };
    let text = match args.output.format() {
        Format::Json => result.json()?,
        Format::Markdown => result.markdown(args),
        Format::Terminal | Format::Junit => result.terminal(),
    };
    args.output.text(&text)?;
    let dead = result.rows.iter().all(Row::is_dead);
    Ok(if dead && result.gate.iter().all(|g| g.broken.is_empty()) {
        Exit::Holds
    } else {
        Exit::Violated
    })
}

/// Those that were named, each once, in the order in which they were.
fn tactics(names: &[String]) -> Result<Vec<Tactic>, Failure> {
    let mut tactics: Vec<Tactic> = Vec::new();
    for name in names {
        let named = match &**name {
            "all" => Tactic::ALL.to_vec(),
            name => {
                let usage = |error| Failure::usage(format!("{error}; or all, for each of them"));
                vec![name.parse().map_err(usage)?]
            }
        };
        for tactic in named {
            if !tactics.contains(&tactic) {
                tactics.push(tactic);
            }
        }
    }
    Ok(tactics)
}

/// All that is shown.
struct Matrix {
    rows: Vec<Row>,
    gate: Vec<Acquittal>,
}

impl Matrix {
    fn terminal(&self) -> String {
        let mut text: String = self.rows.iter().map(in_terminal).collect();
        text += "\nExecutions and seconds to the kill: median / 95th percentile.\n";
        for line in self.survivors() {
            text += &format!("{line}\n");
        }
        text + &self.verdict() + "\n"
    }

    fn json(&self) -> Result<String, Failure> {
        let value = json!({"rows": self.rows, "gate": self.gate});
        let text = serde_json::to_string_pretty(&value).map_err(Failure::environment)?;
        Ok(text + "\n")
    }

    fn markdown(&self, args: &MutantsArgs) -> String {
        let mut strategies: Vec<&str> = self.gate.iter().map(|g| &*g.strategy).collect();
        strategies.dedup(); // one for each gate
        let mut text = format!(
            "# Mutants\n\n\
             Gates that are wrong on purpose, and what each costs to find. Every one faces the runs \
             that acquit the gate itself: workload, configuration, faults and their weights are drawn \
             from the seed, and none has a scenario made for it. *Killed by* is the property that \
             must break; being caught by others only would not count. Hard ones (●) pass the five load \
             scenarios of PER-002 (`cargo test -p verify --test mutants`, on the simulator; eight of \
             them also on a real server, `cargo test -p verify --test real`; any by `cargo verify audit \
             --redis local --subject NAME`).\n\n\
             Over {} trials with seeds of their own, for each strategy: executions and seconds of one \
             core to the kill, median / 95th percentile; where not every trial killed within {} \
             executions, how many did.{} *Least* is the counterexample of the first kill, shrunken: \
             nothing can be left out of it{}. Written by\n\n\
             ```sh\n\
             cargo run --release -p verify -- mutants{} --format markdown --out verify/MUTANTS.md\n\
             ```\n\n\
             | class | mutant | what is wrong | hard | killed by |",
            args.seeds,
            args.budget,
            args.seconds.map_or(String::new(), |s| format!(
                " After {s} seconds no trial was begun any more: where there are fewer than {}, \
                 their number stands in brackets.",
                args.seeds
            )),
            args.shrink_seconds.map_or(String::new(), |s| format!(
                ", unless it says *not reached* (within {s} s)"
            )),
            args.words(),
        );
        for strategy in &strategies {
            text += &format!(" {strategy}: executions | seconds |");
        }
        text += " least |\n|---|---|---|:-:|---|";
        text += &"--:|--:|".repeat(strategies.len());
        text += "---|\n";
        for row in &self.rows {
            let hard = if row.hard { "●" } else { "" };
            text += &format!(
                "| {} | `{}` | {} | {hard} | {} |",
                row.class, row.mutant, row.about, row.property
            );
            for cell in &row.cells {
                text += &in_markdown(cell, args.seeds);
            }
            let least = row.least.as_ref().map(ToString::to_string);
            text += &format!(" {} |\n", least.unwrap_or_default());
        }
        text += &format!("\n{}\n", self.goal());
        for line in self.survivors() {
            text += &format!("\n- {line}");
        }
        text + "\n" + &self.verdict() + "\n"
    }

    /// How the medians stand against one second.
    fn goal(&self) -> String {
        let slow = self.rows.iter().filter_map(|row| match row.best() {
            None => Some(format!(
                "{} (no strategy in most of its trials)",
                row.mutant
            )),
            Some(best) => {
                let seconds = best.seconds.0;
                (seconds > 1.0).then(|| format!("{} ({seconds:.1} s)", row.mutant))
            }
        });
        let slow: Vec<String> = slow.collect();
        if slow.is_empty() {
            "With its best strategy, the median of every mutant is at most one second.".into()
        } else {
            format!(
                "With its best strategy, the median of every mutant is at most one second, but for {}.",
                slow.join(", ")
            )
        }
    }

    fn survivors(&self) -> Vec<String> {
        let alive = self.rows.iter().filter(|row| !row.is_dead());
        alive
            .flat_map(|row| row.cells.iter().map(|cell| survivor(row, cell)))
            .collect()
    }

    fn verdict(&self) -> String {
        let lines = self.gate.iter().map(|gate| match gate.broken.first() {
            None => format!(
                "The gate itself (`{}`) showed nothing in {} runs of the same pool ({}).",
                gate.subject, gate.runs, gate.strategy
            ),
            Some((seed, what)) => format!(
                "The gate itself (`{}`) broke in seed {seed} ({}; {} of {} runs): {what}.",
                gate.subject,
                gate.strategy,
                gate.broken.len(),
                gate.runs
            ),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn in_terminal(row: &Row) -> String {
    let hard = if row.hard { ", hard" } else { "" };
    let mut text = format!("{} {} ({}{hard})\n", row.class, row.mutant, row.property);
    for cell in &row.cells {
        let Cell {
            strategy,
            executions: (n50, n95),
            seconds: (s50, s95),
            killed: (killed, trials),
            ..
        } = cell;
        text += &format!(
            "     {strategy:<8} killed {killed} of {trials}, executions {n50} / {n95}, seconds {s50:.3} / {s95:.3}\n"
        );
    }
    if let Some(least) = &row.least {
        text += &format!("     least    {least}\n");
    }
    text
}

fn in_markdown(cell: &Cell, asked: u64) -> String {
    let Cell {
        executions: (n50, n95),
        seconds: (s50, s95),
        killed: (killed, trials),
        ..
    } = cell;
    let fewer = if *trials < asked {
        format!(" ({trials})")
    } else {
        String::new()
    };
    if cell.is_sure() {
        format!(" {n50} / {n95}{fewer} | {s50:.3} / {s95:.3} |")
    } else {
        format!(" {n50} / {n95}{fewer} | killed {killed} of {trials} |")
    }
}

fn survivor(row: &Row, cell: &Cell) -> String {
    let others: Vec<&str> = cell.others.iter().copied().collect();
    format!(
        "{} survived {} of {} trials by {}{}",
        row.mutant,
        cell.killed.1 - cell.killed.0,
        cell.killed.1,
        cell.strategy,
        if others.is_empty() {
            ", and in its first runs nothing else saw it".to_owned()
        } else {
            format!("; in its first runs only {} saw it", others.join(", "))
        }
    )
}
