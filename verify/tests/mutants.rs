//! Every mutant is killed, by the property that it names, within the effort
//! that acquits the gate.

use std::collections::BTreeSet;
use std::time::Duration;

use sluice_sim::redis::Engine;
use verify::mutant::{self, Mutant, matrix};
use verify::run::{Outcome, Run};
use verify::scenario::Scenario;
use verify::strategy::{Strategy, Tactic};
use verify::subject::quirk::Quirk;
use verify::subject::variant;
use verify::subject::{self, Kind};
use verify::{pool, property};

const RANDOM: Tactic = Tactic::BySeed(Strategy::Random);
const POS: Tactic = Tactic::BySeed(Strategy::Pos);

/// Enough for every mutant, and small enough for every change.
const EFFORT: matrix::Effort = matrix::Effort {
    trials: 1,
    budget: 400,
    time: None,
};

#[test]
fn every_mutant_is_killed_by_the_property_it_names() {
    let mutants: Vec<_> = mutant::all().collect();
    let rows = pool::each(0..mutants.len() as u64, pool::threads(), |_, n| {
        matrix::hunt(mutants[n as usize], &[RANDOM], EFFORT, 1, |_| {})
    });
    for row in &rows {
        println!(
            "{} {:32} {:8} {:?}",
            row.class, row.mutant, row.property, row.cells
        );
    }
    // What is too rare for one trial at random has to die by another strategy, and
    // sooner or later.
    let longer = matrix::Effort {
        budget: 5 * EFFORT.budget,
        ..EFFORT
    };
    let rare: Vec<_> = mutants
        .iter()
        .zip(&rows)
        .filter(|(_, row)| !row.is_dead())
        .map(|(mutant, _)| matrix::hunt(mutant, &[POS], longer, pool::threads(), |_| {}))
        .collect();
    assert!(rare.len() <= 2, "{rare:#?}");
    let survivors: Vec<_> = rare.iter().filter(|row| !row.is_dead()).collect();
    assert!(survivors.is_empty(), "{survivors:#?}");
}

/// The checks of the checks: a gate that breaks another property than the one it
/// names survives, and so does one that is not wrong at all.
#[test]
fn who_breaks_something_else_or_nothing_survives() {
    let named = |name: &str, convicted_by| {
        let subject = subject::by_name(name).expect("it is known");
        let known = mutant::by_name("one-too-many").expect("it is known");
        let subject = subject::Subject {
            convicted_by,
            ..subject
        };
        Mutant { subject, ..*known }
    };
    let small = matrix::Effort {
        trials: 2,
        budget: 3,
        time: None,
    };
    let mislabelled = named("one-too-many", &["R1.16"]);
    let row = matrix::hunt(&mislabelled, &[RANDOM], small, 2, |_| {});
    let least = matrix::least(&mislabelled, &row, &[RANDOM], None, &Engine::new());
    assert!(!row.is_dead() && least.is_none());
    assert!(row.cells[0].others.contains("R1.1"), "{row:?}");
    let right = named("slots", &["R1.1(s)"]);
    let row = matrix::hunt(&right, &[RANDOM], small, 2, |_| {});
    assert!(!row.is_dead() && row.cells[0].others.is_empty(), "{row:?}");
}

/// A row has a cell for each strategy and the least counterexample, and its
/// executions are the same on any number of threads.
#[test]
fn a_row_does_not_depend_on_the_number_of_threads() {
    let mutant = mutant::by_name("one-too-many").expect("it is known");
    let small = matrix::Effort {
        trials: 3,
        budget: 20,
        time: None,
    };
    let all = Tactic::ALL;
    let [one, three] = [1, 3].map(|threads| matrix::hunt(mutant, &all, small, threads, |_| {}));
    let costs = |row: &matrix::Row| {
        let cost = |c: &matrix::Cell| (c.strategy.clone(), c.killed, c.executions, c.kill);
        row.cells.iter().map(cost).collect::<Vec<_>>()
    };
    assert_eq!(costs(&one), costs(&three));
    assert_eq!(one.cells.len(), all.len());
    // Whoever killed it, there is little in it.
    for at in 0..all.len() {
        let row = matrix::Row {
            cells: vec![one.cells[at].clone()],
            ..one.clone()
        };
        let least = matrix::least(mutant, &row, &all[at..=at], None, &Engine::new());
        let least = least.expect("it was killed");
        assert!(least.reached, "{least}");
        assert!(least.size.clients <= 2 && least.size.cap == 1, "{least}");
    }
    let hurried = matrix::least(mutant, &one, &all, Some(Duration::ZERO), &Engine::new());
    let hurried = hurried.expect("it was killed");
    assert!(!hurried.reached && hurried.size.clients > 2, "{hurried}");
}

#[test]
fn the_same_effort_acquits_the_gate_trusting_or_guarded() {
    for name in ["slots", "slots-guarded"] {
        let gate = subject::by_name(name).expect("it is known");
        for tactic in Tactic::ALL {
            let shown = matrix::acquit(&gate, tactic, EFFORT, pool::threads());
            assert!(shown.broken.is_empty(), "{shown:?}");
            assert_eq!(shown.runs, EFFORT.trials * EFFORT.budget);
        }
    }
}

/// No load test finds a hard mutant: all five scenarios of PER-002 show what
/// they show of the gate itself. The large bursts take their time, and are for
/// every fourth.
#[test]
fn hard_mutants_pass_the_load_tests() {
    let hard: Vec<_> = mutant::all().filter(|m| m.hard).collect();
    assert!(hard.len() / 4 >= 8, "only {}", hard.len());
    let loads = Scenario::per_002();
    let cases = (hard.len() * loads.len()) as u64;
    let failed = pool::each(0..cases, pool::threads(), |engine, n| {
        let n = n as usize;
        let (number, load) = (n / loads.len(), &loads[n % loads.len()]);
        if load.users > 50 && !number.is_multiple_of(4) {
            return None;
        }
        let mutant = hard[number];
        let outcome = Run::new(mutant.subject, load.clone(), 0).go(engine);
        (!passes(load, &outcome)).then(|| format!("{} fails {}", mutant.name(), load.name))
    });
    let failed: Vec<_> = failed.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{failed:#?}");
    // The same figures convict one that is not hard.
    let caught = mutant::by_name("one-too-many").expect("it is known");
    assert!(!caught.hard);
    let seen = loads.iter().any(|load| {
        let outcome = Run::new(caught.subject, load.clone(), 0).go(&Engine::new());
        !passes(load, &outcome)
    });
    assert!(seen, "these load tests see nothing");
}

/// What a load test can see: counts, and that everybody was served.
fn passes(load: &Scenario, outcome: &Outcome) -> bool {
    let queued = u64::from(load.users).saturating_sub(20);
    outcome.sessions_max <= 20
        && outcome.queries_max <= 10
        && outcome.measured.is_none_or(|seen| seen == (20, queued))
        && outcome.end == (0, 0)
        && outcome.requests.0 == outcome.requests.1
}

/// `verify/MUTANTS.md` speaks of these mutants, and of no others.
#[test]
fn the_matrix_that_is_kept_is_of_these_mutants() {
    let kept = include_str!("../MUTANTS.md");
    let rows = kept.lines().filter(|line| line.starts_with("| B"));
    let named = rows.filter_map(|row| row.split('`').nth(1));
    let named: BTreeSet<&str> = named.collect();
    let known: BTreeSet<&str> = mutant::all().map(Mutant::name).collect();
    assert_eq!(
        named, known,
        "write it again: cargo run --release -p verify -- mutants --strategy all --seconds 6 --shrink-seconds 10 \
         --format markdown --out verify/MUTANTS.md"
    );
}

#[test]
fn every_mutant_is_well_described() {
    let mut names = BTreeSet::new();
    for mutant in mutant::all() {
        let name = mutant.name();
        assert!(names.insert(name), "{name} exists twice");
        assert_eq!(mutant.subject.convicted_by.len(), 1, "{name}");
        let known = property::all()
            .iter()
            .any(|p| property::is(p.code(), p.meaning(), mutant.killed_by()));
        assert!(known, "{name} names no property: {}", mutant.killed_by());
        assert!(
            subject::ALL.iter().all(|s| s.name != name),
            "{name} is a subject too"
        );
    }
}

/// A patch whose passage has gone is an error, not a mutant that is the gate.
#[test]
fn every_patch_fits_the_scripts_and_changes_them() {
    for mutant in mutant::all() {
        if let Kind::Slots(v) = mutant.subject.kind {
            let changed = variant::scripts_of(&v).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(
                changed.is_empty(),
                v.patches.is_empty(),
                "{}",
                mutant.name()
            );
            assert!(
                v != variant::Variant::NONE && v != variant::Variant::GUARDED,
                "{} is the gate",
                mutant.name()
            );
        }
    }
}

/// The control of `waits-elsewhere`: the same client, which says WAIT where it
/// asked, keeps the cap through the same failovers.
#[test]
fn who_waits_where_it_asked_keeps_the_cap() {
    let wrong = mutant::by_name("waits-elsewhere").expect("it is known");
    let right = subject::Subject {
        name: "waits",
        convicted_by: &[],
        kind: Kind::Slots(variant::Variant::NONE.with(Quirk::Waits)),
        ..wrong.subject
    };
    let runs = |subject| verify::run::many(&subject, &Scenario::swarm(), 0..300, |_, _| {});
    let fired = |runs: &[Outcome]| -> u64 {
        let all = runs.iter().flat_map(|run| &run.faults);
        all.filter(|f| f.kind == "server_failover")
            .map(|f| f.times)
            .sum()
    };
    let broke = |runs: &[Outcome]| runs.iter().filter(|run| run.breaks("R1.1(b)")).count();
    let premises = |runs: &[Outcome]| -> u64 {
        let all = runs.iter().flat_map(|run| &run.findings);
        all.filter(|f| f.is("R1.1(b)")).map(|f| f.premises).sum()
    };
    let (right, wrong) = (runs(right), runs(wrong.subject));
    println!(
        "{} and {} failovers, {} premises, {} broke",
        fired(&right),
        fired(&wrong),
        premises(&right),
        broke(&wrong)
    );
    assert!(fired(&right) > 200 && premises(&right) > 200);
    assert_eq!(broke(&right), 0);
    assert!(broke(&wrong) > 0);
}
