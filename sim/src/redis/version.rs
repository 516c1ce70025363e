//! Which Redis is imitated, and all that differs between them: one row each.
//!
//! The rows are what `verify diff` and the conversations of the differential
//! test found on servers of these versions.

/// Which Redis is imitated, where versions differ observably. Valkey began as a
/// copy of Redis 7.2, and has in common with later ones what both took up since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// Redis 6.2.
    V6_2,
    /// Redis 7.0.
    V7_0,
    /// Redis 7.2.
    #[default]
    V7_2,
    /// Redis 8.0.
    V8_0,
    /// Redis 8.2.
    V8_2,
    /// Valkey 8.1.
    Valkey8,
    /// Valkey 9.1.
    Valkey9,
}

/// One question a row: since which Redis the answer is yes, and since which
/// Valkey, where that is not since its beginning.
macro_rules! since {
    ($($(#[$doc:meta])* $name:ident $version:ident $(or $valkey:ident)?;)*) => {
        impl Version {$(
            $(#[$doc])*
            pub(super) const fn $name(self) -> bool {
                self.has(Self::$version, since!(@ $($valkey)?))
            }
        )*}
    };
    (@ $valkey:ident) => { Some(Self::$valkey) };
    (@) => { None };
}

since! {
    /// Errors in scripts are tables, and say where they were raised.
    errors_are_tables V7_0;
    /// Scripts may say on their first line how they are to be run.
    shebangs V7_0;
    /// Streams tell how many entries they ever had and what was deleted of them,
    /// groups how many they have read; `XSETID` can be told so.
    counts_entries V7_0;
    /// Who claims entries finds that some were deleted, and drops them.
    drops_deleted V7_0;
    /// The compact encoding of sorted sets loses the sign of zero.
    drops_sign_of_zero V7_0;
    /// `XADD` takes `1-*` for the next id of a time.
    numbers_within_a_time V7_0;
    /// A negative count is an error to `ZPOPMIN` and `ZPOPMAX`, and no count at all
    /// is reason not to look at the key.
    checks_pop_counts V7_0;
    /// `DECRBY` refuses the one number that has no opposite.
    bounds_decrements V7_0;
    /// Channels that belong to slots.
    shard_channels V7_0;
    /// `redis.set_repl` counts its arguments.
    counts_repl_arguments V7_2;
    /// Scripts find an `os` with a clock.
    offers_os V8_0 or Valkey8;
    /// The help on functions says nothing of descriptions.
    short_help V8_0 or Valkey8;
    /// `ZRANK` and `ZREVRANK` take `WITHSCORE`; `CLIENT SETINFO`.
    rank_with_score V7_2;
    /// Floats are written in the fewest digits that read back.
    shortest_floats V7_2;
    /// A script's numbers that are integers are written as such: zero has no sign.
    scripts_write_integers V7_2;
    /// `BITCOUNT` and `BITPOS` take `BIT` and `BYTE`.
    counts_single_bits V7_0;
    /// `BITCOUNT` and `BITPOS` read all arguments before they look for the key.
    bit_arguments_first V8_0 or Valkey8;
    /// Consumers are told apart by when they were last given something, and are
    /// made by asking, though there be nothing.
    active_consumers V7_2;
    /// `BLPOP` and its kin may be called from scripts, where they do not wait.
    waits_in_scripts V7_2;
    /// A command that waited is executed anew, and says itself what is wrong now.
    waits_by_retrying V7_2;
    /// A timeout beyond all numbers is told from a negative one.
    far_timeouts V7_2;
    /// `LPOS` refuses the one rank that has no opposite.
    bounds_ranks V7_2;
    /// `XSETID` refuses to go back to before what was deleted.
    deleted_bounds_last V7_2;
    /// The complaint about unpaired streams and ids names the command.
    names_unbalanced V7_2;
    /// Small lists and sets have the compact encoding too.
    short_lists V7_2;
    /// `XREAD BLOCK` may be called from scripts, where it does not wait.
    reads_waiting_in_scripts V8_0 or Valkey8;
    /// `HSCAN` takes `NOVALUES`.
    scans_without_values V8_0 or Valkey8;
    /// Bounds of scores, and what `SORT` sorts by, are read by another library than
    /// C's: no hexadecimal digits, no spaces before.
    reads_plain_floats V8_0 or Valkey9;
    /// `XREAD` takes `+` for the last entry there is.
    reads_last V8_0 or Valkey8;
    /// How far a group is behind is known as soon as what lies ahead of it is.
    lag_of_empty V8_0;
    /// What is wrong with a script's command of several slots has a text of its
    /// own.
    names_crossing V8_2;
    /// In a cluster, `SORT` takes patterns that keep to the slot of its key.
    sorts_within_slots V8_2;
    /// While memory is short, transactions take commands that need none.
    queues_when_short V8_2;
}

impl Version {
    /// All that are imitated, oldest first.
    pub const ALL: [Self; 7] = [
        Self::V6_2,
        Self::V7_0,
        Self::V7_2,
        Self::V8_0,
        Self::V8_2,
        Self::Valkey8,
        Self::Valkey9,
    ];

    /// Whether it is a Valkey.
    #[must_use]
    pub const fn is_valkey(self) -> bool {
        matches!(self, Self::Valkey8 | Self::Valkey9)
    }

    /// Whether it has what came with this Redis, and with this Valkey if Valkey
    /// took it up on its own.
    const fn has(self, redis: Self, valkey: Option<Self>) -> bool {
        match (self.is_valkey(), valkey) {
            (false, _) => self as u8 >= redis as u8,
            (true, Some(valkey)) => self as u8 >= valkey as u8,
            (true, None) => Self::V7_2 as u8 >= redis as u8,
        }
    }

    /// An empty text is no number where the others have always taken it for 0.
    pub(super) const fn nothing_is_no_number(self) -> bool {
        matches!(self, Self::Valkey9)
    }

    /// Scores may have hexadecimal digits.
    pub(super) const fn reads_hexadecimal(self) -> bool {
        !matches!(self, Self::Valkey9)
    }

    /// `XREAD` finds it wrong to ask a stream for its last entry that never had one.
    pub(super) const fn last_needs_an_id(self) -> bool {
        matches!(self, Self::Valkey8)
    }

    /// `GETEX` reads when the key is to expire before it looks for it.
    pub(super) const fn reads_expiry_first(self) -> bool {
        matches!(self, Self::Valkey9)
    }

    /// As `INFO` and `REDIS_VERSION` tell it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::V6_2 => "6.2.14",
            Self::V7_0 => "7.0.15",
            // Valkey calls itself so to whoever asks for a Redis.
            Self::V7_2 => "7.2.6",
            Self::Valkey8 | Self::Valkey9 => "7.2.4",
            Self::V8_0 => "8.0.5",
            Self::V8_2 => "8.2.3",
        }
    }

    /// Which Valkey it is, if it is one.
    #[must_use]
    pub const fn valkey(self) -> Option<&'static str> {
        match self {
            Self::Valkey8 => Some("8.1.8"),
            Self::Valkey9 => Some("9.1.2"),
            _ => None,
        }
    }

    /// The number of the Valkey that it is, for scripts.
    pub(super) const fn valkey_number(self) -> Option<u32> {
        match self {
            Self::Valkey8 => Some(0x0008_0108),
            Self::Valkey9 => Some(0x0009_0102),
            _ => None,
        }
    }

    /// As the command line has it: `7.2`, `valkey-9`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V6_2 => "6.2",
            Self::V7_0 => "7.0",
            Self::V7_2 => "7.2",
            Self::V8_0 => "8.0",
            Self::V8_2 => "8.2",
            Self::Valkey8 => "valkey-8",
            Self::Valkey9 => "valkey-9",
        }
    }

    /// The one that is nearest to a server which calls itself so: `redis 7.0.15`,
    /// `valkey 9.1.2`, or a number alone.
    #[must_use]
    pub fn nearest(text: &str) -> Self {
        let valkey = text.starts_with("valkey ");
        let text = text.split(' ').next_back().unwrap_or_default();
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok());
        let mut parts = text.split('.');
        let (major, minor) = (number(parts.next()), number(parts.next()));
        match (valkey, major, minor) {
            (true, Some(9..), _) => Self::Valkey9,
            (true, Some(8), _) => Self::Valkey8,
            (_, Some(..=6), _) => Self::V6_2,
            (_, Some(7), Some(..=1)) => Self::V7_0,
            (_, Some(8), Some(..=1)) => Self::V8_0,
            (_, Some(8..), _) => Self::V8_2,
            _ => Self::V7_2,
        }
    }

    /// Of the format in which it writes values.
    pub(super) const fn rdb(self) -> u16 {
        match self {
            Self::V6_2 => 9,
            Self::V7_0 => 10,
            Self::V7_2 | Self::Valkey8 => 11,
            Self::V8_0 | Self::V8_2 => 12,
            Self::Valkey9 => 80,
        }
    }

    pub(super) const fn number(self) -> u32 {
        match self {
            Self::V6_2 => 0x0006_020e,
            Self::V7_0 => 0x0007_000f,
            Self::V7_2 => 0x0007_0206,
            Self::V8_0 => 0x0008_0005,
            Self::V8_2 => 0x0008_0203,
            Self::Valkey8 | Self::Valkey9 => 0x0007_0204,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::Server;
    use crate::redis::tests::Bench;

    #[test]
    fn the_nearest_is_found() {
        for version in Version::ALL {
            let told = match version.valkey() {
                Some(number) => format!("valkey {number}"),
                None => format!("redis {}", version.text()),
            };
            assert_eq!(Version::nearest(&told), version);
        }
        assert_eq!(Version::nearest("6.0.9"), Version::V6_2);
        assert_eq!(Version::nearest("7.4.0"), Version::V7_2);
        assert_eq!(Version::nearest("valkey 7.2.7"), Version::V7_2);
        assert_eq!(Version::nearest("8.6.1"), Version::V8_2);
        assert_eq!(Version::nearest("nonsense"), Version::V7_2);
    }

    /// As servers of these versions have answered.
    #[test]
    fn each_answers_in_its_own_way() {
        let cases = [
            (Version::V6_2, "ZPOPMAX z -1", "[]"),
            (
                Version::V7_0,
                "ZPOPMAX z -1",
                "-ERR value is out of range, must be positive",
            ),
            (Version::V6_2, "XSETID none x", "-ERR no such key"),
            (
                Version::V7_0,
                "XSETID none x",
                "-ERR Invalid stream ID specified as stream command argument",
            ),
            (
                Version::V6_2,
                "DECRBY n -9223372036854775808",
                ":-9223372036854775808",
            ),
            (
                Version::V7_0,
                "DECRBY n -9223372036854775808",
                "-ERR decrement would overflow",
            ),
            (
                Version::V6_2,
                "SETEX k 0 v",
                "-ERR invalid expire time in setex",
            ),
            (Version::V6_2, "XAUTOCLAIM s g c 0 0", r#"["0-0", []]"#),
            (Version::V7_0, "XAUTOCLAIM s g c 0 0", r#"["0-0", [], []]"#),
            (Version::V8_2, "XREAD STREAMS s +", "nil"),
            (
                Version::Valkey8,
                "XREAD STREAMS s +",
                "-ERR the stream last element ID is 0-0",
            ),
            (Version::Valkey9, "XREAD STREAMS s +", "nil"),
            (Version::Valkey8, "GETEX none EX x", "nil"),
            (
                Version::Valkey9,
                "GETEX none EX x",
                "-ERR value is not an integer or out of range",
            ),
        ];
        for (version, command, expected) in cases {
            let mut bench = Bench::new();
            bench.server = Server::with_version(version);
            bench.run("ZADD z 1 a");
            bench.run("XGROUP CREATE s g 0 MKSTREAM");
            assert_eq!(bench.run(command), expected, "{version:?}: {command}");
        }
    }

    #[test]
    fn what_came_later_was_not_there_before() {
        assert!(!Version::V7_0.rank_with_score());
        assert!(Version::V8_2.rank_with_score());
        assert!(!Version::V7_2.reads_last());
    }

    #[test]
    fn valkey_has_what_it_began_with_and_what_it_took_up() {
        assert!(Version::Valkey8.rank_with_score());
        assert!(!Version::Valkey9.names_crossing());
    }
}
