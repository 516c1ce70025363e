//! How a search reads the store and the traffic of the real gate: what
//! `ARCHITECTURE.md`, "The scripts' interface", says of its keys, in the terms of
//! what counts.
//!
//! * Order keys count by their order: the next ticket is behind all others,
//!   as long as no class has a boost.
//! * Fencing numbers are ranked with those that clients have ([`Ranks`]).
//! * Points in time are relative to now. When somebody joined counts only with
//!   a wait timeout, and when it was heard of only with presence.
//! * Statistics and the flow are left out, in the store and in replies: no
//!   script decides by them.
//!
//! All of this is true of the scripts as they are. A patched one may decide by
//! anything, so wrong gates are read exactly, unless a test wants to know.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use sluice_core::client::Likeness;
use sluice_core::redis::{Bytes, Command, Reply};
use sluice_core::script::{self, Zone};
use sluice_core::slots::Outcome;
use sluice_sim::digest::Digest;
use sluice_sim::redis::{Keyspace, Server};
use sluice_sim::store::Names;
use sluice_sim::world::{Ranks, Reading, When};

use crate::subject::variant::SlotsGate;

/// The score of a place without a deadline, and no deadline at all.
const NEVER: f64 = 4e15 - 1.0;
/// Readings of more states than this are forgotten, all at once.
const MOST: usize = 100_000;

/// See the module.
pub(super) struct ByMeaning {
    gate: Arc<SlotsGate>,
    /// What a state of the keys at some time has been read as.
    known: RefCell<BTreeMap<u64, Rc<Read>>>,
}

/// The keys of a gate, read.
struct Read {
    /// The last fencing number, once the gate is born.
    last: Option<u64>,
    /// All that is nobody's.
    shared: u64,
    /// All that is somebody's, in the order of ids.
    own: Vec<(Bytes, Own)>,
}

/// What is stored under an id.
#[derive(Default)]
struct Own {
    digest: Digest,
    fence: Option<u64>,
}

impl Own {
    fn rank(&self, ranks: &Ranks) -> u64 {
        let fence = self.fence.map(|fence| ranks.of(fence));
        Digest::of(&(self.digest.finish(), fence))
    }
}

impl ByMeaning {
    /// Reads this gate. `None` if it has a configuration under which more counts
    /// than is said here.
    pub(super) fn new(gate: &Arc<SlotsGate>) -> Option<Self> {
        let config = &gate.settings.config;
        let plain = config.boosts.iter().all(|boost| *boost == 0) && gate.variant.config.is_empty();
        plain.then(|| Self {
            gate: gate.clone(),
            known: RefCell::default(),
        })
    }

    /// What is left of a lease: see [`ByMeaning::shortest_ms`].
    fn ttl(&self, ttl_ms: Option<u64>, state: &mut impl Likeness) {
        let Some(ttl_ms) = ttl_ms else {
            return 0u8.hash(state);
        };
        let margin_ms = self.gate.settings.margin_ms + 1;
        let ns = |ms: u64| ms.saturating_mul(1_000_000);
        let least_ms = (ttl_ms / 3).saturating_sub(margin_ms);
        state.span(ns(ttl_ms), ns(least_ms));
    }

    fn keys(&self) -> [&[u8]; 3] {
        let keys = &self.gate.settings.keys;
        [keys.gate(), keys.line(), keys.due()]
    }

    fn read(&self, server: &Server, when: &When) -> Rc<Read> {
        let keys = server.keyspace();
        let key = Digest::of(&(keys.digest(when.now_us), when));
        let mut known = self.known.borrow_mut();
        if known.len() > MOST {
            known.clear();
        }
        let read = known
            .entry(key)
            .or_insert_with(|| Rc::new(self.read_now(keys, when)));
        read.clone()
    }

    fn read_now(&self, keys: &Keyspace, when: &When) -> Read {
        let now_us = when.now_us;
        let now = Now {
            ms: (now_us / 1_000) as f64,
            frozen: when.frozen,
            span_ms: self.shortest_ms(when),
        };
        let now = &now;
        let [gate, line, due] = self.keys();
        let mut shared = Digest::default();
        let mut own: BTreeMap<Bytes, Own> = BTreeMap::new();
        for key in self.keys() {
            let left = keys.expires_at_ms(key, now_us);
            left.map(|at| at.saturating_sub(now_us / 1_000))
                .hash(&mut shared);
        }
        let mut last = None;
        let mut orders = Vec::new();
        for (field, value) in keys.hash(gate, now_us).into_iter().flat_map(|h| h.iter()) {
            match field.first() {
                Some(1) => last = read_hot(value, now, &mut shared),
                Some(3) => read_known(value, &mut shared),
                Some(4) => (4u8, value.get(24..)).hash(&mut shared),
                Some(2) => {} // statistics
                Some(0..=b'\x1f') | None => (&**field, &**value).hash(&mut shared),
                Some(_) => {
                    if let [b'q' | b'o', ..] = **value {
                        orders.extend(double(value, 1 + 8));
                    }
                    own.entry(field.clone()).or_default();
                }
            }
        }
        let line = keys.zset(line, now_us).map(|z| z.range(0, usize::MAX));
        let line = line.unwrap_or_default();
        orders.extend(line.iter().filter_map(|(_, score)| order_of(*score)));
        orders.sort_unstable_by(f64::total_cmp);
        orders.dedup();
        let order = |key: f64| orders.partition_point(|o| *o < key);

        for (field, value) in keys.hash(gate, now_us).into_iter().flat_map(|h| h.iter()) {
            if let Some(own) = own.get_mut(field) {
                self.read_record(value, now, &order, own);
            }
        }
        for (id, score) in line {
            let digest = &mut own.entry(id.clone()).or_default().digest;
            match (Zone::of(score), order_of(score)) {
                (Zone::Waiting(_), Some(key)) => (1u8, order(key)).hash(digest),
                (Zone::Absent(_), Some(key)) => (2u8, order(key)).hash(digest),
                (Zone::Held(None), _) => 3u8.hash(digest),
                (Zone::Held(Some(_)), _) => (4u8, now.lease(score + 4e15)).hash(digest),
                (_, _) => (5u8, now.deadline(score + 8e15)).hash(digest),
            }
        }
        let due = keys.zset(due, now_us).map(|z| z.range(0, usize::MAX));
        for (id, score) in due.unwrap_or_default() {
            let digest = &mut own.entry(id.clone()).or_default().digest;
            (6u8, now.deadline(score)).hash(digest);
        }
        Read {
            last,
            shared: shared.finish(),
            own: own.into_iter().collect(),
        }
    }

    /// A holder that is told of this many milliseconds neither stops nor beats
    /// at once, whenever it asked: a third of them, less the margin, is more
    /// than all the time there was.
    fn shortest_ms(&self, when: &When) -> f64 {
        let past_ms = when.elapsed_ns / 1_000_000 + 1;
        3.0 * (past_ms + self.gate.settings.margin_ms + 1) as f64
    }

    /// A record: a letter and doubles, see `lua/lib/places.lua`.
    fn read_record(&self, value: &[u8], now: &Now, order: &impl Fn(f64) -> usize, own: &mut Own) {
        let config = &self.gate.settings.config;
        let number = |at: usize| double(value, 1 + 8 * at);
        let lease = |at: usize| number(at).map(|t| now.lease(t));
        let digest = &mut own.digest;
        (value.first(), value.len()).hash(digest);
        number(0).map(f64::to_bits).hash(digest); // the nonce
        match value.first() {
            Some(b'q' | b'o') => {
                number(1).map(order).hash(digest);
                let presence = config.presence;
                let presence = presence.map(|p| p.absent_after_ms.min(p.abandon_after_ms));
                for (at, limit_ms) in [(2, config.wait_timeout_ms), (3, presence)] {
                    let from = limit_ms.zip(number(at));
                    let look = from.map(|(limit, from)| now.since(from, limit as f64));
                    look.hash(digest);
                }
                own.fence = number(4).map(|n| n as u64);
                lease(5).hash(digest);
            }
            Some(b'h') => {
                own.fence = number(1).map(|n| n as u64);
                (lease(2), lease(3)).hash(digest);
            }
            _ => value.hash(digest),
        }
    }
}

/// The counters: the last fencing number; the rest into `shared`.
fn read_hot(value: &[u8], now: &Now, shared: &mut Digest) -> Option<u64> {
    // fence ticket processed high_held next_held next_due next_ended fresh …
    for at in 4..=7 {
        let time = double(value, 8 * at).map(|t| now.deadline(t));
        time.hash(shared);
    }
    double(value, 0).map(|n| n as u64)
}

/// Six numbers and the configuration's text; after the newline, the flow.
fn read_known(value: &[u8], shared: &mut Digest) {
    let numbers = value.get(..48).unwrap_or_default();
    let text = value.get(48..).unwrap_or_default();
    let text = text.split(|byte| *byte == b'\n').next();
    (3u8, numbers, text).hash(shared);
}

/// The store's time, and how points in time look from there.
struct Now {
    ms: f64,
    /// See [`When::frozen`].
    frozen: bool,
    /// A lease that lasts longer is not over before it is known of.
    span_ms: f64,
}

/// What a point in time looks like: a tag, and bits for hashing.
type Look = (u8, u64);
const AHEAD: Look = (2, 0);

impl Now {
    /// Relative to now; what is no time (0, never, infinite) stays what it is.
    fn relative(&self, time: f64) -> Look {
        if time > 0.0 && time < NEVER {
            (1, (time - self.ms).to_bits())
        } else {
            (0, time.to_bits())
        }
    }

    /// Of a deadline that is only ever compared with the time.
    fn deadline(&self, time: f64) -> Look {
        if self.frozen && time > self.ms && time < NEVER {
            AHEAD
        } else {
            self.relative(time)
        }
    }

    /// Of a moment from which on a limit is counted.
    fn since(&self, time: f64, limit_ms: f64) -> Look {
        if self.frozen && time + limit_ms > self.ms {
            AHEAD
        } else {
            self.relative(time)
        }
    }

    /// Of a deadline that clients are told of, who count it from when they asked.
    fn lease(&self, time: f64) -> Look {
        if self.frozen && time > self.ms + self.span_ms && time < NEVER {
            AHEAD
        } else {
            self.relative(time)
        }
    }
}

/// The order key of a place in line.
fn order_of(score: f64) -> Option<f64> {
    match score {
        score if score < 0.0 => None,
        score if score < 4e15 => Some(score),
        score => Some(score - 4e15),
    }
}

fn double(bytes: &[u8], at: usize) -> Option<f64> {
    let eight = bytes.get(at..at + 8)?;
    Some(f64::from_le_bytes(eight.try_into().ok()?))
}

impl Reading<Server> for ByMeaning {
    fn fences(&self, server: &Server, when: &When, each: &mut dyn FnMut(u64)) -> Option<u64> {
        let read = self.read(server, when);
        read.own
            .iter()
            .filter_map(|(_, own)| own.fence)
            .for_each(each);
        read.last
    }

    fn server(&self, server: &Server, when: &When, names: &dyn Names, ranks: &Ranks) -> u64 {
        let read = self.read(server, when);
        let own = read.own.iter().map(|(id, own)| {
            let whose = names.name(id).unwrap_or_else(|| Digest::of(id));
            Digest::of(&(whose, own.rank(ranks)))
        });
        let rest = server.identity_besides(&self.keys(), when.now_us, names);
        // Without a gate the next fencing number is made of the time.
        let birth = read.last.is_none() && ranks.any();
        let birth = birth.then_some(when.now_us);
        Digest::of(&(read.shared, own.fold(0, u64::wrapping_add), rest, birth))
    }

    fn marks(&self, server: &Server, when: &When, name: &[u8], ranks: &Ranks) -> u64 {
        let read = self.read(server, when);
        let own = read.own.binary_search_by(|(id, _)| (**id).cmp(name));
        own.map_or(0, |at| read.own[at].1.rank(ranks))
    }

    /// The scripts do not look at what PUBLISH answers.
    fn ignores_listeners(&self) -> bool {
        true
    }

    fn command(&self, command: &Command, state: &mut impl Likeness) {
        let arg = |at: usize| command.args.get(at).map_or(&[][..], |arg| &**arg);
        command.args.len().hash(state);
        let calls = command.name() == b"EVALSHA";
        let script = self.gate.script(arg(if calls { 1 } else { 2 }));
        let ours = calls && arg(3) == self.keys()[0];
        let fenced = script.is_some_and(|s| matches!(s.name, "renew" | "release"));
        let fence = std::str::from_utf8(arg(8)).ok();
        let fence = fence.and_then(|fence| fence.parse().ok());
        for (at, arg) in command.args.iter().enumerate() {
            match (at, script, fence) {
                // Long, and known by its name.
                (2, Some(script), _) if !calls => script.name.hash(state),
                (8, _, Some(fence)) if ours && fenced => state.fence(fence),
                _ => arg.hash(state),
            }
        }
    }

    fn reply(&self, reply: &Reply, state: &mut impl Likeness) {
        let Ok(decoded) = script::decode(reply) else {
            return reply.hash(state);
        };
        match decoded.outcome {
            Outcome::Granted {
                fence,
                ttl_ms,
                wait_ms,
            } => {
                1u8.hash(state);
                self.ttl(ttl_ms, state);
                state.fence(fence);
                state.figure(wait_ms);
            }
            Outcome::Waiting { position, .. } => {
                2u8.hash(state);
                state.figure(position);
            }
            Outcome::Renewed { ttl_ms } => {
                3u8.hash(state);
                self.ttl(ttl_ms, state);
            }
            _ => reply.hash(state),
        }
        decoded.more.hash(state);
    }
}
