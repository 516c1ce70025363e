//! `verify swarm`: faults of all kinds, until so many joins were accepted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::json;
use sluice_sim::redis::Engine;

use super::progress::Progress;
use super::{Exit, Failure, Format, SwarmArgs};
use crate::audit::scenario_arguments;
use crate::faults::Tally;
use crate::property::Verdict;
use crate::run::{Outcome, Run};
use crate::{pool, subject};

/// Seeds between two looks at the count. The same on every machine, so that the
/// same joins are asked for in the same runs.
const BLOCK: u64 = 128;

/// One run in so many is run again without each of the faults that fired in it.
const SAMPLED: u64 = 256;

/// Seeds named of each property that broke: enough to see whether they have one
/// cause, few enough for a screen.
const NAMED: usize = 5;

#[expect(clippy::disallowed_methods, reason = "says how long it took")]
pub(super) fn run(args: &SwarmArgs) -> Result<Exit, Failure> {
    let subject = subject::by_name(&args.gate.subject).map_err(Failure::usage)?;
    let scenario = args.gate.scenario_or_swarm(&subject)?;
    let strategy = args
        .gate
        .by_seed()?
        .fitted(&subject, &scenario, &Engine::new());
    let run = Run::new(subject, scenario, 0).by(strategy);
    let start = Instant::now();
    let progress = Progress::start();
    let mut total = Total::default();
    let joins = AtomicU64::new(0);
    let mut from = args.from;
    while total.joins < args.joins {
        let to = from.saturating_add(BLOCK);
        let outcomes = pool::each(from..to, pool::threads(), |engine, seed| {
            let run = Run {
                seed,
                ..run.clone()
            };
            let outcome = run.go(engine);
            let mut sample = Tally::default();
            if seed.is_multiple_of(SAMPLED) {
                sample.compare(&run, engine);
            }
            let so_far = joins.fetch_add(outcome.joins, Ordering::Relaxed) + outcome.joins;
            progress.say(&format!("{so_far} of {} joins, seed {seed}", args.joins));
            (outcome, sample)
        });
        let before = total.joins;
        for (seed, (outcome, sample)) in (from..to).zip(&outcomes) {
            total.add(seed, outcome);
            total.tally.join(sample);
        }
        from = to;
        if total.joins == before || to == u64::MAX {
            break; // nobody ever joins: no number of runs is enough
        }
    }
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    let shown = Shown {
        args,
        run: &run,
        total: &total,
        seeds: (args.from, from),
        seconds,
    };
    let text = match args.output.format() {
        Format::Json => shown.json(),
        Format::Terminal | Format::Markdown | Format::Junit => shown.text(),
    };
    args.output.text(&(text + "\n"))?;
    Ok(if !total.broken.is_empty() {
        Exit::Violated
    } else if total.stuck > 0 || total.joins < args.joins || total.is_idle() {
        Exit::Inconclusive
    } else {
        Exit::Holds
    })
}

/// All runs together.
#[derive(Default)]
struct Total {
    joins: u64,
    runs: u64,
    steps: u64,
    stuck: u64,
    tally: Tally,
    premises: BTreeMap<String, u64>,
    broken: BTreeMap<String, Broken>,
}

impl Total {
    /// Faults were asked for, and not one ever fired.
    fn is_idle(&self) -> bool {
        let (runs, untouched) = self.tally.untouched;
        runs > 0 && runs == untouched
    }

    /// Properties of which nothing was seen.
    fn unmet(&self) -> Vec<&str> {
        let unmet = self.premises.iter().filter(|(_, n)| **n == 0);
        unmet.map(|(name, _)| &**name).collect()
    }
}

/// Where one property broke.
#[derive(Default)]
struct Broken {
    runs: u64,
    /// The first [`NAMED`] of them.
    seeds: Vec<u64>,
}

impl Total {
    fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.joins += outcome.joins;
        self.runs += 1;
        self.steps += outcome.steps;
        self.stuck += u64::from(outcome.is_stuck());
        self.tally.add(outcome);
        for finding in &outcome.findings {
            *self.premises.entry(finding.name()).or_default() += finding.premises;
            if matches!(finding.verdict, Verdict::Violated(_)) {
                let broken = self.broken.entry(finding.name()).or_default();
                broken.runs += 1;
                if broken.seeds.len() < NAMED {
                    broken.seeds.push(seed);
                }
            }
        }
    }
}

struct Shown<'a> {
    args: &'a SwarmArgs,
    run: &'a Run,
    total: &'a Total,
    seeds: (u64, u64),
    seconds: f64,
}

impl Shown<'_> {
    fn text(&self) -> String {
        let Total {
            joins,
            runs,
            steps,
            stuck,
            ..
        } = self.total;
        let (subject, scenario) = (self.run.subject.name, &self.run.scenario.name);
        let mut lines = vec![
            format!(
                "{subject} in {scenario}, {}: {joins} joins were given a place, in {runs} runs \
                 (seeds {}..{}) and {steps} steps",
                self.run.strategy, self.seeds.0, self.seeds.1
            ),
            format!(
                "{:.1} s on {} cores, {:.0} joins a second",
                self.seconds,
                pool::threads(),
                *joins as f64 / self.seconds.max(1e-9)
            ),
        ];
        lines.extend(self.total.tally.words());
        let premises = self.total.premises.iter().filter(|(_, n)| **n > 0);
        let premises = premises.map(|(name, n)| format!("{name} {n}"));
        lines.push(format!(
            "Premises met: {}.",
            premises.collect::<Vec<_>>().join(", ")
        ));
        let unmet = self.total.unmet();
        if !unmet.is_empty() {
            lines.push(format!(
                "Not tested, since their premises were never met: {}.",
                unmet.join(", ")
            ));
        }
        for (name, Broken { runs, seeds }) in &self.total.broken {
            let first: Vec<_> = seeds.iter().map(u64::to_string).collect();
            lines.push(format!(
                "✗ {name} broke in {runs} runs, first with the seeds {}; again: cargo run \
                 --release -p verify -- replay {} --subject {subject}{} --strategy {} --to-end",
                first.join(", "),
                first[0],
                scenario_arguments(&self.run.scenario),
                self.run.strategy
            ));
        }
        if *stuck > 0 {
            lines.push(format!("{stuck} runs made no progress and were stopped."));
        }
        lines.push(if !self.total.broken.is_empty() {
            "VIOLATED".to_owned()
        } else if *joins < self.args.joins {
            "INCONCLUSIVE  nobody joins in this workload".to_owned()
        } else if *stuck > 0 {
            "INCONCLUSIVE".to_owned()
        } else if self.total.is_idle() {
            "INCONCLUSIVE  no fault ever fired".to_owned()
        } else {
            "No violation. That shows that nothing was found, not that there is nothing.".to_owned()
        });
        lines.join("\n")
    }

    fn json(&self) -> String {
        let broken = self.total.broken.iter();
        let broken = broken
            .map(|(name, Broken { runs, seeds })| json!({"property": name, "runs": runs, "seeds": seeds}));
        json!({
            "subject": self.run.subject.name,
            "scenario": self.run.scenario.name,
            "strategy": self.run.strategy.to_string(),
            "seeds": [self.seeds.0, self.seeds.1],
            "joins": self.total.joins,
            "runs": self.total.runs,
            "steps": self.total.steps,
            "stuck": self.total.stuck,
            "seconds": self.seconds,
            "evidence": self.total.tally,
            "premises": self.total.premises,
            "broken": broken.collect::<Vec<_>>(),
        })
        .to_string()
    }
}
