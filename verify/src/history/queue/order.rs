//! Histories of queues in which no value is enqueued twice: O(n log n).
//!
//! Such a history is linearizable unless one of four things is in it
//! (Henzinger, Sezgin & Vafeiadis, "Aspect-oriented linearizability proofs",
//! CONCUR 2013): a value is dequeued that nobody had enqueued; a value is
//! dequeued twice; of two values enqueued one after the other, the second is
//! dequeued and the first is not, or only later; a dequeue finds nothing though
//! at every moment of it some value surely was in the queue.
//!
//! The theorem is about complete histories. An enqueue with unknown outcome took
//! effect if its value is dequeued, and at the latest then; else it is left out.
//! A dequeue with unknown outcome may have taken any value: each value that must
//! be gone by some time needs one that began before. Earliest first is best.
//!
//! Not decided here, but by the search: values enqueued twice, and unknown
//! dequeues beside answers of "empty" (which value is gone would matter).

use std::collections::BTreeMap;

use super::{Asked, Op, Reply};

/// One value: when it can have come and gone.
#[derive(Clone, Copy, Debug)]
struct Value {
    value: u64,
    put: (u64, u64),
    taken: Option<(u64, u64)>,
}

impl Value {
    fn taken_start(&self) -> u64 {
        self.taken.map_or(u64::MAX, |(start, _)| start)
    }
}

pub(super) fn decide(
    operations: &[Asked],
    name: &dyn Fn(u32) -> String,
) -> Option<Result<(), String>> {
    let mut puts: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut takes: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let (mut empties, mut unknown) = (Vec::new(), Vec::new());
    for asked in operations {
        let span = (asked.start, asked.end());
        match (asked.op, asked.reply()) {
            (Op::Enqueue { value }, _) => {
                if puts.insert(value, span).is_some() {
                    return None;
                }
            }
            (Op::Dequeue, None) => unknown.push(asked.start),
            (Op::Dequeue, Some(Reply::Dequeued { value })) => {
                if takes.insert(*value, span).is_some() {
                    return Some(Err(format!("{value} was dequeued twice")));
                }
            }
            (Op::Dequeue, Some(_)) => empties.push(asked),
        }
    }
    if !unknown.is_empty() && !empties.is_empty() {
        return None;
    }
    for (value, taken) in &takes {
        let put = puts.get(value);
        if put.is_none_or(|put| put.0 > taken.1) {
            return Some(Err(format!(
                "{value} was dequeued before anybody had enqueued it"
            )));
        }
    }
    let mut values = Vec::new();
    for (value, put) in puts {
        let taken = takes.get(&value).copied();
        // Unknown and never seen: it need not have come.
        if put.1 == u64::MAX && taken.is_none() {
            continue;
        }
        let end = taken.map_or(put.1, |taken| taken.1.min(put.1));
        values.push(Value {
            value,
            put: (put.0, end),
            taken,
        });
    }
    unknown.sort_unstable();
    if let Err(words) = in_order(&values, &unknown) {
        return Some(Err(words));
    }
    let blocks = never_empty(&mut values);
    for asked in empties {
        let at = blocks.partition_point(|(from, _)| *from < asked.start);
        if at > 0 && blocks[at - 1].1 > asked.end() {
            return Some(Err(format!(
                "{} found the queue empty, which it was at no moment of that",
                name(asked.client)
            )));
        }
    }
    Some(Ok(()))
}

/// First in, first out; `unknown` are the starts of dequeues that may have taken
/// anything.
fn in_order(values: &[Value], unknown: &[u64]) -> Result<(), String> {
    let mut taken: Vec<&Value> = values.iter().filter(|v| v.taken.is_some()).collect();
    taken.sort_by_key(|v| v.put.0);
    // Of all that came from here on, the one that was gone first.
    let mut gone_first: Vec<&Value> = taken.clone();
    for at in (1..gone_first.len()).rev() {
        if end(gone_first[at]) < end(gone_first[at - 1]) {
            gone_first[at - 1] = gone_first[at];
        }
    }
    let mut must_go = Vec::new();
    for value in values {
        let behind = taken.partition_point(|v| v.put.0 <= value.put.1);
        let Some(overtaker) = gone_first.get(behind).copied() else {
            continue;
        };
        if value.taken.is_none() {
            must_go.push((end(overtaker), value, overtaker));
        } else if end(overtaker) < value.taken_start() {
            return Err(overtaken(value, overtaker));
        }
    }
    must_go.sort_by_key(|(by, ..)| *by);
    for (at, (by, value, overtaker)) in must_go.into_iter().enumerate() {
        if unknown.get(at).is_none_or(|start| *start > by) {
            return Err(overtaken(value, overtaker));
        }
    }
    Ok(())
}

fn end(value: &Value) -> u64 {
    value.taken.map_or(u64::MAX, |(_, end)| end)
}

fn overtaken(value: &Value, by: &Value) -> String {
    format!(
        "{} was enqueued before {}, and dequeued after it or not at all",
        value.value, by.value
    )
}

/// The times (bounds excluded) at which the queue surely is not empty, sorted.
fn never_empty(values: &mut [Value]) -> Vec<(u64, u64)> {
    values.sort_by_key(|v| v.put.1);
    let mut blocks: Vec<(u64, u64)> = Vec::new();
    for value in values.iter().filter(|v| v.put.1 < v.taken_start()) {
        let (from, to) = (value.put.1, value.taken_start());
        match blocks.last_mut() {
            Some(last) if from < last.1 => last.1 = last.1.max(to),
            _ => blocks.push((from, to)),
        }
    }
    blocks
}
