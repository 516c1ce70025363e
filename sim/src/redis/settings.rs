//! What `CONFIG` can change: numbers with a name, bounds and a default.
//!
//! Only those are here that a client can tell from the outside, and those whose
//! effect in Redis is nothing but memory or speed, which have none here. What
//! else there is can be asked and changed, and is not obeyed
//! ([`kept`](super::kept)).

use std::collections::BTreeMap;
use std::rc::Rc;

use sluice_core::redis::Bytes;

use super::Version;
use super::kept::{self, Kept};

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Plain,
    /// `5kb` is 5120 too.
    Bytes,
    /// Letters for classes of events.
    Events,
    /// `yes` or `no`.
    Switch,
    /// Between 1 and 500 whatever is said.
    Hertz,
}

/// A number that `CONFIG SET` takes.
#[derive(Debug)]
pub(super) struct Number {
    pub(super) name: &'static str,
    /// Another name, which works as well.
    pub(super) alias: &'static str,
    pub(super) default: i64,
    pub(super) least: i64,
    pub(super) most: i64,
    pub(super) unit: Unit,
    /// Not before this version.
    pub(super) since: Version,
}

impl Number {
    const fn new(name: &'static str, default: i64) -> Self {
        Self {
            name,
            alias: "",
            default,
            least: 0,
            most: i64::MAX,
            unit: Unit::Plain,
            since: Version::V7_0,
        }
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = alias;
        self
    }

    const fn within(mut self, least: i64, most: i64) -> Self {
        (self.least, self.most) = (least, most);
        self
    }

    const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    const fn since(mut self, since: Version) -> Self {
        self.since = since;
        self
    }
}

impl Number {
    /// Whether it is called so.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name || self.alias == name
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $number:expr;)*) => {
        $($(#[$doc])* pub(super) static $name: Number = $number;)*
        /// All of them.
        pub(super) static NUMBERS: &[&Number] = &[$(&$name),*];
    };
}

const I32: i64 = i32::MAX as i64;

numbers! {
    /// So many milliseconds a server that is busy with a script says nothing; from
    /// then on it says `BUSY`.
    BUSY_REPLY = Number::new("busy-reply-threshold", 5_000).alias("lua-time-limit");
    /// Beyond so many fields, a hash is a table.
    HASH_ENTRIES = Number::new("hash-max-listpack-entries", 512).alias("hash-max-ziplist-entries");
    /// With a longer field or value, too.
    HASH_VALUE = Number::new("hash-max-listpack-value", 64)
        .alias("hash-max-ziplist-value")
        .unit(Unit::Bytes);
    /// Bytes (-1 to -5: 4 kB to 64 kB) or entries of a list's node.
    LIST_SIZE = Number::new("list-max-listpack-size", -2)
        .alias("list-max-ziplist-size")
        .within(i32::MIN as i64, I32);
    /// With more bytes, a HyperLogLog is dense.
    SPARSE_BYTES = Number::new("hll-sparse-max-bytes", 3_000).unit(Unit::Bytes);
    /// A pause in which a client says nothing, in seconds, after which it is sent
    /// away; 0 for never.
    TIMEOUT = Number::new("timeout", 0).within(0, I32);
    /// So many clients are let in.
    CLIENTS = Number::new("maxclients", 10_000).within(1, u32::MAX as i64);
    /// How often Redis looks after itself: no difference to a client.
    HERTZ = Number::new("hz", 10).within(0, I32).unit(Unit::Hertz);
    /// Simulated commands take no time, so none is slow.
    SLOW = Number::new("slowlog-log-slower-than", 10_000).within(-1, i64::MAX);
    /// How many slow ones would be remembered.
    SLOW_MOST = Number::new("slowlog-max-len", 128);
    /// For how long a latency is none, in milliseconds; 0: never looked at.
    LATENCY = Number::new("latency-monitor-threshold", 0);
    /// Everything is freed at once here.
    LAZY_EVICTION = Number::new("lazyfree-lazy-eviction", 0).unit(Unit::Switch);
    /// The same.
    LAZY_EXPIRE = Number::new("lazyfree-lazy-expire", 0).unit(Unit::Switch);
    /// The same.
    LAZY_SERVER_DEL = Number::new("lazyfree-lazy-server-del", 0).unit(Unit::Switch);
    /// The same.
    LAZY_USER_DEL = Number::new("lazyfree-lazy-user-del", 0).unit(Unit::Switch);
    /// The same.
    LAZY_USER_FLUSH = Number::new("lazyfree-lazy-user-flush", 0).unit(Unit::Switch);
    /// Eviction looks at all keys here.
    SAMPLES = Number::new("maxmemory-samples", 5).within(1, I32);
    /// How often connections without traffic are tried, in seconds.
    KEEPALIVE = Number::new("tcp-keepalive", 300).within(0, I32);
    /// How much of a list Redis compresses: no difference to a client.
    LIST_DEPTH = Number::new("list-compress-depth", 0).within(0, I32);
    /// With fewer replicas, of which there is none, nothing is written …
    MIN_REPLICAS = Number::new("min-replicas-to-write", 0)
        .alias("min-slaves-to-write")
        .within(0, I32);
    /// … unless this is 0.
    MAX_LAG = Number::new("min-replicas-max-lag", 10)
        .alias("min-slaves-max-lag")
        .within(0, I32);
    /// A replica refuses to write.
    READ_ONLY = Number::new("replica-read-only", 1)
        .alias("slave-read-only")
        .unit(Unit::Switch);
    /// A replica without its master answers from what it has.
    SERVE_STALE = Number::new("replica-serve-stale-data", 1)
        .alias("slave-serve-stale-data")
        .unit(Unit::Switch);
    /// Which events are told of.
    NOTIFY = Number::new("notify-keyspace-events", 0).unit(Unit::Events);
    /// The longest argument, and the longest string.
    BULK = Number::new("proto-max-bulk-len", 512 << 20)
        .within(1 << 20, i64::MAX)
        .unit(Unit::Bytes);
    /// Beyond so many integers, a set is a table.
    SET_INTEGERS = Number::new("set-max-intset-entries", 512);
    /// Beyond so many members, a set of short ones is a table.
    SET_ENTRIES = Number::new("set-max-listpack-entries", 128).since(Version::V7_2);
    /// With a longer member, too.
    SET_VALUE = Number::new("set-max-listpack-value", 64)
        .unit(Unit::Bytes)
        .since(Version::V7_2);
    /// Bytes of a stream's node, 0 for any number.
    STREAM_BYTES = Number::new("stream-node-max-bytes", 4096).unit(Unit::Bytes);
    /// Entries of a stream's node, 0 for any number.
    STREAM_ENTRIES = Number::new("stream-node-max-entries", 100);
    /// Beyond so many members, a sorted set is a skip list.
    ZSET_ENTRIES = Number::new("zset-max-listpack-entries", 128).alias("zset-max-ziplist-entries");
    /// With a longer member, too.
    ZSET_VALUE = Number::new("zset-max-listpack-value", 64)
        .alias("zset-max-ziplist-value")
        .unit(Unit::Bytes);
}

/// What was set, where it is not as it was in the beginning. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Settings {
    changed: Rc<BTreeMap<&'static str, i64>>,
    /// `requirepass`.
    password: Option<Bytes>,
    /// `appendfsync`, which is remembered, and no more.
    sync: Sync,
    /// `client-output-buffer-limit`, the same.
    output: Option<Rc<Output>>,
    /// Of those that have no effect, what they were set to.
    kept: Option<Rc<BTreeMap<&'static str, Bytes>>>,
}

/// `appendfsync`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Sync {
    #[default]
    EverySecond,
    Always,
    No,
}

impl Sync {
    /// In the order in which Redis tells them.
    pub(super) const ALL: [(&'static str, Self); 3] = [
        ("everysec", Self::EverySecond),
        ("always", Self::Always),
        ("no", Self::No),
    ];

    pub(super) fn name(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|(_, sync)| *sync == self);
        found.map_or("", |(name, _)| name)
    }
}

/// How much may be due to clients of each class: bytes at once, bytes for some
/// time, and that time in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Output(pub(super) [[i64; 3]; 3]);

impl Output {
    pub(super) const CLASSES: [&'static str; 3] = ["normal", "slave", "pubsub"];
}

impl Default for Output {
    fn default() -> Self {
        Self([[0; 3], [256 << 20, 64 << 20, 60], [32 << 20, 8 << 20, 60]])
    }
}

impl Settings {
    /// The number that is in force.
    pub(super) fn get(&self, number: &Number) -> i64 {
        if self.changed.is_empty() {
            return number.default;
        }
        let changed = self.changed.get(number.name);
        changed.copied().unwrap_or(number.default)
    }

    /// The same as a size; a negative one is none.
    pub(super) fn size(&self, number: &Number) -> usize {
        usize::try_from(self.get(number)).unwrap_or(0)
    }

    /// From now on this number; its bounds are the caller's.
    pub(super) fn set(&mut self, number: &Number, value: i64) {
        let changed = Rc::make_mut(&mut self.changed);
        if value == number.default {
            changed.remove(number.name);
        } else {
            changed.insert(number.name, value);
        }
    }

    /// What a client has to say first, if there is such.
    pub(super) fn password(&self) -> Option<&Bytes> {
        self.password.as_ref()
    }

    /// An empty one is none.
    pub(super) fn set_password(&mut self, password: Bytes) {
        self.password = (!password.is_empty()).then_some(password);
    }

    pub(super) fn sync(&self) -> Sync {
        self.sync
    }

    pub(super) fn set_sync(&mut self, sync: Sync) {
        self.sync = sync;
    }

    pub(super) fn output(&self) -> Output {
        let set = self.output.as_deref();
        set.cloned().unwrap_or_default()
    }

    pub(super) fn set_output(&mut self, output: Output) {
        self.output = (output != Output::default()).then(|| Rc::new(output));
    }

    /// What a parameter without an effect was set to.
    pub(super) fn kept(&self, kept: &Kept) -> Bytes {
        let set = self.kept.as_ref().and_then(|set| set.get(kept.name));
        let default = || Bytes::from(kept.default.as_bytes());
        set.cloned().unwrap_or_else(default)
    }

    /// The same as a text, by its name.
    pub(super) fn told(&self, name: &str) -> String {
        let kept = kept::named(name).map(|kept| self.kept(kept));
        String::from_utf8_lossy(&kept.unwrap_or_default()).into_owned()
    }

    /// From now on it says this.
    pub(super) fn keep(&mut self, kept: &Kept, value: Bytes) {
        let mut set = self.kept.take().unwrap_or_default();
        let all = Rc::make_mut(&mut set);
        if *value == *kept.default.as_bytes() {
            all.remove(kept.name);
        } else {
            all.insert(kept.name, value);
        }
        self.kept = (!all.is_empty()).then_some(set);
    }

    /// Whether everything is as it was in the beginning.
    pub(super) fn is_default(&self) -> bool {
        let texts = self.password.is_none() && self.output.is_none() && self.kept.is_none();
        self.changed.is_empty() && texts && self.sync == Sync::EverySecond
    }
}
