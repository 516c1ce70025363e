//! [`SlotsClient`]: the client side of the Redis gate.
//!
//! **The problem.** Between a client and its gate every message can be late,
//! lost, or both at once: a request without a reply may have been executed, may
//! yet be, or may never be (B44). A client that takes silence for "no" joins
//! twice (B05), one that takes it for "yes" holds what it does not have (B12),
//! one that walks away leaves a corpse in the line (B16, B2A).
//!
//! **The idea.** A client always *wants* exactly one thing (`Phase`), the
//! request that brings it there follows from what it wants, and every request
//! can be repeated: a join by its nonce, a renewal and a release by their
//! fencing number, a cancellation by its nonce. So whatever goes wrong has one
//! cure: send it again, later. There is at most one request whose answer counts;
//! answers to superseded ones are dropped.
//!
//! What it promises, by requirement:
//! * R1.6: a repeated join never makes a second place. Whoever leaves cancels
//!   by nonce until the store has answered, so that a delayed copy of the join
//!   finds a tombstone. A `stale` for a fresh attempt (a restarted client whose
//!   nonces begin too low) is cured by a greater nonce; a `stale` for a place
//!   it had means that a newer attempt of this id has taken over: it ends.
//! * R1.7: release and renewal carry the fencing number.
//! * R1.8: belief ends by its own clock at *send time + lease × (1 − drift) −
//!   margin*, whatever the store or the network do. A slot that ended so is
//!   given back in the background.
//! * R1.9: a waiter polls often enough to stay present, and at once when a
//!   message tells it to, and when messages may have been missed.
//! * R1.10: who gives up waiting is told at once and cancels in the background.
//!
//! A waiter whose place the store has forgotten (data lost in a failover or a
//! flush) joins again, at the end of the line, and tells so as `Trouble`: the
//! application asked for a slot, not for an incident. A *holder* whose slot is
//! forgotten is told that it ended, because it must stop.
//!
//! *Rejected:* a state per situation (joining after an unknown outcome,
//! releasing after …). What is unknown is one field, `unanswered`; the rest does
//! not depend on it.
//!
//! Read next: [`settings`](Settings), then `handle` below.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hash;

use super::{Ask, Client, Conn, Event, Failure, Input, Likeness, Output, RequestId};
use crate::redis::{Bytes, Command, Reply};
use crate::script;
use crate::slots::{Ended, Fence, IdError, Nonce, Outcome, Rejected, validate_id};
use crate::time::LocalTime;

mod identity;
mod refusal;
mod settings;
#[cfg(test)]
mod tests;
mod time;

use refusal::{Remedy, understand};
pub use settings::{Settings, SettingsError};
use time::{Steady, believed_until};

/// One client of the gate: one id, one place at a time.
///
/// * Input: [`Client::handle`]. Asks that make no sense now (a second acquire
///   while one is on, a touch without a slot) are ignored; an acquire while a
///   release or cancellation is under way begins when that is over.
/// * Output: [`Client::poll_output`], [`Client::deadline`].
/// * Getters: [`Client::belief`], [`SlotsClient::until`], [`SlotsClient::is_idle`].
///
/// Equal `Settings` are assumed when two clients are compared by hash.
#[derive(Clone, Debug)]
pub struct SlotsClient {
    settings: Arc<Settings>,
    id: Bytes,
    clock: Steady,
    phase: Phase,
    /// The current attempt, or the last one.
    nonce: Nonce,
    /// The greatest nonce of which a join went unanswered: a copy of it may
    /// still be executed. Cleared when the store has answered for its end.
    unanswered: Option<Nonce>,
    /// When the waiting ends by our own decision.
    limit: Option<LocalTime>,
    /// The one request whose answer counts.
    current: Option<Current>,
    /// Requests whose answers no longer count, until the driver has answered.
    superseded: Vec<RequestId>,
    /// When to send the next request, if none is current.
    next_at: Option<LocalTime>,
    /// Failures in a row.
    failures: u32,
    /// The script is to be loaded before the next request.
    load: bool,
    /// A message came, or may have been missed, while a request was current.
    nudged: bool,
    subscription: bool,
    outputs: VecDeque<Output>,
}

/// What the client wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Nothing.
    Idle,
    /// A place: repeats the join until it is answered.
    Joining { wait: bool },
    /// A slot: it is in line, and polls.
    Waiting { wait: bool, position: u64 },
    /// To keep its slot: it renews.
    Holding(Holding),
    /// To be out: it repeats a release or a cancellation until it is answered.
    Leaving(Leaving),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holding {
    fence: Fence,
    wait_ms: u64,
    /// End of belief. `None`: no lease, no idle time.
    until: Option<LocalTime>,
    /// False while the grant that arrived was too old to be used: it is renewed
    /// before the application hears of it.
    told: bool,
    /// In real use since the last renewal that was sent.
    touched: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leaving {
    by: By,
    /// What to tell when it is over; `None` in the background.
    tell: Option<Farewell>,
    /// When the store will have ended it by itself.
    until: Option<LocalTime>,
    /// The application has asked to acquire again (and whether to wait).
    then: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum By {
    Release(Fence),
    Cancel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Farewell {
    Released,
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Current {
    request: RequestId,
    sent: LocalTime,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    Load,
    Acquire,
    Poll,
    Renew { touch: bool },
    Leave,
}

impl SlotsClient {
    /// A client with this id. It does nothing until it is asked.
    ///
    /// # Errors
    /// When the id is empty, too long, or has control characters.
    pub fn new(settings: Arc<Settings>, id: &[u8]) -> Result<Self, IdError> {
        validate_id(id)?;
        Ok(Self {
            settings,
            id: Bytes::from(id),
            clock: Steady::default(),
            phase: Phase::Idle,
            nonce: 0,
            unanswered: None,
            limit: None,
            current: None,
            superseded: Vec::new(),
            next_at: None,
            failures: 0,
            load: false,
            nudged: false,
            subscription: false,
            outputs: VecDeque::new(),
        })
    }

    /// The same client with the first attempt under this nonce (at least 1,
    /// the default). A restarted client that begins too low is told so by the
    /// store and moves on, at the cost of a round trip; one that takes numbers
    /// which rise across restarts (a clock's) saves it, and cannot be mistaken
    /// for the one before. No effect after the first attempt.
    #[must_use]
    pub fn first_nonce(mut self, nonce: Nonce) -> Self {
        if self.nonce == 0 {
            self.nonce = nonce.saturating_sub(1);
        }
        self
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &Bytes {
        &self.id
    }

    /// What it was told about its gate.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The nonce of the current or last attempt: a later client with this id
    /// begins above it.
    #[must_use]
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// Until when the slot is believed to be held, by the caller's clock; moves
    /// on with every renewal. `None` without a slot, or when it has no lease.
    #[must_use]
    pub fn until(&self) -> Option<LocalTime> {
        match &self.phase {
            Phase::Holding(held) if held.told => held.until.map(|at| self.clock.outside(at)),
            Phase::Idle
            | Phase::Joining { .. }
            | Phase::Waiting { .. }
            | Phase::Holding(_)
            | Phase::Leaving(_) => None,
        }
    }

    /// Whether it is out of the gate with nothing left to do: it can be dropped
    /// and loses nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle && self.outputs.is_empty()
    }
}

impl Client for SlotsClient {
    fn handle(&mut self, now: LocalTime, input: Input) {
        let now = self.clock.read(now);
        // Deadlines first: an answer that comes after the end of belief must
        // not find a holder.
        self.expire(now);
        match input {
            Input::Ask(ask) => self.asked(now, ask),
            Input::Reply(request, reply) => {
                if let Some(current) = self.answered(request) {
                    self.replied(now, &current, &reply);
                }
            }
            Input::Failed(request, failure) => {
                if let Some(current) = self.answered(request) {
                    self.failed(now, &current, failure);
                }
            }
            Input::Subscribed => self.nudge(now),
            Input::Unsubscribed => {}
            Input::Message(id) => {
                if id == self.id {
                    self.nudge(now);
                }
            }
            Input::Wake => {}
        }
        self.expire_request(now);
        self.send_if_due(now);
        self.check();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<(LocalTime, &'static str)> {
        let request = match &self.current {
            Some(current) => Some((self.give_up_at(current), "request timeout")),
            None => self.next_at.map(|at| (at, self.next_name())),
        };
        let ends = match &self.phase {
            Phase::Idle => None,
            Phase::Joining { .. } | Phase::Waiting { .. } => {
                self.limit.map(|at| (at, "wait limit"))
            }
            Phase::Holding(held) => held.until.map(|at| (at, "end of belief")),
            Phase::Leaving(leaving) => leaving.until.map(|at| (at, "end of leaving")),
        };
        [request, ends]
            .into_iter()
            .flatten()
            .min()
            .map(|(at, why)| (self.clock.outside(at), why))
    }

    fn belief(&self, now: LocalTime) -> Option<Fence> {
        let now = self.clock.peek(now);
        match &self.phase {
            Phase::Holding(held) if held.told && held.until.is_none_or(|until| now < until) => {
                Some(held.fence)
            }
            Phase::Idle
            | Phase::Joining { .. }
            | Phase::Waiting { .. }
            | Phase::Holding(_)
            | Phase::Leaving(_) => None,
        }
    }

    fn identity<H: Likeness>(&self, now: LocalTime, state: &mut H) {
        self.feed(now, state);
    }
}

/// What the application asks.
impl SlotsClient {
    fn asked(&mut self, now: LocalTime, ask: Ask) {
        match ask {
            Ask::Acquire => self.asked_to_join(now, true),
            Ask::TryAcquire => self.asked_to_join(now, false),
            Ask::Touch => match &mut self.phase {
                Phase::Holding(held) => held.touched = true,
                Phase::Idle | Phase::Joining { .. } | Phase::Waiting { .. } | Phase::Leaving(_) => {
                }
            },
            Ask::Release => self.asked_to_leave(now, Farewell::Released),
            Ask::Cancel => self.asked_to_leave(now, Farewell::Cancelled),
        }
    }

    fn asked_to_join(&mut self, now: LocalTime, wait: bool) {
        match &mut self.phase {
            Phase::Idle => self.join(now, wait),
            Phase::Joining { .. } | Phase::Waiting { .. } => {}
            Phase::Holding(held) => {
                if held.told {
                    let granted = self.granted_event();
                    self.outputs.extend(granted.map(Output::Tell));
                }
            }
            // In the background: a newer attempt takes over whatever is left of
            // the old one, which makes leaving needless.
            Phase::Leaving(leaving) => match leaving.tell {
                None => self.join(now, wait),
                Some(_) => leaving.then = Some(wait),
            },
        }
    }

    fn asked_to_leave(&mut self, now: LocalTime, farewell: Farewell) {
        match &mut self.phase {
            Phase::Idle => self.tell(farewell.event()),
            Phase::Joining { .. } | Phase::Waiting { .. } => {
                self.leave(now, By::Cancel, Some(farewell));
            }
            Phase::Holding(held) => {
                let by = match farewell {
                    Farewell::Released => By::Release(held.fence),
                    Farewell::Cancelled => By::Cancel,
                };
                self.leave(now, by, Some(farewell));
            }
            Phase::Leaving(leaving) => {
                leaving.tell = Some(farewell);
                leaving.then = None;
            }
        }
    }

    /// Begins a new attempt, under a greater nonce than any before.
    fn join(&mut self, now: LocalTime, wait: bool) {
        let limit = match (wait, self.settings.wait_limit_ms) {
            (true, limit) => limit,
            (false, limit) => Some(self.settings.try_limit_ms.min(limit.unwrap_or(u64::MAX))),
        };
        self.limit = limit.map(|ms| now.plus_ms(ms));
        self.attempt(now, self.nonce.saturating_add(1), wait);
    }

    /// Joins under this nonce, within the limit that runs already.
    fn attempt(&mut self, now: LocalTime, nonce: Nonce, wait: bool) {
        if nonce > script::NUMBER_MAX {
            self.end(Event::Fatal(
                "the nonces of this id are used up; use another id".into(),
            ));
            return;
        }
        self.nonce = nonce;
        self.enter(now, Phase::Joining { wait });
    }

    fn leave(&mut self, now: LocalTime, by: By, tell: Option<Farewell>) {
        let ends_by_itself_ms = match by {
            By::Release(_) => self.settings.config.lease_ms,
            By::Cancel => self.settings.forgotten_after_ms(),
        };
        let until = ends_by_itself_ms.map(|ms| now.plus_ms(ms));
        self.enter(
            now,
            Phase::Leaving(Leaving {
                by,
                tell,
                until,
                then: None,
            }),
        );
    }
}

/// What the store answers.
impl SlotsClient {
    /// The current request, if this is the answer to it.
    fn answered(&mut self, request: RequestId) -> Option<Current> {
        self.superseded.retain(|old| *old != request);
        self.current.take_if(|current| current.request == request)
    }

    fn replied(&mut self, now: LocalTime, current: &Current, reply: &Reply) {
        if let Reply::Error(text) = reply {
            return self.refused(now, current, text);
        }
        if current.what == What::Load {
            self.load = false;
            self.next_at = Some(now);
            return;
        }
        match script::decode(reply) {
            Ok(reply) => {
                self.failures = 0;
                self.heard(now, current, reply.outcome);
                // (A guarded gate says it for a whole lease when it pauses.)
                let asks_again = reply.more && !self.settings.keys.is_guarded();
                if asks_again && matches!(self.phase, Phase::Waiting { .. }) {
                    // Work is left over, perhaps our own promotion.
                    self.next_at = Some(now);
                }
            }
            Err(error) => self.nonsense(now, current, &format!("{error}")),
        }
    }

    fn heard(&mut self, now: LocalTime, current: &Current, outcome: Outcome) {
        match (&self.phase, outcome) {
            (Phase::Joining { wait } | Phase::Waiting { wait, .. }, outcome) => {
                self.heard_in_line(now, current, outcome, *wait);
            }
            (Phase::Holding(_), Outcome::Renewed { ttl_ms }) => self.renewed(now, current, ttl_ms),
            // Not ours any more: expired, forgotten, or taken over.
            (Phase::Holding(_), Outcome::Lost) => {
                self.end_and_clean_up(now, Event::Ended(Ended::Expired));
            }
            (Phase::Leaving(leaving), Outcome::Cancelled | Outcome::Stale { .. })
                if leaving.by == By::Cancel =>
            {
                self.left(now);
            }
            (Phase::Leaving(leaving), Outcome::Released | Outcome::Lost)
                if leaving.by != By::Cancel =>
            {
                self.left(now);
            }
            (Phase::Idle | Phase::Holding(_) | Phase::Leaving(_), outcome) => {
                self.nonsense(now, current, &format!("it answered {outcome:?}"));
            }
        }
    }

    /// The answer to a join or a poll.
    fn heard_in_line(&mut self, now: LocalTime, current: &Current, outcome: Outcome, wait: bool) {
        let nonce = self.nonce;
        let joined = current.what == What::Acquire;
        match outcome {
            Outcome::Granted {
                fence,
                ttl_ms,
                wait_ms,
            } => self.granted(now, current, fence, ttl_ms, wait_ms),
            Outcome::Waiting { position, .. } if wait => self.waits(now, current, position),
            // An older place of this id was in line, and the join took it over.
            Outcome::Waiting { .. } => {
                self.tell(Event::Rejected(Rejected::Busy));
                self.leave(now, By::Cancel, None);
            }
            // A copy of this join may still be under way and be accepted later.
            Outcome::Rejected(why) => self.end_and_clean_up(now, Event::Rejected(why)),
            Outcome::Ended(how) => {
                self.unanswered = None;
                self.end(Event::Ended(how));
            }
            Outcome::Stale { nonce: known } if joined => {
                if known == nonce && self.unanswered == Some(nonce) {
                    // An earlier copy of this very join got a place, and that
                    // place has ended. A poll tells how.
                    self.enter(now, Phase::Waiting { wait, position: 0 });
                } else {
                    self.attempt(now, known.max(nonce).saturating_add(1), wait);
                }
            }
            // Another process uses this id; its attempt is the newer one.
            Outcome::Stale { nonce: known } if known > nonce => {
                self.unanswered = None;
                self.end(Event::Ended(Ended::Cancelled));
            }
            // Forgotten, or thrown back to before the join.
            Outcome::Unknown | Outcome::Stale { .. } => {
                self.tell(Event::Trouble(
                    "the gate has forgotten this place, as after a loss of data; joining again at the end of the line"
                        .into(),
                ));
                self.attempt(now, nonce.saturating_add(1), wait);
            }
            Outcome::Renewed { .. }
            | Outcome::Lost
            | Outcome::Released
            | Outcome::Cancelled
            | Outcome::Resized { .. }
            | Outcome::Swept => self.nonsense(now, current, &format!("it answered {outcome:?}")),
        }
    }

    fn waits(&mut self, now: LocalTime, current: &Current, position: u64) {
        let news = match &self.phase {
            Phase::Waiting {
                position: known, ..
            } => *known != position,
            Phase::Idle | Phase::Joining { .. } | Phase::Holding(_) | Phase::Leaving(_) => true,
        };
        if news {
            self.tell(Event::Waiting { position });
        }
        self.phase = Phase::Waiting {
            wait: true,
            position,
        };
        if !self.subscription {
            self.subscription = true;
            let channel = self.settings.keys.wake_channel();
            self.outputs.push_back(Output::Subscribe(channel));
        }
        self.next_at = Some(if core::mem::take(&mut self.nudged) {
            now
        } else {
            let next = current.sent.plus_ms(self.settings.poll_interval_ms());
            next.max(now)
        });
    }

    fn granted(
        &mut self,
        now: LocalTime,
        current: &Current,
        fence: Fence,
        ttl_ms: Option<u64>,
        wait_ms: u64,
    ) {
        let holding = Holding {
            fence,
            wait_ms,
            until: None,
            told: false,
            touched: false,
        };
        self.limit = None;
        self.enter(now, Phase::Holding(holding));
        self.renewed(now, current, ttl_ms);
    }

    fn renewed(&mut self, now: LocalTime, current: &Current, ttl_ms: Option<u64>) {
        let until = ttl_ms.map(|ttl| {
            let Settings {
                drift_ppm,
                margin_ms,
                ..
            } = *self.settings;
            believed_until(current.sent, ttl, drift_ppm, margin_ms)
        });
        let Phase::Holding(held) = &mut self.phase else {
            return;
        };
        if until.is_some_and(|until| until <= now) {
            if held.told {
                return self.end_of_belief(now);
            }
            // The answer took longer than what it granted is good for. Idle time
            // has not begun for someone who does not know of the slot.
            held.touched = true;
            self.next_at = Some(now);
            return;
        }
        held.until = until;
        self.next_at = ttl_ms.map(|ttl| {
            // A third leaves room for two failures. Not below the retry pause:
            // the idle deadline does not move by beating.
            let beat = current.sent.plus_ms((ttl / 3).max(self.settings.retry_ms));
            beat.max(now)
        });
        if !held.told {
            held.told = true;
            let granted = self.granted_event();
            self.outputs.extend(granted.map(Output::Tell));
        }
    }

    /// Out, as the store has confirmed, or as the lease has made sure.
    fn left(&mut self, now: LocalTime) {
        self.unanswered = None;
        let Phase::Leaving(leaving) = core::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        self.rest();
        if let Some(farewell) = leaving.tell {
            self.tell(farewell.event());
        }
        if let Some(wait) = leaving.then {
            self.join(now, wait);
        }
    }

    fn refused(&mut self, now: LocalTime, current: &Current, text: &[u8]) {
        let refusal = understand(text);
        let text = printable(text);
        match refusal.remedy {
            // Certainly not executed, and cured at once; but a server that
            // forgets it again each time must not be hammered.
            Remedy::Load => {
                self.restore_touch(current);
                self.load = true;
                self.failures = self.failures.saturating_add(1);
                self.next_at = Some(if self.failures <= 2 {
                    now
                } else {
                    now.plus_ms(self.pause_ms(now))
                });
            }
            Remedy::Retry => {
                self.again(now, current, &format!("{}: {text}", refusal.meaning));
            }
            Remedy::Reconnect => {
                self.outputs.push_back(Output::Reset(Conn::Commands));
                self.again(now, current, &format!("{}: {text}", refusal.meaning));
            }
            Remedy::GiveUp => self.give_up(now, current, &format!("{}: {text}", refusal.meaning)),
        }
    }

    fn failed(&mut self, now: LocalTime, current: &Current, failure: Failure) {
        match failure {
            Failure::NotSent => {
                // The join, at least, has no copy under way.
                let before = self.unanswered;
                self.again(now, current, "the gate's server cannot be reached");
                self.unanswered = before;
            }
            Failure::Unknown => {
                self.again(now, current, "the connection was lost; asking again");
            }
        }
    }

    /// Whatever has come of the request: the same one again, after a pause.
    fn again(&mut self, now: LocalTime, current: &Current, why: &str) {
        self.note_unanswered(current);
        self.restore_touch(current);
        self.failures = self.failures.saturating_add(1);
        self.next_at = Some(now.plus_ms(self.pause_ms(now)));
        let background = matches!(&self.phase, Phase::Leaving(Leaving { tell: None, .. }));
        if !background {
            self.tell(Event::Trouble(why.into()));
        }
    }

    /// The server will not have it. A holder still has its lease, so it keeps
    /// trying until that ends; who is leaving keeps trying in the background.
    fn give_up(&mut self, now: LocalTime, current: &Current, why: &str) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Holding(_) => self.again(now, current, why),
            Phase::Joining { .. } => self.end_and_clean_up(now, Event::Fatal(why.into())),
            Phase::Waiting { .. } => {
                self.tell(Event::Fatal(why.into()));
                self.leave(now, By::Cancel, None);
                self.next_at = Some(now.plus_ms(self.settings.retry_max_ms));
            }
            Phase::Leaving(leaving) => {
                let (tell, then) = (leaving.tell.take(), leaving.then.take());
                if tell.is_some() || then.is_some() {
                    self.tell(Event::Fatal(why.into()));
                }
                self.again(now, current, why);
            }
        }
    }

    fn nonsense(&mut self, now: LocalTime, current: &Current, what: &str) {
        self.note_unanswered(current);
        let why = format!(
            "the gate's script answered a {} in a way this version does not understand: {what}; do all clients run the same version?",
            current.what.name()
        );
        self.give_up(now, current, &why);
    }
}

/// Time, and what leads from one phase to the next.
impl SlotsClient {
    /// Meets the deadline of the phase, if it has passed.
    fn expire(&mut self, now: LocalTime) {
        match &self.phase {
            Phase::Holding(held) if held.until.is_some_and(|until| until <= now) => {
                self.end_of_belief(now);
            }
            Phase::Joining { .. } | Phase::Waiting { .. }
                if self.limit.is_some_and(|limit| limit <= now) =>
            {
                self.tell(Event::Ended(Ended::TimedOut));
                self.leave(now, By::Cancel, None);
            }
            Phase::Leaving(leaving) if leaving.until.is_some_and(|until| until <= now) => {
                self.supersede();
                self.left(now);
            }
            Phase::Idle
            | Phase::Joining { .. }
            | Phase::Waiting { .. }
            | Phase::Holding(_)
            | Phase::Leaving(_) => {}
        }
    }

    /// After the input, which may have been the answer.
    fn expire_request(&mut self, now: LocalTime) {
        let late = |current: &mut Current| {
            let limit = self.settings.request_limit_ms();
            current.sent.plus_ms(limit) <= now
        };
        if let Some(current) = self.current.take_if(late) {
            self.superseded.push(current.request);
            self.outputs.push_back(Output::Reset(Conn::Commands));
            self.again(
                now,
                &current,
                "the gate's server does not answer; asking again",
            );
        }
    }

    /// By our own clock the lease may be over: stop, and give the slot back in
    /// the background in case it is not.
    fn end_of_belief(&mut self, now: LocalTime) {
        let Phase::Holding(held) = &self.phase else {
            return;
        };
        let fence = held.fence;
        self.tell(Event::Ended(Ended::Expired));
        self.leave(now, By::Release(fence), None);
    }

    /// A message, or a time without messages: the place may have moved.
    fn nudge(&mut self, now: LocalTime) {
        match self.phase {
            Phase::Waiting { .. } if self.current.is_none() && self.failures == 0 => {
                self.next_at = Some(now);
            }
            Phase::Joining { .. } | Phase::Waiting { .. } => self.nudged = true,
            Phase::Idle | Phase::Holding(_) | Phase::Leaving(_) => {}
        }
    }

    fn enter(&mut self, now: LocalTime, phase: Phase) {
        self.supersede();
        if !matches!(phase, Phase::Joining { .. } | Phase::Waiting { .. }) {
            self.unsubscribe();
        }
        self.phase = phase;
        self.failures = 0;
        self.nudged = false;
        self.next_at = Some(now);
    }

    /// Final: nothing of this attempt is left at the store.
    fn end(&mut self, event: Event) {
        self.supersede();
        self.phase = Phase::Idle;
        self.rest();
        self.tell(event);
    }

    /// Final for the application; a join that is still under way somewhere must
    /// find a tombstone.
    fn end_and_clean_up(&mut self, now: LocalTime, event: Event) {
        if self.unanswered.is_some() {
            self.tell(event);
            self.leave(now, By::Cancel, None);
        } else {
            self.end(event);
        }
    }

    fn rest(&mut self) {
        self.unsubscribe();
        self.limit = None;
        self.next_at = None;
        self.failures = 0;
        self.load = false;
        self.nudged = false;
    }

    fn unsubscribe(&mut self) {
        if core::mem::take(&mut self.subscription) {
            self.outputs.push_back(Output::Unsubscribe);
        }
    }

    /// Whatever is under way, its answer no longer counts.
    fn supersede(&mut self) {
        if let Some(current) = self.current.take() {
            self.note_unanswered(&current);
            self.superseded.push(current.request);
        }
    }

    fn note_unanswered(&mut self, current: &Current) {
        if current.what == What::Acquire {
            self.unanswered = Some(self.nonce);
        }
    }

    fn restore_touch(&mut self, current: &Current) {
        if let (What::Renew { touch: true }, Phase::Holding(held)) = (current.what, &mut self.phase)
        {
            held.touched = true;
        }
    }

    fn send_if_due(&mut self, now: LocalTime) {
        if self.current.is_some() || self.next_at.is_none_or(|at| now < at) {
            return;
        }
        let Some((what, command)) = self.next_request() else {
            return;
        };
        if let (What::Renew { .. }, Phase::Holding(held)) = (what, &mut self.phase) {
            held.touched = false;
        }
        let request = self.free_request_id();
        self.next_at = None;
        self.current = Some(Current {
            request,
            sent: now,
            what,
        });
        self.outputs.push_back(Output::Send { request, command });
    }

    /// What brings us to what we want.
    fn next_request(&self) -> Option<(What, Command)> {
        let Settings {
            keys,
            config,
            class,
            ..
        } = &*self.settings;
        let nonce = self.nonce;
        let load = self.load;
        let either = |script: &'static script::Script, what, command: &dyn Fn() -> Command| {
            if load {
                (What::Load, script::load(keys.script(script)))
            } else {
                (what, command())
            }
        };
        Some(match &self.phase {
            Phase::Idle => return None,
            Phase::Joining { wait } => either(&script::ACQUIRE, What::Acquire, &|| {
                script::acquire(keys, config, &self.id, nonce, *class, *wait)
            }),
            Phase::Waiting { .. } => either(&script::POLL, What::Poll, &|| {
                script::poll(keys, config, &self.id, nonce)
            }),
            Phase::Holding(held) => {
                let touch = held.touched;
                either(&script::RENEW, What::Renew { touch }, &|| {
                    script::renew(keys, config, &self.id, held.fence, touch)
                })
            }
            Phase::Leaving(leaving) => match leaving.by {
                By::Release(fence) => either(&script::RELEASE, What::Leave, &|| {
                    script::release(keys, config, &self.id, fence)
                }),
                By::Cancel => either(&script::CANCEL, What::Leave, &|| {
                    script::cancel(keys, config, &self.id, nonce)
                }),
            },
        })
    }

    /// The smallest number that is not in use: a counter would make clients
    /// differ that behave alike.
    fn free_request_id(&self) -> RequestId {
        (0..)
            .map(RequestId)
            .find(|id| !self.superseded.contains(id))
            .unwrap_or(RequestId(u64::MAX))
    }

    /// Pause before the next repetition: doubling, and spread by id and count
    /// so that clients that failed together do not come back together. A holder
    /// must succeed before its belief ends, so it does not sleep it away.
    fn pause_ms(&self, now: LocalTime) -> u64 {
        let Settings {
            retry_ms,
            retry_max_ms,
            ..
        } = *self.settings;
        let doubled = retry_ms.saturating_mul(1 << self.failures.saturating_sub(1).min(20));
        let capped = doubled.min(retry_max_ms);
        let spread = capped - capped / 2 * (jitter(&self.id, self.failures) % 1_024) / 1_024;
        let bound = match &self.phase {
            Phase::Holding(held) => held
                .until
                .map_or(u64::MAX, |until| (until.since_ms(now) / 4).max(retry_ms)),
            Phase::Idle | Phase::Joining { .. } | Phase::Waiting { .. } | Phase::Leaving(_) => {
                u64::MAX
            }
        };
        spread.min(bound).max(1)
    }

    fn give_up_at(&self, current: &Current) -> LocalTime {
        current.sent.plus_ms(self.settings.request_limit_ms())
    }

    fn next_name(&self) -> &'static str {
        if self.failures > 0 {
            return "repeat";
        }
        match self.phase {
            Phase::Idle => "nothing",
            Phase::Joining { .. } => "join",
            Phase::Waiting { .. } => "poll",
            Phase::Holding(_) => "heartbeat",
            Phase::Leaving(_) => "leave",
        }
    }

    fn granted_event(&self) -> Option<Event> {
        match &self.phase {
            Phase::Holding(held) => Some(Event::Granted {
                fence: held.fence,
                until: held.until.map(|at| self.clock.outside(at)),
                wait_ms: held.wait_ms,
            }),
            Phase::Idle | Phase::Joining { .. } | Phase::Waiting { .. } | Phase::Leaving(_) => None,
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Tell(event));
    }

    fn check(&self) {
        if self.phase == Phase::Idle {
            debug_assert!(self.current.is_none(), "idle, with a request under way");
            debug_assert!(self.next_at.is_none(), "idle, with something to send");
            debug_assert!(!self.subscription, "idle, and still subscribed");
        } else {
            let parked = matches!(&self.phase, Phase::Holding(held) if held.until.is_none());
            debug_assert!(
                parked || self.current.is_some() || self.next_at.is_some(),
                "wants something, and will never do anything about it"
            );
        }
        if let Some(current) = &self.current {
            debug_assert!(!self.superseded.contains(&current.request));
        }
    }
}

impl Farewell {
    fn event(self) -> Event {
        match self {
            Self::Released => Event::Released,
            Self::Cancelled => Event::Cancelled,
        }
    }
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Load => "script load",
            Self::Acquire => "join",
            Self::Poll => "poll",
            Self::Renew { .. } => "renewal",
            Self::Leave => "release or cancellation",
        }
    }
}

/// FNV-1a: spreads, which is all that is asked of it.
fn jitter(id: &[u8], count: u32) -> u64 {
    id.iter()
        .copied()
        .chain(count.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
        >> 16
}

/// An error text from outside, made fit for a message: bounded, no controls.
fn printable(text: &[u8]) -> String {
    const MAX: usize = 200;
    format!("{}", text[..text.len().min(MAX)].escape_ascii())
}
