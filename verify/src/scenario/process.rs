//! One server process: its users with their clients, and sometimes an operator.
//!
//! Actors on a host: user *i* has actor 2·*i* at the session gate and actor
//! 2·*i* + 1 at the query gate; the operator comes last. Each has its own
//! connection, as a pool would give it.

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use sluice_core::client::{Ask, Client, Event, Input, Likeness, Output};
use sluice_core::redis::Bytes;
use sluice_core::slots::{Class, Config, Ended, Event as SlotsEvent, Fence, Outcome, Slots};
use sluice_core::time::{LocalTime, StoreTime};
use sluice_sim::in_order::{InOrder, pop_first};
use sluice_sim::world::Program;

use super::operator::Operator;
use super::user::{QueryStage, Stage, User};
use crate::subject::gate::{AnyClient, Gate, Level};

/// A user and its clients.
#[derive(Clone, Debug, Hash)]
pub struct Seat {
    /// What it does.
    pub user: User,
    /// Its client at the session gate.
    pub session: AnyClient,
    /// Its client at the query gate, if that has clients: apart, as few have one
    /// and all are copied.
    pub query: Option<Box<AnyClient>>,
}

/// The program of one host. A search copies it whenever something happens on the
/// host: what never changes is shared, what few have is apart.
#[derive(Clone, Debug)]
pub struct Process {
    seats: Vec<Seat>,
    gates: Rc<Gates>,
    local: Option<Box<Semaphore>>,
    operator: Option<Box<Operator>>,
    outputs: InOrder<(u16, Output)>,
}

/// What its users come for.
#[derive(Debug)]
struct Gates {
    sessions: Gate,
    queries: Option<Gate>,
}

/// What a user wants next, in order: few things at a time.
type Asks = InOrder<(Level, Ask)>;

/// A semaphore inside the process (B23).
#[derive(Clone, Debug)]
struct Semaphore {
    slots: Slots<u16>,
    config: Config,
    nonce: u64,
    nonces: Vec<u64>,
}

impl Process {
    /// A process with these users.
    ///
    /// # Panics
    /// If the session gate has no clients: it is always in the store.
    #[must_use]
    pub fn new(
        users: Vec<User>,
        sessions: Gate,
        queries: Option<Gate>,
        operator: Option<Operator>,
    ) -> Self {
        let local = match &queries {
            Some(Gate::InProcess(config)) => Some(Box::new(Semaphore::new(*config, users.len()))),
            Some(Gate::Hash(_) | Gate::Slots(_)) | None => None,
        };
        let seats = users
            .into_iter()
            .map(|user| Seat {
                session: sessions
                    .client(user.id())
                    .expect("sessions are in the store"),
                query: queries
                    .as_ref()
                    .and_then(|gate| gate.client(user.id()))
                    .map(Box::new),
                user,
            })
            .collect();
        Self {
            seats,
            gates: Rc::new(Gates { sessions, queries }),
            local,
            operator: operator.map(Box::new),
            outputs: InOrder::default(),
        }
    }

    /// Its users with their clients.
    #[must_use]
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// Its actors with what people call them: `u7`, `u7q` for its client at the
    /// query gate, `op` for the operator.
    pub fn actor_names(&self) -> impl Iterator<Item = (u16, String)> {
        let seats = self.seats.iter().zip(0u16..).flat_map(|(seat, i)| {
            let id = seat.user.id();
            [(2 * i, id.to_owned()), (2 * i + 1, format!("{id}q"))]
        });
        let operator = self
            .operator
            .iter()
            .map(|_| (self.operator_actor(), "op".to_owned()));
        seats.chain(operator)
    }

    /// Whether everybody is through and no client has anything left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.seats.iter().all(|seat| {
            seat.user.stage == Stage::Done
                && seat.session.is_idle()
                && seat.query.as_deref().is_none_or(AnyClient::is_idle)
        })
    }

    fn operator_actor(&self) -> u16 {
        2 * self.seats.len() as u16
    }

    /// Lets users act and hear until nothing follows any more.
    fn settle(&mut self, now: LocalTime, seat: usize) {
        let has_queries = self.gates.queries.is_some();
        let mut asks = Asks::new();
        loop {
            // Hear first: what a client has just told may change what to do.
            self.drain(now, seat, &mut asks);
            let next = match pop_first(&mut asks) {
                None => self.seats[seat].user.act(now, has_queries),
                next @ Some(_) => next,
            };
            let Some((level, ask)) = next else { return };
            self.ask(now, seat, level, ask);
        }
    }

    /// Takes what the clients of a seat want, and tells its user what they tell.
    fn drain(&mut self, now: LocalTime, seat: usize, asks: &mut Asks) {
        for level in [Level::Sessions, Level::Queries] {
            let actor = 2 * seat as u16 + level as u16;
            let Seat {
                user,
                session,
                query,
            } = &mut self.seats[seat];
            let client = match level {
                Level::Sessions => Some(session),
                Level::Queries => query.as_deref_mut(),
            };
            let Some(client) = client else { continue };
            while let Some(output) = client.poll_output() {
                if let Output::Tell(event) = &output
                    && let Some(ask) = user.told(now, level, event)
                {
                    asks.push(ask);
                }
                self.outputs.push((actor, output));
            }
        }
    }

    fn ask(&mut self, now: LocalTime, seat: usize, level: Level, ask: Ask) {
        let Seat { session, query, .. } = &mut self.seats[seat];
        match level {
            Level::Sessions => session.handle(now, Input::Ask(ask)),
            Level::Queries => {
                // A query is what makes a session active.
                if ask == Ask::Acquire {
                    session.handle(now, Input::Ask(Ask::Touch));
                }
                match (query, &mut self.local) {
                    (Some(client), _) => client.handle(now, Input::Ask(ask)),
                    (None, Some(semaphore)) => {
                        let told = semaphore.ask(now, seat, ask);
                        for (seat, event) in told {
                            let user = &mut self.seats[seat].user;
                            user.told(now, Level::Queries, &event);
                            let actor = 2 * seat as u16 + 1;
                            self.outputs.push((actor, Output::Tell(event)));
                        }
                    }
                    (None, None) => unreachable!("users ask for queries only where there are any"),
                }
            }
        }
    }
}

impl Program for Process {
    fn handle(&mut self, now: LocalTime, actor: u16, input: Input) {
        if actor == self.operator_actor() {
            if let Some(operator) = &mut self.operator {
                operator.handle(now, &input);
                while let Some(output) = operator.poll_output() {
                    self.outputs.push((actor, output));
                }
            }
            return;
        }
        let at = usize::from(actor / 2);
        let seat = &mut self.seats[at];
        if actor.is_multiple_of(2) {
            seat.session.handle(now, input);
        } else if let Some(query) = &mut seat.query {
            query.handle(now, input);
        }
        self.settle(now, at);
    }

    fn poll_output(&mut self) -> Option<(u16, Output)> {
        pop_first(&mut self.outputs)
    }

    fn deadline(&self) -> Option<(LocalTime, u16, &'static str)> {
        let mut first: Option<(LocalTime, u16, &'static str)> = None;
        let mut offer = |at: LocalTime, actor, why| {
            if first.is_none_or(|(best, ..)| at < best) {
                first = Some((at, actor, why));
            }
        };
        for (seat, actor) in self.seats.iter().zip((0..).step_by(2)) {
            if let Some(at) = seat.user.at() {
                offer(at, actor, "the user acts");
            }
            if let Some((at, why)) = seat.session.deadline() {
                offer(at, actor, why);
            }
            if let Some((at, why)) = seat.query.as_deref().and_then(Client::deadline) {
                offer(at, actor + 1, why);
            }
        }
        if let Some(at) = self.operator.as_deref().and_then(Operator::deadline) {
            offer(at, self.operator_actor(), "the operator acts");
        }
        first
    }

    fn restart(&mut self, now: LocalTime) {
        self.outputs.clear();
        if let Some(semaphore) = &mut self.local {
            **semaphore = Semaphore::new(semaphore.config, self.seats.len());
        }
        // As the production driver does: by the clock, so that nothing that the
        // dead process has sent can be taken for this one's. A clock that has
        // stepped back begins too low, which is cured.
        let nonce = now.0 / 1_000 + 1;
        for seat in &mut self.seats {
            seat.user.restart(now);
            let id = seat.user.id().to_owned();
            let client = |gate: &Gate| Some(gate.client(&id)?.first_nonce(nonce));
            seat.session = client(&self.gates.sessions).expect("sessions are in the store");
            seat.query = self.gates.queries.as_ref().and_then(client).map(Box::new);
        }
    }

    fn identity<H: Likeness>(&self, now: LocalTime, state: &mut H) {
        for seat in &self.seats {
            seat.user.identity(now, state);
            seat.session.identity(now, state);
            if let Some(query) = &seat.query {
                query.identity(now, state);
            }
        }
        self.outputs.hash(state);
        if self.operator.is_some() || self.local.is_some() {
            (self, now).hash(state);
        }
    }

    fn names(&self) -> Vec<Bytes> {
        match &self.seats[..] {
            [only] => vec![Bytes::from(only.user.id().as_bytes())],
            _ => Vec::new(),
        }
    }
}

impl Hash for Process {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.seats.hash(state);
        self.operator.hash(state);
        // A semaphore's state shows in who works and who waits, but for order.
        for seat in &self.seats {
            matches!(seat.user.query, QueryStage::Working(_)).hash(state);
        }
        if let Some(semaphore) = &self.local {
            semaphore.nonces.hash(state);
        }
        self.outputs.hash(state);
    }
}

impl Semaphore {
    fn new(config: Config, seats: usize) -> Self {
        Self {
            slots: Slots::new(config, 0).expect("scenarios have valid gates"),
            config,
            nonce: 0,
            nonces: vec![0; seats],
        }
    }

    /// Carries out an ask of a seat; returns who is told what.
    fn ask(&mut self, now: LocalTime, seat: usize, ask: Ask) -> Vec<(usize, Event)> {
        let store = StoreTime(now.0 / 1_000_000);
        let id = seat as u16;
        let mut told = Vec::new();
        match ask {
            Ask::Acquire | Ask::TryAcquire => {
                self.nonce += 1;
                self.nonces[seat] = self.nonce;
                let wait = ask == Ask::Acquire;
                let reply = self.slots.acquire(store, id, self.nonce, Class::ZERO, wait);
                match reply.outcome {
                    Outcome::Granted { fence, wait_ms, .. } => {
                        told.push((seat, granted(fence, wait_ms)));
                    }
                    Outcome::Rejected(why) => told.push((seat, Event::Rejected(why))),
                    _ => {}
                }
            }
            Ask::Release | Ask::Cancel => {
                self.slots.cancel(store, &id, self.nonces[seat]);
                let event = match ask {
                    Ask::Cancel => Event::Cancelled,
                    _ => Event::Released,
                };
                told.push((seat, event));
            }
            Ask::Touch => {}
        }
        while let Some(event) = self.slots.poll_event() {
            match event {
                SlotsEvent::Granted {
                    id, fence, wait_ms, ..
                } => {
                    told.push((usize::from(id), granted(fence, wait_ms)));
                }
                SlotsEvent::Ended { id, how, .. } => {
                    if how == Ended::TimedOut {
                        told.push((usize::from(id), Event::Ended(how)));
                    }
                }
            }
        }
        told
    }
}

fn granted(fence: Fence, wait_ms: u64) -> Event {
    Event::Granted {
        fence,
        until: None,
        wait_ms,
    }
}
