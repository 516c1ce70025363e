//! Gates made of the scripts in `lua/`: a request is an operation.

use std::collections::BTreeSet;

use super::{
    ActorId, BTreeMap, Clock, Command, Gate, Happening, Op, Outcome, RedisReply, Rejected, Reply,
    RequestId, script, tag,
};
use crate::history::Answer;

/// A request that was executed and not answered yet.
#[derive(Clone, Debug)]
enum Request {
    /// A join or a poll, sent at this time.
    Join { id: String, nonce: u64, sent: u64 },
    /// Anything else: its place in the history.
    Other { at: usize },
}

/// A request by who sent it, its number, and when: numbers begin anew when a
/// process does.
type Sent = (ActorId, RequestId, u64);

#[derive(Debug, Default)]
pub(super) struct Scripts {
    /// The store has lost its data.
    pub(super) is_over: bool,
    /// Gates at which a nonce stands for two places: nothing more is recorded.
    over: BTreeSet<String>,
    requests: BTreeMap<Sent, (String, Request)>,
    /// The acquire of each attempt.
    attempts: BTreeMap<(String, String, u64), usize>,
    /// Which attempt a fencing number belongs to.
    fences: BTreeMap<(String, String, u64), u64>,
}

impl Scripts {
    pub(super) fn take(
        &mut self,
        happening: &Happening,
        clock: &Clock,
        gates: &mut BTreeMap<String, Gate>,
    ) {
        match happening {
            Happening::Executed {
                who,
                request: Some(request),
                command,
                reply,
                sent_ns,
                ..
            } if !self.is_over => {
                let asked = self.executed(command, reply, clock.sent(*sent_ns), gates);
                if let Some(asked) = asked {
                    self.requests.insert((*who, *request, *sent_ns), asked);
                }
            }
            Happening::Delivered {
                who,
                request,
                reply,
                sent_ns,
            } => {
                let asked = self.requests.remove(&(*who, *request, *sent_ns));
                if let Some((name, asked)) = asked.filter(|(name, _)| !self.over.contains(name)) {
                    let gate = gates.entry(name.clone()).or_default();
                    self.delivered(&name, asked, reply, clock, gate);
                }
            }
            _ => {}
        }
    }

    /// Notes what was asked, as not answered yet.
    fn executed(
        &mut self,
        command: &Command,
        reply: &RedisReply,
        sent: u64,
        gates: &mut BTreeMap<String, Gate>,
    ) -> Option<(String, Request)> {
        let text = |at: usize| std::str::from_utf8(command.args.get(at)?).ok();
        let number = |at: usize| text(at)?.parse::<u64>().ok();
        let called = text(1)?;
        let script = script::ALL
            .iter()
            .find(|s| s.sha1 == called || s.text == called)?;
        let outcome = script::decode(reply).ok()?.outcome;
        let name = tag(command.args.get(3)?).filter(|name| !self.over.contains(name))?;
        let gate = gates.entry(name.clone()).or_default();
        let capacity = text(6)?.split(' ').next()?.parse().ok();
        gate.capacity = gate.capacity.or(capacity);
        if script.name == "resize" {
            let capacity = text(7)?.parse().ok()?;
            let at = gate
                .history
                .begin("operator", &name, sent, Op::Resize { capacity });
            return Some((name, Request::Other { at }));
        }
        let (id, n) = (text(7)?.to_owned(), number(8)?);
        let attempt = self.fences.get(&(name.clone(), id.clone(), n)).copied();
        let op = match script.name {
            "acquire" | "poll" => {
                if matches!(outcome, Outcome::Stale { .. } | Outcome::Unknown) {
                    return None;
                }
                let attempt = (name.clone(), id.clone(), n);
                if !matches!(outcome, Outcome::Ended(_)) {
                    self.attempts.entry(attempt).or_insert_with(|| {
                        gate.history
                            .begin(&id, &name, sent, Op::Acquire { attempt: n })
                    });
                }
                return Some((name, Request::Join { id, nonce: n, sent }));
            }
            "renew" => Op::Renew { attempt: attempt? },
            "release" => Op::Release { attempt: attempt? },
            "cancel" if !matches!(outcome, Outcome::Stale { .. }) => Op::Cancel { attempt: n },
            _ => return None,
        };
        let at = gate.history.begin(&id, &name, sent, op);
        Some((name, Request::Other { at }))
    }

    fn delivered(
        &mut self,
        name: &str,
        asked: Request,
        reply: &RedisReply,
        clock: &Clock,
        gate: &mut Gate,
    ) {
        let Ok(told) = script::decode(reply) else {
            return;
        };
        // The store counts in whole milliseconds.
        let lease = |ttl_ms: Option<u64>| ttl_ms.map(|ms| ms.saturating_sub(1) * 1_000_000);
        let end = clock.now();
        let history = &mut gate.history;
        let (at, reply) = match (asked, told.outcome) {
            (Request::Join { id, nonce, sent }, Outcome::Granted { fence, ttl_ms, .. }) => {
                let attempt = (name.to_owned(), id.clone(), nonce);
                let Some(at) = self.attempts.get(&attempt).copied() else {
                    return;
                };
                let lease = lease(ttl_ms);
                self.fences
                    .insert((name.to_owned(), id.clone(), fence), nonce);
                match history.operations[at].reply() {
                    // Said again: it is still held.
                    Some(Reply::Granted { fence: told, .. }) if *told == Some(fence) => {
                        let at = history.begin(&id, name, sent, Op::Renew { attempt: nonce });
                        (at, Reply::Renewed { lease })
                    }
                    // Its end was forgotten, and the nonce used for another place.
                    Some(Reply::Granted { .. }) => {
                        self.over.insert(name.to_owned());
                        return;
                    }
                    // Not granted yet, or refused at first: that leaves no trace.
                    _ => {
                        let fence = Some(fence);
                        (at, Reply::Granted { fence, lease })
                    }
                }
            }
            (Request::Join { id, nonce, .. }, Outcome::Rejected(Rejected::Busy)) => {
                match self.attempts.get(&(name.to_owned(), id, nonce)) {
                    Some(at) if history.operations[*at].answer.is_none() => (*at, Reply::Refused),
                    _ => return,
                }
            }
            (Request::Other { at }, Outcome::Renewed { ttl_ms }) => {
                let lease = lease(ttl_ms);
                (at, Reply::Renewed { lease })
            }
            (Request::Other { at }, Outcome::Lost) => (at, Reply::Lost),
            (Request::Other { at }, Outcome::Released) => (at, Reply::Released),
            (Request::Other { at }, Outcome::Cancelled) => (at, Reply::Cancelled),
            (Request::Other { at }, Outcome::Resized { .. }) => (at, Reply::Resized),
            _ => return,
        };
        history.operations[at].answer = Some(Answer { end, reply });
    }
}
