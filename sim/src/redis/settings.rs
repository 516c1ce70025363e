//! What `CONFIG` can change: numbers with a name, bounds and a default.
//!
//! Only those are here that a client can tell from the outside, and those whose
//! effect in Redis is nothing but memory or speed, which have none here. What
//! would change something that is not modelled is unknown to `CONFIG`.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Version;

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

    /// Whether everything is as it was in the beginning.
    pub(super) fn is_default(&self) -> bool {
        self.changed.is_empty()
    }
}
