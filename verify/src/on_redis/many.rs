//! Random runs repeated on a real server on the simulated clock, by the thousand.
//!
//! Each run is recorded as a decision file, read back from its text, and played
//! again to the letter; what that shows is repeated on the server. So a file
//! that says less than the run did would be found here, too.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use sluice_sim::log::DecisionFile;
use sluice_sim::redis::Engine;
use sluice_sim::world::Happening;

use super::stepped::{self, Start};
use super::{BrokenOff, End, Report};
use crate::pool;
use crate::real::{NoClock, Stepped};
use crate::regression::Case;
use crate::run::{Run, Trace, Until};
use crate::scenario::{EPOCH_US, Scenario};
use crate::strategy::Strategy;
use crate::subject::Subject;

/// Differences and reasons of which the first seeds are kept.
const SEEDS_MAX: usize = 5;

/// What repeating the runs of one subject showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Whose runs.
    pub subject: String,
    /// How many.
    pub runs: u64,
    /// Of these, repeated to their end without a difference.
    pub identical: u64,
    /// Steps of the runs, as far as they were repeated.
    pub steps: u64,
    /// Replies that were the same.
    pub replies: u64,
    /// Of these, errors that were the same but for the words.
    pub other_words: u64,
    /// Messages that were the same.
    pub messages: u64,
    /// Keys that were the same in the end.
    pub keys: u64,
    /// Leases, waits and presences that ran out in the runs.
    pub ran_out: u64,
    /// What happened in the runs besides, by name: cuts, crashes …
    pub happened: BTreeMap<&'static str, u64>,
    /// Runs with a difference.
    pub differing: u64,
    /// The first of these: seed and report.
    pub differences: Vec<(u64, Report)>,
    /// Runs that could not be repeated to their end, by reason, with the first
    /// seeds.
    pub not_replayable: BTreeMap<String, (u64, Vec<u64>)>,
}

/// Why runs were not repeated.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// There is no server.
    #[error(transparent)]
    Missing(#[from] NoClock),
    /// It stopped answering.
    #[error("seed {seed}: {why}")]
    Off {
        /// In which run.
        seed: u64,
        /// What happened.
        why: BrokenOff,
    },
    /// A decision file did not say what its run did.
    #[error("seed {seed}: the decision file does not repeat its run: {why}")]
    File {
        /// Of which run.
        seed: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// Private servers, as many as are needed at once.
#[derive(Debug)]
pub struct Servers {
    binary: PathBuf,
    idle: Mutex<Vec<Stepped>>,
}

impl Servers {
    /// Of the binary at this path, or of the first one on the PATH. Starts one.
    ///
    /// # Errors
    /// As [`Stepped::start`].
    pub fn new(binary: Option<&Path>) -> Result<Self, NoClock> {
        Stepped::start(binary, EPOCH_US).map(Self::like)
    }

    /// This one, and others of its binary.
    #[must_use]
    pub fn like(server: Stepped) -> Self {
        Self {
            binary: server.binary().to_owned(),
            idle: Mutex::new(vec![server]),
        }
    }

    /// What they are.
    #[must_use]
    pub fn describe(&self) -> String {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.first().map_or_else(String::new, Stepped::describe)
    }

    /// Repeats a run on one of them.
    ///
    /// # Errors
    /// If there is no server, or it stops answering: it is not used again.
    pub fn replay(&self, seed: u64, trace: &Trace, start: &Start) -> Result<Report, Broken> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let known = idle().pop();
        let mut server = match known {
            Some(server) => server,
            None => Stepped::start(Some(&self.binary), start.epoch_us)?,
        };
        let report = stepped::replay(&mut server, &trace.timeline(), &trace.left, start);
        let report = report.map_err(|why| Broken::Off { seed, why })?;
        idle().push(server);
        Ok(report)
    }
}

/// Repeats the runs of these seeds. `each` hears of every seed that is done, in
/// any order.
///
/// # Errors
/// [`Broken`], for the first seed that cannot be judged.
pub fn replay(
    servers: &Servers,
    subject: &Subject,
    scenario: &Scenario,
    strategy: Strategy,
    seeds: Range<u64>,
    each: impl Fn(u64) + Sync,
) -> Result<Tally, Broken> {
    let results: Vec<Result<Tally, Broken>> = pool::each(seeds, pool::threads(), |engine, seed| {
        let run = Run::new(*subject, scenario.clone(), seed).by(strategy);
        let trace = from_file(&run, engine)?;
        let start = Start {
            epoch_us: EPOCH_US,
            scripts_loaded: scenario.loads_scripts(),
            from_snapshot: trace.from_snapshot,
        };
        let report = servers.replay(seed, &trace, &start)?;
        each(seed);
        Ok(Tally::of(seed, &trace, report))
    });
    let mut tally = Tally {
        subject: subject.name.to_owned(),
        ..Tally::default()
    };
    for result in results {
        tally.add(result?);
    }
    Ok(tally)
}

/// The run, as a file of its decisions tells it.
fn from_file(run: &Run, engine: &Engine) -> Result<Trace, Broken> {
    let seed = run.seed;
    let broken = |why: String| Broken::File { seed, why };
    let recorded = run.trace(engine);
    let file = DecisionFile::parse(&recorded.file.to_text()).map_err(|e| broken(e.to_string()))?;
    let (trace, _) = Case::of(file).map_err(broken)?.run(Until::End, engine);
    let (then, now) = (recorded.outcome.digest, trace.outcome.digest);
    if then != now {
        return Err(broken(format!(
            "its digest is {now:016x}, and not {then:016x}"
        )));
    }
    Ok(trace)
}

impl Tally {
    /// Of one run.
    fn of(seed: u64, trace: &Trace, report: Report) -> Self {
        let last = match &report.end {
            End::Identical => u64::MAX,
            End::Differs { step, .. } | End::NotReplayable { step, .. } => *step,
        };
        let mut tally = Self {
            runs: 1,
            replies: report.equal,
            other_words: report.other_words,
            messages: report.messages,
            keys: report.keys,
            ..Self::default()
        };
        for step in trace.steps.iter().take_while(|step| step.number < last) {
            tally.steps += 1;
            tally.ran_out += u64::from(step.ran_out);
            for name in step.happenings.iter().filter_map(name) {
                *tally.happened.entry(name).or_default() += 1;
            }
        }
        match &report.end {
            End::Identical => tally.identical = 1,
            End::Differs { .. } => {
                tally.differing = 1;
                tally.differences.push((seed, report));
            }
            End::NotReplayable { why, .. } => {
                let runs = (1, vec![seed]);
                tally.not_replayable.insert(why.clone(), runs);
            }
        }
        tally
    }

    /// Takes in the runs of greater seeds.
    fn add(&mut self, more: Self) {
        self.runs += more.runs;
        self.identical += more.identical;
        self.steps += more.steps;
        self.replies += more.replies;
        self.other_words += more.other_words;
        self.messages += more.messages;
        self.keys += more.keys;
        self.ran_out += more.ran_out;
        for (name, times) in more.happened {
            *self.happened.entry(name).or_default() += times;
        }
        self.differing += more.differing;
        self.differences.extend(more.differences);
        self.differences.truncate(SEEDS_MAX);
        for (why, (runs, seeds)) in more.not_replayable {
            let known = self.not_replayable.entry(why).or_default();
            known.0 += runs;
            known.1.extend(seeds);
            known.1.truncate(SEEDS_MAX);
        }
    }
}

/// What counts of what happened.
const fn name(what: &Happening) -> Option<&'static str> {
    Some(match what {
        Happening::Cut { .. } => "cuts",
        Happening::Crashed { .. } => "client crashes",
        Happening::Paused { .. } => "pauses",
        Happening::Stalled { .. } => "stalls",
        Happening::Partitioned { .. } => "partitions",
        Happening::ClockStepped { .. } => "client clock steps",
        Happening::ServerClockStepped { .. } => "server clock steps",
        Happening::ScriptsFlushed => "script flushes",
        Happening::ServerStopped { .. } => "server restarts",
        _ => return None,
    })
}
