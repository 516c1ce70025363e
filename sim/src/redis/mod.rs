//! A Redis, simulated: one server as a value.
//!
//! The point of the simulator is that the very scripts which run in production
//! run inside it, so this server speaks to clients as Redis does, down to the
//! error texts, and runs scripts in the Lua that Redis runs. Three things it
//! does differently, on purpose: time comes in with every command; a whole
//! server can be cloned in O(1) and compared by digest, so that a search can
//! fork it; and nothing in it depends on addresses, hash seeds or chance.
//! Where Redis leaves an order or a choice open (`HGETALL`, `SPOP`), it is made
//! in byte order here.
//!
//! Rejected: wrapping an existing in-memory Redis. None of those found takes
//! its clock from outside, can be forked, or runs Lua 5.1.
//!
//! * Execute: [`Server::execute`], then drain [`Server::poll_push`]. Where
//!   clients may wait (`BLPOP`): [`Server::submit`], [`Server::poll_reply`],
//!   [`Server::deadline_us`], [`Server::time_out`].
//! * Faults: [`Server::disconnect`], [`Server::flush_scripts`], [`Server::restart`],
//!   [`Server::load_snapshot`], [`Server::evict`].
//! * Look: [`Server::keyspace`], [`Server::digest`], [`Server::undeclared_keys`].

mod busy;
mod cluster;
mod command;
mod draw;
mod extended;
mod functions;
mod geo;
mod hash;
mod hyperloglog;
mod identity;
mod kept;
mod keyspace;
mod lua;
mod memory;
mod network;
mod notify;
mod number;
mod older;
mod rdb;
mod role;
mod session;
mod settings;
mod shape;
mod value;
mod version;
mod waiting;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use sluice_core::redis::{Bytes, Command, Reply};

use crate::choice::Touch;
use crate::digest::Digest;
pub use crate::store::SessionId;
use crate::store::{Names, Store};
use busy::Busy;
pub use cluster::{SLOTS, slot};
use command::{Arg, Fail, Run, Spec, containers};
use draw::Draw;
use functions::Libraries;
pub use keyspace::Keyspace;
pub use lua::Engine;
use lua::Left;
use memory::Limits;
pub use memory::Policy;
use network::Network;
use notify::Change;
use role::Master;
use session::{Session, Subscriptions};
use settings::Settings;
pub use shape::Shape;
pub use value::{
    Consumer, Fields, Group, Hash as HashValue, List, Pending, Set, Stream, StreamId, Value, ZSet,
};
pub use version::Version;
use waiting::{Park, Waiting};

/// A key that a script used without declaring it among its `KEYS`: it works
/// here and on one node, and breaks in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Undeclared {
    /// SHA-1 of the script, in hexadecimal.
    pub script: Box<str>,
    /// The command that used the key.
    pub command: &'static str,
    /// The key.
    pub key: Bytes,
}

/// The name of a script: its SHA-1 in lower-case hexadecimal.
type Sha = [u8; 40];

/// At most so many distinct findings are kept.
const MAX_FINDINGS: usize = 256;

/// All that a server knows.
#[derive(Clone, Default)]
struct State {
    /// The database in use: 0 between commands.
    db: Keyspace,
    /// Which database is in use.
    selected: u8,
    /// Those not in use, as far as there is something in them. While another
    /// than 0 is in use, 0 is in its place.
    others: BTreeMap<u8, Keyspace>,
    version: Version,
    now_us: u64,
    sessions: BTreeMap<SessionId, Session>,
    subscriptions: Subscriptions,
    /// Left by a command that would rather wait, for whoever called it.
    park: Option<Park>,
    waiting: Waiting,
    /// A script that does not end.
    busy: Option<Busy>,
    scripts: Rc<BTreeMap<Sha, Bytes>>,
    libraries: Libraries,
    left: Left,
    replies: Replies,
    undeclared: Vec<Undeclared>,
    limits: Limits,
    settings: Settings,
    draw: Draw,
    /// What happened to keys of which database, while somebody wants to know.
    noted: Vec<(u8, Bytes, Change)>,
    /// Present where there are real clients.
    network: Option<Box<Network>>,
    /// Whose replica it is, if it is one.
    master: Option<Master>,
    /// Of how many nodes it is the cluster; 0 if it is none.
    nodes: u16,
    commands: u64,
    /// Keys thrown away for want of memory.
    evicted: u64,
    /// Keys that had expired when somebody looked.
    expired: u64,
    /// Changes of keys.
    changes: u64,
    /// How often the process has started.
    starts: u32,
    /// When the last save was, in seconds.
    saved_s: u64,
    /// A transaction is being executed, in which nobody waits or listens.
    in_exec: bool,
}

impl State {
    /// Feeds all databases and who watches them to a hasher. That a database
    /// was used and is empty again makes no difference.
    fn hash_keys(&self, hasher: &mut impl Hasher, mut keys: impl FnMut(&Keyspace) -> u64) {
        keys(&self.db).hash(hasher);
        self.db.watches().hash(hasher);
        for (number, db) in &self.others {
            let digest = keys(db);
            if digest != 0 || db.watches() != (&[], &[]) {
                (number, digest, db.watches()).hash(hasher);
            }
        }
    }
}

/// Replies that are made once and shared.
#[derive(Clone)]
struct Replies {
    ok: Reply,
}

impl Default for Replies {
    fn default() -> Self {
        Self { ok: Reply::ok() }
    }
}

impl Replies {
    fn ok(&self) -> Reply {
        self.ok.clone()
    }
}

/// One simulated Redis server. A clone is cheap and independent.
#[derive(Clone, Default)]
pub struct Server {
    /// In a box, so that lending it to a script is an exchange of pointers.
    state: Box<State>,
}

impl State {
    /// Executes a command for a client, or (`None`) for a script.
    #[inline]
    fn run(
        &mut self,
        by: Option<SessionId>,
        spec: &Spec,
        run: fn(&mut Self, &[Arg]) -> Result<Reply, Fail>,
        args: &[Arg],
    ) -> Reply {
        let notifies = self.notifies();
        if self.network.is_none() && !notifies {
            return run(self, args).unwrap_or_else(|fail| fail.reply());
        }
        let looked = self.look(spec, args);
        let before = notifies.then(|| self.before(spec, args));
        let reply = run(self, args).unwrap_or_else(|fail| fail.reply());
        self.note_look(looked, &reply);
        self.tell_monitors(by, spec, args);
        if let Some(before) = before {
            self.notify(spec, args, before, &reply);
        }
        self.note_call(spec, args, &reply, true);
        reply
    }
}

impl Server {
    /// An empty server, imitating Redis 7.2.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty server, imitating the given version.
    #[must_use]
    pub fn with_version(version: Version) -> Self {
        let mut server = Self::default();
        server.state.version = version;
        server
    }

    /// Executes one command of one session at server time `now_us`
    /// (microseconds since the Unix epoch). Commands with several replies
    /// (`SUBSCRIBE a b`) answer the first here and push the others. Nothing
    /// waits: `BLPOP` answers as if its time were up, as it does in a
    /// transaction.
    pub fn execute(
        &mut self,
        engine: &Engine,
        now_us: u64,
        session: SessionId,
        command: &Command,
    ) -> Reply {
        let reply = self.begin(engine, now_us, session, command);
        self.state.park = None;
        if !self.state.waiting.is_empty() {
            self.serve(engine);
        }
        reply
    }

    /// Executes a command in its session's database. May leave a [`Park`].
    fn begin(
        &mut self,
        engine: &Engine,
        now_us: u64,
        session: SessionId,
        command: &Command,
    ) -> Reply {
        self.state.now_us = now_us;
        self.state.db.now_ms = (now_us / 1000) as i64;
        self.state.commands += 1;
        if let Some(network) = &mut self.state.network {
            network.heard(now_us, session, &command.args);
        }
        if self.state.nodes > 0
            && let Some(refused) = self.refuse_crossing(session, command)
        {
            return refused.reply();
        }
        if (self.state.master.is_some() || !self.state.settings.is_default())
            && let Some(refused) = self.refuse_by_role(session, &command.args)
        {
            return refused.reply();
        }
        if self.state.limits.bytes > 0
            && let Some(refused) = self.refuse_growth(session, &command.args)
        {
            return refused.reply();
        }
        let sessions = &self.state.sessions;
        let db = sessions.get(&session).map_or(0, |session| session.db);
        self.state.select(db);
        let reply = self.perform(engine, session, command);
        let selected = self.state.selected;
        if selected != db {
            self.edit_session(session, |session| session.db = selected);
        }
        self.state.select(0);
        reply
    }

    /// Executes a command at the time, and in the database, that are set.
    fn perform(&mut self, engine: &Engine, session: SessionId, command: &Command) -> Reply {
        let args = &command.args;
        match args.len() {
            0..=4 => self.dispatch(engine, session, command, fill(&mut [NONE; 4], args)),
            5..=16 => self.dispatch(engine, session, command, fill(&mut [NONE; 16], args)),
            _ => {
                let many: Vec<Arg> = args.iter().map(Arg::Shared).collect();
                self.dispatch(engine, session, command, &many)
            }
        }
    }

    fn dispatch(
        &mut self,
        engine: &Engine,
        id: SessionId,
        command: &Command,
        args: &[Arg],
    ) -> Reply {
        let version = self.state.version;
        let known = command::lookup(&args[0]).filter(|spec| spec.exists_in(version));
        let spec = match known {
            Some(spec) => self.accept(id, spec, args).map_or(Ok(spec), Err),
            None => Err(unknown(args, version)),
        };
        if let Err(fail) = &spec
            && let Some(exec) = known.filter(|known| known.name == "exec")
        {
            let why = fail.0.strip_prefix(b"ERR ").unwrap_or(&fail.0);
            let mut reply = self.reject(id, exec, Fail::new(why)).reply();
            self.state.note_refusal(known, &reply);
            older::reword(version, &mut reply, args);
            return reply;
        }
        if self.state.busy.is_some()
            && let Ok(spec) = spec
            && let Some(refused) = self.refuse_busy(id, spec, args)
        {
            return refused.reply();
        }
        if let Some(session) = self.state.sessions.get_mut(&id)
            && let Some(reply) = session.intercept(&spec, command)
        {
            self.state
                .note_refusal(known.filter(|_| spec.is_err()), &reply);
            return reply;
        }
        let mut reply = match spec {
            Err(fail) => {
                let reply = fail.reply();
                self.state.note_refusal(known, &reply);
                reply
            }
            Ok(spec) => self.run(engine, id, spec, args),
        };
        older::reword(version, &mut reply, args);
        reply
    }

    /// Why a command is refused before anything else is looked at, if it is.
    #[inline]
    fn accept(&self, id: SessionId, spec: &Spec, args: &[Arg]) -> Option<Fail> {
        let version = self.state.version;
        if !spec.accepts(args.len()) || older::too_many(version, spec.name, args) {
            return Some(Fail::arity(spec.name));
        }
        if version != Version::V6_2
            && let Err(why) = containers::check(spec, args)
        {
            return Some(why.fail());
        }
        self.forbids(id, spec.name, args)
    }

    fn run(&mut self, engine: &Engine, id: SessionId, spec: &Spec, args: &[Arg]) -> Reply {
        if let [_, word] = args
            && spec.has_subcommands()
            && word.is("HELP")
            && let Some(told) = command::help::of(spec.name)
        {
            self.state.tell_monitors(Some(id), spec, args);
            self.state.note_call(spec, args, &told, false);
            return told;
        }
        let run = match spec.run {
            Run::Data(run) => return self.state.run(Some(id), spec, run, args),
            Run::Session(run) => run,
        };
        // What a script did is told after that it was run, and who goes is not
        // there any more; all others are told of when they are through.
        let first = spec.has_scripts() || spec.name == "quit";
        if first {
            self.state.tell_monitors(Some(id), spec, args);
        }
        let errors = self.state.errors();
        let reply = run(self, engine, id, args).unwrap_or_else(|fail| fail.reply());
        if !first {
            self.state.tell_monitors(Some(id), spec, args);
        }
        // What a script raised was counted when its command failed.
        let anew = errors == self.state.errors();
        self.state.note_call(spec, args, &reply, anew);
        reply
    }

    /// The next pub/sub message (or further reply of one command) due for a
    /// session, in order; `None` once drained.
    pub fn poll_push(&mut self) -> Option<(SessionId, Reply)> {
        self.state.subscriptions.poll_push()
    }

    /// Whether the session has asked for RESP3. Replies have the shapes of RESP2
    /// all the same: who writes them to a wire knows what they are from the
    /// command.
    #[must_use]
    pub fn speaks_resp3(&self, session: SessionId) -> bool {
        let session = self.state.sessions.get(&session);
        session.is_some_and(|session| session.resp3)
    }

    /// The session's connection is gone: so are its transaction, watches and
    /// subscriptions.
    pub fn disconnect(&mut self, session: SessionId) {
        self.reset(session);
        if let Some(network) = &mut self.state.network {
            network.forget(session);
        }
    }

    /// The session is as new; its connection stays.
    fn reset(&mut self, session: SessionId) {
        self.state.unwatch(session);
        self.stop_waiting(session);
        self.state.subscriptions.forget(session);
        self.state.sessions.remove(&session);
        let password = self.state.settings.password().is_some();
        if let Some(network) = &mut self.state.network {
            network.reset_client(session, password);
        }
    }

    /// Knows this script from now on, as after `SCRIPT LOAD`.
    pub fn remember_script(&mut self, source: &[u8]) {
        let sha = lua::sha1_hex(source);
        Rc::make_mut(&mut self.state.scripts).insert(sha, Bytes::from(source));
    }

    /// Forgets all scripts, as `SCRIPT FLUSH` does.
    pub fn flush_scripts(&mut self) {
        self.state.scripts = Rc::default();
        self.state.left.flush_scripts();
    }

    /// The process ends and starts again: scripts and sessions are gone, and
    /// unless `keep_data` (persistence that lost nothing) all keys and functions
    /// are.
    pub fn restart(&mut self, keep_data: bool) {
        let state = &mut *self.state;
        let (mut db, mut others) = (Keyspace::default(), BTreeMap::new());
        let mut libraries = Libraries::default();
        if keep_data {
            libraries = std::mem::take(&mut state.libraries);
            libraries.reload();
            db = state.db.without_watches();
            let kept = state.others.iter();
            others = kept.map(|(n, db)| (*n, db.without_watches())).collect();
        }
        *state = State {
            db,
            others,
            libraries,
            version: state.version,
            limits: state.limits,
            settings: state.settings.clone(),
            draw: state.draw,
            network: state.network.take(),
            nodes: state.nodes,
            starts: state.starts + 1,
            undeclared: std::mem::take(&mut state.undeclared),
            ..State::default()
        };
    }

    /// After [`Server::restart`]: the keys came from a snapshot (RDB), and from
    /// one Redis reads no key that has expired. From an append-only file it does.
    pub fn load_snapshot(&mut self, now_us: u64) {
        let now_ms = (now_us / 1000) as i64;
        self.state.db.forget_expired(now_ms);
        for db in self.state.others.values_mut() {
            db.forget_expired(now_ms);
        }
    }

    /// The keys of database 0, for observers.
    #[must_use]
    pub fn keyspace(&self) -> &Keyspace {
        &self.state.db
    }

    /// The keys of any of the sixteen databases, for observers; `None` if there
    /// are none.
    #[must_use]
    pub fn database(&self, number: u8) -> Option<&Keyspace> {
        match number {
            0 => Some(&self.state.db),
            number => self.state.others.get(&number),
        }
    }

    /// Keys that scripts have used without declaring them, since the server
    /// was made (at most 256 distinct ones).
    #[must_use]
    pub fn undeclared_keys(&self) -> &[Undeclared] {
        &self.state.undeclared
    }

    /// Whether the server knows this script (SHA-1, hexadecimal).
    #[must_use]
    pub fn knows_script(&self, sha: &str) -> bool {
        let sha = Sha::try_from(sha.to_ascii_lowercase().as_bytes());
        sha.is_ok_and(|sha| self.state.scripts.contains_key(&sha))
    }

    /// A digest of the logical state as of the last command: keys, values,
    /// absolute expiries, scripts, sessions, undelivered messages. Two servers
    /// that will behave alike have the same digest, however they came to be so.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hasher = Digest::default();
        self.hash_state(&mut hasher);
        hasher.finish()
    }

    /// Feeds the logical state to a hasher; see [`Server::digest`].
    pub fn hash_state(&self, hasher: &mut impl Hasher) {
        let state = &self.state;
        state.hash_keys(hasher, |db| db.digest(state.now_us));
        for sha in state.scripts.keys() {
            hasher.write(sha);
        }
        if !state.libraries.is_empty() || state.left != Left::default() {
            (&state.libraries, &state.left).hash(hasher);
        }
        state.sessions.hash(hasher);
        state.subscriptions.hash(hasher);
        state.waiting.hash(hasher);
        state.starts.hash(hasher);
        if let Some(busy) = &state.busy {
            busy.hash(hasher);
        }
        if state.limits != Limits::default() {
            state.limits.hash(hasher);
        }
        if !state.settings.is_default() {
            state.settings.hash(hasher);
        }
        if state.draw.is_on() {
            state.draw.hash(hasher);
        }
        if state.nodes > 0 {
            state.nodes.hash(hasher);
        }
        if let Some(master) = &state.master {
            master.hash(hasher);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.state.db.iter(self.state.now_us);
        f.debug_map().entries(keys).finish()
    }
}

impl Store for Server {
    type Engine = Engine;

    fn execute(
        &mut self,
        engine: &Engine,
        now_us: u64,
        session: SessionId,
        command: &Command,
    ) -> Reply {
        Self::execute(self, engine, now_us, session, command)
    }

    fn submit(
        &mut self,
        engine: &Engine,
        now_us: u64,
        session: SessionId,
        command: &Command,
    ) -> Option<Reply> {
        Self::submit(self, engine, now_us, session, command)
    }

    fn poll_reply(&mut self) -> Option<(SessionId, Reply)> {
        Self::poll_reply(self)
    }

    fn deadline_us(&self) -> Option<u64> {
        Self::deadline_us(self)
    }

    fn time_out(&mut self, now_us: u64) {
        Self::time_out(self, now_us);
    }

    fn poll_push(&mut self) -> Option<(SessionId, Reply)> {
        Self::poll_push(self)
    }

    fn disconnect(&mut self, session: SessionId) {
        Self::disconnect(self, session);
    }

    fn flush_scripts(&mut self) {
        Self::flush_scripts(self);
    }

    fn restart(&mut self, keep_data: bool) {
        Self::restart(self, keep_data);
    }

    fn load_snapshot(&mut self, now_us: u64) {
        Self::load_snapshot(self, now_us);
    }

    fn awaits_replica(&self, session: SessionId) -> bool {
        Self::awaits_replica(self, session)
    }

    fn replicated(&mut self, session: SessionId) {
        Self::replicated(self, session);
    }

    fn evictable(&self, now_us: u64) -> Vec<Bytes> {
        Self::evictable(self, now_us)
    }

    fn evict(&mut self, key: &[u8]) {
        Self::evict(self, key);
    }

    fn digest(&self) -> u64 {
        Self::digest(self)
    }

    fn identity(&self, now_us: u64, names: &dyn Names) -> u64 {
        self.identity_at(now_us, names)
    }

    fn marks(&self, now_us: u64, name: &[u8]) -> u64 {
        self.marks_at(now_us, name)
    }

    fn touch(&self, command: &Command) -> Touch {
        command::touch(command)
    }

    fn slots(&self, command: &Command) -> Vec<u16> {
        cluster::slots(command)
    }
}

const NONE: Arg = Arg::Plain(&[]);

/// As many of the slots as there are arguments, with them in it.
fn fill<'a, 'b>(slots: &'a mut [Arg<'b>], args: &'b [Bytes]) -> &'a [Arg<'b>] {
    let slots = &mut slots[..args.len()];
    for (slot, arg) in slots.iter_mut().zip(args) {
        *slot = Arg::Shared(arg);
    }
    slots
}

/// The error for a command that does not exist.
fn unknown(args: &[Arg], version: Version) -> Fail {
    const MOST: usize = 128;
    let (open, close, gap) = if version == Version::V6_2 {
        (b'`', b'`', &b", "[..])
    } else {
        (b'\'', b'\'', &b" "[..])
    };
    let mut text = b"ERR unknown command ".to_vec();
    text.push(open);
    let name = command::until_zero(&args[0]);
    text.extend(name.iter().take(MOST));
    text.push(close);
    text.extend_from_slice(b", with args beginning with: ");
    let mut used = 0;
    for arg in &args[1..] {
        if used >= MOST {
            break;
        }
        let shown = command::until_zero(&arg[..arg.len().min(MOST - used)]);
        text.push(open);
        text.extend_from_slice(shown);
        text.push(close);
        text.extend_from_slice(gap);
        used += shown.len() + 2 + gap.len();
    }
    Fail::new(text)
}

#[cfg(test)]
mod tests;
