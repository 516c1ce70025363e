//! All schedules of a gate within bounds (R6.9), judged by what can be judged
//! of a single step.
//!
//! A search forks the world, and a property that remembers would have to be
//! forked and told apart with it. So each transition is judged by fresh
//! properties that see the state before and after: the cap in all three
//! readings (R1.1), the order of grants (R1.2), barging (R1.3), and idle slots
//! (R1.4). What should come about in the end is not judged here.

mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use sluice_core::client::Client;
use sluice_sim::digest::Digest;
use sluice_sim::log::Decision;
use sluice_sim::redis::{Engine, Server};
use sluice_sim::strategy::exhaustive::{Bounds, Certificate, Judge, Search};
use sluice_sim::world::{Exact, FaultKind, Happening, World};

use crate::property::{self, Broken, GateMoment, Meaning, Moment};
use crate::scenario::Scenario;
use crate::scenario::process::Process;
use crate::scenario::user::Stage;
use crate::strategy::Strategy;
use crate::subject::gate::{Gate, Level};
use crate::subject::variant::Variant;
use crate::subject::view::GateView;
use crate::subject::{Kind, Subject};
use reading::ByMeaning;

/// The properties that are judged.
pub const JUDGED: [&str; 4] = ["R1.1", "R1.2", "R1.3", "R1.4"];

/// What to explore.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The gate.
    pub subject: Subject,
    /// The workload, [`Scenario::proof`] or [`Scenario::rush`].
    pub scenario: Scenario,
    /// How far.
    pub bounds: Bounds,
    /// Clients in equal states are interchangeable.
    pub symmetric: bool,
    /// Local events come first where nobody can tell.
    pub reduced: bool,
    /// Of two events that commute, one order is enough.
    pub sleeping: bool,
    /// What nobody can tell apart is one state, though numbers differ. Only
    /// the gate itself is known well enough ([`Proof::of`]).
    pub by_meaning: bool,
}

/// What was shown, and the way to the violation for a decision file.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The certificate.
    pub certificate: Certificate,
    /// Keys that scripts used without declaring them were met: then what is
    /// said of independent commands does not hold, and nothing is claimed.
    pub undeclared: bool,
}

impl Shown {
    /// The decisions that lead to the violation.
    #[must_use]
    pub fn decisions(&self) -> Option<&[Decision]> {
        let violation = self.certificate.violation.as_ref()?;
        Some(&violation.decisions)
    }

    /// Whether everything within the bounds was looked at, and nothing broke.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.certificate.complete && self.certificate.violation.is_none() && !self.undeclared
    }
}

impl Proof {
    /// The proof of a gate, with every short cut that is known to be sound for
    /// it.
    #[must_use]
    pub fn of(subject: Subject, scenario: Scenario, bounds: Bounds) -> Self {
        Self {
            by_meaning: subject.kind == Kind::Slots(Variant::NONE),
            subject,
            scenario,
            bounds,
            symmetric: true,
            reduced: true,
            sleeping: true,
        }
    }

    /// Explores. `goes_on` is asked now and then, with the number of states.
    pub fn go(&self, goes_on: impl FnMut(u64) -> bool) -> Shown {
        self.explore(None, goes_on).0
    }

    /// Explores, and collects what was judged: the states as the judge sees them,
    /// whoever is who. Two searches that collect the same have looked at the same.
    #[must_use]
    pub fn collect(&self) -> (Shown, BTreeSet<u64>) {
        self.explore(Some(BTreeSet::new()), |_| true)
    }

    fn explore(
        &self,
        seen: Option<BTreeSet<u64>>,
        goes_on: impl FnMut(u64) -> bool,
    ) -> (Shown, BTreeSet<u64>) {
        let built = self
            .scenario
            .build(&self.subject, &mut Strategy::Random.chooser(0));
        let reading = match &built.gates[..] {
            [(_, Gate::Slots(gate))] if self.by_meaning => ByMeaning::new(gate),
            _ => None,
        };
        let mut judge = Bench {
            gates: built.gates,
            views: BTreeMap::new(),
            undeclared: false,
            seen,
            goes_on,
        };
        let search = Search {
            bounds: self.bounds,
            symmetric: self.symmetric,
            reduced: self.reduced,
            sleeping: self.sleeping,
        };
        let engine = Engine::remembering();
        let certificate = match &reading {
            Some(reading) => search.explore(built.world, &engine, reading, &mut judge),
            None => search.explore(built.world, &engine, &Exact, &mut judge),
        };
        let shown = Shown {
            certificate,
            undeclared: judge.undeclared,
        };
        (shown, judge.seen.unwrap_or_default())
    }
}

type At = World<Process, Server>;

/// Where every transition is judged.
struct Bench<F> {
    gates: Vec<(Level, Gate)>,
    /// What the store has granted, by its keys and the time.
    views: BTreeMap<(usize, u64), Rc<GateView>>,
    undeclared: bool,
    /// What was judged, if that is to be kept.
    seen: Option<BTreeSet<u64>>,
    goes_on: F,
}

/// More views than this are forgotten, all at once.
const VIEWS_MAX: usize = 100_000;

impl<F> Bench<F> {
    fn view(&mut self, at: usize, world: &At, before: Option<&GateView>) -> Rc<GateView> {
        let (keys, now_us) = (world.server().keyspace(), world.server_time_us());
        let gate = &self.gates[at].1;
        // Who was popped is known from the state before alone.
        if let Some(before) = before.filter(|_| !gate.is_atomic()) {
            return Rc::new(gate.observe(before, keys, now_us));
        }
        if self.views.len() > VIEWS_MAX {
            self.views.clear();
        }
        let key = (at, Digest::of(&(keys.digest(now_us), now_us)));
        let look = || Rc::new(gate.observe(&gate.untouched(), keys, now_us));
        self.views.entry(key).or_insert_with(look).clone()
    }

    fn moments(&mut self, before: &At, after: &At) -> Vec<GateMoment> {
        (0..self.gates.len())
            .map(|at| {
                let (level, gate) = self.gates[at].clone();
                let was = self.view(at, before, None);
                let is = self.view(at, after, Some(&was));
                let operation = after.happenings().iter().find_map(|h| match h {
                    Happening::Executed {
                        who,
                        command,
                        reply,
                        ..
                    } => Some((*who, gate.read(command, reply)?)),
                    _ => None,
                });
                let (before, after) = (GateView::clone(&was), GateView::clone(&is));
                GateMoment::new(level, gate, before, after, operation)
            })
            .collect()
    }
}

impl<F: FnMut(u64) -> bool> Judge<Process, Server> for Bench<F> {
    fn judge(&mut self, before: &At, after: &At) -> Result<(), String> {
        let executed = |h: &Happening| matches!(h, Happening::Executed { .. });
        let executed = after.happenings().iter().any(executed);
        if !executed && visible(before) == visible(after) {
            return Ok(());
        }
        self.undeclared |= !after.server().undeclared_keys().is_empty();
        let gates = self.moments(before, after);
        if let Some(seen) = &mut self.seen {
            seen.insert(looks(after, &gates));
        }
        // Where a clock has stepped belief is not judged at all, below.
        let bounds = property::Bounds::default();
        let moment = Moment::new(after, &gates, after.happenings(), &bounds);
        let in_bounds = in_bounds(after);
        for mut property in property::all() {
            let belief = property.meaning() == Some(Meaning::Belief);
            if !JUDGED.contains(&property.code().0) || (belief && !in_bounds) {
                continue;
            }
            if let Err(Broken { words, .. }) = property.watch(&moment) {
                return Err(format!("{}: {words}", property.code()));
            }
        }
        Ok(())
    }

    fn visible(&self, world: &At) -> u64 {
        visible(world)
    }

    fn context(&self, world: &At) -> u64 {
        u64::from(in_bounds(world))
    }

    fn goes_on(&mut self, states: u64) -> bool {
        (self.goes_on)(states)
    }
}

/// Who believes to hold a slot, and who acts upon it.
fn visible(world: &At) -> u64 {
    let mut all = Digest::default();
    for host in 0..world.hosts() as u16 {
        let up = world.is_up(host);
        let now = world.local_time(host);
        for seat in world.program(host).seats().iter().filter(|_| up) {
            let inside = seat.user.stage == Stage::Inside;
            (host, inside, seat.session.belief(now)).hash(&mut all);
        }
    }
    all.finish()
}

/// Whether belief is judged: no clock has stepped and no data was lost.
fn in_bounds(world: &At) -> bool {
    let out = [
        FaultKind::ClockStep,
        FaultKind::ServerClockStep,
        FaultKind::ServerWipe,
        FaultKind::ServerFailover,
        FaultKind::ServerSplit,
    ];
    out.iter().all(|kind| world.fired()[*kind] == 0)
}

/// A state as the judge sees it, whoever is who: the least of its looks under
/// all orders of the hosts.
fn looks(world: &At, gates: &[GateMoment]) -> u64 {
    let hosts: Vec<u16> = (0..world.hosts() as u16).collect();
    let look = |order: &[u16]| {
        let mut all = Digest::default();
        let place = |id: &[u8]| {
            order.iter().position(|host| {
                let seats = world.program(*host).seats();
                seats.iter().any(|seat| seat.user.id().as_bytes() == id)
            })
        };
        for GateMoment { after, .. } in gates {
            let mut held: Vec<_> = after
                .held
                .iter()
                .map(|p| (place(&p.id), p.claimed))
                .collect();
            held.sort_unstable();
            held.hash(&mut all);
            for line in [&after.waiting, &after.absent] {
                let line: Vec<_> = line.iter().map(|p| place(&p.id)).collect();
                line.hash(&mut all);
            }
        }
        for host in order {
            let now = world.local_time(*host);
            for seat in world.program(*host).seats() {
                let up = world.is_up(*host);
                let believes = up && seat.session.belief(now).is_some();
                (believes, up && seat.user.stage == Stage::Inside).hash(&mut all);
            }
        }
        all.finish()
    };
    orders(hosts)
        .iter()
        .map(|order| look(order))
        .min()
        .unwrap_or(0)
}

/// All orders of a few.
fn orders(of: Vec<u16>) -> Vec<Vec<u16>> {
    if of.len() < 2 {
        return vec![of];
    }
    let with_first = |at: usize| {
        let mut rest = of.clone();
        let first = rest.remove(at);
        let rest = orders(rest).into_iter();
        rest.map(move |mut order| {
            order.insert(0, first);
            order
        })
    };
    (0..of.len()).flat_map(with_first).collect()
}
