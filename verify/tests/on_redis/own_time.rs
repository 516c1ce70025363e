//! On a server that has its own time.

use libtest_mimic::{Failed, Trial};
use sluice_core::redis::{Command, Reply};
use sluice_sim::redis;
use sluice_sim::world::{FaultKind, Happening};
use verify::on_redis::own_time::{Setting, replay};
use verify::on_redis::{End, Report};
use verify::real::{self, Server};
use verify::run::Run;
use verify::scenario::Scenario;

use super::{Recorded, admission, expect};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        real::trial("the naive gate overshoots, for certain", overshoot),
        real::trial("the scripts answer as simulated", scripts),
        real::trial("races of the gate are repeated to the end", races),
        real::trial("a planted difference is found at its step", planted),
        real::trial("what needs the run's time is said to", not_replayable),
    ]
}

fn repeat(recorded: &Recorded, server: &Server) -> Result<Report, real::Error> {
    let setting = Setting {
        key_prefix: "t:",
        shortest_deadline_ms: Some(1_000),
    };
    replay(server, &recorded.steps, &recorded.left(), &setting)
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
    expect(&repeat(&recorded, server)?, &End::Identical)
}

fn scripts(server: &Server) -> Result<(), Failed> {
    let recorded = admission();
    let report = repeat(&recorded, server)?;
    expect(&report, &End::Identical)?;
    if report.equal < 20 {
        return Err(format!("only {} commands were compared", report.equal).into());
    }
    Ok(())
}

fn planted(server: &Server) -> Result<(), Failed> {
    let mut recorded = admission();
    let last = recorded.steps.len() - 3;
    let Happening::Executed { reply, .. } = &mut recorded.steps[last].what else {
        return Err("the steps are all commands".into());
    };
    *reply = Reply::Array(vec![Reply::bulk("waiting"), Reply::Int(1), Reply::Int(0)]);
    match repeat(&recorded, server)?.end {
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
        match repeat(&recorded, server)?.end {
            End::NotReplayable { step: at, .. } if at == step => {}
            end => return Err(format!("{end:?}").into()),
        }
    }
    Ok(())
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
        let report = replay(server, &trace.timeline(), &trace.left, &setting)?;
        if report.end != End::Identical || report.equal < 10 {
            return Err(format!(
                "{report}\nagain: verify replay {seed} --subject slots --to-end --on redis"
            )
            .into());
        }
    }
    Ok(())
}
