//! The alarm works: every wrong gate is convicted, by what is expected of it.

use verify::find;
use verify::run;
use verify::scenario::Scenario;
use verify::subject::{self, Kind};

/// No more than what the gate itself is given in `simulation.rs`.
const SEEDS: u64 = 2_000;

#[test]
fn every_wrong_gate_is_convicted_by_what_is_expected_of_it() {
    for subject in subject::ALL.iter().filter(|s| !s.convicted_by.is_empty()) {
        let scenario = match subject.kind {
            Kind::PerProcess => Scenario::burst(50),
            Kind::Hash(..) | Kind::Slots(_) => Scenario::race(2, 4),
        };
        for code in subject.convicted_by {
            let found = find::first(subject, &scenario, 0..SEEDS, Some(code));
            let found = found.unwrap_or_else(|| panic!("{} keeps {code}", subject.name));
            println!("{:26} {code} broken by seed {}", subject.name, found.seed);
        }
    }
}

/// The right gate is not convicted where the wrong ones are.
#[test]
fn the_right_gate_is_acquitted_in_the_same_races() {
    let slots = subject::by_name("slots").expect("it is known");
    for (seed, run) in run::many(&slots, &Scenario::race(2, 4), 0..500, |_, _| {})
        .iter()
        .enumerate()
    {
        assert!(run.is_clean(), "seed {seed}: {:?}", run.findings);
    }
}

/// A name that is not known is answered with those that are.
#[test]
fn unknown_subjects_are_told_which_there_are() {
    let error = subject::by_name("nave").expect_err("a typing error");
    assert!(error.to_string().contains("naive"), "{error}");
    let error = Scenario::by_name("busrt").expect_err("a typing error");
    assert!(error.to_string().contains("burst-20"), "{error}");
}
