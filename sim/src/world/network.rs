//! What connections do: connect, carry, execute, end.

use sluice_core::client::{Conn, Failure, Input, RequestId};
use sluice_core::redis::{Bytes, Command, Reply};

use super::World;
use super::happening::{ActorId, Happening};
use super::link::{Down, Link, Phase, Ticket, Turn, Up};
use super::setup::{Delays, Mode, Program};
use super::shared::Shared;
use crate::choice::{Chooser, Kind, Label};
use crate::dist::Dist;
use crate::in_order::pop_first;
use crate::store::{SessionId, Store};

/// How long the driver waits before it tries again to subscribe.
const RESUBSCRIBE_NS: u64 = 100_000_000;

impl<P: Program, S: Store> World<P, S> {
    /// A client sends a command, on a new connection if it has none.
    pub(super) fn send(
        &mut self,
        who: ActorId,
        request: RequestId,
        command: Command,
        chooser: &mut dyn Chooser,
    ) {
        let at = match self.actor(who).commands {
            Some(at) => at,
            None => self.open(who, Conn::Commands, 0, chooser),
        };
        self.write(at, Some(request), command, chooser);
    }

    /// A client drops a connection with all that is outstanding on it.
    pub(super) fn reset(&mut self, who: ActorId, conn: Conn, chooser: &mut dyn Chooser) {
        let actor = self.actor(who);
        let dropped = match conn {
            Conn::Commands => actor.commands.take(),
            Conn::Messages => actor.messages.take(),
        };
        let Some(at) = dropped else { return };
        self.fail_pending(at);
        self.leave(at, chooser);
        if conn == Conn::Messages {
            self.subscription_lost(who, 0, chooser);
        }
    }

    /// A client wants the messages of a channel from now on.
    pub(super) fn subscribe(&mut self, who: ActorId, channel: Bytes, chooser: &mut dyn Chooser) {
        let actor = self.actor(who);
        if actor.channel.as_ref() == Some(&channel) {
            return;
        }
        self.unsubscribe(who, chooser);
        self.actor(who).channel = Some(channel);
        self.open(who, Conn::Messages, 0, chooser);
    }

    /// A client wants no more messages.
    pub(super) fn unsubscribe(&mut self, who: ActorId, chooser: &mut dyn Chooser) {
        let actor = self.actor(who);
        actor.channel = None;
        actor.subscribed = false;
        if let Some(at) = actor.messages.take() {
            self.leave(at, chooser);
        }
    }

    /// Starts to make a connection, `later` from now.
    fn open(&mut self, who: ActorId, role: Conn, later: u64, chooser: &mut dyn Chooser) -> usize {
        let delay = self.delay(who, |d| d.connect, chooser);
        let slot = self.free_links.pop().unwrap_or(self.links.len());
        self.sessions += 1;
        let actor = self.actor(who);
        actor.counts.links += 1;
        let number = actor.counts.links;
        match role {
            Conn::Commands => actor.commands = Some(slot),
            Conn::Messages => actor.messages = Some(slot),
        }
        let session = SessionId(u64::from(self.sessions) << 32 | slot as u64);
        let phase = Phase::Connecting {
            at: self.now.saturating_add(later).saturating_add(delay),
        };
        if let Some(link) = self.links.get_mut(slot) {
            debug_assert_eq!(link.phase, Phase::Free);
            (link.session, link.who, link.number) = (session, who, number);
            (link.role, link.phase, link.client_open) = (role, phase, true);
            link.wrote = 0;
            link.former = false;
        } else {
            self.links.push(Shared::new(Link {
                session,
                who,
                number,
                role,
                phase,
                client_open: true,
                server_open: false,
                former: false,
                stalled_until: 0,
                turn: None,
                parked: None,
                wrote: 0,
                up: Default::default(),
                down: Default::default(),
                pending: Default::default(),
            }));
        }
        self.reschedule_link(slot);
        slot
    }

    /// The client's end writes a command.
    fn write(
        &mut self,
        at: usize,
        request: Option<RequestId>,
        command: Command,
        chooser: &mut dyn Chooser,
    ) {
        let who = self.links[at].who;
        let actor = self.actor(who);
        actor.counts.frames += 1;
        let ticket = Ticket {
            request,
            number: actor.counts.frames,
            sent_ns: self.now,
        };
        self.links[at].pending.push(ticket);
        match self.links[at].phase {
            // Written once the connection is made.
            Phase::Connecting { .. } => {
                self.links[at].push_up(0, Up::Command { ticket, command });
            }
            Phase::Open => {
                let arrival = self.after(self.now, who, |d| d.up, chooser);
                self.links[at].push_up(arrival, Up::Command { ticket, command });
                self.reschedule_link(at);
            }
            Phase::Dead => self.happenings.push(Happening::CommandLost {
                who,
                request,
                command,
            }),
            Phase::Free => unreachable!("an actor writes to a forgotten connection"),
        }
    }

    /// The first frame down arrives at its client, or the outcome of
    /// connecting does.
    pub(super) fn receive(&mut self, at: usize, chooser: &mut dyn Chooser) {
        if let Phase::Connecting { .. } = self.links[at].phase {
            return self.connect(at, chooser);
        }
        let link = &mut self.links[at];
        let who = link.who;
        let Some(frame) = pop_first(&mut link.down) else {
            unreachable!("link {at} is due but has nothing to deliver")
        };
        self.reschedule_link(at);
        match frame.body {
            Down::Reply { ticket, reply } => {
                let first = pop_first(&mut self.links[at].pending);
                debug_assert_eq!(first, Some(ticket), "replies come in order");
                match ticket.request {
                    Some(request) => {
                        self.happenings.push(Happening::Delivered {
                            who,
                            request,
                            reply: reply.clone(),
                            sent_ns: ticket.sent_ns,
                        });
                        self.inbox.push_back((who, Input::Reply(request, reply)));
                    }
                    None => self.subscription_answered(at, &reply, chooser),
                }
            }
            Down::Push { reply, .. } => {
                if let Some(payload) = payload_of(&reply) {
                    self.happenings.push(Happening::Message {
                        who,
                        payload: payload.clone(),
                    });
                    self.inbox.push_back((who, Input::Message(payload)));
                }
            }
            Down::Fin => self.connection_lost(at, chooser),
        }
    }

    /// A connection is made, or refused.
    fn connect(&mut self, at: usize, chooser: &mut dyn Chooser) {
        let link = &self.links[at];
        let (who, connection, role) = (link.who, link.number, link.role);
        let host = &self.hosts[usize::from(who.host)];
        let refused =
            !self.server_up || host.partitioned.is_some() || self.now < host.refused_until;
        if refused {
            self.happenings.push(Happening::Refused { who, connection });
            self.forget_client_end(at);
            self.fail_pending(at);
            let link = &mut self.links[at];
            link.up.clear();
            link.client_open = false;
            self.collect(at);
            if role == Conn::Messages {
                self.subscription_lost(who, RESUBSCRIBE_NS, chooser);
            }
            return;
        }
        self.happenings
            .push(Happening::Connected { who, connection });
        self.links[at].phase = Phase::Open;
        self.links[at].server_open = true;
        let mut unsent = core::mem::take(&mut self.links[at].up);
        for frame in unsent.drain(..) {
            let arrival = self.after(self.now, who, |d| d.up, chooser);
            self.links[at].push_up(arrival, frame.body);
        }
        if role == Conn::Messages
            && let Some(channel) = self.actor(who).channel.clone()
        {
            self.write(at, None, Command::new("SUBSCRIBE").arg(channel), chooser);
        }
        self.reschedule_link(at);
    }

    /// The first frame up arrives at the server, or its turn has come.
    pub(super) fn arrive(&mut self, at: usize, engine: &S::Engine, chooser: &mut dyn Chooser) {
        let link = &self.links[at];
        let who = link.who;
        let parked = link.parked.is_some();
        if parked || matches!(link.up.first().map(|f| &f.body), Some(Up::Fin)) {
            self.hang_up(at);
            return;
        }
        let turn = match link.turn {
            Some(turn) => turn,
            None => {
                let service = self.delay(who, |d| d.service, chooser);
                let start = self.now.max(self.server_free_at);
                self.server_free_at = start.saturating_add(service);
                Turn { start, service }
            }
        };
        if turn.start > self.now {
            self.links[at].turn = Some(turn);
            self.reschedule_link(at);
            return;
        }
        self.execute(at, turn.service, engine, chooser);
    }

    /// The server executes the first frame of a link.
    fn execute(&mut self, at: usize, service: u64, engine: &S::Engine, chooser: &mut dyn Chooser) {
        let now_us = self.server_time_us();
        let link = &mut self.links[at];
        link.turn = None;
        let Some(Up::Command { ticket, command }) = pop_first(&mut link.up).map(|f| f.body) else {
            unreachable!("link {at} is due but has nothing to execute")
        };
        let (session, former) = (link.session, link.former);
        let reply = match self.refusal(&command) {
            Some(error) if !former => Some(Reply::error(error.as_bytes())),
            Some(_) | None => {
                if !former {
                    self.persist(&command);
                }
                if !former && self.replicate(&command) {
                    self.links[at].wrote = self.writes;
                }
                let server = self.serving(former);
                server.submit(engine, now_us, session, &command)
            }
        };
        let done = self.now.saturating_add(service);
        match reply {
            Some(reply) => self.answer(at, ticket, command, reply, done, chooser),
            None => {
                self.links[at].parked = Some((ticket, command));
                if self.server.awaits_replica(session) && self.is_replicated(at, chooser) {
                    self.server.replicated(session);
                }
                self.reschedule_link(at);
            }
        }
        self.drain_server(done, chooser);
    }

    /// The time of those who wait longest at the server is up.
    pub(super) fn time_out(&mut self, chooser: &mut dyn Chooser) {
        let now_us = self.server_time_us();
        self.server.time_out(now_us);
        if let Some((former, _)) = self.former.as_deref_mut() {
            former.time_out(now_us);
        }
        self.drain_server(self.now, chooser);
        self.end_split(self.now, chooser);
    }

    /// Sends what the server has to say beside the reply to a command.
    fn drain_server(&mut self, done: u64, chooser: &mut dyn Chooser) {
        while let Some((session, reply)) = self.next_reply() {
            let at = (session.0 & u64::from(u32::MAX)) as usize;
            let link = self.links.get_mut(at);
            let link = link.filter(|link| link.session == session);
            if let Some((ticket, command)) = link.and_then(|link| link.parked.take()) {
                self.answer(at, ticket, command, reply, done, chooser);
            }
        }
        while let Some((session, reply)) = self.next_push() {
            self.push(session, done, reply, chooser);
        }
        self.reschedule_server();
    }

    /// A command has been executed, and its reply is on its way.
    fn answer(
        &mut self,
        at: usize,
        ticket: Ticket,
        command: Command,
        reply: Reply,
        done: u64,
        chooser: &mut dyn Chooser,
    ) {
        let link = &self.links[at];
        let (who, connection) = (link.who, link.number);
        let reply_too = reply.clone();
        self.happenings.push(if link.former {
            Happening::ExecutedByFormer {
                who,
                command,
                reply: reply_too,
            }
        } else {
            Happening::Executed {
                who,
                connection,
                request: ticket.request,
                command,
                reply: reply_too,
                sent_ns: ticket.sent_ns,
            }
        });
        if self.links[at].phase == Phase::Open && self.links[at].client_open {
            let arrival = self.after(done, who, |d| d.down, chooser);
            self.links[at].push_down(arrival, Down::Reply { ticket, reply });
        } else {
            let request = ticket.request;
            self.happenings.push(Happening::ReplyLost {
                who,
                request,
                reply,
            });
        }
        self.reschedule_link(at);
    }

    /// The server sends a message to a subscriber.
    fn push(&mut self, session: SessionId, done: u64, reply: Reply, chooser: &mut dyn Chooser) {
        let at = (session.0 & u64::from(u32::MAX)) as usize;
        let Some(link) = self.links.get(at) else {
            return;
        };
        if link.session != session || link.phase != Phase::Open || !link.client_open {
            return;
        }
        let who = link.who;
        let arrival = self.after(done, who, |d| d.down, chooser);
        let actor = self.actor(who);
        actor.counts.pushes += 1;
        let number = actor.counts.pushes;
        self.links[at].push_down(arrival, Down::Push { number, reply });
        self.reschedule_link(at);
    }

    /// The server learns that a connection has ended.
    fn hang_up(&mut self, at: usize) {
        let link = &mut self.links[at];
        let (who, connection, session) = (link.who, link.number, link.session);
        let former = link.former;
        link.up.clear();
        link.parked = None;
        link.server_open = false;
        self.serving(former).disconnect(session);
        self.reschedule_server();
        self.happenings.push(Happening::HungUp { who, connection });
        self.collect(at);
    }

    /// The client learns that a connection has ended.
    fn connection_lost(&mut self, at: usize, chooser: &mut dyn Chooser) {
        let (who, role) = (self.links[at].who, self.links[at].role);
        self.forget_client_end(at);
        self.fail_pending(at);
        self.links[at].client_open = false;
        self.collect(at);
        if role == Conn::Messages {
            self.subscription_lost(who, RESUBSCRIBE_NS, chooser);
        }
    }

    /// The client's end of a link is closed by the client: what it has
    /// written is still under way, what it would have received is lost.
    pub(super) fn leave(&mut self, at: usize, chooser: &mut dyn Chooser) {
        self.drop_down(at, 0);
        let link = &mut self.links[at];
        link.client_open = false;
        link.pending.clear();
        let who = link.who;
        match link.phase {
            Phase::Connecting { .. } => link.up.clear(),
            Phase::Open => {
                link.phase = Phase::Dead;
                let arrival = self.after(self.now, who, |d| d.up, chooser);
                self.links[at].push_up(arrival, Up::Fin);
            }
            Phase::Dead | Phase::Free => {}
        }
        self.collect(at);
    }

    /// The server's answer to the driver's own `SUBSCRIBE`.
    fn subscription_answered(&mut self, at: usize, reply: &Reply, chooser: &mut dyn Chooser) {
        let who = self.links[at].who;
        if reply.error_code().is_none() {
            self.actor(who).subscribed = true;
            self.happenings.push(Happening::Subscribed { who });
            self.inbox.push_back((who, Input::Subscribed));
        } else {
            self.forget_client_end(at);
            self.leave(at, chooser);
            self.subscription_lost(who, RESUBSCRIBE_NS, chooser);
        }
    }

    /// A connection for messages is gone: the client is told if it had been
    /// told of it, and the driver tries again.
    fn subscription_lost(&mut self, who: ActorId, later: u64, chooser: &mut dyn Chooser) {
        let actor = self.actor(who);
        let was = core::mem::take(&mut actor.subscribed);
        let wanted = actor.channel.is_some() && actor.messages.is_none();
        if was {
            self.happenings.push(Happening::Unsubscribed { who });
            self.inbox.push_back((who, Input::Unsubscribed));
        }
        if wanted {
            self.open(who, Conn::Messages, later, chooser);
        }
    }

    /// The client is told that its open requests will not be answered.
    fn fail_pending(&mut self, at: usize) {
        let link = &mut self.links[at];
        let failure = match link.phase {
            Phase::Connecting { .. } => Failure::NotSent,
            Phase::Open | Phase::Dead | Phase::Free => Failure::Unknown,
        };
        let who = link.who;
        while let Some(ticket) = pop_first(&mut link.pending) {
            let Some(request) = ticket.request else {
                continue;
            };
            self.happenings.push(Happening::Lost {
                who,
                request,
                failure,
                sent_ns: ticket.sent_ns,
            });
            self.inbox.push_back((who, Input::Failed(request, failure)));
        }
    }

    /// The actor no longer has this link.
    fn forget_client_end(&mut self, at: usize) {
        let (who, role) = (self.links[at].who, self.links[at].role);
        let actor = self.actor(who);
        let held = match role {
            Conn::Commands => &mut actor.commands,
            Conn::Messages => &mut actor.messages,
        };
        if *held == Some(at) {
            *held = None;
        }
    }

    /// All but the first `kept` frames up are lost.
    pub(super) fn drop_up(&mut self, at: usize, kept: usize) {
        let link = &mut self.links[at];
        let who = link.who;
        for frame in link.up.drain(kept..) {
            if let Up::Command { ticket, command } = frame.body {
                let request = ticket.request;
                self.happenings.push(Happening::CommandLost {
                    who,
                    request,
                    command,
                });
            }
        }
    }

    /// All but the first `kept` frames down are lost.
    pub(super) fn drop_down(&mut self, at: usize, kept: usize) {
        let link = &mut self.links[at];
        let who = link.who;
        for frame in link.down.drain(kept..) {
            if let Down::Reply { ticket, reply } = frame.body {
                let request = ticket.request;
                self.happenings.push(Happening::ReplyLost {
                    who,
                    request,
                    reply,
                });
            }
        }
    }

    /// Forgets a link that is open to neither end, and brings the agenda up to
    /// date with it.
    pub(super) fn collect(&mut self, at: usize) {
        let link = &mut self.links[at];
        if !link.client_open && !link.server_open && link.phase != Phase::Free {
            link.phase = Phase::Free;
            link.stalled_until = 0;
            link.turn = None;
            link.parked = None;
            link.up.clear();
            link.down.clear();
            link.pending.clear();
            self.free_links.push(at);
        }
        self.reschedule_link(at);
    }

    /// When something that begins at `start` ends.
    pub(super) fn after(
        &mut self,
        start: u64,
        who: ActorId,
        of: impl Fn(&Delays) -> Dist,
        chooser: &mut dyn Chooser,
    ) -> u64 {
        start.saturating_add(self.delay(who, of, chooser))
    }

    /// How long something takes: sampled in timed running, nothing otherwise.
    fn delay(
        &mut self,
        who: ActorId,
        of: impl Fn(&Delays) -> Dist,
        chooser: &mut dyn Chooser,
    ) -> u64 {
        match self.mode {
            Mode::Adversarial | Mode::Untimed => 0,
            Mode::Timed(delays) => match of(&delays) {
                Dist::Constant(ns) => ns,
                dist => {
                    let actor = self.actor(who);
                    actor.counts.delays += 1;
                    let n = actor.counts.delays;
                    chooser.sample(Label::new(Kind::Delay, who.host, who.actor, n), dist)
                }
            },
        }
    }
}

/// The payload of `message <channel> <payload>`.
fn payload_of(reply: &Reply) -> Option<Bytes> {
    match reply {
        Reply::Array(items) => match items.as_slice() {
            [kind, _, Reply::Bulk(payload)] if kind.as_bytes() == Some(b"message") => {
                Some(payload.clone())
            }
            _ => None,
        },
        Reply::Status(_) | Reply::Error(_) | Reply::Int(_) | Reply::Bulk(_) | Reply::Nil => None,
    }
}
