//! What a server knows of its clients when it serves a network: who they are,
//! what was asked how often, who looks on.
//!
//! A simulated world has none of this, and pays for none of it: whoever has real
//! clients says so by [`Server::connect`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use sluice_core::redis::{Bytes, Command, Reply};

use super::command::{Arg, Fail, Spec, lookup};
use super::lua::Engine;
use super::notify::reads;
use super::settings::{BULK, CLIENTS, TIMEOUT};
use super::{Server, SessionId, State};

/// A client on the network.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) addr: Box<str>,
    pub(super) local: Box<str>,
    pub(super) since_us: u64,
    pub(super) asked_us: u64,
    /// The last command, as `set` or `client|list`.
    pub(super) command: Box<str>,
    mute: Mute,
}

/// `CLIENT REPLY`: which replies are not wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mute {
    /// All are.
    #[default]
    No,
    /// None is.
    All,
    /// Neither this one nor the next.
    Next,
    /// Not this one.
    This,
}

/// How a command has fared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calls {
    pub(super) calls: u64,
    /// Errors before it was executed.
    pub(super) rejected: u64,
    /// Errors of its own.
    pub(super) failed: u64,
}

/// All that is known of clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    pub(super) clients: BTreeMap<SessionId, Client>,
    /// Those who have to say a password first.
    pub(super) strangers: BTreeSet<SessionId>,
    /// Somebody has said `SHUTDOWN`.
    ended: bool,
    /// Those who have said `MONITOR`.
    pub(super) monitors: BTreeSet<SessionId>,
    /// Whose connections are to be closed.
    closing: VecDeque<SessionId>,
    /// Until when, in microseconds, commands are put off, and whether all are or
    /// only those that may write.
    pause: Option<(u64, bool)>,
    /// Whose are.
    put_off: BTreeSet<SessionId>,
    /// What scripts have answered to clients that speak RESP3.
    typed: VecDeque<Vec<u8>>,
    pub(super) calls: BTreeMap<Box<str>, Calls>,
    /// Error replies by their first word.
    pub(super) errors: BTreeMap<Box<str>, u64>,
    pub(super) connections: u64,
    /// Since when there is one.
    pub(super) since_us: u64,
    /// Bytes of the commands that clients have sent.
    pub(super) read: u64,
    /// How many keys were looked for in order to read them, and were there; and
    /// how many were not.
    pub(super) looked: (u64, u64),
    /// How often everything was saved.
    pub(super) saves: u64,
}

impl Network {
    /// `CONFIG RESETSTAT`.
    pub(super) fn reset(&mut self) {
        self.calls.clear();
        self.errors.clear();
        self.connections = 0;
        self.read = 0;
        self.looked = (0, 0);
    }

    /// A client has sent a command.
    pub(super) fn heard(&mut self, now_us: u64, id: SessionId, args: &[Bytes]) {
        // `*2`, and for each argument `$3` and itself, and ends of lines.
        let announced = |n: usize| n.checked_ilog10().unwrap_or(0) as usize + 4;
        let bytes = args.iter().map(|arg| announced(arg.len()) + arg.len() + 2);
        self.read += (announced(args.len()) + bytes.sum::<usize>()) as u64;
        if let Some(client) = self.clients.get_mut(&id)
            && let Some(spec) = args.first().and_then(|name| lookup(name))
        {
            client.asked_us = now_us;
            let args: Vec<Arg> = args.iter().take(2).map(Arg::Shared).collect();
            client.command = full_name(spec, &args).into();
        }
    }

    /// A client is gone.
    pub(super) fn forget(&mut self, id: SessionId) {
        self.clients.remove(&id);
        self.strangers.remove(&id);
        self.monitors.remove(&id);
        self.put_off.remove(&id);
    }

    /// `RESET`; whether there is a password to be said again.
    pub(super) fn reset_client(&mut self, id: SessionId, password: bool) {
        self.monitors.remove(&id);
        self.mute(id, Mute::No);
        if password {
            self.strangers.insert(id);
        }
    }

    /// `CLIENT PAUSE`: of two pauses the longer and the stricter.
    pub(super) fn pause(&mut self, until_us: u64, all: bool) {
        let (until, before) = self.pause.unwrap_or((0, false));
        self.pause = Some((until.max(until_us), before || all));
    }

    pub(super) fn unpause(&mut self) {
        self.pause = None;
    }

    /// How many clients have been put off.
    pub(super) fn put_off(&self) -> usize {
        self.put_off.len()
    }

    pub(super) fn close(&mut self, id: SessionId) {
        self.closing.push_back(id);
    }

    pub(super) fn mute(&mut self, id: SessionId, mute: Mute) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.mute = mute;
        }
    }

    /// The error reply counts.
    pub(super) fn count_error(&mut self, reply: &Reply) {
        // Beyond this, Redis counts no further kinds of errors either.
        const KINDS: usize = 128;
        if let Reply::Error(text) = reply {
            let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
            let word = String::from_utf8_lossy(word);
            if let Some(count) = self.errors.get_mut(&*word) {
                *count += 1;
            } else if self.errors.len() < KINDS {
                self.errors.insert(word.into(), 1);
            }
        }
    }

    fn calls(&mut self, name: &str) -> &mut Calls {
        self.calls.entry(name.into()).or_default()
    }
}

/// A command's name with that of its subcommand, if it has such.
pub(super) fn full_name(spec: &Spec, args: &[Arg]) -> String {
    let mut name = spec.name.to_owned();
    if spec.has_subcommands()
        && let Some(word) = args.get(1)
    {
        let word = String::from_utf8_lossy(word).to_ascii_lowercase();
        let _ = write!(name, "|{}", word.chars().take(64).collect::<String>());
    }
    name
}

/// What those who look on are not told of: commands of administrators.
fn is_unseen(spec: &Spec, args: &[Arg]) -> bool {
    const UNSEEN: &[(&str, &[&str])] = &[
        (
            "acl",
            &[
                "deluser", "dryrun", "getuser", "list", "load", "log", "save", "setuser", "users",
            ],
        ),
        ("bgrewriteaof", &[]),
        ("bgsave", &[]),
        (
            "client",
            &["kill", "list", "no-evict", "pause", "unblock", "unpause"],
        ),
        (
            "cluster",
            &[
                "addslots",
                "addslotsrange",
                "bumpepoch",
                "count-failure-reports",
                "delslots",
                "delslotsrange",
                "failover",
                "flushslots",
                "forget",
                "meet",
                "replicas",
                "replicate",
                "reset",
                "saveconfig",
                "set-config-epoch",
                "setslot",
                "slaves",
            ],
        ),
        ("config", &["get", "resetstat", "rewrite", "set"]),
        ("debug", &[]),
        (
            "latency",
            &["doctor", "graph", "histogram", "history", "latest", "reset"],
        ),
        ("module", &["list", "load", "loadex", "unload"]),
        ("monitor", &[]),
        ("pfdebug", &[]),
        ("replicaof", &[]),
        ("save", &[]),
        ("shutdown", &[]),
        ("slaveof", &[]),
        ("slowlog", &["get", "len", "reset"]),
    ];
    let found = UNSEEN.iter().find(|(name, _)| *name == spec.name);
    found.is_some_and(|(_, words)| {
        let word = args.get(1);
        words.is_empty() || word.is_some_and(|word| words.iter().any(|known| word.is(known)))
    })
}

/// `"text"` with everything that is not plain quoted, as `MONITOR` shows it.
fn quote(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            7 => out.extend(b"\\a"),
            8 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(*byte),
            other => out.extend(format!("\\x{other:02x}").bytes()),
        }
    }
    out.push(b'"');
}

impl State {
    /// A command is executed, by a client or (`None`) by a script: those who
    /// look on are told.
    pub(super) fn tell_monitors(&mut self, by: Option<SessionId>, spec: &Spec, args: &[Arg]) {
        let Some(network) = &self.network else {
            return;
        };
        if network.monitors.is_empty() || is_unseen(spec, args) {
            return;
        }
        let client = by.and_then(|id| network.clients.get(&id));
        let who = client.map_or("lua", |client| &client.addr);
        let (seconds, micros) = (self.now_us / 1_000_000, self.now_us % 1_000_000);
        let mut line = format!("{seconds}.{micros:06} [{} {who}]", self.selected).into_bytes();
        let mut secret = if spec.name == "auth" { args.len() } else { 0 };
        for (at, arg) in args.iter().enumerate() {
            line.push(b' ');
            if at > 0 && secret > 0 {
                secret -= 1;
                line.extend(b"\"(redacted)\"");
                continue;
            }
            quote(&mut line, arg);
            if spec.name == "hello" && arg.is("AUTH") {
                secret = 2;
            }
        }
        let line = Reply::Status(Bytes::from(line));
        for id in &network.monitors {
            self.subscriptions.push(*id, line.clone());
        }
    }

    /// A command was executed, unless it waits and will be executed again.
    /// Whether its error is a new one, the caller knows.
    pub(super) fn note_call(&mut self, spec: &Spec, args: &[Arg], reply: &Reply, anew: bool) {
        if let Some(network) = &mut self.network
            && self.park.is_none()
        {
            let failed = matches!(reply, Reply::Error(_));
            let calls = network.calls(&full_name(spec, args));
            calls.calls += 1;
            calls.failed += u64::from(failed);
            if anew {
                network.count_error(reply);
            }
        }
    }

    /// Of the keys that this command reads, how many are there and how many are
    /// not.
    pub(super) fn look(&self, spec: &Spec, args: &[Arg]) -> (u64, u64) {
        let (mut looked, mut at) = ((0, 0), 0);
        // These look for the group first, or for where reading starts.
        let times = match spec.name {
            "xread" | "xreadgroup" => 2,
            _ => 1,
        };
        spec.keys.each(args, |key| {
            let reads = match spec.name {
                "object" | "pfmerge" | "xreadgroup" => true,
                _ => reads(spec, args, at),
            };
            if reads {
                match self.db.get(key, self.now_us) {
                    Some(_) => looked.0 += times,
                    None => looked.1 += times,
                }
            }
            at += 1;
        });
        looked
    }

    /// It has looked, unless it was refused before it did.
    pub(super) fn note_look(&mut self, (hits, misses): (u64, u64), reply: &Reply) {
        const AFTER: [&[u8]; 3] = [b"WRONGTYPE", b"NOGROUP", b"ERR no such key"];
        if let Reply::Error(text) = reply
            && !AFTER.iter().any(|begins| text.starts_with(begins))
        {
            return;
        }
        if let Some(network) = &mut self.network {
            network.looked.0 += hits;
            network.looked.1 += misses;
        }
    }

    /// Whether it is noted when keys are used.
    pub(super) fn counts_use(&self) -> bool {
        self.network.is_some() || self.limits.policy.counts_use()
    }

    /// A script has called a command that was not even executed. The error counts
    /// here, though the script may catch it.
    pub(super) fn note_rejection(&mut self, args: &[Arg], fail: &Fail) {
        if let Some(network) = &mut self.network {
            if let Some(spec) = lookup(&args[0]) {
                network.calls(&full_name(spec, args)).rejected += 1;
            }
            network.count_error(&Reply::error(&fail.0));
        }
    }

    /// A script has answered a client that speaks RESP3.
    pub(super) fn note_typed(&mut self, bytes: Vec<u8>) {
        if let Some(network) = &mut self.network {
            network.typed.push_back(bytes);
        }
    }

    /// Whether what a script answers this client is to be noted.
    pub(super) fn types_scripts(&self, id: SessionId) -> bool {
        let resp3 = self.sessions.get(&id).is_some_and(|session| session.resp3);
        resp3 && self.network.is_some()
    }

    /// How many errors were counted.
    pub(super) fn errors(&self) -> u64 {
        let network = self.network.as_ref();
        network.map_or(0, |network| network.errors.values().sum())
    }

    /// A command was not even executed.
    pub(super) fn note_refusal(&mut self, spec: Option<&Spec>, reply: &Reply) {
        if let Some(network) = &mut self.network {
            if let Some(spec) = spec {
                network.calls(spec.name).rejected += 1;
            }
            network.count_error(reply);
        }
    }
}

impl Server {
    /// A client has connected to a network. Those who simulate theirs need not
    /// say so; `CLIENT LIST`, `MONITOR` and `INFO commandstats` know only those
    /// who did.
    pub fn connect(&mut self, now_us: u64, session: SessionId, addr: &str, local: &str) {
        if self.state.network.is_none() {
            self.state.network = Some(Box::default());
            self.state.network.get_or_insert_default().since_us = now_us;
            let counts = self.state.counts_use();
            self.state.db.count_use(counts);
            self.state.saved_s = now_us / 1_000_000;
        }
        let password = self.state.settings.password().is_some();
        let network = self.state.network.get_or_insert_default();
        network.connections += 1;
        let client = Client {
            addr: addr.into(),
            local: local.into(),
            since_us: now_us,
            asked_us: now_us,
            command: "NULL".into(),
            mute: Mute::No,
        };
        network.clients.insert(session, client);
        if password {
            network.strangers.insert(session);
        }
    }

    /// What Redis does in the background: keys that have expired are removed,
    /// though nobody looks at them. Looks at no more than `most` keys of each
    /// database, and goes on from there next time.
    pub fn sweep(&mut self, engine: &Engine, now_us: u64, most: usize) {
        if self.paused_until_us().is_some() {
            return; // nothing changes in a pause
        }
        self.state.now_us = now_us;
        self.state.db.now_ms = (now_us / 1_000) as i64;
        let others = self.state.others.keys().copied();
        for number in std::iter::once(0).chain(others.collect::<Vec<u8>>()) {
            self.state.select(number);
            self.state.db.sweep(most);
            self.state.notify_of_losses();
            self.state.select(0);
        }
        self.serve(engine);
        self.dismiss_idle();
    }

    /// Closes the connections of those who have said nothing for `timeout`
    /// seconds, but for those who wait for something.
    fn dismiss_idle(&mut self) {
        let most_s = self.state.settings.size(&TIMEOUT) as u64;
        let Some(network) = self.state.network.as_ref().filter(|_| most_s > 0) else {
            return;
        };
        let idle = network.clients.iter().filter(|(id, client)| {
            let session = self.state.sessions.get(id);
            let listens = session.is_some_and(|session| session.subscribed > 0);
            let idle_s = self.state.now_us.saturating_sub(client.asked_us) / 1_000_000;
            let waits = network.monitors.contains(id) || self.is_parked(**id);
            idle_s > most_s && !listens && !waits
        });
        let idle: Vec<SessionId> = idle.map(|(id, _)| *id).collect();
        if let Some(network) = &mut self.state.network {
            let new = idle.into_iter().filter(|id| !network.closing.contains(id));
            let new: Vec<SessionId> = new.collect();
            network.closing.extend(new);
        }
    }

    /// A client has said something that is not for this server.
    pub fn heard_of(&mut self, now_us: u64, session: SessionId) {
        let network = self.state.network.as_mut();
        if let Some(client) = network.and_then(|network| network.clients.get_mut(&session)) {
            client.asked_us = now_us;
        }
    }

    /// How many clients there may be at once, which is for whoever lets them in
    /// to see to.
    #[must_use]
    pub fn most_clients(&self) -> usize {
        self.state.settings.size(&CLIENTS)
    }

    /// Until when clients are paused (`CLIENT PAUSE`), if they are.
    #[must_use]
    pub fn paused_until_us(&self) -> Option<u64> {
        self.state.network.as_ref()?.pause.map(|(until, _)| until)
    }

    /// The pause is over.
    pub fn end_pause(&mut self) {
        if let Some(network) = &mut self.state.network {
            network.unpause();
            network.put_off.clear();
        }
    }

    /// Whether this command is to wait for the end of the pause: then it is to be
    /// submitted only once it is over, and so is what its client sends after it.
    pub fn puts_off(&mut self, now_us: u64, id: SessionId, command: &Command) -> bool {
        let version = self.state.version;
        let Some(network) = &mut self.state.network else {
            return false;
        };
        network.pause = network.pause.filter(|(until, _)| now_us <= *until);
        let Some((_, all)) = network.pause else {
            network.put_off.clear();
            return false;
        };
        let known = command.args.first().and_then(|name| lookup(name));
        let known =
            known.filter(|spec| spec.exists_in(version) && spec.accepts(command.args.len()));
        let puts_off = known.is_some_and(|_| all || self.may_write(id, command));
        let Some(network) = &mut self.state.network else {
            return false;
        };
        if puts_off {
            network.put_off.insert(id);
        } else {
            network.put_off.remove(&id);
        }
        puts_off
    }

    /// Where it serves a network, the process has ended from now on; whether it
    /// does.
    pub(super) fn end(&mut self) -> bool {
        let network = self.state.network.as_mut();
        network.map(|network| network.ended = true).is_some()
    }

    /// Whether it was told to `SHUTDOWN`: nobody is answered any more.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        let network = self.state.network.as_ref();
        network.is_some_and(|network| network.ended)
    }

    /// The next client whose connection is to be closed once it has its reply,
    /// for it was killed; `None` once drained.
    pub fn poll_close(&mut self) -> Option<SessionId> {
        self.state.network.as_mut()?.closing.pop_front()
    }

    /// The next result of a script that the last command ran for a client that
    /// speaks RESP3, as it goes on the wire: what is a map to the script is one
    /// to the client. None for an error. To be drained after each command.
    pub fn poll_typed(&mut self) -> Option<Vec<u8>> {
        self.state.network.as_mut()?.typed.pop_front()
    }

    /// How long an argument may be (`proto-max-bulk-len`), which is for whoever
    /// reads them to see to.
    #[must_use]
    pub fn longest_argument(&self) -> usize {
        self.state.settings.size(&BULK)
    }

    /// Whether the reply that a session has just been given is not to be sent,
    /// for it said so (`CLIENT REPLY`). To be asked once for each reply.
    pub fn is_mute(&mut self, session: SessionId) -> bool {
        let network = self.state.network.as_mut();
        let Some(client) = network.and_then(|network| network.clients.get_mut(&session)) else {
            return false;
        };
        let mute = client.mute;
        client.mute = match mute {
            Mute::Next => Mute::This,
            Mute::This => Mute::No,
            Mute::No | Mute::All => mute,
        };
        mute != Mute::No
    }
}
