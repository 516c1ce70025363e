//! Whole runs: the same from the same answers, faulty for a while, then healed.

use proptest::prelude::*;

use super::*;
use crate::log::{Decision, DecisionFile};
use crate::strategy::{Follow, Random, Recorder, Replay};
use crate::trace::Trace;

const UNTIL: u64 = 2_000 * MS;

/// Three hosts with skewed clocks that send and subscribe, under all faults.
fn busy(mode: Mode, weights: PerFault) -> Stage {
    let hosts = (0..3u64).map(|host| {
        let channel = Bytes::from(&b"c"[..]);
        let mut program = Puppet::default().at(1, 2, Output::Subscribe(channel));
        for n in 0..100 {
            let at = n * 40 * MS;
            let actor = (n % 2) as u16;
            let id = host * 1_000 + n;
            program = match n % 5 {
                0 => program.at(at, actor, command(id, &["PUBLISH", "m"])),
                1 => program.at(at, actor, command(id, &["LOAD"])),
                2 if n % 3 == 0 => program.at(at, actor, RESET),
                _ => program.add(at, actor, id, &id.to_string()),
            };
        }
        HostSetup {
            program,
            offset_ns: host * 7 * MS,
            drift_ppm: host as i32 * 100 - 100,
        }
    });
    World::new(Setup {
        hosts: hosts.collect(),
        server: Tiny::default(),
        mode,
        faults: Faults {
            outage_ns_max: 300 * MS,
            loading_ns_max: 50 * MS,
            ..Faults::new(weights, UNTIL)
        },
        epoch_us: 1_700_000_000_000_000,
    })
}

fn mode(timed: bool) -> Mode {
    if timed {
        Mode::Timed(Delays::LOCAL)
    } else {
        Mode::Adversarial
    }
}

/// Digest after every step.
fn trace(world: &mut Stage, chooser: &mut dyn Chooser) -> Vec<u64> {
    let mut digests = Vec::new();
    while digests.len() < 50_000 && world.step(&(), chooser).is_some() {
        digests.push(world.digest());
    }
    digests
}

/// An order of events that lets time pass first and everything else wait, for a
/// program that connects after one second and goes on for a minute: when is it
/// connected?
fn starved_until(faults: Faults) -> u64 {
    let seconds = 1..=60;
    let program = seconds.fold(Puppet::default(), |p, n| p.add(n * 1_000 * MS, 0, n, "x"));
    let mut world = World::new(Setup {
        hosts: vec![HostSetup::new(program)],
        server: Tiny::default(),
        mode: Mode::Adversarial,
        faults,
        epoch_us: 1_000_000,
    });
    let mut wish = Wish::first(&[Kind::Heal, Kind::Wake]);
    world.until(&mut wish, |h| matches!(h, Happening::Connected { .. }));
    world.now()
}

/// Whoever a strategy would starve is served within a bound once faults are over.
#[test]
fn nobody_is_starved_for_longer_than_five_seconds_after_healing() {
    let healed = Faults::new(PerFault::all(1), 1);
    assert_eq!(starved_until(healed), 1_000 * MS + DELIVERED_WITHIN_NS);
    assert_eq!(starved_until(Faults::NONE), 60_000 * MS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_same_answers_give_the_same_run(seed: u64, timed: bool) {
        let fresh = || busy(mode(timed), PerFault::all(1));
        let mut world = fresh();
        let mut recorder = Recorder::new(Random::new(seed));
        let first = trace(&mut world, &mut recorder);
        prop_assert!(first.len() > 300, "{}", first.len());
        prop_assert_eq!(&first, &trace(&mut fresh(), &mut Random::new(seed)));

        let file = DecisionFile {
            subject: "tiny".into(),
            scenario: "busy".into(),
            seed: Some(seed),
            steps: world.steps(),
            digest: world.digest(),
            shrunken: None,
            decisions: recorder.into_decisions(),
        };
        let read = DecisionFile::parse(&file.to_text()).unwrap();
        let mut again = fresh();
        let mut replay = Replay::new(read.decisions);
        prop_assert_eq!(&first, &trace(&mut again, &mut replay));
        prop_assert_eq!(replay.divergence(), None);
        prop_assert_eq!(replay.left(), 0);
        prop_assert_eq!(again.state_digest(), world.state_digest());

        // Who follows a whole log repeats it too.
        let mut follow = Follow::new(file.decisions);
        prop_assert_eq!(&first, &trace(&mut busy(mode(timed), PerFault::all(1)), &mut follow));
        prop_assert_eq!(follow.unmet(), None);
    }

    /// A clone goes its own way, and the same way under the same answers.
    #[test]
    fn a_clone_is_the_same_world(seed: u64, timed: bool, steps in 0usize..400) {
        let mut world = busy(mode(timed), PerFault::all(1));
        let mut random = Random::new(seed);
        for _ in 0..steps {
            world.step(&(), &mut random);
        }
        let mut other = world.clone();
        prop_assert_eq!(world.state_digest(), other.state_digest());
        let mut same = random.clone();
        prop_assert_eq!(trace(&mut world, &mut random), trace(&mut other, &mut same));
    }

    #[test]
    fn faults_end_in_time_and_everything_heals(seed: u64, timed: bool) {
        let mut world = busy(mode(timed), PerFault::all(1));
        let mut random = Random::new(seed);
        let mut healed_at = None;
        while let Some(happened) = world.step(&(), &mut random) {
            let fault = happened.iter().any(|h| matches!(
                h,
                Happening::Cut { .. } | Happening::Stalled { .. } | Happening::Partitioned { .. }
                    | Happening::Refusing { .. } | Happening::Paused { .. }
                    | Happening::Crashed { .. } | Happening::ClockStepped { .. }
                    | Happening::ServerClockStepped { .. } | Happening::ScriptsFlushed
                    | Happening::ServerStopped { .. }
            ));
            let heals = happened.contains(&Happening::Healed);
            if heals {
                prop_assert_eq!(healed_at, None);
                healed_at = Some(world.now());
                prop_assert!(world.is_server_up());
                for host in 0..3 {
                    prop_assert!(world.is_up(host));
                    prop_assert!(!world.is_paused(host) && !world.is_partitioned(host));
                }
            }
            prop_assert!(!fault || healed_at.is_none(), "a fault after healing");
            prop_assert_eq!(world.healed(), healed_at.is_some());
            if world.healed() {
                let lost = |h: &Happening| matches!(h, Happening::Refused { .. });
                prop_assert!(!world.happenings.iter().any(lost), "refused after healing");
            }
        }
        prop_assert_eq!(healed_at, Some(UNTIL));
        prop_assert!(world.fired().total() > 0);
        // Everybody has converged: all is said, and all who want to be are subscribed.
        for host in 0..3 {
            prop_assert!(world.program(host).todo.is_empty());
        }
        prop_assert_eq!(world.server().subscribers.len(), 3 - lost_subscriptions(&world));
    }
}

/// A puppet does not subscribe again when it restarts.
fn lost_subscriptions(world: &Stage) -> usize {
    world
        .hosts
        .iter()
        .filter(|h| h.actors.get(2).is_none_or(|a| a.channel.is_none()))
        .count()
}

#[test]
fn every_kind_of_fault_fires_and_is_counted() {
    for timed in [true, false] {
        for kind in FaultKind::ALL {
            let weights = PerFault::default().with(kind, 1);
            let mut fired = 0;
            for seed in 0..5 {
                let mut world = busy(mode(timed), weights);
                let mut random = Random::new(seed);
                trace(&mut world, &mut random);
                assert_eq!(world.fired().total(), u64::from(world.fired()[kind]));
                fired += world.fired()[kind];
            }
            assert!(fired >= 5, "{kind:?} fired {fired} times, timed: {timed}");
        }
    }
}

#[test]
fn the_budget_is_kept() {
    let mut world = busy(Mode::Adversarial, PerFault::all(1));
    world.faults.budget = 3;
    world.faults.one_in = 2;
    trace(&mut world, &mut Random::new(1));
    assert_eq!(world.fired().total(), 3);
}

/// The alarm works: another seed, another decision, another log are noticed.
#[test]
fn differences_are_noticed() {
    let fresh = || busy(Mode::Adversarial, PerFault::all(1));
    let mut recorder = Recorder::new(Random::new(1));
    let first = trace(&mut fresh(), &mut recorder);
    assert_ne!(first, trace(&mut fresh(), &mut Random::new(2)));

    let decisions = recorder.into_decisions();
    let at = decisions.len() / 2;
    let mut short = Replay::new(decisions[..at].to_vec());
    trace(&mut fresh(), &mut short);
    let divergence = short.divergence().expect("the log ended early");
    assert_eq!((divergence.decision, divergence.recorded), (at, None));

    let mut altered = decisions;
    let unknown = Label::new(Kind::Setup, 9, 9, 9);
    altered[at] = Decision::Pick(unknown);
    let mut replay = Replay::new(altered);
    trace(&mut fresh(), &mut replay);
    let divergence = replay.divergence().expect("nobody asks for that");
    assert_eq!(divergence.decision, at);
    assert!(
        divergence.to_string().contains("Setup 9.9 #9"),
        "{divergence}"
    );
}

#[test]
fn a_trace_keeps_the_latest_and_tells_where_runs_part() {
    let record = |seed, limit| {
        let mut world = busy(mode(true), PerFault::all(1));
        let (mut random, mut trace) = (Random::new(seed), Trace::new(limit, 10_000));
        while world.step(&(), &mut random).is_some() {
            trace.record(&world);
        }
        trace
    };
    let (all, some) = (record(1, usize::MAX), record(1, 100));
    assert_eq!((all.dropped(), some.entries().len()), (0, 100));
    assert_eq!(some.dropped() as usize + 100, all.entries().len());
    assert!(
        some.entries()
            .eq(all.entries().skip(some.dropped() as usize))
    );
    assert_eq!(record(1, 0).entries().len(), 0);
    assert_eq!(all.parts_from(&some), None);

    let other = record(2, 100);
    let parted = all.parts_from(&other).expect("another seed") as usize;
    assert_eq!(all.digests()[..parted - 1], other.digests()[..parted - 1]);
    assert_ne!(all.digests()[parted - 1], other.digests()[parted - 1]);
}

#[test]
fn nothing_to_do_is_the_end() {
    let mut world = stage(Mode::Adversarial, vec![Puppet::default()]);
    assert!(world.step(&(), &mut Wish::default()).is_none());
    assert_eq!((world.steps(), world.now()), (0, 0));
}

/// A machine that goes in circles without time passing makes steps, and hangs
/// nobody.
#[test]
fn a_machine_in_a_circle_does_not_hang_the_world() {
    #[derive(Clone, Debug, Default, Hash)]
    struct Circle(VecDeque<Output>, u64);
    impl Program for Circle {
        fn handle(&mut self, _: LocalTime, _: u16, _: Input) {
            self.1 += 1;
            self.0.push_back(command(self.1, &["ADD", "x"]));
            self.0.push_back(RESET);
        }
        fn poll_output(&mut self) -> Option<(u16, Output)> {
            self.0.pop_front().map(|o| (0, o))
        }
        fn deadline(&self) -> Option<(LocalTime, u16, &'static str)> {
            (self.1 == 0).then_some((LocalTime(1), 0, "start"))
        }
        fn restart(&mut self, _: LocalTime) {}
    }
    let mut world: World<Circle, Tiny> = World::new(Setup {
        hosts: vec![HostSetup::new(Circle::default())],
        server: Tiny::default(),
        mode: PLAIN,
        faults: Faults::NONE,
        epoch_us: 0,
    });
    for _ in 0..3 {
        let happened = world.step(&(), &mut Wish::default()).map(<[_]>::len);
        assert!(happened.is_some_and(|n| n >= 999));
    }
    assert_eq!(world.now(), 1);
}
