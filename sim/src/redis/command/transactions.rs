//! `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH`.

use sluice_core::redis::Reply;

use super::{Arg, Fail, Out};
use crate::redis::lua::Engine;
use crate::redis::{Server, SessionId, Version};

impl Server {
    /// Changes what is remembered of a session, and forgets what is plain.
    pub(in crate::redis) fn edit_session<T>(
        &mut self,
        id: SessionId,
        edit: impl FnOnce(&mut super::super::session::Session) -> T,
    ) -> T {
        let session = self.state.sessions.entry(id).or_default();
        let out = edit(session);
        if session.is_plain() {
            self.state.sessions.remove(&id);
        }
        out
    }

    /// The error for a command that has no place in a transaction. To Valkey it
    /// is one like any other, and there is nothing left to execute.
    pub(super) fn not_inside(&mut self, id: SessionId, name: &str, text: &'static str) -> Fail {
        let fail = match self.state.version {
            Version::Valkey8 => Fail::fixed("ERR Command not allowed inside a transaction"),
            Version::Valkey9 => Fail::new(format!(
                "ERR Command '{name}' not allowed inside a transaction"
            )),
            _ => return Fail::fixed(text),
        };
        self.edit_session(id, |session| session.broken = true);
        fail
    }

    pub(super) fn in_transaction(&self, id: SessionId) -> bool {
        let session = self.state.sessions.get(&id);
        session.is_some_and(|session| session.queue.is_some())
    }
}

pub(super) fn multi(server: &mut Server, _: &Engine, id: SessionId, _: &[Arg]) -> Out {
    if server.in_transaction(id) {
        return Err(server.not_inside(id, "multi", "ERR MULTI calls can not be nested"));
    }
    server.edit_session(id, |session| session.queue = Some(Vec::new()));
    Ok(server.state.replies.ok())
}

pub(super) fn discard(server: &mut Server, _: &Engine, id: SessionId, _: &[Arg]) -> Out {
    if !server.in_transaction(id) {
        return Err(Fail::fixed("ERR DISCARD without MULTI"));
    }
    server.end_transaction(id);
    server.state.unwatch(id);
    Ok(server.state.replies.ok())
}

impl Server {
    /// Closes the transaction; its commands, and whether one was refused.
    pub(in crate::redis) fn end_transaction(
        &mut self,
        id: SessionId,
    ) -> (Vec<sluice_core::redis::Command>, bool) {
        self.edit_session(id, |session| {
            let queue = session.queue.take().unwrap_or_default();
            (queue, std::mem::take(&mut session.broken))
        })
    }
}

pub(super) fn exec(server: &mut Server, engine: &Engine, id: SessionId, _: &[Arg]) -> Out {
    if !server.in_transaction(id) {
        return Err(Fail::fixed("ERR EXEC without MULTI"));
    }
    let (queue, broken) = server.end_transaction(id);
    let dirty = server.state.unwatch(id);
    if broken {
        return Err(Fail::fixed(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    if dirty {
        return Ok(Reply::Nil);
    }
    server.state.in_exec = true;
    let replies = queue
        .iter()
        .map(|command| server.perform(engine, id, command));
    let replies = Reply::Array(replies.collect());
    server.state.in_exec = false;
    // Nothing waits in a transaction.
    server.state.park = None;
    Ok(replies)
}

pub(super) fn watch(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    if server.in_transaction(id) {
        let text = "ERR WATCH inside MULTI is not allowed";
        return Err(server.not_inside(id, "watch", text));
    }
    for key in &args[1..] {
        server.state.db.watch(key, id);
    }
    Ok(server.state.replies.ok())
}

pub(super) fn unwatch(server: &mut Server, _: &Engine, id: SessionId, _: &[Arg]) -> Out {
    server.state.unwatch(id);
    Ok(server.state.replies.ok())
}
