//! Histories of slots, decided by what each attempt must have held: O(n log n).
//!
//! One client's answered operations follow each other, so they tell of each
//! attempt when its slot can have ended at the earliest (`ends`) and at the
//! latest. Fencing numbers give the order of grants, hence for each the latest
//! moment at which it can have been made (`latest`): its own end, or the end of
//! a later grant. Making every grant as late and every ending as early as
//! possible is best for all of them at once: what is held, is held from `latest`
//! to `ends` whatever the order. So the history is linearizable if no grant, at
//! its latest, finds as many of these intervals around it as there are slots.
//!
//! Unknown outcomes end slots, at any time from their start. Each can end one
//! slot only, because an attempt ends no later one and an older one is gone by
//! then.
//!
//! A refused lock must have been held at some time between the refusal's start
//! and end: there, grants are made as early and endings as late as possible.
//!
//! Without numbers there is no order, but then a slot that is surely held after
//! the end of its grant is held from there, whatever else.
//!
//! Not decided here, but by the search: resizes (a grant may be better made
//! early); clients with overlapping answers, or attempts that do not rise;
//! fencing numbers on some grants only; grants without numbers that may have
//! ended before they were known, where no slot is free in the end; refused locks
//! that only an unknown outcome could have held.

use std::collections::{BTreeMap, BTreeSet};

use super::{Asked, Op, Reply, Slots, until};

mod client;
mod refusals;

use client::Client;
use refusals::refusals;

/// One attempt that was granted.
#[derive(Clone, Copy, Debug)]
struct Hold {
    client: u32,
    attempt: u64,
    fence: Option<u64>,
    /// The grant is made between these.
    start: u64,
    latest: u64,
    /// It is still held at the earliest moment of an answer that says so.
    needed: u64,
    /// Its lease lasts at least until here.
    until: u64,
    /// The earliest end.
    ends: u64,
    /// The latest end.
    gone: u64,
    /// An answer shows that it has ended.
    is_over: bool,
    /// The same client's next attempt takes its place, if it has not ended.
    next: Option<usize>,
}

/// `None`: to be searched for. The words say who did what.
pub(super) fn decide(
    slots: &Slots,
    operations: &[Asked],
    name: &dyn Fn(u32) -> String,
) -> Option<Result<(), String>> {
    let mut clients: BTreeMap<u32, Vec<&Asked>> = BTreeMap::new();
    for asked in operations {
        if matches!(asked.op, Op::Resize { .. } | Op::Expire { .. }) {
            return None;
        }
        clients.entry(asked.client).or_default().push(asked);
    }
    let mut holds = Vec::new();
    for (client, mut own) in clients {
        own.sort_by_key(|asked| asked.start);
        let told = Client::new(own)?.holds(client, &mut holds);
        if let Err(words) = told {
            return Some(Err(format!("{} {words}", name(client))));
        }
    }
    let fenced = holds.iter().filter(|h| h.fence.is_some()).count();
    if fenced != 0 && fenced != holds.len() {
        return None;
    }
    let mut order: Vec<usize> = (0..holds.len()).collect();
    order.sort_by_key(|at| (holds[*at].fence, holds[*at].latest));
    if fenced > 0
        && let Err(words) = in_order(&mut holds, &order, name)
    {
        return Some(Err(words));
    }
    match sweep(&holds, &order, slots.capacity as usize, fenced > 0, name) {
        Ok(true) => {}
        Ok(false) => return None,
        Err(words) => return Some(Err(words)),
    }
    if slots.is_lock {
        return refusals(operations, &holds, &order, fenced > 0, name);
    }
    Some(Ok(()))
}

/// Grants in the order of their numbers: none twice, each possible after those
/// before it. Moves `start` and `latest` to what the others leave.
fn in_order(
    holds: &mut [Hold],
    order: &[usize],
    name: &dyn Fn(u32) -> String,
) -> Result<(), String> {
    for pair in order.windows(2) {
        let [a, b] = [&holds[pair[0]], &holds[pair[1]]];
        if a.fence == b.fence {
            return Err(format!(
                "{} and {} were granted the same fencing number, {}",
                name(a.client),
                name(b.client),
                a.fence.unwrap_or(0)
            ));
        }
    }
    let mut last: Option<usize> = None;
    for at in order {
        let before = last.filter(|before| holds[*before].start > holds[*at].start);
        if let Some(before) = before {
            let (a, b) = (holds[before], holds[*at]);
            if a.start > b.latest {
                return Err(format!(
                    "{} was granted number {} after {} had been granted number {}: numbers rise",
                    name(a.client),
                    a.fence.unwrap_or(0),
                    name(b.client),
                    b.fence.unwrap_or(0)
                ));
            }
        } else {
            last = Some(*at);
        }
    }
    let mut latest = u64::MAX;
    for at in order.iter().rev() {
        latest = latest.min(holds[*at].latest);
        holds[*at].latest = latest;
    }
    Ok(())
}

/// No grant, at its latest, finds all slots held by those before it. `false`:
/// without an order, one that may be over by then may be better made early.
fn sweep(
    holds: &[Hold],
    order: &[usize],
    capacity: usize,
    fenced: bool,
    name: &dyn Fn(u32) -> String,
) -> Result<bool, String> {
    let is_brief = |hold: &Hold| !fenced && hold.ends <= hold.latest;
    // Taken over by a brief one, a slot may be free early.
    if holds
        .iter()
        .any(|h| h.next.is_some_and(|next| is_brief(&holds[next])))
    {
        return Ok(false);
    }
    let mut is_decided = true;
    // By end: what is surely held.
    let mut held: BTreeSet<(u64, usize)> = BTreeSet::new();
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    for at in order {
        let hold = &holds[*at];
        while held.first().is_some_and(|(ends, _)| *ends <= hold.latest) {
            held.pop_first();
        }
        if let Some(previous) = before.remove(at) {
            held.remove(&(holds[previous].ends, previous));
        }
        if is_brief(hold) {
            is_decided &= held.len() < capacity;
            continue;
        }
        if held.len() >= capacity {
            let others: Vec<String> = held
                .iter()
                .take(6)
                .map(|(_, other)| name(holds[*other].client))
                .collect();
            let more = if held.len() > others.len() {
                ", …"
            } else {
                ""
            };
            return Err(format!(
                "{} was granted a slot while {} held all {capacity}{more}",
                name(hold.client),
                if others.is_empty() {
                    "nobody".to_owned()
                } else {
                    others.join(", ")
                }
            ));
        }
        held.insert((hold.ends, *at));
        if let Some(next) = hold.next {
            before.insert(next, *at);
        }
    }
    Ok(is_decided)
}
