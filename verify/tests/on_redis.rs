//! Schedules repeated on a real server, command by command.

use libtest_mimic::{Arguments, Failed};
use sluice_core::client::RequestId;
use sluice_core::redis::{Command, Reply};
use sluice_core::script::{self, GateKeys};
use sluice_core::slots::{Class, Config};
use sluice_sim::redis;
use sluice_sim::world::{ActorId, FaultKind, Happening};
use verify::on_redis::{End, Report, Setting, replay};
use verify::real::{self, Server};
use verify::run::Run;
use verify::scenario::Scenario;
use verify::timeline::Step;

fn main() {
    let trials = vec![
        real::trial("the naive gate overshoots, for certain", overshoot),
        real::trial("the scripts answer as simulated", scripts),
        real::trial("races of the gate are repeated to the end", races),
        real::trial("a planted difference is found at its step", planted),
        real::trial("what cannot be repeated is said to be so", not_replayable),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Executes commands on the simulated server, one connection each.
struct Recorded {
    engine: redis::Engine,
    server: redis::Server,
    steps: Vec<Step>,
}

impl Recorded {
    fn new() -> Self {
        Self {
            engine: redis::Engine::new(),
            server: redis::Server::new(),
            steps: Vec::new(),
        }
    }

    fn run(&mut self, actor: u16, command: Command) -> Reply {
        let session = redis::SessionId(actor.into());
        let reply = self
            .server
            .execute(&self.engine, 1_700_000_000_000_000, session, &command);
        self.push(Happening::Executed {
            who: ActorId { host: 0, actor },
            connection: 0,
            request: Some(RequestId(0)),
            command,
            reply: reply.clone(),
            sent_ns: 0,
        });
        reply
    }

    fn push(&mut self, what: Happening) {
        let step = self.steps.len() as u64 + 1;
        self.steps.push(Step {
            step,
            at_ns: 0,
            what,
            state: None,
        });
    }

    fn replay(&self, server: &Server) -> Result<Report, real::Error> {
        let setting = Setting {
            key_prefix: "t:",
            shortest_deadline_ms: Some(1_000),
        };
        replay(server, &self.steps, &setting)
    }
}

fn overshoot(server: &Server) -> Result<(), Failed> {
    let mut recorded = Recorded::new();
    // Fifty clients count before any of them writes.
    for actor in 0..50 {
        assert_eq!(
            recorded.run(actor, Command::new("HLEN").arg("t:sessions")),
            Reply::Int(0)
        );
    }
    for actor in 0..50 {
        recorded.run(
            actor,
            Command::new("HSET")
                .arg("t:sessions")
                .arg(format!("u{actor}"))
                .arg("1"),
        );
    }
    let held = recorded.run(0, Command::new("HLEN").arg("t:sessions"));
    assert_eq!(held, Reply::Int(50), "a cap of 20, and 50 are in");
    expect(&recorded.replay(server)?, &End::Identical)
}

fn scripts(server: &Server) -> Result<(), Failed> {
    let recorded = admission();
    let report = recorded.replay(server)?;
    expect(&report, &End::Identical)?;
    if report.equal < 20 {
        return Err(format!("only {} commands were compared", report.equal).into());
    }
    Ok(())
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
        if let sluice_core::slots::Outcome::Granted { fence, .. } = decoded.outcome {
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

fn planted(server: &Server) -> Result<(), Failed> {
    let mut recorded = admission();
    let last = recorded.steps.len() - 3;
    let Happening::Executed { reply, .. } = &mut recorded.steps[last].what else {
        return Err("the steps are all commands".into());
    };
    *reply = Reply::Array(vec![Reply::bulk("waiting"), Reply::Int(1), Reply::Int(0)]);
    match recorded.replay(server)?.end {
        End::Differs { step, .. } if step == last as u64 + 1 => Ok(()),
        end => Err(format!("the planted difference was not found: {end:?}").into()),
    }
}

fn not_replayable(server: &Server) -> Result<(), Failed> {
    let mut dies = admission();
    dies.push(Happening::ServerStopped {
        kind: FaultKind::ServerRestart,
        lost: 0,
        until_ns: 1,
    });
    let mut ages = admission();
    ages.run(0, Command::new("PING"));
    ages.steps.last_mut().expect("a step").at_ns = 2_000_000_000;
    for recorded in [dies, ages] {
        let step = recorded.steps.len() as u64;
        match recorded.replay(server)?.end {
            End::NotReplayable { step: at, .. } if at == step => {}
            end => return Err(format!("{end:?}").into()),
        }
    }
    Ok(())
}

fn expect(report: &Report, end: &End) -> Result<(), Failed> {
    if report.end == *end {
        Ok(())
    } else {
        Err(report.to_string().into())
    }
}

/// Races of the real gate, as the simulator schedules them.
fn races(server: &Server) -> Result<(), Failed> {
    let engine = redis::Engine::new();
    let subject = verify::subject::by_name("slots").map_err(|e| e.to_string())?;
    for seed in 0..50 {
        let trace = Run::new(subject, Scenario::race(2, 4), seed).trace(&engine);
        let setting = Setting {
            key_prefix: "{",
            shortest_deadline_ms: trace.shortest_deadline_ms,
        };
        let report = replay(server, &trace.timeline(), &setting)?;
        if report.end != End::Identical || report.equal < 10 {
            return Err(format!(
                "{report}\nagain: verify replay {seed} --subject slots --to-end --on redis"
            )
            .into());
        }
    }
    Ok(())
}
