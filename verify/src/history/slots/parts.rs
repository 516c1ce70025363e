//! What may be left out of a history of slots.
//!
//! Leaving out a release alone would make its slot look held for ever, so parts
//! are such that everything else can go on as before: a client; the oldest
//! attempts of a client, which end nobody's slot but their own; a renewal, a
//! loss, a refusal. While a lock has refusals, what may have held it then has
//! to stay. Resizes stay.

use std::collections::BTreeMap;

use super::{Asked, Op, Reply};

/// Larger parts first.
pub(super) fn parts(operations: &[Asked], judges_refusals: bool) -> Vec<Vec<usize>> {
    let mut clients: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, asked) in operations.iter().enumerate() {
        if attempt(asked).is_some() {
            clients.entry(asked.client).or_default().push(at);
        }
    }
    let all: Vec<&Vec<usize>> = clients.values().collect();
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut size = all.len() / 2;
    while size > 0 {
        let some = all.chunks(size);
        parts.extend(some.map(|c| c.iter().flat_map(|own| own.iter().copied()).collect()));
        size /= 2;
    }
    for own in clients.values() {
        parts.extend(oldest(operations, own));
    }
    let refusals = operations.iter().filter(|asked| is_refusal(asked));
    if let Some(first) = refusals
        .map(|asked| asked.start)
        .min()
        .filter(|_| judges_refusals)
    {
        parts.retain(|part| is_over(operations, part, first));
    }
    let alone = |asked: &Asked| match asked.op {
        Op::Renew { .. } => true,
        Op::Release { .. } => matches!(asked.reply(), Some(Reply::Lost)),
        Op::Acquire { .. } => is_refusal(asked),
        Op::Cancel { .. } | Op::Resize { .. } | Op::Expire { .. } => false,
    };
    let single = (0..operations.len()).filter(|at| alone(&operations[*at]));
    parts.extend(single.map(|at| vec![at]));
    parts
}

/// The oldest half of a client's attempts, the oldest quarter, …, the oldest.
fn oldest(operations: &[Asked], own: &[usize]) -> Vec<Vec<usize>> {
    let mut attempts: Vec<_> = own.iter().map(|at| attempt(&operations[*at])).collect();
    attempts.sort_unstable();
    attempts.dedup();
    let mut parts = Vec::new();
    let mut count = attempts.len() / 2;
    while count > 0 {
        let last = attempts[count - 1];
        let old = own.iter().copied();
        parts.push(old.filter(|at| attempt(&operations[*at]) <= last).collect());
        count /= 2;
    }
    parts
}

/// Whether nothing of this part can have held a slot at this time or later.
fn is_over(operations: &[Asked], part: &[usize], time: u64) -> bool {
    part.iter().all(|at| {
        let asked = &operations[*at];
        let given_back = |other: &usize| {
            let other = &operations[*other];
            matches!(other.reply(), Some(Reply::Released | Reply::Cancelled))
                && other.end() < time
                && (other.client, attempt(other)) == (asked.client, attempt(asked))
        };
        match asked.op {
            Op::Acquire { .. } => is_refusal(asked) || part.iter().any(given_back),
            _ => true,
        }
    })
}

fn is_refusal(asked: &Asked) -> bool {
    matches!(asked.reply(), Some(Reply::Refused))
}

fn attempt(asked: &Asked) -> Option<u64> {
    match asked.op {
        Op::Acquire { attempt }
        | Op::Renew { attempt }
        | Op::Release { attempt }
        | Op::Cancel { attempt }
        | Op::Expire { attempt, .. } => Some(attempt),
        Op::Resize { .. } => None,
    }
}
