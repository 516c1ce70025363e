//! One run of hosts, connections and a server, in which every gap between two
//! steps is a decision.
//!
//! # The idea
//!
//! A world is a value: a clock, some hosts, the connections between them and
//! one server. [`World::step`] lets exactly one thing happen: a frame arrives,
//! a command is executed, a timer fires, a fault strikes. Which one, and
//! whatever else the world's state does not determine, is asked of a
//! [`Chooser`]. So a run is its setup and its answers, and nothing else.
//!
//! # How to use it
//!
//! * Commands: [`World::step`] until `None` (nothing will ever happen again),
//!   or until the caller has seen enough: programs that poll never end.
//! * Getters: everything else. Properties look at [`World::server`] and
//!   [`World::program`] between steps, and at what the step returned.
//!
//! # What is modelled, and what is not
//!
//! Each actor has at most one connection for commands and one for messages at
//! a time; older ones live on while their bytes are in flight. Bytes keep their
//! order within a connection and direction, and within a fault's limits they
//! are late or lost, never corrupted, duplicated or reordered, because TCP does
//! none of that. A lost `SUBSCRIBE` connection is made again by the world, as
//! a driver would, without asking the machine. Flow control is not modelled: a
//! client can always write.
//!
//! # Where to read next
//!
//! `agenda.rs` (what is due when), `link.rs` (one connection), `network.rs`
//! (what connections do), `trouble.rs` (what faults do), `clock.rs`.

mod agenda;
mod clock;
mod disk;
mod explore;
mod fault;
mod happening;
mod identity;
mod link;
mod network;
mod reading;
mod refusal;
mod setup;
mod shared;
mod split;
#[cfg(test)]
mod tests;
mod trouble;

use core::hash::{Hash, Hasher};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::rc::Rc;

use sluice_core::client::{Conn, Input, Output};
use sluice_core::redis::Bytes;
use sluice_core::time::LocalTime;
use smallvec::SmallVec;

pub use disk::{EVERYTHING, Persistence};
pub use explore::{Event, Farewell};
pub use fault::{FaultKind, Faults, FiredFaults, PerFault};
pub use happening::{ActorId, Happening};
pub use identity::Recognised;
pub use reading::{Exact, Ranks, Reading, When};
pub use refusal::Refusal;
pub use setup::{Delays, HostSetup, Mode, Program, Setup};

use crate::choice::{Chooser, Events, Kind, Label, Touch};
use crate::digest::Digest;
use crate::redis::Server;
use crate::store::Store;
use agenda::{Agenda, NEVER, Sources, Ties};
use clock::Clock;
use disk::Disk;
use link::{Down, Link, Phase, Up};
use shared::Shared;

/// Once faults are over, whatever is under way arrives within this time, also in
/// adversarial running: of a network that starves somebody for ever no gate can
/// promise anything (partial synchrony, with this bound after the global
/// stabilization time; Dwork, Lynch, Stockmeyer: *Consensus in the presence of
/// partial synchrony*, JACM 35, 1988). A world without faults has no such time.
const DELIVERED_WITHIN_NS: u64 = 5_000_000_000;

/// One run. See the module.
#[derive(Clone, Debug)]
pub struct World<P, S = Server> {
    // State.
    now: u64,
    mode: Mode,
    faults: Faults,
    epoch_us: u64,
    /// The server's clock is ahead of true time by so much.
    server_step_us: i64,
    server: S,
    server_up: bool,
    server_up_at: u64,
    loading_until: u64,
    /// With what the server refuses commands, and until when.
    refusing: Option<(Refusal, u64)>,
    /// The server before each of the last commands that wrote, the oldest
    /// first: what a replica may be. Empty where none can take over.
    behind: VecDeque<S>,
    /// What the server would find on its disk, where that may matter.
    disk: Disk<S>,
    /// How many commands have written, as far as anybody may ask.
    writes: u64,
    /// The server that has been replaced and does not know, and until when.
    former: Option<Box<(S, u64)>>,
    /// The server is busy until then.
    server_free_at: u64,
    next_fault: u64,
    healed: bool,
    hosts: Vec<Shared<Host<P>>>,
    links: Vec<Shared<Link>>,
    free_links: Vec<usize>,
    sessions: u32,
    /// What programs are still to be told in this step.
    inbox: VecDeque<(ActorId, Input)>,
    // Derived from the state.
    agenda: Agenda,
    /// By which names hosts are known; never changes.
    names: Rc<[(Bytes, u16)]>,
    // About the run, not part of its state.
    fired: FiredFaults,
    steps: u64,
    digest: u64,
    happenings: Vec<Happening>,
}

/// A host and what is wrong with it.
#[derive(Clone, Debug, Hash)]
struct Host<P> {
    program: P,
    clock: Clock,
    actors: SmallVec<[Actor; 1]>,
    /// Down until then, after a crash.
    crashed: Option<u64>,
    /// Standing still until then.
    paused: Option<u64>,
    /// Cut off until then.
    partitioned: Option<u64>,
    /// New connections are refused until then.
    refused_until: u64,
}

/// The driver of one actor: what it has to know between two calls.
#[derive(Clone, Debug, Default, Hash)]
struct Actor {
    commands: Option<usize>,
    messages: Option<usize>,
    channel: Option<Bytes>,
    subscribed: bool,
    counts: Counts,
}

/// Numbers for labels. No part of the logical state.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    frames: u32,
    pushes: u32,
    links: u32,
    delays: u32,
    wakes: u32,
}

impl Hash for Counts {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What an event can come from. The order of sources is the order of ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Heal,
    Fault,
    Server,
    /// The next deadline of a host's program.
    Timer(usize),
    /// A crashed process starts, a paused one goes on.
    Process(usize),
    /// A partition ends.
    Mend(usize),
    /// The first frame to the server.
    Up(usize),
    /// The first frame to the client, or the outcome of connecting.
    Down(usize),
}

/// The sources that may be next: those that are due, and then others.
struct Open<'a> {
    due: Cow<'a, Sources>,
    others: Ties,
}

impl Open<'_> {
    fn len(&self) -> usize {
        self.due.len() + self.others.len()
    }

    fn get(&self, at: usize) -> usize {
        self.due
            .nth(at)
            .unwrap_or_else(|| self.others[at - self.due.len()])
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.due.iter().chain(self.others.iter().copied())
    }
}

/// What a chooser may ask about them.
struct Enabled<'a, P, S>(&'a World<P, S>, &'a Open<'a>);

impl<P: Program, S: Store> Events for Enabled<'_, P, S> {
    fn count(&self) -> usize {
        self.1.len()
    }

    fn label(&self, at: usize) -> Label {
        self.0.label(self.0.source(self.1.get(at)))
    }

    fn touch(&self, at: usize) -> Touch {
        self.0.touch(self.0.source(self.1.get(at)))
    }
}

impl<P: Program, S: Store> World<P, S> {
    /// A world at time 0. Nothing has happened yet; programs act by their
    /// first deadlines.
    ///
    /// # Panics
    ///
    /// If there are more than 65,534 hosts.
    #[must_use]
    pub fn new(setup: Setup<P, S>) -> Self {
        assert!(
            setup.hosts.len() < usize::from(Label::SERVER),
            "hosts are numbered by u16"
        );
        let hosts: Vec<Shared<Host<P>>> = setup
            .hosts
            .into_iter()
            .map(|host| Host {
                program: host.program,
                clock: Clock::new(host.offset_ns, host.drift_ppm),
                actors: SmallVec::new(),
                crashed: None,
                paused: None,
                partitioned: None,
                refused_until: 0,
            })
            .map(Shared::new)
            .collect();
        let names = hosts.iter().zip(0..).flat_map(|(host, number)| {
            let names = host.program.names().into_iter();
            names.map(move |name| (name, number))
        });
        let names: Vec<(Bytes, u16)> = names.collect();
        let mut world = Self {
            now: 0,
            mode: setup.mode,
            faults: setup.faults,
            epoch_us: setup.epoch_us,
            server_step_us: 0,
            server: setup.server,
            server_up: true,
            server_up_at: NEVER,
            loading_until: 0,
            refusing: None,
            behind: VecDeque::new(),
            disk: Disk::default(),
            writes: 0,
            former: None,
            server_free_at: 0,
            next_fault: if setup.faults.any() { 0 } else { NEVER },
            healed: !setup.faults.any(),
            agenda: Agenda::new(
                3 + 3 * hosts.len() + 8,
                matches!(setup.mode, Mode::Timed(_)),
            ),
            names: names.into(),
            hosts,
            links: Vec::new(),
            free_links: Vec::new(),
            sessions: 0,
            inbox: VecDeque::new(),
            fired: FiredFaults::default(),
            steps: 0,
            digest: Digest::of(&setup.epoch_us),
            happenings: Vec::new(),
        };
        world.reschedule();
        world
    }

    /// Lets the next thing happen, and returns what did, in order: one thing
    /// and what followed from it at once (never nothing). `None` if nothing
    /// will ever happen again.
    pub fn step(&mut self, engine: &S::Engine, chooser: &mut dyn Chooser) -> Option<&[Happening]> {
        self.happenings.clear();
        if !self.inbox.is_empty() {
            self.settle(chooser);
        }
        while self.happenings.is_empty() {
            if matches!(self.mode, Mode::Timed(_)) || !self.maybe_fault(chooser) {
                let source = self.choose(chooser)?;
                self.now = self.now.max(self.agenda.get(self.index(source)));
                self.happen(source, engine, chooser);
            }
            self.settle(chooser);
        }
        self.steps += 1;
        let mut digest = Digest::new(self.digest);
        self.now.hash(&mut digest);
        self.happenings.hash(&mut digest);
        self.digest = digest.finish();
        Some(&self.happenings)
    }

    /// What the last step did, in order.
    #[must_use]
    pub fn happenings(&self) -> &[Happening] {
        &self.happenings
    }

    /// True time since the start, in nanoseconds.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// The server's clock: microseconds since 1970.
    #[must_use]
    pub const fn server_time_us(&self) -> u64 {
        self.epoch_us
            .saturating_add(self.now / 1_000)
            .saturating_add_signed(self.server_step_us)
    }

    /// A host's clock.
    #[must_use]
    pub fn local_time(&self, host: u16) -> LocalTime {
        self.hosts[usize::from(host)].clock.local(self.now)
    }

    /// The server's state.
    #[must_use]
    pub const fn server(&self) -> &S {
        &self.server
    }

    /// A host's program. That of a crashed host is what it was at its death.
    #[must_use]
    pub fn program(&self, host: u16) -> &P {
        &self.hosts[usize::from(host)].program
    }

    /// How many hosts there are.
    #[must_use]
    pub const fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Whether a host's process runs: it has not crashed. It may be paused.
    #[must_use]
    pub fn is_up(&self, host: u16) -> bool {
        self.hosts[usize::from(host)].crashed.is_none()
    }

    /// Whether a host's process stands still.
    #[must_use]
    pub fn is_paused(&self, host: u16) -> bool {
        self.hosts[usize::from(host)].paused.is_some()
    }

    /// Whether a host is cut off from the server.
    #[must_use]
    pub fn is_partitioned(&self, host: u16) -> bool {
        self.hosts[usize::from(host)].partitioned.is_some()
    }

    /// Whether the server is up (it may still be loading).
    #[must_use]
    pub const fn is_server_up(&self) -> bool {
        self.server_up
    }

    /// Whether the time of faults is over and everything has healed. True from
    /// the start in a world without faults.
    #[must_use]
    pub const fn healed(&self) -> bool {
        self.healed
    }

    /// What may go wrong.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How often each kind of fault has fired.
    #[must_use]
    pub const fn fired(&self) -> &FiredFaults {
        &self.fired
    }

    /// How many steps have been taken.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Identity of everything that has happened so far, in order and with its
    /// times; the same on every machine. O(1).
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Identity of the state: two worlds with the same one will behave alike
    /// under the same answers. Costs a walk over the whole state.
    #[must_use]
    pub fn state_digest(&self) -> u64 {
        Digest::of(self)
    }

    /// The sources that may be next in adversarial running: those that are due,
    /// and (once no timer is, or nothing is) the earliest after them.
    fn may_be_next(&self) -> Open<'_> {
        let due = self.agenda.due(self.now);
        let links = self.index(Source::Up(0));
        let first = due.first();
        let timeless = match self.mode {
            Mode::Untimed => first.is_none(),
            Mode::Adversarial | Mode::Timed(_) => first.is_none_or(|s| s >= links),
        };
        let mut others = match timeless {
            true => self.agenda.next_after(self.now),
            false => Ties::new(),
        };
        if let Some(then) = others.first().map(|next| self.agenda.get(*next))
            && self.healed
            && self.faults.any()
        {
            let oldest = due.iter().map(|source| self.agenda.get(source)).min();
            if oldest.is_some_and(|oldest| then - oldest > DELIVERED_WITHIN_NS) {
                others.clear();
            }
        }
        Open { due, others }
    }

    /// Decides which source is next: in timed running the earliest, else any
    /// that is open.
    fn choose(&mut self, chooser: &mut dyn Chooser) -> Option<Source> {
        let timed = matches!(self.mode, Mode::Timed(_));
        let open = if timed {
            let due = Cow::Owned(Sources::default());
            let others = self.agenda.first();
            Open { due, others }
        } else {
            self.agenda.watch(self.now);
            self.may_be_next()
        };
        let at = match open.len() {
            0 => return None,
            1 if timed => 0,
            // Asked also when there is one: the answers are the schedule.
            _ => chooser.pick_event(&Enabled(self, &open)),
        };
        Some(self.source(open.get(at)))
    }

    /// Lets one source's event happen. May do nothing visible.
    fn happen(&mut self, source: Source, engine: &S::Engine, chooser: &mut dyn Chooser) {
        match source {
            Source::Heal => self.heal(chooser),
            Source::Fault => self.timed_fault(chooser),
            Source::Server if self.server_up => self.time_out(chooser),
            Source::Server => self.start_server(chooser),
            Source::Timer(host) => self.wake(host),
            Source::Process(host) if self.hosts[host].crashed.is_some() => {
                self.restart(host, chooser)
            }
            Source::Process(host) => self.resume(host),
            Source::Mend(host) => self.mend(host),
            Source::Up(link) => self.arrive(link, engine, chooser),
            Source::Down(link) => self.receive(link, chooser),
        }
    }

    /// The deadline of a host's program is reached.
    fn wake(&mut self, host: usize) {
        let Some((_, actor, reason)) = self.hosts[host].program.deadline() else {
            unreachable!("host {host} has a timer but no deadline")
        };
        let who = ActorId {
            host: host as u16,
            actor,
        };
        self.actor(who).counts.wakes += 1;
        self.happenings.push(Happening::Woke { who, reason });
        self.inbox.push_back((who, Input::Wake));
    }

    /// Hands programs what is in the inbox, and does what they want, until
    /// they want nothing more (or are suspiciously many: the rest is for the
    /// next step, so that a machine that resets and sends in circles shows as
    /// a run that makes no progress, and not as a hang).
    fn settle(&mut self, chooser: &mut dyn Chooser) {
        for _ in 0..1_000 {
            let Some((who, input)) = self.inbox.pop_front() else {
                return;
            };
            let now = self.local_time(who.host);
            let host = usize::from(who.host);
            self.hosts[host].program.handle(now, who.actor, input);
            self.drain(host, chooser);
        }
    }

    /// Does what a program wants.
    fn drain(&mut self, host: usize, chooser: &mut dyn Chooser) {
        while let Some((actor, output)) = self.hosts[host].program.poll_output() {
            let who = ActorId {
                host: host as u16,
                actor,
            };
            match output {
                Output::Send { request, command } => self.send(who, request, command, chooser),
                Output::Reset(conn) => self.reset(who, conn, chooser),
                Output::Subscribe(channel) => self.subscribe(who, channel, chooser),
                Output::Unsubscribe => self.unsubscribe(who, chooser),
                Output::Tell(event) => self.happenings.push(Happening::Told { who, event }),
            }
        }
        self.reschedule_timer(host);
    }

    /// The driver of an actor; makes room if it is new.
    fn actor(&mut self, who: ActorId) -> &mut Actor {
        let actors = &mut self.hosts[usize::from(who.host)].actors;
        let at = usize::from(who.actor);
        if at >= actors.len() {
            actors.resize_with(at + 1, Actor::default);
        }
        &mut actors[at]
    }

    fn index(&self, source: Source) -> usize {
        let links = 3 + 3 * self.hosts.len();
        match source {
            Source::Heal => 0,
            Source::Fault => 1,
            Source::Server => 2,
            Source::Timer(host) => 3 + 3 * host,
            Source::Process(host) => 4 + 3 * host,
            Source::Mend(host) => 5 + 3 * host,
            Source::Up(link) => links + 2 * link,
            Source::Down(link) => links + 2 * link + 1,
        }
    }

    fn source(&self, index: usize) -> Source {
        let links = 3 + 3 * self.hosts.len();
        match index {
            0 => Source::Heal,
            1 => Source::Fault,
            2 => Source::Server,
            _ if index < links => {
                let host = (index - 3) / 3;
                match (index - 3) % 3 {
                    0 => Source::Timer(host),
                    1 => Source::Process(host),
                    _ => Source::Mend(host),
                }
            }
            _ if (index - links).is_multiple_of(2) => Source::Up((index - links) / 2),
            _ => Source::Down((index - links) / 2),
        }
    }

    /// What a source's next event is called.
    fn label(&self, source: Source) -> Label {
        let of =
            |link: &Link, kind, number| Label::new(kind, link.who.host, link.who.actor, number);
        match source {
            Source::Heal => Label::new(Kind::Heal, Label::SERVER, 0, 0),
            Source::Fault => self.fault_label(Kind::Fault),
            Source::Server if self.splits_until() == Some(self.agenda.get(self.index(source))) => {
                let splits = self.fired[FaultKind::ServerSplit];
                Label::new(Kind::Wake, Label::SERVER, 1, splits)
            }
            // Its timer has one name: there is one, and what it does follows.
            Source::Server if self.server_up => Label::new(Kind::Wake, Label::SERVER, 0, 0),
            Source::Server => Label::new(Kind::ServerStart, Label::SERVER, 0, self.stops()),
            Source::Timer(host) => {
                let h = &self.hosts[host];
                let actor = h.program.deadline().map_or(0, |(_, actor, _)| actor);
                let wakes = h
                    .actors
                    .get(usize::from(actor))
                    .map_or(0, |a| a.counts.wakes);
                Label::new(Kind::Wake, host as u16, actor, wakes)
            }
            Source::Process(host) => {
                let (kind, fault) = match self.hosts[host].crashed {
                    Some(_) => (Kind::Restart, FaultKind::Crash),
                    None => (Kind::Resume, FaultKind::Pause),
                };
                Label::new(kind, host as u16, 0, self.fired[fault])
            }
            Source::Mend(host) => {
                let n = self.fired[FaultKind::Partition];
                Label::new(Kind::Mend, host as u16, 0, n)
            }
            Source::Up(at) => {
                let link = &self.links[at];
                match link.up.first().map(|f| &f.body) {
                    Some(Up::Command { ticket, .. }) => of(link, Kind::Execute, ticket.number),
                    Some(Up::Fin) | None => of(link, Kind::HangUp, link.number),
                }
            }
            Source::Down(at) => {
                let link = &self.links[at];
                match (link.phase, link.down.first().map(|f| &f.body)) {
                    (Phase::Connecting { .. }, _) => of(link, Kind::Connect, link.number),
                    (_, Some(Down::Reply { ticket, .. })) => of(link, Kind::Deliver, ticket.number),
                    (_, Some(Down::Push { number, .. })) => of(link, Kind::Publish, *number),
                    (_, Some(Down::Fin) | None) => of(link, Kind::Loss, link.number),
                }
            }
        }
    }

    /// What a source's next event touches.
    fn touch(&self, source: Source) -> Touch {
        let of = |host: u16| Touch {
            host: Some(host),
            ..Touch::default()
        };
        if self.agenda.get(self.index(source)) > self.now {
            return Touch::EVERYTHING; // time passes
        }
        match source {
            Source::Heal
            | Source::Fault
            | Source::Server
            | Source::Process(_)
            | Source::Mend(_) => Touch::EVERYTHING,
            Source::Timer(host) => of(host as u16),
            Source::Up(at) => {
                let link = &self.links[at];
                match (link.up.first().map(|f| &f.body), link.role) {
                    (Some(Up::Command { command, .. }), _) => self.server.touch(command),
                    (Some(Up::Fin) | None, Conn::Commands) => Touch::default(),
                    // Who publishes is told how many listen.
                    (Some(Up::Fin) | None, Conn::Messages) => Touch {
                        keys: u64::MAX,
                        writes: true,
                        ..Touch::default()
                    },
                }
            }
            Source::Down(at) => of(self.links[at].who.host),
        }
    }

    /// Brings the agenda up to date with everything.
    fn reschedule(&mut self) {
        let heal = if self.healed {
            NEVER
        } else {
            self.faults.until_ns
        };
        self.agenda.set(self.index(Source::Heal), heal);
        self.reschedule_fault();
        self.reschedule_server();
        for host in 0..self.hosts.len() {
            let h = &self.hosts[host];
            let process = h.crashed.or(h.paused).unwrap_or(NEVER);
            let mend = h.partitioned.unwrap_or(NEVER);
            self.agenda.set(self.index(Source::Process(host)), process);
            self.agenda.set(self.index(Source::Mend(host)), mend);
            self.reschedule_timer(host);
        }
        for link in 0..self.links.len() {
            self.reschedule_link(link);
        }
    }

    fn reschedule_fault(&mut self) {
        let at = match self.mode {
            Mode::Timed(_) if self.may_fault() => self.next_fault,
            Mode::Timed(_) | Mode::Adversarial | Mode::Untimed => NEVER,
        };
        self.agenda.set(self.index(Source::Fault), at);
    }

    /// The server starts, or somebody has waited enough there.
    fn reschedule_server(&mut self) {
        let at = if self.server_up {
            let deadline = |server: &S| {
                server.deadline_us().map_or(NEVER, |at_us| {
                    let left_us = at_us.saturating_sub(self.server_time_us());
                    // Its clock ticks with the true microseconds.
                    let tick = self.now - self.now % 1_000;
                    tick.saturating_add(left_us.saturating_mul(1_000))
                        .max(self.now)
                })
            };
            let former = self.former.as_deref();
            let former = former.map_or(NEVER, |(s, until)| deadline(s).min(*until));
            deadline(&self.server).min(former)
        } else {
            self.server_up_at
        };
        self.agenda.set(self.index(Source::Server), at);
    }

    /// When a server that was replaced will learn of it.
    fn splits_until(&self) -> Option<u64> {
        self.former.as_deref().map(|(_, until)| *until)
    }

    fn reschedule_timer(&mut self, host: usize) {
        let h = &self.hosts[host];
        let at = match h.program.deadline() {
            Some((local, _, _)) if h.crashed.is_none() && h.paused.is_none() => h.clock.when(local),
            Some(_) | None => NEVER,
        };
        self.agenda.set(self.index(Source::Timer(host)), at);
    }

    fn reschedule_link(&mut self, at: usize) {
        let link = &self.links[at];
        let host = &self.hosts[usize::from(link.who.host)];
        let carried = host.partitioned.is_none();
        let up = link.up_time(carried);
        let down = if host.paused.is_some() {
            NEVER
        } else {
            link.down_time(carried)
        };
        self.agenda.set(self.index(Source::Up(at)), up);
        self.agenda.set(self.index(Source::Down(at)), down);
    }
}

impl<P: Program, S: Store> Hash for World<P, S> {
    /// The logical state, with absolute times: counters, statistics and what
    /// has been are left out.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.now.hash(state);
        self.server.digest().hash(state);
        self.server_step_us.hash(state);
        (self.server_up, self.server_up_at, self.loading_until).hash(state);
        (self.server_free_at, self.next_fault, self.healed).hash(state);
        self.refusing.hash(state);
        self.behind.iter().for_each(|s| s.digest().hash(state));
        for (at, gap, server) in self.disk.copies() {
            (at, server.digest()).hash(state);
            gap.iter().for_each(|gap| gap.hash(state));
        }
        let former = self.former.as_deref();
        former.map(|(s, until)| (s.digest(), *until)).hash(state);
        self.fired.total().hash(state);
        self.hosts.hash(state);
        self.links.hash(state);
        self.inbox.hash(state);
    }
}
