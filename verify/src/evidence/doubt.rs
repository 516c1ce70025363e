//! Whether a scenario's figures can come from the scenario that PER-002 asks for.
//!
//! A figure that contradicts another one, or a scenario that was another one,
//! shows nothing, however good it looks: whatever would pass is inconclusive.
//! What fails, fails: a doubt acquits nobody.

use super::{Figures, Past};
use crate::evidence::judge::SESSIONS;
use crate::report::{Finding, Verdict};

/// How a scenario runs.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// All join at once, nobody leaves, and then it is counted.
    Burst,
    /// Users come and go for this many seconds, and it is counted after the end.
    Sustained {
        duration_s: u64,
        session_s: [f64; 2],
    },
}

/// The scenarios that PER-002 asks for, and their users.
const REQUIRED: [(&str, u64, Kind); 5] = [
    ("normal", 20, Kind::Burst),
    ("over-50", 50, Kind::Burst),
    ("over-100", 100, Kind::Burst),
    ("over-200", 200, Kind::Burst),
    (
        "sustained",
        30,
        Kind::Sustained {
            duration_s: 60,
            session_s: [5.0, 15.0],
        },
    ),
];

/// A finding for each required scenario that the report does not have.
pub(super) fn missing(past: &Past) -> Vec<Finding> {
    let absent = |name: &str| past.scenarios.iter().all(|s| s.name != name);
    let missing = REQUIRED.iter().filter(|(name, ..)| absent(name));
    missing
        .map(|(name, users, _)| {
            Finding::new(
                "R3.5",
                *name,
                Verdict::NotVerified,
                format!("The report has no such scenario ({users} users)."),
            )
        })
        .collect()
}

/// Takes a pass back that rests on doubtful figures.
pub(super) fn cast(finding: &mut Finding, doubts: &[String]) {
    if finding.verdict == Verdict::Pass
        && let Some((first, rest)) = doubts.split_first()
    {
        let looked = std::mem::replace(&mut finding.statement, first.clone());
        finding.verdict = Verdict::Inconclusive;
        finding.indicative = false;
        finding.evidence.splice(0..0, rest.iter().cloned());
        finding
            .evidence
            .push(format!("The figures alone look like a pass: {looked}"));
    }
}

/// Why the figures show nothing; empty if nothing speaks against them.
pub(super) fn doubts(figures: &Figures) -> Vec<String> {
    let mut doubts = Vec::new();
    let mut doubt = |wrong: bool, why: String| {
        if wrong {
            doubts.push(why);
        }
    };
    let (users, requests) = (figures.users, figures.requests);
    let required = REQUIRED.iter().find(|(name, ..)| *name == figures.name);
    if let Some((_, asked, kind)) = required {
        doubt(
            users != *asked,
            format!("It ran with {users} users; PER-002 asks for {asked}."),
        );
        match *kind {
            Kind::Burst => doubt(
                figures.active.is_none(),
                "It needs the counts while all were there (active, queued), not those after the end.".into(),
            ),
            Kind::Sustained {
                duration_s,
                session_s,
            } => {
                doubt(
                    figures.active.is_some(),
                    "It needs the counts after the end (active_final, queued_final): a count in between shows no drain.".into(),
                );
                doubt(
                    figures.duration_s != Some(duration_s),
                    format!("duration_s is not {duration_s}."),
                );
                doubt(
                    figures.session_s != Some(session_s),
                    format!("session_s is not {session_s:?}."),
                );
                rate(figures, duration_s as f64, session_s, &mut doubt);
            }
        }
    }
    doubt(users == 0, "Nobody took part.".into());
    doubt(
        requests < users,
        format!("{requests} requests of {users} users: not everybody asked."),
    );
    if let (Some(mean), Some(max)) = (figures.mean_ms, figures.max_ms) {
        doubt(
            mean > max,
            format!("The mean, {mean} ms, lies above the longest time, {max} ms."),
        );
    }
    if let Some(peak) = figures.active_max {
        let reached = users.min(SESSIONS);
        let counted = figures.active.or(figures.active_final).unwrap_or(0);
        doubt(
            peak < reached,
            format!("At most {peak} were active, though {users} users could fill {reached} slots."),
        );
        doubt(
            peak < counted || peak > users,
            format!(
                "active_max {peak} cannot be: {counted} active were counted, of {users} users."
            ),
        );
    }
    doubts
}

/// So many sessions of this length keep the slots at work for so long, and fit.
fn rate(
    figures: &Figures,
    duration_s: f64,
    [shortest, longest]: [f64; 2],
    doubt: &mut impl FnMut(bool, String),
) {
    let (users, requests) = (figures.users as f64, figures.requests as f64);
    let least = (duration_s * users.min(SESSIONS as f64) / longest).ceil();
    doubt(
        requests < least,
        format!(
            "{requests} sessions of at most {longest} s do not keep the slots at work for {duration_s} s; {least} would."
        ),
    );
    let most = users * (duration_s / shortest + 1.0);
    doubt(
        requests > most,
        format!(
            "{requests} sessions of at least {shortest} s do not fit into {duration_s} s; {most} would."
        ),
    );
}
