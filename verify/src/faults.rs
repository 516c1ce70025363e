//! What faults have really put to the test (R6.8).
//!
//! A fault that was configured and never fired shows nothing; one that fired and
//! made no difference shows little. So a [`Tally`] counts both: how often each
//! kind fired, in how many of the runs it was configured in, and in how many it
//! changed what became of the users.
//!
//! Whether it did is found by running again without it: the same decisions, but
//! each fault of that kind answered with *none*. What follows from it cannot be
//! answered from the log any more, and goes by the rules of [`Follow`]; so the
//! answer is not the only one that could be given, but always the same. What
//! became of a user is what its clients were told, in order: granted, denied,
//! ended how, left. Times and fencing numbers are left out.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use sluice_core::client::Event;
use sluice_sim::choice::{Chooser, Events, Kind, Label};
use sluice_sim::digest::Digest;
use sluice_sim::dist::Dist;
use sluice_sim::log::Decision;
use sluice_sim::redis::Engine;
use sluice_sim::strategy::{Follow, Role};
use sluice_sim::world::{ActorId, FaultKind, Happening};

use crate::property::Moment;
use crate::run::{Outcome, Run};

/// How often a kind of fault fired in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Fired {
    /// Its name.
    pub kind: &'static str,
    /// It could have.
    pub configured: bool,
    /// How often it did.
    pub times: u64,
}

/// A kind of fault over many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Its name.
    pub kind: String,
    /// Runs in which it could have fired.
    pub configured: u64,
    /// Runs in which it did.
    pub in_runs: u64,
    /// How often it fired in all of them.
    pub times: u64,
    /// Runs in which it fired that were run again without it.
    pub without: u64,
    /// Of these, those that ended otherwise for somebody.
    pub changed: u64,
}

/// All kinds over many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Runs in which some fault could have fired, and in which none did.
    pub untouched: (u64, u64),
    /// The kinds that were configured in any run, in the order of
    /// [`FaultKind::ALL`].
    pub faults: Vec<Fault>,
}

impl Tally {
    /// Takes in what fired in a run.
    pub fn add(&mut self, outcome: &Outcome) {
        let configured = || outcome.faults.iter().filter(|f| f.configured);
        if configured().next().is_none() {
            return;
        }
        self.untouched.0 += 1;
        self.untouched.1 += u64::from(configured().all(|f| f.times == 0));
        for fired in configured() {
            let fault = self.of(fired.kind);
            fault.configured += 1;
            fault.in_runs += u64::from(fired.times > 0);
            fault.times += fired.times;
        }
    }

    /// Runs this run again without each of the faults that fired in it. Nothing
    /// is taken in if its decisions cannot be followed to the same end.
    pub fn compare(&mut self, run: &Run, engine: &Engine) {
        let trace = run.trace(engine);
        let decisions = &trace.file.decisions;
        let (with, outcome) = fates(run, &mut Follow::new(decisions.clone()), engine);
        if outcome.digest != trace.outcome.digest {
            return;
        }
        for fired in outcome.faults.iter().filter(|f| f.times > 0) {
            let kind = FaultKind::ALL.into_iter().find(|k| k.name() == fired.kind);
            let kind = kind.expect("outcomes name the kinds that there are");
            let (without, _) = fates(run, &mut Without::new(kind, decisions), engine);
            let fault = self.of(fired.kind);
            fault.without += 1;
            fault.changed += u64::from(without != with);
        }
    }

    /// Takes in what another has counted.
    pub fn join(&mut self, other: &Self) {
        self.untouched.0 += other.untouched.0;
        self.untouched.1 += other.untouched.1;
        for theirs in &other.faults {
            let ours = self.of(&theirs.kind);
            ours.configured += theirs.configured;
            ours.in_runs += theirs.in_runs;
            ours.times += theirs.times;
            ours.without += theirs.without;
            ours.changed += theirs.changed;
        }
    }

    /// Kinds that were configured and never fired.
    pub fn untested(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|f| f.times == 0)
    }

    /// In words, a sentence each.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let list = |words: Vec<String>| words.join(", ");
        let fired = self.faults.iter().filter(|f| f.times > 0);
        let mut sentences = Vec::new();
        let counts = |f: &Fault| {
            format!(
                "{} {} times in {} of {} runs",
                f.kind, f.times, f.in_runs, f.configured
            )
        };
        let fired: Vec<String> = fired.map(counts).collect();
        if !fired.is_empty() {
            sentences.push(format!("Faults fired: {}.", list(fired)));
        }
        let compared = self.faults.iter().filter(|f| f.without > 0);
        let counts = |f: &Fault| format!("{} in {} of {}", f.kind, f.changed, f.without);
        let compared: Vec<String> = compared.map(counts).collect();
        if !compared.is_empty() {
            sentences.push(format!(
                "They changed what became of somebody, in a sample of runs again without them: {}.",
                list(compared)
            ));
        }
        let never = |f: &Fault| format!("{} (configured in {} runs)", f.kind, f.configured);
        let never: Vec<String> = self.untested().map(never).collect();
        if !never.is_empty() {
            sentences.push(format!(
                "Not tested, since they never fired: {}.",
                list(never)
            ));
        }
        let (runs, untouched) = self.untouched;
        if untouched > 0 {
            sentences.push(format!(
                "Not tested under faults: {untouched} of {runs} runs, in which none fired."
            ));
        }
        sentences
    }

    fn of(&mut self, kind: &str) -> &mut Fault {
        let order = |name: &str| FaultKind::ALL.iter().position(|k| k.name() == name);
        let at = match self
            .faults
            .binary_search_by_key(&order(kind), |f| order(&f.kind))
        {
            Ok(at) => at,
            Err(at) => {
                let fault = Fault {
                    kind: kind.to_owned(),
                    ..Fault::default()
                };
                self.faults.insert(at, fault);
                at
            }
        };
        &mut self.faults[at]
    }
}

/// What became of everybody, as a digest, and the run.
fn fates(run: &Run, chooser: &mut dyn Chooser, engine: &Engine) -> (u64, Outcome) {
    let mut fates: BTreeMap<ActorId, Vec<String>> = BTreeMap::new();
    let outcome = run.watch_by(chooser, engine, |_, moment: &Moment<'_>| {
        for happening in moment.happenings {
            if let Happening::Told { who, event } = happening {
                fates.entry(*who).or_default().extend(fate(event));
            }
        }
    });
    (Digest::of(&fates), outcome)
}

/// What counts of what a client is told.
fn fate(event: &Event) -> Option<String> {
    Some(match event {
        Event::Granted { .. } => "granted".to_owned(),
        Event::Rejected(why) => format!("rejected {why:?}"),
        Event::Ended(how) => format!("ended {how:?}"),
        Event::Released => "released".to_owned(),
        Event::Cancelled => "cancelled".to_owned(),
        Event::Fatal(_) => "gave up".to_owned(),
        Event::Waiting { .. } | Event::Trouble(_) => return None,
    })
}

/// Follows a log in which one kind of fault strikes nothing.
struct Without {
    log: Follow,
    kind: Kind,
    /// Of its faults in the log, which had an effect and so were counted.
    counted: VecDeque<bool>,
    /// Faults left out that were counted: labels are numbered by what has fired.
    left_out: u32,
}

impl Without {
    fn new(kind: FaultKind, decisions: &[Decision]) -> Self {
        let kind = kind.decision();
        let chances: Vec<Label> = decisions
            .iter()
            .filter_map(|decision| match (decision, decision.role()) {
                (Decision::Pick(label), Role::Fault | Role::NoFault) => Some(*label),
                _ => None,
            })
            .collect();
        let counted = chances.iter().enumerate().filter(|(_, l)| l.kind == kind);
        let counted = counted.map(|(at, label)| {
            let next = chances.get(at + 1);
            next.is_none_or(|next| next.occurrence > label.occurrence)
        });
        Self {
            log: Follow::new(decisions.to_vec()),
            kind,
            counted: counted.collect(),
            left_out: 0,
        }
    }

    /// The label as it was when everything fired.
    const fn then(&self, mut what: Label) -> Label {
        if what.host == Label::SERVER && !matches!(what.kind, Kind::Setup | Kind::ServerStart) {
            what.occurrence += self.left_out;
        }
        what
    }
}

impl Chooser for Without {
    fn pick(&mut self, options: &[Label]) -> usize {
        self.log.pick(options)
    }

    fn pick_event(&mut self, events: &dyn Events) -> usize {
        self.log.pick_event(events)
    }

    fn weigh(&mut self, options: &[Label], weights: &[u32]) -> usize {
        let picked = self.log.weigh(options, weights);
        if options[picked].kind != self.kind {
            return picked;
        }
        self.left_out += u32::from(self.counted.pop_front().unwrap_or(false));
        0 // none of them
    }

    fn draw(&mut self, what: Label, bound: u64) -> u64 {
        self.log.draw(self.then(what), bound)
    }

    fn sample(&mut self, what: Label, dist: Dist) -> u64 {
        self.log.sample(self.then(what), dist)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use crate::subject;

    fn fired(kind: &'static str, configured: bool, times: u64) -> Fired {
        Fired {
            kind,
            configured,
            times,
        }
    }

    fn outcome(faults: Vec<Fired>) -> Outcome {
        let slots = subject::by_name("slots").expect("it is known");
        let run = Run::new(slots, Scenario::race(1, 1), 0);
        let outcome = run.go(&Engine::new());
        Outcome { faults, ..outcome }
    }

    #[test]
    fn what_never_fired_is_not_tested() {
        let mut tally = Tally::default();
        tally.add(&outcome(vec![
            fired("cut", true, 2),
            fired("crash", true, 0),
        ]));
        tally.add(&outcome(vec![
            fired("cut", true, 0),
            fired("pause", false, 0),
        ]));
        tally.add(&outcome(vec![fired("cut", false, 0)]));
        assert_eq!(tally.untouched, (2, 1));
        let untested: Vec<&str> = tally.untested().map(|f| &*f.kind).collect();
        assert_eq!(untested, ["crash"]);
        insta::assert_snapshot!(tally.words().join("\n"), @r"
        Faults fired: cut 2 times in 1 of 2 runs.
        Not tested, since they never fired: crash (configured in 1 runs).
        Not tested under faults: 1 of 2 runs, in which none fired.
        ");
    }

    /// A crash changes what becomes of its users; most runs have some fault that
    /// changes something, and some that changes nothing.
    #[test]
    fn faults_that_matter_are_told_from_those_that_do_not() {
        let slots = subject::by_name("slots").expect("it is known");
        let engine = Engine::new();
        let mut tally = Tally::default();
        for seed in 0..12 {
            tally.compare(&Run::new(slots, Scenario::swarm(), seed), &engine);
        }
        let (without, changed) =
            (tally.faults.iter()).fold((0, 0), |(a, b), f| (a + f.without, b + f.changed));
        assert!(without >= 12, "too few could be followed: {tally:?}");
        assert!(changed > 0 && changed < without, "{tally:?}");
        let crash = tally.faults.iter().find(|f| f.kind == "crash");
        assert!(crash.is_some_and(|f| f.changed > 0), "{tally:?}");
    }
}
