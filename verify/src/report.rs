//! What an audit found, as data; and one exporter a file to show it.
//!
//! A [`Report`] holds everything that a third party needs to judge the verdicts
//! and to run them again: seeds, digests, script digests, the server's version,
//! latencies with their sample counts, counterexamples, and commands. Exporters
//! only lay it out: none of them decides anything.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::faults::Tally;

pub mod json;
pub mod junit;
pub mod markdown;
pub mod terminal;

/// Version of the JSON layout. Raised whenever a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// What the evidence says of one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The evidence shows it.
    Pass,
    /// A gate known to be wrong was shown to be wrong, as it must be.
    Convicted,
    /// This kind of evidence cannot show it, either way.
    NotVerified,
    /// It should have been shown, but too little happened to say.
    Inconclusive,
    /// The evidence contradicts it.
    Fail,
}

impl Verdict {
    /// The word that people read.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Convicted => "CONVICTED",
            Self::NotVerified => "NOT VERIFIED",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Fail => "FAIL",
        }
    }
}

/// One verdict on one requirement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The requirement, `R3.2`.
    pub requirement: String,
    /// What of it was looked at: a scenario's name, a claim, a property.
    pub scope: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether it rests on percentiles with fewer than ten samples beyond them.
    pub indicative: bool,
    /// What was found, in one sentence.
    pub statement: String,
    /// What it rests on, a line each.
    pub evidence: Vec<String>,
    /// The verdict that an audited report gave itself, if it did.
    pub reported: Option<String>,
}

impl Finding {
    /// A finding without further evidence lines.
    pub fn new(
        requirement: &str,
        scope: impl Into<String>,
        verdict: Verdict,
        statement: impl Into<String>,
    ) -> Self {
        Self {
            requirement: requirement.to_owned(),
            scope: scope.into(),
            verdict,
            indicative: false,
            statement: statement.into(),
            evidence: Vec::new(),
            reported: None,
        }
    }

    /// The report's own verdict, where this one differs from it.
    #[must_use]
    pub fn disputed(&self) -> Option<&str> {
        self.reported
            .as_deref()
            .filter(|word| *word != self.verdict.word())
    }

    /// The same with one more line of evidence.
    #[must_use]
    pub fn because(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }
}

/// `R1.10` after `R1.9`.
fn in_order(requirement: &str) -> Vec<u32> {
    let numbers = requirement.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|digits| digits.parse().ok()).collect()
}

/// Where latencies come from, which decides what they can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Measured on a real server, by this run.
    Measured,
    /// Output of the simulator's model of a network and a server.
    Model,
    /// Taken from somebody's report.
    Reported,
}

/// A latency table, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Where it comes from.
    pub origin: Origin,
    /// What was timed.
    pub what: String,
    /// How many samples all figures rest on.
    pub samples: u64,
    /// Arithmetic mean.
    pub mean_ms: Option<f64>,
    /// Median.
    pub p50_ms: Option<f64>,
    /// 95th percentile.
    pub p95_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// Largest sample.
    pub max_ms: Option<f64>,
}

impl Latency {
    /// The table of these samples, in milliseconds. Percentiles by nearest rank.
    #[must_use]
    pub fn of(origin: Origin, what: impl Into<String>, mut samples_ms: Vec<f64>) -> Self {
        samples_ms.sort_by(f64::total_cmp);
        let n = samples_ms.len();
        let rank = |percent: usize| {
            let nth = (n * percent).div_ceil(100);
            samples_ms.get(nth.max(1) - 1).copied()
        };
        let mean = samples_ms.iter().sum::<f64>() / n as f64;
        Self {
            origin,
            what: what.into(),
            samples: n as u64,
            mean_ms: (n > 0).then_some(mean),
            p50_ms: rank(50),
            p95_ms: rank(95),
            p99_ms: rank(99),
            max_ms: samples_ms.last().copied(),
        }
    }

    /// Whether the percentile has fewer than ten samples beyond it.
    #[must_use]
    pub fn is_indicative(&self, percent: u64) -> bool {
        self.samples.saturating_mul(100_u64.saturating_sub(percent)) / 100 < 10
    }
}

/// One load scenario, as it ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// Its name, `over-50`.
    pub name: String,
    /// Users that joined.
    pub users: u64,
    /// Active and queued, as expected.
    pub expected: (u64, u64),
    /// Active and queued, as found.
    pub found: Option<(u64, u64)>,
    /// The most that were active at any moment.
    pub active_max: Option<u64>,
    /// The trace digest that a repetition must give, where there is one.
    pub digest: Option<String>,
    /// Latencies, if any were taken.
    pub latency: Option<Latency>,
}

/// One subject, searched over many schedules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Search {
    /// The subject.
    pub subject: String,
    /// First seed and the one after the last.
    pub seeds: (u64, u64),
    /// Steps executed in all.
    pub steps: u64,
    /// Faults that fired, by kind.
    pub faults: BTreeMap<String, u64>,
    /// In which runs they could fire, did, and changed something.
    pub evidence: Tally,
    /// How often each property's premise was met.
    pub premises: BTreeMap<String, u64>,
    /// Digest over all the runs' digests.
    pub digest: String,
}

/// A schedule that breaks a property.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counterexample {
    /// The subject.
    pub subject: String,
    /// The property that broke, `R1.1`.
    pub property: String,
    /// In words.
    pub what: String,
    /// The seed that gives it, if a seed does.
    pub seed: Option<u64>,
    /// The step at which it broke, counted from 1.
    pub step: u64,
    /// The state before that step.
    pub before: String,
    /// The state after that step.
    pub after: String,
    /// The picture: one line a step, one column a client.
    pub timeline: Vec<String>,
    /// The trace digest that a replay must give, where there is a trace.
    pub digest: Option<String>,
    /// The command that repeats it.
    pub repeat: String,
}

/// A wrong gate beside the one under audit: it must be convicted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Control {
    /// The subject.
    pub subject: String,
    /// What is wrong with it.
    pub defect: String,
    /// Convicted, or not.
    pub verdict: Verdict,
    /// What convicted it, or why it was not convicted.
    pub statement: String,
    /// One counterexample a property it must break.
    pub counterexamples: Vec<Counterexample>,
}

/// A script under audit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Script {
    /// Its name, `acquire`.
    pub name: String,
    /// Its SHA-1, as Redis counts it.
    pub sha1: String,
}

/// How it ended, with the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Everything that this target can show was shown. Exit code 0.
    Holds,
    /// Something was contradicted. Exit code 1.
    Violated,
    /// Nothing was contradicted, but something was not shown. Exit code 4.
    Inconclusive,
}

/// An audit's result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Version of this layout.
    pub schema: u32,
    /// Version of the auditor.
    pub verify: String,
    /// What was audited, in words.
    pub target: String,
    /// The gate under audit, unless a past report is.
    pub subject: Option<String>,
    /// The server and its version, if a real one was used.
    pub server: Option<String>,
    /// The scripts under audit.
    pub scripts: Vec<Script>,
    /// A verdict each.
    pub findings: Vec<Finding>,
    /// The load scenarios.
    pub scenarios: Vec<Scenario>,
    /// What was searched.
    pub searches: Vec<Search>,
    /// The negative controls.
    pub controls: Vec<Control>,
    /// Counterexamples against the gate under audit.
    pub counterexamples: Vec<Counterexample>,
    /// How the verdicts are to be read.
    pub notes: Vec<String>,
    /// How it ended.
    pub conclusion: Conclusion,
    /// The sentence that says so.
    pub summary: String,
    /// The command that repeats the audit.
    pub repeat: String,
}

impl Report {
    /// An empty report on a target; to be filled, then [concluded](Self::conclude).
    #[must_use]
    pub fn new(target: impl Into<String>, repeat: impl Into<String>) -> Self {
        Self {
            schema: SCHEMA,
            verify: env!("CARGO_PKG_VERSION").to_owned(),
            target: target.into(),
            subject: None,
            server: None,
            scripts: Vec::new(),
            findings: Vec::new(),
            scenarios: Vec::new(),
            searches: Vec::new(),
            controls: Vec::new(),
            counterexamples: Vec::new(),
            notes: Vec::new(),
            conclusion: Conclusion::Inconclusive,
            summary: String::new(),
            repeat: repeat.into(),
        }
    }

    /// Draws the conclusion from the findings and the controls.
    ///
    /// A `NOT VERIFIED` counts against a past report, which claims what it does
    /// not show (`strict`), and not against a run, which states the limits of
    /// its target.
    #[must_use]
    pub fn conclude(mut self, strict: bool) -> Self {
        self.findings.sort_by_key(|f| in_order(&f.requirement));
        let count = |verdict| {
            let in_findings = self.findings.iter().filter(|f| f.verdict == verdict);
            in_findings.count()
        };
        let (failed, unknown) = (count(Verdict::Fail), count(Verdict::Inconclusive));
        let (passed, unverified) = (count(Verdict::Pass), count(Verdict::NotVerified));
        let acquitted: Vec<&str> = self
            .controls
            .iter()
            .filter(|control| control.verdict != Verdict::Convicted)
            .map(|control| control.subject.as_str())
            .collect();
        let open = if strict {
            unknown + unverified
        } else {
            unknown
        };
        self.conclusion = if failed > 0 {
            Conclusion::Violated
        } else if open > 0 || passed == 0 || !acquitted.is_empty() {
            Conclusion::Inconclusive
        } else {
            Conclusion::Holds
        };
        let word = match self.conclusion {
            Conclusion::Holds => "HOLDS",
            Conclusion::Violated => "VIOLATED",
            Conclusion::Inconclusive => "INCONCLUSIVE",
        };
        self.summary = format!(
            "{word}: {passed} passed, {failed} failed, {unverified} not verified, {unknown} inconclusive"
        );
        if !self.controls.is_empty() {
            let convicted = self.controls.len() - acquitted.len();
            self.summary += &format!(
                "; {convicted} of {} wrong gates convicted",
                self.controls.len()
            );
        }
        if !acquitted.is_empty() {
            self.summary += &format!(
                "; the alarm was not seen to work: {} not convicted",
                acquitted.join(", ")
            );
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Latency, Origin};

    #[test]
    fn percentiles_are_samples_and_know_their_weakness() {
        let table = Latency::of(
            Origin::Measured,
            "test",
            (1..=200).rev().map(f64::from).collect(),
        );
        assert_eq!(table.mean_ms, Some(100.5));
        assert_eq!((table.p50_ms, table.p95_ms), (Some(100.0), Some(190.0)));
        assert_eq!((table.p99_ms, table.max_ms), (Some(198.0), Some(200.0)));
        assert!(!table.is_indicative(95), "ten samples lie beyond");
        assert!(table.is_indicative(99), "two samples lie beyond");
        let many = Latency {
            samples: u64::MAX,
            ..table
        };
        assert!(!many.is_indicative(95), "a sample count comes from a file");
        let none = Latency::of(Origin::Measured, "test", Vec::new());
        assert_eq!((none.mean_ms, none.p50_ms, none.max_ms), (None, None, None));
        let one = Latency::of(Origin::Measured, "test", vec![3.0]);
        assert_eq!((one.p50_ms, one.p99_ms), (Some(3.0), Some(3.0)));
    }
}
