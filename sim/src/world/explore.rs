//! What a search needs of a world: everything that may be next, and to take it.
//!
//! [`World::step`](super::World::step) asks a chooser which event is next; who
//! explores all of them lists them, forks the world, and takes each. The digest of
//! what has happened is not kept on such a path: the identity of states is.

use sluice_core::client::Conn;

use super::agenda::NEVER;
use super::fault::FaultKind;
use super::happening::Happening;
use super::link::{Phase, Up};
use super::setup::Program;
use super::{Source, World};
use crate::choice::{Chooser, Label, Touch};
use crate::store::Store;

/// Something that may be next.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// What it is.
    pub label: Label,
    /// What it touches.
    pub touch: Touch,
    /// Time passes before it happens.
    pub leaps: bool,
    /// The server learns by it that a connection has ended.
    pub farewell: Farewell,
    pub(super) source: usize,
}

/// Whether an event is the server's learning of a connection's end, and who can
/// tell when it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It is not.
    No,
    /// Of a connection for messages that its client has left: who publishes is
    /// told how many listen.
    Heard,
    /// Nobody can.
    Unheard,
}

impl<P: Program, S: Store> World<P, S> {
    /// Everything that may be next in adversarial running, faults apart, in the
    /// order in which a chooser is asked.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let enabled = self.may_be_next();
        let event = |source: usize| {
            let at = self.source(source);
            Event {
                label: self.label(at),
                touch: self.touch(at),
                leaps: self.agenda.get(source) > self.now,
                farewell: self.farewell(at),
                source,
            }
        };
        enabled.iter().map(event).collect()
    }

    fn farewell(&self, source: Source) -> Farewell {
        let Source::Up(at) = source else {
            return Farewell::No;
        };
        let link = &self.links[at];
        match (link.up.first().map(|f| &f.body), link.role) {
            (Some(Up::Fin), Conn::Commands) => Farewell::Unheard,
            (Some(Up::Fin), Conn::Messages) if !link.client_open => Farewell::Heard,
            _ => Farewell::No,
        }
    }

    /// Lets one of [`World::events`] happen. Returns what did: nothing, if it
    /// has no visible effect.
    pub fn advance(
        &mut self,
        event: &Event,
        engine: &S::Engine,
        chooser: &mut dyn Chooser,
    ) -> &[Happening] {
        debug_assert_ne!(self.agenda.get(event.source), NEVER, "not enabled");
        self.happenings.clear();
        self.settle(chooser);
        self.now = self.now.max(self.agenda.get(event.source));
        self.happen(self.source(event.source), engine, chooser);
        self.settle(chooser);
        self.steps += 1;
        &self.happenings
    }

    /// Lets a fault strike, if any may. Returns what it did: nothing, if there
    /// was nothing for it to strike.
    pub fn suffer(&mut self, kind: FaultKind, chooser: &mut dyn Chooser) -> &[Happening] {
        self.happenings.clear();
        if self.may_fault() {
            self.settle(chooser);
            self.fire(kind, chooser);
            self.settle(chooser);
        }
        self.steps += 1;
        &self.happenings
    }

    /// Whether all that can ever arrive at a host without time or faults comes
    /// in one order: it has one connection, no subscription, and no timer due.
    /// Then its next event commutes with all that happens elsewhere.
    #[must_use]
    pub fn hears_one_thing(&self, host: u16) -> bool {
        let links = self.links.iter().filter(|l| {
            l.who.host == host && l.phase != Phase::Free && (l.client_open || !l.down.is_empty())
        });
        let timer = self.agenda.get(self.index(Source::Timer(host.into()))) <= self.now;
        let subscribes = self.hosts[usize::from(host)]
            .actors
            .iter()
            .any(|a| a.channel.is_some());
        !subscribes && links.count() + usize::from(timer) == 1
    }

    /// Which kinds of faults this world knows.
    pub fn alphabet(&self) -> impl Iterator<Item = FaultKind> + '_ {
        let weights = self.faults.weights.iter();
        weights.filter(|(_, n)| *n > 0).map(|(kind, _)| kind)
    }
}
