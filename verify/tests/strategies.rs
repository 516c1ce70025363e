//! The strategies against one another, on gates that are known to be wrong.

use verify::find::Search;
use verify::scenario::Scenario;
use verify::strategy::Tactic;
use verify::subject;

/// After how many runs a strategy first convicts, among blocks of seeds.
fn firsts(name: &str, scenario: &Scenario, strategy: Tactic, threads: usize) -> Vec<Option<u64>> {
    let subject = subject::by_name(name).expect("it is known");
    let first = |block: u64| {
        let search = Search {
            subject: &subject,
            scenario,
            strategy,
            seeds: block * 1_000..block * 1_000 + 300,
            code: Some("R1.1"),
            threads,
        };
        search.go(|_, _| {}).map(|found| found.tried - 1)
    };
    (0..8).map(first).collect()
}

/// Each of them finds the race of 21 clients for 20 slots, in which two must be
/// between reading and writing when one slot is left.
#[test]
fn every_strategy_finds_the_one_slot_too_many() {
    let scenario = Scenario::rush(20, 21);
    for strategy in Tactic::ALL {
        let found = firsts("naive", &scenario, strategy, 2);
        println!("{strategy:8} {found:?}");
        assert!(found.iter().all(Option::is_some), "{strategy}: {found:?}");
    }
}

/// What is found does not depend on the number of threads.
#[test]
fn threads_do_not_matter() {
    let scenario = Scenario::rush(3, 4);
    for strategy in Tactic::ALL {
        let alone = firsts("naive", &scenario, strategy, 1);
        assert_eq!(alone, firsts("naive", &scenario, strategy, 3), "{strategy}");
    }
}
