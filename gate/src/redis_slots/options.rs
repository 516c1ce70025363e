//! What a user may set of a Redis gate beside its configuration.

use std::time::Duration;

use sluice_core::client::slots::Settings;
use sluice_core::script::GateKeys;
use sluice_core::slots::{Class, Config};

/// How this process deals with the gate. The defaults suit a server a few
/// milliseconds away; what the gate itself is, is in
/// [`Config`], and is the same for all processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Stands before every key.
    pub prefix: String,
    /// The gate's keys are forgotten when nobody has called for this long.
    /// `None`: never. Only gates with a lease are ever forgotten.
    pub retain: Option<Duration>,
    /// The gate keeps its cap through a failover that loses its last grants, at
    /// the price and under the conditions of [`GateKeys::guarded`]. The same for
    /// all processes.
    pub guarded: bool,
    /// Priority class of every join.
    pub class: Class,
    /// The longest wait in line, by this process's clock. `None`: as long as the
    /// gate's configuration allows.
    pub wait_limit: Option<Duration>,
    /// How often a waiter asks how it stands, beside being woken by messages.
    pub poll: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a request may take; then it is repeated on a new connection.
    pub request_timeout: Duration,
    /// Bound on the drift between this clock and the server's, in millionths.
    pub drift_ppm: u32,
    /// How long before the end of its lease a holder stops, beyond the drift.
    /// `None`: 50 ms, or a twentieth of a lease shorter than a second.
    pub margin: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            retain: None,
            guarded: false,
            class: Class::ZERO,
            wait_limit: None,
            poll: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(1),
            drift_ppm: 200,
            margin: None,
        }
    }
}

impl Options {
    pub(super) fn retain_ms(&self) -> u64 {
        self.retain.map_or(0, ms)
    }

    pub(super) fn settings(&self, keys: GateKeys, config: Config) -> Settings {
        let defaults = Settings::new(keys, config);
        Settings {
            class: self.class,
            poll_ms: ms(self.poll),
            request_timeout_ms: ms(self.request_timeout),
            drift_ppm: self.drift_ppm,
            margin_ms: self.margin.map_or(defaults.margin_ms, ms),
            wait_limit_ms: self.wait_limit.map(ms),
            try_limit_ms: ms(self.connect_timeout + 3 * self.request_timeout),
            ..defaults
        }
    }
}

/// Whole milliseconds; `u64::MAX`, which is refused by name, if they do not fit.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
