//! The search against stateright, an independent model checker: as many states,
//! as many transitions, the same states, the same verdict.
#![allow(missing_docs, reason = "a test")]

#[path = "stateright/model.rs"]
mod model;

use std::collections::BTreeSet;

use model::{Gate, Race, Stage, State};
use sluice_sim::choice::Kind;
use sluice_sim::redis::{Engine, Server};
use sluice_sim::strategy::exhaustive::{Bounds, Judge, Search};
use sluice_sim::world::{Exact, World};
use stateright::{Checker, Model, Path};
use verify::prove::Proof;
use verify::scenario::Scenario;
use verify::scenario::process::Process;
use verify::strategy::Strategy;
use verify::subject;

type At = World<Process, Server>;

const NOTHING: Bounds = Bounds {
    faults: 0,
    clock_steps: 0,
    states: 10_000_000,
};

/// What both sides can see of a client: what is next for it, if anything is,
/// and whether it is written in.
type Seen = Vec<(Option<&'static str>, bool)>;

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    states: u64,
    transitions: u64,
    seen: BTreeSet<Seen>,
}

/// Objects to nothing, and writes down what it sees.
struct Scribe(BTreeSet<Seen>);

impl Judge<Process, Server> for Scribe {
    fn judge(&mut self, before: &At, after: &At) -> Result<(), String> {
        self.0.insert(look(before));
        self.0.insert(look(after));
        Ok(())
    }

    fn visible(&self, _: &At) -> u64 {
        0
    }
}

fn look(world: &At) -> Seen {
    let events = world.events();
    let inside = world
        .server()
        .keyspace()
        .hash(b"{sessions}:active", world.server_time_us());
    (0..world.hosts() as u16)
        .map(|host| {
            let next = events.iter().find(|event| event.label.host == host);
            let next = next.map(|event| match (event.label.kind, event.label.occurrence) {
                (Kind::Wake, _) => "wake",
                (Kind::Connect, _) => "connect",
                (Kind::Execute, 1) => "ask",
                (Kind::Deliver, 1) => "hear",
                (Kind::Execute, _) => "write",
                (Kind::Deliver, _) => "done",
                (kind, _) => panic!("{kind:?} is no part of a race"),
            });
            let id = world.program(host).seats()[0].user.id();
            let held = inside.is_some_and(|hash| hash.get(id.as_bytes()).is_some());
            (next, held)
        })
        .collect()
}

fn ours(name: &str, race: &Race, symmetric: bool) -> Found {
    let subject = subject::by_name(name).expect("it is known");
    let scenario = Scenario::rush(race.cap as u32, race.clients as u16);
    let world = scenario
        .build(&subject, &mut Strategy::Random.chooser(0))
        .world;
    let search = Search {
        bounds: NOTHING,
        symmetric,
        reduced: false,
        sleeping: false,
    };
    let mut scribe = Scribe(BTreeSet::new());
    let found = search.explore(world, &Engine::remembering(), &Exact, &mut scribe);
    assert!(found.complete);
    Found {
        states: found.states,
        transitions: found.transitions,
        seen: scribe.0,
    }
}

fn theirs(race: &Race) -> Found {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let notes = seen.clone();
    let look = |State(clients): &State| -> Seen {
        let next = |stage| match stage {
            Stage::Asleep => Some("wake"),
            Stage::Connecting => Some("connect"),
            Stage::Asks => Some("ask"),
            Stage::Answered(_) => Some("hear"),
            Stage::Writes => Some("write"),
            Stage::Written => Some("done"),
            Stage::Inside | Stage::Away => None,
        };
        clients.iter().map(|(s, held)| (next(*s), *held)).collect()
    };
    let visitor = move |path: Path<State, usize>| {
        notes
            .lock()
            .expect("one thread")
            .insert(look(path.last_state()));
    };
    let checker = race.clone().checker().visitor(visitor).spawn_bfs().join();
    let seen = seen.lock().expect("it is over").clone();
    Found {
        states: checker.unique_state_count() as u64,
        transitions: checker.state_count() as u64 - 1,
        seen,
    }
}

fn races() -> impl Iterator<Item = (&'static str, Race)> {
    let gates = [
        ("naive", Gate::Naive),
        ("hash-script-unconditional", Gate::Script),
    ];
    gates.into_iter().flat_map(|(name, gate)| {
        (2..=4).flat_map(move |clients| (1..=2).map(move |cap| (name, Race { gate, clients, cap })))
    })
}

#[test]
fn the_search_sees_what_stateright_sees() {
    for (name, race) in races() {
        let (ours, theirs) = (ours(name, &race, false), theirs(&race));
        println!("{name} {race:?}: {} {}", ours.states, ours.transitions);
        assert_eq!(ours.states, theirs.states, "{race:?}");
        assert_eq!(ours.transitions, theirs.transitions, "{race:?}");
        assert!(ours.seen == theirs.seen, "{race:?}");
    }
}

#[test]
fn a_difference_is_found() {
    let race = Race {
        gate: Gate::Naive,
        clients: 3,
        cap: 1,
    };
    let sloppy = Race {
        gate: Gate::Sloppy,
        ..race
    };
    assert_ne!(ours("naive", &race, false), theirs(&sloppy));
    let wider = Race { cap: 2, ..race };
    assert_ne!(ours("naive", &race, false), theirs(&wider));
}

/// Interchangeable clients are as many orbits for both.
#[test]
fn symmetry_leaves_as_many_states() {
    for (name, race) in races() {
        let all = Race {
            cap: race.clients,
            ..race
        };
        let theirs = all.clone().checker().symmetry().spawn_dfs().join();
        let ours = ours(name, &all, true);
        println!("{name} {all:?}: {}", ours.states);
        assert_eq!(ours.states, theirs.unique_state_count() as u64, "{all:?}");
    }
}

#[test]
fn both_say_the_same_of_every_race() {
    let mut convicted = 0;
    for (name, race) in races() {
        let theirs = race.clone().checker().spawn_bfs().join();
        let scenario = Scenario::rush(race.cap as u32, race.clients as u16);
        let subject = subject::by_name(name).expect("it is known");
        let ours = Proof::of(subject, scenario, NOTHING).go(|_| true);
        let broken = theirs.discovery("cap").is_some();
        assert_eq!(ours.certificate.violation.is_some(), broken, "{race:?}");
        assert_eq!(ours.holds(), !broken, "{race:?}");
        convicted += u32::from(broken);
    }
    assert_eq!(convicted, 5, "every naive race for too few slots");
}

/// Eight clients, with symmetry: exhausted where there is a slot for everybody,
/// and convicted where there is not.
#[test]
fn both_say_the_same_of_eight() {
    for cap in [7, 8] {
        let race = Race {
            gate: Gate::Naive,
            clients: 8,
            cap,
        };
        let theirs = race.clone().checker().symmetry().spawn_dfs().join();
        let found = ours("naive", &race, true);
        assert_eq!(
            found.states,
            theirs.unique_state_count() as u64,
            "cap {cap}"
        );
        let subject = subject::by_name("naive").expect("it is known");
        let proof = Proof::of(subject, Scenario::rush(cap as u32, 8), NOTHING);
        let broken = theirs.discovery("cap").is_some();
        assert_eq!(proof.go(|_| true).holds(), !broken, "cap {cap}");
        println!("8 for {cap}: {} states, broken {broken}", found.states);
    }
}
