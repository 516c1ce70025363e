//! What a property sees of one step.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use sluice_core::client::{Client, Event};
use sluice_core::slots::{Fence, Nonce};
use sluice_sim::redis::Server;
use sluice_sim::world::{ActorId, FaultKind, Happening, World};

use crate::scenario::process::Process;
use crate::scenario::user::{QueryStage, Stage, User};
use crate::subject::gate::{AnyClient, Gate, Level, Operation};
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
    /// The greatest capacity that was set and that the store has lost: who was
    /// granted a slot under it may believe in it still.
    pub capacity_lost: u32,
    /// Who was held whenever the store lost something: by their fencing numbers,
    /// one list for each time.
    pub held_lost: Vec<Vec<Fence>>,
    // Most properties ask.
    granted: OnceCell<Vec<usize>>,
    ended: OnceCell<Vec<usize>>,
    joined: OnceCell<Vec<usize>>,
}

impl GateMoment {
    /// A gate that was like this and is like that, after this command.
    #[must_use]
    pub const fn new(
        level: Level,
        gate: Gate,
        before: GateView,
        after: GateView,
        operation: Option<(ActorId, Operation)>,
    ) -> Self {
        Self {
            level,
            gate,
            before,
            after,
            operation,
            capacity_lost: 0,
            held_lost: Vec::new(),
            granted: OnceCell::new(),
            ended: OnceCell::new(),
            joined: OnceCell::new(),
        }
    }

    /// The next step begins, at the state in which this one ended.
    pub fn rest(&mut self) {
        self.operation = None;
        self.granted.take();
        self.ended.take();
        self.joined.take();
    }

    /// Places that were given a slot in this step: newly held, not taken over.
    pub fn granted(&self) -> impl Iterator<Item = &Place> {
        let held = &self.after.held;
        let granted = |at: &usize| self.before.holder(&held[*at].id).is_none();
        let all = self.granted.get_or_init(|| match self.operation {
            Some(_) => (0..held.len()).filter(granted).collect(),
            None => Vec::new(),
        });
        all.iter().map(|at| &held[*at])
    }

    /// Places of ids that had none before, held or in line.
    pub fn joined(&self) -> impl Iterator<Item = &Place> {
        let new = |(_, p): &(usize, &Place)| {
            self.before.holder(&p.id).is_none() && self.before.waiter(&p.id).is_none()
        };
        let all = self.joined.get_or_init(|| match self.operation {
            Some(_) => {
                let new = self.after.live().enumerate().filter(new);
                new.map(|(at, _)| at).collect()
            }
            None => Vec::new(),
        });
        all.iter().filter_map(|at| self.after.live().nth(*at))
    }

    /// Places that no longer hold the slot they held.
    pub fn ended(&self) -> impl Iterator<Item = &Place> {
        let held = &self.before.held;
        let ended = |at: &usize| {
            let p = &held[*at];
            self.after.holder(&p.id).is_none_or(|a| a.fence != p.fence)
        };
        let all = self.ended.get_or_init(|| match self.operation {
            Some(_) => (0..held.len()).filter(ended).collect(),
            None => Vec::new(),
        });
        all.iter().map(|at| &held[*at])
    }

    /// Places that were live and are not, each with its attempt: ended, or taken
    /// over by a greater one.
    pub fn over(&self) -> impl Iterator<Item = &Place> {
        self.before.live().filter(|p| {
            let now = self
                .after
                .holder(&p.id)
                .or_else(|| self.after.waiter(&p.id));
            now.is_none_or(|now| now.nonce > p.nonce)
        })
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
    /// Which attempts are within the bounds under which belief is judged.
    pub bounds: &'a Bounds,
    /// Everything else. Only for looking.
    pub world: &'a World<Process, Server>,
    // By level, looked up when first asked for: several properties ask.
    believers: [OnceCell<Vec<Believer<'a>>>; 2],
    acting: [OnceCell<Vec<(u16, Fence)>>; 2],
}

/// One who believes to hold a slot.
#[derive(Clone, Copy, Debug)]
pub struct Believer<'a> {
    /// Who.
    pub user: &'a User,
    /// Under which number.
    pub fence: Fence,
    /// No clock has stepped since the attempt began, and no data was lost that
    /// the gate does not promise to do without.
    pub in_bounds: bool,
    /// The store may have lost the slot, and the gate promises to do without.
    pub may_be_lost: bool,
}

/// The bounds of (b): clocks that keep to their drift, and a store that keeps
/// its data. A step of a clock, or a loss, puts those attempts out of bounds
/// that were under way; the next attempt of the same user is judged again. What
/// fencing numbers promise depends on the server's clock, too: whether that has
/// gone back is remembered here.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// For a user at a gate: attempts up to this one are out of bounds.
    out: BTreeMap<(Level, u16), Nonce>,
    /// Of attempts up to this one the store may know nothing any more; the gate
    /// survives that.
    lost: BTreeMap<(Level, u16), Nonce>,
    clock_went_back: bool,
}

impl Bounds {
    /// Whether the server's clock has ever gone back: it may come by the same
    /// time again.
    #[must_use]
    pub const fn clock_went_back(&self) -> bool {
        self.clock_went_back
    }

    /// Whether an attempt is within bounds.
    #[must_use]
    pub fn keeps(&self, level: Level, user: u16, nonce: Nonce) -> bool {
        self.out.get(&(level, user)).is_none_or(|out| nonce > *out)
    }

    /// Whether the store may have lost an attempt, at a gate that survives it.
    #[must_use]
    pub fn may_be_lost(&self, level: Level, user: u16, nonce: Nonce) -> bool {
        let lost = self.lost.get(&(level, user));
        lost.is_some_and(|lost| nonce <= *lost)
    }

    /// Takes in what happened in a step.
    pub fn note(&mut self, happenings: &[Happening], world: &World<Process, Server>) {
        for happening in happenings {
            match happening {
                Happening::ClockStepped { host, .. } => self.leave(world, *host, None),
                Happening::ServerClockStepped { by_us } => {
                    self.clock_went_back |= *by_us < 0;
                    (0..world.hosts() as u16).for_each(|host| self.leave(world, host, None));
                }
                Happening::ServerStopped { kind, lost, .. } if lost_data(*kind, *lost) => {
                    (0..world.hosts() as u16).for_each(|host| self.leave(world, host, Some(*kind)));
                }
                Happening::ServerSplit { .. } => {
                    let loss = Some(FaultKind::ServerFailover);
                    (0..world.hosts() as u16).for_each(|host| self.leave(world, host, loss));
                }
                // Nobody is left who could believe anything.
                Happening::Restarted { host } => {
                    for seat in world.program(*host).seats() {
                        self.out.remove(&(Level::Sessions, seat.user.number));
                        self.out.remove(&(Level::Queries, seat.user.number));
                        self.lost.remove(&(Level::Sessions, seat.user.number));
                        self.lost.remove(&(Level::Queries, seat.user.number));
                    }
                }
                _ => {}
            }
        }
    }

    /// `loss`: what the server lost; `None` if a clock stepped.
    fn leave(&mut self, world: &World<Process, Server>, host: u16, loss: Option<FaultKind>) {
        for seat in world.program(host).seats() {
            let clients = [
                (Level::Sessions, Some(&seat.session)),
                (Level::Queries, seat.query.as_deref()),
            ];
            for (level, client) in clients {
                let Some(client) = client else { continue };
                let key = (level, seat.user.number);
                // What knows no leases knows no clocks.
                if loss.is_none() && matches!(client, AnyClient::Hash(_)) {
                    continue;
                }
                if loss.is_some_and(|loss| client.survives(loss)) {
                    self.lost.insert(key, client.nonce());
                } else {
                    self.out.insert(key, client.nonce());
                }
            }
        }
    }
}

impl<'a> Moment<'a> {
    /// This world, now that these things have happened in it.
    #[must_use]
    pub fn new(
        world: &'a World<Process, Server>,
        gates: &'a [GateMoment],
        happenings: &'a [Happening],
        bounds: &'a Bounds,
    ) -> Self {
        Self {
            now_ns: world.now(),
            store_ms: world.server_time_us() / 1_000,
            happenings,
            gates,
            bounds,
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
    pub fn believers(&self, level: Level) -> &[Believer<'a>] {
        self.believers[level as usize].get_or_init(|| self.find_believers(level))
    }

    /// Who believes to hold a slot, within bounds, if these are more than there
    /// are slots (R1.1(b)). Not those who were granted before a shrink and learnt
    /// of it after: they are held (R1.11).
    #[must_use]
    pub fn crowd(&self, gate: &GateMoment) -> Option<Vec<&Believer<'a>>> {
        let believers = self.believers(gate.level).iter();
        let believers: Vec<_> = believers.filter(|b| b.in_bounds).collect();
        let slots = if believers.iter().any(|b| b.may_be_lost) {
            gate.after.capacity.max(gate.capacity_lost)
        } else {
            gate.after.capacity
        };
        let held = |b: &&Believer<'_>| {
            let mut held = gate.after.held.iter();
            b.may_be_lost || held.any(|p| p.fence == b.fence)
        };
        let known = |held: &[Fence], b: &Believer<'_>| b.fence > 0 && held.contains(&b.fence);
        let at_once = |held: &Vec<Fence>| believers.iter().all(|b| known(held, b));
        let shrunk = || {
            let held = gate.after.held.len() >= believers.len() && believers.iter().all(held);
            // Together until the store forgot them.
            gate.gate.is_atomic() && (held || gate.held_lost.iter().any(at_once))
        };
        (believers.len() > slots as usize && !shrunk()).then_some(believers)
    }

    fn find_believers(&self, level: Level) -> Vec<Believer<'a>> {
        let mut list = Vec::new();
        for host in self.running() {
            let now = self.world.local_time(host);
            for seat in self.world.program(host).seats() {
                let user = &seat.user;
                let client = match level {
                    Level::Sessions => Some(&seat.session),
                    Level::Queries => seat.query.as_deref(),
                };
                let belief = match client {
                    Some(client) => client.belief(now),
                    None => working(user),
                };
                let nonce = client.map_or(0, AnyClient::nonce);
                if let Some(fence) = belief {
                    list.push(Believer {
                        user,
                        fence,
                        in_bounds: self.bounds.keeps(level, user.number, nonce),
                        may_be_lost: self.bounds.may_be_lost(level, user.number, nonce),
                    });
                }
            }
        }
        list
    }

    /// The user behind an actor; `None` for an operator.
    #[must_use]
    pub fn user(&self, who: ActorId) -> Option<&User> {
        let seats = self.world.program(who.host).seats();
        seats.get(usize::from(who.actor / 2)).map(|seat| &seat.user)
    }

    /// All users of processes that run, with their client at a gate.
    pub fn clients(&self, level: Level) -> impl Iterator<Item = (&User, &AnyClient)> {
        self.running()
            .flat_map(move |host| self.clients_of(host, level))
    }

    /// The users of processes that took part in this step, with their client at
    /// a gate: nobody else's client has changed.
    pub fn clients_at_work(&self, level: Level) -> impl Iterator<Item = (&User, &AnyClient)> {
        let hosts = self.happenings.iter().filter_map(Happening::host);
        let up = hosts.filter(|host| self.world.is_up(*host));
        up.flat_map(move |host| self.clients_of(host, level))
    }

    fn clients_of(&self, host: u16, level: Level) -> impl Iterator<Item = (&User, &AnyClient)> {
        let seats = self.world.program(host).seats().iter();
        seats.filter_map(move |seat| {
            let client = match level {
                Level::Sessions => Some(&seat.session),
                Level::Queries => seat.query.as_deref(),
            };
            Some((&seat.user, client?))
        })
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

    /// The server has lost some of its data, or all.
    #[must_use]
    pub fn loses_data(&self) -> bool {
        let loses = |h: &Happening| match h {
            Happening::ServerStopped { kind, lost, .. } => lost_data(*kind, *lost),
            Happening::ServerSplit { .. } => true,
            _ => false,
        };
        self.happenings.iter().any(loses)
    }

    /// Somebody learnt something that it may act upon.
    #[must_use]
    pub fn tells(&self) -> bool {
        let told = |h: &Happening| matches!(h, Happening::Told { .. });
        self.happenings.iter().any(told)
    }

    /// Somebody learnt that it holds a slot: beliefs, and acts that follow from
    /// them, begin in no other step. They end in any, if only by the time.
    #[must_use]
    pub fn begins(&self) -> bool {
        let granted = |h: &Happening| {
            matches!(
                h,
                Happening::Told {
                    event: Event::Granted { .. },
                    ..
                }
            )
        };
        self.happenings.iter().any(granted)
    }

    fn running(&self) -> impl Iterator<Item = u16> {
        (0..self.world.hosts() as u16).filter(|h| self.world.is_up(*h))
    }
}

/// Whether the server came back with less than it had. (A replica that lacks
/// nothing is another server all the same.)
const fn lost_data(kind: FaultKind, lost: u32) -> bool {
    lost > 0 || matches!(kind, FaultKind::ServerFailover)
}

fn working(user: &User) -> Option<Fence> {
    match user.query {
        QueryStage::Working(fence) => Some(fence),
        QueryStage::None | QueryStage::Joining | QueryStage::Leaving => None,
    }
}

/// Whose id it is: clients that use a name per attempt put it behind a tilde.
pub(super) fn person(id: &[u8]) -> &[u8] {
    id.split(|b| *b == b'~').next().unwrap_or_default()
}

/// An id for people.
pub(super) fn name(place: &Place) -> String {
    String::from_utf8_lossy(&place.id).into_owned()
}
