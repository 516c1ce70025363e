//! What a stranger may send: each mistake is told, and changes nothing.

use libtest_mimic::Failed;
use sluice_core::redis::{Command, Reply as RedisReply};
use sluice_core::script::{self, GateKeys};
use sluice_core::slots::{Class, Config, Outcome};

use crate::backend::Backend;
use crate::check;

/// Malformed arguments get an error that says what is wrong, and change nothing.
pub(crate) fn refuse(backend: &mut dyn Backend, prefix: &str) -> Result<(), Failed> {
    let gate = GateKeys::new(prefix, "refuse")?;
    let good = script::acquire(&gate, &Config::session_cap(1), b"a", 1, Class::ZERO, true);
    let text = good.args[6].clone();
    let long = [b'x'; 513];
    let cases: [(&script::Script, &[&[u8]], &str); 15] = [
        (&script::ACQUIRE, &[b"", b"a", b"1"], "16 numbers"),
        (&script::ACQUIRE, &[b"20 1", b"a", b"1"], "16 numbers"),
        (
            &script::SWEEP,
            &[b"x x x x x x x x x x x x x x x x"],
            "16 numbers",
        ),
        (
            &script::SWEEP,
            &[b"0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0"],
            "16 numbers",
        ),
        (&script::SWEEP, &[], "16 numbers"),
        (&script::STATUS, &[], "configuration"),
        (&script::ACQUIRE, &[&text, b"", b"1"], "ARGV[2]"),
        (&script::ACQUIRE, &[&text, b"\x01", b"1"], "ARGV[2]"),
        (&script::ACQUIRE, &[&text, &long, b"1"], "ARGV[2]"),
        (&script::ACQUIRE, &[&text, b"a", b"x"], "ARGV[3]"),
        (&script::POLL, &[&text, b"a"], "ARGV[3]"),
        (&script::CANCEL, &[&text, b"a", b"-1"], "ARGV[3]"),
        (&script::ACQUIRE, &[&text, b"a", b"1", b"4"], "ARGV[4]"),
        (&script::RENEW, &[&text, b"a"], "ARGV[3]"),
        (&script::RESIZE, &[&text, b"0"], "ARGV[2]"),
    ];
    for born in [false, true] {
        for (script, args, complaint) in cases {
            let mut command = Command::new("EVALSHA").arg(script.sha1).arg("3");
            command
                .args
                .extend([gate.gate(), gate.line(), gate.due()].into_iter().cloned());
            for arg in args {
                command = command.arg(arg);
            }
            if born && script.name == "status" {
                continue; // a gate that exists knows its capacity
            }
            backend.call(&script::load(script))?;
            let (reply, ..) = backend.call(&command)?;
            let told = matches!(&reply, RedisReply::Error(e) if String::from_utf8_lossy(e).contains(complaint) && e.starts_with(b"ERR sluice:"));
            check(
                told,
                format!("{command:?}: {reply:?}, expected a word about {complaint}"),
            )?;
        }
        let (exists, ..) = backend.call(&Command::new("ZCARD").arg(gate.line()))?;
        check(
            exists == RedisReply::Int(born.into()),
            format!("{exists:?} places"),
        )?;
        let (granted, ..) = backend.call(&good)?;
        let granted = script::decode(&granted)?.outcome;
        check(
            matches!(granted, Outcome::Granted { .. }),
            format!("{granted:?}"),
        )?;
    }
    Ok(())
}
