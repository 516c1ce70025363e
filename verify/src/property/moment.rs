//! What a property sees of one step.

use std::cell::OnceCell;

use sluice_core::client::Client;
use sluice_core::slots::Fence;
use sluice_sim::redis::Server;
use sluice_sim::world::{ActorId, Happening, World};

use crate::scenario::process::Process;
use crate::scenario::user::{QueryStage, Stage, User};
use crate::subject::gate::{Gate, Level, Operation};
use crate::subject::view::{GateView, Place};

/// A broken invariant: at which gate, and what broke, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The gate.
    pub level: Level,
    /// What broke.
    pub words: String,
}

impl Broken {
    /// This broke at this gate.
    pub fn at(level: Level, words: impl Into<String>) -> Self {
        Self {
            level,
            words: words.into(),
        }
    }
}

/// One gate, before and after a step.
#[derive(Clone, Debug)]
pub struct GateMoment {
    /// Which.
    pub level: Level,
    /// What it is made of.
    pub gate: Gate,
    /// What the store had granted.
    pub before: GateView,
    /// What it has granted.
    pub after: GateView,
    /// The command that was executed at this gate in this step, if one was.
    pub operation: Option<(ActorId, Operation)>,
}

impl GateMoment {
    /// Places that were given a slot in this step: newly held, not taken over.
    pub fn granted(&self) -> impl Iterator<Item = &Place> {
        let news = self.operation.is_some();
        self.after.held.iter().filter(move |p| {
            news && self
                .before
                .holder(&p.id)
                .is_none_or(|b| b.claimed && b.fence != p.fence && b.nonce != p.nonce)
                && !self.is_takeover(p)
        })
    }

    /// A newer attempt of the same id took a live slot over.
    fn is_takeover(&self, place: &Place) -> bool {
        self.before.holder(&place.id).is_some()
    }

    /// Places that no longer hold the slot they held.
    pub fn ended(&self) -> impl Iterator<Item = &Place> {
        let news = self.operation.is_some();
        self.before
            .held
            .iter()
            .filter(move |p| news && self.after.holder(&p.id).is_none_or(|a| a.fence != p.fence))
    }

    /// A whole operation was carried out and left nothing over.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.gate.is_atomic() && matches!(&self.operation, Some((_, op)) if op.done && !op.more)
    }
}

/// One step.
#[derive(Debug)]
pub struct Moment<'a> {
    /// True time since the start, in nanoseconds.
    pub now_ns: u64,
    /// The store's clock, in milliseconds.
    pub store_ms: u64,
    /// What happened.
    pub happenings: &'a [Happening],
    /// The gates.
    pub gates: &'a [GateMoment],
    /// Everything else. Only for looking.
    pub world: &'a World<Process, Server>,
    // By level, looked up when first asked for: several properties ask.
    believers: [OnceCell<Vec<(&'a User, Fence)>>; 2],
    acting: [OnceCell<Vec<(u16, Fence)>>; 2],
}

impl<'a> Moment<'a> {
    /// This world, now that these things have happened in it.
    #[must_use]
    pub fn new(
        world: &'a World<Process, Server>,
        gates: &'a [GateMoment],
        happenings: &'a [Happening],
    ) -> Self {
        Self {
            now_ns: world.now(),
            store_ms: world.server_time_us() / 1_000,
            happenings,
            gates,
            world,
            believers: Default::default(),
            acting: Default::default(),
        }
    }

    /// All users of processes that run, with their host.
    pub fn users(&self) -> impl Iterator<Item = (u16, &User)> {
        self.running().flat_map(|host| {
            self.world
                .program(host)
                .seats()
                .iter()
                .map(move |s| (host, &s.user))
        })
    }

    /// Who believes, by its own clock, to hold a slot, and under which fence.
    #[must_use]
    pub fn believers(&self, level: Level) -> &[(&'a User, Fence)] {
        self.believers[level as usize].get_or_init(|| self.find_believers(level))
    }

    fn find_believers(&self, level: Level) -> Vec<(&'a User, Fence)> {
        let mut list = Vec::new();
        for host in self.running() {
            let now = self.world.local_time(host);
            for seat in self.world.program(host).seats() {
                let belief = match (level, &seat.query) {
                    (Level::Sessions, _) => seat.session.belief(now),
                    (Level::Queries, Some(client)) => client.belief(now),
                    (Level::Queries, None) => working(&seat.user),
                };
                if let Some(fence) = belief {
                    list.push((&seat.user, fence));
                }
            }
        }
        list
    }

    /// Who acts on the resource behind a gate, with the fence it shows.
    #[must_use]
    pub fn acting(&self, level: Level) -> &[(u16, Fence)] {
        self.acting[level as usize].get_or_init(|| self.find_acting(level))
    }

    fn find_acting(&self, level: Level) -> Vec<(u16, Fence)> {
        let mut list = Vec::new();
        for host in self.running() {
            let now = self.world.local_time(host);
            for seat in self.world.program(host).seats() {
                let fence = match level {
                    Level::Sessions if seat.user.stage == Stage::Inside => seat.session.belief(now),
                    Level::Sessions => None,
                    Level::Queries => working(&seat.user),
                };
                if let Some(fence) = fence {
                    list.push((seat.user.number, fence));
                }
            }
        }
        list
    }

    /// Somebody learnt something that it may act upon.
    #[must_use]
    pub fn tells(&self) -> bool {
        let told = |h: &Happening| matches!(h, Happening::Told { .. });
        self.happenings.iter().any(told)
    }

    /// The bounds under which belief is judged were left in this step: a clock
    /// stepped, or the store lost its data.
    #[must_use]
    pub fn leaves_bounds(&self) -> bool {
        self.happenings.iter().any(|h| {
            matches!(
                h,
                Happening::ClockStepped { .. }
                    | Happening::ServerClockStepped { .. }
                    | Happening::ServerStopped {
                        kind: sluice_sim::world::FaultKind::ServerWipe,
                        ..
                    }
            )
        })
    }

    fn running(&self) -> impl Iterator<Item = u16> {
        (0..self.world.hosts() as u16).filter(|h| self.world.is_up(*h))
    }
}

fn working(user: &User) -> Option<Fence> {
    match user.query {
        QueryStage::Working(fence) => Some(fence),
        QueryStage::None | QueryStage::Joining | QueryStage::Leaving => None,
    }
}

/// An id for people.
pub(super) fn name(place: &Place) -> String {
    String::from_utf8_lossy(&place.id).into_owned()
}
