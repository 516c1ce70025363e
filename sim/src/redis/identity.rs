//! When two servers are the same for all that can follow (see
//! [`Store::identity`](crate::store::Store::identity)).
//!
//! Names are replaced where they stand for themselves: as a key, a field, a
//! member, an item or a whole value. Expiries are relative to now. What a script
//! has computed from the time cannot be told from any other number, so once a
//! script is known to the server, its time is part of the identity.

use std::hash::{Hash, Hasher};

use sluice_core::redis::Bytes;

use super::keyspace::Keyspace;
use super::value::{Stream, Value};
use super::{Left, Server, State};
use crate::digest::Digest;
use crate::store::Names;

/// A name by what stands for it, anything else by its bytes.
fn word(names: &dyn Names, bytes: &[u8]) -> u64 {
    names.name(bytes).unwrap_or_else(|| {
        let mut hasher = Digest::default();
        hasher.write(bytes);
        hasher.finish()
    })
}

fn value(names: &dyn Names, value: &Value) -> u64 {
    let unordered = |sum: u64, pair: (u64, u64)| sum.wrapping_add(Digest::of(&pair));
    let ordered = |sum: u64, pair: (u64, u64)| Digest::of(&(sum, pair));
    match value {
        Value::Str(bytes) => word(names, bytes),
        Value::Hash(hash) => hash
            .iter()
            .map(|(field, value)| (word(names, field), word(names, value)))
            .fold(1, unordered),
        Value::Set(set) => set.iter().map(|m| (word(names, m), 0)).fold(2, unordered),
        Value::List(list) => list.iter().map(|i| (word(names, i), 0)).fold(3, ordered),
        Value::ZSet(zset) => zset
            .range(0, usize::MAX)
            .into_iter()
            .map(|(member, score)| (word(names, member), (score + 0.0).to_bits()))
            .fold(4, ordered),
        Value::Stream(stream) => Digest::of(&self::stream(names, stream)),
    }
}

/// A stream with names replaced. Its times stay as they are: they are data.
fn stream(names: &dyn Names, stream: &Stream) -> u64 {
    let mut sum = Digest::of(&(stream.last, stream.added, stream.max_deleted));
    for (id, fields) in stream.iter() {
        let words: Vec<u64> = fields.iter().map(|part| word(names, part)).collect();
        sum = Digest::of(&(sum, id, words));
    }
    for (name, group) in &stream.groups {
        sum = Digest::of(&(sum, word(names, name), group.last, group.read));
        let consumers = group.consumers.iter().map(|(name, consumer)| {
            Digest::of(&(word(names, name), consumer.seen_ms, consumer.active_ms))
        });
        sum = Digest::of(&(sum, consumers.fold(0, u64::wrapping_add)));
        for (id, pending) in &group.pending {
            let consumer = word(names, &pending.consumer);
            sum = Digest::of(&(sum, id, consumer, pending.delivered_ms, pending.count));
        }
    }
    sum
}

/// What is stored under a name in one value.
fn mark(of: &Value, name: &[u8]) -> Option<u64> {
    match of {
        Value::Hash(hash) => hash.get(name).map(Digest::of),
        Value::Set(set) => set.contains(name).then_some(1),
        Value::List(list) => {
            let places = list.iter().zip(1u64..).filter(|(item, _)| ***item == *name);
            let sum = places
                .map(|(_, n)| Digest::of(&n))
                .fold(0, u64::wrapping_add);
            (sum > 0).then_some(sum)
        }
        Value::ZSet(zset) => zset
            .score(name)
            .map(|score| Digest::of(&(score.to_bits(), zset.rank(name)))),
        Value::Stream(stream) => {
            let entries = stream.iter().flat_map(|(id, fields)| {
                let places = fields.iter().zip(0u64..);
                places.filter_map(move |(part, n)| (**part == *name).then_some((id, n)))
            });
            let sum = entries.fold(0u64, |sum, place| sum.wrapping_add(Digest::of(&place)));
            let groups = stream.groups.iter().filter_map(|(group, of)| {
                let consumer = of.consumers.get(name)?;
                let pending: Vec<_> = consumer.pending.iter().collect();
                Some(Digest::of(&(group, pending)))
            });
            let sum = groups.fold(sum, u64::wrapping_add);
            (sum > 0).then_some(sum)
        }
        Value::Str(_) => None,
    }
}

impl Server {
    pub(super) fn identity_at(&self, now_us: u64, names: &dyn Names) -> u64 {
        self.identity_besides(&[], now_us, names)
    }

    /// Identity of all but these keys, for one who knows them better: the times
    /// in their values are its to tell.
    #[must_use]
    pub fn identity_besides(&self, known: &[&[u8]], now_us: u64, names: &dyn Names) -> u64 {
        let State {
            sessions,
            subscriptions,
            scripts,
            libraries,
            left,
            busy,
            ..
        } = &*self.state;
        let mut state = Digest::default();
        // They are keys of the first database: with others, nothing is known.
        let known = if self.state.others.is_empty() {
            known
        } else {
            &[]
        };
        let mut unknown = 0;
        self.state.hash_keys(&mut state, |db| {
            let (sum, count) = keys(db, known, now_us, names);
            unknown += count;
            sum
        });
        // Without better knowledge, a script may have stored the time.
        if !(scripts.is_empty() && libraries.is_empty()) && (unknown > 0 || known.is_empty()) {
            now_us.hash(&mut state);
        }
        for sha in scripts.keys() {
            state.write(sha);
        }
        if !libraries.is_empty() || *left != Left::default() {
            (libraries, left).hash(&mut state);
        }
        if let Some(busy) = busy {
            busy.hash(&mut state);
        }
        let of = |sum: u64, pair: u64| sum.wrapping_add(pair);
        let sessions = sessions.iter().map(|(id, session)| {
            let session = Digest::of(session);
            Digest::of(&(names.session(*id), session))
        });
        sessions.fold(0, of).hash(&mut state);
        if !self.state.settings.is_default() {
            self.state.settings.hash(&mut state);
        }
        subscriptions.identity(names).hash(&mut state);
        self.state.waiting.identity(now_us, names, &mut state);
        state.finish()
    }

    pub(super) fn marks_at(&self, now_us: u64, name: &[u8]) -> u64 {
        let all = std::iter::once((&0, &self.state.db)).chain(&self.state.others);
        all.fold(0, |sum, (number, db)| {
            let keys = db.iter(now_us);
            let marks = keys.filter_map(|(key, value)| Some((key, mark(value, name)?)));
            marks.fold(sum, |sum, pair: (&Bytes, u64)| {
                sum.wrapping_add(Digest::of(&pair).wrapping_add(u64::from(*number)))
            })
        })
    }
}

/// All keys but the `known`, and how many they are.
fn keys(db: &Keyspace, known: &[&[u8]], now_us: u64, names: &dyn Names) -> (u64, usize) {
    let unknown = db.iter(now_us).filter(|(key, _)| !known.contains(&&***key));
    unknown.fold((0, 0), |(sum, count), (key, of)| {
        let left_ms = db.expires_at_ms(key, now_us);
        let left_ms = left_ms.map(|at| at.saturating_sub(now_us / 1_000));
        let entry = Digest::of(&(word(names, key), value(names, of), left_ms));
        (sum.wrapping_add(entry), count + 1)
    })
}
