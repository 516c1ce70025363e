//! Clients that wait: `BLPOP` and its kin, `XREAD BLOCK`, `WAIT`.
//!
//! A command that finds nothing to answer with leaves a [`Park`] behind. Its
//! client is then parked with the command, and the command is executed anew
//! when a key that it waits for has changed to what it wants: those who have
//! waited longest first, after the command (transaction, script) that changed
//! the key is through. The alternative, to serve each kind of waiter by hand,
//! is what Redis did before 7.2; it says everything twice.
//!
//! Deadlines are the caller's to keep: [`Server::deadline_us`] says when to
//! call [`Server::time_out`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use sluice_core::redis::{Bytes, Command, Reply};

use super::busy::Busy;
use super::keyspace::Keyspace;
use super::lua::Engine;
use super::value::Value;
use super::{Server, SessionId, State};
use crate::digest::Digest;
use crate::store::Names;

/// What must be at a key before it is worth a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wants {
    /// A list.
    List,
    /// A sorted set.
    ZSet,
    /// A stream.
    Stream,
    /// A stream with a group: that it is gone is news, too.
    Group,
    /// No key, but that a replica has what its connection wrote.
    Replica,
    /// No key: its script does not end, and has to be killed.
    Kill {
        /// It has called a command that writes.
        wrote: bool,
    },
}

impl Wants {
    fn met_by(self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::List, Some(Value::List(_)))
            | (Self::ZSet, Some(Value::ZSet(_)))
            | (Self::Stream, Some(Value::Stream(_)))
            | (Self::Group, _) => true,
            (Self::List | Self::ZSet | Self::Stream | Self::Replica | Self::Kill { .. }, _) => {
                false
            }
        }
    }
}

/// Left by a command that would rather wait.
#[derive(Clone, Debug, Hash)]
pub(super) struct Park {
    pub(super) keys: Vec<Bytes>,
    pub(super) wants: Wants,
    /// Microseconds from now, 0 for ever.
    pub(super) timeout_us: u64,
    /// What to execute instead of what was sent, when that would mean something
    /// else later.
    pub(super) command: Option<Command>,
}

/// A parked client.
#[derive(Clone, Debug, Hash)]
struct Waiter {
    session: SessionId,
    db: u8,
    command: Command,
    keys: Vec<Bytes>,
    wants: Wants,
    deadline_us: Option<u64>,
    /// The answer when time is up.
    late: Reply,
}

/// All that wait, by when they began to, and the answers of those who waited.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    waiters: BTreeMap<u64, Waiter>,
    /// The next number; only its order means anything.
    next: u64,
    done: VecDeque<(SessionId, Reply)>,
}

impl Waiting {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// How many keys they wait for.
    pub(super) fn keys(&self) -> usize {
        let waiters = self.waiters.values();
        let keys = waiters.flat_map(|waiter| waiter.keys.iter().map(|key| (waiter.db, key)));
        keys.collect::<BTreeSet<_>>().len()
    }

    fn is_idle(&self) -> bool {
        self.waiters.is_empty() && self.done.is_empty()
    }

    fn of(&self, session: SessionId) -> Option<u64> {
        let mut all = self.waiters.iter();
        let found = all.find(|(_, waiter)| waiter.session == session);
        found.map(|(number, _)| *number)
    }

    /// Feeds them to a hasher, if there are any.
    pub(super) fn hash(&self, hasher: &mut impl Hasher) {
        if !self.is_idle() {
            for waiter in self.waiters.values() {
                waiter.hash(hasher);
            }
            self.done.hash(hasher);
        }
    }

    /// The same with names and sessions replaced, and deadlines from now.
    pub(super) fn identity(&self, now_us: u64, names: &dyn Names, hasher: &mut impl Hasher) {
        if self.is_idle() {
            return;
        }
        let word = |bytes: &Bytes| names.name(bytes).unwrap_or_else(|| Digest::of(bytes));
        for waiter in self.waiters.values() {
            names.session(waiter.session).hash(hasher);
            (waiter.db, waiter.wants, &waiter.late).hash(hasher);
            for arg in &waiter.command.args {
                word(arg).hash(hasher);
            }
            let left = waiter.deadline_us.map(|at| at.saturating_sub(now_us));
            left.hash(hasher);
        }
        for (session, reply) in &self.done {
            (names.session(*session), reply).hash(hasher);
        }
    }
}

impl State {
    fn database_mut(&mut self, number: u8) -> &mut Keyspace {
        if number == self.selected {
            &mut self.db
        } else {
            self.others.entry(number).or_default()
        }
    }

    /// Takes a waiter off the list, and off the keys that nobody else awaits.
    fn take_waiter(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.waiting.waiters.remove(&number)?;
        for key in &waiter.keys {
            let others = self.waiting.waiters.values();
            let mut others = others.filter(|other| other.db == waiter.db);
            if !others.any(|other| other.keys.contains(key)) {
                self.database_mut(waiter.db).await_no_more(key);
            }
        }
        Some(waiter)
    }

    fn park(&mut self, number: u64, waiter: Waiter) {
        let db = self.database_mut(waiter.db);
        for key in &waiter.keys {
            db.await_change(key.clone());
        }
        self.waiting.waiters.insert(number, waiter);
    }
}

impl Server {
    /// Executes a command as a server on a network does: a command that waits
    /// (`BLPOP`) may answer nothing now (`None`). Its reply then comes out of
    /// [`Server::poll_reply`] one day; until then its session sends nothing.
    pub fn submit(
        &mut self,
        engine: &Engine,
        now_us: u64,
        session: SessionId,
        command: &Command,
    ) -> Option<Reply> {
        let reply = self.begin(engine, now_us, session, command);
        let reply = match self.state.park.take() {
            None => Some(reply),
            Some(park) => {
                let sessions = &self.state.sessions;
                let db = sessions.get(&session).map_or(0, |session| session.db);
                let deadline_us =
                    (park.timeout_us > 0).then(|| now_us.saturating_add(park.timeout_us));
                let number = self.state.waiting.next;
                self.state.waiting.next += 1;
                if let Wants::Kill { wrote } = park.wants {
                    self.state.busy = Some(Busy::new(session, command, wrote, now_us));
                }
                let waiter = Waiter {
                    session,
                    db,
                    command: park.command.unwrap_or_else(|| command.clone()),
                    keys: park.keys,
                    wants: park.wants,
                    deadline_us,
                    late: reply,
                };
                self.state.park(number, waiter);
                None
            }
        };
        if !self.state.waiting.is_empty() {
            self.serve(engine);
        }
        reply
    }

    /// The next reply to a command that had to wait, in order; `None` once
    /// drained.
    pub fn poll_reply(&mut self) -> Option<(SessionId, Reply)> {
        self.state.waiting.done.pop_front()
    }

    /// When the first of those who wait has waited enough, by the server's
    /// clock, in microseconds since the Unix epoch.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        let waiters = self.state.waiting.waiters.values();
        waiters.filter_map(|waiter| waiter.deadline_us).min()
    }

    /// Sends those away whose time is up at `now_us`; then drain
    /// [`Server::poll_reply`]. Harmless when it is early.
    pub fn time_out(&mut self, now_us: u64) {
        self.state.now_us = now_us;
        let waiters = self.state.waiting.waiters.iter();
        let late = waiters.filter(|(_, waiter)| waiter.deadline_us.is_some_and(|at| at <= now_us));
        let mut late: Vec<(u64, u64)> = late
            .map(|(number, waiter)| (waiter.deadline_us.unwrap_or(0), *number))
            .collect();
        late.sort_unstable();
        for (_, number) in late {
            if let Some(waiter) = self.state.take_waiter(number) {
                let answer = (waiter.session, waiter.late);
                self.state.waiting.done.push_back(answer);
            }
        }
    }

    /// Whether the session waits for a reply.
    #[must_use]
    pub fn is_parked(&self, session: SessionId) -> bool {
        self.state.waiting.of(session).is_some()
    }

    /// Whether the session waits for its last write to be at a replica. What is
    /// there, whoever keeps replicas knows.
    #[must_use]
    pub fn awaits_replica(&self, session: SessionId) -> bool {
        let waiter = self.state.waiting.of(session);
        let waiter = waiter.and_then(|number| self.state.waiting.waiters.get(&number));
        waiter.is_some_and(|waiter| waiter.wants == Wants::Replica)
    }

    /// It is there: one replica has it.
    pub fn replicated(&mut self, session: SessionId) {
        if self.awaits_replica(session)
            && let Some(number) = self.state.waiting.of(session)
        {
            self.state.take_waiter(number);
            self.state.waiting.done.push_back((session, Reply::Int(1)));
        }
    }

    /// The script of a session is killed: it is told, if it is still there.
    pub(super) fn end_endless(&mut self, session: SessionId) {
        let number = self.state.waiting.of(session);
        if let Some(waiter) = number.and_then(|number| self.state.take_waiter(number)) {
            self.state.waiting.done.push_back((session, waiter.late));
        }
    }

    /// `CLIENT UNBLOCK`: ends a wait early; whether there was one.
    pub(super) fn unpark(&mut self, session: SessionId, error: bool) -> bool {
        let number = self.state.waiting.of(session);
        let Some(waiter) = number.and_then(|number| self.state.take_waiter(number)) else {
            return false;
        };
        let reply = if error {
            Reply::error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
        } else {
            waiter.late
        };
        self.state.waiting.done.push_back((session, reply));
        true
    }

    /// Nobody waits for this reply any more.
    pub(super) fn stop_waiting(&mut self, session: SessionId) {
        if let Some(number) = self.state.waiting.of(session) {
            self.state.take_waiter(number);
        }
        self.state.waiting.done.retain(|(to, _)| *to != session);
    }

    /// Executes anew what waits for keys that have changed, until nothing more
    /// comes of it.
    pub(super) fn serve(&mut self, engine: &Engine) {
        while let Some((db, key)) = self.next_ready() {
            let waiters = self.state.waiting.waiters.iter();
            let here = waiters.filter(|(_, w)| w.db == db && w.keys.contains(&key));
            let numbers: Vec<u64> = here.map(|(number, _)| *number).collect();
            self.state.select(db);
            for number in numbers {
                let wants = self.state.waiting.waiters.get(&number).map(|w| w.wants);
                let value = self.state.db.peek(&key).map(|entry| &entry.value);
                if wants.is_some_and(|wants| wants.met_by(value)) {
                    self.retry(engine, number, &key);
                }
            }
            self.state.select(0);
        }
    }

    /// What a consumer is told whose group, or stream, is gone.
    fn lost_group(&mut self, keys: &[Bytes]) -> Reply {
        let stream = |key| {
            let entry = self.state.db.peek(key);
            entry.is_some_and(|entry| matches!(entry.value, Value::Stream(_)))
        };
        Reply::error(if keys.iter().map(|key| &**key).all(stream) {
            "NOGROUP the consumer group this client was blocked on no longer exists"
        } else {
            "UNBLOCKED the stream key no longer exists"
        })
    }

    fn next_ready(&mut self) -> Option<(u8, Bytes)> {
        if let Some(key) = self.state.db.pop_ready() {
            return Some((0, key));
        }
        let others = self.state.others.iter_mut();
        others
            .filter_map(|(number, db)| Some((*number, db.pop_ready()?)))
            .next()
    }

    /// One more try, for this key is ready: the client is answered, or keeps its
    /// place.
    fn retry(&mut self, engine: &Engine, number: u64, key: &Bytes) {
        let Some(waiter) = self.state.take_waiter(number) else {
            return;
        };
        let reply = if self.state.version.waits_by_retrying() || waiter.keys.len() == 1 {
            self.perform(engine, waiter.session, &waiter.command)
        } else {
            self.perform(engine, waiter.session, &for_one(&waiter.command, key))
        };
        match self.state.park.take() {
            Some(_) => self.state.park(number, waiter),
            None => {
                let lost = matches!(reply, Reply::Error(_)) && waiter.wants == Wants::Group;
                let reply = if lost && !self.state.version.waits_by_retrying() {
                    self.lost_group(&waiter.keys)
                } else {
                    reply
                };
                self.state.waiting.done.push_back((waiter.session, reply));
            }
        }
    }
}

/// A command that waits for several keys, for one of them. Before 7.2 whoever
/// waits gets what is at the key that became ready first; since then, at the first
/// of its keys where something is.
fn for_one(command: &Command, key: &Bytes) -> Command {
    let args = &command.args;
    let is = |name: &str| command.name().eq_ignore_ascii_case(name.as_bytes());
    let mut one = command.clone();
    if is("XREAD") || is("XREADGROUP") {
        // A group may have any name.
        let options = if is("XREAD") { 1 } else { 4 };
        let word = |arg: &Bytes| arg.eq_ignore_ascii_case(b"streams");
        let streams = args[options..].iter().position(word);
        let streams = streams.map_or(args.len(), |at| options + at + 1);
        let (keys, ids) = args[streams..].split_at((args.len() - streams) / 2);
        let at = keys.iter().position(|name| name == key).unwrap_or(0);
        one.args.truncate(streams);
        one.args.extend([key.clone(), ids[at].clone()]);
    } else if is("BLMPOP") || is("BZMPOP") {
        // name timeout count key … options
        let count = std::str::from_utf8(&args[2]).ok();
        let count = count.and_then(|text| text.parse().ok()).unwrap_or(1);
        one.args
            .splice(2..3 + count, [Bytes::from("1"), key.clone()]);
    } else {
        // name key … timeout
        one.args.splice(1..args.len() - 1, [key.clone()]);
    }
    one
}

#[cfg(test)]
mod tests;
