//! Bounded proofs, on gates right and wrong.

use std::collections::BTreeMap;

use sluice_sim::redis::Engine;
use sluice_sim::strategy::exhaustive::Bounds;
use sluice_sim::world::{FaultKind, PerFault};
use verify::prove::{Proof, Shown};
use verify::run::Run;
use verify::scenario::Scenario;
use verify::shrink::Bug;
use verify::subject;

fn explore(name: &str, scenario: &Scenario, faults: u32, clock_steps: u32) -> (Proof, Shown) {
    let bounds = Bounds {
        faults,
        clock_steps,
        states: 300_000,
    };
    let subject = subject::by_name(name).expect("it is known");
    let proof = Proof::of(subject, scenario.clone(), bounds);
    let shown = proof.go(|_| true);
    let c = &shown.certificate;
    println!(
        "{name} {} clients: {} states, {} transitions, complete {}, {:?}",
        scenario.users,
        c.states,
        c.transitions,
        c.complete,
        c.violation.as_ref().map(|v| &v.words)
    );
    (proof, shown)
}

/// The gate holds in every schedule of two clients for one slot, with a fault
/// and a step of time.
#[test]
fn the_gate_holds_in_every_schedule_of_two() {
    let calm = Scenario::proof(1, 2, 1, PerFault::default());
    let (_, shown) = explore("slots", &calm, 0, 0);
    assert!(shown.holds(), "{shown:?}");
    let cuts = PerFault::default().with(FaultKind::Cut, 1);
    let (_, cut) = explore("slots", &Scenario::proof(1, 2, 1, cuts), 1, 1);
    assert!(cut.holds());
    assert!(cut.certificate.states > 10 * shown.certificate.states);
}

/// Wrong gates are convicted, and the way there can be walked by a plain run.
#[test]
fn wrong_gates_are_convicted_with_a_way_to_see_it() {
    for (name, scenario) in [
        ("naive", Scenario::rush(1, 2)),
        ("naive", Scenario::proof(1, 2, 1, PerFault::default())),
        (
            "hash-script-unconditional",
            Scenario::proof(1, 3, 1, PerFault::default()),
        ),
    ] {
        let (proof, shown) = explore(name, &scenario, 0, 0);
        let decisions = shown.decisions().expect("a violation");
        let run = Run::new(proof.subject, scenario, 0).until_violation();
        let (outcome, follow) = run.follow(decisions, &Engine::new());
        assert!(Bug::of(&outcome).is_some(), "{name}: nothing breaks there");
        assert_eq!(follow.unmet(), None);
    }
}

/// Every wrong gate that few clients, a fault and a step of time can break is
/// convicted, by the property that it breaks.
#[test]
fn small_scopes_convict() {
    let calm = PerFault::default();
    let some = calm
        .with(FaultKind::Cut, 1)
        .with(FaultKind::Crash, 1)
        .with(FaultKind::ScriptFlush, 1);
    for (name, clients, faults, clock_steps, property) in [
        ("naive", 2, 0, 0, "R1.1"),
        ("hash-script-unconditional", 3, 0, 0, "R1.1"),
        ("hash-script-reentry", 2, 1, 1, "R1.3"),
        ("one-too-many", 3, 0, 0, "R1.1"),
        ("one-too-many-at-the-door", 2, 0, 0, "R1.1"),
        ("last-come-first-served", 3, 0, 0, "R1.2"),
        ("second-release-raises-the-cap", 3, 1, 1, "R1.1"),
    ] {
        let alphabet = if faults > 0 { some } else { calm };
        let scenario = Scenario::proof(1, clients, 1, alphabet);
        let (_, shown) = explore(name, &scenario, faults, clock_steps);
        let violation = shown.certificate.violation.as_ref();
        let words = &violation.unwrap_or_else(|| panic!("{name} holds")).words;
        assert!(words.starts_with(property), "{name}: {words}");
        // The gate itself is not convicted by the same.
        if faults == 0 || clients == 2 {
            let (_, gate) = explore("slots", &scenario, faults, clock_steps);
            assert!(gate.holds(), "the gate, beside {name}");
        }
    }
}

/// With a slot for everybody even the naive gate holds: the eight clients of
/// the race are exhausted, and quickly.
#[test]
fn the_race_of_eight_is_exhausted() {
    let (_, shown) = explore("naive", &Scenario::rush(8, 8), 0, 0);
    assert!(shown.holds());
    assert!(shown.certificate.states < 5_000);
    let (_, shown) = explore("naive", &Scenario::rush(7, 8), 0, 0);
    assert!(shown.certificate.violation.is_some());
}

/// What comes first spends nothing that others need: with several steps of time
/// as many ends are reached, and as many states that only time can leave. (The
/// end of a connection that a stall held up used to be taken first, and to cost
/// the step.)
#[test]
fn ends_of_connections_first_lose_no_end_of_a_run() {
    let calm = PerFault::default();
    let stalls = calm.with(FaultKind::Stall, 1);
    for (alphabet, clock_steps) in [
        (stalls.with(FaultKind::Cut, 1), 3),
        (stalls.with(FaultKind::Crash, 1), 3),
        (calm.with(FaultKind::Pause, 1), 2),
    ] {
        let subject = subject::by_name("slots").expect("it is known");
        let bounds = Bounds {
            faults: 2,
            clock_steps,
            states: 300_000,
        };
        let plain = Proof {
            symmetric: false,
            reduced: false,
            by_meaning: false,
            ..Proof::of(subject, Scenario::proof(1, 1, 2, alphabet), bounds)
        };
        let reduced = Proof {
            reduced: true,
            ..plain.clone()
        };
        let counts = [plain, reduced].map(|proof| {
            let shown = proof.go(|_| true);
            assert!(shown.holds(), "{shown:?}");
            let c = shown.certificate;
            (c.states, (c.ends, c.out_of_time))
        });
        println!("{counts:?}");
        assert_eq!(counts[0].1, counts[1].1, "{alphabet:?}");
        assert!(counts[1].0 < counts[0].0, "nothing was cut short");
    }
}

/// No short cut changes what is said, nor what is judged on the way: not
/// symmetry, nor the ample sets, nor reading numbers by what they mean; in gates
/// right and wrong, with faults and time and without.
#[test]
fn short_cuts_change_neither_the_verdict_nor_what_was_judged() {
    let calm = PerFault::default();
    let cuts = calm.with(FaultKind::Cut, 1);
    let crashes = calm.with(FaultKind::Crash, 1);
    let flushes = calm.with(FaultKind::ScriptFlush, 1);
    let wipes = calm.with(FaultKind::ServerWipe, 1);
    let steps = calm.with(FaultKind::ClockStep, 1);
    let (mut safe, mut unsafe_, mut saved) = (0, 0, 0);
    for (name, scenario, faults, clock_steps) in [
        ("naive", Scenario::rush(1, 3), 0, 0),
        ("naive", Scenario::rush(3, 3), 0, 0),
        ("naive", Scenario::proof(2, 2, 1, cuts), 1, 0),
        (
            "hash-script-reentry",
            Scenario::proof(1, 2, 1, crashes),
            1,
            1,
        ),
        (
            "hash-script-unconditional",
            Scenario::proof(1, 3, 1, calm),
            0,
            0,
        ),
        ("one-too-many", Scenario::proof(1, 2, 1, calm), 0, 0),
        (
            "one-too-many-at-the-door",
            Scenario::proof(1, 2, 1, calm),
            0,
            0,
        ),
        ("newcomers-first", Scenario::proof(1, 3, 1, calm), 0, 0),
        ("cancel-wakes-nobody", Scenario::proof(1, 2, 1, cuts), 1, 1),
        ("slots", Scenario::rush(2, 3), 0, 0),
        ("slots", Scenario::proof(2, 3, 1, calm), 0, 0),
        ("slots", Scenario::proof(1, 2, 1, calm), 0, 1),
        ("slots", Scenario::proof(1, 2, 1, calm), 0, 2),
        ("slots", Scenario::proof(1, 2, 1, cuts), 1, 0),
        ("slots", Scenario::proof(1, 2, 1, crashes), 1, 0),
        ("slots", Scenario::proof(1, 2, 1, flushes), 1, 0),
        ("slots", Scenario::proof(1, 2, 1, wipes), 1, 0),
        ("slots", Scenario::proof(1, 2, 1, steps), 1, 0),
        ("slots", Scenario::proof(1, 2, 2, calm), 0, 0),
    ] {
        let subject = subject::by_name(name).expect("it is known");
        let bounds = Bounds {
            faults,
            clock_steps,
            states: 2_000_000,
        };
        let plain = Proof {
            symmetric: false,
            reduced: false,
            sleeping: false,
            by_meaning: false,
            ..Proof::of(subject, scenario.clone(), bounds)
        };
        let (all, judged) = plain.collect();
        let mut least = all.certificate.states;
        let mut awake = BTreeMap::from([(0, all.certificate.clone())]);
        for cuts in 1..16 {
            let proof = Proof {
                symmetric: cuts & 1 > 0,
                reduced: cuts & 2 > 0,
                by_meaning: cuts & 4 > 0,
                sleeping: cuts & 8 > 0,
                ..plain.clone()
            };
            let (shown, seen) = proof.collect();
            let what = format!("{name} of {}, short cuts {cuts:b}", scenario.users);
            assert_eq!(shown.holds(), all.holds(), "{what}");
            if all.holds() {
                assert_eq!(seen, judged, "{what}");
                assert!(shown.certificate.states <= all.certificate.states, "{what}");
            }
            // Sleep sets leave out transitions, and no state. (How often one that
            // looks different is counted twice, with another short cut beside,
            // depends on who comes first.)
            match awake.get(&(cuts & 7)) {
                Some(awake) if all.holds() => {
                    let slept = &shown.certificate;
                    let strict = cuts & 7 == 0;
                    let counts = (slept.states, slept.transitions);
                    let fewer = slept.transitions < awake.transitions;
                    assert!(
                        !strict || (slept.states == awake.states && fewer),
                        "{what}: {counts:?}, without sleep sets {awake:?}"
                    );
                    saved += awake.transitions.saturating_sub(slept.transitions);
                }
                Some(_) => {}
                None => drop(awake.insert(cuts, shown.certificate.clone())),
            }
            least = least.min(shown.certificate.states);
        }
        println!(
            "{name}: {} states, at least {least}",
            all.certificate.states
        );
        if all.holds() {
            safe += 1;
            assert!(
                least < all.certificate.states,
                "{name}: nothing was cut short"
            );
        } else {
            unsafe_ += 1;
            assert!(all.certificate.violation.is_some(), "{name}");
        }
    }
    println!("{saved} transitions saved by sleep sets");
    assert!(safe >= 10 && unsafe_ >= 4, "{safe} {unsafe_}");
}
