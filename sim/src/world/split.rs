//! Two servers at a time: a replica was made the server, and the old one has
//! not heard of it.
//!
//! Who connects from now on reaches the new one; who is connected stays with
//! the old one, which answers as ever until it is told. What it executes in the
//! meantime is lost. Redis limits this by `min-replicas-to-write`: a server that
//! has lost its replicas then refuses to write.

use sluice_core::redis::Reply;

use super::World;
use super::disk::Disk;
use super::fault::FaultKind;
use super::happening::Happening;
use super::setup::Program;
use crate::choice::Chooser;
use crate::store::{SessionId, Store};

impl<P: Program, S: Store> World<P, S> {
    /// Fault: see the module.
    pub(super) fn split(&mut self, chooser: &mut dyn Chooser) {
        if !self.server_up || self.former.is_some() {
            return;
        }
        let what = self.fault_label(FaultKind::ServerSplit.decision());
        // Evenly: what matters is whether it outlasts a lease.
        let until_ns = self.now + 1 + chooser.draw(what, self.faults.outage_ns_max.max(1));
        let (mut server, lost) = self.replica(what, chooser);
        server.restart(true);
        let former = core::mem::replace(&mut self.server, server);
        self.former = Some(Box::new((former, until_ns)));
        self.behind.clear();
        self.disk = Disk::default(); // it has one of its own
        for link in &mut self.links {
            link.former = link.server_open;
        }
        self.happenings
            .push(Happening::ServerSplit { lost, until_ns });
    }

    /// The old server is told, if its time has come by `now`.
    pub(super) fn end_split(&mut self, now: u64, chooser: &mut dyn Chooser) {
        if self.former.take_if(|former| former.1 <= now).is_none() {
            return;
        }
        self.happenings.push(Happening::FormerStopped);
        for at in 0..self.links.len() {
            if self.links[at].former && self.links[at].server_open {
                self.close(at, chooser);
            }
        }
        self.reschedule_server();
    }

    /// The server at the end of a connection.
    pub(super) fn serving(&mut self, former: bool) -> &mut S {
        match &mut self.former {
            Some(old) if former => &mut old.0,
            Some(_) | None => &mut self.server,
        }
    }

    pub(super) fn next_reply(&mut self) -> Option<(SessionId, Reply)> {
        let former = self.former.as_deref_mut();
        let reply = former.and_then(|(server, _)| server.poll_reply());
        reply.or_else(|| self.server.poll_reply())
    }

    pub(super) fn next_push(&mut self) -> Option<(SessionId, Reply)> {
        let former = self.former.as_deref_mut();
        let push = former.and_then(|(server, _)| server.poll_push());
        push.or_else(|| self.server.poll_push())
    }
}
