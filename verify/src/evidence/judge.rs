//! The verdicts, each computed from the figures it names.

use super::{Concurrency, Figures, Past, claims, doubt};
use crate::report::{Finding, Latency, Origin, Report, Scenario, Verdict};

/// PER-002's own numbers: a report that used others audited something else.
pub(super) const SESSIONS: u64 = 20;
const QUERIES: u64 = 10;
pub(super) const IDLE_S: u64 = 1_800;
const LIMIT_MS: f64 = 200.0;
pub(super) fn judge(name: &str, past: &Past) -> Report {
    let mut report = Report::new(
        format!(
            "the report of {} on redis {}, {name}",
            past.date, past.redis
        ),
        format!("verify audit --evidence {name}"),
    );
    report.findings.push(queries(past));
    report.findings.extend(settings(past));
    for required in doubt::missing(past) {
        report.findings.push(required);
    }
    for figures in &past.scenarios {
        let mut findings = match (figures.active, figures.queued) {
            (Some(active), Some(queued)) => snapshot(figures, active, queued),
            _ => whole_run(figures),
        };
        findings.push(times(figures));
        let doubts = doubt::doubts(figures);
        for finding in &mut findings {
            doubt::cast(finding, &doubts);
            finding.reported = Some(figures.reported.clone());
        }
        report.findings.extend(findings);
        report.scenarios.push(row(figures));
    }
    report.findings.extend(claims::besides(past));
    report.findings.push(claims::defect(past));
    report.notes = vec![
        "Every verdict is computed from the report's figures; its own words weigh nothing.".into(),
        "\"At most 20\" is meant as (s), what the store had granted, at the moment of the count: \
         the figures carry neither what clients believed (b) nor effects (e)."
            .into(),
    ];
    report.conclude(true)
}

/// R3.1: at most ten queries at work, over all processes together.
fn queries(past: &Past) -> Finding {
    let scope = "ten concurrent queries";
    let finding = |verdict, text: String| Finding::new("R3.1", scope, verdict, text);
    match &past.concurrency_10_evidence {
        Concurrency::Words(words) => finding(
            Verdict::NotVerified,
            format!(
                "No figure shows it; the report's evidence is \"{}\".",
                words.escape_debug()
            ),
        )
        .because("Code that was read was not run: no count of queries at work was taken.")
        .because(
            "A semaphore in each of k processes admits k × 10; reading one shows nothing of k.",
        ),
        Concurrency::Measured { max_in_flight, .. } if *max_in_flight > QUERIES => finding(
            Verdict::Fail,
            format!("{max_in_flight} queries were at work at once, {QUERIES} are allowed."),
        ),
        Concurrency::Measured {
            max_in_flight,
            processes,
        } if *processes < 2 => finding(
            Verdict::NotVerified,
            format!(
                "{max_in_flight} at once in {processes} process; the cap is over all processes together."
            ),
        ),
        Concurrency::Measured { max_in_flight, .. } if *max_in_flight < QUERIES => finding(
            Verdict::Inconclusive,
            format!(
                "At most {max_in_flight} at once: the cap of {QUERIES} was never reached, so nothing held it."
            ),
        ),
        Concurrency::Measured {
            max_in_flight,
            processes,
        } => finding(
            Verdict::Pass,
            format!("At most {max_in_flight} at once over {processes} processes."),
        ),
    }
}

/// The limits that the audited system was set to.
fn settings(past: &Past) -> Vec<Finding> {
    let mut found = Vec::new();
    if past.max_active_sessions != SESSIONS {
        found.push(Finding::new(
            "R3.2",
            "setting",
            Verdict::Fail,
            format!(
                "The cap was set to {}; PER-002 asks for {SESSIONS}.",
                past.max_active_sessions
            ),
        ));
    }
    if past.max_concurrent_queries != QUERIES {
        found.push(Finding::new(
            "R3.1",
            "setting",
            Verdict::Fail,
            format!(
                "The limit was set to {}; PER-002 asks for {QUERIES}.",
                past.max_concurrent_queries
            ),
        ));
    }
    if past.response_limit_ms > LIMIT_MS {
        found.push(Finding::new(
            "R3.5",
            "setting",
            Verdict::Fail,
            format!(
                "The limit was {} ms; PER-002 asks for {LIMIT_MS} ms.",
                past.response_limit_ms
            ),
        ));
    }
    found.push(claims::idle(past));
    found
}

/// Everyone joined at once, nobody left, and then it was counted.
fn snapshot(figures: &Figures, active: u64, queued: u64) -> Vec<Finding> {
    let scope = figures.name.as_str();
    let expected = figures.users.min(SESSIONS);
    let counted = format!("{active} active, {queued} queued, {} users.", figures.users);
    let peak = figures.active_max.unwrap_or(active).max(active);
    let cap = if peak > SESSIONS {
        let over = peak - SESSIONS;
        Finding::new(
            "R3.2",
            scope,
            Verdict::Fail,
            format!("{over} above the cap of {SESSIONS}."),
        )
    } else {
        Finding::new(
            "R3.2",
            scope,
            Verdict::Pass,
            format!("{active} active, cap {SESSIONS}."),
        )
        .because("One count at the end: what happened in between is not in the figures.")
    };
    let queue = if active < expected && queued > 0 {
        let free = SESSIONS.saturating_sub(active);
        Finding::new(
            "R3.3",
            scope,
            Verdict::Fail,
            format!("{free} slots were free while {queued} waited (R1.4)."),
        )
    } else if active.saturating_add(queued) != figures.users {
        Finding::new(
            "R3.3",
            scope,
            Verdict::Fail,
            format!(
                "{} joined, but {} are accounted for (R1.5).",
                figures.users,
                active.saturating_add(queued)
            ),
        )
    } else if active != expected {
        Finding::new(
            "R3.3",
            scope,
            Verdict::Fail,
            format!(
                "{active} active and {queued} queued; it should be {expected} and {}.",
                figures.users - expected
            ),
        )
    } else {
        Finding::new(
            "R3.3",
            scope,
            Verdict::Pass,
            format!("{queued} queued, as expected; nobody left, so nobody was promoted."),
        )
    };
    vec![cap.because(counted.clone()), queue.because(counted)]
}

/// Users came and went, and it was counted after the end.
fn whole_run(figures: &Figures) -> Vec<Finding> {
    let scope = figures.name.as_str();
    let active = figures.active_final.unwrap_or(0);
    let queued = figures.queued_final.unwrap_or(0);
    let counted = format!(
        "At the end: {active} active, {queued} queued, {} requests.",
        figures.requests
    );
    let peak = figures.active_max.unwrap_or(active).max(active);
    let cap = if peak > SESSIONS {
        Finding::new(
            "R3.2",
            scope,
            Verdict::Fail,
            format!("{peak} active, cap {SESSIONS}."),
        )
    } else if figures.active_max.is_some() {
        Finding::new(
            "R3.2",
            scope,
            Verdict::Pass,
            format!("At most {peak} active, cap {SESSIONS}."),
        )
    } else {
        Finding::new(
            "R3.2",
            scope,
            Verdict::NotVerified,
            "Only the count after the end is given; \"never more than 20\" needs the highest.",
        )
    };
    let queue = match (active, queued) {
        (0, 0) => Finding::new(
            "R3.3",
            scope,
            Verdict::Pass,
            "Drained: nobody active, nobody queued.",
        ),
        (_, 1..) if active < SESSIONS => {
            let free = SESSIONS - active;
            let mut finding = Finding::new(
                "R3.3",
                scope,
                Verdict::Fail,
                format!("{active} active beside {queued} queued: {free} slots stood free while {queued} waited."),
            )
            .because("A free slot and a waiter must never coexist (R1.4): promotion did not work.");
            if queued >= figures.requests {
                finding = finding.because(format!(
                    "As many are queued as ever asked ({}): by these figures promotion never worked at all.",
                    figures.requests
                ));
            }
            finding.because(format!("{queued} accepted joins ended in silence (R1.5)."))
        }
        _ => Finding::new(
            "R3.3",
            scope,
            Verdict::Fail,
            "It did not drain: after the last user has left it must be 0 and 0.",
        ),
    };
    vec![cap, queue.because(counted)]
}

/// R3.5: success and response times.
fn times(figures: &Figures) -> Finding {
    let scope = figures.name.as_str();
    let latency = latency(figures);
    let stranded = figures.queued_final.unwrap_or(0).min(figures.requests);
    let finding = |verdict, text: String| Finding::new("R3.5", scope, verdict, text);
    if figures.success_pct < 100.0 {
        return finding(
            Verdict::Fail,
            format!("Success {} %, 100 % is asked for.", figures.success_pct),
        );
    }
    if stranded > 0 {
        let served = figures.requests - stranded;
        return finding(
            Verdict::Fail,
            format!(
                "Success is given as 100 %, but {served} of {} were served.",
                figures.requests
            ),
        )
        .because("Being put in the queue was counted as success, and timed as the response.");
    }
    let late = [("mean", figures.mean_ms), ("P95", figures.p95_ms)]
        .into_iter()
        .find_map(|(name, ms)| ms.filter(|ms| *ms > LIMIT_MS).map(|ms| (name, ms)));
    if let Some((name, ms)) = late {
        return finding(
            Verdict::Fail,
            format!("{name} {ms} ms, at most {LIMIT_MS} ms is asked for."),
        )
        .because(format!("{} samples.", figures.requests));
    }
    let (Some(mean), Some(p95)) = (figures.mean_ms, figures.p95_ms) else {
        let which = if figures.mean_ms.is_none() {
            "mean"
        } else {
            "P95"
        };
        return finding(
            Verdict::NotVerified,
            format!("No {which} is given ({} samples).", figures.requests),
        );
    };
    let mut finding = finding(
        Verdict::Pass,
        format!(
            "Mean {mean} ms, P95 {p95} ms, {} samples.",
            figures.requests
        ),
    );
    if latency.is_indicative(95) {
        finding.indicative = true;
        finding = finding.because(format!(
            "P95 is indicative: {} samples lie beyond it, ten are needed.",
            figures.requests / 20
        ));
    }
    if figures.p99_ms.is_none() {
        finding = finding.because("No P99 is given.");
    }
    finding
}

fn latency(figures: &Figures) -> Latency {
    Latency {
        origin: Origin::Reported,
        what: "response".to_owned(),
        samples: figures.requests,
        mean_ms: figures.mean_ms,
        p50_ms: figures.p50_ms,
        p95_ms: figures.p95_ms,
        p99_ms: figures.p99_ms,
        max_ms: figures.max_ms,
    }
}

fn row(figures: &Figures) -> Scenario {
    let snapshot = figures.active.zip(figures.queued);
    let active = figures.users.min(SESSIONS);
    Scenario {
        name: figures.name.clone(),
        users: figures.users,
        expected: match snapshot {
            Some(_) => (active, figures.users - active),
            None => (0, 0),
        },
        found: snapshot.or(figures.active_final.zip(figures.queued_final)),
        active_max: figures.active_max,
        digest: None,
        latency: Some(latency(figures)),
    }
}
