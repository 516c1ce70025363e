//! Schedules repeated on a real server, command by command: on one with a clock
//! of its own, and on one whose clock is that of the run.

mod own_time;
mod stepped;

use libtest_mimic::{Arguments, Failed};
use sluice_core::client::RequestId;
use sluice_core::redis::{Command, Reply};
use sluice_core::script::{self, GateKeys};
use sluice_core::slots::{Class, Config, Outcome};
use sluice_sim::redis;
use sluice_sim::world::{ActorId, Happening};
use verify::on_redis::left::Left;
use verify::on_redis::{End, Report};
use verify::scenario::EPOCH_US;
use verify::timeline::Step;

fn main() {
    let mut trials = own_time::trials();
    trials.extend(stepped::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Executes commands on the simulated server, one connection each.
struct Recorded {
    engine: redis::Engine,
    server: redis::Server,
    steps: Vec<Step>,
    /// Time since the start.
    now_us: u64,
    /// The simulated server's clock is ahead by so much.
    ahead_us: i64,
}

impl Recorded {
    fn new() -> Self {
        Self {
            engine: redis::Engine::new(),
            server: redis::Server::new(),
            steps: Vec::new(),
            now_us: 0,
            ahead_us: 0,
        }
    }

    fn run(&mut self, actor: u16, command: Command) -> Reply {
        let session = redis::SessionId(actor.into());
        let now_us = (EPOCH_US + self.now_us).saturating_add_signed(self.ahead_us);
        let reply = self.server.execute(&self.engine, now_us, session, &command);
        self.answered(actor, command, reply.clone());
        reply
    }

    fn answered(&mut self, actor: u16, command: Command, reply: Reply) {
        self.push(Happening::Executed {
            who: who(actor),
            connection: 0,
            request: Some(RequestId(0)),
            command,
            reply,
            sent_ns: 0,
        });
    }

    /// The keys that are there now.
    fn left(&self) -> Left {
        let now_us = (EPOCH_US + self.now_us).saturating_add_signed(self.ahead_us);
        Left::of(&self.server, &self.engine, now_us)
    }

    fn push(&mut self, what: Happening) {
        let step = self.steps.len() as u64 + 1;
        self.steps.push(Step {
            step,
            at_ns: self.now_us * 1_000,
            what,
            state: None,
        });
    }

    /// The number of the last step.
    fn last(&self) -> u64 {
        self.steps.len() as u64
    }
}

fn who(actor: u16) -> ActorId {
    ActorId { host: 0, actor }
}

/// Three of five get in, one is repeated, one leaves, one cancels.
fn admission() -> Recorded {
    let mut recorded = Recorded::new();
    let keys = GateKeys::new("t:", "gate").expect("a good name");
    let config = Config {
        capacity: 3,
        ..Config::session_cap(3)
    };
    let join = |id: &str| script::acquire(&keys, &config, id.as_bytes(), 1, Class::ZERO, true);
    assert_eq!(
        recorded.run(0, join("a")).error_code(),
        Some(&b"NOSCRIPT"[..])
    );
    for script in script::ALL {
        recorded.run(0, script::load(script));
    }
    let mut fences = Vec::new();
    for (actor, id) in ["a", "b", "c", "d", "e", "b"].into_iter().enumerate() {
        let reply = recorded.run(actor as u16, join(id));
        let decoded = script::decode(&reply).expect("a reply of the script");
        if let Outcome::Granted { fence, .. } = decoded.outcome {
            fences.push(fence);
        }
    }
    assert_eq!(fences.len(), 4, "a, b, c, and b again");
    recorded.run(3, script::poll(&keys, &config, b"d", 1));
    recorded.run(0, script::renew(&keys, &config, b"a", fences[0], true));
    recorded.run(0, script::release(&keys, &config, b"a", fences[0]));
    recorded.run(0, script::release(&keys, &config, b"a", fences[0]));
    recorded.run(4, script::cancel(&keys, &config, b"e", 1));
    recorded.run(3, script::poll(&keys, &config, b"d", 1));
    recorded.run(4, join("e"));
    recorded.run(1, script::sweep(&keys, &config));
    recorded
}

fn expect(report: &Report, end: &End) -> Result<(), Failed> {
    if report.end == *end {
        Ok(())
    } else {
        Err(report.to_string().into())
    }
}
