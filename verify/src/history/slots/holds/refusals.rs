//! Whether a lock that was refused can have been held.

use super::{Asked, Hold, Op, Reply};

/// Of a lock: each refusal falls into a time at which it can have been held.
pub(super) fn refusals(
    operations: &[Asked],
    holds: &[Hold],
    order: &[usize],
    fenced: bool,
    name: &dyn Fn(u32) -> String,
) -> Option<Result<(), String>> {
    let refused = |asked: &&Asked| matches!(asked.reply(), Some(Reply::Refused));
    if operations.iter().any(|asked| refused(&asked)) && !fenced && holds.len() > 1 {
        return None; // whose turn came first is not known
    }
    // As long as possible: (earliest grant, latest end), both rising.
    let mut spans: Vec<(u64, u64)> = Vec::new();
    let mut free = 0;
    for (i, at) in order.iter().enumerate() {
        let hold = &holds[*at];
        let next = order
            .get(i + 1)
            .map_or(u64::MAX, |next| holds[*next].latest);
        let from = free.max(hold.start);
        spans.push((from, hold.gone.min(next)));
        // Whoever takes its own client's place over ends it then.
        let ends = if hold.next.is_some() && hold.next == order.get(i + 1).copied() {
            0
        } else {
            hold.ends
        };
        free = from.max(ends);
    }
    for asked in operations.iter().filter(refused) {
        let begun = spans.partition_point(|(from, _)| *from <= asked.end());
        let held = begun
            .checked_sub(1)
            .is_some_and(|at| spans[at].1 >= asked.start);
        if held {
            continue;
        }
        let ghost = |other: &Asked| {
            let unknown = matches!(other.op, Op::Acquire { .. }) && other.answer.is_none();
            unknown && other.start <= asked.end()
        };
        if operations.iter().any(ghost) {
            return None;
        }
        return Some(Err(format!(
            "{} was refused though nobody can have held the lock",
            name(asked.client)
        )));
    }
    Some(Ok(()))
}
