//! `notify-keyspace-events`: what happens to keys, as messages.
//!
//! Redis says in each command what it did. Here keys note that they have
//! changed ([`Keyspace`](super::Keyspace)), and what Redis would call it follows
//! from the command: so nothing can be forgotten, and whoever does not listen
//! pays for a test of a flag. Messages come when the command is through; a
//! command of many changes to one key (`SADD k a b`) tells of one.
//!
//! Misses of keys (`m`) are told of before what a command does, unless it is
//! refused.

use std::mem::take;

use sluice_core::redis::{Bytes, Reply};

use super::State;
use super::command::{Arg, Fail, Spec};
use super::settings::NOTIFY;
use super::value::Stream;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    New,
    Changed,
    /// Besides, its oldest entries are gone.
    Trimmed,
    Removed,
    Expired,
    Evicted,
}

impl Change {
    /// Whether a command has done it.
    fn is_edit(self) -> bool {
        matches!(self, Self::Changed | Self::Removed)
    }
}

/// A letter for each class of events, by the bit that stands for it.
const LETTERS: &[u8] = b"KEg$lshzxetdnm";
/// All that `A` stands for: not keys being new, nor being missed.
const ALL: i64 = 0b1111_1111_1100;
const BY_KEY: u8 = b'K';
const BY_EVENT: u8 = b'E';

/// The bits of these letters; `None` if one is unknown.
pub(super) fn flags(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |flags, letter| {
        let bit = LETTERS.iter().position(|known| known == letter);
        match letter {
            b'A' => Some(flags | ALL),
            _ => Some(flags | 1 << bit?),
        }
    })
}

/// The letters of these bits, as Redis writes them.
pub(super) fn letters(flags: i64) -> String {
    let all = flags & ALL == ALL;
    let classes = if all { "A" } else { "g$lshzxetdn" };
    let of = |letter: &char| *letter == 'A' || flags & bit(*letter as u8) != 0;
    classes.chars().chain("KEm".chars()).filter(of).collect()
}

fn bit(letter: u8) -> i64 {
    let at = LETTERS.iter().position(|known| *known == letter);
    at.map_or(0, |at| 1 << at)
}

/// An event with its class.
type Event = (u8, &'static str);

const DELETED: Event = (b'g', "del");
const MISSED: Event = (b'm', "keymiss");

/// What a command is said to have done to a key that it changed.
fn changed(name: &str, args: &[Arg], key: &[u8]) -> Vec<Event> {
    let has = |word: &str| args.iter().skip(2).any(|arg| arg.is(word));
    let first = args.get(1).is_some_and(|arg| **arg == *key);
    let end = |left: bool, push: bool| match (left, push) {
        (true, false) => "lpop",
        (false, false) => "rpop",
        (true, true) => "lpush",
        (false, true) => "rpush",
    };
    let side = |at: usize| args.get(at).is_some_and(|arg| arg.is("LEFT"));
    let event = match name {
        "set" | "setnx" | "mset" | "msetnx" | "getset" | "bitop" => (b'$', "set"),
        "setex" | "psetex" => return vec![(b'$', "set"), (b'g', "expire")],
        "append" => (b'$', "append"),
        "pfadd" | "pfmerge" => (b'$', "pfadd"),
        "setrange" => (b'$', "setrange"),
        "incr" | "decr" | "incrby" | "decrby" => (b'$', "incrby"),
        "incrbyfloat" => (b'$', "incrbyfloat"),
        "setbit" | "bitfield" => (b'$', "setbit"),
        "getex" if has("PERSIST") => (b'g', "persist"),
        "persist" => (b'g', "persist"),
        "expire" | "pexpire" | "expireat" | "pexpireat" | "getex" => (b'g', "expire"),
        "rename" | "renamenx" => (b'g', "rename_to"),
        "move" => (b'g', "move_to"),
        "copy" => (b'g', "copy_to"),
        "restore" | "restore-asking" => (b'g', "restore"),
        "lpush" | "lpushx" => (b'l', "lpush"),
        "rpush" | "rpushx" => (b'l', "rpush"),
        "lpop" | "blpop" => (b'l', "lpop"),
        "rpop" | "brpop" => (b'l', "rpop"),
        "lmpop" | "blmpop" => (b'l', end(has("LEFT"), false)),
        "rpoplpush" | "brpoplpush" => (b'l', if first { "rpop" } else { "lpush" }),
        "lmove" | "blmove" if first => (b'l', end(side(3), false)),
        "lmove" | "blmove" => (b'l', end(side(4), true)),
        "linsert" => (b'l', "linsert"),
        "lset" => (b'l', "lset"),
        "ltrim" => (b'l', "ltrim"),
        "lrem" => (b'l', "lrem"),
        "sort" => (b'l', "sortstore"),
        "sadd" => (b's', "sadd"),
        "srem" => (b's', "srem"),
        "spop" => (b's', "spop"),
        "smove" => (b's', if first { "srem" } else { "sadd" }),
        "sinterstore" => (b's', "sinterstore"),
        "sunionstore" => (b's', "sunionstore"),
        "sdiffstore" => (b's', "sdiffstore"),
        "hset" | "hmset" | "hsetnx" => (b'h', "hset"),
        "hincrby" => (b'h', "hincrby"),
        "hincrbyfloat" => (b'h', "hincrbyfloat"),
        "hdel" => (b'h', "hdel"),
        "zadd" if has("INCR") => (b'z', "zincr"),
        "zadd" | "geoadd" => (b'z', "zadd"),
        "zincrby" => (b'z', "zincr"),
        "zrem" => (b'z', "zrem"),
        "zremrangebyscore" => (b'z', "zremrangebyscore"),
        "zremrangebyrank" => (b'z', "zremrangebyrank"),
        "zremrangebylex" => (b'z', "zremrangebylex"),
        "zpopmin" | "bzpopmin" => (b'z', "zpopmin"),
        "zpopmax" | "bzpopmax" => (b'z', "zpopmax"),
        "zmpop" | "bzmpop" => (b'z', if has("MIN") { "zpopmin" } else { "zpopmax" }),
        "zrangestore" => (b'z', "zrangestore"),
        "zunionstore" => (b'z', "zunionstore"),
        "zinterstore" => (b'z', "zinterstore"),
        "zdiffstore" => (b'z', "zdiffstore"),
        "geosearchstore" => (b'z', "geosearchstore"),
        "georadius" | "georadiusbymember" => (b'z', "georadiusstore"),
        "xadd" => (b't', "xadd"),
        "xtrim" => (b't', "xtrim"),
        "xdel" => (b't', "xdel"),
        "xsetid" => (b't', "xsetid"),
        "xgroup" => {
            let told = [
                ("create", "xgroup-create"),
                ("setid", "xgroup-setid"),
                ("destroy", "xgroup-destroy"),
                ("delconsumer", "xgroup-delconsumer"),
            ];
            let word = told.into_iter().find(|(word, _)| args[1].is(word));
            return word.map(|(_, event)| (b't', event)).into_iter().collect();
        }
        // Others tell of nothing: consumers that are new are told apart.
        _ => return Vec::new(),
    };
    let timed = name == "set" && ["EX", "PX", "EXAT", "PXAT"].iter().any(|word| has(word));
    let expires = timed.then_some((b'g', "expire"));
    std::iter::once(event).chain(expires).collect()
}

/// What it is said to have done to a key that is gone.
fn removed(name: &str, args: &[Arg], key: &[u8]) -> Vec<Event> {
    match name {
        "rename" | "renamenx" => vec![(b'g', "rename_from")],
        "move" => vec![(b'g', "move_from")],
        // What was taken out last leaves nothing.
        "lpop" | "blpop" | "rpop" | "brpop" | "lmpop" | "blmpop" | "rpoplpush" | "brpoplpush"
        | "lmove" | "blmove" | "ltrim" | "lrem" | "srem" | "spop" | "smove" | "hdel" | "zrem"
        | "zremrangebyscore" | "zremrangebyrank" | "zremrangebylex" | "zpopmin" | "bzpopmin"
        | "zpopmax" | "bzpopmax" | "zmpop" | "bzmpop" => {
            let mut events = changed(name, args, key);
            events.push(DELETED);
            events
        }
        _ => vec![DELETED],
    }
}

/// Consumers that a command may make: of which keys, in which group, and who.
fn consumer<'a>(name: &str, args: &'a [Arg]) -> Option<(&'a [u8], &'a [u8])> {
    let (group, who) = match name {
        "xreadgroup" => (2, 3),
        "xclaim" | "xautoclaim" => (2, 3),
        "xgroup" if args.get(1)?.is("CREATECONSUMER") || args.get(1)?.is("DELCONSUMER") => (3, 4),
        _ => return None,
    };
    Some((args.get(group)?, args.get(who)?))
}

/// Before a command: keys whose group lacks, or has, the consumer it names.
#[derive(Debug, Default)]
pub(super) struct Before {
    without: Vec<Bytes>,
    with: Vec<Bytes>,
    /// Keys that it will look for, and are not there.
    missed: Vec<Bytes>,
}

/// Whether a command looks at this key, the so-many-th of its keys, in order to
/// read it. Those that look in order to write miss nothing.
pub(super) fn reads(spec: &Spec, args: &[Arg], at: usize) -> bool {
    match spec.name {
        "object" | "memory" | "pfdebug" => false,
        "set" => args.iter().skip(3).any(|arg| arg.is("GET")),
        "getset" | "getdel" | "getex" | "sort" => at == 0,
        "copy" => at == 0,
        "georadius" | "georadiusbymember" => at == 0,
        "bitop" | "zunionstore" | "zinterstore" | "zdiffstore" | "sinterstore" | "sunionstore"
        | "sdiffstore" | "zrangestore" | "geosearchstore" => at > 0,
        _ => !spec.write,
    }
}

impl State {
    /// Whether anybody is told of anything.
    #[inline]
    pub(super) fn notifies(&self) -> bool {
        self.settings.get(&NOTIFY) != 0
    }

    fn has_consumer(&mut self, key: &[u8], group: &[u8], who: &[u8]) -> bool {
        let stream = self.db.read_quietly::<Stream>(key);
        let group = stream.and_then(|stream| stream.groups.get(group));
        group.is_some_and(|group| group.consumers.contains_key(who))
    }

    /// Looks at what cannot be told from what has changed.
    pub(super) fn before(&mut self, spec: &Spec, args: &[Arg]) -> Before {
        let mut before = Before::default();
        if let Some((group, who)) = consumer(spec.name, args) {
            spec.keys.each(args, |key| {
                if self.has_consumer(key, group, who) {
                    before.with.push(key.shared());
                } else {
                    before.without.push(key.shared());
                }
            });
        }
        if self.settings.get(&NOTIFY) & bit(MISSED.0) != 0 {
            let mut at = 0;
            spec.keys.each(args, |key| {
                if reads(spec, args, at) && !self.db.exists(key) {
                    // Where reading starts is looked for first.
                    let looks = if spec.name == "xread" { 2 } else { 1 };
                    let key = key.shared();
                    before.missed.extend(std::iter::repeat_n(key, looks));
                }
                at += 1;
            });
        }
        before
    }

    /// Tells of what a command has done.
    pub(super) fn notify(&mut self, spec: &Spec, args: &[Arg], before: Before, reply: &Reply) {
        self.gather();
        let mut noted = take(&mut self.noted);
        // What is refused was refused before it looked, unless it is for that.
        let refused = matches!(reply, Reply::Error(_)) && *reply != Fail::NO_SUCH_KEY.reply();
        for key in before.missed.iter().filter(|_| !refused) {
            self.tell(self.selected, key, MISSED);
        }
        if matches!(spec.name, "lmove" | "blmove" | "rpoplpush" | "brpoplpush") {
            if *args[1] == *args[2] && noted.iter().any(|(_, _, change)| change.is_edit()) {
                return self.notify_of_turn(spec.name, args, noted);
            }
            // Redis tells where it went before where it was.
            noted.sort_by_key(|(_, key, _)| **key == *args[1]);
        }
        let unknown = spec.name == "xgroup" && args[1].is("DELCONSUMER");
        for (db, key, change) in noted {
            let events = match change {
                Change::New => vec![(b'n', "new")],
                Change::Expired => vec![(b'x', "expired")],
                Change::Evicted => vec![(b'e', "evicted")],
                Change::Changed if unknown && !before.with.contains(&key) => Vec::new(),
                Change::Changed => changed(spec.name, args, &key),
                Change::Trimmed => vec![(b't', "xtrim")],
                Change::Removed => removed(spec.name, args, &key),
            };
            for event in events {
                self.tell(db, &key, event);
            }
        }
        if let Some((group, who)) = consumer(spec.name, args) {
            for key in before.without {
                if self.has_consumer(&key, group, who) {
                    self.tell(self.selected, &key, (b't', "xgroup-createconsumer"));
                }
            }
        }
    }

    /// A list was moved to itself, in which it was never empty.
    fn notify_of_turn(&mut self, name: &str, args: &[Arg], noted: Vec<(u8, Bytes, Change)>) {
        let left = |at: usize, or: bool| match name {
            "lmove" | "blmove" => args[at].is("LEFT"),
            _ => or,
        };
        let push = if left(4, true) { "lpush" } else { "rpush" };
        let pop = if left(3, false) { "lpop" } else { "rpop" };
        for (db, key, change) in noted {
            if change == Change::Expired {
                self.tell(db, &key, (b'x', "expired"));
            }
        }
        let key = args[1].shared();
        self.tell(self.selected, &key, (b'l', push));
        self.tell(self.selected, &key, (b'l', pop));
    }

    /// Tells of keys that went by themselves.
    pub(super) fn notify_of_losses(&mut self) {
        self.gather();
        for (db, key, change) in take(&mut self.noted) {
            match change {
                Change::Expired => self.tell(db, &key, (b'x', "expired")),
                Change::Evicted => self.tell(db, &key, (b'e', "evicted")),
                Change::New | Change::Changed | Change::Trimmed | Change::Removed => {}
            }
        }
    }

    fn tell(&mut self, db: u8, key: &Bytes, (class, event): Event) {
        let flags = self.settings.get(&NOTIFY);
        if flags & bit(class) == 0 {
            return;
        }
        if flags & bit(BY_KEY) != 0 {
            let channel = [format!("__keyspace@{db}__:").as_bytes(), key].concat();
            self.subscriptions
                .publish(&channel, &event.as_bytes().into());
        }
        if flags & bit(BY_EVENT) != 0 {
            let channel = format!("__keyevent@{db}__:{event}");
            self.subscriptions.publish(channel.as_bytes(), key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::tests::Bench;

    #[test]
    fn letters_are_written_as_redis_writes_them() {
        for (said, told) in [
            ("gKE", "gKE"),
            ("$lshzxeKE", "$lshzxeKE"),
            ("KA", "AK"),
            ("EA", "AE"),
            ("", ""),
            ("En", "nE"),
        ] {
            assert_eq!(
                flags(said.as_bytes()).map(letters),
                Some(told.to_owned()),
                "{said}"
            );
        }
        assert_eq!(flags(b"KEAm").map(letters), Some("AKEm".to_owned()));
        assert_eq!(flags(b"KEgmn").map(letters), Some("gnKEm".to_owned()));
        assert_eq!(flags(b"Q"), None);
    }

    fn heard(bench: &mut Bench, line: &str) -> String {
        bench.run(line);
        let mut all = Vec::new();
        while let Some((_, reply)) = bench.server.poll_push() {
            let text = format!("{reply:?}");
            let words: Vec<&str> = text.split('"').collect();
            let event = words[5].strip_prefix("__keyevent@").unwrap_or_default();
            all.push(format!("{} {}", event.replace("__:", " "), words[7]));
        }
        all.join(", ")
    }

    /// What Redis 7.0.15 says, in the same order.
    #[test]
    fn each_command_says_what_it_did() {
        let mut bench = Bench::new();
        bench.run("CONFIG SET notify-keyspace-events EA");
        bench.run_as(2, &["PSUBSCRIBE", "*"]);
        for (line, expected) in [
            ("SET k v", "0 set k"),
            ("SET k v EX 10", "0 set k, 0 expire k"),
            ("GET k", ""),
            ("DEL k nosuch", "0 del k"),
            ("RPUSH l a b", "0 rpush l"),
            ("LMOVE l m LEFT RIGHT", "0 rpush m, 0 lpop l"),
            ("LMOVE l l LEFT RIGHT", "0 rpush l, 0 lpop l"),
            ("LMOVE l l LEFT LEFT", "0 lpush l, 0 lpop l"),
            ("RPUSH l c", "0 rpush l"),
            ("LMOVE l l RIGHT LEFT", "0 lpush l, 0 rpop l"),
            ("BLMOVE l l RIGHT RIGHT 0", "0 rpush l, 0 rpop l"),
            ("RPOPLPUSH l l", "0 lpush l, 0 rpop l"),
            ("BRPOPLPUSH l l 0", "0 lpush l, 0 rpop l"),
            ("LPOP l", "0 lpop l"),
            ("LPOP l", "0 lpop l, 0 del l"),
            ("RENAME m n", "0 rename_from m, 0 rename_to n"),
            ("MOVE n 3", "0 move_from n, 3 move_to n"),
            ("SADD s a b", "0 sadd s"),
            ("SREM s x", ""),
            ("SMOVE s t a", "0 srem s, 0 sadd t"),
            ("SINTERSTORE t s nosuch", "0 del t"),
            ("HSET h f 1", "0 hset h"),
            ("HDEL h f", "0 hdel h, 0 del h"),
            ("ZADD z INCR 1 a", "0 zincr z"),
            ("ZPOPMIN z", "0 zpopmin z, 0 del z"),
            ("SET e v PX 5", "0 set e, 0 expire e"),
            ("PERSIST e", "0 persist e"),
            ("EXPIRE e -1", "0 del e"),
            ("BITFIELD b SET u8 0 1", "0 setbit b"),
            ("BITFIELD b SET u8 0 1 GET u8 0", ""),
            ("XGROUP CREATE x g $ MKSTREAM", "0 xgroup-create x"),
            ("XGROUP CREATECONSUMER x g bob", "0 xgroup-createconsumer x"),
            ("XADD x 1 f v", "0 xadd x"),
            (
                "XREADGROUP GROUP g ann STREAMS x >",
                "0 xgroup-createconsumer x",
            ),
            ("XREADGROUP GROUP g ann STREAMS x >", ""),
            ("XADD x MAXLEN 1 2 f v", "0 xadd x, 0 xtrim x"),
            ("XADD x MAXLEN 9 3 f v", "0 xadd x"),
            ("XADD x MINID 3 4 f v", "0 xadd x, 0 xtrim x"),
            ("XGROUP DELCONSUMER x g lee", ""),
            ("XGROUP DELCONSUMER x g ann", "0 xgroup-delconsumer x"),
        ] {
            assert_eq!(heard(&mut bench, line), expected, "{line}");
        }
        assert_eq!(heard(&mut bench, "SET e v PX 5"), "0 set e, 0 expire e");
        bench.now_us += 6_000;
        assert_eq!(heard(&mut bench, "GET e"), "0 expired e");
        bench.run("CONFIG SET notify-keyspace-events EAm");
        for (line, expected) in [
            ("GET no", "0 keymiss no"),
            ("MGET no l no", "0 keymiss no, 0 keymiss l, 0 keymiss no"),
            ("SET one x GET", "0 keymiss one, 0 set one"),
            ("INCR two", "0 incrby two"),
            ("DEL no", ""),
            ("COPY no to", "0 keymiss no"),
            ("XREAD STREAMS no 0", "0 keymiss no, 0 keymiss no"),
            ("ZUNIONSTORE to 1 no", "0 keymiss no"),
            ("HGET one f", ""),
            ("SINTER one no", ""),
            ("OBJECT ENCODING no", ""),
        ] {
            assert_eq!(heard(&mut bench, line), expected, "{line}");
        }
        bench.run("CONFIG SET notify-keyspace-events Kn");
        bench.run("SET new v");
        let (_, reply) = bench.server.poll_push().expect("it is new");
        assert!(
            format!("{reply:?}").contains(r#""__keyspace@0__:new", "new""#),
            "{reply:?}"
        );
        bench.run("SET new w");
        assert!(bench.server.poll_push().is_none());
    }
}
