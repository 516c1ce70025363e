//! Histories of real threads at a real server. Part of the tests in `real.rs`,
//! whose harness can say that there is no server.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use sluice_core::redis::Command;
use sluice_core::script::{self, GateKeys};
use sluice_core::slots::{Class, Config, Outcome};
use verify::history::drawing::draw;
use verify::history::slots::{Op, Reply, Slots};
use verify::history::{Budget, Recorder, Verdict, check};
use verify::real::{Connection, Error, Server};

use crate::check as holds;

const CAPACITY: u32 = 3;
const CLIENTS: u64 = 8;
const ATTEMPTS: u64 = 32;
const KEY: &str = "gate";

type Recording = Recorder<Op, Reply>;

/// One thread: a client with a connection of its own.
struct Client<'a> {
    name: String,
    server: &'a Server,
    connection: Connection,
    keys: &'a GateKeys,
    config: &'a Config,
    recorder: &'a Recording,
    birth: Instant,
}

impl Client<'_> {
    fn now(&self) -> u64 {
        u64::try_from(self.birth.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Asks until the answer is one that is known.
    fn ask(&mut self, op: Op, first: &Command, then: &Command) -> Result<Reply, Failed> {
        let ticket = self.recorder.begin(&self.name, KEY, self.now(), op);
        let mut answer = self.connection.call(first)?;
        loop {
            let told = script::decode(&answer).map_err(|error| error.to_string())?;
            // The store counts in whole milliseconds.
            let lease = |ttl: Option<u64>| ttl.map(|ms| ms.saturating_sub(1) * 1_000_000);
            let reply = match told.outcome {
                Outcome::Granted { fence, ttl_ms, .. } => Reply::Granted {
                    fence: Some(fence),
                    lease: lease(ttl_ms),
                },
                Outcome::Renewed { ttl_ms } => Reply::Renewed {
                    lease: lease(ttl_ms),
                },
                Outcome::Released => Reply::Released,
                Outcome::Lost => Reply::Lost,
                Outcome::Cancelled => Reply::Cancelled,
                Outcome::Waiting { .. } => {
                    std::thread::sleep(Duration::from_millis(1));
                    answer = self.connection.call(then)?;
                    continue;
                }
                other => return Err(format!("{}: {op} → {other:?}", self.name).into()),
            };
            self.recorder.finish(ticket, self.now(), reply);
            return Ok(reply);
        }
    }

    /// Asks, and hangs up before there can be an answer.
    fn ask_and_hang_up(&mut self, op: Op, command: &Command) -> Result<(), Error> {
        drop(self.recorder.begin(&self.name, KEY, self.now(), op));
        self.connection.send(command)?;
        self.connection = self.server.connect()?;
        Ok(())
    }

    fn live(mut self) -> Result<(), Failed> {
        let id = self.name.clone();
        let (keys, config) = (self.keys, self.config);
        for attempt in 1..=ATTEMPTS {
            let join = script::acquire(keys, config, id.as_bytes(), attempt, Class::ZERO, true);
            let poll = script::poll(keys, config, id.as_bytes(), attempt);
            if attempt % 8 == 3 {
                self.ask_and_hang_up(Op::Acquire { attempt }, &join)?;
                let cancel = script::cancel(keys, config, id.as_bytes(), attempt);
                self.ask(Op::Cancel { attempt }, &cancel, &cancel)?;
                continue;
            }
            let told = self.ask(Op::Acquire { attempt }, &join, &poll)?;
            let Reply::Granted {
                fence: Some(fence), ..
            } = told
            else {
                return Err(format!("{id} acquires: {told}").into());
            };
            std::thread::sleep(Duration::from_millis(2));
            if attempt % 8 == 5 {
                let renew = script::renew(keys, config, id.as_bytes(), fence, true);
                self.ask(Op::Renew { attempt }, &renew, &renew)?;
            }
            let release = script::release(keys, config, id.as_bytes(), fence);
            if attempt % 8 == 6 {
                self.ask_and_hang_up(Op::Release { attempt }, &release)?;
            } else {
                self.ask(Op::Release { attempt }, &release, &release)?;
            }
        }
        Ok(())
    }
}

/// Eight clients on three slots, some of which hang up; and the alarm works:
/// as the history of two slots it is convicted.
#[expect(clippy::disallowed_methods, reason = "measures a real server")]
pub(crate) fn gate(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    let keys = GateKeys::new(space.prefix(), KEY).map_err(|error| error.to_string())?;
    let config = Config {
        lease_ms: Some(30_000),
        idle_ms: None,
        ..Config::session_cap(CAPACITY)
    };
    let mut connection = server.connect()?;
    for script in script::ALL {
        connection.call(&script::load(script))?;
    }
    let recorder = Recorder::default();
    let birth = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let client = server.connect().map(|connection| Client {
                    name: format!("user-{n}"),
                    server,
                    connection,
                    keys: &keys,
                    config: &config,
                    recorder: &recorder,
                    birth,
                });
                scope.spawn(|| client.map_err(Failed::from)?.live())
            })
            .collect();
        let ends = threads.into_iter().map(|thread| {
            let end = thread.join();
            end.unwrap_or_else(|_| Err("a client panicked".into()))
        });
        ends.collect::<Result<Vec<()>, Failed>>()
    })?;
    let history = recorder.into_history();
    let unknown = history.operations.iter().filter(|o| o.answer.is_none());
    let unknown = unknown.count() as u64;
    holds(
        unknown == CLIENTS * ATTEMPTS / 4,
        format!("{unknown} unknown"),
    )?;
    match check(&Slots::new(CAPACITY), &history, Budget::default()) {
        Verdict::Holds => {}
        Verdict::Inconclusive(why) => return Err(why.into()),
        Verdict::Violated(conflict) => {
            return Err(format!("{}\n{}", conflict.why, draw(&conflict.window)).into());
        }
    }
    match check(&Slots::new(CAPACITY - 1), &history, Budget::default()) {
        Verdict::Violated(conflict) => holds(
            conflict.why.contains("held all 2") && conflict.is_minimal,
            conflict.why,
        ),
        Verdict::Holds | Verdict::Inconclusive(_) => Err("three never held at once".into()),
    }
}

/// Four clients look, and only then does anybody write.
#[expect(clippy::disallowed_methods, reason = "measures a real server")]
pub(crate) fn naive(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    let key = space.key("active");
    let (recorder, looked) = (Recorder::default(), Barrier::new(4));
    let birth = Instant::now();
    let now = || u64::try_from(birth.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let enter = |n: u32, mut connection: Connection| -> Result<(), Error> {
        let name = format!("user-{n}");
        let ticket = recorder.begin(&name, KEY, now(), Op::Acquire { attempt: 1 });
        let count = connection.call(&Command::new("HLEN").arg(&key));
        looked.wait();
        if count?.as_int().is_some_and(|count| count < 2) {
            connection.call(&Command::new("HSET").arg(&key).arg(&name).arg("active"))?;
            let (fence, lease) = (None, None);
            recorder.finish(ticket, now(), Reply::Granted { fence, lease });
        }
        Ok(())
    };
    let connections = (0..4)
        .map(|_| server.connect())
        .collect::<Result<Vec<_>, _>>()?;
    std::thread::scope(|scope| {
        let numbered = connections.into_iter().zip(0..);
        let threads: Vec<_> = numbered
            .map(|(connection, n)| scope.spawn(move || enter(n, connection)))
            .collect();
        let ends = threads.into_iter().map(|thread| thread.join());
        ends.map(|end| {
            end.map_err(|_| Failed::from("a client panicked"))?
                .map_err(Failed::from)
        })
        .collect::<Result<Vec<()>, Failed>>()
    })?;
    match check(&Slots::new(2), &recorder.into_history(), Budget::default()) {
        Verdict::Violated(conflict) => holds(conflict.why.contains("held all 2"), conflict.why),
        Verdict::Holds | Verdict::Inconclusive(_) => Err("four in two slots were not seen".into()),
    }
}
