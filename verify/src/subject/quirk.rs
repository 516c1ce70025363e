//! A client machine behind an adapter that makes it wrong.
//!
//! The machine inside is the real one. The adapter changes what it hears and
//! what it says, in the ways in which clients of gates go wrong in the field;
//! so it shows that the properties see them, and that the machine's own care
//! is needed.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::Serialize;
use sluice_core::client::slots::SlotsClient;
use sluice_core::client::{Ask, Client, Conn, Event, Failure, Input, Output, RequestId};
use sluice_core::redis::{Bytes, Command, Reply};
use sluice_core::script;
use sluice_core::slots::{Ended, Fence};
use sluice_core::time::LocalTime;

use super::variant::SlotsGate;

/// 2026-01-01 in milliseconds: where clients that send their own time begin.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// Marks the requests with which a client makes sure of another.
const ASKED: u64 = 1 << 63;

/// For how long it asks.
const PATIENCE_MS: u64 = 300;

/// What is wrong about a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quirk {
    /// Nothing.
    #[default]
    None,
    /// Each time it sends a join, it sends it under a new name.
    NewNameEachTime,
    /// It sends its own time along; the scripts take it from ARGV\[6\].
    SendsItsTime,
    /// It does not stop when its lease is over by its own clock.
    NeverStops,
    /// It takes a lease for twice as long as it is.
    LongToken,
    /// It counts a lease from the answer, and keeps no margin.
    CountsFromTheAnswer,
    /// Who gives up while joining or waiting just goes.
    WalksAway,
    /// A lost connection counts as "no".
    LostMeansDenied,
    /// NOSCRIPT counts as "no", once the script has been known.
    NoScriptMeansDenied,
    /// Every error reply counts as "no".
    ErrorMeansDenied,
    /// It joins without a lease and sets the lease in a second command.
    LeaseInASecondStep,
    /// It shows no fencing number to what the gate guards.
    ShowsNoFence,
    /// It waits for a replica to have what the gate has granted, on another
    /// connection than the one on which it asked: that has written nothing, and
    /// is told so at once.
    WaitsElsewhere,
    /// The same on the connection on which it asked: not wrong.
    Waits,
    /// Its name depends on where something lies in memory: the same seed is
    /// another run in another process.
    SignsWithAnAddress,
}

/// The real client, made wrong.
#[derive(Clone, Debug)]
pub struct QuirkyClient {
    quirk: Quirk,
    gate: Arc<SlotsGate>,
    inner: SlotsClient,
    /// Names used so far.
    names: u32,
    /// Some script has answered: it was known.
    was_known: bool,
    /// Beyond its lease, and it does not care.
    beyond: Option<Fence>,
    /// A grant, or a renewal, that is not believed yet.
    unsure: Option<(RequestId, Reply)>,
    /// Requests that await an answer, and since when.
    sent: Vec<(RequestId, LocalTime)>,
    outputs: VecDeque<Output>,
}

impl Quirk {
    /// Whether it means to keep its cap though the server loses its last writes.
    #[must_use]
    pub const fn waits(self) -> bool {
        matches!(self, Self::Waits | Self::WaitsElsewhere)
    }
}

impl QuirkyClient {
    /// A client with this id.
    ///
    /// # Panics
    /// If the id is not plain: ids of users are.
    #[must_use]
    pub fn new(gate: Arc<SlotsGate>, id: &[u8]) -> Self {
        let inner = SlotsClient::new(gate.settings.clone(), id).expect("ids of users are plain");
        Self {
            quirk: gate.variant.quirk,
            gate,
            inner,
            names: 0,
            was_known: false,
            beyond: None,
            unsure: None,
            sent: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What it is a client of.
    pub(super) fn gate(&self) -> &SlotsGate {
        &self.gate
    }

    /// The same client with its first attempt under this nonce.
    #[must_use]
    pub fn first_nonce(mut self, nonce: u64) -> Self {
        self.inner = self.inner.first_nonce(nonce);
        self
    }

    /// The machine inside.
    #[must_use]
    pub fn inner(&self) -> &SlotsClient {
        &self.inner
    }

    /// The name it goes by at the store.
    fn name(&self) -> Bytes {
        let mut name = self.inner.id().to_vec();
        if self.names > 0 {
            name.extend_from_slice(format!("~{}", self.names).as_bytes());
        }
        name.into()
    }

    /// What the machine inside hears instead; `None`: nothing.
    fn hears(&mut self, now: LocalTime, input: Input) -> Option<Input> {
        let sent = match &input {
            Input::Reply(request, _) | Input::Failed(request, _) => {
                let at = self.sent.iter().position(|(r, _)| r == request);
                at.map(|at| self.sent.swap_remove(at).1)
            }
            _ => None,
        };
        let denied = || Reply::bulk("rejected busy 0");
        Some(match (self.quirk, input) {
            (Quirk::NewNameEachTime, Input::Message(id)) => {
                let own = *id == *self.name();
                Input::Message(if own { self.inner.id().clone() } else { id })
            }
            (Quirk::LongToken, Input::Reply(request, reply)) => {
                Input::Reply(request, with_ttl(reply, |ttl| 2 * ttl))
            }
            (Quirk::CountsFromTheAnswer, Input::Reply(request, reply)) => {
                let since = sent.map_or(0, |sent| now.since_ms(sent));
                let margin = 2 * self.gate.settings.margin_ms;
                Input::Reply(request, with_ttl(reply, |ttl| ttl + since + margin))
            }
            (Quirk::LostMeansDenied, Input::Failed(request, Failure::Unknown)) => {
                Input::Reply(request, denied())
            }
            (Quirk::NoScriptMeansDenied, Input::Reply(request, reply)) => {
                let denies = self.was_known && reply.error_code() == Some(b"NOSCRIPT");
                self.was_known |= script::decode(&reply).is_ok();
                Input::Reply(request, if denies { denied() } else { reply })
            }
            (Quirk::ErrorMeansDenied, Input::Reply(request, reply)) => {
                let code = reply.error_code();
                let denies = code.is_some_and(|code| code != b"NOSCRIPT");
                Input::Reply(request, if denies { denied() } else { reply })
            }
            // A lease of no length makes the machine renew at once.
            (Quirk::LeaseInASecondStep, Input::Reply(request, reply)) => {
                Input::Reply(request, without_lease_yet(reply))
            }
            (Quirk::Waits | Quirk::WaitsElsewhere, input) => return self.makes_sure(input),
            (Quirk::NeverStops, Input::Ask(Ask::Release | Ask::Cancel))
                if self.beyond.take().is_some() =>
            {
                self.outputs.push_back(Output::Tell(Event::Released));
                return None;
            }
            (Quirk::WalksAway, Input::Ask(Ask::Cancel))
                if self.inner.belief(now).is_none() && !self.inner.is_idle() =>
            {
                self.walk_away();
                return None;
            }
            (_, input) => input,
        })
    }

    /// Keeps a grant back until `WAIT` has said that a replica has it.
    fn makes_sure(&mut self, input: Input) -> Option<Input> {
        let asked = |id: RequestId| RequestId(id.0 | ASKED);
        match input {
            Input::Reply(request, reply) if gives(&reply) => {
                if self.quirk == Quirk::WaitsElsewhere {
                    self.outputs.push_back(Output::Reset(Conn::Commands));
                }
                let command = Command::new("WAIT").num(1).num(PATIENCE_MS);
                let request_of_it = asked(request);
                self.unsure = Some((request, reply));
                self.outputs.push_back(Output::Send {
                    request: request_of_it,
                    command,
                });
                None
            }
            Input::Reply(id, _) | Input::Failed(id, _) if id.0 & ASKED != 0 => {
                let (request, reply) = self.unsure.take_if(|(of, _)| asked(*of) == id)?;
                Some(match input {
                    Input::Reply(_, Reply::Int(1..)) => Input::Reply(request, reply),
                    _ => Input::Failed(request, Failure::Unknown),
                })
            }
            input => Some(input),
        }
    }

    fn walk_away(&mut self) {
        let settings = self.gate.settings.clone();
        let id = self.inner.id().clone();
        let next = self.inner.nonce().saturating_add(1);
        while let Some(output) = self.inner.poll_output() {
            if let Output::Tell(event) = output {
                self.outputs.push_back(Output::Tell(event));
            }
        }
        let fresh = SlotsClient::new(settings, &id).expect("it was plain before");
        self.inner = fresh.first_nonce(next);
        self.outputs.push_back(Output::Unsubscribe);
        self.outputs.push_back(Output::Reset(Conn::Commands));
        self.outputs.push_back(Output::Tell(Event::Cancelled));
    }

    /// What is said instead of what the machine inside says.
    fn says(&mut self, now: LocalTime, output: Output) -> Option<Output> {
        Some(match (self.quirk, output) {
            (_, Output::Send { request, command }) => {
                self.unsure = None;
                self.sent.retain(|(r, _)| *r != request);
                self.sent.push((request, now));
                let command = self.sends(now, command);
                let command = self.gate.translate(command);
                Output::Send { request, command }
            }
            (
                Quirk::NeverStops,
                Output::Tell(Event::Granted {
                    fence,
                    until,
                    wait_ms,
                }),
            ) => {
                self.beyond = Some(fence);
                Output::Tell(Event::Granted {
                    fence,
                    until,
                    wait_ms,
                })
            }
            (Quirk::NeverStops, Output::Tell(Event::Ended(Ended::Expired)))
                if self.beyond.is_some() =>
            {
                return None;
            }
            (
                Quirk::NeverStops,
                Output::Tell(event @ (Event::Released | Event::Cancelled | Event::Ended(_))),
            ) => {
                self.beyond = None;
                Output::Tell(event)
            }
            (Quirk::ShowsNoFence, Output::Tell(Event::Granted { until, wait_ms, .. })) => {
                let fence = 0;
                Output::Tell(Event::Granted {
                    fence,
                    until,
                    wait_ms,
                })
            }
            (_, output) => output,
        })
    }

    fn sends(&mut self, now: LocalTime, mut command: Command) -> Command {
        if command.name() != b"EVALSHA" {
            return command;
        }
        let is = |command: &Command, script: &script::Script| {
            command
                .args
                .get(1)
                .is_some_and(|sha| **sha == *script.sha1.as_bytes())
        };
        match self.quirk {
            Quirk::NewNameEachTime => {
                let joins = is(&command, &script::ACQUIRE);
                if joins {
                    self.names += 1;
                }
                command.args[7] = self.name();
            }
            Quirk::SignsWithAnAddress => {
                if let Some(id) = command.args.get_mut(7) {
                    let signed = format!("{}@{:p}", id.escape_ascii(), Arc::as_ptr(&self.gate));
                    *id = Bytes::from(signed.as_bytes());
                }
            }
            Quirk::SendsItsTime => {
                let defaults: [&[u8]; 2] = [b"0", b"1"];
                let have = command.args.len().saturating_sub(9).min(2);
                while command.args.len() < 9 {
                    command.args.push(Bytes::from(&b"0"[..]));
                }
                for default in &defaults[have..] {
                    command.args.push(Bytes::from(*default));
                }
                command = command.num(EPOCH_MS + now.0 / 1_000_000);
            }
            Quirk::LeaseInASecondStep if !is(&command, &script::RENEW) => {
                let text = String::from_utf8_lossy(&command.args[6]).into_owned();
                let mut words: Vec<&str> = text.split(' ').collect();
                (words[1], words[2]) = ("0", "0");
                command.args[6] = Bytes::from(words.join(" ").as_bytes());
            }
            _ => {}
        }
        command
    }
}

impl Client for QuirkyClient {
    fn handle(&mut self, now: LocalTime, input: Input) {
        if let Some(input) = self.hears(now, input) {
            self.inner.handle(now, input);
        }
        while let Some(output) = self.inner.poll_output() {
            let said = self.says(now, output);
            self.outputs.extend(said);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<(LocalTime, &'static str)> {
        self.inner.deadline()
    }

    fn belief(&self, now: LocalTime) -> Option<Fence> {
        match self.quirk {
            Quirk::NeverStops => self.beyond,
            Quirk::ShowsNoFence => self.inner.belief(now).map(|_| 0),
            _ => self.inner.belief(now),
        }
    }
}

/// The gate is the same for all clients of a run and is left out.
impl Hash for QuirkyClient {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.inner, self.names, self.was_known, self.beyond).hash(state);
        (&self.unsure, &self.sent, &self.outputs).hash(state);
    }
}

/// Whether a reply is something to believe in.
fn gives(reply: &Reply) -> bool {
    let text = reply.as_bytes().unwrap_or_default();
    text.starts_with(b"granted ") || text.starts_with(b"renewed ")
}

/// A reply with another time to live in it, if it has one.
fn with_ttl(reply: Reply, change: impl Fn(u64) -> u64) -> Reply {
    let text = reply.as_bytes().map(String::from_utf8_lossy);
    let Some(text) = text else { return reply };
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let at = match words.first().map(String::as_str) {
        Some("granted") => 2,
        Some("renewed") => 1,
        _ => return reply,
    };
    if let Some(ttl) = words.get(at).and_then(|word| word.parse().ok()) {
        words[at] = change(ttl).to_string();
    }
    Reply::bulk(words.join(" "))
}

/// A grant without a lease, as one whose lease is still to be set.
fn without_lease_yet(reply: Reply) -> Reply {
    let text = reply.as_bytes().map(String::from_utf8_lossy);
    match text {
        Some(text) if text.starts_with("granted ") => Reply::bulk(text.replacen(" -1 ", " 0 ", 1)),
        _ => reply,
    }
}
