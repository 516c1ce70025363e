//! What the store has granted, read from the simulated keyspace: the (s) in
//! "at most N". Read by the observer alone; no client ever sees it.

use std::cell::OnceCell;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;
use sluice_core::redis::Bytes;
use sluice_core::script::{GateKeys, Zone};
use sluice_sim::digest::FixedState;
use sluice_sim::redis::{HashValue, Keyspace, ZSet};

/// One place, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub id: Bytes,
    /// The attempt; 0 where there are none.
    pub nonce: u64,
    /// Fencing number of a held place; 0 where there are none.
    pub fence: u64,
    /// Held, and claimed by its client; false for an offer.
    pub claimed: bool,
    /// End of a held place, by the store's clock in ms, if it has one.
    pub deadline: Option<u64>,
    /// The *active* deadline alone, in ms.
    pub active_until: Option<u64>,
    /// Order key of a place in line; rises with each join.
    pub order: u64,
    /// When it joined, for a place in line and an offer, in ms.
    pub joined_at: u64,
    /// When it was last heard of, for a place in line, in ms.
    pub heard_at: u64,
}

/// An ending that the store remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whose.
    pub id: Bytes,
    /// The greatest attempt that has ended.
    pub nonce: u64,
    /// 1 released, 2 expired, 3 cancelled, 4 timed out, 5 abandoned.
    pub manner: u8,
    /// When it may be forgotten, in ms.
    pub until: u64,
}

/// One gate, as the store has it. All lists in the store's own order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateView {
    /// Slots.
    pub capacity: u32,
    /// Who holds one, offers included.
    pub held: Vec<Place>,
    /// Who waits and is present, first in line first.
    pub waiting: Vec<Place>,
    /// Who waits and is not heard of.
    pub absent: Vec<Place>,
    /// Endings remembered.
    pub ended: Vec<Ending>,
    /// Popped off a queue, and not yet let in: nowhere, as far as the store
    /// knows. Only gates whose leaving takes several steps have such.
    pub transit: Vec<Bytes>,
    /// Of whom the store keeps something though they have no place that needs
    /// it: a record without a place, a deadline of somebody not in line.
    pub residue: Vec<Bytes>,
    /// Where who is; made when first asked for.
    index: Index,
}

/// A place or an ending of a view, by its list and its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Held(u32),
    /// In `waiting` and `absent` together.
    InLine(u32),
    Ended(u32),
}

/// Properties look ids up at every operation. Follows from the lists, and so is
/// no part of what makes two views equal.
#[derive(Default)]
struct Index(OnceCell<HashTable<Spot>>);

impl Clone for Index {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Index {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Index {}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Index")
    }
}

impl GateView {
    /// An empty gate of this capacity.
    #[must_use]
    pub fn empty(capacity: u32) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    /// The first spot of this id that is of the kind asked for.
    fn find(&self, id: &[u8], of_kind: fn(Spot) -> bool) -> Option<Spot> {
        let index = self.index.0.get_or_init(|| self.index());
        let found = index.find(hash(id), |spot| of_kind(*spot) && **self.id(*spot) == *id);
        found.copied()
    }

    /// Endings by expiry, timeout or absence that an earlier view does not have.
    #[must_use]
    pub fn ran_out_since(&self, before: &Self) -> u32 {
        let by_time = |ending: &&Ending| matches!(ending.manner, 2 | 4 | 5);
        let ended = self.ended.iter().filter(by_time);
        let known = |new: &&Ending| {
            let same = |old: &Ending| old.id == new.id && old.until == new.until;
            before.ended.iter().any(same)
        };
        ended.filter(|ending| !known(ending)).count() as u32
    }

    fn index(&self) -> HashTable<Spot> {
        let in_line = self.waiting.len() + self.absent.len();
        let mut index = HashTable::with_capacity(self.held.len() + in_line + self.ended.len());
        let held = (0..self.held.len() as u32).map(Spot::Held);
        let in_line = (0..in_line as u32).map(Spot::InLine);
        let ended = (0..self.ended.len() as u32).map(Spot::Ended);
        for spot in held.chain(in_line).chain(ended) {
            let id = self.id(spot);
            let same = |known: &Spot| {
                std::mem::discriminant(known) == std::mem::discriminant(&spot)
                    && self.id(*known) == id
            };
            // Where a list names an id twice, its first place counts.
            index
                .entry(hash(id), same, |spot| hash(self.id(*spot)))
                .or_insert(spot);
        }
        index
    }

    fn id(&self, spot: Spot) -> &Bytes {
        match spot {
            Spot::Held(at) => &self.held[at as usize].id,
            Spot::InLine(at) => &self.in_line(at as usize).id,
            Spot::Ended(at) => &self.ended[at as usize].id,
        }
    }

    fn in_line(&self, at: usize) -> &Place {
        let place = self.waiting.get(at);
        place.unwrap_or_else(|| &self.absent[at - self.waiting.len()])
    }

    /// The slot of this id.
    #[must_use]
    pub fn holder(&self, id: &[u8]) -> Option<&Place> {
        match self.find(id, |spot| matches!(spot, Spot::Held(_))) {
            Some(Spot::Held(at)) => Some(&self.held[at as usize]),
            _ => None,
        }
    }

    /// The place in line of this id, present or absent.
    #[must_use]
    pub fn waiter(&self, id: &[u8]) -> Option<&Place> {
        match self.find(id, |spot| matches!(spot, Spot::InLine(_))) {
            Some(Spot::InLine(at)) => Some(self.in_line(at as usize)),
            _ => None,
        }
    }

    /// The remembered ending of this id.
    #[must_use]
    pub fn ending(&self, id: &[u8]) -> Option<&Ending> {
        match self.find(id, |spot| matches!(spot, Spot::Ended(_))) {
            Some(Spot::Ended(at)) => Some(&self.ended[at as usize]),
            _ => None,
        }
    }

    /// Who holds, then who waits, then who is absent.
    pub fn live(&self) -> impl Iterator<Item = &Place> {
        self.held.iter().chain(&self.waiting).chain(&self.absent)
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.waiting.is_empty() && self.absent.is_empty()
    }

    /// The state in words: `held 2 of 2: u0 u1 · waiting 1: u2`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut text = format!("held {} of {}", self.held.len(), self.capacity);
        let mut list = |label: &str, ids: Vec<String>| {
            if !label.is_empty() && !ids.is_empty() {
                let _ = write!(text, " · {label} {}", ids.len());
            }
            for (i, id) in ids.iter().enumerate() {
                if i == 12 {
                    let _ = write!(text, " …");
                    break;
                }
                let _ = write!(text, "{}{id}", if i == 0 { ": " } else { " " });
            }
        };
        let name = |p: &Place| {
            let id = String::from_utf8_lossy(&p.id).into_owned();
            if p.claimed || p.fence == 0 {
                id
            } else {
                id + "?"
            }
        };
        list("", self.held.iter().map(name).collect());
        let id = |p: &Place| String::from_utf8_lossy(&p.id).into_owned();
        list("waiting", self.waiting.iter().map(id).collect());
        list("absent", self.absent.iter().map(id).collect());
        let lost = |id: &Bytes| String::from_utf8_lossy(id).into_owned();
        list("popped", self.transit.iter().map(lost).collect());
        text
    }
}

/// A hash of sessions and a list of waiters. `before` tells who was popped.
pub(super) fn of_hash(
    sessions: &[u8],
    queue: &[u8],
    capacity: u32,
    before: &GateView,
    keys: &Keyspace,
    now_us: u64,
) -> GateView {
    let place = |id: &Bytes, order| Place {
        id: id.clone(),
        nonce: 0,
        fence: 0,
        claimed: true,
        deadline: None,
        active_until: None,
        order,
        joined_at: 0,
        heard_at: 0,
    };
    let mut view = GateView::empty(capacity);
    if let Some(hash) = keys.hash(sessions, now_us) {
        view.held = hash.iter().map(|(id, _)| place(id, 0)).collect();
    }
    if let Some(list) = keys.list(queue, now_us) {
        let orders = 1..;
        view.waiting = list
            .iter()
            .zip(orders)
            .map(|(id, n)| place(id, n))
            .collect();
    }
    let gone = before.waiting.iter().map(|p| &p.id);
    for id in before.transit.iter().chain(gone) {
        if view.holder(id).is_none() && view.waiter(id).is_none() && !view.transit.contains(id) {
            view.transit.push(id.clone());
        }
    }
    view
}

/// The zones of `line` and the records of `gate`; see `lua/lib/places.lua`.
pub(super) fn of_slots(gate: &GateKeys, capacity: u32, keys: &Keyspace, now_us: u64) -> GateView {
    let mut view = GateView::empty(capacity);
    let Some(records) = keys.hash(gate.gate(), now_us) else {
        return view;
    };
    // An empty sorted set is none, but the gate has a capacity all the same.
    let line = keys.zset(gate.line(), now_us);
    if let Some(stored) = records.get(b"\x03").and_then(|known| double(known, 0)) {
        view.capacity = stored as u32;
    }
    let places = line.map_or(Vec::new(), |line| line.range(0, usize::MAX));
    for (id, score) in places {
        let record = records.get(id).map_or(&[][..], |r| &r[..]);
        let number = |at: usize| double(record, 1 + 8 * at).unwrap_or(0.0);
        let mut place = Place {
            id: id.clone(),
            nonce: 0,
            fence: 0,
            claimed: false,
            deadline: None,
            active_until: None,
            order: 0,
            joined_at: 0,
            heard_at: 0,
        };
        match (record.first(), Zone::of(score)) {
            (Some(b'h'), Zone::Held(deadline)) => {
                place.nonce = number(0) as u64;
                place.fence = number(1) as u64;
                place.active_until = number(3).is_finite().then(|| number(3) as u64);
                place.claimed = true;
                place.deadline = deadline;
                view.held.push(place);
            }
            (_, Zone::Held(deadline)) => {
                place.nonce = number(0) as u64;
                place.order = number(1) as u64;
                place.joined_at = number(2) as u64;
                place.heard_at = number(3) as u64;
                place.fence = number(4) as u64;
                place.deadline = deadline;
                view.held.push(place);
            }
            (_, zone @ (Zone::Waiting(_) | Zone::Absent(_))) => {
                place.nonce = number(0) as u64;
                place.order = number(1) as u64;
                place.joined_at = number(2) as u64;
                place.heard_at = number(3) as u64;
                if matches!(zone, Zone::Waiting(_)) {
                    view.waiting.push(place);
                } else {
                    view.absent.push(place);
                }
            }
            (_, Zone::Ended(until)) => view.ended.push(Ending {
                id: id.clone(),
                nonce: number(0) as u64,
                manner: number(1) as u8,
                until,
            }),
        }
    }
    view.residue = residue(gate, line, records, keys, now_us);
    view
}

fn residue(
    gate: &GateKeys,
    line: Option<&ZSet>,
    records: &HashValue,
    keys: &Keyspace,
    now_us: u64,
) -> Vec<Bytes> {
    let score = |id: &Bytes| line.and_then(|line| line.score(id));
    let placeless = records
        .iter()
        .map(|(id, _)| id)
        .filter(|id| !is_own(id) && score(id).is_none());
    let mut list: Vec<Bytes> = placeless.cloned().collect();
    if let Some(due) = keys.zset(gate.due(), now_us) {
        let in_line = |id: &Bytes| score(id).is_some_and(|score| score >= 0.0);
        let late = due.range(0, usize::MAX).into_iter().map(|(id, _)| id);
        list.extend(late.filter(|id| !in_line(id)).cloned());
    }
    list
}

/// Fields of a gate that belong to no id: a few of one byte, and statistics,
/// which are words. (With a name in it, there could be any number of them.)
fn is_own(field: &[u8]) -> bool {
    match field {
        [] => true,
        [0x02, b'w', b'a', b'i', b't', bucket @ ..] if bucket.len() <= 2 => true,
        [0x02, word @ ..] => word.iter().all(|b| b.is_ascii_lowercase() || *b == b'_'),
        [byte] => *byte < b' ',
        _ => false,
    }
}

fn hash(id: &[u8]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(id);
    hasher.finish()
}

fn double(bytes: &[u8], at: usize) -> Option<f64> {
    let eight = bytes.get(at..at + 8)?;
    Some(f64::from_le_bytes(eight.try_into().ok()?))
}
