//! Bring your own: puts somebody's Redis code on trial in a few lines (R6.13).
//!
//! The code is an `async fn` over [`Redis`] and the scripts it sends; what must
//! hold is a closure over what can be seen. A [`Trial`] runs so many clients of
//! it against the simulated Redis, in every order that its strategies come up
//! with, shrinks what breaks, and draws it. Step by step:
//! `docs/bring-your-own.md`.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::process::ExitCode;

use sluice_core::redis::Command;
use sluice_sim::brought::{AsyncProgram, Simulated};
use sluice_sim::choice::Chooser;
use sluice_sim::log::Decision;
use sluice_sim::redis::{Engine, Keyspace, Server};
use sluice_sim::strategy::{Follow, Pct, Pos, Random, Recorder};
use sluice_sim::world::{Faults, HostSetup, Mode, Setup, World};

use crate::timeline::{self, Names, Step, Style};
use crate::{pool, shrink};

pub use sluice_core::redis::Reply;
pub use sluice_sim::brought::Redis;

/// The server's clock at the start: 2026-01-01, in microseconds.
const EPOCH_US: u64 = 1_767_225_600_000_000;
/// A run of more steps than this has gone on for long enough.
const STEPS_MAX: u64 = 5_000;
/// Seeds for each smaller number of clients, when shrinking.
const SEEDS_SMALLER: u64 = 60;

/// `EVAL` of a script with these keys; add its arguments with
/// [`Command::arg`].
#[must_use]
pub fn eval(script: &str, keys: &[&str]) -> Command {
    let command = Command::new("EVAL").arg(script).num(keys.len() as u64);
    keys.iter().fold(command, |command, key| command.arg(key))
}

/// What an invariant may look at, after every step.
#[derive(Debug)]
pub struct Scene<'a> {
    world: &'a World<AsyncProgram, Server>,
}

impl Scene<'_> {
    /// How many clients are between [`Redis::enter`] and [`Redis::leave`].
    #[must_use]
    pub fn inside(&self) -> usize {
        let hosts = 0..self.world.hosts() as u16;
        hosts
            .filter(|host| self.world.program(*host).is_inside())
            .count()
    }

    /// The server's data. Its readers take [`Scene::now_us`].
    #[must_use]
    pub fn keys(&self) -> &Keyspace {
        self.world.server().keyspace()
    }

    /// The server's clock, in microseconds since 1970.
    #[must_use]
    pub const fn now_us(&self) -> u64 {
        self.world.server_time_us()
    }
}

type Make = dyn Fn(Simulated, u16) -> AsyncProgramFuture + Sync;
type AsyncProgramFuture = std::pin::Pin<Box<dyn Future<Output = ()>>>;
type Holds = dyn Fn(&Scene<'_>) -> bool + Sync;

/// Code on trial.
pub struct Trial {
    clients: u16,
    seeds: Range<u64>,
    make: &'static Make,
    words: String,
    holds: Box<Holds>,
}

/// What broke it.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The first seed that broke it.
    pub seed: u64,
    /// Clients it took then, and after shrinking.
    pub clients: (u16, u16),
    /// Decisions of the run then, and those that matter.
    pub decisions: (usize, usize),
    /// The step at which it broke, after shrinking.
    pub step: u64,
    /// What broke.
    pub words: String,
    steps: Vec<Step>,
    names: Names,
}

impl Trial {
    /// So many clients of this code; `client` gets the number of each, from 0.
    pub fn new<F>(clients: u16, client: impl Fn(Simulated, u16) -> F + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        Self {
            clients,
            seeds: 0..10_000,
            // One trial per process: it may as well live as long.
            make: Box::leak(Box::new(move |redis, n| Box::pin(client(redis, n)) as _)),
            words: "nothing was asked".to_owned(),
            holds: Box::new(|_| true),
        }
    }

    /// What must hold after every step, in words and as a test.
    #[must_use]
    pub fn invariant(
        mut self,
        words: impl Into<String>,
        holds: impl Fn(&Scene<'_>) -> bool + Sync + 'static,
    ) -> Self {
        self.words = words.into();
        self.holds = Box::new(holds);
        self
    }

    /// Which seeds to search.
    #[must_use]
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// Searches on all cores and shrinks what it finds. `None`: nothing was
    /// found, which does not mean that there is nothing.
    #[must_use]
    pub fn search(&self) -> Option<Broken> {
        let (seed, ()) = pool::first(self.seeds.clone(), pool::threads(), |engine, seed| {
            self.breaks(self.clients, engine, &mut *chooser(seed))
        })?;
        let engine = Engine::new();
        let (clients, decisions) = self.record(self.clients, seed, &engine)?;
        let all = decisions.len();
        let smaller = (1..self.clients).find_map(|clients| {
            (0..SEEDS_SMALLER).find_map(|seed| self.record(clients, seed, &engine))
        });
        let (clients, decisions) = smaller.unwrap_or((clients, decisions));
        let decisions = shrink::least_decisions(&decisions, |decisions| {
            let mut follow = Follow::new(decisions.to_vec());
            self.breaks(clients, &engine, &mut follow).is_some()
        });
        let mut follow = Follow::new(decisions.clone());
        let mut steps = Vec::new();
        self.run(clients, &engine, &mut follow, |step| steps.push(step))?;
        let names = (0..clients).map(|host| {
            let actor = sluice_sim::world::ActorId { host, actor: 0 };
            (actor, format!("c{host}"))
        });
        Some(Broken {
            seed,
            clients: (self.clients, clients),
            decisions: (all, decisions.len()),
            step: steps.last().map_or(0, |step: &Step| step.step),
            words: self.words.clone(),
            steps,
            names: names.collect(),
        })
    }

    /// Searches and prints what it found. Exit code 1 if it broke, 0 if not.
    pub fn main(&self) -> ExitCode {
        match self.search() {
            Some(broken) => {
                println!("{broken}");
                ExitCode::from(1)
            }
            None => {
                let Range { start, end } = self.seeds;
                println!("Nothing broke \"{}\" in seeds {start}..{end}.", self.words);
                ExitCode::SUCCESS
            }
        }
    }

    fn record(&self, clients: u16, seed: u64, engine: &Engine) -> Option<(u16, Vec<Decision>)> {
        let mut recorder = Recorder::new(chooser(seed));
        self.breaks(clients, engine, &mut recorder)?;
        Some((clients, recorder.into_decisions()))
    }

    fn breaks(&self, clients: u16, engine: &Engine, chooser: &mut dyn Chooser) -> Option<()> {
        self.run(clients, engine, chooser, |_| {})
    }

    /// `Some` if the invariant broke.
    fn run(
        &self,
        clients: u16,
        engine: &Engine,
        chooser: &mut dyn Chooser,
        mut keep: impl FnMut(Step),
    ) -> Option<()> {
        let make = self.make;
        let host = |n| HostSetup::new(AsyncProgram::new(move |redis| make(redis, n)));
        let mut world = World::new(Setup {
            hosts: (0..clients).map(host).collect(),
            server: Server::new(),
            mode: Mode::Adversarial,
            faults: Faults::NONE,
            epoch_us: EPOCH_US,
        });
        while world.steps() < STEPS_MAX {
            let happenings = world.step(engine, chooser)?.to_vec();
            for what in happenings {
                keep(Step {
                    step: world.steps(),
                    at_ns: world.now(),
                    what,
                    state: None,
                });
            }
            if !(self.holds)(&Scene { world: &world }) {
                return Some(());
            }
        }
        None
    }
}

/// Every third seed by another strategy.
fn chooser(seed: u64) -> Box<dyn Chooser> {
    match seed % 3 {
        0 => Box::new(Random::new(seed)),
        1 => Box::new(Pos::new(seed)),
        _ => Box::new(Pct::new(seed, 3, 60)),
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial")
            .field("clients", &self.clients)
            .field("invariant", &self.words)
            .finish_non_exhaustive()
    }
}

/// The picture, for a terminal without colour.
impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, (clients, fewer)) = (self.seed, self.clients);
        let (all, decisions) = self.decisions;
        writeln!(
            f,
            "seed {seed} breaks it with {clients} clients and {all} decisions;\n\
             {fewer} clients and {decisions} decisions are enough:\n"
        )?;
        let style = Style::default();
        f.write_str(&timeline::render(&self.steps, &self.names, None, style))?;
        write!(f, "✗ step {}: not \"{}\"", self.step, self.words)
    }
}
