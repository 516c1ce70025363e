//! The audit on the simulator: nothing to install, everything repeatable.
//!
//! PER-002's scenarios and the half hour of idleness run in simulated time;
//! swarms of faults search for what breaks; every wrong gate must be found out
//! by the same means. Latencies here are a model's output, and never verify
//! R3.5.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{IDLE_MS, LIMIT_MS, QUERIES, SESSIONS};
use crate::faults::Tally;
use crate::find;
use crate::property::{self, Meaning};
use crate::report::{
    self, Control, Counterexample, Finding, Latency, Origin, Report, Search, Verdict,
};
use crate::run::{self, Outcome, Run, Trace};
use crate::scenario::Scenario;
use crate::subject::variant::Variant;
use crate::subject::{self, Kind, Subject};
use crate::timeline::{self, Style};

/// Seeds in which a wrong gate must be found out.
const CONTROL_SEEDS: Range<u64> = 0..400;

/// Runs of the swarms that are run again without each of their faults.
const SAMPLE: usize = 12;

/// How the audit is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gate under audit.
    pub subject: Subject,
    /// Seeds of the fault swarms.
    pub seeds: Range<u64>,
    /// The command that repeats this audit.
    pub again: String,
}

/// Audits a gate in the simulator. `progress` hears what is being done.
#[must_use]
pub fn audit(options: &Options, mut progress: impl FnMut(&str)) -> Report {
    let mut report = Report::new("a gate on the simulator", options.again.clone());
    report.subject = Some(options.subject.name.to_owned());
    if options.subject.kind == Kind::Slots(Variant::NONE) {
        report.scripts = super::scripts();
    }
    for scenario in Scenario::per_002() {
        progress(&format!("scenario {}", scenario.name));
        per_002(&options.subject, &scenario, &mut report);
    }
    progress("half an hour of idleness");
    idle(&options.subject, &mut report);
    progress(&format!(
        "{} swarms of faults",
        options.seeds.end - options.seeds.start
    ));
    swarms(options, &mut report);
    for wrong in subject::ALL.iter().filter(|s| !s.convicted_by.is_empty()) {
        progress(&format!("negative control {}", wrong.name));
        report.controls.push(convict(wrong));
    }
    report.notes = vec![
        "(s) is what the store has granted, (b) what holders believe by their own clocks, (e) effects \
         at a resource that checks fencing numbers."
            .into(),
        "Latencies are a model's output: they show no system's speed and verify nothing of R3.5.".into(),
        "A search shows that it found nothing, not that there is nothing; its size is stated.".into(),
    ];
    report.conclude(false)
}

fn per_002(subject: &Subject, scenario: &Scenario, report: &mut Report) {
    let engine = sluice_sim::redis::Engine::new();
    let outcome = Run::new(*subject, scenario.clone(), 0).go(&engine);
    let name = &scenario.name;
    let repeat = format!(
        "Again: cargo run --release -p verify -- replay 0 --subject {} --scenario {name} --to-end",
        subject.name
    );
    let cap = u64::from(SESSIONS);
    let finding = |requirement, holds, statement: String| {
        let verdict = match holds {
            true if outcome.is_stuck() => Verdict::Inconclusive,
            true => Verdict::Pass,
            false => Verdict::Fail,
        };
        Finding::new(requirement, name, verdict, statement).because(repeat.clone())
    };
    report.findings.push(finding(
        "R3.2",
        outcome.sessions_max <= cap,
        format!(
            "At most {} sessions granted (s), cap {cap}.",
            outcome.sessions_max
        ),
    ));
    report.findings.push(finding(
        "R3.1",
        outcome.queries_max <= u64::from(QUERIES),
        format!(
            "At most {} queries at work, cap {QUERIES}, over {} processes.",
            outcome.queries_max, scenario.processes
        ),
    ));
    let active = u64::from(scenario.users).min(cap);
    let burst = (active, u64::from(scenario.users) - active);
    let counts = |(active, queued): (u64, u64)| format!("{active}/{queued}");
    let (asked, answered) = outcome.requests;
    let as_expected = outcome.measured.is_none_or(|measured| measured == burst);
    let measured = outcome.measured.map_or_else(String::new, |measured| {
        format!(
            "{} active/queued, expected {}; ",
            counts(measured),
            counts(burst)
        )
    });
    report.findings.push(finding(
        "R3.3",
        as_expected && outcome.end == (0, 0) && outcome.is_clean() && asked == answered,
        format!(
            "{measured}{} after the drain; {answered} of {asked} requests answered; {} properties broke.",
            counts(outcome.end),
            outcome.violations().count()
        ),
    ));
    let table = outcome.latency.as_ref().map(latency);
    let model = table.as_ref().map_or_else(String::new, |table| {
        let ms = table.p95_ms.unwrap_or_default();
        format!(" (the model: P95 {ms:.2} ms of {} samples)", table.samples)
    });
    report.findings.push(Finding::new(
        "R3.5",
        name,
        Verdict::NotVerified,
        format!("At most {LIMIT_MS} ms needs a real server{model}: audit --redis."),
    ));
    report.scenarios.push(report::Scenario {
        name: name.clone(),
        users: scenario.users.into(),
        expected: if outcome.measured.is_some() {
            burst
        } else {
            (0, 0)
        },
        found: Some(outcome.measured.unwrap_or(outcome.end)),
        active_max: Some(outcome.sessions_max),
        digest: Some(hex(outcome.digest)),
        latency: table,
    });
}

fn latency(table: &run::Latency) -> Latency {
    let ms = |us: u64| Some(us as f64 / 1e3);
    Latency {
        origin: Origin::Model,
        what: "requests to the gates".to_owned(),
        samples: table.count,
        mean_ms: Some(table.mean_us / 1e3),
        p50_ms: ms(table.p50_us),
        p95_ms: ms(table.p95_us),
        p99_ms: ms(table.p99_us),
        max_ms: ms(table.max_us),
    }
}

/// R3.4, over the whole half hour.
fn idle(subject: &Subject, report: &mut Report) {
    let engine = sluice_sim::redis::Engine::new();
    let outcome = Run::new(*subject, Scenario::idle(), 0).go(&engine);
    let scope = format!("idle for {} min, heartbeats only", IDLE_MS / 60_000);
    let mut judged = outcome.findings.iter().filter(|f| f.code.0 == "R3.4");
    let finding = match judged.next() {
        Some(found) => from_property(found, found.premises, 0..1),
        None => Finding::new("R3.4", "", Verdict::Inconclusive, "No property judges it."),
    };
    report
        .findings
        .push(Finding { scope, ..finding }.because(format!(
        "Again: cargo run --release -p verify -- replay 0 --subject {} --scenario idle --to-end",
        subject.name
    )));
}

/// Faults of all kinds, from many seeds, every property at every step.
fn swarms(options: &Options, report: &mut Report) {
    let scenario = Scenario::swarm();
    let outcomes = run::many(
        &options.subject,
        &scenario,
        options.seeds.clone(),
        |_, _| {},
    );
    let mut search = Search {
        subject: format!("{} in {}", options.subject.name, scenario.name),
        seeds: (options.seeds.start, options.seeds.end),
        steps: outcomes.iter().map(|outcome| outcome.steps).sum(),
        faults: BTreeMap::new(),
        evidence: Tally::default(),
        premises: BTreeMap::new(),
        digest: hex(together(&outcomes)),
    };
    for fired in outcomes.iter().flat_map(|outcome| &outcome.faults) {
        *search.faults.entry(fired.kind.to_owned()).or_default() += fired.times;
    }
    outcomes.iter().for_each(|run| search.evidence.add(run));
    let engine = sluice_sim::redis::Engine::new();
    for seed in options.seeds.clone().take(SAMPLE) {
        let run = Run::new(options.subject, scenario.clone(), seed);
        search.evidence.compare(&run, &engine);
    }
    let properties = outcomes.first().map_or(0, |outcome| outcome.findings.len());
    for n in 0..properties {
        let all = || outcomes.iter().map(|o| (o, &o.findings[n]));
        let premises = all().map(|(_, f)| f.premises).sum();
        // A violation speaks for all runs; so does a run that was stopped before
        // its end could be judged; else one in which it held.
        let rank = |(outcome, f): &(&Outcome, &property::Finding)| match f.verdict {
            property::Verdict::Violated(_) => 0,
            property::Verdict::Inconclusive(_) if outcome.is_stuck() => 1,
            property::Verdict::Holds => 2,
            property::Verdict::Inconclusive(_) => 3,
        };
        let Some((_, worst)) = all().min_by_key(rank) else {
            continue;
        };
        let finding = from_property(worst, premises, options.seeds.clone());
        *search.premises.entry(worst.name()).or_default() += premises;
        if finding.requirement == "R3.4" && finding.verdict == Verdict::Inconclusive {
            continue; // The idle scenario judges it.
        }
        report.findings.push(finding);
    }
    report.searches.push(search);
    let broken = outcomes.iter().position(|outcome| !outcome.is_clean());
    if let Some(at) = broken {
        let seed = options.seeds.start + at as u64;
        let seeds = seed..seed + 1;
        if let Some(found) = find::first(&options.subject, &scenario, seeds, None) {
            let example = example(&options.subject, &scenario, found.seed, &found.trace, None);
            report.counterexamples.extend(example);
        }
    }
}

/// What a property found, over so many runs.
fn from_property(found: &property::Finding, premises: u64, seeds: Range<u64>) -> Finding {
    let (verdict, statement) = match &found.verdict {
        property::Verdict::Holds => (
            Verdict::Pass,
            format!(
                "Held all {premises} times it was put to the test, in seeds {}..{}.",
                seeds.start, seeds.end
            ),
        ),
        property::Verdict::Violated(violation) => (Verdict::Fail, violation.words.clone()),
        property::Verdict::Inconclusive(why) => (Verdict::Inconclusive, format!("{why}.")),
    };
    let scope = match found.meaning {
        Some(meaning) => format!("{} {}", found.title, short(meaning)),
        None => found.title.to_owned(),
    };
    Finding::new(found.code.0, scope, verdict, statement)
}

const fn short(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Store => "(s)",
        Meaning::Belief => "(b)",
        Meaning::Effects => "(e)",
    }
}

/// A wrong gate must be found to break everything that it is said to break.
fn convict(wrong: &Subject) -> Control {
    let scenarios = [Scenario::race(2, 4), Scenario::swarm()];
    let mut counterexamples = Vec::new();
    let mut missing = Vec::new();
    for code in wrong.convicted_by {
        let found = scenarios.iter().find_map(|scenario| {
            let found = find::first(wrong, scenario, CONTROL_SEEDS, Some(code))?;
            example(wrong, scenario, found.seed, &found.trace, Some(code))
        });
        match found {
            Some(example) => counterexamples.push(example),
            None => missing.push(*code),
        }
    }
    let (verdict, statement) = if missing.is_empty() {
        (
            Verdict::Convicted,
            format!("It breaks {}.", wrong.convicted_by.join(", ")),
        )
    } else {
        let seeds = CONTROL_SEEDS;
        let missing = missing.join(", ");
        (
            Verdict::Inconclusive,
            format!(
                "Seeds {}..{} did not show that it breaks {missing}.",
                seeds.start, seeds.end
            ),
        )
    };
    Control {
        subject: wrong.name.to_owned(),
        defect: wrong.about.to_owned(),
        verdict,
        statement,
        counterexamples,
    }
}

/// The first violation of a run (of one property, or of any) as a picture.
#[must_use]
pub fn example(
    subject: &Subject,
    scenario: &Scenario,
    seed: u64,
    trace: &Trace,
    code: Option<&str>,
) -> Option<Counterexample> {
    let broken = trace
        .outcome
        .violations()
        .filter(|f| code.is_none_or(|code| f.code.0 == code));
    let (found, violation) = broken
        .filter_map(|found| match &found.verdict {
            property::Verdict::Violated(violation) => Some((found, violation)),
            property::Verdict::Holds | property::Verdict::Inconclusive(_) => None,
        })
        .min_by_key(|(_, violation)| violation.step)?;
    let mut steps = trace.timeline();
    steps.retain(|step| step.step <= violation.step);
    let style = Style {
        width: 78,
        lanes: 4,
        lines: 14,
        colour: false,
    };
    let picture = timeline::render(&steps, &trace.names, None, style);
    let whole = if code.is_some() { " --to-end" } else { "" };
    let what = match found.meaning {
        Some(meaning) => format!("{} {}", violation.words, short(meaning)),
        None => violation.words.clone(),
    };
    Some(Counterexample {
        subject: subject.name.to_owned(),
        property: found.code.to_string(),
        what,
        seed: Some(seed),
        step: violation.step,
        before: violation.before.clone(),
        after: violation.after.clone(),
        timeline: picture.lines().map(str::to_owned).collect(),
        digest: Some(hex(trace.outcome.digest)),
        repeat: format!(
            "cargo run --release -p verify -- replay {seed} --subject {}{}{whole}",
            subject.name,
            super::scenario_arguments(scenario)
        ),
    })
}

fn together(outcomes: &[Outcome]) -> u64 {
    // FNV-1a over the digests, in the order of the seeds.
    outcomes
        .iter()
        .flat_map(|outcome| outcome.digest.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

/// A digest as people compare it.
#[must_use]
pub fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}
