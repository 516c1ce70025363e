//! Which Redis is imitated, and all that differs between them: one row each.
//!
//! The rows are what `verify diff` and the conversations of the differential
//! test found on servers of these versions.

/// Which Redis is imitated, where versions differ observably.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// Redis 7.0.
    V7_0,
    /// Redis 7.2.
    #[default]
    V7_2,
    /// Redis 8.2.
    V8_2,
}

macro_rules! since {
    ($($(#[$doc:meta])* $name:ident $version:ident;)*) => {
        impl Version {$(
            $(#[$doc])*
            pub(super) const fn $name(self) -> bool {
                self as u8 >= Self::$version as u8
            }
        )*}
    };
}

since! {
    /// `ZRANK` and `ZREVRANK` take `WITHSCORE`; `CLIENT SETINFO`.
    rank_with_score V7_2;
    /// Floats are written in the fewest digits that read back.
    shortest_floats V7_2;
    /// `BITCOUNT` and `BITPOS` read all arguments before they look for the key.
    bit_arguments_first V7_2;
    /// Consumers are told apart by when they were last given something, and are
    /// made by asking, though there be nothing.
    active_consumers V7_2;
    /// `BLPOP` and its kin may be called from scripts, where they do not wait.
    waits_in_scripts V7_2;
    /// A command that waited is executed anew, and says itself what is wrong now.
    waits_by_retrying V7_2;
    /// A timeout beyond all numbers is told from a negative one.
    far_timeouts V7_2;
    /// `XSETID` refuses to go back to before what was deleted.
    deleted_bounds_last V7_2;
    /// The complaint about unpaired streams and ids names the command.
    names_unbalanced V7_2;
    /// Small lists and sets have the compact encoding too.
    short_lists V7_2;
    /// `XREAD BLOCK` may be called from scripts, where it does not wait.
    reads_waiting_in_scripts V8_2;
    /// `XREAD` takes `+` for the last entry there is.
    reads_last V8_2;
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
    pub const ALL: [Self; 3] = [Self::V7_0, Self::V7_2, Self::V8_2];

    /// As `INFO` and `REDIS_VERSION` tell it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::V7_0 => "7.0.15",
            Self::V7_2 => "7.2.5",
            Self::V8_2 => "8.2.3",
        }
    }

    /// The one that is nearest to a server which tells this version.
    #[must_use]
    pub fn nearest(text: &str) -> Self {
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok());
        let mut parts = text.split('.');
        match (number(parts.next()), number(parts.next())) {
            (Some(..=6), _) | (Some(7), Some(..=1)) => Self::V7_0,
            (Some(8..), _) => Self::V8_2,
            _ => Self::V7_2,
        }
    }

    /// Of the format in which it writes values.
    pub(super) const fn rdb(self) -> u16 {
        match self {
            Self::V7_0 => 10,
            Self::V7_2 => 11,
            Self::V8_2 => 12,
        }
    }

    pub(super) const fn number(self) -> u32 {
        match self {
            Self::V7_0 => 0x0007_000f,
            Self::V7_2 => 0x0007_0205,
            Self::V8_2 => 0x0008_0203,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found() {
        for version in Version::ALL {
            assert_eq!(Version::nearest(version.text()), version);
        }
        assert_eq!(Version::nearest("6.2.14"), Version::V7_0);
        assert_eq!(Version::nearest("7.4.0"), Version::V7_2);
        assert_eq!(Version::nearest("8.0.1"), Version::V8_2);
        assert_eq!(Version::nearest("nonsense"), Version::V7_2);
    }

    #[test]
    fn what_came_later_was_not_there_before() {
        assert!(!Version::V7_0.rank_with_score());
        assert!(Version::V8_2.rank_with_score());
        assert!(!Version::V7_2.reads_last());
    }
}
