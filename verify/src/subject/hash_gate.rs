//! The gates that went wrong in the field: a hash of sessions, and a list of
//! those who wait beside it.
//!
//! One machine, two switches. [`Door`]: is the cap checked and the session
//! written in two round trips (the original, B01), by one script with the push
//! left outside it (the first fix, B02), or in one step? [`Activation`]: how
//! does a leaver let in whom it popped off the queue (B03, B04)? What they all
//! have in common: retries without a nonce (B05), and no lease (B07).

use std::hash::Hash;
use std::sync::Arc;

use serde::Serialize;
use sluice_core::client::{Ask, Client, Event, Failure, Input, Likeness, Output, RequestId};
use sluice_core::redis::{Bytes, Command, Reply};
use sluice_core::slots::{Fence, Rejected};
use sluice_core::time::LocalTime;
use sluice_sim::in_order::{InOrder, pop_first};

/// The first fix: the cap is checked and the session written in one step.
/// KEYS: sessions. ARGV: cap, id. Reply: 1 admitted (or already in), 0 full.
pub const CAP_SCRIPT: &str = include_str!("cap.lua");

/// Enters, or queues, in one step. KEYS: sessions, queue. ARGV: cap, id.
const ENTER_SCRIPT: &str = include_str!("hash_gate/enter.lua");

/// Looks, and lets itself in if it is first and a slot is free. KEYS: sessions,
/// queue. ARGV: cap, id.
const LOOK_SCRIPT: &str = include_str!("hash_gate/look.lua");

/// Leaves, and lets in whoever was popped before. KEYS: sessions. ARGV: id,
/// the popped one or nothing.
const SWAP_SCRIPT: &str = include_str!("hash_gate/swap.lua");

/// Leaves, and lets in the first of the queue. KEYS: sessions, queue. ARGV: id.
const LEAVE_SCRIPT: &str = include_str!("hash_gate/leave.lua");

/// How the cap is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// `HLEN`, look, `HSET`.
    TwoRoundTrips,
    /// [`CAP_SCRIPT`]; who is turned away is pushed onto the queue afterwards.
    Script,
    /// One script that lets in or queues; waiters that look let themselves in.
    Whole,
}

/// What a leaver does with the id it popped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `HSET`, whoever came in meanwhile.
    Unconditional,
    /// Through [`CAP_SCRIPT`] again; when that says full, the id is gone.
    Reentry,
    /// It pops first; then one script takes it out and the popped one in.
    Swap,
    /// One script does all of it.
    Whole,
}

/// What all clients of one such gate share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How the cap is checked.
    pub door: Door,
    /// How the next one is let in.
    pub activation: Activation,
    /// Most sessions.
    pub cap: u32,
    /// The hash of sessions.
    pub sessions: String,
    /// The list of waiters.
    pub queue: String,
    /// How often a waiter looks, in milliseconds.
    pub poll_ms: u64,
    /// Pause before a failed command is sent again, in milliseconds.
    pub retry_ms: u64,
}

/// What the machine awaits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Outside,
    /// The reply to `HLEN`.
    Count,
    /// The reply to `HSET` or the script.
    Enter,
    /// The reply to `RPUSH`.
    Push,
    /// The next look.
    Queued,
    /// The reply to `HEXISTS`.
    Look,
    Inside,
    /// The reply to `HDEL`.
    Leave,
    /// The reply to `LPOP`.
    Pop,
    /// The reply to the `HSET` or script of the one that was popped (nobody, if
    /// one script does all).
    Activate(Bytes),
    /// The reply to `LREM`: leaving the queue.
    Unqueue,
}

/// One client of such a gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HashGate {
    settings: Arc<Settings>,
    id: Bytes,
    state: State,
    waits: bool,
    cancelling: bool,
    /// The request of this state, while it may be answered.
    outstanding: Option<RequestId>,
    sent: u64,
    retry_at: Option<LocalTime>,
    look_at: Option<LocalTime>,
    outputs: InOrder<Output>,
}

impl HashGate {
    /// A client with this id, outside the gate.
    #[must_use]
    pub fn new(settings: Arc<Settings>, id: impl Into<Bytes>) -> Self {
        Self {
            settings,
            id: id.into(),
            state: State::Outside,
            waits: true,
            cancelling: false,
            outstanding: None,
            sent: 0,
            retry_at: None,
            look_at: None,
            outputs: InOrder::new(),
        }
    }

    /// Whether it is out of the gate with nothing left to do.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        self.state == State::Outside
    }

    /// Goes on to a state that awaits a reply, and asks for it.
    fn send(&mut self, state: State) {
        self.state = state;
        self.sent += 1;
        let request = RequestId(self.sent);
        let command = self.command();
        self.outstanding = Some(request);
        self.retry_at = None;
        self.outputs.push(Output::Send { request, command });
    }

    /// What is sent in this state, the first time and again.
    fn command(&self) -> Command {
        let Settings {
            sessions, queue, ..
        } = &*self.settings;
        match &self.state {
            State::Count => Command::new("HLEN").arg(sessions),
            State::Enter => match self.settings.door {
                Door::TwoRoundTrips => self.write_session(&self.id),
                Door::Script => self.through_the_script(&self.id),
                Door::Whole => self.whole(ENTER_SCRIPT),
            },
            State::Push => Command::new("RPUSH").arg(queue).arg(&self.id),
            State::Look if self.settings.door == Door::Whole => self.whole(LOOK_SCRIPT),
            State::Look => Command::new("HEXISTS").arg(sessions).arg(&self.id),
            State::Leave => Command::new("HDEL").arg(sessions).arg(&self.id),
            State::Pop => Command::new("LPOP").arg(queue),
            State::Activate(popped) => match self.settings.activation {
                Activation::Unconditional => self.write_session(popped),
                Activation::Reentry => self.through_the_script(popped),
                Activation::Swap => Command::new("EVAL")
                    .arg(SWAP_SCRIPT)
                    .num(1)
                    .arg(sessions)
                    .arg(&self.id)
                    .arg(popped),
                Activation::Whole => self.whole(LEAVE_SCRIPT),
            },
            State::Unqueue => Command::new("LREM").arg(queue).num(0).arg(&self.id),
            State::Outside | State::Queued | State::Inside => {
                unreachable!("nothing is sent in {:?}", self.state)
            }
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push(Output::Tell(event));
    }

    fn ask(&mut self, ask: Ask) {
        match (ask, &self.state) {
            (Ask::Acquire | Ask::TryAcquire, State::Outside) => {
                self.waits = ask == Ask::Acquire;
                self.cancelling = false;
                self.knock();
            }
            (Ask::Release | Ask::Cancel, State::Inside) => {
                self.cancelling = ask == Ask::Cancel;
                self.leave();
            }
            (Ask::Cancel, State::Outside) => self.tell(Event::Cancelled),
            // A cancel under way is carried out when the reply is in.
            (Ask::Cancel, State::Queued) => {
                self.cancelling = true;
                self.send(State::Unqueue);
            }
            (Ask::Cancel, _) => self.cancelling = true,
            (Ask::Touch | Ask::Acquire | Ask::TryAcquire | Ask::Release, _) => {}
        }
    }

    fn knock(&mut self) {
        self.send(match self.settings.door {
            Door::TwoRoundTrips => State::Count,
            Door::Script | Door::Whole => State::Enter,
        });
    }

    /// A script on both keys.
    fn whole(&self, script: &str) -> Command {
        Command::new("EVAL")
            .arg(script)
            .num(2)
            .arg(&self.settings.sessions)
            .arg(&self.settings.queue)
            .num(u64::from(self.settings.cap))
            .arg(&self.id)
    }

    fn through_the_script(&self, id: &[u8]) -> Command {
        Command::new("EVAL")
            .arg(CAP_SCRIPT)
            .num(1)
            .arg(&self.settings.sessions)
            .num(u64::from(self.settings.cap))
            .arg(id)
    }

    fn write_session(&self, id: &[u8]) -> Command {
        Command::new("HSET")
            .arg(&self.settings.sessions)
            .arg(id)
            .arg("active")
    }

    fn leave(&mut self) {
        self.send(match self.settings.activation {
            Activation::Unconditional | Activation::Reentry => State::Leave,
            Activation::Swap => State::Pop,
            Activation::Whole => State::Activate(Bytes::default()),
        });
    }

    fn admitted(&mut self) {
        if self.cancelling {
            self.leave();
            return;
        }
        self.state = State::Inside;
        self.tell(Event::Granted {
            fence: 0,
            until: None,
            wait_ms: 0,
        });
    }

    fn turned_away(&mut self) {
        if self.cancelling {
            self.outside(Event::Cancelled);
        } else if self.waits {
            self.send(State::Push);
        } else {
            self.outside(Event::Rejected(Rejected::Busy));
        }
    }

    fn outside(&mut self, event: Event) {
        self.state = State::Outside;
        self.cancelling = false;
        self.tell(event);
    }

    fn gone(&mut self) {
        let event = if self.cancelling {
            Event::Cancelled
        } else {
            Event::Released
        };
        self.outside(event);
    }

    fn replied(&mut self, now: LocalTime, reply: &Reply) {
        if let Reply::Error(text) = reply {
            self.tell(Event::Trouble(String::from_utf8_lossy(text).into()));
            self.retry_at = Some(now.plus_ms(self.settings.retry_ms));
            return;
        }
        self.outstanding = None;
        let number = reply.as_int().unwrap_or(0);
        match self.state {
            State::Count if number < i64::from(self.settings.cap) => self.send(State::Enter),
            State::Count => self.turned_away(),
            State::Enter if number == 0 => match self.settings.door {
                Door::TwoRoundTrips => self.admitted(), // it was there already
                Door::Script => self.turned_away(),
                Door::Whole if self.cancelling => self.send(State::Unqueue),
                Door::Whole if self.waits => {
                    self.tell(Event::Waiting { position: 0 });
                    self.wait(now);
                }
                Door::Whole => self.send(State::Unqueue),
            },
            State::Enter => self.admitted(),
            State::Push if self.cancelling => self.send(State::Unqueue),
            State::Push => {
                self.tell(Event::Waiting {
                    position: u64::try_from(number).unwrap_or(0),
                });
                self.wait(now);
            }
            State::Look if number == 1 => self.admitted(),
            State::Look if self.cancelling => self.send(State::Unqueue),
            State::Look => self.wait(now),
            State::Leave => self.send(State::Pop),
            State::Pop => match reply.as_bytes() {
                // Who swaps leaves by the script, popped or not.
                None if self.settings.activation != Activation::Swap => self.gone(),
                popped => {
                    let popped = Bytes::from(popped.unwrap_or_default());
                    self.send(State::Activate(popped));
                }
            },
            State::Activate(_) => self.gone(),
            // Popped already: somebody is just letting us in.
            State::Unqueue if number == 0 => self.leave(),
            State::Unqueue if self.waits => self.outside(Event::Cancelled),
            State::Unqueue => self.outside(Event::Rejected(Rejected::Busy)),
            State::Outside | State::Queued | State::Inside => {}
        }
    }

    fn wait(&mut self, now: LocalTime) {
        self.state = State::Queued;
        self.look_at = Some(now.plus_ms(self.settings.poll_ms));
    }
}

impl Client for HashGate {
    fn handle(&mut self, now: LocalTime, input: Input) {
        match input {
            Input::Ask(ask) => self.ask(ask),
            Input::Reply(request, reply) => {
                if self.outstanding == Some(request) {
                    self.replied(now, &reply);
                }
            }
            Input::Failed(request, Failure::NotSent | Failure::Unknown) => {
                if self.outstanding == Some(request) {
                    self.retry_at = Some(now.plus_ms(self.settings.retry_ms));
                }
            }
            Input::Subscribed | Input::Unsubscribed | Input::Message(_) => {}
            Input::Wake => {}
        }
        if self.retry_at.is_some_and(|at| at <= now) && self.outstanding.is_some() {
            self.send(self.state.clone());
        }
        if self.state == State::Queued && self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            self.send(State::Look);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        pop_first(&mut self.outputs)
    }

    fn deadline(&self) -> Option<(LocalTime, &'static str)> {
        if let Some(at) = self.retry_at {
            return Some((at, "send again"));
        }
        let at = self.look_at.filter(|_| self.state == State::Queued)?;
        Some((at, "look whether let in"))
    }

    fn belief(&self, _now: LocalTime) -> Option<Fence> {
        (self.state == State::Inside).then_some(0)
    }

    fn identity<H: Likeness>(&self, now: LocalTime, state: &mut H) {
        for at in [self.retry_at, self.look_at] {
            let ahead = at.map(|at| at.max(now).relative_to(now));
            ahead.is_some().hash(state);
            ahead.into_iter().for_each(|ns| state.deadline(ns));
        }
        (&self.id, &self.state, self.waits, self.cancelling).hash(state);
        (&self.outstanding, &self.outputs).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(door: Door, activation: Activation, cap: u32) -> Arc<Settings> {
        Arc::new(Settings {
            door,
            activation,
            cap,
            sessions: "sessions".into(),
            queue: "queue".into(),
            poll_ms: 100,
            retry_ms: 50,
        })
    }

    fn sent(client: &mut HashGate) -> (RequestId, String) {
        loop {
            match client.poll_output().expect("something is sent") {
                Output::Send { request, command } => return (request, format!("{command:?}")),
                _ => continue,
            }
        }
    }

    fn told(client: &mut HashGate) -> Event {
        loop {
            match client.poll_output().expect("something is told") {
                Output::Tell(event) => return event,
                _ => continue,
            }
        }
    }

    const T0: LocalTime = LocalTime(0);

    #[test]
    fn two_clients_that_count_before_either_writes_both_get_in() {
        let settings = settings(Door::TwoRoundTrips, Activation::Unconditional, 1);
        let mut clients = [
            HashGate::new(settings.clone(), "a"),
            HashGate::new(settings, "b"),
        ];
        for client in &mut clients {
            client.handle(T0, Input::Ask(Ask::Acquire));
            let (request, text) = sent(client);
            assert_eq!(text, "HLEN sessions");
            client.handle(T0, Input::Reply(request, Reply::Int(0)));
        }
        for client in &mut clients {
            let (request, text) = sent(client);
            assert!(text.starts_with("HSET sessions"), "{text}");
            client.handle(T0, Input::Reply(request, Reply::Int(1)));
            assert!(matches!(told(client), Event::Granted { .. }));
            assert_eq!(client.belief(T0), Some(0));
        }
    }

    #[test]
    fn a_leaver_pops_and_lets_in_in_three_steps() {
        let settings = settings(Door::Script, Activation::Reentry, 1);
        let mut client = HashGate::new(settings, "a");
        client.handle(T0, Input::Ask(Ask::Acquire));
        let (request, _) = sent(&mut client);
        client.handle(T0, Input::Reply(request, Reply::Int(1)));
        client.handle(T0, Input::Ask(Ask::Release));
        for (expected, reply) in [
            ("HDEL sessions a", Reply::Int(1)),
            ("LPOP queue", Reply::bulk("b")),
            ("EVAL", Reply::Int(0)),
        ] {
            let (request, text) = sent(&mut client);
            assert!(text.starts_with(expected), "{text}");
            client.handle(T0, Input::Reply(request, reply));
        }
        assert_eq!(
            told(&mut client),
            Event::Released,
            "b is lost and nobody says so"
        );
    }

    #[test]
    fn a_failed_command_is_sent_again_and_a_waiter_looks() {
        let settings = settings(Door::Script, Activation::Unconditional, 1);
        let mut client = HashGate::new(settings, "a");
        client.handle(T0, Input::Ask(Ask::Acquire));
        let (request, first) = sent(&mut client);
        client.handle(T0, Input::Failed(request, Failure::Unknown));
        let (at, _) = client.deadline().expect("a retry is due");
        client.handle(at, Input::Wake);
        let (request, again) = sent(&mut client);
        assert_eq!(first, again);
        client.handle(at, Input::Reply(request, Reply::Int(0)));
        let (request, push) = sent(&mut client);
        assert_eq!(push, "RPUSH queue a");
        client.handle(at, Input::Reply(request, Reply::Int(3)));
        assert_eq!(told(&mut client), Event::Waiting { position: 3 });
        let (at, _) = client.deadline().expect("a look is due");
        client.handle(at, Input::Wake);
        let (request, look) = sent(&mut client);
        assert_eq!(look, "HEXISTS sessions a");
        client.handle(at, Input::Reply(request, Reply::Int(1)));
        assert!(matches!(told(&mut client), Event::Granted { .. }));
    }
}
