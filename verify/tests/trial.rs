//! Brought code on trial: the example's race is found, shrunk and drawn; the
//! mended code, under the same search, shows nothing (R6.13).

use std::time::Duration;

use sluice_core::redis::Command;
use verify::trial::{Redis, Reply, Trial, eval};

#[path = "../examples/bring_your_own.rs"]
mod example;

#[test]
fn the_examples_race_is_found_and_shrunk_to_its_essence() {
    let broken = example::trial().search().expect("the race is found");
    assert_eq!(broken.clients, (5, 3), "three clients for two seats");
    assert!(broken.decisions.1 <= 6, "{broken}");
    insta::assert_snapshot!(broken);
    // The same input, the same counterexample.
    let again = example::trial().search().expect("found again");
    assert_eq!(again.to_string(), broken.to_string());
}

#[test]
fn mended_it_shows_nothing() {
    let script = "if redis.call('SCARD', KEYS[1]) < tonumber(ARGV[1]) then \
                  return redis.call('SADD', KEYS[1], ARGV[2]) end return 0";
    let client = move |redis: sluice_sim::brought::Simulated, me: u16| async move {
        let enter = || eval(script, &["seats"]).arg("2").arg(me.to_string());
        while redis.call(enter()).await != Ok(Reply::Int(1)) {
            redis.sleep(Duration::from_millis(50)).await;
        }
        redis.enter();
        redis.sleep(Duration::from_millis(20)).await;
        redis.leave();
        let goes = Command::new("SREM").arg("seats").arg(me.to_string());
        let _ = redis.call(goes).await;
    };
    let trial = Trial::new(5, client)
        .seeds(0..1_000)
        .invariant("at most two are at work", |scene| scene.inside() <= 2);
    assert!(trial.search().is_none());
}

#[test]
fn an_example_is_forty_lines_at_most() {
    let text = include_str!("../examples/bring_your_own.rs");
    assert!(text.lines().count() <= 40, "{}", text.lines().count());
}
