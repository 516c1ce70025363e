//! What the figures of a crowd on a real server say. The same judges see the
//! gate under audit and the wrong one beside it.

use super::crowd::{Join, Seen};
use super::{LIMIT_MS, SESSIONS};
use crate::report::{Finding, Latency, Verdict};

/// A session may be reclaimed so much later than it could be, in milliseconds.
pub(super) const IDLE_LATE_MS: u64 = 500;
/// The two clocks begin with the request and its answer, not at one moment.
const IDLE_EARLY_MS: u64 = 50;

pub(super) fn verdict(requirement: &str, scope: &str, holds: bool, statement: String) -> Finding {
    let verdict = if holds { Verdict::Pass } else { Verdict::Fail };
    Finding::new(requirement, scope, verdict, statement)
}

/// Never more than the cap; shown only if it was reached, and counted.
pub(super) fn cap(name: &str, users: u32, granted: u64, seen: &Seen) -> Finding {
    let cap = u64::from(SESSIONS);
    let believed = seen.sessions_max;
    let finding = verdict(
        "R3.2",
        name,
        granted <= cap && believed <= cap,
        format!(
            "At most {granted} granted by the store (s), at most {believed} believed by holders (b), cap {cap}."
        ),
    );
    let reach = cap.min(users.into());
    if granted > cap {
        finding
    } else if seen.uncounted > 0 {
        uncounted(finding, seen)
    } else if believed < reach {
        inconclusive(
            finding,
            format!(
                "Never more than {believed} held a slot, though {users} users could fill {reach}: nothing held the cap."
            ),
        )
    } else {
        finding
    }
}

/// Takes a verdict back that rests on counts which the store refused.
pub(super) fn uncounted(finding: Finding, seen: &Seen) -> Finding {
    let (times, why) = (seen.uncounted, &seen.uncounted_why);
    inconclusive(
        finding,
        format!("{times} counts could not be taken: {why}."),
    )
}

fn inconclusive(mut finding: Finding, why: String) -> Finding {
    let looked = std::mem::replace(&mut finding.statement, why);
    finding.verdict = Verdict::Inconclusive;
    finding.because(looked)
}

/// Grants in the order of the line, over all who were seen in it.
pub(super) fn order(name: &str, seen: &Seen) -> Finding {
    let mut queued: Vec<(u64, u64)> = seen
        .joins
        .iter()
        .filter_map(|j| Some((j.fence?, j.key?)))
        .collect();
    queued.sort_unstable();
    let inversions = queued
        .windows(2)
        .filter(|pair| pair[0].1 >= pair[1].1)
        .count();
    let mut finding = verdict(
        "R1.2",
        &format!("FIFO, {name}"),
        inversions == 0,
        format!(
            "{} users were seen in line; {inversions} were granted before somebody ahead of them.",
            queued.len()
        ),
    );
    if queued.len() < 2 {
        finding.verdict = Verdict::NotVerified;
        finding.statement = "Nobody had to wait: there was no order to keep.".to_owned();
    }
    finding
}

/// Every join ended as it should, and the gate is empty: `left` are the active
/// and queued at the end.
pub(super) fn drained(name: &str, left: (u64, u64), seen: &Seen) -> Finding {
    let served = seen.joins.iter().filter(|join| join.served).count();
    let mut finding = verdict(
        "R1.5",
        &format!("drain, {name}"),
        served == seen.joins.len() && served > 0 && left == (0, 0),
        format!(
            "{served} of {} joins were granted and given back.",
            seen.joins.len()
        ),
    )
    .because(format!("{} active, {} queued at the end.", left.0, left.1));
    if seen.troubles > 0 {
        finding = finding.because(format!(
            "Clients met trouble {} times: {}",
            seen.troubles, seen.trouble
        ));
    }
    finding
}

/// R3.5, over the first answers.
pub(super) fn times(name: &str, table: &Latency, seen: &Seen) -> Finding {
    let answered = |join: &&Join| join.answered;
    let success = seen.joins.iter().filter(answered).count();
    let within = |ms: Option<f64>| ms.is_some_and(|ms| ms <= LIMIT_MS);
    let holds = success == seen.joins.len() && within(table.mean_ms) && within(table.p95_ms);
    let ms = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.2}"));
    let mut finding = verdict(
        "R3.5",
        name,
        holds,
        format!(
            "Mean {} ms, P95 {} ms of {} samples, limit {LIMIT_MS} ms; success {success} of {}.",
            ms(table.mean_ms),
            ms(table.p95_ms),
            table.samples,
            seen.joins.len()
        ),
    );
    finding.indicative = table.is_indicative(95);
    finding
}

/// R3.4: it was seen alive last at `alive_ms` and gone at `gone_ms`, both since
/// its last use; it should go at `idle_ms`.
pub(super) fn reclaimed(alive_ms: u64, gone_ms: u64, idle_ms: u64) -> Verdict {
    let latest = idle_ms + IDLE_LATE_MS;
    if gone_ms + IDLE_EARLY_MS < idle_ms || alive_ms > latest {
        Verdict::Fail
    } else if gone_ms > latest {
        Verdict::Inconclusive // nobody looked in between
    } else {
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Origin;

    fn seen(sessions_max: u64) -> Seen {
        Seen {
            sessions_max,
            ..Seen::default()
        }
    }

    #[test]
    fn a_cap_that_was_not_reached_or_not_counted_is_not_shown() {
        let of = |users, granted, seen| cap("x", users, granted, &seen).verdict;
        assert_eq!(of(50, 20, seen(20)), Verdict::Pass);
        assert_eq!(of(10, 10, seen(10)), Verdict::Pass);
        assert_eq!(of(50, 20, seen(0)), Verdict::Inconclusive);
        assert_eq!(of(50, 20, seen(19)), Verdict::Inconclusive);
        assert_eq!(of(50, 20, seen(21)), Verdict::Fail);
        assert_eq!(of(50, 21, seen(20)), Verdict::Fail);
        let refused = Seen {
            uncounted: 1,
            uncounted_why: "refused INCR: NOPERM".into(),
            ..seen(20)
        };
        let finding = cap("x", 50, 20, &refused);
        assert_eq!(finding.verdict, Verdict::Inconclusive);
        assert!(finding.statement.contains("NOPERM"), "{finding:?}");
        assert_eq!(of(50, 21, refused), Verdict::Fail);
    }

    #[test]
    fn an_overtaken_waiter_a_lost_join_and_a_late_answer_are_seen() {
        let join = |fence, key, served| Join {
            fence: Some(fence),
            key: Some(key),
            served,
            answered: true,
            answer_ms: 1.0,
        };
        let mut seen = seen(20);
        seen.joins = vec![join(7, 10, true), join(8, 20, true), join(9, 30, true)];
        let table = |ms| Latency::of(Origin::Measured, "test", vec![ms; 3]);
        assert_eq!(order("x", &seen).verdict, Verdict::Pass);
        assert_eq!(drained("x", (0, 0), &seen).verdict, Verdict::Pass);
        assert_eq!(drained("x", (0, 1), &seen).verdict, Verdict::Fail);
        assert_eq!(times("x", &table(200.0), &seen).verdict, Verdict::Pass);
        assert_eq!(times("x", &table(200.5), &seen).verdict, Verdict::Fail);
        seen.joins[1].key = Some(40);
        assert_eq!(order("x", &seen).verdict, Verdict::Fail);
        seen.joins[2].served = false;
        assert_eq!(drained("x", (0, 0), &seen).verdict, Verdict::Fail);
        seen.joins[0].answered = false;
        assert_eq!(times("x", &table(1.0), &seen).verdict, Verdict::Fail);
        assert_eq!(
            drained("x", (0, 0), &Seen::default()).verdict,
            Verdict::Fail
        );
    }

    #[test]
    fn a_session_is_reclaimed_when_it_has_been_idle_and_soon() {
        for (alive, gone, expected) in [
            (1_475, 1_500, Verdict::Pass),
            (1_475, 1_460, Verdict::Pass),
            (1_400, 1_440, Verdict::Fail),
            (2_010, 2_035, Verdict::Fail),
            (5_900, 5_990, Verdict::Fail),
            (1_490, 2_100, Verdict::Inconclusive),
        ] {
            assert_eq!(reclaimed(alive, gone, 1_500), expected, "{alive} {gone}");
        }
    }
}
