//! When two worlds are the same for all that can follow.
//!
//! [`World::state_digest`](super::World::state_digest) tells worlds apart that
//! no observer can: by what o'clock it is, by the numbers of connections, by
//! which of several equal clients did what. A search that did would never end.
//! Here times are relative to now (and what is past is past), counters and
//! statistics are left out, fencing numbers count by their order
//! ([`Reading`]), and hosts that know themselves by a name ([`Program::names`])
//! may be interchangeable.
//!
//! **Symmetry.** Hosts are put in an order that depends on their state and on
//! what the server has under their names, not on their numbers; then everything
//! is hashed with their names replaced by their places in that order. Two hosts
//! in equal states may come out in either order: then two worlds that are the
//! same are taken for two, which costs time and never truth.
//!
//! **Sharing.** What a host or a link looks like by itself is remembered with it
//! ([`Shared`](super::shared::Shared)), with its fencing numbers beside it: their
//! ranks depend on all the others.

use core::hash::{Hash, Hasher};

use sluice_core::client::Likeness;
use sluice_core::redis::Bytes;

use super::agenda::NEVER;
use super::explore::Event;
use super::fault::FaultKind;
use super::link::{Down, Link, Phase, Up};
use super::reading::{Ranks, Reading, When};
use super::setup::Program;
use super::shared::{Fences, Known, Shared};
use super::{Host, Source, World};
use crate::digest::Digest;
use crate::store::{Names, SessionId, Store};

/// What stands for a name in a hash.
const SELF: u64 = 0x51f0_0000_0000_0001;
const OTHER: u64 = 0x51f0_0000_0000_0002;
const PLACE: u64 = 0x51f0_0000_0000_0100;

/// What a state is known by.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// Equal for states from which the same can follow, and for no others, but
    /// for collisions of 64 bits.
    pub identity: u64,
    /// The hosts in the order in which they were looked at: what is at the same
    /// place in two states of equal identity corresponds.
    order: Vec<u16>,
}

/// How states are looked at.
struct Look<'a, R> {
    names: &'a [(Bytes, u16)],
    when: When,
    reading: &'a R,
}

/// A host in the order of hosts.
struct Placed {
    key: u64,
    host: u16,
    /// It or one of its links mentions another host.
    others: bool,
}

impl<P: Program, S: Store> World<P, S> {
    /// Recognises the state for all that can follow; see the module. With
    /// `symmetric`, hosts with names are interchangeable; `frozen` says that no
    /// time will pass any more and no clock will step. O(state) at first, and
    /// O(hosts and links) plus what has changed for a fork.
    #[must_use]
    pub fn recognise(
        &self,
        symmetric: bool,
        frozen: bool,
        reading: &impl Reading<S>,
    ) -> Recognised {
        let names: &[(Bytes, u16)] = if symmetric { &self.names } else { &[] };
        let now_us = self.server_time_us();
        let look = &Look {
            names,
            when: When {
                now_us,
                elapsed_ns: self.now,
                frozen,
            },
            reading,
        };
        let when = &look.when;
        let links = self.links_in_order();
        let mut ranks = Ranks::default();
        let last = reading.fences(&self.server, when, &mut |n| ranks.note(n));
        for host in 0..self.hosts.len() {
            let known = self.known_host(host as u16, look, None);
            known.fences.iter().for_each(|n| ranks.note(*n));
        }
        for at in &links {
            let known = self.known_link(*at, look, None);
            known.fences.iter().for_each(|n| ranks.note(*n));
        }
        ranks.set_last(last);

        let mut hosts: Vec<Placed> = (0..self.hosts.len() as u16)
            .map(|host| {
                let (mut key, others) = self.local(host, &links, look, None, &ranks);
                for (name, _) in names.iter().filter(|(_, h)| *h == host) {
                    let marks = reading.marks(&self.server, when, name, &ranks);
                    key = Digest::of(&(key, marks));
                }
                Placed { key, host, others }
            })
            .collect();
        if !names.is_empty() {
            hosts.sort_unstable_by_key(|placed| (placed.key, placed.host));
        }
        let places = Places {
            names,
            hosts: &hosts,
            links: &self.links,
        };
        let mut state = Digest::default();
        for placed in &hosts {
            placed.key.hash(&mut state);
            if placed.others {
                let by_place = Some(&places);
                self.local(placed.host, &links, look, by_place, &ranks)
                    .0
                    .hash(&mut state);
            }
        }
        reading
            .server(&self.server, when, &places, &ranks)
            .hash(&mut state);
        self.server_up.hash(&mut state);
        for at in [self.server_up_at, self.loading_until, self.server_free_at] {
            self.ahead(at).hash(&mut state);
        }
        // How far the next millisecond and microsecond are.
        (now_us % 1_000, self.now % 1_000).hash(&mut state);
        self.healed.hash(&mut state);
        let refusing = self.refusing.map(|(refusal, at)| (refusal, self.ahead(at)));
        refusing.hash(&mut state);
        if let Some((former, until)) = self.former.as_deref() {
            (
                former.identity(now_us, &places),
                until - self.now.min(*until),
            )
                .hash(&mut state);
        }
        for behind in &self.behind {
            behind.identity(now_us, &places).hash(&mut state);
        }
        if !self.behind.is_empty() {
            // What each would be told that asks for its last write.
            for at in &links {
                self.writes_since(*at).hash(&mut state);
            }
        }
        for (at, gap, server) in self.disk.copies() {
            (self.now - at, server.identity(now_us, &places)).hash(&mut state);
            gap.iter().for_each(|gap| gap.hash(&mut state));
        }
        self.inbox.hash(&mut state);
        Recognised {
            identity: state.finish(),
            order: hosts.into_iter().map(|placed| placed.host).collect(),
        }
    }

    /// The bit of an event on a host or one of its links, the same for events
    /// that correspond in states of equal identity: it goes by the host's place
    /// and the link's rank. 0, if there are too many of them for a word.
    pub(crate) fn mark(&self, event: &Event, of: &Recognised) -> u64 {
        let rank = |at: usize| {
            let who = |link: &Link| (link.who.actor, link.role, link.number);
            let link = &self.links[at];
            let older = |l: &&Shared<Link>| {
                l.who.host == link.who.host && l.phase != Phase::Free && who(l) < who(link)
            };
            self.links.iter().filter(older).count()
        };
        let (host, bit) = match self.source(event.source) {
            Source::Timer(host) => (host as u16, 0),
            Source::Up(at) => (self.links[at].who.host, 1 + 2 * rank(at)),
            Source::Down(at) => (self.links[at].who.host, 2 + 2 * rank(at)),
            Source::Heal
            | Source::Fault
            | Source::Server
            | Source::Process(_)
            | Source::Mend(_) => return 0,
        };
        let place = of.order.iter().position(|h| *h == host);
        match place {
            Some(place @ 0..9) if bit < 7 => 1 << (7 * place + bit),
            Some(_) | None => 0,
        }
    }

    fn ahead(&self, at: u64) -> u64 {
        match at {
            NEVER => NEVER,
            at => at.saturating_sub(self.now),
        }
    }

    /// Links in use, by host, and for each older ones first.
    fn links_in_order(&self) -> Vec<usize> {
        let used = |at: &usize| self.links[*at].phase != Phase::Free;
        let mut links: Vec<usize> = (0..self.links.len()).filter(used).collect();
        links.sort_unstable_by_key(|at| {
            let link = &self.links[*at];
            (link.who.host, link.who.actor, link.role, link.number)
        });
        links
    }

    /// A host with its links: by its own name as `SELF` and all others alike,
    /// or (with `places`) all by place. Also whether it mentions others.
    fn local(
        &self,
        host: u16,
        links: &[usize],
        look: &Look<'_, impl Reading<S>>,
        places: Option<&Places<'_>>,
        ranks: &Ranks,
    ) -> (u64, bool) {
        let mut state = Digest::default();
        let mut others = false;
        let mut add = |known: Known| {
            known.identity.hash(&mut state);
            for fence in known.fences.iter() {
                ranks.of(*fence).hash(&mut state);
            }
            others |= known.others;
        };
        add(self.known_host(host, look, places));
        for at in links.iter().filter(|at| self.links[**at].who.host == host) {
            add(self.known_link(*at, look, places));
        }
        (state.finish(), others)
    }

    /// Remembered as long as nothing changes but places.
    fn known_host(
        &self,
        host: u16,
        look: &Look<'_, impl Reading<S>>,
        places: Option<&Places<'_>>,
    ) -> Known {
        let compute = |h: &Host<P>| {
            let mut state = self.renaming(host, look, places);
            // Who is dead and never comes back is nobody.
            if h.crashed.is_none() || !look.when.frozen {
                h.program.identity(h.clock.local(self.now), &mut state);
            }
            h.clock.drift().hash(&mut state);
            for actor in &h.actors {
                (&actor.channel, actor.subscribed).hash(&mut state);
            }
            for at in [h.crashed, h.paused, h.partitioned] {
                at.map(|at| self.ahead(at)).hash(&mut state);
            }
            self.ahead(h.refused_until).hash(&mut state);
            state.known()
        };
        match places {
            Some(_) => compute(&self.hosts[usize::from(host)]),
            None => {
                let key = self.circumstances(look);
                self.hosts[usize::from(host)].known(key, compute)
            }
        }
    }

    fn known_link(
        &self,
        at: usize,
        look: &Look<'_, impl Reading<S>>,
        places: Option<&Places<'_>>,
    ) -> Known {
        let compute = |link: &Link| {
            let mut state = self.renaming(link.who.host, look, places);
            self.hash_link(link, look.reading, &mut state);
            state.known()
        };
        match places {
            Some(_) => compute(&self.links[at]),
            None => {
                let key = self.circumstances(look);
                self.links[at].known(key, compute)
            }
        }
    }

    fn hash_link(&self, link: &Link, reading: &impl Reading<S>, state: &mut Renaming<'_>) {
        (
            link.who.actor,
            link.role,
            link.client_open,
            link.server_open,
            link.former,
        )
            .hash(state);
        match link.phase {
            Phase::Connecting { at } => (1u8, self.ahead(at)).hash(state),
            Phase::Open => 2u8.hash(state),
            Phase::Dead => 3u8.hash(state),
            Phase::Free => 4u8.hash(state),
        }
        self.ahead(link.stalled_until).hash(state);
        link.turn
            .map(|turn| (self.ahead(turn.start), turn.service))
            .hash(state);
        if let Some((ticket, command)) = &link.parked {
            (ticket.request, command).hash(state);
        }
        for frame in &link.up {
            self.ahead(frame.at).hash(state);
            match &frame.body {
                Up::Command { ticket, command } => {
                    ticket.request.hash(state);
                    reading.command(command, state);
                }
                Up::Fin => 1u8.hash(state),
            }
        }
        0xffu8.hash(state);
        for frame in &link.down {
            self.ahead(frame.at).hash(state);
            match &frame.body {
                Down::Reply { ticket, reply } => {
                    ticket.request.hash(state);
                    reading.reply(reply, state);
                }
                Down::Push { reply, .. } => (1u8, reply).hash(state),
                Down::Fin => 2u8.hash(state),
            }
        }
        0xffu8.hash(state);
        for ticket in &link.pending {
            ticket.request.hash(state);
        }
    }

    /// What the looks of a part depend on besides the part.
    fn circumstances<R>(&self, look: &Look<'_, R>) -> u64 {
        let symmetric = u64::from(!look.names.is_empty());
        self.now ^ (symmetric << 63) ^ (u64::from(look.when.frozen) << 62)
    }

    fn renaming<'a, R>(
        &self,
        host: u16,
        look: &Look<'a, R>,
        places: Option<&'a Places<'a>>,
    ) -> Renaming<'a> {
        Renaming {
            inner: Digest::default(),
            host,
            names: look.names,
            places,
            others: false,
            fences: Fences::default(),
            clocks_step: self.faults.weights[FaultKind::ClockStep] > 0,
            when: look.when,
        }
    }
}

/// Names by place in the order of hosts.
struct Places<'a> {
    names: &'a [(Bytes, u16)],
    hosts: &'a [Placed],
    links: &'a [Shared<Link>],
}

impl Places<'_> {
    fn of(&self, host: u16) -> Option<usize> {
        self.hosts.iter().position(|placed| placed.host == host)
    }
}

impl Names for Places<'_> {
    fn name(&self, bytes: &[u8]) -> Option<u64> {
        let (_, host) = self.names.iter().find(|(name, _)| **name == *bytes)?;
        Some(PLACE + self.of(*host)? as u64)
    }

    fn session(&self, session: SessionId) -> u64 {
        let at = (session.0 & u64::from(u32::MAX)) as usize;
        let link = self.links.get(at).filter(|link| link.session == session);
        let Some(link) = link else { return 0 };
        let place = self.of(link.who.host).map_or(0, |place| place as u64 + 1);
        Digest::of(&(place, link.who.actor, link.role))
    }
}

/// A hasher that does not see names, but whose they are, and that puts fencing
/// numbers aside.
struct Renaming<'a> {
    inner: Digest,
    host: u16,
    names: &'a [(Bytes, u16)],
    places: Option<&'a Places<'a>>,
    others: bool,
    fences: Fences,
    clocks_step: bool,
    when: When,
}

impl Renaming<'_> {
    fn known(&self) -> Known {
        Known {
            identity: self.inner.finish(),
            others: self.others,
            fences: self.fences,
        }
    }
}

impl Likeness for Renaming<'_> {
    fn fence(&mut self, fence: u64) {
        if !self.fences.add(fence) {
            self.inner.write_u64(fence); // one too many: as it is
        }
    }

    fn figure(&mut self, _: u64) {}

    fn deadline(&mut self, ahead_ns: u64) {
        let ahead_ns = match ahead_ns {
            1.. if self.when.frozen => u64::MAX,
            ns => ns,
        };
        self.inner.write_u64(ahead_ns);
    }

    fn span(&mut self, ns: u64, least_ns: u64) {
        // Longer than all that is past: nothing comes of it.
        let over = self.when.frozen && least_ns > self.when.elapsed_ns;
        self.inner.write_u64(if over { u64::MAX } else { ns });
    }

    fn age(&mut self, ns: u64) {
        if self.clocks_step {
            self.inner.write_u64(ns);
        }
    }
}

impl Hasher for Renaming<'_> {
    fn finish(&self) -> u64 {
        self.inner.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        let found = self.names.iter().find(|(name, _)| **name == *bytes);
        let Some((_, host)) = found else {
            return self.inner.write(bytes);
        };
        let own = *host == self.host;
        self.others |= !own;
        let code = match self.places {
            Some(places) => places.name(bytes).unwrap_or(OTHER),
            None if own => SELF,
            None => OTHER,
        };
        // As long as its length is the same for all names, nothing else of it
        // is seen.
        self.inner.write_u64(code);
    }

    fn write_u8(&mut self, n: u8) {
        self.inner.write_u8(n);
    }

    fn write_u16(&mut self, n: u16) {
        self.inner.write_u16(n);
    }

    fn write_u32(&mut self, n: u32) {
        self.inner.write_u32(n);
    }

    fn write_u64(&mut self, n: u64) {
        self.inner.write_u64(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.inner.write_usize(n);
    }
}
