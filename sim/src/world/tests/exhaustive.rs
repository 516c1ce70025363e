//! All schedules of a small race: reading a length, and then writing.

use core::hash::Hash;
use std::collections::BTreeSet;

use sluice_core::client::Likeness;

use super::*;
use crate::strategy::Follow;
use crate::strategy::exhaustive::{Bounds, Certificate, Judge, Search};

/// Reads the length, and appends its name if that is below the cap.
#[derive(Clone, Debug, Hash)]
struct Racer {
    name: String,
    cap: i64,
    step: u8,
    out: Option<Output>,
}

impl Program for Racer {
    fn handle(&mut self, _: LocalTime, _: u16, input: Input) {
        match (self.step, input) {
            (0, Input::Wake) => {
                self.step = 1;
                self.out = Some(command(1, &["LEN", "x"]));
            }
            (1, Input::Reply(_, Reply::Int(n))) if n < self.cap => {
                self.step = 2;
                self.out = Some(command(2, &["ADD", &self.name]));
            }
            (_, Input::Reply(..)) => self.step = 3,
            (_, _) => self.step = 4, // it gives up
        }
    }

    fn poll_output(&mut self) -> Option<(u16, Output)> {
        self.out.take().map(|out| (0, out))
    }

    fn deadline(&self) -> Option<(LocalTime, u16, &'static str)> {
        (self.step == 0).then_some((LocalTime(0), 0, "start"))
    }

    fn restart(&mut self, _: LocalTime) {
        self.step = 0;
    }

    fn identity<H: Likeness>(&self, _: LocalTime, state: &mut H) {
        (&self.name, self.step, &self.out).hash(state);
    }

    fn names(&self) -> Vec<Bytes> {
        vec![Bytes::from(self.name.as_bytes())]
    }
}

type Race = World<Racer, Tiny>;

fn race(cap: i64, clients: usize, faults: Faults) -> Race {
    let racer = |n: usize| Racer {
        name: format!("u{n}"),
        cap,
        step: 0,
        out: None,
    };
    World::new(Setup {
        hosts: (0..clients).map(|n| HostSetup::new(racer(n))).collect(),
        server: Tiny::default(),
        mode: Mode::Adversarial,
        faults,
        epoch_us: 0,
    })
}

struct AtMost(usize);

impl Judge<Racer, Tiny> for AtMost {
    fn judge(&mut self, _: &Race, after: &Race) -> Result<(), String> {
        let held = after.server().list.len();
        (held <= self.0)
            .then_some(())
            .ok_or_else(|| format!("{held} of {}", self.0))
    }

    fn visible(&self, _: &Race) -> u64 {
        0
    }
}

fn explore(world: Race, most: usize, symmetric: bool, reduced: bool) -> Certificate {
    let search = Search {
        bounds: Bounds {
            faults: world.faults.budget,
            clock_steps: 0,
            states: 1_000_000,
        },
        symmetric,
        reduced,
        sleeping: reduced,
    };
    search.explore(world, &(), &Exact, &mut AtMost(most))
}

/// The number of states, counted another way: every client goes through eight
/// stages by itself, and what is on the list and what each has read is kept.
fn by_hand(clients: usize) -> u64 {
    // Stage: 0 asleep, 1 connecting, 2 LEN under way, 3 its reply under way,
    // 4 ADD under way, 5 its reply under way, 6 done. With a cap that is never
    // reached; the reply carries what was read.
    type Client = (u8, usize);
    let mut seen = std::collections::BTreeSet::new();
    let mut left = vec![(vec![(0u8, 0usize); clients], Vec::<usize>::new())];
    while let Some((state, list)) = left.pop() {
        if !seen.insert((state.clone(), list.clone())) {
            continue;
        }
        for (i, (stage, _)) in state.iter().enumerate() {
            let (mut list, mut next) = (list.clone(), state.clone());
            let now: Client = match stage {
                0 => (1, 0),
                1 => (2, 0),
                2 => (3, list.len()),
                3 => (4, 0),
                4 => {
                    list.push(i);
                    (5, list.len())
                }
                5 => (6, 0),
                _ => continue,
            };
            next[i] = now;
            left.push((next, list));
        }
    }
    seen.len() as u64
}

#[test]
fn it_visits_exactly_the_states_there_are() {
    for clients in 1..=3 {
        let all = explore(race(99, clients, Faults::NONE), 99, false, false);
        assert!(all.complete && all.violation.is_none());
        assert_eq!(all.states, by_hand(clients), "{clients} clients");
    }
}

#[test]
fn symmetry_and_reduction_change_the_cost_and_not_the_verdict() {
    for (cap, clients, safe) in [(1, 1, true), (1, 2, false), (2, 3, false), (3, 3, true)] {
        let mut states = Vec::new();
        for (symmetric, reduced) in [(false, false), (true, false), (false, true), (true, true)] {
            let world = race(cap, clients, Faults::NONE);
            let found = explore(world, cap as usize, symmetric, reduced);
            assert_eq!(
                found.violation.is_none(),
                safe,
                "cap {cap}, {clients} clients"
            );
            assert_eq!(found.complete, safe);
            states.push(found.states);
        }
        if safe && clients > 1 {
            assert!(
                states[0] > 3 * states[1] && states[1] > states[3],
                "{states:?}"
            );
            assert!(states[0] > 5 * states[2], "{states:?}");
        }
    }
}

/// The path to a violation can be followed by a plain run.
#[test]
fn a_violation_comes_with_the_way_there() {
    let found = explore(race(1, 3, Faults::NONE), 1, true, true);
    let violation = found.violation.expect("two of one");
    let mut world = race(1, 3, Faults::NONE);
    let mut follow = Follow::new(violation.decisions);
    while world.server().list.len() < 2 {
        assert!(
            world.step(&(), &mut follow).is_some(),
            "the way leads elsewhere"
        );
    }
    assert_eq!(violation.words, "2 of 1");
}

/// A crash loses what a client knows, not what it has sent: one client for one
/// slot is safe, and one that begins anew after its command is not.
#[test]
fn faults_are_tried_at_every_place() {
    let faults = Faults {
        budget: 1,
        ..Faults::new(PerFault::default().with(FaultKind::Cut, 1), u64::MAX - 1)
    };
    let calm = explore(race(1, 2, Faults::NONE), 2, false, false);
    let cuts = explore(race(1, 2, faults), 2, false, false);
    assert!(calm.complete && cuts.complete);
    assert_eq!(cuts.alphabet, [FaultKind::Cut]);
    assert!(
        cuts.states > 3 * calm.states,
        "{} {}",
        cuts.states,
        calm.states
    );

    // Twice as many transitions cannot hide a state: each path has one fault.
    let twice = Faults {
        budget: 2,
        ..faults
    };
    assert!(explore(race(1, 2, twice), 2, false, false).states > cuts.states);
}

#[test]
fn a_search_that_is_cut_short_says_so() {
    let search = Search {
        bounds: Bounds {
            faults: 0,
            clock_steps: 0,
            states: 100,
        },
        symmetric: false,
        reduced: false,
        sleeping: false,
    };
    let found = search.explore(race(3, 3, Faults::NONE), &(), &Exact, &mut AtMost(3));
    assert!(!found.complete && found.violation.is_none());
    assert!(found.states > 100 && found.states < 110);
}

/// Sees every step of every client, and keeps what it has seen.
#[derive(Default)]
struct Witness {
    /// Who was where and what was on the list, before and after.
    seen: BTreeSet<[(Vec<u8>, Vec<String>); 2]>,
    /// How many writes failovers have lost.
    lost: BTreeSet<u32>,
}

impl Witness {
    fn steps(world: &Race) -> Vec<u8> {
        let hosts = 0..world.hosts() as u16;
        hosts.map(|host| world.program(host).step).collect()
    }
}

impl Judge<Racer, Tiny> for Witness {
    fn judge(&mut self, before: &Race, after: &Race) -> Result<(), String> {
        let [from, to] =
            [before, after].map(|world| (Self::steps(world), world.server().list.clone()));
        if from != to {
            self.seen.insert([from, to]);
        }
        for happening in after.happenings() {
            if let Happening::ServerStopped { lost, .. } = happening {
                self.lost.insert(*lost);
            }
        }
        Ok(())
    }

    fn visible(&self, world: &Race) -> u64 {
        Digest::of(&Self::steps(world))
    }
}

/// By which short cuts: local events first, sleep sets.
fn witness(world: Race, [reduced, sleeping]: [bool; 2]) -> (Certificate, Witness) {
    let mut witness = Witness::default();
    let search = Search {
        bounds: Bounds {
            faults: world.faults.budget,
            clock_steps: 0,
            states: 1_000_000,
        },
        symmetric: false,
        reduced,
        sleeping,
    };
    let found = search.explore(world, &(), &Exact, &mut witness);
    assert!(found.complete);
    (found, witness)
}

/// What sleep sets leave out is held against a search without them. That this
/// comparison can tell is shown by a store that denies what its commands do: then
/// two of them are taken for independent, and what only their other order leads
/// to is missing.
#[test]
fn a_wrong_independence_shows() {
    for denies in [false, true] {
        let mut world = race(99, 3, Faults::NONE);
        world.server.denies = denies;
        let (awake, all) = witness(world.clone(), [false, false]);
        let (asleep, some) = witness(world, [false, true]);
        assert!(asleep.transitions < awake.transitions);
        if denies {
            assert!(asleep.states < awake.states, "{asleep:?} {awake:?}");
            assert!(some.seen.len() < all.seen.len());
            assert!(some.seen.is_subset(&all.seen));
        } else {
            assert_eq!(asleep.states, awake.states);
            assert_eq!(some.seen, all.seen);
        }
    }
}

/// A local event that the judge sees does not do alone: all the others are taken
/// beside it, the first of them included.
#[test]
fn what_is_seen_is_seen_in_every_order() {
    for clients in 2..=3 {
        let (_, all) = witness(race(99, clients, Faults::NONE), [false, false]);
        for cuts in [[true, false], [true, true]] {
            let (_, seen) = witness(race(99, clients, Faults::NONE), cuts);
            assert_eq!(seen.seen, all.seen, "{clients} clients, {cuts:?}");
        }
    }
}

/// A failover loses as many writes as there are, or fewer, or none: each of
/// these is tried.
#[test]
fn a_failover_loses_any_number_of_writes() {
    let faults = Faults {
        budget: 1,
        ..Faults::new(
            PerFault::default().with(FaultKind::ServerFailover, 1),
            u64::MAX - 1,
        )
    };
    let (_, seen) = witness(race(99, 2, faults), [true, true]);
    // Each of the two sends two commands that may write, for all that is known.
    assert_eq!(seen.lost, (0..=4).collect());
}
