//! The scripts of `lua/` as data: their text, the commands that run them, and
//! their replies as [`slots::Reply`](crate::slots::Reply).
//!
//! `ARCHITECTURE.md`, "The scripts' interface", says the same for people who
//! call the scripts from elsewhere. Commands are EVALSHA by a digest computed
//! at build time; after a NOSCRIPT error send [`load`] and try again.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write as _};
use core::str::{FromStr, SplitAsciiWhitespace};

use crate::redis::Reply as RedisReply;
use crate::redis::{Bytes, Command};
use crate::slots::{
    Class, Config, Ended, Fence, Flow, HISTOGRAM_BUCKETS, Nonce, Outcome, Presence, Rejected,
    Reply, Stats,
};

/// One script, ready to be loaded.
#[derive(Debug, PartialEq, Eq)]
pub struct Script {
    /// The operation.
    pub name: &'static str,
    /// The whole text, parts included.
    pub text: &'static str,
    /// SHA-1 of the text in hexadecimal, by which EVALSHA names it.
    pub sha1: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/scripts.rs"));

/// Longest name of a gate in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Largest nonce and fencing number: the scripts keep them in doubles.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Why a name or a prefix cannot be part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameError {
    /// The name has no bytes.
    Empty,
    /// Prefix and name together have this many bytes, more than [`NAME_BYTES_MAX`].
    TooLong(usize),
    /// A brace: it would change the hash tag.
    Brace,
    /// A control character or white space.
    Character,
}

/// The keys of one gate: `{name}:gate`, `{name}:line`, `{name}:due`, after a
/// prefix. One hash tag, so that they live on one node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GateKeys {
    keys: [Bytes; 3],
    retain_ms: u64,
    guarded: bool,
}

impl GateKeys {
    /// Keys of the gate `name`, each behind `prefix` (may be empty).
    ///
    /// # Errors
    /// What is wrong with the name or the prefix.
    pub fn new(prefix: &str, name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        let len = prefix.len() + name.len();
        if len > NAME_BYTES_MAX {
            return Err(NameError::TooLong(len));
        }
        for c in prefix.chars().chain(name.chars()) {
            if c == '{' || c == '}' {
                return Err(NameError::Brace);
            }
            if c.is_control() || c.is_whitespace() {
                return Err(NameError::Character);
            }
        }
        let key = |what| Bytes::from(format!("{prefix}{{{name}}}:{what}").as_bytes());
        Ok(Self {
            keys: [key("gate"), key("line"), key("due")],
            retain_ms: 0,
            guarded: false,
        })
    }

    /// The same keys, guarded against a server that loses its last writes: a
    /// replica that takes over, a restart from an older file, a wipe. After such
    /// an event, and at its birth, the gate gives no slot for as long as a lease;
    /// fencing numbers never repeat. It holds as long as
    ///
    /// * there is a lease (or an idle time), and all callers name the same one;
    /// * the old server takes no renewals any more when the new one is first
    ///   called (`min-replicas-to-write` 1 or more, `min-replicas-max-lag`
    ///   below the failover timeout);
    /// * the servers' clocks agree (to the millisecond for fencing numbers);
    /// * scripts may call `INFO`.
    ///
    /// The price: one `INFO server` and one `HGET` in each call, and a pause of
    /// one lease after each restart.
    #[must_use]
    pub const fn guarded(mut self) -> Self {
        self.guarded = true;
        self
    }

    /// Whether the gate is [guarded](Self::guarded).
    #[must_use]
    pub const fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// The script that does this operation at this gate.
    #[must_use]
    pub fn script(&self, script: &'static Script) -> &'static Script {
        let twin = || GUARDED_ALL.into_iter().find(|s| s.name == script.name);
        self.guarded.then(twin).flatten().unwrap_or(script)
    }

    /// The same keys, to be forgotten when nobody has called for `ms` (at the
    /// latest after twice that): for gates named by a hash of their work. 0, the
    /// default: never. Only gates with a lease are ever forgotten.
    #[must_use]
    pub const fn retain(mut self, ms: u64) -> Self {
        self.retain_ms = ms;
        self
    }

    /// Hash of the counters and of the record of every id.
    #[must_use]
    pub fn gate(&self) -> &Bytes {
        &self.keys[0]
    }

    /// Sorted set of all ids, by zone; see [`Zone::of`].
    #[must_use]
    pub fn line(&self) -> &Bytes {
        &self.keys[1]
    }

    /// Sorted set of the next deadlines of those in line.
    #[must_use]
    pub fn due(&self) -> &Bytes {
        &self.keys[2]
    }

    /// The channel on which the id of whoever is promoted by someone else's
    /// call is published.
    #[must_use]
    pub fn wake_channel(&self) -> Bytes {
        let mut name = self.line().to_vec();
        name.extend_from_slice(b":wake");
        name.into()
    }

    fn call(&self, script: &'static Script, config: &Config) -> Command {
        let sha1 = self.script(script).sha1;
        let mut command = Command::new("EVALSHA").arg(sha1).arg("3");
        command.args.extend(self.keys.iter().cloned());
        command.arg(config_text(config, self.retain_ms))
    }
}

/// The script with this digest, guarded or not.
#[must_use]
pub fn by_sha1(sha1: &[u8]) -> Option<&'static Script> {
    let mut all = ALL.into_iter().chain(GUARDED_ALL);
    all.find(|s| s.sha1.as_bytes() == sha1)
}

/// SCRIPT LOAD of this script; the answer is its digest.
#[must_use]
pub fn load(script: &Script) -> Command {
    Command::new("SCRIPT").arg("LOAD").arg(script.text)
}

/// Joins, or repeats a join; see [`Slots::acquire`](crate::slots::Slots::acquire).
#[must_use]
pub fn acquire(
    gate: &GateKeys,
    config: &Config,
    id: &[u8],
    nonce: Nonce,
    class: Class,
    wait: bool,
) -> Command {
    let command = gate.call(&ACQUIRE, config).arg(id).num(nonce);
    match (class.get(), wait) {
        (0, true) => command, // each argument costs, so the usual ones are left out
        (class, true) => command.num(class.into()),
        (class, false) => command.num(class.into()).arg("0"),
    }
}

/// A waiter is heard, and asks how it stands.
#[must_use]
pub fn poll(gate: &GateKeys, config: &Config, id: &[u8], nonce: Nonce) -> Command {
    gate.call(&POLL, config).arg(id).num(nonce)
}

/// Heartbeat of a holder; with `touch` also a sign of real use.
#[must_use]
pub fn renew(gate: &GateKeys, config: &Config, id: &[u8], fence: Fence, touch: bool) -> Command {
    let command = gate.call(&RENEW, config).arg(id).num(fence);
    if touch { command.arg("1") } else { command }
}

/// Gives a slot back.
#[must_use]
pub fn release(gate: &GateKeys, config: &Config, id: &[u8], fence: Fence) -> Command {
    gate.call(&RELEASE, config).arg(id).num(fence)
}

/// Ends an attempt, whatever became of it.
#[must_use]
pub fn cancel(gate: &GateKeys, config: &Config, id: &[u8], nonce: Nonce) -> Command {
    gate.call(&CANCEL, config).arg(id).num(nonce)
}

/// Changes the capacity.
#[must_use]
pub fn resize(gate: &GateKeys, config: &Config, capacity: u32) -> Command {
    gate.call(&RESIZE, config).num(capacity.into())
}

/// Housekeeping alone.
#[must_use]
pub fn sweep(gate: &GateKeys, config: &Config) -> Command {
    gate.call(&SWEEP, config)
}

/// How the gate stands; for [`decode_status`].
#[must_use]
pub fn status(gate: &GateKeys, config: &Config) -> Command {
    gate.call(&STATUS, config)
}

/// A zone of `line`, with what its score says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Zone {
    /// An ending remembered until this time (store ms).
    Ended(u64),
    /// Held until this time (store ms), or without deadline.
    Held(Option<u64>),
    /// In line and present, with this order key.
    Waiting(u64),
    /// In line and not heard of, with this order key.
    Absent(u64),
}

impl Zone {
    /// Reads a score of `line`.
    #[must_use]
    pub fn of(score: f64) -> Self {
        const WIDTH: f64 = 4e15;
        if score < -WIDTH {
            Self::Ended((score + 2.0 * WIDTH) as u64)
        } else if score < -1.0 {
            Self::Held(Some((score + WIDTH) as u64))
        } else if score < 0.0 {
            Self::Held(None)
        } else if score < WIDTH {
            Self::Waiting(score as u64)
        } else {
            Self::Absent((score - WIDTH) as u64)
        }
    }
}

/// A reply that no script gives: another script, another server, another
/// version. (An error reply such as NOSCRIPT is also one; look for it first.)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DecodeError {
    /// The reply, shortened.
    pub reply: String,
}

/// Reads the reply of every script but status.
///
/// # Errors
/// If it is not one.
pub fn decode(reply: &RedisReply) -> Result<Reply, DecodeError> {
    read_words(reply, |words| {
        let outcome = match words.next()? {
            "granted" => Outcome::Granted {
                fence: next(words)?,
                ttl_ms: ttl(words)?,
                wait_ms: next(words)?,
            },
            "waiting" => Outcome::Waiting {
                position: next(words)?,
                flow: Flow {
                    gap_mean_ms: next(words)?,
                    gap_var_ms2: next(words)?,
                    gaps: next(words)?,
                },
            },
            "rejected" => Outcome::Rejected(match words.next()? {
                "full" => Rejected::Full,
                "busy" => Rejected::Busy,
                _ => return None,
            }),
            "stale" => Outcome::Stale {
                nonce: next(words)?,
            },
            "ended" => Outcome::Ended(match words.next()? {
                "released" => Ended::Released,
                "expired" => Ended::Expired,
                "cancelled" => Ended::Cancelled,
                "timed_out" => Ended::TimedOut,
                "abandoned" => Ended::Abandoned,
                _ => return None,
            }),
            "unknown" => Outcome::Unknown,
            "renewed" => Outcome::Renewed {
                ttl_ms: ttl(words)?,
            },
            "lost" => Outcome::Lost,
            "released" => Outcome::Released,
            "cancelled" => Outcome::Cancelled,
            "resized" => Outcome::Resized { from: next(words)? },
            "swept" => Outcome::Swept,
            _ => return None,
        };
        let more = match words.next()? {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        Some(Reply { outcome, more })
    })
}

/// What status tells of a gate in Redis: [`slots::Status`](crate::slots::Status)
/// without the configuration, which the gate's callers have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// The capacity in force.
    pub capacity: u32,
    /// Places held, offers included.
    pub held: u64,
    /// Of these, offers not claimed yet.
    pub offers: u64,
    /// Waiters that are present.
    pub waiting: u64,
    /// Waiters not heard of.
    pub absent: u64,
    /// Ended places still remembered.
    pub remembered: u64,
    /// Counters since the gate's birth.
    pub stats: Stats,
    /// Pace of the queue.
    pub flow: Flow,
}

/// Reads the reply of status.
///
/// # Errors
/// If it is not one.
pub fn decode_status(reply: &RedisReply) -> Result<Status, DecodeError> {
    read_words(reply, |words| {
        let mut status = Status {
            capacity: named(words, "capacity")?,
            held: named(words, "held")?,
            offers: named(words, "offers")?,
            waiting: named(words, "waiting")?,
            absent: named(words, "absent")?,
            remembered: named(words, "remembered")?,
            stats: Stats {
                processed: named(words, "processed")?,
                rejected: named(words, "rejected")?,
                total_wait_ms: named(words, "total_wait_ms")?,
                reclaimed: named(words, "reclaimed")?,
                lapsed: named(words, "lapsed")?,
                abandoned: named(words, "abandoned")?,
                timed_out: named(words, "timed_out")?,
                cancelled: named(words, "cancelled")?,
                released: named(words, "released")?,
                held_max: named(words, "held_max")?,
                in_line_max: named(words, "in_line_max")?,
                wait_histogram: [0; HISTOGRAM_BUCKETS],
            },
            flow: Flow {
                gap_mean_ms: named(words, "gap_mean")?,
                gap_var_ms2: named(words, "gap_var")?,
                gaps: named(words, "gaps")?,
            },
        };
        let buckets: String = named(words, "waits")?;
        let mut buckets = buckets.split(',');
        for bucket in &mut status.stats.wait_histogram {
            *bucket = buckets.next()?.parse().ok()?;
        }
        Some(status)
    })
}

/// The configuration as the scripts take it: 16 numbers in one argument.
fn config_text(config: &Config, retain_ms: u64) -> String {
    let or_0 = |ms: Option<u64>| ms.unwrap_or(0);
    let (absent, abandon, claim) = match config.presence {
        None => (0, 0, 0),
        Some(Presence {
            absent_after_ms,
            abandon_after_ms,
            claim_within_ms,
        }) => (absent_after_ms, abandon_after_ms, claim_within_ms),
    };
    let numbers: [u64; 16] = [
        config.capacity.into(),
        or_0(config.lease_ms),
        or_0(config.idle_ms),
        or_0(config.wait_timeout_ms),
        absent,
        abandon,
        claim,
        config.count_absent.into(),
        config.queue_limit.into(),
        config.boosts[1].into(),
        config.boosts[2].into(),
        config.boosts[3].into(),
        config.batch.into(),
        config.tombstone_ms,
        config.tombstones_max.into(),
        retain_ms,
    ];
    let mut text = String::with_capacity(96);
    for (i, n) in numbers.iter().enumerate() {
        let space = if i == 0 { "" } else { " " };
        write!(text, "{space}{n}").expect("a string takes everything");
    }
    text
}

fn read_words<T>(
    reply: &RedisReply,
    read: impl FnOnce(&mut SplitAsciiWhitespace<'_>) -> Option<T>,
) -> Result<T, DecodeError> {
    let parse = || {
        let mut words = core::str::from_utf8(reply.as_bytes()?)
            .ok()?
            .split_ascii_whitespace();
        let value = read(&mut words)?;
        words.next().is_none().then_some(value)
    };
    parse().ok_or_else(|| DecodeError {
        reply: format!("{reply:?}").chars().take(200).collect(),
    })
}

fn next<T: FromStr>(words: &mut SplitAsciiWhitespace<'_>) -> Option<T> {
    words.next()?.parse().ok()
}

fn named<T: FromStr>(words: &mut SplitAsciiWhitespace<'_>, name: &str) -> Option<T> {
    (words.next()? == name).then(|| next(words))?
}

/// `-1`: none.
#[allow(
    clippy::option_option,
    reason = "outside: whether it is a number; inside: whether there is an end"
)]
fn ttl(words: &mut SplitAsciiWhitespace<'_>) -> Option<Option<u64>> {
    match words.next()? {
        "-1" => Some(None),
        ms => ms.parse().ok().map(Some),
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the gate's name is empty: give it one"),
            Self::TooLong(len) => write!(
                f,
                "the gate's prefix and name have {len} bytes, the limit is {NAME_BYTES_MAX}: \
                 use shorter ones, or a digest"
            ),
            Self::Brace => f.write_str(
                "the gate's prefix or name has a brace, which would change its hash tag: leave it out",
            ),
            Self::Character => f.write_str(
                "the gate's prefix or name has white space or a control character: leave it out",
            ),
        }
    }
}

impl core::error::Error for NameError {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a reply of the gate's scripts: {}; is another script under this digest, or \
             another version in use?",
            self.reply
        )
    }
}

impl core::error::Error for DecodeError {}

#[cfg(test)]
mod tests;
