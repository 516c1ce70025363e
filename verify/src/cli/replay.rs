//! `verify replay`: the same run again, on the simulator or on a real server.

use std::io::Read;

use serde_json::json;
use sluice_sim::log::DecisionFile;
use sluice_sim::redis::Engine;

use super::{Exit, Failure, Format, ReplayArgs, audit};
use crate::audit::simulator::hex;
use crate::on_redis::{self, End, Setting};
use crate::property::Verdict;
use crate::run::{Run, Trace, Until};
use crate::scenario::Scenario;
use crate::strategy::Strategy;
use crate::subject;
use crate::timeline::{self, Style};

/// A file of decisions is larger only if it is something else.
const FILE_MAX: u64 = 64 << 20;
/// No workload has a deadline shorter than this: see `scenario`.
const SHORTEST_DEADLINE_MS: u64 = 800;

pub(super) fn run(args: &ReplayArgs) -> Result<Exit, Failure> {
    let (trace, seed) = match args.what.parse::<u64>() {
        Ok(seed) => (from_seed(args, seed)?, Some(seed)),
        Err(_) => (from_file(args)?, None),
    };
    if let Some(divergence) = &trace.divergence {
        return Err(Failure::usage(format!(
            "stale: {divergence:?}; the program has changed since the file was written: \
             record the run again from its seed"
        )));
    }
    let on_redis = match &args.on {
        Some(which) => Some(on_server(which, &trace)?),
        None => None,
    };
    let text = show(args, &trace, seed, on_redis.as_ref())?;
    args.output.text(&(text + "\n"))?;
    Ok(match on_redis.as_ref().map(|report| &report.end) {
        Some(End::Differs { .. }) => Exit::Violated,
        Some(End::NotReplayable { .. }) => Exit::Inconclusive,
        Some(End::Identical) | None if trace.outcome.is_clean() => Exit::Holds,
        Some(End::Identical) | None => Exit::Violated,
    })
}

fn from_seed(args: &ReplayArgs, seed: u64) -> Result<Trace, Failure> {
    let subject = subject::by_name(&args.gate.subject).map_err(Failure::usage)?;
    let scenario = args.gate.scenario(&subject)?;
    let engine = Engine::new();
    let strategy = args.gate.strategy.fitted(&subject, &scenario, &engine);
    let mut run = Run::new(subject, scenario, seed).by(strategy);
    if !args.to_end {
        run = run.until_violation();
    }
    Ok(run.trace(&engine))
}

fn from_file(args: &ReplayArgs) -> Result<Trace, Failure> {
    let name = &args.what;
    let wrong = |why: String| Failure::usage(format!("{name}: {why}"));
    let file = std::fs::File::open(name).map_err(|error| {
        wrong(format!(
            "neither a seed (a number) nor a file that can be read: {error}"
        ))
    })?;
    let mut text = String::new();
    file.take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > FILE_MAX {
        return Err(wrong(format!(
            "more than {FILE_MAX} bytes: not a decision file"
        )));
    }
    let file = DecisionFile::parse(&text).map_err(|error| wrong(error.to_string()))?;
    let subject = subject::by_name(&file.subject).map_err(|error| wrong(error.to_string()))?;
    let scenario: Scenario = serde_json::from_str(&file.scenario)
        .map_err(|error| wrong(format!("its scenario is not one of this version: {error}")))?;
    super::sensible(&scenario).map_err(|failure| wrong(failure.text))?;
    let run = Run {
        subject,
        scenario,
        seed: 0,
        strategy: Strategy::Random,
        until: if args.to_end {
            Until::End
        } else {
            Until::Violation
        },
    };
    let trace = run.repeat(file.decisions, &Engine::new());
    if trace.divergence.is_none() && trace.outcome.digest != file.digest {
        return Err(wrong(format!(
            "stale: the digest is {}, the file has {}; record the run again from its seed",
            hex(trace.outcome.digest),
            hex(file.digest)
        )));
    }
    Ok(trace)
}

fn on_server(which: &str, trace: &Trace) -> Result<on_redis::Report, Failure> {
    let server = audit::server(which)?;
    let setting = Setting {
        // Every key of a run begins with its hash tag.
        key_prefix: "{",
        shortest_deadline_ms: SHORTEST_DEADLINE_MS,
    };
    on_redis::replay(&server, &trace.timeline(), &setting).map_err(Failure::environment)
}

fn show(
    args: &ReplayArgs,
    trace: &Trace,
    seed: Option<u64>,
    on_redis: Option<&on_redis::Report>,
) -> Result<String, Failure> {
    let outcome = &trace.outcome;
    if args.output.format() == Format::Json {
        let value = json!({
            "subject": trace.file.subject,
            "seed": seed,
            "digest": hex(outcome.digest),
            "outcome": outcome,
            "on_redis": on_redis,
        });
        return serde_json::to_string_pretty(&value).map_err(Failure::environment);
    }
    let broken = outcome.violations().find_map(|found| match &found.verdict {
        Verdict::Violated(violation) => Some((found, violation)),
        Verdict::Holds | Verdict::Inconclusive(_) => None,
    });
    let style = Style {
        colour: args.output.colour(),
        ..Style::default()
    };
    let mut text = timeline::render(
        &trace.timeline(),
        &trace.names,
        broken.map(|(_, violation)| violation),
        style,
    );
    let verdict = broken.map_or("nothing broke".to_owned(), |(found, violation)| {
        format!("{} broke at step {}", found.code, violation.step)
    });
    text += &format!(
        "\n{} in {} steps: {verdict}\ndigest {}",
        trace.file.subject,
        outcome.steps,
        hex(outcome.digest)
    );
    if let Some(report) = on_redis {
        text += &format!("\non a real server: {report}");
    }
    Ok(text)
}
