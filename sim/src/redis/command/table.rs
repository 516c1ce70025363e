//! The table of commands: name, arity, keys, function.

use std::ops::Deref;

use sluice_core::redis::Reply;

use super::super::{Server, SessionId, State, Version, lua::Engine, number};
use super::containers::{self, Subcommands};
use super::{
    Arg, Out, access, bitfield, bits, blocking, client, cluster, config, databases, describe, dump,
    functions, geo, hashes, hyperloglogs, info, keys, lcs, lists, memory, object, operations,
    pubsub, scan, scripts, server, sets, sort, streams, strings, transactions, zranges, zsetops,
    zsets,
};

/// Which arguments are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    None,
    /// Every `step`-th from `first` to `last` (negative: from the end).
    At {
        first: usize,
        last: isize,
        step: usize,
    },
    /// A count at `at` and so many keys after it; the first argument too if it
    /// is where the result goes.
    Counted {
        at: usize,
        stored: bool,
    },
    /// The first argument, and what follows the last `STORE`.
    Sorted,
    /// The first argument, and what follows the last `STORE` or `STOREDIST`.
    Roaming,
    /// The first half of what follows `STREAMS`.
    Streams,
}

impl Keys {
    /// Shows each key among the arguments (the name is the first of them).
    pub(crate) fn each<A: Deref<Target = [u8]>>(self, args: &[A], mut visit: impl FnMut(&A)) {
        match self {
            Self::None => {}
            Self::At { first, last, step } => {
                let last = if last < 0 {
                    args.len().saturating_add_signed(last)
                } else {
                    last as usize
                };
                let keys = args.iter().take(last + 1).skip(first).step_by(step);
                keys.for_each(visit);
            }
            Self::Counted { at, stored } => {
                if stored {
                    args.iter().skip(1).take(1).for_each(&mut visit);
                }
                let count = args.get(at).and_then(|count| number::parse_i64(count));
                let count = count.and_then(|count| usize::try_from(count).ok());
                let keys = args.iter().skip(at + 1).take(count.unwrap_or(0));
                keys.for_each(visit);
            }
            Self::Sorted | Self::Roaming => {
                args.iter().skip(1).take(1).for_each(&mut visit);
                // The last one counts.
                let store = args.iter().rposition(|arg| {
                    arg.eq_ignore_ascii_case(b"store")
                        || self == Self::Roaming && arg.eq_ignore_ascii_case(b"storedist")
                });
                let key = store.and_then(|at| args.get(at + 1));
                key.into_iter().for_each(visit);
            }
            Self::Streams => {
                // The names of a group and of a consumer may be anything.
                let grouped = args
                    .first()
                    .is_some_and(|name| name.eq_ignore_ascii_case(b"xreadgroup"));
                let from = if grouped { 4 } else { 1 };
                let rest = args.get(from..).unwrap_or_default();
                let word = rest
                    .iter()
                    .position(|arg| arg.eq_ignore_ascii_case(b"streams"));
                let after = word.map_or(&[][..], |at| &rest[at + 1..]);
                after[..after.len() / 2].iter().for_each(visit);
            }
        }
    }
}

/// What a command needs to run.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// The state of the server; may be called from a script.
    Data(fn(&mut State, &[Arg]) -> Out),
    /// The session, and maybe the interpreter; not from a script.
    Session(fn(&mut Server, &Engine, SessionId, &[Arg]) -> Result<Reply, super::Fail>),
}

/// One command.
#[derive(Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// Number of arguments with the name; negative: at least so many.
    arity: i32,
    /// Whether it may change keys.
    pub(crate) write: bool,
    /// Whether it may need more memory (Redis calls it `denyoom`).
    pub(crate) grows: bool,
    pub(crate) keys: Keys,
    pub(crate) run: Run,
    /// Its subcommands, if it has any.
    pub(super) subcommands: Option<Subcommands>,
    /// Whether Redis 6.2 has not got it.
    since_7_0: bool,
}

impl Spec {
    /// Whether its first argument is the name of a command in its own right.
    pub(crate) fn has_subcommands(&self) -> bool {
        self.subcommands.is_some()
    }

    /// Whether it runs a script.
    pub(crate) fn has_scripts(&self) -> bool {
        self.name.starts_with("eval") || self.name.starts_with("fcall")
    }

    /// Whether a server of this version has it.
    pub(crate) fn exists_in(&self, version: Version) -> bool {
        !self.since_7_0 || version != Version::V6_2
    }

    /// Whether it may need more memory with these arguments: of some commands only
    /// some subcommands may, but for Redis 6.2.
    pub(crate) fn grows_with<A: Deref<Target = [u8]>>(&self, args: &[A], version: Version) -> bool {
        let sub = |words: &[&str]| {
            let is = |word: &&str| args[1].eq_ignore_ascii_case(word.as_bytes());
            args.len() > 1 && words.iter().any(is)
        };
        self.grows
            || match self.name {
                "xgroup" => version == Version::V6_2 || sub(&["create", "createconsumer"]),
                "function" => sub(&["load", "restore"]),
                _ => false,
            }
    }

    /// Number of arguments with the name; negative: at least so many.
    pub(crate) fn arity(&self) -> i32 {
        self.arity
    }

    pub(crate) fn accepts(&self, count: usize) -> bool {
        if self.arity < 0 {
            count >= self.arity.unsigned_abs() as usize
        } else {
            count == self.arity as usize
        }
    }
}

/// The command of this name, in any case. One probe, as a rule.
pub(crate) fn lookup(name: &[u8]) -> Option<&'static Spec> {
    let mut slot = hash(name) % SLOTS;
    loop {
        let at = usize::from(INDEX[slot]).checked_sub(1)?;
        if TABLE[at].name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(&TABLE[at]);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Several times the number of commands, so that probes are short.
const SLOTS: usize = 1024;
/// Place in the table + 1 by hash of the name, 0 where there is none.
static INDEX: [u16; SLOTS] = index();

/// The same in any case.
const fn hash(name: &[u8]) -> usize {
    let mut hash = name.len() as u32;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at].to_ascii_lowercase() as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ hash >> 13) as usize
}

/// Whether two names are the same, at compile time.
pub(super) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

const fn since_7_0(name: &str) -> bool {
    let mut at = 0;
    while at < SINCE_7_0.len() && !same(SINCE_7_0[at], name) {
        at += 1;
    }
    at < SINCE_7_0.len()
}

const fn index() -> [u16; SLOTS] {
    let mut index = [0; SLOTS];
    let mut at = 0;
    while at < TABLE.len() {
        let mut slot = hash(TABLE[at].name.as_bytes()) % SLOTS;
        while index[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        at += 1;
        index[slot] = at as u16;
    }
    index
}

/// What came with Redis 7.0.
const SINCE_7_0: [&str; 18] = [
    "blmpop",
    "bzmpop",
    "eval_ro",
    "evalsha_ro",
    "expiretime",
    "fcall",
    "fcall_ro",
    "function",
    "lcs",
    "lmpop",
    "pexpiretime",
    "sintercard",
    "sort_ro",
    "spublish",
    "ssubscribe",
    "sunsubscribe",
    "zintercard",
    "zmpop",
];

/// All of them, by name.
pub(crate) fn all() -> &'static [Spec] {
    TABLE
}

const NO: Keys = Keys::None;
const ONE: Keys = Keys::At {
    first: 1,
    last: 1,
    step: 1,
};
const TWO: Keys = Keys::At {
    first: 1,
    last: 2,
    step: 1,
};
const ALL: Keys = Keys::At {
    first: 1,
    last: -1,
    step: 1,
};
const SECOND: Keys = Keys::At {
    first: 2,
    last: 2,
    step: 1,
};
const REST: Keys = Keys::At {
    first: 2,
    last: -1,
    step: 1,
};
const COUNTED: Keys = Keys::Counted {
    at: 1,
    stored: false,
};
const STORED: Keys = Keys::Counted {
    at: 2,
    stored: true,
};
const ALL_BUT_LAST: Keys = Keys::At {
    first: 1,
    last: -2,
    step: 1,
};
const TIMED: Keys = Keys::Counted {
    at: 2,
    stored: false,
};
const SORTED: Keys = Keys::Sorted;
const ROAMING: Keys = Keys::Roaming;
const STREAMS: Keys = Keys::Streams;
const PAIRS: Keys = Keys::At {
    first: 1,
    last: -1,
    step: 2,
};

macro_rules! table {
    ($($kind:ident $name:literal $arity:literal $write:ident $keys:ident $run:path;)*) => {
        &[$(Spec {
            name: $name,
            arity: $arity,
            write: table!(@ $write).0,
            grows: table!(@ $write).1,
            keys: $keys,
            run: Run::$kind($run),
            subcommands: containers::of($name),
            since_7_0: since_7_0($name),
        }),*]
    };
    (@ g) => { (true, true) };
    (@ w) => { (true, false) };
    (@ r) => { (false, false) };
}

/// In the order of names. `r`: reads; `w`: writes; `g`: writes, and may grow.
const TABLE: &[Spec] = table! {
    Session "acl" -2 r NO access::acl;
    Data "append" 3 g ONE strings::append;
    Data "asking" 1 r NO operations::of_clusters;
    Session "auth" -2 r NO access::auth;
    Session "bgrewriteaof" 1 r NO operations::bgrewriteaof;
    Session "bgsave" -1 r NO operations::bgsave;
    Data "bitcount" -2 r ONE bits::bitcount;
    Data "bitfield" -2 g ONE bitfield::bitfield;
    Data "bitfield_ro" -2 r ONE bitfield::bitfield_ro;
    Data "bitop" -4 g REST bits::bitop;
    Data "bitpos" -3 r ONE bits::bitpos;
    Data "blmove" 6 g TWO blocking::blmove;
    Data "blmpop" -5 w TIMED blocking::blmpop;
    Data "blpop" -3 w ALL_BUT_LAST blocking::blpop;
    Data "brpop" -3 w ALL_BUT_LAST blocking::brpop;
    Data "brpoplpush" 4 g TWO blocking::brpoplpush;
    Data "bzmpop" -5 w TIMED blocking::bzmpop;
    Data "bzpopmax" -3 w ALL_BUT_LAST blocking::bzpopmax;
    Data "bzpopmin" -3 w ALL_BUT_LAST blocking::bzpopmin;
    Session "client" -2 r NO client::client;
    Data "cluster" -2 r NO cluster::cluster;
    Session "command" -1 r NO describe::command;
    Session "config" -2 r NO config::config;
    Data "copy" -3 g TWO databases::copy;
    Data "dbsize" 1 r NO keys::dbsize;
    Session "debug" -2 r NO operations::debug;
    Data "decr" 2 g ONE strings::decr;
    Data "decrby" 3 g ONE strings::decrby;
    Data "del" -2 w ALL keys::del;
    Session "discard" 1 r NO transactions::discard;
    Data "dump" 2 r ONE dump::dump;
    Data "echo" 2 r NO server::echo;
    Session "eval" -3 r NO scripts::eval;
    Session "eval_ro" -3 r NO scripts::eval_ro;
    Session "evalsha" -3 r NO scripts::evalsha;
    Session "evalsha_ro" -3 r NO scripts::evalsha_ro;
    Session "exec" 1 r NO transactions::exec;
    Data "exists" -2 r ALL keys::exists;
    Data "expire" -3 w ONE keys::expire;
    Data "expireat" -3 w ONE keys::expireat;
    Data "expiretime" 2 r ONE keys::expiretime;
    Session "fcall" -3 r NO functions::fcall;
    Session "fcall_ro" -3 r NO functions::fcall_ro;
    Data "flushall" -1 w NO databases::flushall;
    Data "flushdb" -1 w NO databases::flushdb;
    Session "function" -2 w NO functions::function;
    Data "geoadd" -5 g ONE geo::geoadd;
    Data "geodist" -4 r ONE geo::geodist;
    Data "geohash" -2 r ONE geo::geohash;
    Data "geopos" -2 r ONE geo::geopos;
    Data "georadius" -6 g ROAMING geo::georadius;
    Data "georadius_ro" -6 r ONE geo::georadius_ro;
    Data "georadiusbymember" -5 g ROAMING geo::georadiusbymember;
    Data "georadiusbymember_ro" -5 r ONE geo::georadiusbymember_ro;
    Data "geosearch" -7 r ONE geo::geosearch;
    Data "geosearchstore" -8 g TWO geo::geosearchstore;
    Data "get" 2 r ONE strings::get;
    Data "getbit" 3 r ONE bits::getbit;
    Data "getdel" 2 w ONE strings::getdel;
    Data "getex" -2 w ONE strings::getex;
    Data "getrange" 4 r ONE strings::getrange;
    Data "getset" 3 g ONE strings::getset;
    Data "hdel" -3 w ONE hashes::hdel;
    Session "hello" -1 r NO server::hello;
    Data "hexists" 3 r ONE hashes::hexists;
    Data "hget" 3 r ONE hashes::hget;
    Data "hgetall" 2 r ONE hashes::hgetall;
    Data "hincrby" 4 g ONE hashes::hincrby;
    Data "hincrbyfloat" 4 g ONE hashes::hincrbyfloat;
    Data "hkeys" 2 r ONE hashes::hkeys;
    Data "hlen" 2 r ONE hashes::hlen;
    Data "hmget" -3 r ONE hashes::hmget;
    Data "hmset" -4 g ONE hashes::hmset;
    Data "hrandfield" -2 r ONE hashes::hrandfield;
    Data "hscan" -3 r ONE scan::hscan;
    Data "hset" -4 g ONE hashes::hset;
    Data "hsetnx" 4 g ONE hashes::hsetnx;
    Data "hstrlen" 3 r ONE hashes::hstrlen;
    Data "hvals" 2 r ONE hashes::hvals;
    Data "incr" 2 g ONE strings::incr;
    Data "incrby" 3 g ONE strings::incrby;
    Data "incrbyfloat" 3 g ONE strings::incrbyfloat;
    Data "info" -1 r NO info::info;
    Data "keys" 2 r NO keys::keys;
    Data "lastsave" 1 r NO operations::lastsave;
    Session "latency" -2 r NO operations::latency;
    Data "lcs" -3 r TWO lcs::lcs;
    Data "lindex" 3 r ONE lists::lindex;
    Data "linsert" 5 g ONE lists::linsert;
    Data "llen" 2 r ONE lists::llen;
    Data "lmove" 5 g TWO lists::lmove;
    Data "lmpop" -4 w COUNTED lists::lmpop;
    Data "lolwut" -1 r NO server::lolwut;
    Data "lpop" -2 w ONE lists::lpop;
    Data "lpos" -3 r ONE lists::lpos;
    Data "lpush" -3 g ONE lists::lpush;
    Data "lpushx" -3 g ONE lists::lpushx;
    Data "lrange" 4 r ONE lists::lrange;
    Data "lrem" 4 w ONE lists::lrem;
    Data "lset" 4 g ONE lists::lset;
    Data "ltrim" 4 w ONE lists::ltrim;
    Data "memory" -2 r SECOND memory::memory;
    Data "mget" -2 r ALL strings::mget;
    Session "module" -2 r NO operations::module;
    Session "monitor" 1 r NO client::monitor;
    Data "move" 3 w ONE databases::move_key;
    Data "mset" -3 g PAIRS strings::mset;
    Data "msetnx" -3 g PAIRS strings::msetnx;
    Session "multi" 1 r NO transactions::multi;
    Data "object" -2 r SECOND object::object;
    Data "persist" 2 w ONE keys::persist;
    Data "pexpire" -3 w ONE keys::pexpire;
    Data "pexpireat" -3 w ONE keys::pexpireat;
    Data "pexpiretime" 2 r ONE keys::pexpiretime;
    Data "pfadd" -2 g ONE hyperloglogs::pfadd;
    Data "pfcount" -2 r ALL hyperloglogs::pfcount;
    Data "pfdebug" 3 g SECOND hyperloglogs::pfdebug;
    Data "pfmerge" -2 g ALL hyperloglogs::pfmerge;
    Data "ping" -1 r NO server::ping;
    Data "psetex" 4 g ONE strings::psetex;
    Session "psubscribe" -2 r NO pubsub::psubscribe;
    Data "pttl" 2 r ONE keys::pttl;
    Data "publish" 3 r NO pubsub::publish;
    Data "pubsub" -2 r NO pubsub::pubsub;
    Session "punsubscribe" -1 r NO pubsub::punsubscribe;
    Session "quit" -1 r NO server::quit;
    Data "randomkey" 1 r NO keys::randomkey;
    Data "readonly" 1 r NO operations::of_clusters;
    Data "readwrite" 1 r NO operations::of_clusters;
    Data "rename" 3 w TWO keys::rename;
    Data "renamenx" 3 w TWO keys::renamenx;
    Session "replicaof" 3 r NO server::replicaof;
    Session "reset" 1 r NO server::reset;
    Data "restore" -4 g ONE dump::restore;
    Data "restore-asking" -4 g ONE dump::restore;
    Session "role" 1 r NO server::role;
    Data "rpop" -2 w ONE lists::rpop;
    Data "rpoplpush" 3 g TWO lists::rpoplpush;
    Data "rpush" -3 g ONE lists::rpush;
    Data "rpushx" -3 g ONE lists::rpushx;
    Data "sadd" -3 g ONE sets::sadd;
    Session "save" 1 r NO operations::save;
    Data "scan" -2 r NO scan::scan;
    Data "scard" 2 r ONE sets::scard;
    Session "script" -2 r NO scripts::script;
    Data "sdiff" -2 r ALL sets::sdiff;
    Data "sdiffstore" -3 g ALL sets::sdiffstore;
    Data "select" 2 r NO databases::select;
    Data "set" -3 g ONE strings::set;
    Data "setbit" 4 g ONE bits::setbit;
    Data "setex" 4 g ONE strings::setex;
    Data "setnx" 3 g ONE strings::setnx;
    Data "setrange" 4 g ONE strings::setrange;
    Session "shutdown" -1 w NO scripts::shutdown;
    Data "sinter" -2 r ALL sets::sinter;
    Data "sintercard" -3 r COUNTED sets::sintercard;
    Data "sinterstore" -3 g ALL sets::sinterstore;
    Data "sismember" 3 r ONE sets::sismember;
    Session "slaveof" 3 r NO server::replicaof;
    Data "slowlog" -2 r NO operations::slowlog;
    Data "smembers" 2 r ONE sets::smembers;
    Data "smismember" -3 r ONE sets::smismember;
    Data "smove" 4 w TWO sets::smove;
    Data "sort" -2 g SORTED sort::sort;
    Data "sort_ro" -2 r SORTED sort::sort_ro;
    Data "spop" -2 w ONE sets::spop;
    Data "spublish" 3 r NO pubsub::spublish;
    Data "srandmember" -2 r ONE sets::srandmember;
    Data "srem" -3 w ONE sets::srem;
    Data "sscan" -3 r ONE scan::sscan;
    Session "ssubscribe" -2 r NO pubsub::ssubscribe;
    Data "strlen" 2 r ONE strings::strlen;
    Session "subscribe" -2 r NO pubsub::subscribe;
    Data "substr" 4 r ONE strings::getrange;
    Data "sunion" -2 r ALL sets::sunion;
    Data "sunionstore" -3 g ALL sets::sunionstore;
    Session "sunsubscribe" -1 r NO pubsub::sunsubscribe;
    Data "swapdb" 3 w NO databases::swapdb;
    Data "time" 1 r NO server::time;
    Data "touch" -2 r ALL keys::touch;
    Data "ttl" 2 r ONE keys::ttl;
    Data "type" 2 r ONE keys::type_of;
    Data "unlink" -2 w ALL keys::del;
    Session "unsubscribe" -1 r NO pubsub::unsubscribe;
    Session "unwatch" 1 r NO transactions::unwatch;
    Data "wait" 3 r NO blocking::wait;
    Session "watch" -2 r ALL transactions::watch;
    Data "xack" -4 w ONE streams::xack;
    Data "xadd" -5 g ONE streams::xadd;
    Data "xautoclaim" -6 w ONE streams::xautoclaim;
    Data "xclaim" -6 w ONE streams::xclaim;
    Data "xdel" -3 w ONE streams::xdel;
    Data "xgroup" -2 w SECOND streams::xgroup;
    Data "xinfo" -2 r SECOND streams::xinfo;
    Data "xlen" 2 r ONE streams::xlen;
    Data "xpending" -3 r ONE streams::xpending;
    Data "xrange" -4 r ONE streams::xrange;
    Data "xread" -4 r STREAMS streams::xread;
    Data "xreadgroup" -7 w STREAMS streams::xreadgroup;
    Data "xrevrange" -4 r ONE streams::xrevrange;
    Data "xsetid" -3 g ONE streams::xsetid;
    Data "xtrim" -4 w ONE streams::xtrim;
    Data "zadd" -4 g ONE zsets::zadd;
    Data "zcard" 2 r ONE zsets::zcard;
    Data "zcount" 4 r ONE zranges::zcount;
    Data "zdiff" -3 r COUNTED zsetops::zdiff;
    Data "zdiffstore" -4 g STORED zsetops::zdiffstore;
    Data "zincrby" 4 g ONE zsets::zincrby;
    Data "zinter" -3 r COUNTED zsetops::zinter;
    Data "zintercard" -3 r COUNTED zsetops::zintercard;
    Data "zinterstore" -4 g STORED zsetops::zinterstore;
    Data "zlexcount" 4 r ONE zranges::zlexcount;
    Data "zmpop" -4 w COUNTED zsets::zmpop;
    Data "zmscore" -3 r ONE zsets::zmscore;
    Data "zpopmax" -2 w ONE zsets::zpopmax;
    Data "zpopmin" -2 w ONE zsets::zpopmin;
    Data "zrandmember" -2 r ONE zsets::zrandmember;
    Data "zrange" -4 r ONE zranges::zrange;
    Data "zrangebylex" -4 r ONE zranges::zrangebylex;
    Data "zrangebyscore" -4 r ONE zranges::zrangebyscore;
    Data "zrangestore" -5 g TWO zranges::zrangestore;
    Data "zrank" -3 r ONE zsets::zrank;
    Data "zrem" -3 w ONE zsets::zrem;
    Data "zremrangebylex" 4 w ONE zranges::zremrangebylex;
    Data "zremrangebyrank" 4 w ONE zranges::zremrangebyrank;
    Data "zremrangebyscore" 4 w ONE zranges::zremrangebyscore;
    Data "zrevrange" -4 r ONE zranges::zrevrange;
    Data "zrevrangebylex" -4 r ONE zranges::zrevrangebylex;
    Data "zrevrangebyscore" -4 r ONE zranges::zrevrangebyscore;
    Data "zrevrank" -3 r ONE zsets::zrevrank;
    Data "zscan" -3 r ONE scan::zscan;
    Data "zscore" 3 r ONE zsets::zscore;
    Data "zunion" -3 r COUNTED zsetops::zunion;
    Data "zunionstore" -4 g STORED zsetops::zunionstore;
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_found_in_any_case() {
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(
            lookup(b"ZRangeByScore").map(|spec| spec.name),
            Some("zrangebyscore")
        );
        assert!(lookup(b"nosuch").is_none());
        assert!(lookup(&[b'x'; 100]).is_none());
    }

    #[test]
    fn keys_are_found_wherever_they_stand() {
        let keys = |line: &str| {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let mut found = Vec::new();
            let spec = lookup(args[0]).expect("a command");
            spec.keys.each(&args, |key| {
                found.push(String::from_utf8_lossy(key).into_owned())
            });
            found.join(" ")
        };
        assert_eq!(keys("zunionstore d 2 a b WEIGHTS 1 2"), "d a b");
        assert_eq!(keys("sintercard 2 a b LIMIT 1"), "a b");
        assert_eq!(keys("lmpop 9 a LEFT"), "a LEFT");
        assert_eq!(keys("lmpop x a LEFT"), "");
        assert_eq!(keys("xread COUNT 1 STREAMS a b 0 0"), "a b");
        assert_eq!(keys("xread COUNT 1 COUNT"), "");
        let names = "xreadgroup GROUP STREAMS STREAMS COUNT 1 STREAMS a b 0 0";
        assert_eq!(keys(names), "a b");
        assert_eq!(keys("sort l BY w* STORE d"), "l d");
        assert_eq!(keys("object HELP"), "");
        assert_eq!(keys("object encoding k"), "k");
        assert_eq!(keys("bitop NOT d s"), "d s");
        assert_eq!(keys("mset a 1 b 2"), "a b");
    }
}
