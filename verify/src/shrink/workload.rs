//! The smallest workload that still shows a bug.

use sluice_sim::log::Decision;
use sluice_sim::redis::Engine;

use super::Goal;
use crate::run::Run;
use crate::scenario::{Load, Scenario};
use crate::strategy::Strategy;
use crate::subject::Subject;

/// Seeds for each workload of a race, and for each strategy.
const SEEDS_RACE: u64 = 24;
/// The same where faults and times are drawn too, so that a run costs more and
/// shows less.
const SEEDS_SWARM: u64 = 60;
/// Races of more clients than this are not gone through cap by cap.
const CLIENTS_MAX: u16 = 6;

/// Looks for smaller workloads with a bug.
pub(super) struct Seeker<'a> {
    pub(super) subject: &'a Subject,
    pub(super) goal: &'a Goal,
    pub(super) engine: &'a Engine,
    /// Enough is enough.
    pub(super) stop: &'a dyn Fn() -> bool,
    /// Runs so far.
    pub(super) tried: u64,
}

/// Smaller forms of a workload, the smallest first.
type Smaller = dyn Fn(&Scenario) -> Vec<Scenario>;

impl Seeker<'_> {
    /// The first workload, in the order of size, in which a short search meets
    /// the bug, and the decisions of that run. `None` if none smaller than the
    /// given one does, or it was stopped before.
    pub(super) fn smallest(&mut self, scenario: &Scenario) -> Option<(Scenario, Vec<Decision>)> {
        match scenario.load {
            Load::Race | Load::Rush => {
                let all = |clients: u16| 1..=u32::from(clients).min(scenario.sessions);
                let sized = |cap, clients| match scenario.load {
                    Load::Rush => Scenario::rush(cap, clients),
                    _ => Scenario::race(cap, clients),
                };
                (1..=scenario.users.min(CLIENTS_MAX))
                    .flat_map(|clients| all(clients).map(move |cap| (cap, clients)))
                    .take_while(|size| *size != (scenario.sessions, scenario.users))
                    .find_map(|(cap, clients)| self.search(sized(cap, clients), SEEDS_RACE))
            }
            Load::Swarm | Load::Repeatable => self.swarm(scenario),
            // Their times are their meaning: they keep their size.
            Load::Burst | Load::Sustained { .. } | Load::Idle | Load::Proof { .. } => None,
        }
    }

    /// One parameter after the other, each as far down as it goes.
    fn swarm(&mut self, scenario: &Scenario) -> Option<(Scenario, Vec<Decision>)> {
        let mut best: Option<(Scenario, Vec<Decision>)> = None;
        let steps: [&Smaller; 4] = [
            &|s| {
                let with = |users: u16| Scenario {
                    users,
                    processes: s.processes.min(users),
                    ..s.clone()
                };
                (1..s.users).map(with).collect()
            },
            &|s| {
                let with = |processes| Scenario {
                    processes,
                    ..s.clone()
                };
                (1..s.processes).map(with).collect()
            },
            &|s| {
                let with = |sessions| Scenario {
                    sessions,
                    ..s.clone()
                };
                (1..s.sessions).map(with).collect()
            },
            &|s| {
                let fewer = s.queries.into_iter().flat_map(|q| 1..q).map(Some);
                let none = s.queries.map(|_| None);
                let with = |queries| Scenario {
                    queries,
                    ..s.clone()
                };
                none.into_iter().chain(fewer).map(with).collect()
            },
        ];
        for smaller in steps {
            let from = best.as_ref().map_or(scenario, |(s, _)| s).clone();
            let found = smaller(&from)
                .into_iter()
                .find_map(|s| self.search(s, SEEDS_SWARM));
            best = found.or(best);
        }
        best
    }

    /// A run of this workload with the bug, from fixed seeds.
    fn search(&mut self, scenario: Scenario, seeds: u64) -> Option<(Scenario, Vec<Decision>)> {
        for strategy in [
            Strategy::Random,
            Strategy::Pos,
            Strategy::Pct { depth: 3, steps: 0 },
        ] {
            let strategy = strategy.fitted(self.subject, &scenario, self.engine);
            for seed in 0..seeds {
                if (self.stop)() {
                    return None;
                }
                let run = Run {
                    until: self.goal.until(),
                    ..Run::new(*self.subject, scenario.clone(), seed).by(strategy)
                };
                self.tried += 1;
                if self.goal.bug(&run.go(self.engine)).is_some() {
                    return Some((scenario, run.trace(self.engine).file.decisions));
                }
            }
        }
        None
    }
}
