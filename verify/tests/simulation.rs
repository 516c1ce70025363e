//! The gate under faults: thousands of swarms, every property at every step.

use sluice_sim::redis::Engine;
use verify::faults::Tally;
use verify::property::Verdict;
use verify::run::{self, Run};
use verify::scenario::Scenario;
use verify::subject;

const SEEDS: u64 = 2_000;
const STEPS_MIN: u64 = 200;

/// 2,000 seeds without a violation; every fault has fired, and every property
/// has been put to the test.
#[test]
fn the_gate_holds_under_swarms_of_faults() {
    let slots = subject::by_name("slots").expect("it is known");
    let runs = run::many(&slots, &Scenario::swarm(), 0..SEEDS, |_, _| {});
    assert_eq!(runs.len() as u64, SEEDS);
    for (seed, run) in runs.iter().enumerate() {
        if let Some(finding) = run.violations().next() {
            panic!("seed {seed}: {} {:?}", finding.code, finding.verdict);
        }
        assert!(run.steps >= STEPS_MIN, "seed {seed}: {} steps", run.steps);
    }
    let mut tally = Tally::default();
    runs.iter().for_each(|run| tally.add(run));
    println!("{}", tally.words().join("\n"));
    // All kinds but failover, which only a guarded gate promises to survive, and
    // eviction and split, which none does.
    assert_eq!(tally.faults.len() + 3, runs[0].faults.len());
    assert_eq!(tally.untested().next(), None, "it never fired");
    for (at, finding) in runs[0].findings.iter().enumerate() {
        let premises: u64 = runs.iter().map(|run| run.findings[at].premises).sum();
        let holds = runs
            .iter()
            .filter(|run| run.findings[at].verdict == Verdict::Holds)
            .count();
        println!(
            "{:6} held in {holds:5} runs, premise met {premises:9} times",
            finding.code
        );
        assert!(
            premises > 0,
            "the premise of {} was never met",
            finding.code
        );
        assert!(holds > 0, "{} was never shown to hold", finding.code);
    }
}

/// The same where servers fail over without their last writes, or lose all of
/// them: no holder is excused.
#[test]
fn the_guarded_gate_survives_failover() {
    let guarded = subject::by_name("slots-guarded").expect("it is known");
    let runs = run::many(&guarded, &Scenario::swarm(), 0..150, |_, _| {});
    for (seed, run) in runs.iter().enumerate() {
        if let Some(finding) = run.violations().next() {
            panic!("seed {seed}: {} {:?}", finding.code, finding.verdict);
        }
    }
    let of = |fault: &str| -> u64 {
        let fired = runs.iter().flat_map(|run| &run.faults);
        fired.filter(|f| f.kind == fault).map(|f| f.times).sum()
    };
    let (failovers, wipes, errors, dark) = (
        of("server_failover"),
        of("server_wipe"),
        of("server_errors"),
        of("power_loss"),
    );
    println!(
        "{failovers} failovers, {wipes} wipes, {errors} times of errors, {dark} without power"
    );
    assert!(failovers > 100 && wipes > 0 && errors > 100 && dark > 100);
}

/// While a guarded gate pauses its waiters ask now and then, not all the time.
#[test]
fn a_pause_is_no_storm() {
    let guarded = subject::by_name("slots-guarded").expect("it is known");
    let outcome = Run::new(guarded, Scenario::race(2, 4), 1).go(&Engine::new());
    assert!(outcome.is_clean() && !outcome.is_stuck(), "{outcome:?}");
    assert!(outcome.elapsed_ms >= 60_000, "a lease has passed");
    // Four ask every 100 ms for 60 s: a request and a reply each.
    assert!(outcome.steps < 10_000, "{} steps", outcome.steps);
}

/// PER-002's own scenarios: the figures that its customer expects, to the unit.
#[test]
fn the_gate_meets_the_figures_of_per_002() {
    let slots = subject::by_name("slots").expect("it is known");
    let engine = Engine::new();
    for scenario in Scenario::per_002() {
        let outcome = Run::new(slots, scenario.clone(), 1).go(&engine);
        assert!(
            outcome.is_clean(),
            "{}: {:?}",
            scenario.name,
            outcome.findings
        );
        if let Some(measured) = outcome.measured {
            let queued = u64::from(scenario.users).saturating_sub(20);
            assert_eq!(measured, (20, queued), "{}", scenario.name);
        }
        assert_eq!(outcome.end, (0, 0), "{}", scenario.name);
        assert_eq!(outcome.requests.0, outcome.requests.1, "{}", scenario.name);
        assert_eq!((outcome.sessions_max, outcome.queries_max), (20, 10));
    }
}

/// Thirty idle minutes, in simulated time.
#[test]
fn idle_sessions_are_reclaimed() {
    let slots = subject::by_name("slots").expect("it is known");
    let outcome = Run::new(slots, Scenario::idle(), 1).go(&Engine::new());
    assert!(outcome.is_clean(), "{:?}", outcome.findings);
    let idle = outcome.findings.iter().find(|f| f.code.0 == "R3.4");
    assert!(idle.is_some_and(|f| f.verdict == Verdict::Holds && f.premises >= 20));
    assert!(outcome.elapsed_ms >= 1_800_000);
}

/// The same seed, and the same decisions, are the same run.
#[test]
fn a_run_repeats_from_its_seed_and_from_its_decisions() {
    let engine = Engine::new();
    let slots = subject::by_name("slots").expect("it is known");
    for seed in 0..10 {
        let run = Run::new(slots, Scenario::swarm(), seed);
        let trace = run.trace(&engine);
        assert_eq!(run.go(&Engine::new()), trace.outcome);
        let again = run.repeat(trace.file.decisions.clone(), &engine);
        assert_eq!(again.divergence, None);
        assert_eq!(again.outcome, trace.outcome);
        assert_eq!(again.steps, trace.steps);
    }
}
