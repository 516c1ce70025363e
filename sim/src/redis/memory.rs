//! How much memory there may be, and which keys go when there is more.
//!
//! Redis asks its allocator. Here what a key takes follows from its content, by
//! figures of the right order of magnitude, so that equal states take equally
//! much on every machine. Redis looks at samples of keys and counts accesses by
//! chance; here all keys are looked at, ties go in byte order, and a counter
//! rises when by chance it would have risen once.
//!
//! Nothing is counted unless asked for: accesses only under the policies that
//! look at them (else `OBJECT IDLETIME` is 0), memory only under a limit.

use sluice_core::redis::{Bytes, Command};

use super::command::{Arg, Fail, containers, lookup};
use super::keyspace::Entry;
use super::notify::Change;
use super::value::Value;
use super::{Server, SessionId, State, Version};

/// `maxmemory-policy`: which keys the server may throw away when memory is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// None: commands that need memory are refused.
    #[default]
    NoEviction,
    /// The one used least recently.
    AllKeysLru,
    /// The one used least often.
    AllKeysLfu,
    /// Any.
    AllKeysRandom,
    /// Of those with an expiry, the one used least recently.
    VolatileLru,
    /// Of those with an expiry, the one used least often.
    VolatileLfu,
    /// Of those with an expiry, any.
    VolatileRandom,
    /// The one that expires first.
    VolatileTtl,
}

impl Policy {
    /// All, in the order in which Redis lists them.
    pub const ALL: [Self; 8] = [
        Self::VolatileLru,
        Self::VolatileLfu,
        Self::VolatileRandom,
        Self::VolatileTtl,
        Self::AllKeysLru,
        Self::AllKeysLfu,
        Self::AllKeysRandom,
        Self::NoEviction,
    ];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoEviction => "noeviction",
            Self::AllKeysLru => "allkeys-lru",
            Self::AllKeysLfu => "allkeys-lfu",
            Self::AllKeysRandom => "allkeys-random",
            Self::VolatileLru => "volatile-lru",
            Self::VolatileLfu => "volatile-lfu",
            Self::VolatileRandom => "volatile-random",
            Self::VolatileTtl => "volatile-ttl",
        }
    }

    pub(super) const fn counts_frequency(self) -> bool {
        matches!(self, Self::AllKeysLfu | Self::VolatileLfu)
    }

    pub(super) const fn counts_use(self) -> bool {
        self.counts_frequency() || matches!(self, Self::AllKeysLru | Self::VolatileLru)
    }

    /// Which goes first: the least; `None` for a key that stays.
    fn rank(self, entry: &Entry, now_ms: i64) -> Option<i64> {
        match self {
            Self::NoEviction => None,
            Self::AllKeysRandom => Some(0),
            Self::AllKeysLru => Some(entry.used.at_ms),
            Self::AllKeysLfu => Some(i64::from(entry.used.frequency(now_ms))),
            Self::VolatileRandom => entry.expires.map(|_| 0),
            Self::VolatileLru => entry.expires.map(|_| entry.used.at_ms),
            Self::VolatileLfu => (entry.expires).map(|_| i64::from(entry.used.frequency(now_ms))),
            Self::VolatileTtl => entry.expires,
        }
    }
}

/// When a key was last used, and how often it has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Used {
    at_ms: i64,
    /// Logarithmic; falls by one a minute.
    frequency: u8,
    /// Uses counted towards the next step of it.
    towards: u16,
}

/// Where the frequency of a new key begins, `lfu-log-factor`, and
/// `lfu-decay-time`, as Redis has them.
const FIRST: u8 = 5;
const LOG_FACTOR: u16 = 10;
const DECAY_MS: i64 = 60_000;

impl Used {
    pub(super) const fn first(now_ms: i64) -> Self {
        Self {
            at_ms: now_ms,
            frequency: FIRST,
            towards: 0,
        }
    }

    pub(super) fn again(&mut self, now_ms: i64) {
        let frequency = self.frequency(now_ms);
        if frequency != self.frequency {
            (self.frequency, self.towards) = (frequency, 0);
        }
        self.at_ms = now_ms;
        // By chance it would rise at one use in so many.
        let needed = u16::from(frequency.saturating_sub(FIRST)) * LOG_FACTOR + 1;
        self.towards += 1;
        if self.towards >= needed {
            (self.frequency, self.towards) = (frequency.saturating_add(1), 0);
        }
    }

    pub(super) fn frequency(self, now_ms: i64) -> u8 {
        let minutes = (now_ms - self.at_ms).max(0) / DECAY_MS;
        let minutes = u8::try_from(minutes).unwrap_or(u8::MAX);
        self.frequency.saturating_sub(minutes)
    }

    /// As if it had not been used for so long.
    pub(super) const fn idle_for(&mut self, now_ms: i64, ms: i64) {
        self.at_ms = now_ms.saturating_sub(ms);
    }

    pub(super) const fn set_frequency(&mut self, frequency: u8) {
        (self.frequency, self.towards) = (frequency, 0);
    }

    pub(super) fn idle_ms(self, now_ms: i64) -> i64 {
        (now_ms - self.at_ms).max(0)
    }
}

/// What the configuration says, and how that stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Limits {
    /// `maxmemory`; 0 for none.
    pub(super) bytes: u64,
    pub(super) policy: Policy,
    /// When the present command began, there was not room enough: it may not
    /// take more, nor may a script that has not written yet.
    pub(super) short: bool,
}

pub(super) const OUT_OF_MEMORY: Fail =
    Fail::fixed("OOM command not allowed when used memory > 'maxmemory'.");

/// What a server takes that holds nothing.
pub(super) const BASE: u64 = 900_000;
/// What a key takes beside its bytes, and an item in a value.
const KEY: usize = 56;
const ITEM: usize = 16;

/// What a key takes with its value.
pub(super) fn size(key: &[u8], entry: &Entry) -> u64 {
    let item = |bytes: &Bytes| ITEM + bytes.len();
    let value: usize = match &entry.value {
        Value::Str(text) => text.len(),
        Value::Hash(hash) => hash.iter().map(|(f, v)| item(f) + item(v)).sum(),
        Value::List(list) => list.iter().map(item).sum(),
        Value::Set(set) => set.iter().map(item).sum(),
        Value::ZSet(zset) => {
            let all = zset.range(0, usize::MAX);
            all.iter().map(|(member, _)| item(member) + ITEM).sum()
        }
        Value::Stream(stream) => {
            let entries = stream
                .iter()
                .map(|(_, fields)| fields.iter().map(item).sum());
            entries.map(|fields: usize| ITEM + fields).sum()
        }
    };
    (KEY + key.len() + value) as u64
}

impl State {
    /// What is used, in bytes. Walks over everything.
    pub(super) fn used_memory(&self) -> u64 {
        let all = std::iter::once(&self.db).chain(self.others.values());
        let sizes = all.flat_map(|db| db.entries().map(|(key, entry)| size(key, entry)));
        BASE + sizes.sum::<u64>()
    }

    pub(super) fn limit(&mut self, bytes: u64, policy: Policy) {
        (self.limits.bytes, self.limits.policy) = (bytes, policy);
        self.limits.short = false;
        let counts = self.counts_use();
        self.db.count_use(counts);
        for db in self.others.values_mut() {
            db.now_ms = self.db.now_ms;
            db.count_use(counts);
        }
    }

    /// Throws keys away until there is room, or none may go any more. Database 0
    /// is in its place.
    pub(super) fn make_room(&mut self) {
        debug_assert_eq!(self.selected, 0);
        let Limits { bytes, policy, .. } = self.limits;
        let mut used = self.used_memory();
        if used > bytes && policy != Policy::NoEviction {
            let now_ms = self.db.now_ms;
            let dbs =
                std::iter::once((0, &self.db)).chain(self.others.iter().map(|(n, db)| (*n, db)));
            let keys = dbs.flat_map(|(number, db)| {
                db.entries().filter_map(move |(key, entry)| {
                    let rank = policy.rank(entry, now_ms)?;
                    Some((rank, number, key.clone(), size(key, entry)))
                })
            });
            let mut keys: Vec<_> = keys.collect();
            keys.sort_unstable();
            for (_, number, key, size) in keys {
                if used <= bytes {
                    break;
                }
                let db = match number {
                    0 => Some(&mut self.db),
                    number => self.others.get_mut(&number),
                };
                used -= size;
                self.evicted +=
                    u64::from(db.is_some_and(|db| db.lose(&key, Change::Evicted).is_some()));
            }
        }
        self.notify_of_losses();
        self.limits.short = used > bytes;
    }
}

impl Server {
    /// Sets `maxmemory` (0 for none) and `maxmemory-policy`.
    pub fn limit_memory(&mut self, bytes: u64, policy: Policy) {
        self.state.limit(bytes, policy);
    }

    /// Before a command: makes room, and refuses it if that is not enough and it
    /// may need more. To some versions so may all that a transaction remembers.
    pub(super) fn refuse_growth(&mut self, id: SessionId, args: &[Bytes]) -> Option<Fail> {
        self.state.make_room();
        let version = self.state.version;
        let spec = lookup(&args[0]).filter(|spec| spec.accepts(args.len()))?;
        // What the container has not got is refused for that.
        if version != Version::V6_2 && spec.has_subcommands() {
            let known: Vec<Arg> = args.iter().map(Arg::Shared).collect();
            containers::check(spec, &known).ok()?;
        }
        let grows = spec.grows_with(args, version);
        let queues = self.state.version.queues_when_short();
        let session = self.state.sessions.get_mut(&id);
        let queue =
            session.and_then(|session| Some((session.queue.as_ref()?, &mut session.broken)));
        if !self.state.limits.short {
            return None;
        }
        match (spec.name, queue) {
            ("exec", Some((queue, _))) => {
                let grows = |command: &Command| {
                    let spec = lookup(&command.args[0]);
                    spec.is_some_and(|spec| spec.grows_with(&command.args, version))
                };
                queue.iter().any(grows).then(|| {
                    self.end_transaction(id);
                    self.state.unwatch(id);
                    let why = [
                        &b"EXECABORT Transaction discarded because of: "[..],
                        &OUT_OF_MEMORY.0,
                    ];
                    Fail::new(why.concat())
                })
            }
            ("discard" | "quit" | "reset", Some(_)) => None,
            (_, Some((_, broken))) if grows || !queues => {
                *broken = true;
                Some(OUT_OF_MEMORY)
            }
            (_, Some(_)) => None,
            (_, None) => grows.then_some(OUT_OF_MEMORY),
        }
    }

    /// Keys of database 0 that its policy may throw away, in byte order. Redis
    /// takes the one that ranks first among a few at random; so among many keys
    /// of others it may be any of these.
    #[must_use]
    pub fn evictable(&self, now_us: u64) -> Vec<Bytes> {
        let now_ms = (now_us / 1000) as i64;
        let policy = self.state.limits.policy;
        let entries = self.state.db.live_entries(now_ms);
        let may_go = entries.filter(|(_, entry)| policy.rank(entry, now_ms).is_some());
        may_go.map(|(key, _)| key.clone()).collect()
    }

    /// Throws a key of database 0 away.
    pub fn evict(&mut self, key: &[u8]) {
        let gone = self.state.db.lose(key, Change::Evicted);
        self.state.evicted += u64::from(gone.is_some());
        self.state.notify_of_losses();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::tests::Bench;

    const OOM: &str = r"-OOM command not allowed when used memory > \'maxmemory\'.";

    fn config(bench: &mut Bench, name: &str, value: &str) -> String {
        bench.run_as(1, &["CONFIG", "SET", name, value])
    }

    /// Room for so many bytes more than are used.
    fn leave(bench: &mut Bench, bytes: u64) {
        let most = bench.server.state.used_memory() + bytes;
        assert_eq!(config(bench, "maxmemory", &most.to_string()), "+OK");
    }

    #[test]
    fn without_eviction_what_needs_memory_is_refused() {
        let mut bench = Bench::new();
        bench.run("SET a 1");
        config(&mut bench, "maxmemory", "1");
        assert_eq!(bench.run("SET b 2"), OOM);
        assert_eq!(bench.run("SORT l"), OOM, "it might store");
        assert_eq!(bench.run("XGROUP CREATE s g $ MKSTREAM"), OOM);
        assert_eq!(bench.run("FUNCTION LOAD x"), OOM, "before it is read");
        assert!(bench.run("XGROUP DESTROY s g").contains("key to exist"));
        assert!(bench.run("XGROUP CREATE").contains("number of arguments"));
        assert!(bench.run("XGROUP FOO").contains("unknown subcommand"));
        assert_eq!(bench.run("FUNCTION LIST"), "[]");
        assert_eq!(bench.run("GET a"), "\"1\"");
        assert_eq!(bench.run("PEXPIRE a 100000"), ":1");
        assert_eq!(bench.run("DEL a"), ":1");
        config(&mut bench, "maxmemory", "0");
        assert_eq!(bench.run("SET b 2"), "+OK");
    }

    /// Until it has written; then it may go on, for it cannot be undone.
    #[test]
    fn a_script_is_refused_its_first_write() {
        let mut bench = Bench::new();
        config(&mut bench, "maxmemory", "1");
        let text = bench.eval("return redis.call('SET', 'a', 1)");
        assert!(text.starts_with(&format!("{OOM} script: ")), "{text}");
        assert!(text.ends_with(", on @user_script:1."), "{text}");
        assert_eq!(bench.eval("return redis.pcall('SET', 'a', 1)"), OOM);
        assert_eq!(bench.eval("return redis.call('GET', 'a')"), "nil");
        let goes_on = "redis.call('DEL', 'a') return redis.call('SET', 'a', 1)";
        assert_eq!(bench.eval(goes_on), "+OK");
        let said = |flags: &str| format!("#!lua{flags}\nreturn redis.call('GET', 'a')");
        assert_eq!(bench.eval(&said("")), OOM);
        assert_eq!(bench.eval(&said(" flags=no-writes")), "\"1\"");
        let writes = "#!lua flags=allow-oom\nreturn redis.call('SET', 'a', 5)";
        assert_eq!(bench.eval(writes), "+OK");
    }

    #[test]
    fn transactions_are_refused_when_queued_or_at_their_end() {
        let mut bench = Bench::new();
        config(&mut bench, "maxmemory", "1");
        assert_eq!(bench.run("MULTI"), "+OK");
        assert_eq!(bench.run("GET a"), OOM, "a queue takes memory, too");
        let aborted = "-EXECABORT Transaction discarded because of";
        assert_eq!(bench.run("EXEC"), format!("{aborted} previous errors."));
        for (queued, outcome) in [
            ("SET a 1", format!("{aborted}: {}", &OOM[1..])),
            ("GET a", "[nil]".to_owned()),
        ] {
            config(&mut bench, "maxmemory", "0");
            bench.run("MULTI");
            assert_eq!(bench.run(queued), "+QUEUED");
            bench.run_as(2, &["CONFIG", "SET", "maxmemory", "1"]);
            assert_eq!(bench.run("EXEC"), outcome);
        }
    }

    /// Of three keys that `arrange` has used, which one goes for a fourth.
    fn goes(policy: Policy, arrange: &str) -> String {
        let mut bench = Bench::new();
        assert_eq!(config(&mut bench, "maxmemory-policy", policy.name()), "+OK");
        for line in ["SET a 1", "SET b 1", "SET c 1"]
            .into_iter()
            .chain(arrange.lines())
        {
            bench.now_us += 1_000_000;
            bench.run(line);
        }
        leave(&mut bench, 0);
        bench.run("APPEND d 1");
        bench.run("PING"); // what is too much goes before the next command
        let left = bench.run("KEYS *");
        let gone = ["a", "b", "c", "d"]
            .iter()
            .filter(|key| !left.contains(**key));
        gone.copied().collect()
    }

    #[test]
    fn each_policy_takes_its_own() {
        assert_eq!(goes(Policy::AllKeysLru, "GET a\nSET c 2"), "b");
        assert_eq!(
            goes(Policy::AllKeysLru, "EXISTS a\nTTL a\nTYPE a\nOBJECT FREQ a"),
            "a"
        );
        assert_eq!(goes(Policy::AllKeysLru, "TOUCH a"), "b");
        assert_eq!(
            goes(Policy::AllKeysLfu, "GET a\nGET b\nGET a\nGET b\nGET c"),
            "d"
        );
        assert_eq!(goes(Policy::AllKeysRandom, ""), "a");
        assert_eq!(goes(Policy::VolatileTtl, "EXPIRE a 900\nEXPIRE c 800"), "c");
        assert_eq!(goes(Policy::VolatileLru, "EXPIRE a 900\nEXPIRE c 800"), "a");
        assert_eq!(
            goes(Policy::VolatileLfu, "DEL c\nSET c 1 EX 800\nEXPIRE a 900"),
            "c"
        );
        assert_eq!(goes(Policy::VolatileRandom, "EXPIRE b 900"), "b");
        assert_eq!(goes(Policy::VolatileRandom, ""), "", "none may go");
        assert_eq!(goes(Policy::NoEviction, ""), "");
    }

    #[test]
    fn what_went_is_counted_and_watched() {
        let mut bench = Bench::new();
        config(&mut bench, "maxmemory-policy", "AllKeys-LRU");
        bench.run("SELECT 3");
        bench.run("SET k 1");
        bench.run("WATCH k");
        bench.run("MULTI");
        bench.run_as(2, &["CONFIG", "SET", "maxmemory", "1"]);
        bench.run_as(2, &["CONFIG", "SET", "maxmemory", "0"]);
        assert_eq!(bench.run("EXEC"), "nil");
        assert!(bench.run("INFO stats").contains("evicted_keys:1"));
        assert!(
            bench
                .run("INFO memory")
                .contains("maxmemory_policy:allkeys-lru")
        );
        assert!(!bench.run("INFO memory").contains("run_id"));
    }

    #[test]
    fn objects_tell_how_they_were_used() {
        let mut bench = Bench::new();
        config(&mut bench, "maxmemory-policy", "allkeys-lru");
        bench.run("SET k 1");
        bench.now_us += 7_900_000;
        assert_eq!(bench.run("OBJECT IDLETIME k"), ":7");
        assert!(bench.run("OBJECT FREQ k").contains("is not selected"));
        bench.run("GET k");
        assert_eq!(bench.run("OBJECT IDLETIME k"), ":0");
        config(&mut bench, "maxmemory-policy", "allkeys-lfu");
        assert!(bench.run("OBJECT IDLETIME k").contains("is selected"));
        let frequency = |bench: &mut Bench| bench.run("OBJECT FREQ k");
        assert_eq!(frequency(&mut bench), ":6");
        (0..100).for_each(|_| drop(bench.run("GET k")));
        assert_eq!(frequency(&mut bench), ":9", "about 10 by Redis's own table");
        bench.now_us += 3 * 60_000_000;
        assert_eq!(frequency(&mut bench), ":6");
    }
}
