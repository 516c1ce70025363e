//! The alarm works: each bug that is planted in a script makes the agreement fail.

use std::collections::BTreeMap;

use libtest_mimic::Failed;
use sluice_core::redis::{Bytes, Command, Reply as RedisReply};
use sluice_core::script;

use crate::backend::Backend;
use crate::check;
use crate::pair::agree;
use crate::plan::Plans;

/// Bugs that the agreement must find: a part of a script, and what it is
/// replaced by.
const PLANTED: [(&str, &str, &str); 14] = [
    (
        "the short cut counts one too few",
        "held < capacity then",
        "held <= capacity then",
    ),
    (
        "promotion counts one too few",
        "while held < capacity",
        "while held <= capacity",
    ),
    ("any fencing number will do", "fenced == number", "true"),
    (
        "a delayed copy is taken for the newest",
        "nonce < known_nonce or",
        "false or",
    ),
    (
        "an expiry frees the slot a moment late",
        "deadline > now or steps",
        "deadline >= now or steps",
    ),
    (
        "one step too many is done",
        "local steps = batch",
        "local steps = batch + 1",
    ),
    (
        "an offer that lapses stays in front",
        "format('%d', key + 4e15)",
        "format('%d', key)",
    ),
    (
        "an ended waiter keeps its deadline",
        "if next_due < NEVER then call('ZREM', DUE, id) end",
        "",
    ),
    ("a renewal touches, too", "if ARGV[4] == '1'", "if true"),
    (
        "endings are never forgotten",
        "remembered > tombstones_max then",
        "false then",
    ),
    (
        "nobody is woken",
        "if id ~= me then call('PUBLISH'",
        "if false then call('PUBLISH'",
    ),
    (
        "the caller is woken, too",
        "if id ~= me then call('PUBLISH'",
        "if true then call('PUBLISH'",
    ),
    (
        "a waiter that returns moves nothing",
        "if call('ZADD', LINE, 'CH', format('%d', key), id) == 1",
        "if call('ZADD', LINE, 'CH', format('%d', key), id) == 2",
    ),
    (
        "the deadlines are kept for ever",
        "for i = 1, 3 do call('PEXPIRE'",
        "for i = 1, 2 do call('PEXPIRE'",
    ),
];

/// Each planted bug makes the agreement fail.
pub(crate) fn planted(backend: &mut dyn Backend, plans: Plans) -> Result<(), Failed> {
    for (i, (what, good, bad)) in PLANTED.into_iter().enumerate() {
        let mut mutant = Mutant {
            backend,
            good,
            bad,
            digests: BTreeMap::new(),
        };
        let found = agree(&mut mutant, &format!("{i}:"), plans).is_err();
        check(
            !mutant.digests.is_empty(),
            format!("no script contains `{good}`"),
        )?;
        check(found, format!("not found: {what}"))?;
    }
    Ok(())
}

/// Runs other scripts than it is asked to.
struct Mutant<'a> {
    backend: &'a mut dyn Backend,
    good: &'static str,
    bad: &'static str,
    /// From the good script's to the bad one's.
    digests: BTreeMap<Bytes, Bytes>,
}

impl Backend for Mutant<'_> {
    fn call(&mut self, command: &Command) -> Result<(RedisReply, u64, u64), Failed> {
        let loaded = script::ALL
            .into_iter()
            .find(|s| *command == script::load(s));
        if let Some(script) = loaded.filter(|script| script.text.contains(self.good)) {
            let text = script.text.replace(self.good, self.bad);
            let load = Command::new("SCRIPT").arg("LOAD").arg(text);
            let (digest, from, to) = self.backend.call(&load)?;
            let RedisReply::Bulk(digest) = digest else {
                return Err(format!("the mutant cannot be loaded: {digest:?}").into());
            };
            self.digests.insert(script.sha1.as_bytes().into(), digest);
            return Ok((RedisReply::bulk(script.sha1), from, to));
        }
        let mut command = command.clone();
        if let Some(digest) = command.args.get(1).and_then(|arg| self.digests.get(arg)) {
            command.args[1] = digest.clone();
        }
        self.backend.call(&command)
    }

    fn advance(&mut self, ms: u64) {
        self.backend.advance(ms);
    }

    fn listen(&mut self, channel: &[u8]) -> Result<(), Failed> {
        self.backend.listen(channel)
    }

    fn messages(&mut self) -> Result<Vec<Vec<u8>>, Failed> {
        self.backend.messages()
    }
}
