//! Commands that are nothing but their subcommands.
//!
//! Since 7.0, Redis looks for both at once: a subcommand that does not exist, or
//! is given too few or too many arguments, is refused before it is queued, and
//! in scripts like a command that does not exist.

use super::table::same;
use super::{Arg, Fail, Spec};

/// Subcommands and their numbers of arguments, counted with both names;
/// negative: at least so many.
pub(super) type Subcommands = &'static [(&'static str, i32)];

/// Those of the command of this name, if it is a container.
pub(super) const fn of(name: &str) -> Option<Subcommands> {
    let mut at = 0;
    while at < TABLE.len() {
        if same(TABLE[at].0, name) {
            return Some(TABLE[at].1);
        }
        at += 1;
    }
    None
}

/// Why a subcommand is refused.
pub(in crate::redis) enum Refused {
    Unknown(Fail),
    Arity(Fail),
}

impl Refused {
    pub(in crate::redis) fn fail(self) -> Fail {
        match self {
            Self::Unknown(fail) | Self::Arity(fail) => fail,
        }
    }
}

/// Refuses what the container has not got; nothing to say of other commands.
#[inline]
pub(in crate::redis) fn check(spec: &Spec, args: &[Arg]) -> Result<(), Refused> {
    let (Some(subcommands), Some(word)) = (spec.subcommands, args.get(1)) else {
        return Ok(());
    };
    let Some((name, arity)) = subcommands.iter().find(|(name, _)| word.is(name)) else {
        let container = spec.name.to_ascii_uppercase();
        return Err(Refused::Unknown(Fail::subcommand(word, &container)));
    };
    let fits = match usize::try_from(*arity) {
        Ok(exact) => args.len() == exact,
        Err(_) => args.len() >= arity.unsigned_abs() as usize,
    };
    if fits {
        return Ok(());
    }
    let name = format!("{}|{name}", spec.name);
    Err(Refused::Arity(Fail::arity(&name)))
}

/// What a subcommand says to arguments that it cannot make sense of.
pub(super) fn misused(word: &Arg, command: &str) -> Fail {
    let tail = format!("'. Try {command} HELP.");
    let head: &[u8] = b"ERR unknown subcommand or wrong number of arguments for '";
    Fail::new([head, word, tail.as_bytes()].concat())
}

/// As Redis 7.0 has them; a few came later.
const TABLE: &[(&str, Subcommands)] = &[
    (
        "acl",
        &[
            ("cat", -2),
            ("deluser", -3),
            ("dryrun", -4),
            ("genpass", -2),
            ("getuser", 3),
            ("help", 2),
            ("list", 2),
            ("load", 2),
            ("log", -2),
            ("save", 2),
            ("setuser", -3),
            ("users", 2),
            ("whoami", 2),
        ],
    ),
    (
        "client",
        &[
            ("caching", 3),
            ("getname", 2),
            ("getredir", 2),
            ("help", 2),
            ("id", 2),
            ("info", 2),
            ("kill", -3),
            ("list", -2),
            ("no-evict", 3),
            ("no-touch", 3),
            ("pause", -3),
            ("reply", 3),
            ("setinfo", 4),
            ("setname", 3),
            ("tracking", -3),
            ("trackinginfo", 2),
            ("unblock", -3),
            ("unpause", 2),
        ],
    ),
    (
        "cluster",
        &[
            ("addslots", -3),
            ("addslotsrange", -4),
            ("bumpepoch", 2),
            ("count-failure-reports", 3),
            ("countkeysinslot", 3),
            ("delslots", -3),
            ("delslotsrange", -4),
            ("failover", -2),
            ("flushslots", 2),
            ("forget", 3),
            ("getkeysinslot", 4),
            ("help", 2),
            ("info", 2),
            ("keyslot", 3),
            ("links", 2),
            ("meet", -4),
            ("myid", 2),
            ("myshardid", 2),
            ("nodes", 2),
            ("replicas", 3),
            ("replicate", 3),
            ("reset", -2),
            ("saveconfig", 2),
            ("set-config-epoch", 3),
            ("setslot", -4),
            ("shards", 2),
            ("slaves", 3),
            ("slots", 2),
        ],
    ),
    (
        "command",
        &[
            ("count", 2),
            ("docs", -2),
            ("getkeys", -3),
            ("getkeysandflags", -3),
            ("help", 2),
            ("info", -2),
            ("list", -2),
        ],
    ),
    (
        "config",
        &[
            ("get", -3),
            ("help", 2),
            ("resetstat", 2),
            ("rewrite", 2),
            ("set", -4),
        ],
    ),
    (
        "function",
        &[
            ("delete", 3),
            ("dump", 2),
            ("flush", -2),
            ("help", 2),
            ("kill", 2),
            ("list", -2),
            ("load", -3),
            ("restore", -3),
            ("stats", 2),
        ],
    ),
    (
        "latency",
        &[
            ("doctor", 2),
            ("graph", 3),
            ("help", 2),
            ("histogram", -2),
            ("history", 3),
            ("latest", 2),
            ("reset", -2),
        ],
    ),
    (
        "memory",
        &[
            ("doctor", 2),
            ("help", 2),
            ("malloc-stats", 2),
            ("purge", 2),
            ("stats", 2),
            ("usage", -3),
        ],
    ),
    (
        "module",
        &[
            ("help", 2),
            ("list", 2),
            ("load", -3),
            ("loadex", -3),
            ("unload", 3),
        ],
    ),
    (
        "object",
        &[
            ("encoding", 3),
            ("freq", 3),
            ("help", 2),
            ("idletime", 3),
            ("refcount", 3),
        ],
    ),
    (
        "pubsub",
        &[
            ("channels", -2),
            ("help", 2),
            ("numpat", 2),
            ("numsub", -2),
            ("shardchannels", -2),
            ("shardnumsub", -2),
        ],
    ),
    (
        "script",
        &[
            ("debug", 3),
            ("exists", -3),
            ("flush", -2),
            ("help", 2),
            ("kill", 2),
            ("load", 3),
        ],
    ),
    (
        "slowlog",
        &[("get", -2), ("help", 2), ("len", 2), ("reset", 2)],
    ),
    (
        "xgroup",
        &[
            ("create", -5),
            ("createconsumer", 5),
            ("delconsumer", 5),
            ("destroy", 4),
            ("help", 2),
            ("setid", -5),
        ],
    ),
    (
        "xinfo",
        &[("consumers", 4), ("groups", 3), ("help", 2), ("stream", -3)],
    ),
];
