//! What a report says beside its scenarios: verified if it carries the figures.

use super::Past;
use super::judge::{IDLE_S, SESSIONS};
use crate::report::{Finding, Verdict};

/// A session may be reclaimed so much later than it could be, in seconds:
/// housekeeping happens with the next operation, and a loaded machine is late.
const LATE_S: f64 = 10.0;

/// R3.4: sessions that were really left idle for half an hour.
pub(super) fn idle(past: &Past) -> Finding {
    let finding = |verdict, text: String| Finding::new("R3.4", "30-minute clean-up", verdict, text);
    if past.session_timeout_s != IDLE_S {
        return finding(
            Verdict::Fail,
            format!(
                "Idle time was set to {} s; PER-002 asks for {IDLE_S} s.",
                past.session_timeout_s
            ),
        );
    }
    let Some(measured) = &past.idle_reclaim else {
        let longest = past.scenarios.iter().filter_map(|s| s.duration_s).max();
        let longest = longest.unwrap_or(0);
        return finding(
            Verdict::NotVerified,
            format!(
                "The longest scenario lasted {longest} s; no session was ever idle for {IDLE_S} s."
            ),
        )
        .because("A setting of 1800 s is an intention; no figure counts a reclaimed session.");
    };
    let (sessions, [first, last]) = (measured.sessions, measured.after_s);
    let counted =
        format!("{sessions} sessions were reclaimed, {first} to {last} s after their last use");
    let due = IDLE_S as f64;
    if sessions == 0 || first > last {
        finding(
            Verdict::Inconclusive,
            format!("{counted}: that is no measurement."),
        )
    } else if first < due {
        finding(
            Verdict::Fail,
            format!("{counted}: earlier than {IDLE_S} s."),
        )
    } else if last > due + LATE_S {
        finding(
            Verdict::Fail,
            format!("{counted}: more than {LATE_S} s late."),
        )
    } else {
        finding(Verdict::Pass, format!("{counted}."))
    }
}

/// R3.3: those who waited were promoted in the order in which they came.
fn order(past: &Past) -> Finding {
    let finding = |verdict, text: String| Finding::new("R3.3", "FIFO kept", verdict, text);
    let requests = past.scenarios.iter().map(|s| s.requests);
    let requests = requests.fold(0_u64, u64::saturating_add);
    let Some(fifo) = &past.fifo else {
        let runs = past.scenarios.iter().filter(|s| s.active_final.is_some());
        let promoted = runs
            .map(|s| s.requests.saturating_sub(s.queued_final.unwrap_or(0)))
            .map(|served| served.saturating_sub(SESSIONS))
            .fold(0_u64, u64::saturating_add);
        return finding(
            Verdict::NotVerified,
            if promoted == 0 {
                "By the figures nobody was ever promoted: there was no order to keep.".to_owned()
            } else {
                format!("At least {promoted} were promoted, but no figure tells in which order.")
            },
        );
    };
    let (promoted, inversions) = (fifo.promoted, fifo.inversions);
    let counted = format!(
        "{promoted} were promoted from the queue, {inversions} before somebody ahead of them"
    );
    if inversions > 0 {
        finding(Verdict::Fail, format!("{counted}."))
    } else if promoted < 2 || promoted > requests {
        finding(
            Verdict::Inconclusive,
            format!("{counted}, of {requests} requests: that shows no order."),
        )
    } else {
        finding(Verdict::Pass, format!("{counted}."))
    }
}

/// What the report says besides its scenarios: order, distribution, memory.
pub(super) fn besides(past: &Past) -> Vec<Finding> {
    let users = past.scenarios.iter().map(|s| s.users).max().unwrap_or(0);
    let distributed = match past.processes {
        Some(n) if n > users => Finding::new(
            "R3.1",
            "distributed",
            Verdict::Inconclusive,
            format!("{n} processes cannot each have had a user: there were {users}."),
        ),
        Some(n) if n >= 2 => Finding::new(
            "R3.1",
            "distributed",
            Verdict::Pass,
            format!("The load ran over {n} processes."),
        ),
        Some(_) | None => Finding::new(
            "R3.1",
            "distributed",
            Verdict::NotVerified,
            "No figure tells over how many processes the load ran; one process shows nothing.",
        ),
    };
    let mut found = vec![order(past), distributed];
    if let Some(bytes) = past.redis_bytes_per_session {
        found.push(
            Finding::new(
                "R1.15",
                "memory per session",
                Verdict::NotVerified,
                format!("{bytes} bytes per session is one number without a measurement beside it."),
            )
            .because("It needs memory before and after, with the number of sessions in between."),
        );
    }
    found
}

/// R3.6: does the original gate overshoot?
pub(super) fn defect(past: &Past) -> Finding {
    let finding = |verdict, text: &str| Finding::new("R3.6", "original defect", verdict, text);
    let over: Vec<String> = past
        .naive_overshoot
        .iter()
        .filter(|row| row.active > SESSIONS && row.active <= row.users)
        .map(|row| {
            format!(
                "{} of {} users were active, cap {SESSIONS}.",
                row.active, row.users
            )
        })
        .collect();
    let base = if past.naive_overshoot.is_empty() {
        finding(
            Verdict::NotVerified,
            "No figure on the gate before the fix.",
        )
    } else if over.len() == past.naive_overshoot.len() {
        finding(
            Verdict::Convicted,
            "HLEN, then HSET: it admits whoever asks at the same time.",
        )
    } else {
        finding(
            Verdict::NotVerified,
            "Not every figure of the old gate shows the overshoot.",
        )
    };
    over.into_iter().fold(base, Finding::because)
}
