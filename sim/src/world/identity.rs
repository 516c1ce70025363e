//! When two worlds are the same for all that can follow.
//!
//! [`World::state_digest`](super::World::state_digest) tells worlds apart that
//! no observer can: by what o'clock it is, by the numbers of connections, by
//! which of several equal clients did what. A search that did would never end.
//! Here times are relative to now (and what is past is past), counters and
//! statistics are left out, and hosts that know themselves by a name
//! ([`Program::names`]) may be interchangeable.
//!
//! **Symmetry.** Hosts are put in an order that depends on their state and on
//! what the server has under their names, not on their numbers; then everything
//! is hashed with their names replaced by their places in that order. Two hosts
//! in equal states may come out in either order: then two worlds that are the
//! same are taken for two, which costs time and never truth.
//!
//! A world in which a script has run also has the server's absolute time in its
//! identity: the script may have stored it.

use core::hash::{Hash, Hasher};

use sluice_core::redis::Bytes;

use super::agenda::NEVER;
use super::link::{Down, Link, Phase, Up};
use super::setup::Program;
use super::shared::Known;
use super::{Host, World};
use crate::digest::Digest;
use crate::store::{Names, SessionId, Store};

/// What stands for a name in a hash.
const SELF: u64 = 0x51f0_0000_0000_0001;
const OTHER: u64 = 0x51f0_0000_0000_0002;
const PLACE: u64 = 0x51f0_0000_0000_0100;

impl<P: Program, S: Store> World<P, S> {
    /// Identity of the state for all that can follow; see the module. With
    /// `symmetric`, hosts with names are interchangeable. O(state) at first,
    /// and O(hosts) plus what has changed for a fork.
    #[must_use]
    pub fn identity(&self, symmetric: bool) -> u64 {
        let names: &[(Bytes, u16)] = if symmetric { &self.names } else { &[] };
        let now_us = self.server_time_us();
        let mut hosts: Vec<(u64, u16, u64)> = (0..self.hosts.len() as u16)
            .map(|host| {
                let local = self.local(host, names, None);
                let marks = names.iter().filter(|(_, h)| *h == host);
                let marks = marks.fold(0u64, |sum, (name, _)| {
                    sum.wrapping_add(self.server.marks(now_us, name))
                });
                (Digest::of(&(local, marks)), host, local)
            })
            .collect();
        if symmetric && !names.is_empty() {
            hosts.sort_unstable();
        }
        let places = Places {
            names,
            place_of: &|host| hosts.iter().position(|(_, h, _)| *h == host),
            links: &self.links,
        };
        let mut state = Digest::default();
        for (_, host, local) in &hosts {
            if self.mentions_others(*host, names) {
                self.local(*host, names, Some(&places)).hash(&mut state);
            } else {
                local.hash(&mut state);
            }
        }
        self.server.identity(now_us, &places).hash(&mut state);
        self.server_up.hash(&mut state);
        for at in [self.server_up_at, self.loading_until, self.server_free_at] {
            self.ahead(at).hash(&mut state);
        }
        self.healed.hash(&mut state);
        self.inbox.hash(&mut state);
        state.finish()
    }

    fn ahead(&self, at: u64) -> u64 {
        match at {
            NEVER => NEVER,
            at => at.saturating_sub(self.now),
        }
    }

    /// A host with its links: by its own name as `SELF` and all others alike,
    /// or (with `places`) all by place.
    fn local(&self, host: u16, names: &[(Bytes, u16)], places: Option<&Places<'_>>) -> u64 {
        let mut state = Digest::default();
        self.known_host(host, names, places)
            .identity
            .hash(&mut state);
        // A few links each; older ones first.
        let mut links: Vec<usize> = (0..self.links.len())
            .filter(|at| self.links[*at].who.host == host && self.links[*at].phase != Phase::Free)
            .collect();
        let links_key = |at: &usize| {
            let link = &self.links[*at];
            (link.who.actor, link.role, link.number)
        };
        links.sort_unstable_by_key(links_key);
        for at in links {
            self.known_link(at, names, places).identity.hash(&mut state);
        }
        state.finish()
    }

    fn mentions_others(&self, host: u16, names: &[(Bytes, u16)]) -> bool {
        self.known_host(host, names, None).others
            || (0..self.links.len()).any(|at| {
                self.links[at].who.host == host
                    && self.links[at].phase != Phase::Free
                    && self.known_link(at, names, None).others
            })
    }

    /// Remembered as long as nothing changes but places.
    fn known_host(&self, host: u16, names: &[(Bytes, u16)], places: Option<&Places<'_>>) -> Known {
        let compute = |h: &Host<P>| {
            let mut state = Renaming::new(host, names, places);
            let local = h.clock.local(self.now);
            h.program.identity(local, &mut state);
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
                let key = self.now ^ (u64::from(!names.is_empty()) << 63);
                self.hosts[usize::from(host)].known(key, compute)
            }
        }
    }

    fn known_link(&self, at: usize, names: &[(Bytes, u16)], places: Option<&Places<'_>>) -> Known {
        let compute = |link: &Link| {
            let mut state = Renaming::new(link.who.host, names, places);
            self.hash_link(link, &mut state);
            state.known()
        };
        match places {
            Some(_) => compute(&self.links[at]),
            None => {
                let key = self.now ^ (u64::from(!names.is_empty()) << 63);
                self.links[at].known(key, compute)
            }
        }
    }

    fn hash_link(&self, link: &Link, state: &mut Renaming<'_>) {
        (
            link.who.actor,
            link.role,
            link.client_open,
            link.server_open,
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
        for frame in &link.up {
            self.ahead(frame.at).hash(state);
            match &frame.body {
                Up::Command { ticket, command } => (ticket.request, command).hash(state),
                Up::Fin => 1u8.hash(state),
            }
        }
        0xffu8.hash(state);
        for frame in &link.down {
            self.ahead(frame.at).hash(state);
            match &frame.body {
                Down::Reply { ticket, reply } => (ticket.request, reply).hash(state),
                Down::Push { reply, .. } => (1u8, reply).hash(state),
                Down::Fin => 2u8.hash(state),
            }
        }
        0xffu8.hash(state);
        for ticket in &link.pending {
            ticket.request.hash(state);
        }
    }
}

/// Names by place in the order of hosts.
struct Places<'a> {
    names: &'a [(Bytes, u16)],
    place_of: &'a dyn Fn(u16) -> Option<usize>,
    links: &'a [super::shared::Shared<Link>],
}

impl Names for Places<'_> {
    fn name(&self, bytes: &[u8]) -> Option<u64> {
        let (_, host) = self.names.iter().find(|(name, _)| **name == *bytes)?;
        Some(PLACE + (self.place_of)(*host)? as u64)
    }

    fn session(&self, session: SessionId) -> u64 {
        let at = (session.0 & u64::from(u32::MAX)) as usize;
        let link = self.links.get(at).filter(|link| link.session == session);
        let Some(link) = link else { return 0 };
        let place = (self.place_of)(link.who.host).map_or(0, |place| place as u64 + 1);
        Digest::of(&(place, link.who.actor, link.role))
    }
}

/// A hasher that does not see names, but whose they are.
struct Renaming<'a> {
    inner: Digest,
    host: u16,
    names: &'a [(Bytes, u16)],
    places: Option<&'a Places<'a>>,
    others: bool,
}

impl<'a> Renaming<'a> {
    fn new(host: u16, names: &'a [(Bytes, u16)], places: Option<&'a Places<'a>>) -> Self {
        Self {
            inner: Digest::default(),
            host,
            names,
            places,
            others: false,
        }
    }

    fn known(&self) -> Known {
        Known {
            identity: self.inner.finish(),
            others: self.others,
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
