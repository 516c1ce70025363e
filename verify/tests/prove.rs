//! Bounded proofs, on gates right and wrong.

use sluice_sim::redis::Engine;
use sluice_sim::strategy::exhaustive::Bounds;
use sluice_sim::world::{FaultKind, PerFault};
use verify::prove::{Proof, Shown};
use verify::run::Run;
use verify::scenario::Scenario;
use verify::shrink::Bug;
use verify::subject;

fn explore(name: &str, scenario: &Scenario, faults: u32, clock_steps: u32) -> (Proof, Shown) {
    let proof = Proof {
        subject: subject::by_name(name).expect("it is known"),
        scenario: scenario.clone(),
        bounds: Bounds {
            faults,
            clock_steps,
            states: 300_000,
        },
        symmetric: true,
        reduced: true,
    };
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

/// Neither symmetry nor reduction changes what is said.
#[test]
fn short_cuts_do_not_change_the_verdict() {
    for (name, cap) in [("naive", 1), ("naive", 3), ("slots", 1), ("slots", 2)] {
        let mut said = Vec::new();
        for (symmetric, reduced) in [(false, false), (true, true)] {
            let proof = Proof {
                subject: subject::by_name(name).expect("it is known"),
                scenario: Scenario::rush(cap, 3),
                bounds: Bounds {
                    faults: 0,
                    clock_steps: 0,
                    states: 300_000,
                },
                symmetric,
                reduced,
            };
            let shown = proof.go(|_| true);
            println!("{name} {cap}: {} states", shown.certificate.states);
            said.push((shown.holds(), shown.certificate.states));
        }
        assert_eq!(said[0].0, said[1].0);
        assert!(!said[0].0 || said[0].1 > 2 * said[1].1, "{said:?}");
    }
}
