//! Shrinking, on gates that are known to be wrong; and the bugs of the past.

use sluice_sim::log::{Decision, DecisionFile};
use sluice_sim::redis::Engine;
use sluice_sim::strategy::Role;
use verify::find;
use verify::regression::{Case, Verdict};
use verify::run::{Run, Until};
use verify::scenario::Scenario;
use verify::shrink::{Bug, Shrink, shrink};
use verify::subject;

fn shrunken(name: &str, scenario: &Scenario) -> (Vec<Decision>, Shrink) {
    let subject = subject::by_name(name).expect("it is known");
    let found = find::first(&subject, scenario, 0..2_000, None).expect("a violation");
    let decisions = found.trace.file.decisions;
    let engine = Engine::new();
    let least = shrink(&subject, scenario, &decisions, &engine).expect("it breaks");
    (decisions, least)
}

/// One slot, two clients, and nobody but them: the essence of a cap of 20.
#[test]
fn the_twenty_first_session_shrinks_to_two_clients_for_one_slot() {
    for scenario in [Scenario::rush(20, 21), Scenario::race(4, 9)] {
        let (_, least) = shrunken("naive", &scenario);
        println!("{} → {}", least.original, least.shrunken);
        assert_eq!(least.bug.to_string(), "R1.1 (store)");
        assert_eq!(least.original.cap, scenario.sessions);
        assert_eq!((least.shrunken.cap, least.shrunken.clients), (1, 2));
        assert!(least.shrunken.decisions <= 9, "{}", least.shrunken);
    }
}

/// Nothing that is left can be left out, faults and numbers included.
#[test]
fn what_is_left_is_needed_to_the_last_decision() {
    let engine = Engine::new();
    let mut faults = 0;
    for (name, scenario) in [
        ("naive", Scenario::rush(20, 21)),
        ("hash-script-unconditional", Scenario::race(2, 4)),
        ("per-process", Scenario::swarm()),
        ("lost-means-no", Scenario::swarm()), // needs a fault
    ] {
        let (_, least) = shrunken(name, &scenario);
        faults += least.shrunken.faults;
        let case = Case::of(least.trace.file.clone()).expect("its own file");
        let run = Run::new(case.subject, case.scenario.clone(), 0).until_violation();
        let whole = &least.trace.file.decisions;
        assert!(least.bug.is_in(&run.follow(whole, &engine).0));
        for at in 0..whole.len() {
            let mut less = whole.clone();
            less.remove(at);
            // A fault goes with all that belongs to it.
            if whole[at].role() == Role::Fault {
                let part = |d: &Decision| matches!(d.role(), Role::Target | Role::Number);
                while less.get(at).is_some_and(part) {
                    less.remove(at);
                }
                if at > 0 && whole[at - 1].role() == Role::Place {
                    less.remove(at - 1);
                }
            }
            let (outcome, _) = run.follow(&less, &engine);
            assert!(!least.bug.is_in(&outcome), "{name}: without {}", whole[at]);
        }
    }
    assert!(faults > 0, "none of them tells of a fault");
}

/// The same input gives the same result; what is shrunken stays as it is.
#[test]
fn shrinking_is_determined_and_comes_to_an_end() {
    let scenario = Scenario::race(3, 6);
    let (decisions, first) = shrunken("hash-script-reentry", &scenario);
    let subject = subject::by_name("hash-script-reentry").expect("it is known");
    let again = shrink(&subject, &scenario, &decisions, &Engine::new()).expect("it breaks");
    assert_eq!(first.trace.file, again.trace.file);
    assert_eq!(
        (first.tried, &first.shrunken),
        (again.tried, &again.shrunken)
    );

    let case = Case::of(first.trace.file.clone()).expect("its own file");
    let file = &case.file.decisions;
    let once_more = shrink(&subject, &case.scenario, file, &Engine::new()).expect("it breaks");
    assert_eq!(once_more.shrunken.decisions, first.shrunken.decisions);
    let (outcome, _) = Run::new(subject, scenario, 0).follow(&[], &Engine::new());
    assert_eq!(
        Bug::of(&outcome),
        None,
        "nobody is preempted, nothing breaks"
    );
}

/// Every file in `verify/regressions` says what it has to say.
#[test]
fn the_bugs_of_the_past_are_where_they_were_left() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    files.sort();
    assert!(files.len() >= 5, "only {} files", files.len());
    let engine = Engine::new();
    let mut fixed = false;
    for path in files {
        let name = path.display();
        let text = std::fs::read_to_string(&path).expect("text");
        let file = DecisionFile::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let case = Case::of(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let note = case.file.shrunken.as_ref().map_or("", |s| &s.note);
        assert!(note.len() > 20, "{name}: it does not say why it happens");
        let (_, verdict) = case.run(Until::Violation, &engine);
        println!("{name}: {verdict}");
        assert!(case.is_as_expected(&verdict), "{name}: {verdict}");
        fixed |= verdict == Verdict::Fixed;
        // The alarm works: a file that names what is not there is noticed.
        let mut stale = case.clone();
        stale.subject = subject::by_name("slots").expect("it is known");
        let label = sluice_sim::choice::Label::new(sluice_sim::choice::Kind::Execute, 99, 0, 1);
        stale.file.decisions.push(Decision::Pick(label));
        let (_, verdict) = stale.run(Until::Violation, &engine);
        assert!(
            matches!(verdict, Verdict::Stale { .. }),
            "{name}: {verdict}"
        );
        assert!(!stale.is_as_expected(&verdict));
    }
    assert!(fixed, "no file of a bug that was mended");
}
