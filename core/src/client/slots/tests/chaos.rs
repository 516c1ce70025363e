//! Clients against the real table over a bad network: requests lost before or
//! after execution, delayed until long after their connection is gone, clocks
//! that drift and step back, messages that never come, scripts forgotten.
//!
//! Checked at every step: whoever believes in a slot has it, by the store's
//! clock (R1.7, R1.8). Checked at the end: when every client has been cancelled,
//! nothing is held or in line, not even after the last delayed copy (R1.6, R1.10).

use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::slots::{Class, Event as Happening, Slots};
use crate::time::StoreTime;

const CLIENTS: usize = 4;

/// One decision: what happens, to whom, and how much of it.
type Step = (u8, usize, u16);

/// What is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Cancellations are thrown away, and answered.
    CancelDropped,
    /// Clocks run slower than the settings allow for.
    ClockTooSlow,
    /// Belief is counted from a clock that is asked when the reply arrives.
    CountedFromArrival,
}

struct Network {
    slots: Slots<Bytes>,
    clients: Vec<Peer>,
    /// Commands under way, by client and connection. Those of connections that
    /// are gone may still be executed.
    under_way: BTreeMap<(usize, u64), VecDeque<(RequestId, Command)>>,
    loaded: Vec<String>,
    /// True time, in nanoseconds.
    time: u64,
    flaw: Flaw,
    grants: usize,
}

struct Peer {
    client: SlotsClient,
    connection: u64,
    /// Replies under way on the present connection.
    replies: VecDeque<(RequestId, Reply)>,
    /// Requests that await their answer.
    open: Vec<RequestId>,
    subscribed: bool,
    stepped_back: u64,
    drift_ppm: i64,
}

fn config() -> Config {
    Config {
        lease_ms: Some(300),
        idle_ms: None,
        presence: Some(Presence {
            absent_after_ms: 120,
            abandon_after_ms: 100_000,
            claim_within_ms: 60,
        }),
        ..Config::session_cap(2)
    }
}

fn id(who: usize) -> Bytes {
    Bytes::from(format!("client-{who}").as_bytes())
}

impl Network {
    fn new(flaw: Flaw) -> Self {
        let settings = Arc::new(Settings {
            request_timeout_ms: 60,
            retry_max_ms: 80,
            ..Settings::new(GateKeys::new("", "g").unwrap(), config())
        });
        settings.validate().unwrap();
        let clients = (0..CLIENTS).map(|who| Peer {
            client: SlotsClient::new(Arc::clone(&settings), &id(who)).unwrap(),
            connection: 0,
            replies: VecDeque::new(),
            open: Vec::new(),
            subscribed: false,
            stepped_back: 0,
            drift_ppm: match flaw {
                Flaw::ClockTooSlow => -400_000,
                Flaw::None | Flaw::CancelDropped | Flaw::CountedFromArrival => {
                    [-200, 200, 0, -100][who]
                }
            },
        });
        Self {
            slots: Slots::new(config(), 1_000).unwrap(),
            clients: clients.collect(),
            under_way: BTreeMap::new(),
            loaded: Vec::new(),
            time: 10_000 * MS,
            flaw,
            grants: 0,
        }
    }

    fn store_time(&self) -> StoreTime {
        StoreTime(self.time / MS)
    }

    fn local(&self, who: usize) -> LocalTime {
        let peer = &self.clients[who];
        let drift = self.time as i64 / 1_000_000 * peer.drift_ppm;
        LocalTime(self.time.saturating_add_signed(drift) - peer.stepped_back)
    }

    fn input(&mut self, who: usize, input: Input) {
        let mut now = self.local(who);
        if self.flaw == Flaw::CountedFromArrival && matches!(input, Input::Reply(..)) {
            let client = &mut self.clients[who].client;
            let arrived = client.clock.read(now);
            if let Some(current) = &mut client.current {
                current.sent = arrived;
            }
        }
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let peer = &mut self.clients[who];
            peer.client.handle(now, input);
            while let Some(output) = peer.client.poll_output() {
                match output {
                    Output::Send { request, command } => {
                        peer.open.push(request);
                        let line = self.under_way.entry((who, peer.connection)).or_default();
                        line.push_back((request, command));
                    }
                    Output::Reset(_) => inputs.extend(peer.cut()),
                    Output::Subscribe(_) => peer.subscribed = true,
                    Output::Unsubscribe => peer.subscribed = false,
                    Output::Tell(Event::Granted { .. }) => self.grants += 1,
                    Output::Tell(_) => {}
                }
            }
            now = self.local(who);
        }
    }

    /// The store executes the next command of that connection.
    fn execute(&mut self, key: (usize, u64)) {
        let Some((request, command)) = self.under_way.get_mut(&key).and_then(VecDeque::pop_front)
        else {
            return;
        };
        let reply = self.run(&command);
        let peer = &mut self.clients[key.0];
        if peer.connection == key.1 && peer.open.contains(&request) {
            peer.replies.push_back((request, reply));
        }
    }

    fn run(&mut self, command: &Command) -> Reply {
        let now = self.store_time();
        let words = text(command);
        let words: Vec<&str> = words.split(' ').collect();
        if words[0] == "load" {
            self.loaded.push(words[1].to_string());
            return Reply::bulk(words[1]);
        }
        if !self.loaded.iter().any(|name| name == words[0]) {
            return Reply::error("NOSCRIPT No matching script.");
        }
        let id = Bytes::from(words[1].as_bytes());
        let number: u64 = words[2].parse().unwrap();
        let slots = &mut self.slots;
        let reply = match words[0] {
            "acquire" => slots.acquire(now, id, number, Class::ZERO, words.get(4).is_none()),
            "poll" => slots.poll(now, &id, number),
            "renew" => slots.renew(now, &id, number, words.len() > 3),
            "release" => slots.release(now, &id, number),
            "cancel" if self.flaw == Flaw::CancelDropped => return Reply::bulk("cancelled 0"),
            "cancel" => slots.cancel(now, &id, number),
            other => unreachable!("{other}"),
        };
        Reply::bulk(written(reply))
    }

    /// Messages for those who were promoted; every second one is lost.
    fn publish(&mut self, lose: bool) {
        while let Some(event) = self.slots.poll_event() {
            if let Happening::Granted { id: whose, .. } = event
                && !lose
                && let Some(who) = (0..CLIENTS).find(|who| id(*who) == whose)
                && self.clients[who].subscribed
            {
                self.input(who, Input::Message(whose));
            }
        }
    }

    fn answer(&mut self, who: usize) {
        let peer = &mut self.clients[who];
        if let Some((request, reply)) = peer.replies.pop_front() {
            peer.open.retain(|open| *open != request);
            self.input(who, Input::Reply(request, reply));
        }
    }

    fn pass(&mut self, ns: u64) {
        self.time += ns;
        for who in 0..CLIENTS {
            let due = self.clients[who].client.deadline();
            if due.is_some_and(|(at, _)| at <= self.local(who)) {
                self.input(who, Input::Wake);
            }
        }
    }

    fn step(&mut self, (what, who, amount): Step) {
        match what {
            0..=29 => {
                let lines: Vec<_> = self.under_way.keys().copied().collect();
                let some = lines.get(usize::from(amount) % lines.len().max(1)).copied();
                if let Some(key) = some {
                    self.execute(key);
                }
                self.publish(amount % 2 == 0);
            }
            30..=54 => self.answer(who),
            55..=74 => self.pass(u64::from(amount % 40) * MS / 2),
            75..=84 => {
                let asks = [
                    Ask::Acquire,
                    Ask::Acquire,
                    Ask::TryAcquire,
                    Ask::Release,
                    Ask::Cancel,
                    Ask::Touch,
                ];
                self.input(who, Input::Ask(asks[usize::from(amount) % asks.len()]));
            }
            85..=90 => {
                let failed = self.clients[who].cut();
                for input in failed {
                    self.input(who, input);
                }
            }
            91..=92 => {
                // What is under way on connections that are gone is lost.
                let present: Vec<_> = self.clients.iter().map(|peer| peer.connection).collect();
                self.under_way
                    .retain(|(who, connection), _| present[*who] == *connection);
            }
            93..=94 => self.loaded.clear(),
            95..=96 => {
                // The client sees the time just before and just after: what passes
                // unseen around a step is what a step can add to a belief.
                self.input(who, Input::Wake);
                self.clients[who].stepped_back += u64::from(amount % 500) * MS;
                self.input(who, Input::Wake);
            }
            _ => self.input(who, Input::Subscribed),
        }
    }

    /// Who believes in a slot, has it.
    fn check(&self) -> Result<(), String> {
        let now = self.store_time();
        for who in 0..CLIENTS {
            if let Some(fence) = self.clients[who].client.belief(self.local(who)) {
                let has = self.slots.held().any(|held| {
                    *held.id == id(who)
                        && held.fence == fence
                        && held.deadline.is_none_or(|deadline| deadline > now)
                });
                if !has {
                    return Err(format!("client {who} believes in fence {fence} at {now:?}"));
                }
            }
        }
        Ok(())
    }

    /// Everyone leaves over a network that works again.
    fn drain(&mut self) -> Result<(), String> {
        for who in 0..CLIENTS {
            self.input(who, Input::Ask(Ask::Cancel));
        }
        for _ in 0..2_000 {
            for who in 0..CLIENTS {
                self.execute((who, self.clients[who].connection));
                self.answer(who);
            }
            self.check()?;
            if self.clients.iter().all(|peer| peer.client.is_idle()) {
                return self.nothing_left();
            }
            self.pass(MS);
        }
        Err("a cancelled client never comes to rest".to_string())
    }

    fn nothing_left(&mut self) -> Result<(), String> {
        for key in self.under_way.keys().copied().collect::<Vec<_>>() {
            while !self.under_way[&key].is_empty() {
                self.execute(key);
            }
        }
        self.slots.sweep(self.store_time());
        let left = self.slots.held().map(|held| held.id.clone());
        let left = left.chain(self.slots.waiting().map(|place| place.id.clone()));
        let left: Vec<_> = left
            .chain(self.slots.absent().map(|place| place.id.clone()))
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("left behind: {left:?}"))
        }
    }
}

impl Peer {
    /// The connection is gone, and every open request has failed.
    fn cut(&mut self) -> Vec<Input> {
        self.connection += 1;
        self.replies.clear();
        let open = self.open.drain(..);
        open.map(|request| Input::Failed(request, Failure::Unknown))
            .collect()
    }
}

/// A reply in the words of the scripts.
fn written(reply: crate::slots::Reply) -> String {
    let ttl = |ttl_ms: Option<u64>| ttl_ms.map_or("-1".to_string(), |ms| ms.to_string());
    let words = match reply.outcome {
        Outcome::Granted {
            fence,
            ttl_ms,
            wait_ms,
        } => {
            format!("granted {fence} {} {wait_ms}", ttl(ttl_ms))
        }
        Outcome::Waiting { position, .. } => format!("waiting {position} 0 0 0"),
        Outcome::Rejected(Rejected::Full) => "rejected full".to_string(),
        Outcome::Rejected(Rejected::Busy) => "rejected busy".to_string(),
        Outcome::Stale { nonce } => format!("stale {nonce}"),
        Outcome::Ended(how) => {
            let how = match how {
                Ended::Released => "released",
                Ended::Expired => "expired",
                Ended::Cancelled => "cancelled",
                Ended::TimedOut => "timed_out",
                Ended::Abandoned => "abandoned",
            };
            format!("ended {how}")
        }
        Outcome::Unknown => "unknown".to_string(),
        Outcome::Renewed { ttl_ms } => format!("renewed {}", ttl(ttl_ms)),
        Outcome::Lost => "lost".to_string(),
        Outcome::Released => "released".to_string(),
        Outcome::Cancelled => "cancelled".to_string(),
        Outcome::Resized { .. } | Outcome::Swept => unreachable!("clients ask for neither"),
    };
    format!("{words} {}", u8::from(reply.more))
}

/// Returns how many grants there were.
fn run(steps: &[Step], flaw: Flaw) -> Result<usize, String> {
    let mut network = Network::new(flaw);
    for step in steps {
        network.step(*step);
        network.check()?;
    }
    network.drain()?;
    Ok(network.grants)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..100_u8, 0..CLIENTS, any::<u16>()), 50..600)
}

fn cases(cases: u32) -> TestRunner {
    let config = Cases {
        cases,
        failure_persistence: None,
        ..Cases::default()
    };
    // The same cases each time: what is found today is found tomorrow.
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn belief_is_true_and_nothing_stays_behind() {
    let grants = core::cell::Cell::new(0);
    cases(1_000)
        .run(&steps(), |steps| {
            grants.set(grants.get() + run(&steps, Flaw::None).map_err(TestCaseError::fail)?);
            Ok(())
        })
        .unwrap();
    assert!(
        grants.get() > 1_000,
        "too little happened: {} grants",
        grants.get()
    );
}

#[test]
fn what_is_broken_on_purpose_is_found() {
    for flaw in [
        Flaw::CancelDropped,
        Flaw::ClockTooSlow,
        Flaw::CountedFromArrival,
    ] {
        let found = cases(400).run(&steps(), |steps| {
            run(&steps, flaw).map(drop).map_err(TestCaseError::fail)
        });
        assert!(found.is_err(), "{flaw:?} was not noticed");
    }
}
