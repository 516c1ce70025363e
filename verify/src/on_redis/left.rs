//! What a run leaves behind: the keys, at its end, on both servers.
//!
//! Equal replies do not show equal keys: a run may write what nobody reads. So
//! both servers are asked for their keys, and for the type, the expiry and the
//! content of each, by the same commands; what Redis leaves open about the
//! answers (the order of a hash) is not compared.

use sluice_core::redis::{Bytes, Command, Reply};
use sluice_sim::redis::{Engine, Server, SessionId};

use crate::diff::canonical;
use crate::real::{Connection, Error};

/// Nobody else's on the simulated server.
const SESSION: SessionId = SessionId(u64::MAX);

/// The keys that a run left on its simulated server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The server's clock by then, in microseconds since 1970.
    pub time_us: u64,
    /// In the order of names.
    keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    name: Bytes,
    /// What was asked about it, and the answers.
    looks: Vec<(Command, Reply)>,
}

/// How closely two servers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closeness<'a> {
    /// To the millisecond and to the byte, but for the names of its processes
    /// (`run_id`), which Redis draws: each with what it is called in the run.
    Exact(&'a [(String, String)]),
    /// The other server has its own time, and this prefix before the names: of
    /// what may hold a time only its names are compared, and of an expiry that
    /// there is one.
    WithoutTime(&'a str),
}

/// A key that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Otherwise {
    pub(super) asked: String,
    pub(super) simulated: String,
    pub(super) real: String,
}

impl Left {
    /// The keys of this server as they are at this time of its clock.
    #[must_use]
    pub fn of(server: &Server, engine: &Engine, time_us: u64) -> Self {
        let mut server = server.clone(); // asking changes it
        let names = server.keyspace().iter(time_us);
        let names: Vec<Bytes> = names.map(|(name, _)| name.clone()).collect();
        let mut ask = |command: &Command| server.execute(engine, time_us, SESSION, command);
        let key = |name: Bytes| {
            let kind = ask(&Command::new("TYPE").arg(&name));
            let commands = looks(&name, &kind).into_iter();
            let looks = commands.map(|command| {
                let reply = ask(&command);
                (command, reply)
            });
            Key {
                looks: looks.collect(),
                name,
            }
        };
        let keys = names.into_iter().map(key).collect();
        Self { time_us, keys }
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The first difference to what a real server holds, whose keys, without the
    /// prefix, are these.
    pub(super) fn against(
        &self,
        real: &mut Connection,
        mut theirs: Vec<Bytes>,
        closeness: Closeness<'_>,
    ) -> Result<Option<Otherwise>, Error> {
        theirs.sort();
        let ours: Vec<Bytes> = self.keys.iter().map(|key| key.name.clone()).collect();
        if ours != theirs {
            // The first that only one of them has.
            let only = |some: &[Bytes], others: &[Bytes]| {
                let found = some.iter().find(|name| !others.contains(name));
                found.map_or_else(
                    || "nothing else".to_owned(),
                    |name| format!("{} besides", name.escape_ascii()),
                )
            };
            return Ok(Some(Otherwise {
                asked: "which keys there are".to_owned(),
                simulated: only(&ours, &theirs),
                real: only(&theirs, &ours),
            }));
        }
        let all = || self.keys.iter().flat_map(|key| &key.looks);
        let sent: Vec<Command> = all().map(|(look, _)| closeness.there(look)).collect();
        real.send_all(&sent)?;
        let mut first = None;
        for (look, ours) in all() {
            let theirs = real.receive()?;
            let theirs = closeness.comparable(look, theirs);
            let ours = closeness.comparable(look, ours.clone());
            if ours != theirs && first.is_none() {
                first = Some(Otherwise {
                    asked: format!("{look:?}"),
                    simulated: format!("{ours:?}"),
                    real: format!("{theirs:?}"),
                });
            }
        }
        Ok(first)
    }
}

impl Closeness<'_> {
    /// The command for the other server.
    fn there(self, look: &Command) -> Command {
        let mut sent = look.clone();
        if let Self::WithoutTime(prefix) = self {
            let name = if look.name() == b"XINFO" { 2 } else { 1 };
            sent.args[name] = [prefix.as_bytes(), &look.args[name]].concat().into();
        }
        sent
    }

    /// An answer, without what is not to be compared.
    fn comparable(self, look: &Command, reply: Reply) -> Reply {
        let reply = canonical(look, reply);
        let prefix = match self {
            Self::Exact(processes) => return renamed(processes, reply),
            Self::WithoutTime(prefix) => prefix,
        };
        let every_other = |reply: Reply| match reply {
            Reply::Array(items) => {
                let names = items.into_iter().step_by(2);
                // Which statistics the gate's scripts keep depends on how long
                // anybody has waited.
                let counts = |name: &Reply| name.as_bytes().is_some_and(|n| n.starts_with(b"\x02"));
                let mut names: Vec<Reply> = names.filter(|name| !counts(name)).collect();
                names.sort_by_key(|name| format!("{name:?}"));
                Reply::Array(names)
            }
            other => other,
        };
        let reply = match (look.name(), reply) {
            (b"PTTL", Reply::Int(ms)) => Reply::Int(ms.signum()),
            (b"HGETALL" | b"ZRANGE", reply) => every_other(reply),
            (_, reply) => reply,
        };
        without(prefix, reply)
    }
}

/// The reply with the processes called as in the run.
fn renamed(processes: &[(String, String)], reply: Reply) -> Reply {
    match reply {
        Reply::Bulk(text) => {
            let named = |(theirs, _): &&(String, String)| {
                text.windows(theirs.len())
                    .position(|part| part == theirs.as_bytes())
            };
            let found = processes.iter().find_map(|one| Some((named(&one)?, one)));
            match found {
                Some((at, (theirs, ours))) => Reply::Bulk(Bytes::from(
                    [&text[..at], ours.as_bytes(), &text[at + theirs.len()..]].concat(),
                )),
                None => Reply::Bulk(text),
            }
        }
        Reply::Array(items) => {
            let items = items.into_iter().map(|item| renamed(processes, item));
            Reply::Array(items.collect())
        }
        other => other,
    }
}

/// The reply with this prefix taken off every text.
fn without(prefix: &str, reply: Reply) -> Reply {
    match reply {
        Reply::Bulk(text) => match text.strip_prefix(prefix.as_bytes()) {
            Some(rest) => Reply::bulk(rest),
            None => Reply::Bulk(text),
        },
        Reply::Array(items) => {
            let items = items.into_iter().map(|item| without(prefix, item));
            Reply::Array(items.collect())
        }
        other => other,
    }
}

/// Commands that show what a key of this type is, holds, and for how long.
fn looks(name: &Bytes, kind: &Reply) -> Vec<Command> {
    let ask = |words: &[&str], more: &[&str]| {
        let command = words[1..].iter().fold(Command::new(words[0]), Command::arg);
        more.iter().fold(command.arg(name), Command::arg)
    };
    let mut looks = vec![ask(&["TYPE"], &[]), ask(&["PTTL"], &[])];
    let text = match kind {
        Reply::Status(text) => &text[..],
        _ => b"",
    };
    looks.extend(match text {
        b"string" => Some(ask(&["GET"], &[])),
        b"list" => Some(ask(&["LRANGE"], &["0", "-1"])),
        b"hash" => Some(ask(&["HGETALL"], &[])),
        b"set" => Some(ask(&["SMEMBERS"], &[])),
        b"zset" => Some(ask(&["ZRANGE"], &["0", "-1", "WITHSCORES"])),
        b"stream" => Some(ask(&["XINFO", "STREAM"], &["FULL", "COUNT", "0"])),
        _ => None,
    });
    looks
}
