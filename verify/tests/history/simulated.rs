//! Histories of simulated runs.

use std::collections::BTreeMap;

use sluice_sim::redis::Engine;
use verify::history::drawing::draw;
use verify::history::{Budget, Verdict, check, simulated, slots};
use verify::pool;
use verify::run::Run;
use verify::scenario::Scenario;
use verify::subject;

use crate::Slots;

/// Resizes are left to the search; where it takes longer, it is not worth it.
const BUDGET: Budget = Budget {
    configurations: 50_000,
};

/// Judges every gate of a run.
fn judge(
    subject: &str,
    scenario: &Scenario,
    seed: u64,
    engine: &Engine,
) -> BTreeMap<String, (Slots, Verdict<slots::Op, slots::Reply>)> {
    let subject = subject::by_name(subject).expect("it is known");
    let trace = Run::new(subject, scenario.clone(), seed).trace(engine);
    let judged = simulated::histories(&trace.steps)
        .into_iter()
        .map(|(name, gate)| {
            let capacity = gate.capacity.unwrap_or(scenario.sessions);
            let verdict = check(&slots::Slots::new(capacity), &gate.history, BUDGET);
            (name, (gate.history, verdict))
        });
    judged.collect()
}

/// What clients of the gate see under faults is what slots may do.
#[test]
fn the_gate_is_linearizable_under_swarms_of_faults() {
    let judged = pool::each(0..200, pool::threads(), |engine, seed| {
        judge("slots", &Scenario::swarm(), seed, engine)
    });
    let (mut operations, mut grants, mut unknown, mut lost, mut doubts) = (0, 0, 0, 0, 0);
    for (seed, gates) in judged.into_iter().enumerate() {
        for (name, (history, verdict)) in gates {
            match verdict {
                Verdict::Holds => {}
                Verdict::Violated(conflict) => {
                    panic!(
                        "seed {seed}, {name}: {}\n{}",
                        conflict.why,
                        draw(&conflict.window)
                    );
                }
                Verdict::Inconclusive(why) => {
                    println!("seed {seed}, {name}: {why}");
                    doubts += 1;
                }
            }
            let count = |is: fn(&slots::Reply) -> bool| {
                let replies = history.operations.iter().filter_map(|o| o.reply());
                replies.filter(|reply| is(reply)).count()
            };
            operations += history.operations.len();
            grants += count(|reply| matches!(reply, slots::Reply::Granted { .. }));
            lost += count(|reply| matches!(reply, slots::Reply::Lost));
            unknown += history
                .operations
                .iter()
                .filter(|o| o.answer.is_none())
                .count();
        }
    }
    println!(
        "{operations} operations, {grants} grants, {lost} lost, {unknown} unknown, {doubts} doubts"
    );
    assert!(grants > 3_000 && lost > 50 && unknown > 500);
    assert!(doubts * 20 <= 400, "too often inconclusive");
}

/// So is what they see in the load scenarios of PER-002, at both levels.
#[test]
fn the_gate_is_linearizable_under_load() {
    let engine = Engine::new();
    for scenario in Scenario::per_002() {
        let judged = judge("slots", &scenario, 1, &engine);
        assert_eq!(judged.len(), 2);
        for (name, (history, verdict)) in judged {
            assert_eq!(verdict, Verdict::Holds, "{} {name}", scenario.name);
            assert!(history.operations.len() >= usize::from(scenario.users));
        }
    }
}

/// The field's gates are convicted by what their clients see, without a look
/// into the store.
#[test]
fn gates_that_are_wrong_are_convicted() {
    let engine = Engine::new();
    for (subject, scenario) in [
        ("naive", Scenario::burst(50)),
        ("naive", Scenario::rush(20, 21)),
        ("hash-script-unconditional", Scenario::sustained()),
    ] {
        let convicted = (0..40).find_map(|seed| {
            let judged = judge(subject, &scenario, seed, &engine);
            let (_, verdict) = judged.get("sessions")?;
            match verdict {
                Verdict::Violated(conflict) => Some(conflict.clone()),
                Verdict::Holds | Verdict::Inconclusive(_) => None,
            }
        });
        let conflict = convicted.unwrap_or_else(|| panic!("{subject} in {}", scenario.name));
        assert!(conflict.why.contains("held all 20"), "{}", conflict.why);
        let page = draw(&conflict.window);
        println!("{subject} in {}: {}\n{page}", scenario.name, conflict.why);
    }
}
