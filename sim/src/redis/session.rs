//! What the server remembers of a connection, and who listens to what.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sluice_core::redis::{Bytes, Command, Reply};

use super::SessionId;
use super::command::{Arg, Fail, Spec, glob};
use super::network::full_name;
use crate::digest::Digest;
use crate::store::Names;

/// A connection that has done more than send plain commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Session {
    pub(super) name: Option<Bytes>,
    /// The database that its commands see.
    pub(super) db: u8,
    /// The open transaction.
    pub(super) queue: Option<Vec<Command>>,
    /// A queued command was refused: `EXEC` will be too.
    pub(super) broken: bool,
    /// Channels and patterns subscribed to.
    pub(super) subscribed: usize,
    /// It has said `HELLO 3`.
    pub(super) resp3: bool,
}

impl Session {
    /// Whether nothing distinguishes it from a fresh connection.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Answers in place of the command when the session's mode demands it.
    pub(super) fn intercept(
        &mut self,
        spec: &Result<&'static Spec, Fail>,
        command: &Command,
    ) -> Option<Reply> {
        // With RESP3, messages and replies are told apart.
        if self.subscribed > 0
            && !self.resp3
            && let Ok(spec) = spec
        {
            match spec.name {
                "ping" if command.args.len() > 2 => {
                    return Some(Fail::arity("ping").reply());
                }
                "ping" => {
                    let text = command.args.get(1).cloned();
                    let text = text.unwrap_or_else(|| Bytes::from(&b""[..]));
                    return Some(Reply::Array(vec![Reply::bulk(b"pong"), Reply::Bulk(text)]));
                }
                "subscribe" | "unsubscribe" | "psubscribe" | "punsubscribe" | "ssubscribe"
                | "sunsubscribe" | "quit" | "reset" => {}
                _ => {
                    let args: Vec<Arg> = command.args.iter().take(2).map(Arg::Shared).collect();
                    let name = full_name(spec, &args);
                    return Some(Reply::error(format!(
                        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
                    )));
                }
            }
        }
        let queue = self.queue.as_mut()?;
        match spec {
            Err(fail) => {
                self.broken = true;
                Some(fail.reply())
            }
            Ok(spec) => match spec.name {
                "exec" | "discard" | "multi" | "watch" | "quit" | "reset" | "shutdown" => None,
                _ => {
                    queue.push(command.clone());
                    Some(Reply::Status(Bytes::from(&b"QUEUED"[..])))
                }
            },
        }
    }
}

/// What can be listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listens {
    Channel,
    Pattern,
    Shard,
}

impl Listens {
    /// The command by which it begins or ends.
    pub(super) fn word(self, join: bool) -> &'static str {
        match (self, join) {
            (Self::Channel, true) => "subscribe",
            (Self::Channel, false) => "unsubscribe",
            (Self::Pattern, true) => "psubscribe",
            (Self::Pattern, false) => "punsubscribe",
            (Self::Shard, true) => "ssubscribe",
            (Self::Shard, false) => "sunsubscribe",
        }
    }
}

/// Who listens to each name.
type Listeners = BTreeMap<Bytes, BTreeSet<SessionId>>;

/// Who listens to which channels and patterns, and what is due for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Subscriptions {
    pub(super) channels: Listeners,
    pub(super) patterns: Listeners,
    pub(super) shards: Listeners,
    push: VecDeque<(SessionId, Reply)>,
}

impl Subscriptions {
    /// One of the tables.
    pub(super) fn table(&mut self, of: Listens) -> &mut Listeners {
        match of {
            Listens::Channel => &mut self.channels,
            Listens::Pattern => &mut self.patterns,
            Listens::Shard => &mut self.shards,
        }
    }

    /// Everything of one kind that a session subscribes to.
    pub(super) fn of(&self, kind: Listens, session: SessionId) -> Vec<Bytes> {
        let table = match kind {
            Listens::Channel => &self.channels,
            Listens::Pattern => &self.patterns,
            Listens::Shard => &self.shards,
        };
        let mine = table.iter().filter(|(_, who)| who.contains(&session));
        mine.map(|(name, _)| name.clone()).collect()
    }

    /// How many subscriptions a session has.
    pub(super) fn count(&self, session: SessionId) -> usize {
        let of = |table: &Listeners| table.values().filter(|who| who.contains(&session)).count();
        of(&self.channels) + of(&self.patterns) + of(&self.shards)
    }

    /// The number that a session is told when it subscribes or leaves: those of
    /// shards are counted apart.
    pub(super) fn told(&self, kind: Listens, session: SessionId) -> usize {
        let shards = self.of(Listens::Shard, session).len();
        match kind {
            Listens::Shard => shards,
            Listens::Channel | Listens::Pattern => self.count(session) - shards,
        }
    }

    pub(super) fn push(&mut self, session: SessionId, reply: Reply) {
        self.push.push_back((session, reply));
    }

    pub(super) fn poll_push(&mut self) -> Option<(SessionId, Reply)> {
        self.push.pop_front()
    }

    /// Delivers a message; to how many.
    pub(super) fn publish(&mut self, channel: &[u8], message: &Bytes) -> usize {
        let mut count = 0;
        if let Some((name, who)) = self.channels.get_key_value(channel) {
            for session in who {
                let parts = vec![
                    Reply::bulk(b"message"),
                    Reply::Bulk(name.clone()),
                    Reply::Bulk(message.clone()),
                ];
                self.push.push_back((*session, Reply::Array(parts)));
                count += 1;
            }
        }
        for (pattern, who) in &self.patterns {
            if !glob(pattern, channel) {
                continue;
            }
            for session in who {
                let parts = vec![
                    Reply::bulk(b"pmessage"),
                    Reply::Bulk(pattern.clone()),
                    Reply::bulk(channel),
                    Reply::Bulk(message.clone()),
                ];
                self.push.push_back((*session, Reply::Array(parts)));
                count += 1;
            }
        }
        count
    }

    /// Delivers a message to a shard's channel; to how many.
    pub(super) fn publish_to_shard(&mut self, channel: &[u8], message: &Bytes) -> usize {
        let Some((name, who)) = self.shards.get_key_value(channel) else {
            return 0;
        };
        for session in who {
            let parts = vec![
                Reply::bulk(b"smessage"),
                Reply::Bulk(name.clone()),
                Reply::Bulk(message.clone()),
            ];
            self.push.push_back((*session, Reply::Array(parts)));
        }
        who.len()
    }

    /// Who listens to what and what is due, with names and sessions replaced.
    pub(super) fn identity(&self, names: &dyn Names) -> u64 {
        let mut all = 0u64;
        let tables = [&self.channels, &self.patterns, &self.shards];
        for (tag, table) in tables.into_iter().enumerate() {
            for (channel, who) in table {
                for session in who {
                    let entry = (tag, channel, names.session(*session));
                    all = all.wrapping_add(Digest::of(&entry));
                }
            }
        }
        Digest::of(&(all, &self.push))
    }

    /// The session is gone, and what was due for it.
    pub(super) fn forget(&mut self, session: SessionId) {
        for table in [&mut self.channels, &mut self.patterns, &mut self.shards] {
            table.retain(|_, who| {
                who.remove(&session);
                !who.is_empty()
            });
        }
        self.push.retain(|(to, _)| *to != session);
    }
}
