//! The world and the simulated Redis, together.

use super::*;
use crate::redis::{Engine, Server};
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
