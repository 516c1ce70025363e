//! Two seats, and code that believes to keep them: see docs/bring-your-own.md.

use std::{process::ExitCode, time::Duration};

use sluice_core::redis::Command;
use verify::trial::{Redis, Reply, Trial, eval};

const SCRIPT: &str = include_str!("bring_your_own.lua");

/// The reader's own code, as it runs in production, over a trait.
async fn client(redis: impl Redis, me: u16) {
    while redis.call(eval(SCRIPT, &["seats"]).arg("2")).await != Ok(Reply::Int(1)) {
        redis.sleep(Duration::from_millis(50)).await;
    }
    let sits = Command::new("SADD").arg("seats").arg(me.to_string());
    if redis.call(sits).await.is_err() {
        return;
    }
    redis.enter();
    redis.sleep(Duration::from_millis(20)).await; // the work
    redis.leave();
    let goes = Command::new("SREM").arg("seats").arg(me.to_string());
    let _ = redis.call(goes).await;
}

pub(crate) fn trial() -> Trial {
    Trial::new(5, client).invariant("at most two are at work", |scene| scene.inside() <= 2)
}

#[allow(dead_code, reason = "a test includes this file")]
fn main() -> ExitCode {
    trial().main()
}
