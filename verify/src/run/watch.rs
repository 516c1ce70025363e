//! A run under observation: steps, properties, figures.

use hdrhistogram::Histogram;
use sluice_sim::choice::Chooser;
use sluice_sim::redis::{Engine, Server};
use sluice_sim::strategy::Replay;
use sluice_sim::world::{ActorId, FaultKind, Happening, Persistence, World};

use super::{Ended, Latency, Outcome, Step, Until};
use crate::faults::Fired;
use crate::on_redis::left::Left;
use crate::property::{
    self, Bounds, Broken, Finding, GateMoment, Moment, Property, Verdict, Violation,
};
use crate::scenario::Built;
use crate::scenario::process::Process;
use crate::subject::gate::Level;
use crate::timeline::Names;

/// Keeps polling users from running for ever after everybody is through, and
/// gives the last slots the time to come back.
const AFTER_ALL_NS: u64 = 30_000_000_000;

pub(super) struct Watch {
    built: Built,
    gates: Vec<GateMoment>,
    properties: Vec<Judged>,
    bounds: Bounds,
    figures: Figures,
    all_through_at: Option<u64>,
}

type Judged = (Box<dyn Property>, Option<Violation>);

/// What is counted.
struct Figures {
    latency: Histogram<u64>,
    measured: Option<(u64, u64)>,
    sessions_max: u64,
    queries_max: u64,
    joins: u64,
}

impl Watch {
    pub(super) fn new(built: Built) -> Self {
        let gates = built
            .gates
            .iter()
            .map(|(level, gate)| {
                let empty = gate.untouched();
                GateMoment::new(*level, gate.clone(), empty.clone(), empty, None)
            })
            .collect();
        Self {
            built,
            gates,
            properties: property::all().into_iter().map(|p| (p, None)).collect(),
            bounds: Bounds::default(),
            figures: Figures {
                latency: Histogram::new(3).expect("three digits are few enough"),
                measured: None,
                sessions_max: 0,
                queries_max: 0,
                joins: 0,
            },
            all_through_at: None,
        }
    }

    /// What people call the clients.
    pub(super) fn names(&self) -> Names {
        let world = &self.built.world;
        (0..world.hosts() as u16)
            .flat_map(|host| {
                let names = world.program(host).actor_names();
                names.map(move |(actor, name)| (ActorId { host, actor }, name))
            })
            .collect()
    }

    /// Of all its gates, [`Gate::shortest_deadline_ms`](crate::subject::gate::Gate).
    pub(super) fn shortest_deadline_ms(&self) -> Option<u64> {
        let gates = self.built.gates.iter();
        gates
            .filter_map(|(_, gate)| gate.shortest_deadline_ms())
            .min()
    }

    /// The keys that are there now.
    pub(super) fn left(&self, engine: &Engine) -> Left {
        let world = &self.built.world;
        Left::of(world.server(), engine, world.server_time_us())
    }

    /// Whether the server reads its keys from a snapshot when it restarts.
    pub(super) fn keeps_snapshots(&self) -> bool {
        matches!(
            self.built.world.faults().persistence,
            Persistence::Rdb { .. }
        )
    }

    /// Steps until the end. `stop` is asked before every step. Where only one
    /// property is asked for, no other is judged.
    pub(super) fn run(
        &mut self,
        engine: &Engine,
        chooser: &mut dyn Chooser,
        until: Until,
        mut keep: impl FnMut(u64, &Moment<'_>),
        mut stop: impl FnMut() -> bool,
    ) -> Outcome {
        self.judge_only(until);
        let end = loop {
            if stop() {
                break Ended::Stopped;
            }
            if let Some(end) = self.step(engine, chooser, until, &mut keep) {
                break end;
            }
        };
        self.outcome(end)
    }

    fn judge_only(&mut self, until: Until) {
        if let Until::Breaks(name) = until {
            let named = |p: &dyn Property| property::is(p.code(), p.meaning(), name);
            self.properties.retain(|(p, _)| named(&**p));
        }
    }

    /// Steps for as long as the replay has answers.
    pub(super) fn repeat(
        &mut self,
        engine: &Engine,
        replay: &mut Replay,
        until: Until,
        steps: &mut Vec<Step>,
    ) -> Outcome {
        self.judge_only(until);
        let end = loop {
            let mut keep = |number, moment: &Moment<'_>| steps.push(Step::of(number, moment));
            let end = self.step(engine, replay, until, &mut keep);
            if replay.divergence().is_some() {
                break Ended::Stopped;
            }
            if let Some(end) = end {
                break end;
            }
        };
        self.outcome(end)
    }

    fn step(
        &mut self,
        engine: &Engine,
        chooser: &mut dyn Chooser,
        until: Until,
        keep: &mut dyn FnMut(u64, &Moment<'_>),
    ) -> Option<Ended> {
        if self.built.world.step(engine, chooser).is_none() {
            return Some(Ended::Judged);
        }
        let world = &self.built.world;
        let (number, now, happenings) = (world.steps(), world.now(), world.happenings());
        if self.built.measure_ns.is_some_and(|at| at <= now) && self.figures.measured.is_none() {
            let sessions = &self.gates[0].after;
            let counts = (sessions.held.len() as u64, sessions.waiting.len() as u64);
            self.figures.measured = Some(counts);
        }
        self.bounds.note(happenings, world);
        observe(&mut self.gates, world);
        let moment = Moment::new(world, &self.gates, happenings, &self.bounds);
        keep(number, &moment);
        self.figures.count(&moment);
        let broke = judge(&mut self.properties, &moment, number, false);
        self.finished(now, broke, until)
    }

    fn finished(&mut self, now: u64, broke: bool, until: Until) -> Option<Ended> {
        let world = &self.built.world;
        let enough = match until {
            Until::End => false,
            Until::Violation | Until::Breaks(_) => broke,
        };
        if enough {
            return Some(Ended::Stopped);
        }
        if now > self.built.limit_ns {
            return Some(Ended::Judged);
        }
        if world.steps() >= self.built.limit_steps {
            return Some(Ended::Stuck);
        }
        let through = world.healed()
            && (0..world.hosts() as u16).all(|h| world.is_up(h) && world.program(h).is_done());
        if !through {
            self.all_through_at = None;
            return None;
        }
        let since = *self.all_through_at.get_or_insert(now);
        let empty = self.gates.iter().all(|g| g.after.is_empty());
        (empty || now - since > AFTER_ALL_NS).then_some(Ended::Judged)
    }

    fn outcome(&mut self, end: Ended) -> Outcome {
        let steps = self.built.world.steps();
        if end == Ended::Judged && self.built.world.healed() {
            let moment = Moment::new(&self.built.world, &self.gates, &[], &self.bounds);
            judge(&mut self.properties, &moment, steps, true);
        }
        let findings = self
            .properties
            .iter()
            .map(|(p, v)| finding(&**p, v, end))
            .collect();
        let world = &self.built.world;
        let sessions = &self.gates[0].after;
        let queued = sessions.waiting.len() + sessions.absent.len();
        let mut requests = (0, 0);
        for host in 0..world.hosts() as u16 {
            for seat in world.program(host).seats() {
                let tally = seat.user.tally;
                requests.0 += tally.asked;
                requests.1 += tally.asked - tally.open();
            }
        }
        Outcome {
            ended: end,
            findings,
            steps,
            faults: FaultKind::ALL
                .iter()
                .map(|kind| Fired {
                    kind: kind.name(),
                    configured: world.faults().any() && world.faults().weights[*kind] > 0,
                    times: u64::from(world.fired()[*kind]),
                })
                .collect(),
            joins: self.figures.joins,
            digest: world.digest(),
            elapsed_ms: world.now() / 1_000_000,
            measured: self.figures.measured,
            end: (sessions.held.len() as u64, queued as u64),
            sessions_max: self.figures.sessions_max,
            queries_max: self.figures.queries_max,
            requests,
            latency: self
                .built
                .measures_latency
                .then(|| latency(&self.figures.latency)),
        }
    }
}

impl Figures {
    fn count(&mut self, moment: &Moment<'_>) {
        for happening in moment.happenings {
            if let Happening::Delivered { sent_ns, .. } = happening {
                let micros = (moment.now_ns - sent_ns) / 1_000;
                self.latency.saturating_record(micros);
            }
        }
        for gate in moment.gates {
            let new = gate
                .joined()
                .filter(|p| !gate.before.transit.contains(&p.id));
            self.joins += new.count() as u64;
            match gate.level {
                Level::Sessions => {
                    self.sessions_max = self.sessions_max.max(gate.after.held.len() as u64);
                }
                Level::Queries if moment.begins() => {
                    let working = moment.acting(Level::Queries).len() as u64;
                    self.queries_max = self.queries_max.max(working);
                }
                Level::Queries => {}
            }
        }
    }
}

/// Reads what the store has granted.
fn observe(gates: &mut [GateMoment], world: &World<Process, Server>) {
    let (keys, now_us) = (world.server().keyspace(), world.server_time_us());
    for gate in gates {
        gate.rest();
        for happening in world.happenings() {
            match happening {
                Happening::Executed {
                    who,
                    command,
                    reply,
                    ..
                } => {
                    let Some(operation) = gate.gate.read(command, reply) else {
                        continue;
                    };
                    gate.before = std::mem::take(&mut gate.after);
                    gate.after = gate.gate.observe(&gate.before, keys, now_us);
                    if operation.script == "LREM" {
                        // Left the queue by itself: popped by nobody.
                        let left = command.args.get(3);
                        gate.after.transit.retain(|id| Some(id) != left);
                    }
                    gate.operation = Some((*who, operation));
                }
                Happening::ServerStopped { .. } | Happening::ServerSplit { .. } => {
                    let capacity = gate.after.capacity;
                    let held = gate.after.held.iter().map(|place| place.fence);
                    gate.held_lost.push(held.collect());
                    gate.after = gate.gate.observe(&gate.gate.untouched(), keys, now_us);
                    gate.capacity_lost = gate.capacity_lost.max(capacity);
                    gate.before = gate.after.clone();
                }
                _ => {}
            }
        }
    }
}

/// Asks every property that has not broken yet. Whether any broke now.
fn judge(properties: &mut [Judged], moment: &Moment<'_>, step: u64, at_the_end: bool) -> bool {
    let mut broke = false;
    for (property, violation) in properties {
        if violation.is_some() {
            continue;
        }
        let result = if at_the_end {
            property.finish(moment)
        } else {
            property.watch(moment)
        };
        if let Err(Broken { level, words }) = result {
            let gate = moment.gates.iter().find(|g| g.level == level);
            let gate = gate.unwrap_or(&moment.gates[0]);
            broke = true;
            *violation = Some(Violation {
                step,
                words,
                before: gate.before.words(),
                after: gate.after.words(),
            });
        }
    }
    broke
}

fn finding(property: &dyn Property, violation: &Option<Violation>, end: Ended) -> Finding {
    let verdict = match (violation, end) {
        (Some(violation), _) => Verdict::Violated(violation.clone()),
        (None, Ended::Stuck) => {
            Verdict::Inconclusive("the run made no progress and was stopped".into())
        }
        (None, _) if property.premises() == 0 => {
            Verdict::Inconclusive("what it is about never came up".into())
        }
        (None, _) => Verdict::Holds,
    };
    Finding {
        code: property.code(),
        meaning: property.meaning(),
        title: property.title(),
        verdict,
        premises: property.premises(),
    }
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    Latency {
        count: histogram.len(),
        mean_us: histogram.mean(),
        p50_us: histogram.value_at_quantile(0.5),
        p95_us: histogram.value_at_quantile(0.95),
        p99_us: histogram.value_at_quantile(0.99),
        max_us: histogram.max(),
    }
}
