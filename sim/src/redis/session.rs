//! What the server remembers of a connection, and who listens to what.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sluice_core::redis::{Bytes, Command, Reply};

use super::SessionId;
use super::command::{Fail, Spec, glob};
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
                "ping" => {
                    let text = command.args.get(1).cloned();
                    let text = text.unwrap_or_else(|| Bytes::from(&b""[..]));
                    return Some(Reply::Array(vec![Reply::bulk(b"pong"), Reply::Bulk(text)]));
                }
                "subscribe" | "unsubscribe" | "psubscribe" | "punsubscribe" | "quit" | "reset" => {}
                name => {
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

/// Who listens to which channels and patterns, and what is due for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Subscriptions {
    pub(super) channels: BTreeMap<Bytes, BTreeSet<SessionId>>,
    pub(super) patterns: BTreeMap<Bytes, BTreeSet<SessionId>>,
    push: VecDeque<(SessionId, Reply)>,
}

impl Subscriptions {
    /// One of the two tables.
    pub(super) fn table(&mut self, patterns: bool) -> &mut BTreeMap<Bytes, BTreeSet<SessionId>> {
        if patterns {
            &mut self.patterns
        } else {
            &mut self.channels
        }
    }

    /// Everything of one kind that a session subscribes to.
    pub(super) fn of(&self, patterns: bool, session: SessionId) -> Vec<Bytes> {
        let table = if patterns {
            &self.patterns
        } else {
            &self.channels
        };
        let mine = table.iter().filter(|(_, who)| who.contains(&session));
        mine.map(|(name, _)| name.clone()).collect()
    }

    /// How many subscriptions a session has.
    pub(super) fn count(&self, session: SessionId) -> usize {
        let tables = self.channels.values().chain(self.patterns.values());
        tables.filter(|who| who.contains(&session)).count()
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

    /// Who listens to what and what is due, with names and sessions replaced.
    pub(super) fn identity(&self, names: &dyn Names) -> u64 {
        let mut all = 0u64;
        for (tag, table) in [&self.channels, &self.patterns].into_iter().enumerate() {
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
        for table in [&mut self.channels, &mut self.patterns] {
            table.retain(|_, who| {
                who.remove(&session);
                !who.is_empty()
            });
        }
        self.push.retain(|(to, _)| *to != session);
    }
}
