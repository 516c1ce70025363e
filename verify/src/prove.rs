//! All schedules of a gate within bounds (R6.9), judged by what can be judged
//! of a single step.
//!
//! A search forks the world, and a property that remembers would have to be
//! forked and told apart with it. So each transition is judged by fresh
//! properties that see the state before and after: the cap in all three
//! readings (R1.1), the order of grants (R1.2), barging (R1.3), and idle slots
//! (R1.4). What should come about in the end is not judged here.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use sluice_core::client::Client;
use sluice_sim::digest::Digest;
use sluice_sim::log::Decision;
use sluice_sim::redis::{Engine, Server};
use sluice_sim::strategy::exhaustive::{Bounds, Certificate, Judge, Search};
use sluice_sim::world::{FaultKind, Happening, World};

use crate::property::{self, Broken, GateMoment, Meaning, Moment};
use crate::scenario::Scenario;
use crate::scenario::process::Process;
use crate::scenario::user::Stage;
use crate::strategy::Strategy;
use crate::subject::Subject;
use crate::subject::gate::{Gate, Level};
use crate::subject::view::GateView;

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
    /// Explores. `goes_on` is asked now and then, with the number of states.
    pub fn go(&self, goes_on: impl FnMut(u64) -> bool) -> Shown {
        let built = self
            .scenario
            .build(&self.subject, &mut Strategy::Random.chooser(0));
        let mut judge = Bench {
            gates: built.gates,
            views: BTreeMap::new(),
            undeclared: false,
            goes_on,
        };
        let search = Search {
            bounds: self.bounds,
            symmetric: self.symmetric,
            reduced: self.reduced,
        };
        let engine = Engine::remembering();
        let certificate = search.explore(built.world, &engine, &mut judge);
        Shown {
            certificate,
            undeclared: judge.undeclared,
        }
    }
}

type At = World<Process, Server>;

/// Where every transition is judged.
struct Bench<F> {
    gates: Vec<(Level, Gate)>,
    /// What the store has granted, by its keys and the time.
    views: BTreeMap<(usize, u64), Rc<GateView>>,
    undeclared: bool,
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
        // Where a clock has stepped belief is not judged at all, below.
        let bounds = property::Bounds::default();
        let moment = Moment::new(after, &gates, after.happenings(), &bounds);
        let fired = after.fired();
        let stepped = [
            FaultKind::ClockStep,
            FaultKind::ServerClockStep,
            FaultKind::ServerWipe,
        ];
        let in_bounds = stepped.iter().all(|kind| fired[*kind] == 0);
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
