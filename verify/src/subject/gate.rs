//! A gate of a subject: what its clients are made of, and how it is observed.

use std::sync::Arc;

use sluice_core::client::slots::{Settings, SlotsClient};
use sluice_core::client::{Client, Input, Likeness, Output};
use sluice_core::redis::{Command, Reply};
use sluice_core::script::{self, GateKeys};
use sluice_core::slots::{Config, Fence, Presence};
use sluice_core::time::LocalTime;
use sluice_sim::redis::Keyspace;
use sluice_sim::world::FaultKind;

use super::hash_gate::{self, HashGate};
use super::quirk::QuirkyClient;
use super::variant::{SlotsGate, Variant};
use super::view::{self, GateView};
use super::{Kind, Subject};

/// Which gate of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The session cap, in front.
    Sessions,
    /// The query gate, inside (R3.1).
    Queries,
}

impl Level {
    /// Its name, also that of its keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Queries => "queries",
        }
    }
}

/// One gate.
#[derive(Clone, Debug)]
pub enum Gate {
    /// A hash and a list.
    Hash(Arc<hash_gate::Settings>),
    /// The real one, or a variant of it.
    Slots(Arc<SlotsGate>),
    /// A semaphore in each process: nothing is in the store.
    InProcess(Config),
}

impl Gate {
    /// The gate of a subject at a level. `config`, `poll_ms` and `retain_ms` (0:
    /// its keys are never forgotten) say how it would be configured, as far as
    /// the subject knows such a thing.
    #[must_use]
    pub fn new(
        subject: &Subject,
        level: Level,
        config: Config,
        poll_ms: u64,
        retain_ms: u64,
    ) -> Self {
        let slots = |variant: Variant| {
            let keys = GateKeys::new("", level.name()).expect("level names are plain");
            let keys = keys.retain(retain_ms);
            let mut settings = Settings::new(keys, config);
            settings.poll_ms = poll_ms;
            settings.validate().expect("scenarios have valid settings");
            Self::of(variant, Arc::new(settings))
        };
        match (subject.kind, level) {
            (Kind::Hash(door, activation), _) => Self::Hash(Arc::new(hash_gate::Settings {
                door,
                activation,
                cap: config.capacity,
                sessions: format!("{{{}}}:active", level.name()),
                queue: format!("{{{}}}:queue", level.name()),
                poll_ms,
                retry_ms: 50,
            })),
            (Kind::PerProcess, Level::Queries) => Self::InProcess(Config {
                lease_ms: None,
                idle_ms: None,
                presence: None,
                ..config
            }),
            (Kind::PerProcess, Level::Sessions) => slots(Variant::NONE),
            (Kind::Slots(variant), _) => slots(variant),
        }
    }

    /// The real gate with these settings, with what is wrong about it.
    #[must_use]
    pub fn of(variant: Variant, mut settings: Arc<Settings>) -> Self {
        if variant.guarded {
            let settings = Arc::make_mut(&mut settings);
            settings.keys = settings.keys.clone().guarded();
        }
        Self::Slots(Arc::new(SlotsGate::new(settings, variant)))
    }

    /// A client of this gate; `None` for a semaphore that has no clients.
    #[must_use]
    pub fn client(&self, id: &str) -> Option<AnyClient> {
        match self {
            Self::Hash(settings) => Some(AnyClient::Hash(HashGate::new(settings.clone(), id))),
            Self::Slots(gate) => Some(if gate.variant.is_real() {
                let client = SlotsClient::new(gate.settings.clone(), id.as_bytes());
                AnyClient::Slots(client.expect("ids of users are plain"))
            } else {
                AnyClient::Quirky(Box::new(QuirkyClient::new(gate.clone(), id.as_bytes())))
            }),
            Self::InProcess(_) => None,
        }
    }

    /// Whether one command is one whole operation. Where it is not, order and
    /// conservation can only be judged when nobody is in the middle of one.
    #[must_use]
    pub const fn is_atomic(&self) -> bool {
        match self {
            Self::Hash(_) | Self::InProcess(_) => false,
            Self::Slots(_) => true,
        }
    }

    /// The configuration of the real gate.
    #[must_use]
    pub fn config(&self) -> Option<&Config> {
        match self {
            Self::Slots(gate) => Some(&gate.settings.config),
            Self::Hash(_) | Self::InProcess(_) => None,
        }
    }

    /// The shortest time, in milliseconds, after which the store may change
    /// something by itself; `None` if it never does.
    #[must_use]
    pub fn shortest_deadline_ms(&self) -> Option<u64> {
        let Self::Slots(gate) = self else {
            return None;
        };
        let config = &gate.settings.config;
        let presence = config.presence;
        let of_presence = |part: fn(&Presence) -> u64| presence.as_ref().map(part);
        let deadlines = [
            config.lease_ms,
            config.idle_ms,
            config.wait_timeout_ms,
            of_presence(|p| p.absent_after_ms),
            of_presence(|p| p.abandon_after_ms),
            of_presence(|p| p.claim_within_ms),
            Some(config.tombstone_ms),
        ];
        deadlines.into_iter().flatten().filter(|ms| *ms > 0).min()
    }

    /// Whether it promises to keep its cap though the server loses its last
    /// writes.
    #[must_use]
    pub fn survives_failover(&self) -> bool {
        matches!(self, Self::Slots(gate) if gate.survives(FaultKind::ServerFailover))
    }

    /// Whether it promises that though the server comes back with less than it
    /// had.
    #[must_use]
    pub fn survives_power_loss(&self) -> bool {
        matches!(self, Self::Slots(gate) if gate.survives(FaultKind::PowerLoss))
    }

    /// Whether its server may throw its keys away, against all assumptions.
    #[must_use]
    pub fn may_be_evicted(&self) -> bool {
        matches!(self, Self::Slots(gate) if gate.variant.evicts)
    }

    /// Whether a server that was replaced may serve on, against all assumptions.
    #[must_use]
    pub fn may_be_split(&self) -> bool {
        matches!(self, Self::Slots(gate) if gate.variant.splits)
    }

    /// Whether the store knows anything of this gate.
    #[must_use]
    pub const fn is_in_store(&self) -> bool {
        match self {
            Self::Hash(_) | Self::Slots(_) => true,
            Self::InProcess(_) => false,
        }
    }

    /// What the store has granted; `before` is what it had.
    #[must_use]
    pub fn observe(&self, before: &GateView, keys: &Keyspace, now_us: u64) -> GateView {
        match self {
            Self::Hash(s) => view::of_hash(
                s.sessions.as_bytes(),
                s.queue.as_bytes(),
                s.cap,
                before,
                keys,
                now_us,
            ),
            Self::Slots(s) => {
                let Settings {
                    keys: gate, config, ..
                } = &*s.settings;
                view::of_slots(gate, config.capacity, keys, now_us)
            }
            Self::InProcess(config) => GateView::empty(config.capacity),
        }
    }

    /// The gate as nobody has touched it.
    #[must_use]
    pub fn untouched(&self) -> GateView {
        GateView::empty(match self {
            Self::Hash(s) => s.cap,
            Self::Slots(s) => s.settings.config.capacity,
            Self::InProcess(config) => config.capacity,
        })
    }

    /// Whether a key is its own.
    #[must_use]
    pub fn owns(&self, key: &[u8]) -> bool {
        match self {
            Self::Hash(s) => key == s.sessions.as_bytes() || key == s.queue.as_bytes(),
            Self::Slots(s) => {
                let keys = &s.settings.keys;
                [keys.gate(), keys.line(), keys.due()]
                    .iter()
                    .any(|own| ***own == *key)
            }
            Self::InProcess(_) => false,
        }
    }

    /// What an executed command meant to this gate; `None` if it was not for it.
    #[must_use]
    pub fn read(&self, command: &Command, reply: &Reply) -> Option<Operation> {
        match self {
            Self::Hash(s) => {
                let key = command
                    .args
                    .get(if command.name() == b"EVAL" { 3 } else { 1 })?;
                (**key == *s.sessions.as_bytes() || **key == *s.queue.as_bytes()).then(|| {
                    Operation {
                        script: String::from_utf8_lossy(command.name()).into_owned(),
                        id: Vec::new(),
                        number: 0,
                        touches: false,
                        waits: true,
                        answer: String::new(),
                        done: !matches!(reply, Reply::Error(_)),
                        more: false,
                    }
                })
            }
            Self::Slots(s) => {
                let arg = |at: usize| command.args.get(at);
                if arg(3) != Some(s.settings.keys.gate()) {
                    return None;
                }
                let script = s.script(arg(1)?)?;
                let decoded = script::decode(reply).ok();
                let word = reply.as_bytes().unwrap_or_default();
                let word = word.split(|b| *b == b' ').next().unwrap_or_default();
                Some(Operation {
                    script: script.name.to_owned(),
                    id: arg(7).map_or(Vec::new(), |id| id.to_vec()),
                    number: arg(8)
                        .and_then(|n| std::str::from_utf8(n).ok()?.parse().ok())
                        .unwrap_or(0),
                    touches: arg(9).is_some_and(|touch| **touch == *b"1"),
                    waits: arg(10).is_none_or(|wait| **wait != *b"0"),
                    answer: String::from_utf8_lossy(word).into_owned(),
                    done: decoded.is_some(),
                    more: decoded.is_some_and(|r| r.more),
                })
            }
            Self::InProcess(_) => None,
        }
    }
}

/// A command, as the gate understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The script's name, or the command's.
    pub script: String,
    /// Whose place it is about, where the script says so.
    pub id: Vec<u8>,
    /// Nonce or fencing number.
    pub number: u64,
    /// A renewal that is also a sign of real use.
    pub touches: bool,
    /// A join that is willing to wait.
    pub waits: bool,
    /// The first word of a script's answer.
    pub answer: String,
    /// It was carried out (and not, say, answered by NOSCRIPT).
    pub done: bool,
    /// Housekeeping was left over.
    pub more: bool,
}

/// A client of any subject.
#[derive(Clone, Debug, Hash)]
pub enum AnyClient {
    /// Of a hash and a list.
    Hash(HashGate),
    /// The real one.
    Slots(SlotsClient),
    /// The real one, behind an adapter.
    Quirky(Box<QuirkyClient>),
}

impl AnyClient {
    /// Whether it has nothing left to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Hash(client) => client.is_outside(),
            Self::Slots(client) => client.is_idle(),
            Self::Quirky(client) => client.inner().is_idle(),
        }
    }

    /// Whether its gate promises to keep its cap though the server loses what
    /// this fault loses.
    #[must_use]
    pub fn survives(&self, loss: FaultKind) -> bool {
        match self {
            Self::Hash(_) => false,
            Self::Slots(client) => client.settings().keys.is_guarded(),
            Self::Quirky(client) => client.gate().survives(loss),
        }
    }

    /// The same client with its first attempt under this nonce.
    #[must_use]
    pub fn first_nonce(self, nonce: u64) -> Self {
        match self {
            Self::Hash(_) => self,
            Self::Slots(client) => Self::Slots(client.first_nonce(nonce)),
            Self::Quirky(client) => Self::Quirky(Box::new(client.first_nonce(nonce))),
        }
    }

    /// The nonce of its current or last attempt; 0 where there are none.
    #[must_use]
    pub fn nonce(&self) -> u64 {
        match self {
            Self::Hash(_) => 0,
            Self::Slots(client) => client.nonce(),
            Self::Quirky(client) => client.inner().nonce(),
        }
    }
}

impl Client for AnyClient {
    fn handle(&mut self, now: LocalTime, input: Input) {
        match self {
            Self::Hash(client) => client.handle(now, input),
            Self::Slots(client) => client.handle(now, input),
            Self::Quirky(client) => client.handle(now, input),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Hash(client) => client.poll_output(),
            Self::Slots(client) => client.poll_output(),
            Self::Quirky(client) => client.poll_output(),
        }
    }

    fn deadline(&self) -> Option<(LocalTime, &'static str)> {
        match self {
            Self::Hash(client) => client.deadline(),
            Self::Slots(client) => client.deadline(),
            Self::Quirky(client) => client.deadline(),
        }
    }

    fn belief(&self, now: LocalTime) -> Option<Fence> {
        match self {
            Self::Hash(client) => client.belief(now),
            Self::Slots(client) => client.belief(now),
            Self::Quirky(client) => client.belief(now),
        }
    }

    fn identity<H: Likeness>(&self, now: LocalTime, state: &mut H) {
        match self {
            Self::Hash(client) => client.identity(now, state),
            Self::Slots(client) => client.identity(now, state),
            Self::Quirky(client) => client.identity(now, state),
        }
    }
}
