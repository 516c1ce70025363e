//! On a private server whose clock is that of the run.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use libtest_mimic::{Failed, Trial};
use sluice_core::redis::{Bytes, Command, Reply};
use sluice_core::script::{self, GateKeys};
use sluice_core::slots::{Class, Config};
use sluice_sim::redis::SessionId;
use sluice_sim::world::{EVERYTHING, FaultKind, Happening, Refusal};
use verify::on_redis::many::{self, Servers, Tally};
use verify::on_redis::stepped::{Start, replay};
use verify::on_redis::{End, Report};
use verify::real::{Stepped, stepped_trial};
use verify::scenario::{EPOCH_US, Scenario};
use verify::strategy::Strategy;
use verify::subject;

use super::{Recorded, admission, expect, who};

pub(super) fn trials() -> Vec<Trial> {
    let trial = |name, check: fn(Stepped) -> Result<(), Failed>| {
        stepped_trial(format!("stepped: {name}"), EPOCH_US, check)
    };
    vec![
        trial("leases and keys end when they ended in the run", leases),
        trial("a lease that ends 1 ms late is found", late),
        trial("a planted reply is found at its step", planted),
        trial(
            "a key that is otherwise in the end is found",
            left_otherwise,
        ),
        trial(
            "from a snapshot nothing that has expired comes back",
            snapshot,
        ),
        trial("messages are compared", messages),
        trial("the server dies and comes back", restarts),
        trial(
            "what no server can repeat is said at its step",
            not_replayable,
        ),
        trial(
            "a server that reads another clock is refused",
            another_clock,
        ),
        trial("random runs of every subject", every_subject),
    ]
}

fn repeat(recorded: &Recorded, server: &mut Stepped) -> Result<Report, Failed> {
    let start = Start {
        epoch_us: EPOCH_US,
        scripts_loaded: false,
        from_snapshot: false,
    };
    Ok(replay(server, &recorded.steps, &recorded.left(), &start)?)
}

/// One slot with a lease of 5 s: `a` lets it run out, `b` waits for it. Before `b`
/// looks for the last time, the simulated clock is late by so much, and nobody
/// is told. The number of that step.
fn lease_that_ends(late_us: i64) -> (Recorded, u64) {
    let mut recorded = Recorded::new();
    let keys = GateKeys::new("", "gate").expect("a good name");
    let config = Config::semaphore(1, 5_000, 60_000);
    for script in [&script::ACQUIRE, &script::POLL] {
        recorded.run(0, script::load(script));
    }
    let join = |id: &str| script::acquire(&keys, &config, id.as_bytes(), 1, Class::ZERO, true);
    let word = |reply: &Reply| {
        let text = String::from_utf8_lossy(reply.as_bytes().expect("text")).into_owned();
        text.split(' ').next().expect("a word").to_owned()
    };
    let begin = recorded.run(1, join("a"));
    assert_eq!(word(&begin), "granted");
    recorded.now_us = 1_000_000;
    assert_eq!(word(&recorded.run(2, join("b"))), "waiting");
    let look = || script::poll(&keys, &config, b"b", 1);
    recorded.now_us = 4_999_999;
    assert_eq!(word(&recorded.run(2, look())), "waiting");
    recorded.now_us = 5_000_000;
    recorded.ahead_us = -late_us;
    let last = word(&recorded.run(2, look()));
    assert_eq!(last, if late_us == 0 { "granted" } else { "waiting" });
    let step = recorded.last();
    (recorded, step)
}

fn leases(mut server: Stepped) -> Result<(), Failed> {
    let (lease, _) = lease_that_ends(0);
    expect(&repeat(&lease, &mut server)?, &End::Identical)?;
    let mut keys = Recorded::new();
    let get = || Command::new("GET").arg("k");
    let set = Command::new("SET").arg("k").arg("v").arg("PX").num(1_000);
    keys.run(1, set);
    keys.now_us = 1_000_999;
    assert_eq!(keys.run(1, get()), Reply::bulk("v"), "its last moment");
    keys.run(2, Command::new("PTTL").arg("k"));
    keys.now_us = 1_001_000;
    assert_eq!(keys.run(1, get()), Reply::Nil);
    keys.run(1, Command::new("TIME"));
    keys.ahead_us = -3_600_000_000;
    keys.push(Happening::ServerClockStepped {
        by_us: keys.ahead_us,
    });
    keys.now_us = 90_000_000_000;
    keys.run(3, Command::new("TIME"));
    keys.run(3, Command::new("DBSIZE"));
    expect(&repeat(&keys, &mut server)?, &End::Identical)
}

/// Only time tells this one: every word of it is right a millisecond earlier.
fn late(mut server: Stepped) -> Result<(), Failed> {
    let (recorded, at) = lease_that_ends(1_000);
    match repeat(&recorded, &mut server)?.end {
        End::Differs {
            step,
            simulated,
            real,
            ..
        } if step == at && simulated.contains("waiting") && real.contains("granted") => Ok(()),
        end => Err(format!("the late lease was not found at step {at}: {end:?}").into()),
    }
}

fn planted(mut server: Stepped) -> Result<(), Failed> {
    let mut recorded = admission();
    expect(&repeat(&recorded, &mut server)?, &End::Identical)?;
    let at = recorded.steps.len() - 3;
    let Happening::Executed { reply, .. } = &mut recorded.steps[at].what else {
        return Err("the steps are all commands".into());
    };
    *reply = Reply::bulk("waiting 1 0 0 0 0");
    match repeat(&recorded, &mut server)?.end {
        End::Differs { step, .. } if step == at as u64 + 1 => Ok(()),
        end => Err(format!("the planted difference was not found: {end:?}").into()),
    }
}

/// What no reply has told: another value, expiry, member, type, a key more and
/// a key less, planted on the simulated server behind the run's back.
fn left_otherwise(mut server: Stepped) -> Result<(), Failed> {
    let all: &[&[&str]] = &[
        &["SET", "s", "a"],
        &["SET", "m", "a", "PX", "50000"],
        &["HSET", "h", "f", "1", "g", "2"],
        &["ZADD", "z", "1", "a", "2", "b"],
        &["RPUSH", "l", "a", "b"],
        &["SADD", "t", "a", "b"],
        &["XADD", "x", "1-1", "f", "v"],
    ];
    let command = |words: &[&str]| words[1..].iter().fold(Command::new(words[0]), Command::arg);
    let recorded = || {
        let mut recorded = Recorded::new();
        for words in all {
            recorded.run(1, command(words));
        }
        recorded.now_us += 20_000_123;
        recorded.run(1, Command::new("PING"));
        recorded
    };
    let same = repeat(&recorded(), &mut server)?;
    expect(&same, &End::Identical)?;
    if same.keys != 7 {
        return Err(format!("{} keys were compared", same.keys).into());
    }
    let planted: &[(&[&str], &str, &str, &str)] = &[
        (&["SET", "s", "b"], "GET s", "\"b\"", "\"a\""),
        (&["PEXPIRE", "m", "29999"], "PTTL m", ":29999", ":30000"),
        (&["PERSIST", "m"], "PTTL m", ":-1", ":30000"),
        (&["HSET", "h", "g", "3"], "HGETALL h", "\"3\"", "\"2\""),
        (&["ZADD", "z", "2.5", "b"], "ZRANGE z", "2.5", "\"2\""),
        (&["RPUSH", "l", "c"], "LRANGE l", "\"c\"", "\"b\""),
        (&["SREM", "t", "b"], "SMEMBERS t", "[\"a\"]", "\"b\""),
        (
            &["XADD", "x", "1-2", "f", "v"],
            "XINFO STREAM x",
            "1-2",
            "1-1",
        ),
        (&["SET", "l", "a"], "TYPE l", "string", "list"),
        (
            &["SET", "new", "a"],
            "which keys",
            "new besides",
            "nothing else",
        ),
        (&["DEL", "h"], "which keys", "nothing else", "h besides"),
    ];
    for (words, asked, ours, theirs) in planted {
        let mut recorded = recorded();
        let now_us = EPOCH_US + recorded.now_us;
        let session = SessionId(77);
        let planted = command(words);
        (recorded.server).execute(&recorded.engine, now_us, session, &planted);
        match repeat(&recorded, &mut server)?.end {
            End::Differs {
                step,
                command,
                simulated,
                real,
            } if step == recorded.last()
                && command.contains(asked)
                && simulated.contains(ours)
                && real.contains(theirs) => {}
            end => return Err(format!("{words:?} was not found: {end:?}").into()),
        }
    }
    Ok(())
}

/// `short` has expired when the server starts, and its clock steps back to when
/// it had not: an append-only file brings it back, a snapshot does not.
fn snapshot(mut server: Stepped) -> Result<(), Failed> {
    for from_snapshot in [false, true] {
        let mut recorded = Recorded::new();
        for (key, ms) in [("short", 100), ("long", 900)] {
            let set = Command::new("SET").arg(key).arg("v");
            recorded.run(1, set.arg("PX").num(ms));
        }
        recorded.push(Happening::ServerStopped {
            kind: FaultKind::ServerRestart,
            lost: 0,
            until_ns: 0,
        });
        recorded.server.restart(true);
        recorded.now_us += 200_000;
        if from_snapshot {
            let now_us = EPOCH_US + recorded.now_us;
            recorded.server.load_snapshot(now_us);
        }
        recorded.push(Happening::ServerStarted {
            loading_until_ns: 0,
        });
        recorded.ahead_us = -150_000;
        recorded.push(Happening::ServerClockStepped { by_us: -150_000 });
        let get = |key: &str| Command::new("GET").arg(key);
        assert_eq!(recorded.run(2, get("long")), Reply::bulk("v"));
        let short = recorded.run(2, get("short"));
        assert_eq!(short == Reply::Nil, from_snapshot);
        let start = Start {
            epoch_us: EPOCH_US,
            scripts_loaded: false,
            from_snapshot,
        };
        let report = replay(&mut server, &recorded.steps, &recorded.left(), &start)?;
        expect(&report, &End::Identical)?;
    }
    Ok(())
}

fn messages(mut server: Stepped) -> Result<(), Failed> {
    let publish = || Command::new("PUBLISH").arg("news").arg("hello");
    let told = |payload: &str| Happening::Message {
        who: who(9),
        payload: Bytes::from(payload.as_bytes()),
    };
    let mut recorded = Recorded::new();
    recorded.run(9, Command::new("SUBSCRIBE").arg("news"));
    assert_eq!(recorded.run(1, publish()), Reply::Int(1));
    recorded.push(told("hello"));
    assert_eq!(recorded.run(1, publish()), Reply::Int(1));
    // The server learns that the connection has ended; what it has sent arrives.
    recorded.server.disconnect(SessionId(9));
    recorded.push(Happening::HungUp {
        who: who(9),
        connection: 0,
    });
    assert_eq!(recorded.run(1, publish()), Reply::Int(0));
    recorded.push(told("hello"));
    let report = repeat(&recorded, &mut server)?;
    expect(&report, &End::Identical)?;
    if report.messages != 2 {
        return Err(format!("{} messages were compared", report.messages).into());
    }
    for wrong in ["other", "hello"] {
        // Another one than was sent; one that was not sent at all.
        let mut wronged = Recorded::new();
        wronged.run(9, Command::new("SUBSCRIBE").arg("news"));
        if wrong == "other" {
            wronged.run(1, publish());
        }
        wronged.push(told(wrong));
        match repeat(&wronged, &mut server)?.end {
            End::Differs { step, .. } if step == wronged.last() => {}
            end => return Err(format!("the planted message was not found: {end:?}").into()),
        }
    }
    Ok(())
}

fn restarts(mut server: Stepped) -> Result<(), Failed> {
    let mut recorded = Recorded::new();
    let get = |key: &str| Command::new("GET").arg(key);
    let load = || Command::new("SCRIPT").arg("LOAD").arg("return 1");
    recorded.run(1, Command::new("SET").arg("kept").arg("v"));
    let set = Command::new("SET").arg("short").arg("v");
    recorded.run(1, set.arg("PX").num(100));
    let loaded = recorded.run(1, load());
    let stop = |recorded: &mut Recorded, kind: FaultKind| {
        let wiped = kind == FaultKind::ServerWipe;
        recorded.push(Happening::ServerStopped {
            kind,
            lost: if wiped { EVERYTHING } else { 0 },
            until_ns: 0,
        });
        recorded.now_us += 200_000;
        recorded.server.restart(!wiped);
        recorded.push(Happening::ServerStarted {
            loading_until_ns: 0,
        });
    };
    stop(&mut recorded, FaultKind::ServerRestart);
    // Nobody has come by the short one, and it is in time again.
    recorded.ahead_us = -150_000;
    recorded.push(Happening::ServerClockStepped { by_us: -150_000 });
    assert_eq!(recorded.run(2, get("kept")), Reply::bulk("v"));
    assert_eq!(recorded.run(2, get("short")), Reply::bulk("v"));
    let exists = || {
        let exists = Command::new("SCRIPT").arg("EXISTS");
        exists.arg(loaded.as_bytes().expect("a digest"))
    };
    assert_eq!(recorded.run(2, exists()), Reply::Array(vec![Reply::Int(0)]));
    recorded.run(2, load());
    recorded.server.flush_scripts();
    recorded.push(Happening::ScriptsFlushed);
    assert_eq!(recorded.run(2, exists()), Reply::Array(vec![Reply::Int(0)]));
    stop(&mut recorded, FaultKind::ServerWipe);
    assert_eq!(recorded.run(3, get("kept")), Reply::Nil);
    recorded.run(3, Command::new("SET").arg("last").arg("v"));
    // A run may end while the server is down: then it is asked once it is up. The
    // next run has it up and empty.
    recorded.push(Happening::ServerStopped {
        kind: FaultKind::ServerRestart,
        lost: 0,
        until_ns: 0,
    });
    for _ in 0..2 {
        expect(&repeat(&recorded, &mut server)?, &End::Identical)?;
    }
    Ok(())
}

fn not_replayable(mut server: Stepped) -> Result<(), Failed> {
    let refusal = Refusal::ReadOnly;
    let last: [fn(&mut Recorded); 9] = [
        |r| {
            r.push(Happening::ServerStopped {
                kind: FaultKind::PowerLoss,
                lost: 1,
                until_ns: 0,
            });
        },
        |r| {
            r.push(Happening::ServerStopped {
                kind: FaultKind::ServerFailover,
                lost: 1,
                until_ns: 0,
            });
        },
        |r| {
            r.push(Happening::ServerSplit {
                lost: 1,
                until_ns: 0,
            });
        },
        |r| {
            let key = Bytes::from(&b"k"[..]);
            r.push(Happening::Evicted { key });
        },
        |r| {
            let set = Command::new("SET").arg("k").arg("v");
            r.answered(
                1,
                set,
                Reply::error("READONLY You can't write against a read only replica."),
            );
        },
        |r| {
            let loading = Reply::error("LOADING Redis is loading the dataset in memory");
            r.answered(1, Command::new("PING"), loading);
        },
        |r| {
            r.run(1, Command::new("WAIT").num(1).num(10));
        },
        |r| {
            let pop = Command::new("BLPOP").arg("k").arg("1");
            r.answered(1, pop, Reply::Nil);
        },
        |r| {
            let crossing = "CROSSSLOT Keys in request don't hash to the same slot";
            let get = Command::new("MGET").arg("a").arg("b");
            r.answered(1, get, Reply::error(crossing));
        },
    ];
    for one in last {
        let mut recorded = admission();
        let until_ns = u64::MAX;
        recorded.push(Happening::ServerRefuses { refusal, until_ns });
        one(&mut recorded);
        match repeat(&recorded, &mut server)?.end {
            End::NotReplayable { step, .. } if step == recorded.last() => {}
            end => return Err(format!("{end:?}").into()),
        }
    }
    Ok(())
}

/// A server that the clock was not preloaded into runs by the machine's time.
fn another_clock(server: Stepped) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let careless = directory.path().join("redis-server");
    let binary = server.binary().display();
    fs::write(
        &careless,
        format!("#!/bin/sh\nunset LD_PRELOAD\nexec '{binary}' \"$@\"\n"),
    )?;
    fs::set_permissions(&careless, fs::Permissions::from_mode(0o755))?;
    match Stepped::start(Some(&careless), EPOCH_US) {
        Err(missing) if missing.to_string().contains("does not read the clock") => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// The CI's share of `verify replay 0..1000 --subject all --on redis`.
fn every_subject(server: Stepped) -> Result<(), Failed> {
    let servers = Servers::like(server);
    let scenario = Scenario::repeatable();
    let mut tallies: Vec<Tally> = Vec::new();
    for subject in subject::ALL {
        let runs = many::replay(&servers, subject, &scenario, Strategy::Random, 0..6, |_| {});
        tallies.push(runs?);
    }
    for tally in &tallies {
        if tally.identical != tally.runs || tally.replies < 500 {
            return Err(format!("{tally:?}").into());
        }
    }
    let total = |of: &dyn Fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    let happened = |name: &str| total(&|t| t.happened.get(name).copied().unwrap_or(0));
    for (what, times) in [
        ("expiries", total(&|t| t.ran_out)),
        ("messages", total(&|t| t.messages)),
        ("cuts", happened("cuts")),
        ("client crashes", happened("client crashes")),
        ("server restarts", happened("server restarts")),
        ("server clock steps", happened("server clock steps")),
        ("script flushes", happened("script flushes")),
    ] {
        if times < 10 {
            return Err(format!("only {times} {what} were met").into());
        }
    }
    Ok(())
}
