//! Every mutant is killed, by the property that it names, within the effort
//! that acquits the gate.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use verify::mutant::{self, matrix};
use verify::property;
use verify::subject::variant;
use verify::subject::{self, Kind};

/// Enough for every mutant, and small enough for every change.
const EFFORT: matrix::Effort = matrix::Effort {
    trials: 1,
    budget: 400,
};

#[test]
fn every_mutant_is_killed_by_the_property_it_names() {
    let mutants: Vec<_> = mutant::all().collect();
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    let work = || {
        while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            let row = matrix::hunt(mutant, EFFORT);
            rows.lock().expect("no hunt panics").push(row);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let mut rows = rows.into_inner().expect("no hunt panics");
    rows.sort_by_key(|row| (row.class, row.mutant));
    assert_eq!(rows.len(), mutants.len());
    for row in &rows {
        println!(
            "{} {:32} {:8} {:4} executions, {:.3} s",
            row.class, row.mutant, row.property, row.executions.0, row.seconds.0
        );
    }
    let survivors: Vec<_> = rows.iter().filter(|row| !row.is_dead()).collect();
    assert!(survivors.is_empty(), "{survivors:#?}");
}

#[test]
fn the_same_effort_acquits_the_gate() {
    let slots = subject::by_name("slots").expect("it is known");
    let found = matrix::acquit(&slots, EFFORT);
    assert!(found.is_empty(), "{found:?}");
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
            let changed = variant::scripts_of(v.patches).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(
                changed.is_empty(),
                v.patches.is_empty(),
                "{}",
                mutant.name()
            );
            assert_ne!(v, variant::Variant::NONE, "{} is the gate", mutant.name());
        }
    }
}
