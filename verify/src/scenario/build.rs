//! From a [`Scenario`] to a world, by way of the chooser.

use sluice_core::script;
use sluice_core::slots::{Config, Presence};
use sluice_core::time::LocalTime;
use sluice_sim::choice::{Chooser, Kind, Label};
use sluice_sim::redis::{Policy, SLOTS, Server};
use sluice_sim::world::{
    Delays, FaultKind, Faults, HostSetup, Mode, PerFault, Persistence, Setup, World,
};

use super::operator::Operator;
use super::process::Process;
use super::user::{Plan, User};
use super::{Load, Scenario};
use crate::subject::Subject;
use crate::subject::gate::{Gate, Level};

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// The server's clock at the start of every run: 2026-01-01, in microseconds.
pub const EPOCH_US: u64 = 1_767_225_600_000_000;

/// A world, ready to be stepped, and what is needed to judge it.
#[derive(Clone, Debug)]
pub struct Built {
    /// The world.
    pub world: World<Process, Server>,
    /// Its gates.
    pub gates: Vec<(Level, Gate)>,
    /// Whether its simulated time means anything.
    pub measures_latency: bool,
    /// When active and queued are read, if they are.
    pub measure_ns: Option<u64>,
    /// Faults are over and everybody has had plenty of time at this time.
    pub limit_ns: u64,
    /// A run of more steps than this makes no progress.
    pub limit_steps: u64,
}

impl Scenario {
    /// Makes a world of it.
    pub fn build(&self, subject: &Subject, chooser: &mut dyn Chooser) -> Built {
        let mut draw = Draw { chooser, count: 0 };
        let swarm = self.is_swarm();
        let (sessions, queries) = self.configs(&mut draw);
        let poll_ms = match self.load {
            Load::Burst | Load::Sustained { .. } => 1_000,
            Load::Idle => 4_000,
            Load::Swarm | Load::Repeatable => draw.between(200, 800),
            Load::Race | Load::Rush | Load::Proof { .. } => 100,
        };
        // As short as a gate may be kept: it is forgotten once nobody has come
        // for that long, and born again.
        let retain_ms = u64::from(swarm && draw.aside(0, 3) == 1);
        let gate = |level, config| Gate::new(subject, level, config, poll_ms, retain_ms);
        let mut gates = vec![(Level::Sessions, gate(Level::Sessions, sessions))];
        if let Some(config) = queries {
            gates.push((Level::Queries, gate(Level::Queries, config)));
        }
        let evicts = gates.iter().any(|(_, gate)| gate.may_be_evicted());
        let faults = match self.load {
            Load::Swarm | Load::Repeatable => {
                let survives = gates.iter().all(|(_, gate)| gate.survives_failover());
                let repeatable = self.load == Load::Repeatable;
                let never = |kind| match kind {
                    FaultKind::ServerFailover
                    | FaultKind::ServerSplit
                    | FaultKind::ServerErrors
                    | FaultKind::Eviction
                        if repeatable =>
                    {
                        true
                    }
                    FaultKind::ServerFailover => !survives,
                    FaultKind::Eviction => !evicts,
                    FaultKind::ServerSplit => !gates.iter().any(|(_, gate)| gate.may_be_split()),
                    _ => false,
                };
                let guarded = gates.iter().all(|(_, gate)| gate.survives_power_loss());
                let mut faults = swarm_faults(never, guarded, &mut draw);
                if repeatable {
                    // With so few keys a real server is never seen to load them.
                    faults.loading_ns_max = 0;
                } else if guarded {
                    faults.persistence = persistence(&mut draw);
                }
                faults
            }
            Load::Proof { faults, .. } => Faults::new(faults, 600 * S),
            Load::Burst | Load::Sustained { .. } | Load::Idle | Load::Race | Load::Rush => {
                Faults::NONE
            }
        };
        let mode = match self.load {
            Load::Burst | Load::Sustained { .. } | Load::Idle => Mode::Timed(Delays::LOCAL),
            Load::Swarm | Load::Repeatable if draw.one_in(2) => Mode::Timed(Delays::WILD),
            Load::Swarm | Load::Repeatable | Load::Proof { .. } => Mode::Adversarial,
            Load::Race | Load::Rush => Mode::Untimed,
        };
        let processes = self.processes.clamp(1, self.users.max(1));
        let mut hosts = Vec::new();
        for host in 0..processes {
            let (offset_ns, drift_ppm) = if swarm {
                let drift = draw.between(0, 200) as i32 - 100;
                (draw.between(0, 3_600) * S, drift)
            } else {
                (0, 0)
            };
            let users = (host..self.users)
                .step_by(usize::from(processes))
                .map(|n| User::new(n, self.plan(offset_ns, &mut draw)))
                .collect();
            let operator = (swarm && host == 0).then(|| operator(&gates, offset_ns, &mut draw));
            let program = Process::new(
                users,
                gates[0].1.clone(),
                gates.get(1).map(|g| g.1.clone()),
                operator.flatten(),
            );
            hosts.push(HostSetup {
                program,
                offset_ns,
                drift_ppm,
            });
        }
        let mut server = Server::new();
        if evicts {
            server.limit_memory(0, Policy::AllKeysLru);
        }
        if self.load == Load::Swarm {
            // As strict as a cluster can be: each slot on a node of its own. It
            // refuses more than a plain server does, and does nothing else.
            server.cluster(SLOTS);
        }
        if self.loads_scripts() {
            for script in script::ALL {
                server.remember_script(script.text.as_bytes());
            }
        }
        let limit_ns = match self.load {
            Load::Burst => 300 * S,
            Load::Sustained { seconds } => (u64::from(seconds) + 240) * S,
            Load::Idle => 5_400 * S,
            // Any order of events spends minutes on timeouts; the end must not
            // fall among users who are still getting on.
            Load::Swarm | Load::Repeatable => faults.until_ns + 900 * S,
            Load::Race | Load::Rush | Load::Proof { .. } => 900 * S,
        };
        Built {
            world: World::new(Setup {
                hosts,
                server,
                mode,
                faults,
                epoch_us: EPOCH_US,
            }),
            gates,
            measures_latency: self.is_timed(),
            measure_ns: (self.load == Load::Burst).then_some(8 * S),
            limit_ns,
            limit_steps: 400_000,
        }
    }

    fn is_swarm(&self) -> bool {
        matches!(self.load, Load::Swarm | Load::Repeatable)
    }

    fn configs(&self, draw: &mut Draw<'_>) -> (Config, Option<Config>) {
        let sessions = Config::session_cap(self.sessions);
        let queries = self
            .queries
            .map(|cap| Config::semaphore(cap, 60_000, 300_000));
        if !self.is_swarm() {
            return (sessions, queries);
        }
        // Small times and batches, so that everything that can happen does.
        let mut small = |config: Config| {
            let presence = Presence {
                absent_after_ms: draw.between(1_500, 4_000),
                abandon_after_ms: draw.between(5_000, 12_000),
                claim_within_ms: draw.between(800, 2_500),
            };
            Config {
                lease_ms: Some(draw.between(2_000, 6_000)),
                idle_ms: (!draw.one_in(3)).then(|| draw.between(4_000, 9_000)),
                wait_timeout_ms: draw.one_in(2).then(|| draw.between(3_000, 12_000)),
                presence: (!draw.one_in(4)).then_some(presence),
                queue_limit: if draw.one_in(4) { 2 } else { 1_000 },
                count_absent: draw.one_in(2),
                batch: draw.between(1, 4) as u32,
                tombstone_ms: 60_000,
                ..config
            }
        };
        (small(sessions), queries.map(small))
    }

    fn plan(&self, offset_ns: u64, draw: &mut Draw<'_>) -> Plan {
        let at = |ns: u64| LocalTime(offset_ns + ns);
        let calm = Plan {
            arrive: at(0),
            rounds: 1,
            gap_ns: 0,
            patience_ns: None,
            hasty: false,
            queries: 0,
            think_ns: 0,
            work_ns: 0,
            stay_ns: 0,
            hold_until: at(0),
            renamed: false,
        };
        match self.load {
            Load::Burst => Plan {
                arrive: at(draw.between(0, 20) * MS),
                queries: 2,
                think_ns: draw.between(50, 400) * MS,
                work_ns: draw.between(300, 900) * MS,
                hold_until: at(10 * S),
                ..calm
            },
            Load::Sustained { seconds } => {
                let stay_ns = draw.between(5_000, 15_000) * MS;
                Plan {
                    arrive: at(draw.between(0, 5_000) * MS),
                    rounds: (u64::from(seconds) * S / (stay_ns + S)).max(1) as u32,
                    gap_ns: draw.between(200, 1_500) * MS,
                    queries: 3,
                    think_ns: draw.between(200, 1_200) * MS,
                    work_ns: draw.between(500, 1_500) * MS,
                    stay_ns,
                    ..calm
                }
            }
            Load::Idle => Plan {
                arrive: at(draw.between(0, 1_000) * MS),
                stay_ns: 3_600 * S,
                ..calm
            },
            Load::Swarm | Load::Repeatable => Plan {
                arrive: at(draw.between(0, 4_000) * MS),
                rounds: draw.between(2, 5) as u32,
                gap_ns: draw.between(1, 1_500) * MS,
                patience_ns: draw.one_in(4).then(|| draw.between(100, 4_000) * MS),
                hasty: draw.one_in(8),
                queries: draw.between(0, 3) as u32,
                think_ns: draw.between(1, 700) * MS,
                work_ns: draw.between(1, 1_500) * MS,
                // Now and then longer than the idle time.
                stay_ns: draw.between(1, 2_500) * MS + if draw.one_in(5) { 9 * S } else { 0 },
                renamed: draw.one_in(2),
                ..calm
            },
            Load::Race => calm,
            Load::Proof { rounds, .. } => Plan { rounds, ..calm },
            Load::Rush => Plan {
                hasty: true,
                hold_until: LocalTime(u64::MAX),
                ..calm
            },
        }
    }
}

/// `never`: what no gate of the subject has to bear. `guarded`: it gives nothing
/// for a lease after its birth and after each stop of the server.
fn swarm_faults(never: impl Fn(FaultKind) -> bool, guarded: bool, draw: &mut Draw<'_>) -> Faults {
    let mut weights = PerFault::default();
    for kind in FaultKind::ALL {
        // Swarm testing (Groce et al. 2012): leave some out altogether.
        weights[kind] = match kind {
            _ if never(kind) => 0,
            FaultKind::ServerFailover
            | FaultKind::ServerSplit
            | FaultKind::ServerErrors
            | FaultKind::Eviction
            | FaultKind::PowerLoss => {
                let aside = kind as u32;
                // Who says to survive a failover mostly has to.
                let of = match kind {
                    FaultKind::ServerFailover => 4,
                    _ => 2,
                };
                match draw.aside(aside, of) {
                    0 => 0,
                    _ => 1 + draw.aside(aside + 100, 100) as u32,
                }
            }
            _ if draw.one_in(2) => draw.between(1, 100) as u32,
            _ => 0,
        };
    }
    // Losing all data is not among the things a gate promises to survive
    // unharmed; it is tried, but seldom.
    if !draw.one_in(8) {
        weights[FaultKind::ServerWipe] = 0;
    }
    let mut until_ns = draw.between(8, 25) * S;
    if guarded {
        // Or the next stop would come before there is anything to lose again.
        for kind in [
            FaultKind::ServerRestart,
            FaultKind::ServerWipe,
            FaultKind::ServerFailover,
            FaultKind::PowerLoss,
        ] {
            weights[kind] = weights[kind].div_ceil(3);
        }
        until_ns *= 2;
    }
    let mut faults = Faults::new(weights, until_ns);
    faults.outage_ns_max = draw.between(500, 8_000) * MS;
    faults
}

/// How the server keeps its data, where a gate must bear that it does not.
fn persistence(draw: &mut Draw<'_>) -> Persistence {
    match draw.aside(200, 4) {
        1 => Persistence::AofEverysec,
        2 => Persistence::Rdb {
            every_ms: 500 << draw.aside(201, 4),
        },
        3 => Persistence::None,
        _ => Persistence::AofAlways,
    }
}

fn operator(gates: &[(Level, Gate)], offset_ns: u64, draw: &mut Draw<'_>) -> Option<Operator> {
    let mut settings = Vec::new();
    let mut resizes = Vec::new();
    for (_, gate) in gates {
        let Gate::Slots(of_gate) = gate else { continue };
        let mut at = draw.between(500, 6_000) * MS;
        for _ in 0..draw.between(0, 3) {
            let most = u64::from(of_gate.settings.config.capacity) + 2;
            let capacity = draw.between(1, most) as u32;
            resizes.push((LocalTime(offset_ns + at), settings.len(), capacity));
            at += draw.between(500, 6_000) * MS;
        }
        settings.push(of_gate.clone());
    }
    resizes.sort_unstable();
    let sweep_ns = draw.between(500, 2_000) * MS;
    (!settings.is_empty())
        .then(|| Operator::new(settings, resizes, LocalTime(offset_ns + sweep_ns), sweep_ns))
}

/// Numbers of the setup, each a labelled decision.
struct Draw<'a> {
    chooser: &'a mut dyn Chooser,
    count: u32,
}

impl Draw<'_> {
    fn between(&mut self, least: u64, most: u64) -> u64 {
        let label = Label::new(Kind::Setup, Label::SERVER, 0, self.count);
        self.count += 1;
        least + self.chooser.draw(label, most - least + 1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.between(1, n) == 1
    }

    /// A number below `n` with a label of its own: what was not always drawn
    /// stands aside, so that recorded files without it mean what they meant.
    fn aside(&mut self, which: u32, n: u64) -> u64 {
        let label = Label::new(Kind::Setup, Label::SERVER, 1, which);
        self.chooser.draw(label, n)
    }
}
