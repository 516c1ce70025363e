//! What a failover does to the cap that holders believe in (B41), what it takes
//! to keep it, and what becomes of it where something of that is missing.
//!
//! Redis replicates asynchronously: a replica that takes over may lack the last
//! grants, and gives their slots again while their holders still believe in
//! them. A [guarded](sluice_core::script::GateKeys::guarded) gate waits for a
//! lease before its new server gives anything. That is enough under assumptions;
//! each of them is taken away here, and the run that then breaks the cap is found.

use std::ops::Range;

use serde::Serialize;
use sluice_core::redis::{Command, Reply};
use sluice_sim::redis::{Engine, Server};
use sluice_sim::store::SessionId;
use sluice_sim::world::FaultKind;

use crate::pool;
use crate::run::{Run, Trace, Until};
use crate::scenario::Scenario;
use crate::shrink::{self, Shrink};
use crate::subject::{self, Subject};

/// Something that a guarded gate relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Assumption {
    /// What, in words.
    pub what: &'static str,
    /// How to see to it.
    pub how: &'static str,
    /// The subject that does without.
    pub without: &'static str,
}

/// All that can be taken away in a run. That there is a lease at all is another
/// one: see [`without_a_lease`]. That the servers' clocks agree, to within what a
/// lease leaves, is not modelled: there is one clock.
pub const ASSUMPTIONS: [Assumption; 4] = [
    Assumption {
        what: "the gate can tell that another server has taken over",
        how: "GateKeys::guarded(); scripts may call INFO, and run_id is in it",
        without: "trusts-the-replica",
    },
    Assumption {
        what: "the longest lease is known",
        how: "one lease for all callers of a gate",
        without: "waits-part-of-a-lease",
    },
    Assumption {
        what: "the old server writes no more once the new one is called",
        how: "min-replicas-to-write 1, and min-replicas-max-lag below the time that a failover takes",
        without: "without-min-replicas",
    },
    Assumption {
        what: "the server throws nothing away",
        how: "maxmemory-policy noeviction",
        without: "on-a-server-that-evicts",
    },
];

/// What believers did over many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Belief {
    /// Runs.
    pub runs: u64,
    /// Of them, runs in which a replica took over.
    pub replaced: u64,
    /// Runs in which more believed to hold than there were slots.
    pub over: u64,
    /// At worst so many believed to hold, of so many slots.
    pub worst: Option<(usize, usize)>,
}

/// How many believe to hold a slot, over these seeds of the swarm.
#[must_use]
pub fn believers(subject: &Subject, seeds: Range<u64>, threads: usize) -> Belief {
    let runs = pool::each(seeds, threads, |engine, seed| {
        let mut worst = None;
        let run = Run::new(*subject, Scenario::swarm(), seed);
        let outcome = run.watch(engine, |_, moment| {
            for gate in moment.gates.iter().filter(|_| moment.begins()) {
                let crowd = moment.crowd(gate).map_or(0, |crowd| crowd.len());
                let slots = gate.after.capacity as usize;
                if crowd > slots {
                    worst = worse(worst, Some((crowd, slots)));
                }
            }
        });
        let kinds = [FaultKind::ServerFailover, FaultKind::ServerSplit];
        let replaced = outcome
            .faults
            .iter()
            .any(|fired| fired.times > 0 && kinds.iter().any(|kind| kind.name() == fired.kind));
        (replaced, worst)
    });
    let mut belief = Belief::default();
    for (replaced, worst) in runs {
        belief.runs += 1;
        belief.replaced += u64::from(replaced);
        belief.over += u64::from(worst.is_some());
        belief.worst = worse(belief.worst, worst);
    }
    belief
}

/// Of two counts beside their slots, the one that is further above them.
fn worse(one: Option<(usize, usize)>, other: Option<(usize, usize)>) -> Option<(usize, usize)> {
    [one, other]
        .into_iter()
        .flatten()
        .max_by_key(|(count, slots)| count - slots)
}

/// A run in which more believe to hold than there are slots.
#[derive(Debug)]
pub struct Counterexample {
    /// Its seed.
    pub seed: u64,
    /// The run, to the step at which the cap broke.
    pub trace: Trace,
    /// The smallest of its kind.
    pub shrunken: Option<Shrink>,
}

/// The first of these seeds with which the gate breaks the cap that holders
/// believe in.
#[must_use]
pub fn counterexample(
    subject: &Subject,
    seeds: Range<u64>,
    threads: usize,
    shrinks: bool,
) -> Option<Counterexample> {
    const PROPERTY: &str = "R1.1(b)";
    let run = |seed| Run {
        until: Until::Breaks(PROPERTY),
        ..Run::new(*subject, Scenario::swarm(), seed)
    };
    let (seed, ()) = pool::first(seeds, threads, |engine, seed| {
        run(seed).go(engine).breaks(PROPERTY).then_some(())
    })?;
    let engine = Engine::new();
    let trace = run(seed).trace(&engine);
    let decisions = &trace.file.decisions;
    let shrunken = shrinks
        .then(|| shrink::to(PROPERTY, subject, &Scenario::swarm(), decisions, &engine))
        .flatten();
    Some(Counterexample {
        seed,
        trace,
        shrunken,
    })
}

/// What a guarded gate answers that is configured without a lease: no time is
/// long enough to wait for holders that may stay for ever.
#[must_use]
pub fn without_a_lease() -> String {
    let script = sluice_core::script::GUARDED_ALL
        .iter()
        .find(|script| script.name == "acquire")
        .expect("there is one to acquire");
    let command = Command::new("EVAL").arg(script.text).arg("3");
    let keys = ["{g}:gate", "{g}:line", "{g}:due"];
    let command = keys.iter().fold(command, |command, key| command.arg(*key));
    let config = "20 0 0 0 0 0 0 1 100000 0 0 0 16 60000 10000 0";
    let command = command.arg(config).arg("user-1").arg("1");
    let reply = Server::new().execute(&Engine::new(), 1, SessionId(1), &command);
    match reply {
        Reply::Error(words) => String::from_utf8_lossy(&words).into_owned(),
        reply => format!("{reply:?}"),
    }
}

/// The gate that trusts its server to lose nothing, and the one that does not.
#[must_use]
pub fn gates() -> (Subject, Subject) {
    let known = |name| subject::by_name(name).expect("it is known");
    (known("trusts-the-replica"), known("slots-guarded"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutant;

    #[test]
    fn what_goes_without_an_assumption_is_convicted_of_just_that() {
        for assumption in ASSUMPTIONS {
            let mutant = mutant::all().find(|m| m.name() == assumption.without);
            let mutant = mutant.expect("every one is hunted by `verify mutants`, too");
            assert_eq!(mutant.killed_by(), "R1.1(b)", "{}", assumption.without);
        }
    }

    #[test]
    fn a_guarded_gate_without_a_lease_refuses() {
        let words = without_a_lease();
        assert!(words.starts_with("ERR sluice:"), "{words}");
        assert!(words.contains("must have a lease"), "{words}");
    }

    /// The alarm works, the guard helps, and the count does not depend on threads.
    #[test]
    fn more_believe_where_nothing_guards() {
        let (trusting, guarded) = gates();
        let seeds = 0..40;
        let lost = believers(&trusting, seeds.clone(), 2);
        assert_eq!(lost, believers(&trusting, seeds.clone(), 1));
        assert!(lost.over > 0 && lost.replaced > lost.over, "{lost:?}");
        let (count, slots) = lost.worst.expect("some run broke it");
        assert!(count > slots);
        let kept = believers(&guarded, seeds, 2);
        assert_eq!((kept.over, kept.worst), (0, None));
        assert!(kept.replaced > 0);
    }
}
