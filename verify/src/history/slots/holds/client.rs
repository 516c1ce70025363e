//! What one client's answers tell of each of its attempts.

use std::collections::BTreeMap;

use super::{Asked, Hold, Op, Reply, until};

/// The operations of one client.
pub(super) struct Client<'a> {
    /// Answered, one after the other.
    answered: Vec<&'a Asked>,
    /// Starts of releases with unknown outcomes, by attempt.
    releases: BTreeMap<u64, u64>,
    /// (attempt, start) of acquires and cancels with unknown outcomes; both rise.
    acquires: Vec<(u64, u64)>,
    cancels: Vec<(u64, u64)>,
}

impl<'a> Client<'a> {
    /// `own` by start. `None` where one operation does not follow the other.
    pub(super) fn new(own: Vec<&'a Asked>) -> Option<Self> {
        let mut client = Self {
            answered: Vec::new(),
            releases: BTreeMap::new(),
            acquires: Vec::new(),
            cancels: Vec::new(),
        };
        let (mut acquired, mut cancelled) = (None, None);
        let mut busy_until = None;
        for asked in own {
            match asked.op {
                Op::Acquire { attempt } if Some(attempt) > acquired.max(cancelled) => {
                    acquired = Some(attempt);
                }
                Op::Acquire { .. } => return None,
                Op::Cancel { attempt } if Some(attempt) >= acquired.max(cancelled) => {
                    cancelled = Some(attempt);
                }
                Op::Cancel { .. } => return None,
                Op::Renew { .. } | Op::Release { .. } | Op::Resize { .. } | Op::Expire { .. } => {}
            }
            if asked.answer.is_some() {
                if Some(asked.start) <= busy_until {
                    return None;
                }
                busy_until = Some(asked.end());
                client.answered.push(asked);
                continue;
            }
            match asked.op {
                Op::Release { attempt } => {
                    client.releases.entry(attempt).or_insert(asked.start);
                }
                // Beside an answered operation it could end more than one slot.
                Op::Acquire { .. } | Op::Cancel { .. } if Some(asked.start) <= busy_until => {
                    return None;
                }
                Op::Acquire { attempt } => client.acquires.push((attempt, asked.start)),
                Op::Cancel { attempt } => client.cancels.push((attempt, asked.start)),
                Op::Renew { .. } | Op::Resize { .. } | Op::Expire { .. } => {}
            }
        }
        Some(client)
    }

    /// The earliest time at which this slot can end without an answer saying so.
    fn silent_end(&self, hold: &Hold) -> u64 {
        let n = hold.attempt;
        let first = |list: &[(u64, u64)], from: usize| list.get(from).map(|(_, start)| *start);
        let later = self.acquires.partition_point(|(attempt, _)| *attempt <= n);
        let this = self.cancels.partition_point(|(attempt, _)| *attempt < n);
        let ways = [
            Some(hold.until),
            self.releases.get(&n).copied(),
            first(&self.acquires, later),
            first(&self.cancels, this),
        ];
        let end = ways.into_iter().flatten().min().unwrap_or(u64::MAX);
        end.max(hold.needed)
    }

    /// Adds what this client was granted, in the order of time.
    pub(super) fn holds(&self, client: u32, holds: &mut Vec<Hold>) -> Result<(), String> {
        let first = holds.len();
        for asked in &self.answered {
            let current = holds.len().checked_sub(1).filter(|at| *at >= first);
            let held = current.filter(|at| !holds[*at].is_over);
            match (asked.op, asked.reply()) {
                (Op::Acquire { attempt }, Some(Reply::Granted { fence, .. })) => {
                    if let Some(at) = held {
                        holds[at].next = Some(holds.len());
                        holds[at].ends = self.silent_end(&holds[at]);
                    }
                    holds.push(Hold {
                        client,
                        attempt,
                        fence: *fence,
                        start: asked.start,
                        latest: asked.end(),
                        needed: asked.start,
                        until: until(asked).unwrap_or(u64::MAX),
                        ends: u64::MAX,
                        gone: u64::MAX,
                        is_over: false,
                        next: None,
                    });
                }
                (Op::Renew { attempt } | Op::Release { attempt }, Some(Reply::Lost)) => {
                    let Some(at) = held.filter(|at| holds[*at].attempt == attempt) else {
                        continue;
                    };
                    let ends = self.silent_end(&holds[at]);
                    if ends > asked.end() {
                        return Err(format!(
                            "was told that the slot of attempt {attempt} is lost, which nothing \
                             can have ended by then"
                        ));
                    }
                    over(&mut holds[at], ends, asked.end());
                }
                (Op::Renew { attempt }, _) => {
                    let Some(at) = held.filter(|at| holds[*at].attempt == attempt) else {
                        return Err(unheld("renewed", attempt));
                    };
                    let hold = &mut holds[at];
                    hold.needed = asked.start;
                    hold.until = hold.until.max(until(asked).unwrap_or(0));
                }
                (Op::Release { attempt }, _) => {
                    let Some(at) = held.filter(|at| holds[*at].attempt == attempt) else {
                        return Err(unheld("released", attempt));
                    };
                    over(&mut holds[at], asked.start, asked.end());
                }
                (Op::Cancel { attempt }, _) => {
                    if let Some(at) = held.filter(|at| holds[*at].attempt <= attempt) {
                        let ends = self.silent_end(&holds[at]).min(asked.start);
                        over(&mut holds[at], ends, asked.end());
                    }
                }
                (Op::Acquire { .. } | Op::Resize { .. } | Op::Expire { .. }, _) => {}
            }
        }
        if let Some(last) = holds[first..].last_mut().filter(|hold| !hold.is_over) {
            last.ends = self.silent_end(last);
        }
        Ok(())
    }
}

fn over(hold: &mut Hold, ends: u64, gone: u64) {
    hold.is_over = true;
    hold.ends = ends;
    hold.gone = gone;
}

fn unheld(what: &str, attempt: u64) -> String {
    format!("was told that the slot of attempt {attempt} is {what}, which it did not hold then")
}
