//! [`Config`]: everything about a gate but its name, and the four faces under
//! which the field knows it.

use core::fmt;

/// Number of priority classes. Class 0 is the default, with no boost.
pub const CLASSES: usize = 4;

/// Why a [`Config`] or a new capacity was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigError {
    /// Capacity must be between 1 and [`Config::CAPACITY_MAX`].
    Capacity,
    /// The named duration must be between 1 ms and [`Config::DURATION_MS_MAX`].
    Duration(&'static str),
    /// `absent_after < abandon_after` must hold.
    Presence,
    /// The batch must be between 1 and [`Config::BATCH_MAX`].
    Batch,
    /// A boost must be at most [`Config::BOOST_MAX`], and class 0 has none.
    Boost,
    /// The first fencing number must be at most [`Config::FIRST_FENCE_MAX`].
    FirstFence,
}

/// Presence of waiters: who has not been heard of neither blocks nor is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Presence {
    /// Silence after which a waiter counts as absent, in milliseconds.
    pub absent_after_ms: u64,
    /// Silence after which its place ends, in milliseconds.
    pub abandon_after_ms: u64,
    /// Time to claim an offered slot, in milliseconds.
    pub claim_within_ms: u64,
}

/// Everything about a gate but its name. Durations are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Slots; the scripts take it as the default until `resize` stores another.
    pub capacity: u32,
    /// *Alive* deadline: a holder not renewed for this long loses its slot.
    pub lease_ms: Option<u64>,
    /// *Active* deadline: a holder without real use for this long loses its slot.
    pub idle_ms: Option<u64>,
    /// A waiter older than this times out.
    pub wait_timeout_ms: Option<u64>,
    /// Presence of waiters; off means that promotion is immediate.
    pub presence: Option<Presence>,
    /// Most waiters at a time.
    pub queue_limit: u32,
    /// Whether absent waiters count towards `queue_limit`.
    pub count_absent: bool,
    /// By how many tickets each class moves ahead. Class 0 must be 0.
    pub boosts: [u32; CLASSES],
    /// Most housekeeping steps per call, for expiry and for promotion each.
    pub batch: u32,
    /// How long an ended place is remembered, in milliseconds. 0: not at all.
    pub tombstone_ms: u64,
    /// Most ended places remembered.
    pub tombstones_max: u32,
}

impl Config {
    /// Largest capacity.
    pub const CAPACITY_MAX: u32 = 1_000_000_000;
    /// Longest duration: about a hundred years. The scripts keep deadlines in
    /// doubles, exact up to 2⁵³, with room for the zones.
    pub const DURATION_MS_MAX: u64 = 3_200_000_000_000;
    /// Largest batch; a script must not hold up its server for long.
    pub const BATCH_MAX: u32 = 1_000;
    /// Largest boost, so that order keys stay positive and exact in a double.
    pub const BOOST_MAX: u32 = 1_000_000_000;
    /// Largest number that fencing may start from: still exact in a double
    /// after 2⁵² grants.
    pub const FIRST_FENCE_MAX: u64 = 1 << 52;

    /// Housekeeping steps per call unless said otherwise.
    pub const BATCH_DEFAULT: u32 = 16;
    /// Queue limit unless said otherwise.
    pub const QUEUE_LIMIT_DEFAULT: u32 = 100_000;
    /// How long an ended place is remembered unless said otherwise: longer
    /// than a copy of a request stays under way.
    pub const TOMBSTONE_MS_DEFAULT: u64 = 60_000;
    /// Ended places remembered unless said otherwise.
    pub const TOMBSTONES_MAX_DEFAULT: u32 = 10_000;

    /// In-process concurrency limiter: a slot is held until it is released,
    /// the queue is FIFO with `wait_timeout_ms`. No lease, no presence, and no
    /// tombstones: inside one process no caller dies unseen and no request is
    /// delayed or doubled. The field's request gate is `limiter(10, Some(300_000))`.
    #[must_use]
    pub const fn limiter(capacity: u32, wait_timeout_ms: Option<u64>) -> Self {
        Self {
            capacity,
            lease_ms: None,
            idle_ms: None,
            wait_timeout_ms,
            presence: None,
            queue_limit: Self::QUEUE_LIMIT_DEFAULT,
            count_absent: true,
            boosts: [0; CLASSES],
            batch: Self::BATCH_DEFAULT,
            tombstone_ms: 0,
            tombstones_max: 0,
        }
    }

    /// Session cap (PER-002): a lease of 60 s kept alive by heartbeat, 30 idle
    /// minutes, no wait timeout; waiters silent for 15 s are absent, and gone
    /// after 10 min; an offer is claimed within 5 s. The field's is
    /// `session_cap(20)`.
    #[must_use]
    pub const fn session_cap(capacity: u32) -> Self {
        Self {
            lease_ms: Some(60_000),
            idle_ms: Some(30 * 60_000),
            presence: Some(Presence {
                absent_after_ms: 15_000,
                abandon_after_ms: 600_000,
                claim_within_ms: 5_000,
            }),
            ..Self::remembering(capacity)
        }
    }

    /// Distributed semaphore: `lease_ms` to hold, `wait_timeout_ms` to wait
    /// (two names for what the field calls `timeout`), waiters silent for 15 s
    /// are absent. The field's are `embedding_batch` = (3, …, 300 s) and
    /// `vector_upsert` = (2, …, 600 s).
    #[must_use]
    pub const fn semaphore(capacity: u32, lease_ms: u64, wait_timeout_ms: u64) -> Self {
        Self {
            lease_ms: Some(lease_ms),
            wait_timeout_ms: Some(wait_timeout_ms),
            presence: Self::session_cap(capacity).presence,
            ..Self::remembering(capacity)
        }
    }

    /// Distributed lock: a semaphore of one. Blocking callers queue, FIFO, for
    /// up to `wait_timeout_ms`; a caller that does not want to wait joins with
    /// `wait = false`. The field's locks have leases of 60 s, 30 s and 300 s.
    #[must_use]
    pub const fn lock(lease_ms: u64, wait_timeout_ms: u64) -> Self {
        Self::semaphore(1, lease_ms, wait_timeout_ms)
    }

    /// Checks every limit.
    ///
    /// # Errors
    /// The first one that does not hold.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=Self::CAPACITY_MAX).contains(&self.capacity) {
            return Err(ConfigError::Capacity);
        }
        duration("lease", self.lease_ms)?;
        duration("idle", self.idle_ms)?;
        duration("wait_timeout", self.wait_timeout_ms)?;
        if let Some(presence) = self.presence {
            duration("absent_after", Some(presence.absent_after_ms))?;
            duration("abandon_after", Some(presence.abandon_after_ms))?;
            duration("claim_within", Some(presence.claim_within_ms))?;
            if presence.absent_after_ms >= presence.abandon_after_ms {
                return Err(ConfigError::Presence);
            }
        }
        if self.tombstone_ms > 0 {
            duration("tombstone", Some(self.tombstone_ms))?;
        }
        if !(1..=Self::BATCH_MAX).contains(&self.batch) {
            return Err(ConfigError::Batch);
        }
        if self.boosts[0] != 0 || self.boosts.iter().any(|&boost| boost > Self::BOOST_MAX) {
            return Err(ConfigError::Boost);
        }
        Ok(())
    }

    /// Whether ended places are remembered at all.
    pub(super) const fn remembers(&self) -> bool {
        self.tombstone_ms > 0 && self.tombstones_max > 0
    }

    const fn remembering(capacity: u32) -> Self {
        Self {
            tombstone_ms: Self::TOMBSTONE_MS_DEFAULT,
            tombstones_max: Self::TOMBSTONES_MAX_DEFAULT,
            ..Self::limiter(capacity, None)
        }
    }
}

fn duration(name: &'static str, ms: Option<u64>) -> Result<(), ConfigError> {
    match ms {
        None => Ok(()),
        Some(ms) if (1..=Config::DURATION_MS_MAX).contains(&ms) => Ok(()),
        Some(_) => Err(ConfigError::Duration(name)),
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity => write!(
                f,
                "capacity is out of range: choose 1 to {}",
                Config::CAPACITY_MAX
            ),
            Self::Duration(name) => write!(
                f,
                "duration `{name}` is out of range: choose 1 to {} ms, or leave it out",
                Config::DURATION_MS_MAX
            ),
            Self::Presence => f.write_str(
                "presence: a waiter must be absent before it is abandoned; \
                 choose `absent_after` smaller than `abandon_after`",
            ),
            Self::Batch => write!(
                f,
                "batch is out of range: choose 1 to {}",
                Config::BATCH_MAX
            ),
            Self::Boost => write!(
                f,
                "boosts: class 0 must have none, and no class more than {}",
                Config::BOOST_MAX
            ),
            Self::FirstFence => write!(
                f,
                "first fencing number is out of range: choose 0 to {} (the store's time in ms will do)",
                Config::FIRST_FENCE_MAX
            ),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Priority class of a join, below [`CLASSES`]. The default is 0, no boost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class(u8);

impl Class {
    /// Class 0: no boost.
    pub const ZERO: Self = Self(0);

    /// `None` if there is no such class.
    #[must_use]
    pub const fn new(class: u8) -> Option<Self> {
        if (class as usize) < CLASSES {
            Some(Self(class))
        } else {
            None
        }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn the_faces_are_valid() {
        for config in [
            Config::limiter(10, Some(300_000)),
            Config::limiter(1, None),
            Config::session_cap(20),
            Config::semaphore(3, 60_000, 300_000),
            Config::lock(60_000, 600_000),
        ] {
            assert_eq!(config.validate(), Ok(()), "{config:?}");
        }
        let cap = Config::session_cap(20);
        assert_eq!((cap.capacity, cap.idle_ms), (20, Some(1_800_000)));
        assert_eq!(Config::lock(1, 1).capacity, 1);
    }

    #[test]
    fn every_limit_is_checked_and_says_what_to_do() {
        let good = Config::semaphore(3, 1, 1);
        let presence = good.presence.unwrap();
        let bad = [
            (
                Config {
                    capacity: 0,
                    ..good
                },
                ConfigError::Capacity,
            ),
            (
                Config {
                    capacity: u32::MAX,
                    ..good
                },
                ConfigError::Capacity,
            ),
            (
                Config {
                    lease_ms: Some(0),
                    ..good
                },
                ConfigError::Duration("lease"),
            ),
            (
                Config {
                    idle_ms: Some(u64::MAX),
                    ..good
                },
                ConfigError::Duration("idle"),
            ),
            (
                Config {
                    wait_timeout_ms: Some(0),
                    ..good
                },
                ConfigError::Duration("wait_timeout"),
            ),
            (
                Config {
                    presence: Some(Presence {
                        claim_within_ms: 0,
                        ..presence
                    }),
                    ..good
                },
                ConfigError::Duration("claim_within"),
            ),
            (
                Config {
                    presence: Some(Presence {
                        absent_after_ms: presence.abandon_after_ms,
                        ..presence
                    }),
                    ..good
                },
                ConfigError::Presence,
            ),
            (
                Config {
                    tombstone_ms: u64::MAX,
                    ..good
                },
                ConfigError::Duration("tombstone"),
            ),
            (Config { batch: 0, ..good }, ConfigError::Batch),
            (
                Config {
                    boosts: [1, 0, 0, 0],
                    ..good
                },
                ConfigError::Boost,
            ),
            (
                Config {
                    boosts: [0, 0, 0, u32::MAX],
                    ..good
                },
                ConfigError::Boost,
            ),
        ];
        for (config, error) in bad {
            assert_eq!(config.validate(), Err(error));
            assert!(error.to_string().contains("must") || error.to_string().contains("choose"));
        }
    }

    #[test]
    fn a_class_is_below_the_number_of_classes() {
        assert_eq!(Class::new(0), Some(Class::ZERO));
        assert_eq!(Class::new(3).map(Class::get), Some(3));
        assert_eq!(Class::new(4), None);
    }
}
