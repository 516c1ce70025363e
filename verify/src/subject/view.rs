//! What the store has granted, read from the simulated keyspace: the (s) in
//! "at most N". Read by the observer alone; no client ever sees it.

use std::cell::OnceCell;
use std::fmt::{self, Write as _};

use hashbrown::HashMap;
use sluice_core::redis::Bytes;
use sluice_core::script::{GateKeys, Zone};
use sluice_sim::redis::{FixedState, HashValue, Keyspace, ZSet};

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

/// Positions in `held`, in `waiting` and `absent` together, and in `ended`.
#[derive(Clone, Copy, Debug, Default)]
struct Spots {
    held: Option<u32>,
    in_line: Option<u32>,
    ended: Option<u32>,
}

/// Properties look every client up at every step. Follows from the lists, and
/// so is no part of what makes two views equal.
#[derive(Default)]
struct Index(OnceCell<HashMap<Bytes, Spots, FixedState>>);

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

    fn spots(&self, id: &[u8]) -> Spots {
        let index = self.index.0.get_or_init(|| {
            let mut index: HashMap<Bytes, Spots, FixedState> = HashMap::default();
            // Where a list names an id twice, its first place counts.
            for (at, p) in self.held.iter().enumerate() {
                let spots = index.entry(p.id.clone()).or_default();
                spots.held.get_or_insert(at as u32);
            }
            for (at, p) in self.waiting.iter().chain(&self.absent).enumerate() {
                let spots = index.entry(p.id.clone()).or_default();
                spots.in_line.get_or_insert(at as u32);
            }
            for (at, e) in self.ended.iter().enumerate() {
                let spots = index.entry(e.id.clone()).or_default();
                spots.ended.get_or_insert(at as u32);
            }
            index
        });
        index.get(id).copied().unwrap_or_default()
    }

    /// The slot of this id.
    #[must_use]
    pub fn holder(&self, id: &[u8]) -> Option<&Place> {
        self.spots(id).held.map(|at| &self.held[at as usize])
    }

    /// The place in line of this id, present or absent.
    #[must_use]
    pub fn waiter(&self, id: &[u8]) -> Option<&Place> {
        let at = self.spots(id).in_line? as usize;
        let place = self.waiting.get(at);
        place.or_else(|| self.absent.get(at - self.waiting.len()))
    }

    /// The remembered ending of this id.
    #[must_use]
    pub fn ending(&self, id: &[u8]) -> Option<&Ending> {
        self.spots(id).ended.map(|at| &self.ended[at as usize])
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
    let (Some(line), Some(records)) = (
        keys.zset(gate.line(), now_us),
        keys.hash(gate.gate(), now_us),
    ) else {
        return view;
    };
    if let Some(stored) = records.get(b"\x03").and_then(|known| double(known, 0)) {
        view.capacity = stored as u32;
    }
    for (id, score) in line.range(0, usize::MAX) {
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
    line: &ZSet,
    records: &HashValue,
    keys: &Keyspace,
    now_us: u64,
) -> Vec<Bytes> {
    let own = |id: &Bytes| id.first().is_none_or(|b| *b < b' ');
    let placeless = records
        .iter()
        .map(|(id, _)| id)
        .filter(|id| !own(id) && line.score(id).is_none());
    let mut list: Vec<Bytes> = placeless.cloned().collect();
    if let Some(due) = keys.zset(gate.due(), now_us) {
        let in_line = |id: &Bytes| line.score(id).is_some_and(|score| score >= 0.0);
        let late = due.range(0, usize::MAX).into_iter().map(|(id, _)| id);
        list.extend(late.filter(|id| !in_line(id)).cloned());
    }
    list
}

fn double(bytes: &[u8], at: usize) -> Option<f64> {
    let eight = bytes.get(at..at + 8)?;
    Some(f64::from_le_bytes(eight.try_into().ok()?))
}
