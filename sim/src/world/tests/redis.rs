//! The world and the simulated Redis, together.

use super::*;
use crate::dist::Dist;
use crate::redis::{Engine, Policy, Server};
use crate::store::SessionId;
use crate::strategy::Random;

#[test]
fn scripts_messages_and_expiry_follow_the_world() {
    let script = "redis.call('set', KEYS[1], 'x', 'px', 100)
        redis.call('publish', 'c', ARGV[1])
        return redis.call('time')[1]";
    let program = Puppet::default()
        .at(1, 0, Output::Subscribe(Bytes::from(&b"c"[..])))
        .at(
            3_000 * MS,
            1,
            command(1, &["EVAL", script, "1", "k", "hello"]),
        )
        .at(3_050 * MS, 1, command(2, &["EXISTS", "k"]))
        .at(3_200 * MS, 1, command(3, &["EXISTS", "k"]));
    let fresh = || -> World<Puppet> {
        World::new(Setup {
            hosts: vec![HostSetup::new(program.clone())],
            server: Server::new(),
            mode: Mode::Timed(Delays::LOCAL),
            faults: Faults::NONE,
            epoch_us: 1_700_000_000_000_000,
        })
    };
    let engine = Engine::new();
    let run = |seed| {
        let (mut world, mut random) = (fresh(), Random::new(seed));
        while world.step(&engine, &mut random).is_some() {}
        world
    };
    let world = run(1);
    let mut news = world.program(0).news();
    // The message and the script's reply race each other on two connections.
    news.sort_by_key(|input| !matches!(input, Input::Subscribed | Input::Message(_)));
    let time = Input::Reply(RequestId(1), Reply::bulk("1700000003"));
    assert_eq!(
        news,
        [
            Input::Subscribed,
            message("hello"),
            time,
            reply(2, 1),
            reply(3, 0),
        ]
    );
    assert_eq!(world.digest(), run(1).digest());
    assert_eq!(world.state_digest(), run(1).state_digest());
    assert_ne!(world.digest(), run(2).digest());
}

/// One host waits for work that another brings; then nothing comes any more.
/// Replies to what waits come when it is served or its time is up, in order
/// with what its connection asked afterwards.
#[test]
fn who_waits_is_served_or_sent_away_by_the_servers_clock() {
    let worker = Puppet::default()
        .at(1_000 * MS, 0, command(1, &["BLPOP", "work", "0"]))
        .at(1_001 * MS, 0, command(2, &["BLPOP", "work", "0.5"]))
        .at(1_002 * MS, 0, command(3, &["LLEN", "work"]));
    let boss = Puppet::default().at(2_000 * MS, 0, command(1, &["RPUSH", "work", "a"]));
    let engine = Engine::new();
    let mut world: World<Puppet> = World::new(Setup {
        hosts: vec![HostSetup::new(worker), HostSetup::new(boss)],
        server: Server::new(),
        mode: Mode::Timed(Delays::LOCAL),
        faults: Faults::NONE,
        epoch_us: 1_700_000_000_000_000,
    });
    let mut random = Random::new(1);
    while world.step(&engine, &mut random).is_some() {}
    let item = Reply::Array(vec![Reply::bulk("work"), Reply::bulk("a")]);
    assert_eq!(
        world.program(0).news(),
        [
            Input::Reply(RequestId(1), item),
            Input::Reply(RequestId(2), Reply::Nil),
            reply(3, 0),
        ]
    );
    let seen = &world.program(0).seen;
    let when = |wanted| {
        seen.iter()
            .find(|(_, _, input)| matches!(input, Input::Reply(id, _) if id.0 == wanted))
    };
    let (served, late) = (when(1).map(|s| s.0), when(2).map(|s| s.0));
    let (served, late) = (served.unwrap_or(0), late.unwrap_or(0));
    assert!((2_000 * MS..2_010 * MS).contains(&served), "{served}");
    assert!((2_500 * MS..2_510 * MS).contains(&late), "{late}");
}

/// Memory is short: a server that may throw nothing away does not, one that may
/// throws away whichever key it is told to.
#[test]
fn an_eviction_strikes_what_the_policy_lets_go() {
    let program = Puppet::default()
        .at(1_000 * MS, 0, command(1, &["MSET", "a", "1", "b", "2"]))
        .at(2_000 * MS, 0, command(2, &["EXISTS", "a"]))
        .at(3_000 * MS, 0, command(3, &["EXISTS", "b"]));
    let engine = Engine::new();
    for (policy, gone) in [(Policy::NoEviction, None), (Policy::AllKeysLru, Some("b"))] {
        let mut server = Server::new();
        server.limit_memory(0, policy);
        let mut world: World<Puppet> = World::new(Setup {
            hosts: vec![HostSetup::new(program.clone())],
            server,
            mode: Mode::Timed(Delays::LOCAL),
            faults: Faults::NONE,
            epoch_us: 1_700_000_000_000_000,
        });
        let mut wish = Wish::default();
        while world.now() < 1_500 * MS {
            world.step(&engine, &mut wish).expect("more is to come");
        }
        world.happenings.clear();
        world.fire(FaultKind::Eviction, &mut Wish::drawing(&[1]));
        let key = |key: &str| Bytes::from(key.as_bytes());
        let expected = gone.map(|gone| Happening::Evicted { key: key(gone) });
        assert_eq!(world.happenings(), Vec::from_iter(expected));
        while world.step(&engine, &mut wish).is_some() {}
        let left = i64::from(gone.is_none());
        assert_eq!(world.program(0).news()[1..], [reply(2, 1), reply(3, left)]);
    }
}

/// Lets replicas lag, or not, and failovers lose as much as they can.
struct Fate {
    lags: bool,
}

impl Chooser for Fate {
    fn pick(&mut self, options: &[Label]) -> usize {
        Wish::default().pick(options)
    }

    fn draw(&mut self, what: Label, bound: u64) -> u64 {
        match what.kind {
            Kind::Replicate if what.host == Label::SERVER => bound - 1, // lost
            Kind::Replicate => u64::from(self.lags),
            _ => 0,
        }
    }

    fn sample(&mut self, what: Label, dist: Dist) -> u64 {
        if what.host == Label::SERVER {
            u64::MAX / 2 // the next fault
        } else {
            dist.mean()
        }
    }
}

/// Who waits where it has written is told the truth, and a failover loses nothing
/// of what it was told is safe. Who waits elsewhere is told that all is well.
#[test]
fn a_wait_is_about_what_its_own_connection_wrote() {
    let wait = ["WAIT", "1", "500"];
    let program = Puppet::default()
        .at(1_000 * MS, 0, command(1, &["SET", "k", "1"]))
        .at(2_000 * MS, 2, command(2, &wait))
        .at(3_000 * MS, 0, command(3, &wait));
    let engine = Engine::new();
    for lags in [false, true] {
        let mut world: World<Puppet> = World::new(Setup {
            hosts: vec![HostSetup::new(program.clone())],
            server: Server::new(),
            mode: Mode::Timed(Delays::LOCAL),
            faults: Faults::new(
                PerFault::default().with(FaultKind::ServerFailover, 1),
                60_000 * MS,
            ),
            epoch_us: 1_700_000_000_000_000,
        });
        let mut fate = Fate { lags };
        while world.program(0).news().len() < 3 {
            world.step(&engine, &mut fate).expect("more is to come");
        }
        assert_eq!(
            world.program(0).news()[1],
            reply(2, 1),
            "it has written nothing"
        );
        let safe = i64::from(!lags);
        assert_eq!(world.program(0).news()[2], reply(3, safe));
        world.happenings.clear();
        world.fire(FaultKind::ServerFailover, &mut fate);
        let kept = world.server().keyspace().string(b"k", 0).is_some();
        assert_eq!(kept, !lags);
    }
}

/// What is lost depends on how the server dies, and on what it does about it.
#[test]
fn a_disk_has_what_was_written_and_what_was_synced() {
    use Persistence::{AofAlways, AofEverysec, Rdb};
    let set = |n: u64, at: u64, key: &str| (at * MS, 0, command(n, &["SET", key, "1"]));
    let writes = [set(1, 1_000, "a"), set(2, 2_500, "b"), set(3, 2_900, "c")];
    let engine = Engine::new();
    let every_ms = 2_000;
    for (persistence, killed, without_power) in [
        (AofAlways, "abc", "abc"),
        (AofEverysec, "abc", "a"),
        (Rdb { every_ms }, "a", "a"),
        (Rdb { every_ms: 60_000 }, "", ""),
        (Persistence::None, "", ""),
    ] {
        let deaths = [
            (FaultKind::ServerRestart, killed),
            (FaultKind::PowerLoss, without_power),
        ];
        for (death, kept) in deaths {
            let program = writes
                .iter()
                .fold(Puppet::default(), |p, (at, actor, out)| {
                    p.at(*at, *actor, out.clone())
                });
            let faults = Faults::new(PerFault::default().with(death, 1), 60_000 * MS);
            let mut world: World<Puppet> = World::new(Setup {
                hosts: vec![HostSetup::new(program)],
                server: Server::new(),
                mode: Mode::Timed(Delays::LOCAL),
                faults: Faults {
                    persistence,
                    ..faults
                },
                epoch_us: 1_700_000_000_000_000,
            });
            let mut fate = Fate { lags: false };
            while world.program(0).news().len() < 3 {
                world.step(&engine, &mut fate).expect("more is to come");
            }
            world.happenings.clear();
            world.fire(death, &mut fate);
            let there = |key: &&str| {
                let keys = world.server().keyspace();
                keys.string(key.as_bytes(), 0).is_some()
            };
            let all: String = ["a", "b", "c"].into_iter().filter(there).collect();
            assert_eq!(all, kept, "{persistence:?}, {death:?}");
            let lost = match kept.len() {
                0 => EVERYTHING,
                kept => 3 - kept as u32,
            };
            let told = |h: &Happening| match h {
                Happening::ServerStopped { lost, .. } => Some(*lost),
                _ => None,
            };
            assert_eq!(world.happenings.iter().find_map(told), Some(lost));
        }
    }
}

/// However often the same snapshot is read: a guarded gate knows by the name
/// that what it gave may be forgotten.
#[test]
fn every_process_has_a_name_of_its_own() {
    let engine = Engine::new();
    let program = [1_000, 3_000, 20_000, 40_000]
        .into_iter()
        .zip(1..)
        .fold(Puppet::default(), |p, (at, n)| {
            p.at(at * MS, 0, command(n, &["SET", "k", "1"]))
        });
    let faults = PerFault::default().with(FaultKind::ServerRestart, 1);
    let mut world: World<Puppet> = World::new(Setup {
        hosts: vec![HostSetup::new(program)],
        server: Server::new(),
        mode: Mode::Timed(Delays::LOCAL),
        faults: Faults {
            persistence: Persistence::Rdb { every_ms: 2_000 },
            ..Faults::new(faults, 60_000 * MS)
        },
        epoch_us: 1_700_000_000_000_000,
    });
    let name = |world: &World<Puppet>| {
        let info = Command::new("INFO").arg("server");
        let reply = (world.server().clone()).execute(&engine, 0, SessionId(9), &info);
        let text = String::from_utf8_lossy(reply.as_bytes().expect("text")).into_owned();
        let line = text.lines().find(|line| line.starts_with("run_id:"));
        line.expect("it has a name").to_owned()
    };
    let mut fate = Fate { lags: false };
    while world.program(0).news().len() < 2 {
        world.step(&engine, &mut fate).expect("more is to come");
    }
    let mut names = vec![name(&world)];
    for _ in 0..3 {
        world.fire(FaultKind::ServerRestart, &mut fate);
        names.push(name(&world));
        let started = |h: &Happening| matches!(h, Happening::ServerStarted { .. });
        while !world
            .step(&engine, &mut fate)
            .expect("it comes back")
            .iter()
            .any(started)
        {}
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4, "{names:?}");
}

/// A replica takes over beside the server: who was connected goes on with the
/// old one until it ends, and nothing of what that did is kept.
#[test]
fn two_servers_at_a_time_know_nothing_of_each_other() {
    let connected = Puppet::default()
        .at(1_000 * MS, 0, command(1, &["INCR", "n"]))
        .at(3_000 * MS, 0, command(2, &["INCR", "n"]))
        .at(9_000 * MS, 0, command(3, &["INCR", "n"]));
    let late = Puppet::default().at(3_500 * MS, 0, command(1, &["INCRBY", "n", "10"]));
    let mut world: World<Puppet> = World::new(Setup {
        hosts: vec![HostSetup::new(connected), HostSetup::new(late)],
        server: Server::new(),
        mode: Mode::Timed(Delays::LOCAL),
        faults: Faults {
            outage_ns_max: 4_000 * MS,
            ..Faults::NONE
        },
        epoch_us: 1_700_000_000_000_000,
    });
    let (engine, mut wish) = (Engine::new(), Wish::default());
    while world.now() < 1_500 * MS {
        let happened = world.step(&engine, &mut wish);
        if happened.is_none() || world.program(0).news().len() == 1 {
            break;
        }
    }
    world.fire(FaultKind::ServerSplit, &mut Wish::drawing(&[u64::MAX]));
    let (mut former, mut ended) = (0, 0);
    while let Some(happened) = world.step(&engine, &mut wish) {
        for what in happened {
            former += u32::from(matches!(what, Happening::ExecutedByFormer { .. }));
            ended += u32::from(*what == Happening::FormerStopped);
        }
    }
    assert_eq!((former, ended), (1, 1));
    assert_eq!(world.program(1).news(), [reply(1, 11)], "1 was replicated");
    let answers = world.program(0).news();
    assert_eq!(answers[..2], [reply(1, 1), reply(2, 2)]);
    assert_eq!(answers.last(), Some(&reply(3, 12)), "the 2 is lost");
}
