//! Gates made of a hash and a list: an operation takes several commands, and
//! what the application is told ends it.

use super::{ActorId, BTreeMap, Clock, Event, Gate, Happening, Op, Reply, tag};
use crate::history::Answer;

/// What a client is at.
#[derive(Clone, Copy, Debug, Default)]
struct Client {
    attempt: u64,
    /// The acquire, or what ends it, while it is not over.
    open: Option<usize>,
    holds: bool,
}

#[derive(Debug, Default)]
pub(super) struct Hashes {
    clients: BTreeMap<ActorId, (String, Client)>,
}

impl Hashes {
    pub(super) fn take(
        &mut self,
        happening: &Happening,
        clock: &Clock,
        gates: &mut BTreeMap<String, Gate>,
    ) {
        match happening {
            Happening::Executed {
                who,
                command,
                sent_ns,
                ..
            } => {
                let key = command
                    .args
                    .get(if command.name() == b"EVAL" { 3 } else { 1 });
                let of_a_hash = |key: &&_| {
                    let key: &[u8] = key;
                    key.ends_with(b":active") || key.ends_with(b":queue")
                };
                let Some(name) = key.filter(|k| of_a_hash(&&***k)).and_then(|k| tag(k)) else {
                    return;
                };
                let new = || (name.clone(), Client::default());
                let (_, client) = self.clients.entry(*who).or_insert_with(new);
                if client.open.is_some() {
                    return;
                }
                let op = if client.holds {
                    Op::Release {
                        attempt: client.attempt,
                    }
                } else {
                    client.attempt += 1;
                    Op::Acquire {
                        attempt: client.attempt,
                    }
                };
                let history = &mut gates.entry(name.clone()).or_default().history;
                let id = format!("{}.{}", who.host, who.actor);
                client.open = Some(history.begin(&id, &name, clock.sent(*sent_ns), op));
            }
            Happening::Told { who, event } => {
                let Some((name, client)) = self.clients.get_mut(who) else {
                    return;
                };
                let reply = match event {
                    Event::Granted { .. } => Reply::Granted {
                        fence: None,
                        lease: None,
                    },
                    Event::Released if client.holds => Reply::Released,
                    // What was cancelled may have been granted meanwhile, and
                    // given back: nobody can say.
                    Event::Rejected(_) | Event::Cancelled | Event::Released => {
                        client.open = None;
                        client.holds = false;
                        return;
                    }
                    Event::Waiting { .. }
                    | Event::Ended(_)
                    | Event::Trouble(_)
                    | Event::Fatal(_) => return,
                };
                client.holds = matches!(event, Event::Granted { .. });
                let history = &mut gates.entry(name.clone()).or_default().history;
                if let Some(at) = client.open.take() {
                    let end = clock.now();
                    history.operations[at].answer = Some(Answer { end, reply });
                }
            }
            // The client is gone, and with it what it was at.
            Happening::Crashed { host, .. } => {
                for (_, client) in self
                    .clients
                    .iter_mut()
                    .filter(|(who, _)| who.host == *host)
                    .map(|(_, own)| own)
                {
                    client.open = None;
                    client.holds = false;
                }
            }
            _ => {}
        }
    }
}
