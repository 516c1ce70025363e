//! Each script's header against its code, its builders and its replies.

use libtest_mimic::Failed;
use sluice_core::script::{self, GateKeys};
use sluice_core::slots::{Class, Config};

use crate::backend::Simulated;
use crate::check;
use crate::pair::agree;
use crate::plan::Plans;

/// In a whole run of plans no key was used undeclared, and each word that a
/// header promises was given.
pub(crate) fn whole() -> Result<(), Failed> {
    let mut backend = Simulated::new();
    let words = agree(
        &mut backend,
        "",
        Plans {
            cases: 600,
            unit_ms: 3,
            retain_ms: 0,
        },
    )?;
    let undeclared = backend.server.undeclared_keys();
    check(undeclared.is_empty(), format!("{undeclared:?}"))?;
    for script in script::ALL {
        for word in Header::of(script)?.words {
            let given = words.contains(&(script.name, word));
            check(
                given,
                format!(
                    "{}: `{word}` is in the header and was never given",
                    script.name
                ),
            )?;
        }
    }
    Ok(())
}

/// What a script's header promises.
pub(crate) struct Header {
    keys: usize,
    /// Least and most.
    args: (usize, usize),
    pub(crate) words: Vec<&'static str>,
}

impl Header {
    pub(crate) fn of(script: &'static script::Script) -> Result<Self, Failed> {
        let line = |label: &str| {
            let found = script
                .text
                .lines()
                .find_map(|line| line.strip_prefix("-- ")?.strip_prefix(label));
            found
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| {
                    Failed::from(format!("{}: the header has no `-- {label} …`", script.name))
                })
        };
        let (keys, args) = (line("KEYS:")?, line("ARGV:")?);
        line("cost:")?;
        Ok(Self {
            keys: keys.split_whitespace().count(),
            args: (
                args.split_whitespace()
                    .filter(|arg| !arg.starts_with('['))
                    .count(),
                args.split_whitespace().count(),
            ),
            words: line("reply:")?.split('|').map(str::trim).collect(),
        })
    }
}

/// Each header against its code: the keys and arguments that are used, and the
/// builders that pass them. (The words of replies are held against the header
/// with every reply of the agreement.)
pub(crate) fn headers() -> Result<(), Failed> {
    let gate = GateKeys::new("", "gate")?;
    let config = Config::session_cap(20);
    let zero = Class::ZERO;
    let one = Class::new(1).expect("there are four");
    for (script, least, most) in [
        (
            &script::ACQUIRE,
            script::acquire(&gate, &config, b"id", 1, zero, true),
            script::acquire(&gate, &config, b"id", 1, one, false),
        ),
        (
            &script::POLL,
            script::poll(&gate, &config, b"id", 1),
            script::poll(&gate, &config, b"id", 1),
        ),
        (
            &script::RENEW,
            script::renew(&gate, &config, b"id", 1, false),
            script::renew(&gate, &config, b"id", 1, true),
        ),
        (
            &script::RELEASE,
            script::release(&gate, &config, b"id", 1),
            script::release(&gate, &config, b"id", 1),
        ),
        (
            &script::CANCEL,
            script::cancel(&gate, &config, b"id", 1),
            script::cancel(&gate, &config, b"id", 1),
        ),
        (
            &script::RESIZE,
            script::resize(&gate, &config, 1),
            script::resize(&gate, &config, 1),
        ),
        (
            &script::SWEEP,
            script::sweep(&gate, &config),
            script::sweep(&gate, &config),
        ),
        (
            &script::STATUS,
            script::status(&gate, &config),
            script::status(&gate, &config),
        ),
    ] {
        let header = Header::of(script)?;
        let name = script.name;
        check(
            header.keys == 3,
            format!("{name}: every script declares three keys"),
        )?;
        check(
            used(script.text, "KEYS") <= header.keys,
            format!("{name}: KEYS beyond the header"),
        )?;
        let args = used(script.text, "ARGV");
        check(
            args <= header.args.1,
            format!(
                "{name}: uses ARGV[{args}], the header tells {:?}",
                header.args
            ),
        )?;
        // EVALSHA, digest, number of keys, keys; then ARGV.
        check(
            least.args.len() == 6 + header.args.0,
            format!("{name}: {least:?}"),
        )?;
        check(
            most.args.len() == 6 + header.args.1,
            format!("{name}: {most:?}"),
        )?;
        check(
            !script.text.contains("--@"),
            format!("{name}: an include is left"),
        )?;
    }
    Ok(())
}

/// The largest number in `table[number]`.
fn used(text: &str, table: &str) -> usize {
    let opening = format!("{table}[");
    let uses = text.split(&opening).skip(1);
    uses.filter_map(|rest| rest.split(']').next()?.parse().ok())
        .max()
        .unwrap_or(0)
}
