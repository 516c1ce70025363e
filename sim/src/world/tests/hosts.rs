//! Hosts have their own clocks, stand still, and die.

use sluice_core::client::Failure;

use super::*;

fn one_host(program: Puppet, offset_ns: u64, drift_ppm: i32) -> Stage {
    World::new(Setup {
        hosts: vec![HostSetup {
            program,
            offset_ns,
            drift_ppm,
        }],
        server: Tiny::default(),
        mode: PLAIN,
        faults: Faults::NONE,
        epoch_us: 5,
    })
}

#[test]
fn deadlines_are_met_by_the_hosts_own_clock() {
    let program = Puppet::default().add(2_000_000, 0, 1, "a");
    // Half as fast again, and 500,000 ns ahead: 1,500,000 own ns in 1,000,000.
    let mut world = one_host(program, 500_000, 500_000);
    world.step(&(), &mut Wish::default()).unwrap();
    assert_eq!(world.now(), 1_000_000);
    assert_eq!(world.local_time(0).0, 2_000_000);
    assert_eq!(world.program(0).seen, [(2_000_000, 0, Input::Wake)]);
}

#[test]
fn a_step_of_the_clock_moves_deadlines() {
    let woken_after = |forwards: bool| {
        let program = Puppet::default().add(10_000 * MS, 0, 1, "a");
        let mut world = one_host(program, 0, 0);
        // The largest step there is, 2 s.
        let mut wish = Wish::drawing(&[0, 0, u64::from(!forwards)]);
        world.strike(FaultKind::ClockStep, &mut wish);
        assert!(matches!(
            world.happenings[..],
            [Happening::ClockStepped { host: 0, .. }]
        ));
        let before = world.local_time(0).0;
        world.step(&(), &mut wish).unwrap();
        assert_eq!(world.local_time(0).0, 10_000 * MS);
        (before, world.now())
    };
    assert_eq!(woken_after(true), (2_000 * MS, 8_000 * MS));
    assert_eq!(woken_after(false), (0, 12_000 * MS));
}

#[test]
fn the_servers_clock_is_its_own() {
    let program = Puppet::default()
        .at(1_000 * MS, 0, command(1, &["TIME"]))
        .at(20_000 * MS, 0, command(2, &["TIME"]));
    let mut world = one_host(program, 0, 0);
    let mut wish = Wish::default();
    world.until(&mut wish, |h| matches!(h, Happening::Delivered { .. }));
    wish.draws = [0, 0, 1].into();
    world.strike(FaultKind::ServerClockStep, &mut wish);
    world.finish(&mut wish);
    // Asked 1,050 and 1,000 ns after waking (the first has to connect).
    let at = |us: i64| us + 5 + 1;
    let news = world.program(0).news();
    assert_eq!(news, [reply(1, at(1_000_000)), reply(2, at(18_000_000))]);
}

#[test]
fn a_paused_process_finds_everything_late() {
    let program = Puppet::default().add(1, 0, 1, "a").add(2 * MS, 0, 2, "b");
    let mut world = stage(PLAIN, vec![program]);
    let mut wish = Wish::default();
    world.until(&mut wish, |h| matches!(h, Happening::Connected { .. }));
    world.strike(FaultKind::Pause, &mut wish);
    assert!(world.is_paused(0) && world.is_up(0));
    let resumed = world.hosts[0].paused.unwrap();
    assert!(resumed > 2 * MS);
    // The server does not stand still.
    world.until(&mut wish, |h| matches!(h, Happening::Executed { .. }));
    assert!(world.now() < resumed);
    world.until(&mut wish, |h| matches!(h, Happening::Resumed { host: 0 }));
    assert_eq!(world.now(), resumed);
    world.finish(&mut wish);
    let seen = &world.program(0).seen;
    assert_eq!(
        seen[1..3].iter().map(|s| s.0).collect::<Vec<_>>(),
        [resumed; 2]
    );
    assert_eq!(world.program(0).news(), [reply(1, 1), reply(2, 2)]);
}

#[test]
fn a_crash_ends_connections_but_not_what_is_under_way() {
    for (draw, list) in [(0, vec!["c"]), (u64::MAX, vec!["a", "b", "c"])] {
        let program =
            Puppet::default()
                .add(1, 0, 1, "a")
                .add(1, 0, 2, "b")
                .add(30_000 * MS, 0, 3, "c");
        let mut world = stage(PLAIN, vec![program]);
        let mut wish = Wish::default();
        world.until(&mut wish, |h| matches!(h, Happening::Connected { .. }));
        wish.draws = [0, 0, draw].into();
        world.strike(FaultKind::Crash, &mut wish);
        assert!(!world.is_up(0));
        let all = world.finish(&mut wish);
        let restarted = |h: &Happening| matches!(h, Happening::Restarted { host: 0 });
        assert_eq!(all.iter().filter(|h| restarted(h)).count(), 1);
        assert!(all.iter().any(|h| matches!(h, Happening::HungUp { .. })));
        assert_eq!(world.server().list, list);
        // The dead hear nothing; the living start afresh.
        let news = world.program(0).news();
        assert_eq!(news, [reply(3, list.len() as i64)]);
        assert_eq!(world.program(0).restarts, 1);
    }
}

#[test]
fn a_server_restart_loses_what_it_did_not_keep() {
    for (kind, kept) in [(FaultKind::ServerRestart, 1), (FaultKind::ServerWipe, 0)] {
        let program = Puppet::default()
            .add(1, 0, 1, "a")
            .at(1, 0, command(2, &["LOAD"]))
            .add(20 * MS, 0, 3, "b")
            .add(20_000 * MS, 0, 4, "c")
            .at(30_000 * MS, 0, command(5, &["RUN"]));
        let mut world = stage(PLAIN, vec![program]);
        let mut wish = Wish::default();
        world.until(&mut wish, |h| matches!(h, Happening::Woke { .. }));
        while world.now() < 20 * MS {
            world.step(&(), &mut wish).unwrap();
        }
        world.strike(kind, &mut wish);
        assert!(!world.is_server_up());
        let all = world.finish(&mut wish);
        assert_eq!(world.server().list.len(), kept + 1, "{kind:?}");
        let lost = |h: &Happening| matches!(h, Happening::CommandLost { .. });
        assert_eq!(all.iter().filter(|h| lost(h)).count(), 0);
        let news = world.program(0).news();
        assert_eq!(news[2], failed(3, Failure::Unknown));
        assert_eq!(news[3], reply(4, kept as i64 + 1));
        let noscript = Reply::error("NOSCRIPT No matching script.");
        assert_eq!(news[4], Input::Reply(RequestId(5), noscript));
    }
}

#[test]
fn a_restarted_server_loads_before_it_answers() {
    let program = Puppet::default()
        .add(5_100 * MS, 0, 1, "a")
        .add(6_000 * MS, 0, 2, "b");
    let mut world = stage(PLAIN, vec![program]);
    let mut wish = Wish::default();
    world.strike(FaultKind::ServerRestart, &mut wish);
    world.finish(&mut wish);
    let news = world.program(0).news();
    let loading = Reply::error("LOADING Redis is loading the dataset in memory");
    assert_eq!(news, [Input::Reply(RequestId(1), loading), reply(2, 1)]);
}

#[test]
fn a_flush_that_finds_no_script_does_not_count() {
    let program = Puppet::default()
        .at(1, 0, command(1, &["LOAD"]))
        .at(10 * MS, 0, command(2, &["RUN"]))
        .at(20 * MS, 0, command(3, &["RUN"]));
    let mut world = stage(PLAIN, vec![program]);
    let mut wish = Wish::default();
    world.strike(FaultKind::ScriptFlush, &mut wish);
    assert_eq!(world.fired()[FaultKind::ScriptFlush], 0);
    while world.program(0).news().len() < 2 {
        world.step(&(), &mut wish).unwrap();
    }
    world.strike(FaultKind::ScriptFlush, &mut wish);
    assert_eq!(world.fired()[FaultKind::ScriptFlush], 1);
    world.finish(&mut wish);
    let ok = |n| Input::Reply(RequestId(n), Reply::ok());
    let gone = Reply::error("NOSCRIPT No matching script.");
    assert_eq!(
        world.program(0).news(),
        [ok(1), ok(2), Input::Reply(RequestId(3), gone)]
    );
}
