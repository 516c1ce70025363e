//! Connections behave as TCP does.

use proptest::prelude::*;
use sluice_core::client::{Failure, Output};

use super::*;
use crate::strategy::Random;

const EXECUTED: fn(&Happening) -> bool = |h| matches!(h, Happening::Executed { .. });
const CONNECTED: fn(&Happening) -> bool = |h| matches!(h, Happening::Connected { .. });

#[test]
fn delays_add_up_and_the_server_does_one_thing_at_a_time() {
    let one = || Puppet::default().add(100, 0, 1, "x");
    let mut world = stage(PLAIN, vec![one(), one()]);
    let mut wish = Wish::default();
    world.finish(&mut wish);
    // Woken, connected, sent, served (the second waits for the first), back.
    let first = 100 + 50 + 1_000 + 7 + 200;
    let mut received: Vec<u64> = (0..2)
        .map(|h| world.program(h).seen.last().unwrap().0)
        .collect();
    received.sort_unstable();
    assert_eq!(received, [first, first + 7]);
    assert_eq!(world.server().list.len(), 2);
}

/// Wherever the bytes of two commands in flight are cut, those commands are
/// executed that lie wholly before the cut, and both are of unknown outcome.
#[test]
fn a_cut_on_the_way_up_executes_what_has_arrived() {
    let mut counts = Vec::new();
    // `ADD a` is 2+2 · 3 + 4+3+2+4+1+2 … = 24 bytes on the wire.
    for byte in 0..=50 {
        let program = Puppet::default().add(1, 0, 1, "a").add(1, 0, 2, "b");
        let mut world = stage(Mode::Adversarial, vec![program]);
        let mut wish = Wish::first(&[Kind::Wake, Kind::Connect]);
        world.until(&mut wish, CONNECTED);
        wish.draws = [byte, 0].into();
        world.strike(FaultKind::Cut, &mut wish);
        assert_eq!(world.fired()[FaultKind::Cut], 1);
        let all = world.finish(&mut wish);
        let executed = world.server().list.len();
        counts.push(executed);
        assert_eq!(all.iter().filter(|h| EXECUTED(h)).count(), executed);
        let lost = |h: &&Happening| matches!(h, Happening::ReplyLost { .. });
        assert_eq!(all.iter().filter(lost).count(), executed);
        let news = world.program(0).news();
        assert_eq!(
            news,
            [failed(1, Failure::Unknown), failed(2, Failure::Unknown)]
        );
    }
    assert!(counts.is_sorted());
    let command_bytes = counts.iter().filter(|n| **n == 0).count();
    assert_eq!(counts.iter().filter(|n| **n == 1).count(), command_bytes);
    assert_eq!(command_bytes, "*2\r\n$3\r\nADD\r\n$1\r\na\r\n".len());
    assert_eq!(*counts.last().unwrap(), 2);
}

/// The client cannot tell this from a cut before execution.
#[test]
fn a_cut_on_the_way_down_comes_after_execution() {
    let program = Puppet::default().add(1, 0, 1, "a").add(1, 0, 2, "b");
    let mut world = stage(Mode::Adversarial, vec![program]);
    let mut wish = Wish::first(&[Kind::Wake, Kind::Connect, Kind::Execute]);
    world.until(&mut wish, EXECUTED);
    world.until(&mut wish, EXECUTED);
    // `:1\r\n` is wholly before the cut, `:2\r\n` is not.
    wish.draws = [4 + 3].into();
    world.strike(FaultKind::Cut, &mut wish);
    world.finish(&mut wish);
    assert_eq!(world.server().list, ["a", "b"]);
    let news = world.program(0).news();
    assert_eq!(news, [reply(1, 1), failed(2, Failure::Unknown)]);
}

#[test]
fn what_is_written_to_a_dead_connection_is_lost_and_the_next_one_is_new() {
    let program = Puppet::default()
        .add(1, 0, 1, "a")
        .add(5, 0, 2, "b")
        .add(9, 0, 3, "c");
    let mut world = stage(Mode::Adversarial, vec![program]);
    let mut wish = Wish::first(&[Kind::Connect, Kind::Execute, Kind::Deliver]);
    world.until(&mut wish, |h| matches!(h, Happening::Delivered { .. }));
    world.strike(FaultKind::Cut, &mut wish);
    wish.first = vec![Kind::Wake];
    world.until(&mut wish, |h| matches!(h, Happening::CommandLost { .. }));
    wish.first = vec![Kind::Loss];
    world.finish(&mut wish);
    assert_eq!(world.server().list, ["a", "c"]);
    let news = world.program(0).news();
    assert_eq!(
        news,
        [reply(1, 1), failed(2, Failure::Unknown), reply(3, 2)]
    );
}

/// B2A: the copy that was given up executes after the one that replaced it.
#[test]
fn a_reset_leaves_a_delayed_copy_behind() {
    let program = Puppet::default()
        .add(1, 0, 1, "old")
        .at(5, 0, RESET)
        .add(5, 0, 2, "new");
    let mut world = stage(Mode::Adversarial, vec![program]);
    let mut wish = Wish::first(&[Kind::Connect, Kind::Wake, Kind::Execute]);
    wish.newest = true;
    world.finish(&mut wish);
    assert_eq!(world.server().list, ["new", "old"]);
    let news = world.program(0).news();
    assert_eq!(news, [failed(1, Failure::Unknown), reply(2, 1)]);
}

#[test]
fn a_reset_before_the_connection_is_made_sends_nothing() {
    let program = Puppet::default().add(1, 0, 1, "a").at(1, 0, RESET);
    let mut world = stage(Mode::Adversarial, vec![program]);
    let mut wish = Wish::first(&[Kind::Wake]);
    world.finish(&mut wish);
    assert!(world.server().list.is_empty());
    assert_eq!(world.program(0).news(), [failed(1, Failure::NotSent)]);
}

#[test]
fn refusal_is_certain_not_to_have_been_sent() {
    for kind in [
        FaultKind::Refuse,
        FaultKind::Partition,
        FaultKind::ServerRestart,
    ] {
        let program = Puppet::default()
            .add(1, 0, 1, "a")
            .add(20_000 * MS, 0, 2, "b");
        let mut world = stage(PLAIN, vec![program]);
        let mut wish = Wish::default();
        world.strike(kind, &mut wish);
        let all = world.finish(&mut wish);
        assert_eq!(world.fired()[kind], 1, "{kind:?}");
        assert!(all.iter().any(|h| matches!(h, Happening::Refused { .. })));
        let news = world.program(0).news();
        assert_eq!(news, [failed(1, Failure::NotSent), reply(2, 1)], "{kind:?}");
    }
}

#[test]
fn a_partition_delays_and_does_not_lose() {
    let program = Puppet::default().add(1, 0, 1, "a");
    let mut world = stage(PLAIN, vec![program]);
    let mut wish = Wish::default();
    world.until(&mut wish, CONNECTED);
    wish.draws = [0, 0].into();
    world.strike(FaultKind::Partition, &mut wish);
    let end = world.hosts[0].partitioned.unwrap();
    assert!(world.is_partitioned(0));
    world.until(&mut wish, |h| matches!(h, Happening::Mended { host: 0 }));
    assert!(world.server().list.is_empty());
    world.finish(&mut wish);
    assert_eq!(world.program(0).news(), [reply(1, 1)]);
    // The up frame waited; executed at the mend, so the reply is 207 ns later.
    assert_eq!(world.now(), end + 7 + 200);
}

#[test]
fn a_stall_holds_up_one_connection_only() {
    let program = Puppet::default().add(1, 0, 1, "slow").add(1, 1, 2, "fast");
    let mut world = stage(PLAIN, vec![program]);
    let mut wish = Wish::default();
    world.until(&mut wish, CONNECTED);
    world.until(&mut wish, CONNECTED);
    let stalled_first = Label::new(Kind::Stall, 0, 0, 1);
    assert_eq!(world.links[0].who.actor, stalled_first.actor);
    world.strike(FaultKind::Stall, &mut wish);
    world.finish(&mut wish);
    assert_eq!(world.server().list, ["fast", "slow"]);
    assert_eq!(world.program(0).news(), [reply(2, 1), reply(1, 2)]);
}

#[test]
fn a_subscription_is_kept_up_without_the_client() {
    let channel = Bytes::from(&b"c"[..]);
    let program = Puppet::default()
        .at(1, 0, Output::Subscribe(channel))
        .at(10 * MS, 1, command(1, &["PUBLISH", "one"]))
        .at(10 * MS, 1, command(2, &["PUBLISH", "two"]))
        .at(30_000 * MS, 1, command(3, &["PUBLISH", "three"]))
        .at(40_000 * MS, 0, Output::Unsubscribe)
        .at(50_000 * MS, 1, command(4, &["PUBLISH", "four"]));
    let mut world = stage(PLAIN, vec![program]);
    let mut wish = Wish::default();
    world.until(&mut wish, |h| matches!(h, Happening::Message { .. }));
    // The first of the open connections is the subscription; one message is in flight.
    wish.draws = [0, 0].into();
    world.strike(FaultKind::Cut, &mut wish);
    world.finish(&mut wish);
    let seen = &world.program(0).seen;
    let of_0: Vec<Input> = seen
        .iter()
        .filter(|(_, actor, input)| *actor == 0 && *input != Input::Wake)
        .map(|(_, _, input)| input.clone())
        .collect();
    assert_eq!(
        of_0,
        [
            Input::Subscribed,
            message("one"),
            Input::Unsubscribed,
            Input::Subscribed,
            message("three"),
        ]
    );
    assert!(world.server().subscribers.is_empty());
}

proptest! {
    /// Under any schedule with cuts, stalls and resets, each connection
    /// executes in the order of sending, answers in the order of asking, and
    /// every request has at most one end.
    #[test]
    fn order_is_kept_within_a_connection(seed: u64, timed: bool) {
        let mut program = Puppet::default();
        for n in 0..60u64 {
            let actor = (n % 3) as u16;
            program = program.add(n * MS, actor, n, &n.to_string());
            if n % 17 == 16 {
                program = program.at(n * MS, actor, RESET);
            }
        }
        let mode = if timed { Mode::Timed(Delays::WILD) } else { Mode::Adversarial };
        let mut world = stage(mode, vec![program]);
        let weights = PerFault::default().with(FaultKind::Cut, 3).with(FaultKind::Stall, 1);
        world.faults = Faults { gap_ns: 5 * MS, one_in: 10, ..Faults::new(weights, 10_000 * MS) };
        (world.healed, world.next_fault) = (false, 0);
        world.reschedule();
        let all = world.finish(&mut Random::new(seed));
        prop_assert!(world.fired().total() > 0);
        let mut executed: Vec<(ActorId, u32, u64)> = Vec::new();
        let mut answered: Vec<(ActorId, u64, u64)> = Vec::new();
        let mut ended = [0u32; 60];
        for happening in &all {
            match happening {
                Happening::Executed { who, connection, request: Some(r), .. } => {
                    for (w, c, earlier) in &executed {
                        prop_assert!((w, c) != (who, connection) || *earlier < r.0);
                        prop_assert_ne!(*earlier, r.0, "executed twice");
                    }
                    executed.push((*who, *connection, r.0));
                }
                Happening::Delivered { who, request, sent_ns, .. } => {
                    for (w, earlier, _) in &answered {
                        prop_assert!(w != who || *earlier < request.0);
                    }
                    prop_assert!(executed.iter().any(|(_, _, r)| *r == request.0));
                    answered.push((*who, request.0, *sent_ns));
                    ended[request.0 as usize] += 1;
                }
                Happening::Lost { request, failure, .. } => {
                    if *failure == Failure::NotSent {
                        prop_assert!(!executed.iter().any(|(_, _, r)| *r == request.0));
                    }
                    ended[request.0 as usize] += 1;
                }
                _ => {}
            }
        }
        // With faults over and the run at its end, nobody is left in doubt.
        prop_assert_eq!(ended, [1; 60]);
        prop_assert_eq!(world.server().list.len(), executed.len());
        prop_assert!(world.links.iter().all(|l| l.pending.is_empty() && l.up.is_empty()));
    }
}
