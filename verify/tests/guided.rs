//! The guided search: that it is determined, that it finds what chance finds
//! late, and nothing in the gate itself.

use sluice_sim::log::DecisionFile;
use sluice_sim::redis::Engine;
use verify::find::Search;
use verify::guided::Guided;
use verify::mutant::{self, matrix};
use verify::pool;
use verify::regression::{Case, Verdict};
use verify::run::{Run, Until};
use verify::scenario::Scenario;
use verify::shrink;
use verify::strategy::Tactic;
use verify::subject;

const TRIALS: u64 = 24;
const BUDGET: u64 = 150;

/// The same seed is the same search, run by run, whatever was searched before on
/// the same interpreter; another seed is another one.
#[test]
fn a_search_is_a_value_of_its_seed() {
    let slots = subject::by_name("slots").expect("it is known");
    let engine = Engine::new();
    let digests = |seed: u64| -> Vec<u64> {
        let mut search = Guided::new(Run::new(slots, Scenario::swarm(), seed), &engine);
        (0..12).map(|_| search.step().digest).collect()
    };
    let first = digests(1);
    assert_ne!(first, digests(2));
    assert_eq!(first, digests(1));
    let mut different = first.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), first.len(), "each run is another one");
}

/// What it finds is a decision file like any other: it repeats to the letter,
/// and its shrunken form says the same bug.
#[test]
fn what_it_finds_can_be_recorded_repeated_and_shrunken() {
    let naive = subject::by_name("naive").expect("it is known");
    let scenario = Scenario::rush(3, 4);
    let search = |threads| Search {
        subject: &naive,
        scenario: &scenario,
        strategy: Tactic::Guided,
        seeds: 0..2_000,
        code: None,
        threads,
    };
    let found = search(1).go(|_, _| {}).expect("it is wrong");
    let again = search(3).go(|_, _| {}).expect("it is wrong");
    assert_eq!(found.trace.outcome, again.trace.outcome, "threads matter");
    assert_eq!(found.trace.file.seed, None, "no seed has this run");

    let engine = Engine::new();
    let case = |file: &DecisionFile| {
        let file = DecisionFile::parse(&file.to_text()).expect("it was just written");
        Case::of(file).expect("it is of this version")
    };
    let (trace, verdict) = case(&found.trace.file).run(Until::Violation, &engine);
    assert_eq!(trace.outcome.digest, found.trace.outcome.digest);
    assert_eq!(verdict, Verdict::SameBug { moved: false });

    let decisions = &found.trace.file.decisions;
    let shrunken = shrink::shrink(&naive, &scenario, decisions, &engine).expect("it breaks");
    assert!(shrunken.shrunken.decisions < decisions.len() && shrunken.least);
    let (_, verdict) = case(&shrunken.trace.file).run(Until::Violation, &engine);
    assert_eq!(verdict, Verdict::SameBug { moved: false });
}

/// Executions until the kill, over some trials, in the sum; of a trial without
/// one, as many as it was given.
fn executions(mutant: &str, tactic: Tactic) -> u64 {
    let mutant = mutant::by_name(mutant).expect("it is known");
    let trials = pool::each(0..TRIALS, pool::threads(), |engine, n| {
        matrix::trial(mutant, tactic, n, BUDGET, engine)
    });
    let killed = trials.iter().filter(|t| t.seed.is_some()).count();
    println!("{tactic}: {killed} of {TRIALS}");
    trials.iter().map(|t| t.executions).sum()
}

/// What takes two rare things at once, it finds with fewer executions than
/// chance does.
#[test]
fn it_finds_sooner_what_chance_finds_late() {
    let random = executions("release-by-anybody", Tactic::default());
    let guided = executions("release-by-anybody", Tactic::Guided);
    println!("random {random}, guided {guided}");
    assert!(guided < random, "random {random}, guided {guided}");
}

/// The same search finds nothing in the gates that are right.
#[test]
fn it_acquits_the_gates() {
    for name in ["slots", "slots-guarded"] {
        let subject = subject::by_name(name).expect("it is known");
        let effort = matrix::Effort {
            trials: 2,
            budget: 25,
            time: None,
        };
        let shown = matrix::acquit(&subject, Tactic::Guided, effort, pool::threads());
        assert_eq!((shown.runs, shown.broken), (50, Vec::new()), "{name}");
    }
}
