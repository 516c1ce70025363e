//! What a client of a gate is told once, before it starts.

use core::fmt;

use crate::script::GateKeys;
use crate::slots::{Class, Config, ConfigError};

/// Everything about a client but its id. Shared by all clients of one gate
/// through an `Arc`. Durations are in milliseconds of the client's own clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the gate lives.
    pub keys: GateKeys,
    /// The gate's configuration: all of its clients must agree on it.
    pub config: Config,
    /// Priority class of every join.
    pub class: Class,
    /// How often a waiter asks how it stands. With presence it asks at least
    /// three times within `absent_after`, and twice within `claim_within`.
    pub poll_ms: u64,
    /// A request without a reply for this long is given up: its outcome is
    /// unknown, its connection is dropped. Never more than a quarter of the lease.
    pub request_timeout_ms: u64,
    /// Pause before the first repetition; it doubles with each further one.
    pub retry_ms: u64,
    /// The longest pause between repetitions.
    pub retry_max_ms: u64,
    /// Bound on the drift between the two clocks, in millionths: a holder stops
    /// at *send time + lease × (1 − drift) − margin* (R1.8).
    pub drift_ppm: u32,
    /// Safety margin: what the holder needs to notice and stop, in milliseconds.
    pub margin_ms: u64,
    /// The longest wait, by the client's own clock; `None`: as long as the
    /// store lets it wait. It ends as TimedOut and never eats a slot.
    pub wait_limit_ms: Option<u64>,
    /// The same for a join that does not want to wait: how long it may take to
    /// get an answer at all.
    pub try_limit_ms: u64,
}

/// Why [`Settings`] were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettingsError {
    /// The gate's own configuration does not hold.
    Config(ConfigError),
    /// The named duration must be at least 1 ms and at most [`Config::DURATION_MS_MAX`].
    Duration(&'static str),
    /// A guarded gate needs a lease or an idle time: without, nobody knows when
    /// the slots that were lost with a server are over.
    Guard,
    /// The drift bound must be below one million (100 %).
    Drift,
    /// The lease (or the idle time) leaves nothing after drift and margin.
    Lease {
        /// What it is, in milliseconds.
        lease_ms: u64,
        /// The least that would do.
        least_ms: u64,
    },
}

impl Settings {
    /// Settings that suit a gate on a server a few milliseconds away: polls
    /// every second, gives a request one second, repeats after 20 ms and then
    /// ever slower up to 2 s, allows for 200 ppm of drift (ten times what a
    /// quartz clock does) and keeps a margin of 50 ms, or a twentieth of a
    /// lease that is shorter than a second.
    #[must_use]
    pub fn new(keys: GateKeys, config: Config) -> Self {
        let lease = shortest_lease(&config).unwrap_or(u64::MAX);
        Self {
            keys,
            config,
            class: Class::ZERO,
            poll_ms: 1_000,
            request_timeout_ms: 1_000,
            retry_ms: 20,
            retry_max_ms: 2_000,
            drift_ppm: 200,
            margin_ms: (lease / 20).min(50),
            wait_limit_ms: None,
            try_limit_ms: 5_000,
        }
    }

    /// Checks every limit.
    ///
    /// # Errors
    /// The first one that does not hold.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.config.validate().map_err(SettingsError::Config)?;
        for (name, ms) in [
            ("poll", Some(self.poll_ms)),
            ("request_timeout", Some(self.request_timeout_ms)),
            ("retry", Some(self.retry_ms)),
            ("retry_max", Some(self.retry_max_ms)),
            ("wait_limit", self.wait_limit_ms),
            ("try_limit", Some(self.try_limit_ms)),
        ] {
            if ms.is_some_and(|ms| !(1..=Config::DURATION_MS_MAX).contains(&ms)) {
                return Err(SettingsError::Duration(name));
            }
        }
        if self.margin_ms > Config::DURATION_MS_MAX {
            return Err(SettingsError::Duration("margin"));
        }
        if self.drift_ppm >= 1_000_000 {
            return Err(SettingsError::Drift);
        }
        if self.keys.is_guarded() && shortest_lease(&self.config).is_none() {
            return Err(SettingsError::Guard);
        }
        if let Some(lease_ms) = shortest_lease(&self.config) {
            let usable = 1_000_000 - u64::from(self.drift_ppm);
            let least_ms = 3 + (self.margin_ms + 1) * 1_000_000 / usable;
            if lease_ms < least_ms {
                return Err(SettingsError::Lease { lease_ms, least_ms });
            }
        }
        Ok(())
    }

    /// How often a waiter asks, presence considered.
    pub(super) fn poll_interval_ms(&self) -> u64 {
        let bound = self.config.presence.map_or(u64::MAX, |presence| {
            // Strictly less than a third, so that two polls may be lost.
            (presence.absent_after_ms.saturating_sub(1) / 3).min(presence.claim_within_ms / 2)
        });
        self.poll_ms.min(bound).max(1)
    }

    /// When the store has ended, by itself, the place of a client that it no
    /// longer hears of: first in the line, then as an offer or a holder. `None`:
    /// never, so that only a cancellation ends it.
    pub(super) fn forgotten_after_ms(&self) -> Option<u64> {
        let Config {
            presence,
            wait_timeout_ms,
            ..
        } = self.config;
        let abandon = presence.map(|presence| presence.abandon_after_ms);
        let in_line = [abandon, wait_timeout_ms].into_iter().flatten().min()?;
        let held = shortest_lease(&self.config)?;
        let offered = presence.map_or(0, |presence| presence.claim_within_ms);
        Some(in_line.saturating_add(offered).saturating_add(held))
    }

    /// How long a request may take, the lease considered.
    pub(super) fn request_limit_ms(&self) -> u64 {
        let bound = shortest_lease(&self.config).map_or(u64::MAX, |lease| lease / 4);
        self.request_timeout_ms.min(bound).max(1)
    }
}

fn shortest_lease(config: &Config) -> Option<u64> {
    [config.lease_ms, config.idle_ms]
        .into_iter()
        .flatten()
        .min()
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "the gate's configuration: {error}"),
            Self::Duration(name) => write!(
                f,
                "{name} must be between 1 ms and {} ms",
                Config::DURATION_MS_MAX
            ),
            Self::Guard => f.write_str(
                "a guarded gate has neither lease nor idle time: give it one, or do not guard it",
            ),
            Self::Drift => {
                f.write_str("drift_ppm must be below 1000000: it is a share of the lease")
            }
            Self::Lease { lease_ms, least_ms } => write!(
                f,
                "a lease or idle time of {lease_ms} ms leaves nothing after drift and margin: make it at least {least_ms} ms, or the margin smaller"
            ),
        }
    }
}

impl core::error::Error for SettingsError {}
