//! All schedules, within bounds.
//!
//! Depth first over forks of a world: every event that may be next is taken,
//! every fault of the alphabet strikes at every place, time passes at every
//! moment, as long as the [`Bounds`] allow. A state that was seen before (by
//! [`World::identity`], together with what is left of the bounds) is not entered
//! again, so that the number of states counts and not that of schedules.
//!
//! # What keeps it small
//!
//! * *Identity* ([`World::identity`]): times relative to now, counters left out,
//!   clients in any order ([`Search::symmetric`]), and of numbers what they mean
//!   ([`Reading`]). Once no time may pass and no clock may step any more, a
//!   deadline that lies ahead is never reached, however far ahead it is.
//! * *Farewells first* ([`Search::reduced`]): that the server learns of the end
//!   of a connection which nobody uses any more commutes with everything,
//!   faults and time included, and nobody sees it.
//! * *Local events first*: once no fault and no time may come in between any
//!   more, what happens on a host alone commutes with all that happens
//!   elsewhere. If nothing else can arrive at the host either, and the judge sees
//!   no difference, it need not wait for the others.
//!
//! Both take one event and try nothing else beside it: an ample set (Clarke,
//! Grumberg, Peled: *Model checking*, ch. 10) of one event. It commutes with all
//! that others can do before it (C1), the judge sees no difference (C2), and no
//! event is put off for ever (C3): if the state that it leads to is on the path
//! already, all the others are tried, too. No sleep sets: with states matched by
//! identity they would have to be kept with each state (Godefroid: *Partial-order
//! methods*, ch. 4.5), and they save transitions, not states.
//!
//! # What the result claims
//!
//! Within the bounds of its [`Certificate`], nothing else. States are told apart
//! by 64 bits: among n states the chance that two are taken for one is below
//! n² ÷ 2⁶⁵.

mod branch;

use hashbrown::HashSet;

use crate::choice::Label;
use crate::digest::Digest;
use crate::log::Decision;
use crate::redis::FixedState;
use crate::store::Store;
use crate::world::{Event, Farewell, FaultKind, Program, Reading, World};
use branch::Branch;

/// How far a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Most faults on a path.
    pub faults: u32,
    /// How often time may pass on a path: each time to the next deadline.
    pub clock_steps: u32,
    /// Most states; beyond them the search gives up.
    pub states: u64,
}

/// What looks at the search.
pub trait Judge<P: Program, S: Store> {
    /// Looks at a transition.
    ///
    /// # Errors
    /// In words, if an invariant broke in it.
    fn judge(&mut self, before: &World<P, S>, after: &World<P, S>) -> Result<(), String>;

    /// All that it sees of a state but the server: two states of the same
    /// server that look alike here are judged alike.
    fn visible(&self, world: &World<P, S>) -> u64;

    /// What it goes by besides: states that differ in this are two. Nothing,
    /// unless it says so.
    fn context(&self, world: &World<P, S>) -> u64 {
        let _ = world;
        0
    }

    /// Whether to go on; asked now and then, with the number of states.
    fn goes_on(&mut self, states: u64) -> bool {
        let _ = states;
        true
    }
}

/// A search, ready to go.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// How far it goes.
    pub bounds: Bounds,
    /// Hosts with names are interchangeable.
    pub symmetric: bool,
    /// Local events come first where nobody can tell.
    pub reduced: bool,
}

/// What a search has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// How far it went.
    pub bounds: Bounds,
    /// Which faults it tried.
    pub alphabet: Vec<FaultKind>,
    /// Distinct states, the first included.
    pub states: u64,
    /// Steps from one of them to another, or to one seen before.
    pub transitions: u64,
    /// Steps of the longest path.
    pub depth: usize,
    /// States in which nothing can ever happen.
    pub ends: u64,
    /// States that only time can leave, and it may not pass any more.
    pub out_of_time: u64,
    /// Everything within the bounds was tried.
    pub complete: bool,
    /// The first violation, if there is one: the search ends there.
    pub violation: Option<Violation>,
}

/// A path to a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What broke, in words.
    pub words: String,
    /// How to get there, for [`Follow`](super::Follow).
    pub decisions: Vec<Decision>,
}

/// A state on the path, with what is left to try from it.
struct Node<P, S> {
    world: World<P, S>,
    faults: u32,
    clock_steps: u32,
    key: u64,
    moves: Vec<Move>,
    next: usize,
    branch: Branch,
    /// A single local event was taken instead of all.
    lone: Option<Vec<Move>>,
    /// The decisions that led here, and the event before any fault.
    path: Vec<Decision>,
    last: Option<Label>,
}

#[derive(Clone, Copy)]
enum Move {
    Event(Event),
    Fault(FaultKind),
}

impl Search {
    /// Explores all that can follow. The world must run adversarially.
    pub fn explore<P: Program, S: Store>(
        &self,
        world: World<P, S>,
        engine: &S::Engine,
        reading: &impl Reading<S>,
        judge: &mut impl Judge<P, S>,
    ) -> Certificate {
        let mut certificate = Certificate {
            bounds: self.bounds,
            alphabet: world.alphabet().collect(),
            states: 1,
            transitions: 0,
            depth: 0,
            ends: 0,
            out_of_time: 0,
            complete: false,
            violation: None,
        };
        let ignores = reading.ignores_listeners();
        let mut seen: HashSet<u64, FixedState> = HashSet::default();
        let bounds = (self.bounds.faults, self.bounds.clock_steps);
        let key = self.key(&world, bounds, reading, judge);
        seen.insert(key);
        let mut on_path: HashSet<u64, FixedState> = HashSet::default();
        on_path.insert(key);
        let first = self.node(world, bounds, key, &certificate.alphabet, ignores);
        let mut stack = vec![first];
        certificate.count_end(&stack[0]);
        while let Some(node) = stack.last_mut() {
            let Some(found) = node.take(engine) else {
                if let Some(node) = stack.pop() {
                    on_path.remove(&node.key);
                }
                continue;
            };
            let Some((after, faults, clock_steps, path, last)) = found else {
                continue; // a fault with nothing to strike
            };
            certificate.transitions += 1;
            if let Err(words) = judge.judge(&node.world, &after) {
                let mut decisions: Vec<Decision> =
                    stack.iter().flat_map(|n| n.path.clone()).collect();
                decisions.extend(path);
                certificate.violation = Some(Violation { words, decisions });
                return certificate;
            }
            let key = self.key(&after, (faults, clock_steps), reading, judge);
            if let Some(all) = &node.lone
                && (on_path.contains(&key) || judge.visible(&node.world) != judge.visible(&after))
            {
                // Not a case for taking it alone: all the others too.
                node.moves.clone_from(all);
                node.lone = None;
            }
            if !seen.insert(key) {
                continue;
            }
            certificate.states += 1;
            let most = certificate.states > self.bounds.states;
            if most
                || (certificate.states.is_multiple_of(1_024) && !judge.goes_on(certificate.states))
            {
                return certificate;
            }
            let left = (faults, clock_steps);
            let mut next = self.node(after, left, key, &certificate.alphabet, ignores);
            (next.path, next.last) = (path, last);
            certificate.count_end(&next);
            on_path.insert(key);
            stack.push(next);
            certificate.depth = certificate.depth.max(stack.len() - 1);
        }
        certificate.complete = true;
        certificate
    }

    fn key<P: Program, S: Store>(
        &self,
        world: &World<P, S>,
        left: (u32, u32),
        reading: &impl Reading<S>,
        judge: &impl Judge<P, S>,
    ) -> u64 {
        let steps = [FaultKind::ClockStep, FaultKind::ServerClockStep];
        let clocks_step = left.0 > 0 && world.alphabet().any(|kind| steps.contains(&kind));
        let frozen = left.1 == 0 && !clocks_step;
        let identity = world.identity(self.symmetric, frozen, reading);
        Digest::of(&(identity, left, judge.context(world)))
    }

    fn node<P: Program, S: Store>(
        &self,
        world: World<P, S>,
        (faults, clock_steps): (u32, u32),
        key: u64,
        alphabet: &[FaultKind],
        ignores: bool,
    ) -> Node<P, S> {
        let mut moves: Vec<Move> = world
            .events()
            .into_iter()
            .filter(|event| clock_steps > 0 || !event.leaps)
            .map(Move::Event)
            .collect();
        if faults > 0 {
            moves.extend(alphabet.iter().map(|kind| Move::Fault(*kind)));
        }
        let stops = [FaultKind::ServerRestart, FaultKind::ServerWipe];
        let may_stop = faults > 0 && alphabet.iter().any(|kind| stops.contains(kind));
        let lone = match (faults, clock_steps) {
            _ if !self.reduced || may_stop => None,
            (0, 0) => Self::farewell(&moves, ignores).or_else(|| Self::local(&world, &moves)),
            _ => Self::farewell(&moves, ignores),
        };
        let (moves, lone) = match lone {
            Some(only) if moves.len() > 1 => (vec![only], Some(moves)),
            Some(_) | None => (moves, None),
        };
        Node {
            world,
            faults,
            clock_steps,
            key,
            moves,
            next: 0,
            branch: Branch::default(),
            lone,
            path: Vec::new(),
            last: None,
        }
    }

    /// The end of a connection, at the server, of which nobody hears.
    fn farewell(moves: &[Move], ignores_listeners: bool) -> Option<Move> {
        let fits = |m: &&Move| match m {
            Move::Event(event) => match event.farewell {
                Farewell::Unheard => true,
                Farewell::Heard => ignores_listeners,
                Farewell::No => false,
            },
            Move::Fault(_) => false,
        };
        moves.iter().find(fits).copied()
    }

    /// An event on a host alone that commutes with everything that may come
    /// before it.
    fn local<P: Program, S: Store>(world: &World<P, S>, moves: &[Move]) -> Option<Move> {
        let fits = |m: &&Move| match m {
            Move::Event(Event { touch, .. }) => {
                let local = !touch.everything && touch.keys == 0;
                local && touch.host.is_some_and(|host| world.hears_one_thing(host))
            }
            Move::Fault(_) => false,
        };
        moves.iter().find(fits).copied()
    }
}

/// A successor: the world, what is left of faults and clock steps, the decisions
/// that led there, and the last event.
type Found<P, S> = (World<P, S>, u32, u32, Vec<Decision>, Option<Label>);

impl<P: Program, S: Store> Node<P, S> {
    /// The next successor; `Some(None)` if this try changes nothing.
    fn take(&mut self, engine: &S::Engine) -> Option<Option<Found<P, S>>> {
        let next = *self.moves.get(self.next)?;
        let mut world = self.world.clone();
        let (mut faults, mut clock_steps) = (self.faults, self.clock_steps);
        let mut path = Vec::new();
        let mut last = self.last;
        let struck = match next {
            Move::Event(event) => {
                clock_steps -= u32::from(event.leaps);
                world.advance(&event, engine, &mut self.branch);
                path.push(Decision::Pick(event.label));
                last = Some(event.label);
                true
            }
            Move::Fault(kind) => {
                faults -= 1;
                path.extend(self.last.map(Decision::After));
                let count = world.fired().total() as u32;
                let label = Label::new(kind.decision(), Label::SERVER, 0, count);
                path.push(Decision::Pick(label));
                !world.suffer(kind, &mut self.branch).is_empty()
            }
        };
        path.append(&mut self.branch.decisions);
        if !self.branch.next_round() {
            self.next += 1;
            self.branch = Branch::default();
        }
        Some(struck.then_some((world, faults, clock_steps, path, last)))
    }
}

impl Certificate {
    fn count_end<P: Program, S: Store>(&mut self, node: &Node<P, S>) {
        if node.moves.iter().any(|m| matches!(m, Move::Event(_))) {
            return;
        }
        if node.world.events().is_empty() {
            self.ends += 1;
        } else {
            self.out_of_time += 1;
        }
    }
}
