//! Every mutant is killed, by the property that it names, within the effort
//! that acquits the gate.

use std::collections::BTreeSet;

use verify::mutant::{self, matrix};
use verify::property;
use verify::subject::variant;
use verify::subject::{self, Kind};

/// Enough for every mutant, and small enough for every change.
const EFFORT: matrix::Effort = matrix::Effort {
    trials: 2,
    budget: 150,
};

#[test]
fn every_mutant_is_killed_by_the_property_it_names() {
    let mut survivors = Vec::new();
    for mutant in mutant::all() {
        let row = matrix::hunt(mutant, EFFORT);
        println!(
            "{} {:32} {:8} {:?} executions, {:.3} s",
            row.class, row.mutant, row.property, row.executions, row.seconds.0
        );
        if !row.is_dead() {
            survivors.push(format!(
                "{} survives in {} of {} trials; broken instead: {:?}",
                row.mutant,
                row.killed.1 - row.killed.0,
                row.killed.1,
                row.others
            ));
        }
    }
    assert!(survivors.is_empty(), "\n{}", survivors.join("\n"));
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
