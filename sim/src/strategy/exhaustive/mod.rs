//! All schedules, within bounds.
//!
//! Depth first over forks of a world: every event that may be next is taken,
//! every fault of the alphabet strikes at every place, time passes at every
//! moment, as long as the [`Bounds`] allow. A state that was seen before (by
//! [`World::recognise`], together with what is left of the bounds) is not entered
//! again, so that the number of states counts and not that of schedules.
//!
//! # What keeps it small
//!
//! * *Identity* ([`World::recognise`]): times relative to now, counters left out,
//!   clients in any order ([`Search::symmetric`]), and of numbers what they mean
//!   ([`Reading`]). Once no time may pass and no clock may step any more, a
//!   deadline that lies ahead is never reached, however far ahead it is.
//! * *Farewells first* ([`Search::reduced`]): that the server learns of the end
//!   of a connection which nobody uses any more commutes with everything,
//!   faults and time included, and nobody sees it. (Unless it is held up: then
//!   it costs a step of time, which others may need.)
//! * *Local events first*: once no fault and no time may come in between any
//!   more, what happens on a host alone commutes with all that happens
//!   elsewhere. If nothing else can arrive at the host either, and the judge sees
//!   no difference, it need not wait for the others.
//!
//! * *Sleep sets* ([`Search::sleeping`]): of two events that commute, one order
//!   is enough.
//!
//! The second and third take one event and try nothing else beside it: an ample
//! set (Clarke, Grumberg, Peled: *Model checking*, ch. 10) of one event. It
//! commutes with all that others can do before it (C1), the judge sees no
//! difference (C2), and no event is put off for ever (C3): if the state that it
//! leads to is on the path already, all the others are tried, too. Nobody sleeps
//! in such a state: there is nothing to leave out.
//!
//! # What the result claims
//!
//! Within the bounds of its [`Certificate`], nothing else. States are told apart
//! by 64 bits: among n states the chance that two are taken for one is below
//! n² ÷ 2⁶⁵.

mod branch;
mod sleep;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use crate::choice::Label;
use crate::digest::{Digest, FixedState};
use crate::log::Decision;
use crate::store::Store;
use crate::world::{Event, Farewell, FaultKind, Program, Reading, Recognised, World};
use branch::Branch;
use sleep::{Asleep, Sleeper};

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
    /// Of two events that commute, one order is enough.
    pub sleeping: bool,
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
    /// No state of this key was on the path before it.
    enters: bool,
    moves: Vec<Move>,
    next: usize,
    branch: Branch,
    /// A single local event is taken instead of all: the others, beside it.
    lone: Option<Vec<Move>>,
    /// Need not be taken any more, from here or after what they commute with.
    asleep: Vec<Sleeper>,
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
        let left = (self.bounds.faults, self.bounds.clock_steps);
        let known = self.recognise(&world, left, reading, judge);
        // For each state what has always slept there: nobody took it.
        let mut seen: HashMap<u64, u64, FixedState> = HashMap::default();
        seen.insert(known.identity, 0);
        let mut on_path: HashSet<u64, FixedState> = HashSet::default();
        on_path.insert(known.identity);
        let moves = options(&world, left, &certificate.alphabet);
        certificate.count_end(&world, &moves);
        let mut first = Node::new(world, left, known.identity);
        first.moves = moves;
        let mut stack = vec![first];
        while let Some(node) = stack.last_mut() {
            let Some(found) = node.take(engine) else {
                if let Some(node) = stack.pop().filter(|node| node.enters) {
                    on_path.remove(&node.key);
                }
                continue;
            };
            let Some(found) = found else {
                continue; // a fault with nothing to strike
            };
            let after = found.world;
            certificate.transitions += 1;
            if let Err(words) = judge.judge(&node.world, &after) {
                let mut decisions: Vec<Decision> =
                    stack.iter().flat_map(|n| n.path.clone()).collect();
                decisions.extend(found.path);
                certificate.violation = Some(Violation { words, decisions });
                return certificate;
            }
            let known = self.recognise(&after, found.left, reading, judge);
            let visible = || judge.visible(&node.world) != judge.visible(&after);
            if node.lone.is_some() && (on_path.contains(&known.identity) || visible()) {
                // Not a case for taking it alone: all the others too.
                node.moves.extend(node.lone.take().into_iter().flatten());
            }
            let mut asleep = Asleep::NOBODY;
            if let Some(event) = found.event.filter(|_| self.sleeping) {
                let taken = Sleeper::new(&event, event.touch.keys != 0 || visible());
                asleep = Asleep::after(&node.asleep, &taken, &after, &known);
                if found.last_round && !event.touch.everything {
                    node.asleep.push(taken);
                }
            }
            let woken = match seen.entry(known.identity) {
                Entry::Vacant(new) => {
                    new.insert(asleep.bits);
                    None
                }
                Entry::Occupied(mut old) => {
                    let woken = *old.get() & !asleep.bits;
                    if woken == 0 {
                        continue;
                    }
                    *old.get_mut() &= asleep.bits;
                    asleep = asleep.only(*old.get(), &after, &known);
                    Some(woken)
                }
            };
            let mut moves = options(&after, found.left, &certificate.alphabet);
            if woken.is_none() {
                certificate.states += 1;
                certificate.count_end(&after, &moves);
                let states = certificate.states;
                let asked = states.is_multiple_of(1_024);
                if states > self.bounds.states || (asked && !judge.goes_on(states)) {
                    return certificate;
                }
            }
            let mut next = Node::new(after, found.left, known.identity);
            (next.path, next.last) = (found.path, found.last);
            if let Some(woken) = woken {
                moves.retain(|m| match *m {
                    Move::Event(event) => next.world.mark(&event, &known) & woken != 0,
                    Move::Fault(_) => false, // they never sleep
                });
                next.moves = moves;
            } else if let Some(lone) = self.lone(&next, &moves, ignores) {
                // Whatever comes back finds nobody asleep, and need not go on.
                seen.insert(next.key, 0);
                asleep = Asleep::NOBODY;
                next.moves.push(moves.remove(lone));
                next.lone = Some(moves);
            } else {
                moves.retain(|m| !matches!(m, Move::Event(event) if asleep.holds(event)));
                next.moves = moves;
            }
            next.asleep = asleep.into_sleepers();
            next.enters = on_path.insert(known.identity);
            stack.push(next);
            certificate.depth = certificate.depth.max(stack.len() - 1);
        }
        certificate.complete = true;
        certificate
    }

    fn recognise<P: Program, S: Store>(
        &self,
        world: &World<P, S>,
        left: (u32, u32),
        reading: &impl Reading<S>,
        judge: &impl Judge<P, S>,
    ) -> Recognised {
        let steps = [FaultKind::ClockStep, FaultKind::ServerClockStep];
        let clocks_step = left.0 > 0 && world.alphabet().any(|kind| steps.contains(&kind));
        let frozen = left.1 == 0 && !clocks_step;
        let mut known = world.recognise(self.symmetric, frozen, reading);
        known.identity = Digest::of(&(known.identity, left, judge.context(world)));
        known
    }

    /// Which of these may be taken alone, if one may and there are others.
    fn lone<P: Program, S: Store>(
        &self,
        node: &Node<P, S>,
        moves: &[Move],
        ignores: bool,
    ) -> Option<usize> {
        let stops = [
            FaultKind::ServerRestart,
            FaultKind::ServerWipe,
            FaultKind::ServerFailover,
            FaultKind::ServerSplit,
            FaultKind::PowerLoss,
        ];
        let stop = |m: &Move| matches!(m, Move::Fault(kind) if stops.contains(kind));
        if !self.reduced || moves.len() < 2 || moves.iter().any(stop) {
            return None;
        }
        let alone = (node.faults, node.clock_steps) == (0, 0);
        let local = || alone.then(|| Self::local(&node.world, moves)).flatten();
        Self::farewell(moves, ignores).or_else(local)
    }

    /// The end of a connection, at the server, of which nobody hears.
    fn farewell(moves: &[Move], ignores_listeners: bool) -> Option<usize> {
        let fits = |m: &Move| match m {
            Move::Event(event) if event.leaps => false,
            Move::Event(event) => match event.farewell {
                Farewell::Unheard => true,
                Farewell::Heard => ignores_listeners,
                Farewell::No => false,
            },
            Move::Fault(_) => false,
        };
        moves.iter().position(fits)
    }

    /// An event on a host alone that commutes with everything that may come
    /// before it.
    fn local<P: Program, S: Store>(world: &World<P, S>, moves: &[Move]) -> Option<usize> {
        let fits = |m: &Move| match m {
            Move::Event(Event { touch, .. }) => {
                let local = !touch.everything && touch.keys == 0;
                local && touch.host.is_some_and(|host| world.hears_one_thing(host))
            }
            Move::Fault(_) => false,
        };
        moves.iter().position(fits)
    }
}

/// Everything that may be next, as far as the bounds allow it: events, and after
/// them faults.
fn options<P: Program, S: Store>(
    world: &World<P, S>,
    (faults, clock_steps): (u32, u32),
    alphabet: &[FaultKind],
) -> Vec<Move> {
    let events = world.events().into_iter();
    let events = events.filter(|event| clock_steps > 0 || !event.leaps);
    let mut moves: Vec<Move> = events.map(Move::Event).collect();
    if faults > 0 {
        moves.extend(alphabet.iter().map(|kind| Move::Fault(*kind)));
    }
    moves
}

/// A successor.
struct Found<P, S> {
    world: World<P, S>,
    /// What is left of faults and clock steps.
    left: (u32, u32),
    /// The event that led there, unless it was a fault.
    event: Option<Event>,
    /// Every way for that to happen has been taken.
    last_round: bool,
    /// The decisions that led there, and the last event on the path.
    path: Vec<Decision>,
    last: Option<Label>,
}

impl<P: Program, S: Store> Node<P, S> {
    const fn new(world: World<P, S>, (faults, clock_steps): (u32, u32), key: u64) -> Self {
        Self {
            world,
            faults,
            clock_steps,
            key,
            enters: true,
            moves: Vec::new(),
            next: 0,
            branch: Branch::NEW,
            lone: None,
            asleep: Vec::new(),
            path: Vec::new(),
            last: None,
        }
    }

    /// The next successor; `Some(None)` if this try changes nothing.
    fn take(&mut self, engine: &S::Engine) -> Option<Option<Found<P, S>>> {
        let next = *self.moves.get(self.next)?;
        let mut world = self.world.clone();
        let (mut faults, mut clock_steps) = (self.faults, self.clock_steps);
        let mut path = Vec::new();
        let mut last = self.last;
        let mut taken = None;
        let struck = match next {
            Move::Event(event) => {
                taken = Some(event);
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
        let last_round = !self.branch.next_round();
        if last_round {
            self.next += 1;
            self.branch = Branch::NEW;
        }
        Some(struck.then_some(Found {
            world,
            left: (faults, clock_steps),
            event: taken,
            last_round,
            path,
            last,
        }))
    }
}

impl Certificate {
    fn count_end<P: Program, S: Store>(&mut self, world: &World<P, S>, moves: &[Move]) {
        if moves.iter().any(|m| matches!(m, Move::Event(_))) {
            return;
        }
        if world.events().is_empty() {
            self.ends += 1;
        } else {
            self.out_of_time += 1;
        }
    }
}
