//! What replies are in RESP3.
//!
//! The server answers in the shapes of RESP2. What a reply is in RESP3 (a map, a
//! set, a double) follows from the command alone, as it does for clients who
//! speak RESP2.

use std::ops::Deref;

use sluice_core::redis::Reply;

/// What a reply to a command is, beyond its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// What it looks like.
    Plain,
    /// An array, also when there is nothing.
    NullArray,
    /// Text for people.
    Text,
    /// Names and values.
    Map,
    /// Maps in an array, or an array of what they hold.
    Maps,
    /// Names and values, some of which are maps themselves.
    DeepMap,
    /// Members without order.
    Set,
    /// A floating-point number.
    Double,
    /// An array of them.
    Doubles,
    /// Pairs of them, and nothing where there is no place.
    Places,
    /// What was found, each with its place among what is told of it.
    Located,
    /// Names and values, in pairs.
    Pairs,
    /// Members and scores, in pairs.
    Scored,
    /// A score at the end.
    LastDouble,
    /// A key with members and scores, in pairs already.
    KeyScored,
    /// Keys with entries.
    Streams,
    /// A message that was not asked for, or its like.
    Push,
}

impl Shape {
    /// Of the reply to this command: its name and arguments.
    #[must_use]
    pub fn of<A: Deref<Target = [u8]>>(args: &[A]) -> Self {
        let name = args.first().map(|name| name.to_ascii_lowercase());
        let has = |word: &str| {
            let rest = args.iter().skip(1);
            let mut rest = rest.map(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
            rest.any(|found| found)
        };
        let sub = |word: &str| {
            let first = args.get(1);
            first.is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
        };
        match &*name.unwrap_or_default() {
            b"hgetall" | b"hello" => Self::Map,
            b"config" if sub("get") => Self::Map,
            b"latency" if sub("histogram") => Self::Map,
            b"acl" if sub("getuser") => Self::DeepMap,
            b"client" if sub("trackinginfo") => Self::DeepMap,
            b"memory" if sub("stats") => Self::DeepMap,
            b"lcs" if has("idx") => Self::Map,
            b"xinfo" if sub("stream") => Self::DeepMap,
            b"xinfo" if sub("groups") || sub("consumers") => Self::Maps,
            b"function" if sub("list") => Self::Maps,
            b"function" if sub("stats") => Self::DeepMap,
            b"smembers" | b"sinter" | b"sunion" | b"sdiff" => Self::Set,
            b"spop" if args.len() == 3 => Self::Set,
            b"zscore" | b"zincrby" => Self::Double,
            b"zadd" if has("incr") => Self::Double,
            b"zmscore" => Self::Doubles,
            b"geopos" => Self::Places,
            b"geosearch"
            | b"georadius"
            | b"georadius_ro"
            | b"georadiusbymember"
            | b"georadiusbymember_ro"
                if has("withcoord") =>
            {
                Self::Located
            }
            b"hrandfield" if args.len() == 4 => Self::Pairs,
            b"zrange" | b"zrevrange" | b"zrangebyscore" | b"zrevrangebyscore" | b"zunion"
            | b"zinter" | b"zdiff" | b"zrandmember"
                if has("withscores") =>
            {
                Self::Scored
            }
            b"zpopmin" | b"zpopmax" if args.len() == 3 => Self::Scored,
            b"zpopmin" | b"zpopmax" | b"bzpopmin" | b"bzpopmax" => Self::LastDouble,
            b"zrank" | b"zrevrank" if args.len() == 4 => Self::LastDouble,
            b"zmpop" | b"bzmpop" => Self::KeyScored,
            b"xread" | b"xreadgroup" => Self::Streams,
            b"exec" | b"lmpop" | b"blpop" | b"brpop" | b"blmpop" | b"blmove" | b"brpoplpush"
            | b"xrange" | b"xrevrange" => Self::NullArray,
            b"lpop" | b"rpop" if args.len() == 3 => Self::NullArray,
            b"subscribe" | b"unsubscribe" | b"psubscribe" | b"punsubscribe" | b"ssubscribe"
            | b"sunsubscribe" => Self::Push,
            b"info" | b"lolwut" => Self::Text,
            b"client" if sub("list") || sub("info") => Self::Text,
            b"cluster" if sub("info") || sub("nodes") => Self::Text,
            b"latency" if sub("doctor") => Self::Text,
            b"memory" if sub("doctor") || sub("malloc-stats") => Self::Text,
            _ => Self::Plain,
        }
    }

    /// The same in a transaction, where nobody waits: who would have waited for
    /// an array, but for what is in it, gets nothing of another kind.
    #[must_use]
    pub fn of_queued<A: Deref<Target = [u8]>>(args: &[A]) -> Self {
        let name = args.first().map(|name| name.to_ascii_lowercase());
        match &*name.unwrap_or_default() {
            b"blmove" | b"brpoplpush" => Self::Plain,
            _ => Self::of(args),
        }
    }

    /// What the value of this name is, in a map of this shape.
    #[must_use]
    pub fn within(self, name: &Reply) -> Self {
        match (self, name.as_bytes()) {
            (Self::DeepMap, Some(b"groups" | b"consumers")) => Self::Maps,
            (Self::DeepMap, Some(b"engines" | b"LUA")) => Self::DeepMap,
            (Self::DeepMap, Some(b"functions")) => Self::Maps,
            (Self::DeepMap, Some(b"flags")) => Self::Set,
            (Self::DeepMap, Some(b"fragmentation")) => Self::Double,
            (Self::DeepMap, Some(name))
                if name.ends_with(b".ratio") || name.ends_with(b".percentage") =>
            {
                Self::Double
            }
            (Self::DeepMap, Some(name)) if name.starts_with(b"db.") => Self::Map,
            _ => Self::Plain,
        }
    }
}
