//! The scripts of `lua/` against `core::slots::Slots`: the same operations at
//! the same times, compared reply by reply, zone by zone, counter by counter,
//! wake-up by wake-up.
//!
//! One body, two backends ([`backend`]). On the simulated Redis time is stepped
//! at will. On a real one it passes by itself, and what time a script saw is not
//! in its reply; but TIME sent before and after in the same packet leaves one or
//! two candidates, and `Slots` must agree for one of them, so that leases and
//! timeouts are compared exactly there, too.

mod backend;
mod header;
mod pair;
mod plan;
mod planted;
mod refuse;
mod seen;

use backend::{Real, Simulated};
use libtest_mimic::{Arguments, Failed, Trial};
use pair::agree;
use plan::Plans;
use verify::real;

/// Far beyond any plan, so that no gate is forgotten on the way.
const RETAIN_MS: u64 = 100_000_000;

fn main() {
    let trials = vec![
        Trial::test("scripts agree with slots", || {
            let plans = Plans {
                cases: 600,
                unit_ms: 3,
                retain_ms: 0,
            };
            agree(&mut Simulated::new(), "", plans)?;
            agree(
                &mut Simulated::new(),
                "",
                Plans {
                    retain_ms: RETAIN_MS,
                    ..plans
                },
            )?;
            Ok(())
        }),
        Trial::test("planted bugs are found", || {
            planted::planted(
                &mut Simulated::new(),
                Plans {
                    cases: 600,
                    unit_ms: 3,
                    retain_ms: RETAIN_MS,
                },
            )
        }),
        Trial::test(
            "scripts declare the keys they use, and tell every word",
            header::whole,
        ),
        real::trial("scripts agree with slots on a real server", |server| {
            let mut space = server.space()?;
            let mut redis = Real::new(server)?;
            let plans = Plans {
                cases: 40,
                unit_ms: 3,
                retain_ms: 0,
            };
            agree(&mut redis, space.prefix(), plans)?;
            space.clear()?;
            agree(
                &mut redis,
                space.prefix(),
                Plans {
                    retain_ms: RETAIN_MS,
                    ..plans
                },
            )?;
            space.clear()?;
            Ok(())
        }),
        real::trial("scripts refuse malformed arguments", |server| {
            let space = server.space()?;
            refuse::refuse(&mut Real::new(server)?, space.prefix())
        }),
        Trial::test("headers tell keys, arguments and replies", header::headers),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn check(holds: bool, otherwise: impl Into<String>) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.into().into())
    }
}
