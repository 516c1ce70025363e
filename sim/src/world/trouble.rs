//! What faults do, and how they end.

use std::borrow::Cow;

use super::World;
use super::agenda::NEVER;
use super::disk::{Disk, EVERYTHING, Persistence};
use super::fault::FaultKind;
use super::happening::Happening;
use super::link::{Down, Phase, Up};
use super::refusal::Refusal;
use super::setup::Program;
use crate::choice::{Chooser, Kind, Label};
use crate::dist::Dist;
use crate::store::Store;
use sluice_core::redis::Command;

/// How many commands that may write a replica may lack: many are mere questions
/// of those who wait.
const LAG_MAX: usize = 24;

impl<P: Program, S: Store> World<P, S> {
    /// Whether any fault may still fire.
    pub(super) fn may_fault(&self) -> bool {
        !self.healed
            && self.now < self.faults.until_ns
            && self.fired.total() < u64::from(self.faults.budget)
    }

    /// How often the server has gone down.
    pub(super) fn stops(&self) -> u32 {
        self.fired[FaultKind::ServerRestart]
            + self.fired[FaultKind::ServerWipe]
            + self.fired[FaultKind::ServerFailover]
            + self.fired[FaultKind::PowerLoss]
    }

    /// With which error the server answers this command instead of executing it.
    pub(super) fn refusal(&self, command: &Command) -> Option<Cow<'static, str>> {
        if self.now < self.loading_until {
            return Some("LOADING Redis is loading the dataset in memory".into());
        }
        let (refusal, until) = self.refusing?;
        if self.now >= until {
            return None;
        }
        refusal.answer(&self.server.touch(command), &self.server.slots(command))
    }

    /// Before a command that may write: the state that a replica has until it
    /// has caught up. Whether it may write, where that matters.
    pub(super) fn replicate(&mut self, command: &Command) -> bool {
        let weights = &self.faults.weights;
        let replaced = weights[FaultKind::ServerFailover] + weights[FaultKind::ServerSplit] > 0;
        let writes = replaced && self.may_fault() && self.server.touch(command).writes;
        if writes {
            if self.behind.len() == LAG_MAX {
                self.behind.pop_front();
            }
            self.behind.push_back(self.server.clone());
            self.writes += 1;
        }
        writes
    }

    /// Whether the replica has what a connection wrote last, now that it asks: it
    /// may, and then it will not lack it any more. Of what others wrote, and of
    /// what the same client wrote on another connection, nothing is said.
    pub(super) fn is_replicated(&mut self, at: usize, chooser: &mut dyn Chooser) -> bool {
        let since = self.writes_since(at);
        if self.behind.len() > since {
            let link = &self.links[at];
            let (who, number) = (link.who, link.number);
            let what = Label::new(Kind::Replicate, who.host, who.actor, number);
            if chooser.draw(what, 2) == 1 {
                return false;
            }
            let lacks = self.behind.len() - since;
            self.behind.drain(..lacks);
        }
        true
    }

    /// How many of the writes that a replica may lack came after the last of a
    /// connection.
    pub(super) fn writes_since(&self, at: usize) -> usize {
        let since = self.writes - self.links[at].wrote;
        usize::try_from(since).map_or(LAG_MAX, |since| since.min(LAG_MAX))
    }

    pub(super) fn fault_label(&self, kind: Kind) -> Label {
        Label::new(kind, Label::SERVER, 0, self.fired.total() as u32)
    }

    /// Adversarial running: perhaps a fault is next. Whether one fired.
    pub(super) fn maybe_fault(&mut self, chooser: &mut dyn Chooser) -> bool {
        if !self.may_fault() {
            return false;
        }
        let total = self.faults.weights.total();
        let others = total.saturating_mul(u64::from(self.faults.one_in.saturating_sub(1)));
        let before = self.happenings.len();
        if let Some(kind) = self.which_fault(u32::try_from(others).unwrap_or(u32::MAX), chooser) {
            self.fire(kind, chooser);
        }
        self.happenings.len() > before
    }

    /// Timed running: the time of the next fault has come.
    pub(super) fn timed_fault(&mut self, chooser: &mut dyn Chooser) {
        // The first is for finding out when the first real one will be.
        if self.now > 0
            && let Some(kind) = self.which_fault(0, chooser)
        {
            self.fire(kind, chooser);
        }
        let gap = Dist::Exponential {
            min: 1,
            mean: self.faults.gap_ns,
        };
        let wait = chooser.sample(self.fault_label(Kind::Delay), gap);
        self.next_fault = self.now.saturating_add(wait);
        self.reschedule_fault();
    }

    /// Which fault is next; `None` with the weight `none`.
    fn which_fault(&self, none: u32, chooser: &mut dyn Chooser) -> Option<FaultKind> {
        let mut options = [self.fault_label(Kind::Next); FaultKind::COUNT + 1];
        let mut weights = [none; FaultKind::COUNT + 1];
        for (i, (kind, weight)) in self.faults.weights.iter().enumerate() {
            options[i + 1].kind = kind.decision();
            weights[i + 1] = weight;
        }
        let picked = chooser.weigh(&options, &weights);
        picked.checked_sub(1).map(|i| FaultKind::ALL[i])
    }

    /// Lets a fault strike, if there is anything for it to strike.
    pub(super) fn fire(&mut self, kind: FaultKind, chooser: &mut dyn Chooser) {
        let before = self.happenings.len();
        match kind {
            FaultKind::Cut => self.cut(chooser),
            FaultKind::Stall => self.stall(chooser),
            FaultKind::Partition => self.partition(chooser),
            FaultKind::Refuse => self.refuse(chooser),
            FaultKind::Crash => self.crash(chooser),
            FaultKind::Pause => self.pause(chooser),
            FaultKind::ClockStep => self.step_clock(chooser),
            FaultKind::ServerClockStep => self.step_server_clock(chooser),
            FaultKind::ScriptFlush => {
                let before = self.server.digest();
                self.server.flush_scripts();
                if self.server.digest() != before {
                    self.happenings.push(Happening::ScriptsFlushed);
                }
            }
            FaultKind::ServerRestart
            | FaultKind::ServerWipe
            | FaultKind::ServerFailover
            | FaultKind::PowerLoss => self.stop_server(kind, chooser),
            FaultKind::ServerSplit => self.split(chooser),
            FaultKind::ServerErrors => self.refuse_commands(chooser),
            FaultKind::Eviction => self.evict(chooser),
        }
        if self.happenings.len() > before {
            self.fired[kind] += 1;
            self.reschedule();
        }
    }

    fn cut(&mut self, chooser: &mut dyn Chooser) {
        let Some(at) = self.some_link(FaultKind::Cut, chooser) else {
            return;
        };
        let link = &self.links[at];
        let (who, connection) = (link.who, link.number);
        let (up, down) = (link.up_bytes(), link.down_bytes());
        let what = Label::new(Kind::Cut, who.host, who.actor, connection);
        let up_bytes = arriving(up, what, chooser);
        let down_bytes = arriving(down, what, chooser);
        self.happenings.push(Happening::Cut {
            who,
            connection,
            up_bytes,
            down_bytes,
        });
        let (up, down) = (
            self.links[at].up_kept(up_bytes),
            self.links[at].down_kept(down_bytes),
        );
        self.drop_up(at, up);
        self.drop_down(at, down);
        self.end(at, chooser);
    }

    fn stall(&mut self, chooser: &mut dyn Chooser) {
        let Some(at) = self.some_link(FaultKind::Stall, chooser) else {
            return;
        };
        let (who, connection) = (self.links[at].who, self.links[at].number);
        let what = Label::new(Kind::Stall, who.host, who.actor, connection);
        let until_ns = self.outage(what, chooser);
        self.links[at].stalled_until = until_ns;
        self.happenings.push(Happening::Stalled {
            who,
            connection,
            until_ns,
        });
    }

    fn partition(&mut self, chooser: &mut dyn Chooser) {
        let fit = |w: &Self, h: usize| w.hosts[h].partitioned.is_none();
        let Some(what) = self.some_host(FaultKind::Partition, fit, chooser) else {
            return;
        };
        let (host, until_ns) = (what.host, self.outage(what, chooser));
        self.hosts[usize::from(host)].partitioned = Some(until_ns);
        self.happenings
            .push(Happening::Partitioned { host, until_ns });
    }

    fn refuse(&mut self, chooser: &mut dyn Chooser) {
        let fit = |w: &Self, h: usize| w.hosts[h].refused_until <= w.now;
        let Some(what) = self.some_host(FaultKind::Refuse, fit, chooser) else {
            return;
        };
        let (host, until_ns) = (what.host, self.outage(what, chooser));
        self.hosts[usize::from(host)].refused_until = until_ns;
        self.happenings.push(Happening::Refusing { host, until_ns });
    }

    fn pause(&mut self, chooser: &mut dyn Chooser) {
        let fit = |w: &Self, h: usize| w.hosts[h].paused.is_none() && w.hosts[h].crashed.is_none();
        let Some(what) = self.some_host(FaultKind::Pause, fit, chooser) else {
            return;
        };
        let (host, until_ns) = (what.host, self.outage(what, chooser));
        self.hosts[usize::from(host)].paused = Some(until_ns);
        self.happenings.push(Happening::Paused { host, until_ns });
    }

    /// The process dies; its kernel closes its connections. Of what each had
    /// in flight to the server, any prefix may still arrive.
    fn crash(&mut self, chooser: &mut dyn Chooser) {
        let fit = |w: &Self, h: usize| w.hosts[h].crashed.is_none();
        let Some(what) = self.some_host(FaultKind::Crash, fit, chooser) else {
            return;
        };
        let (host, until_ns) = (what.host, self.outage(what, chooser));
        self.happenings.push(Happening::Crashed { host, until_ns });
        let dead = &mut self.hosts[usize::from(host)];
        dead.crashed = Some(until_ns);
        dead.paused = None;
        for actor in &mut dead.actors {
            (actor.commands, actor.messages) = (None, None);
            (actor.channel, actor.subscribed) = (None, false);
        }
        self.inbox.retain(|(who, _)| who.host != host);
        for at in 0..self.links.len() {
            if self.links[at].who.host == host && self.links[at].client_open {
                if self.links[at].phase == Phase::Open {
                    let link = &self.links[at];
                    let cut = Label::new(Kind::Cut, host, link.who.actor, link.number);
                    let bytes = arriving(link.up_bytes(), cut, chooser);
                    let kept = self.links[at].up_kept(bytes);
                    self.drop_up(at, kept);
                }
                self.leave(at, chooser);
            }
        }
    }

    fn step_clock(&mut self, chooser: &mut dyn Chooser) {
        let Some(what) = self.some_host(FaultKind::ClockStep, |_, _| true, chooser) else {
            return;
        };
        let by_ns = either_way(self.faults.step_ns_max, what, chooser);
        self.hosts[usize::from(what.host)].clock.step(by_ns);
        let host = what.host;
        self.happenings
            .push(Happening::ClockStepped { host, by_ns });
    }

    fn step_server_clock(&mut self, chooser: &mut dyn Chooser) {
        let what = self.fault_label(Kind::ServerClockStep);
        let by_us = either_way(self.faults.server_step_us_max, what, chooser);
        self.server_step_us = self.server_step_us.saturating_add(by_us);
        self.reschedule_server();
        self.happenings
            .push(Happening::ServerClockStepped { by_us });
    }

    /// The server goes down: what it has not executed is lost, what it has
    /// answered still arrives, and then all connections end.
    fn stop_server(&mut self, kind: FaultKind, chooser: &mut dyn Chooser) {
        if !self.server_up {
            return;
        }
        let what = self.fault_label(kind.decision());
        let until_ns = self.outage(what, chooser);
        let lost = match kind {
            FaultKind::ServerFailover => {
                let (replica, lost) = self.replica(what, chooser);
                (self.server, self.disk) = (replica, Disk::default());
                lost
            }
            FaultKind::ServerWipe => {
                self.disk = Disk::default();
                EVERYTHING
            }
            _ => self.recover(kind, what, chooser),
        };
        self.behind.clear();
        self.former = None;
        self.happenings.push(Happening::ServerStopped {
            kind,
            lost,
            until_ns,
        });
        self.server_up = false;
        self.server_up_at = until_ns;
        self.server_free_at = 0;
        for at in 0..self.links.len() {
            if self.links[at].server_open {
                self.server.disconnect(self.links[at].session);
                self.close(at, chooser);
            }
        }
        self.server.restart(lost != EVERYTHING);
        self.reschedule_server();
    }

    /// A replica that lacks some of the last writes, and how many it lacks.
    pub(super) fn replica(&self, what: Label, chooser: &mut dyn Chooser) -> (S, u32) {
        let what = lost_writes(what);
        let lost = chooser.draw(what, self.behind.len() as u64 + 1) as usize;
        let replica = self.behind.iter().rev().nth(lost.wrapping_sub(1));
        (replica.unwrap_or(&self.server).clone(), lost as u32)
    }

    /// The server's end of a connection is gone, with what it has not executed.
    pub(super) fn close(&mut self, at: usize, chooser: &mut dyn Chooser) {
        self.links[at].turn = None;
        self.links[at].parked = None;
        self.drop_up(at, 0);
        self.end(at, chooser);
        self.links[at].up.clear();
        self.links[at].server_open = false;
        self.collect(at);
    }

    fn refuse_commands(&mut self, chooser: &mut dyn Chooser) {
        if !self.server_up || self.refusing.is_some_and(|(_, until)| self.now < until) {
            return;
        }
        let what = self.fault_label(Kind::ServerErrors);
        let which = chooser.draw(what, Refusal::ALL.len() as u64) as usize;
        let (refusal, until_ns) = (Refusal::ALL[which], self.outage(what, chooser));
        self.refusing = Some((refusal, until_ns));
        self.happenings
            .push(Happening::ServerRefuses { refusal, until_ns });
    }

    /// Which key goes is the server's choice, by the policy that it has, among
    /// a few taken at random. So it may be any that the policy lets go.
    fn evict(&mut self, chooser: &mut dyn Chooser) {
        let keys = self.server.evictable(self.server_time_us());
        if !self.server_up || keys.is_empty() {
            return;
        }
        let what = self.fault_label(Kind::Eviction);
        let which = chooser.draw(what, keys.len() as u64) as usize;
        self.server.evict(&keys[which]);
        let key = keys[which].clone();
        self.happenings.push(Happening::Evicted { key });
    }

    /// The server is up again, and loads for a while.
    pub(super) fn start_server(&mut self, chooser: &mut dyn Chooser) {
        let what = Label::new(Kind::ServerStart, Label::SERVER, 0, self.stops());
        let loading = magnitude(self.faults.loading_ns_max, what, chooser);
        self.server_up = true;
        if matches!(self.faults.persistence, Persistence::Rdb { .. }) {
            self.server.load_snapshot(self.server_time_us());
        }
        self.loading_until = self.now.saturating_add(loading);
        let loading_until_ns = self.loading_until;
        self.happenings
            .push(Happening::ServerStarted { loading_until_ns });
        self.reschedule();
    }

    /// A crashed process starts again.
    pub(super) fn restart(&mut self, host: usize, chooser: &mut dyn Chooser) {
        self.hosts[host].crashed = None;
        let now = self.local_time(host as u16);
        self.happenings
            .push(Happening::Restarted { host: host as u16 });
        self.hosts[host].program.restart(now);
        self.drain(host, chooser);
        self.reschedule();
    }

    /// A paused process goes on.
    pub(super) fn resume(&mut self, host: usize) {
        self.hosts[host].paused = None;
        self.happenings
            .push(Happening::Resumed { host: host as u16 });
        self.reschedule();
    }

    /// A partition ends.
    pub(super) fn mend(&mut self, host: usize) {
        self.hosts[host].partitioned = None;
        self.happenings
            .push(Happening::Mended { host: host as u16 });
        self.reschedule();
    }

    /// The time of faults is over: everything that is still wrong ends now.
    /// What clocks show stays as it is.
    pub(super) fn heal(&mut self, chooser: &mut dyn Chooser) {
        self.healed = true;
        self.next_fault = NEVER;
        self.happenings.push(Happening::Healed);
        if !self.server_up {
            self.start_server(chooser);
        }
        self.end_split(NEVER, chooser);
        self.loading_until = 0;
        self.refusing = None;
        self.behind.clear();
        self.disk = Disk::default();
        for link in &mut self.links {
            link.stalled_until = 0;
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].refused_until = 0;
            if self.hosts[host].partitioned.is_some() {
                self.mend(host);
            }
            if self.hosts[host].crashed.is_some() {
                self.restart(host, chooser);
            }
            if self.hosts[host].paused.is_some() {
                self.resume(host);
            }
        }
        self.reschedule();
    }

    /// Both ends of a connection will learn that it has ended.
    fn end(&mut self, at: usize, chooser: &mut dyn Chooser) {
        let who = self.links[at].who;
        self.links[at].phase = Phase::Dead;
        let to_server = self.after(self.now, who, |d| d.up, chooser);
        let to_client = self.after(self.now, who, |d| d.down, chooser);
        self.links[at].push_up(to_server, Up::Fin);
        if self.links[at].client_open {
            self.links[at].push_down(to_client, Down::Fin);
        }
        self.reschedule_link(at);
    }

    /// One of the connections that carry bytes.
    fn some_link(&self, kind: FaultKind, chooser: &mut dyn Chooser) -> Option<usize> {
        let fit: Vec<usize> = (0..self.links.len())
            .filter(|at| self.links[*at].phase == Phase::Open)
            .collect();
        let label = |at: &usize| {
            let link = &self.links[*at];
            Label::new(kind.decision(), link.who.host, link.who.actor, link.number)
        };
        let options: Vec<Label> = fit.iter().map(label).collect();
        one_of(&options, chooser).map(|i| fit[i])
    }

    /// One of the hosts that fit, as the label of what happens to it.
    fn some_host(
        &self,
        kind: FaultKind,
        fit: impl Fn(&Self, usize) -> bool,
        chooser: &mut dyn Chooser,
    ) -> Option<Label> {
        let options: Vec<Label> = (0..self.hosts.len())
            .filter(|h| fit(self, *h))
            .map(|h| Label::new(kind.decision(), h as u16, 0, self.fired[kind]))
            .collect();
        one_of(&options, chooser).map(|i| options[i])
    }

    /// When an outage that begins now will end.
    pub(super) fn outage(&self, what: Label, chooser: &mut dyn Chooser) -> u64 {
        self.now
            .saturating_add(magnitude(self.faults.outage_ns_max, what, chooser).max(1))
    }
}

fn one_of(options: &[Label], chooser: &mut dyn Chooser) -> Option<usize> {
    match options.len() {
        0 => None,
        1 => Some(0),
        _ => Some(chooser.pick(options)),
    }
}

/// How many writes a fault loses is a question of its own, beside how long it
/// lasts: a search answers it in every way.
pub(super) const fn lost_writes(fault: Label) -> Label {
    Label {
        kind: Kind::Replicate,
        ..fault
    }
}

/// How many of the bytes in flight still arrive: any number of them.
fn arriving(in_flight: u64, what: Label, chooser: &mut dyn Chooser) -> u64 {
    if in_flight == 0 {
        return 0;
    }
    chooser.draw(what, in_flight + 1)
}

/// A number up to `max` whose order of magnitude is drawn first, so that
/// short outages are as likely as long ones; a thousandth of `max` at least.
fn magnitude(max: u64, what: Label, chooser: &mut dyn Chooser) -> u64 {
    if max == 0 {
        return 0;
    }
    let top = (max >> chooser.draw(what, 10)).max(1);
    top - chooser.draw(what, top / 2 + 1)
}

/// A number of that magnitude, forwards or backwards.
fn either_way(max: u64, what: Label, chooser: &mut dyn Chooser) -> i64 {
    let by = i64::try_from(magnitude(max, what, chooser)).unwrap_or(i64::MAX);
    match chooser.draw(what, 2) {
        0 => by,
        _ => -by,
    }
}
