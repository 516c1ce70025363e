//! `verify replay`: the same run again, on the simulator or on a real server.

use std::io::Read;
use std::path::Path;

use serde_json::json;
use sluice_sim::log::DecisionFile;
use sluice_sim::redis::Engine;

use super::{Exit, Failure, Format, ReplayArgs, audit, picture};
use crate::audit::simulator::hex;
use crate::on_redis::{self, End, own_time, stepped};
use crate::real::Stepped;
use crate::regression::{Case, Verdict};
use crate::run::{Run, Trace, Until};
use crate::scenario::{EPOCH_US, Scenario};
use crate::subject;

mod many;

/// A file of decisions is larger only if it is something else.
const FILE_MAX: u64 = 64 << 20;

/// What was run.
struct Played {
    trace: Trace,
    seed: Option<u64>,
    /// What a file says about today's code, and its line about why.
    verdict: Option<(Verdict, String)>,
}

pub(super) fn run(args: &ReplayArgs) -> Result<Exit, Failure> {
    if args.what.contains("..")
        && let Ok(seeds) = super::seeds(&args.what)
    {
        return many::run(args, seeds);
    }
    let played = match args.what.parse::<u64>() {
        Ok(seed) => from_seed(args, seed)?,
        Err(_) => from_file(args)?,
    };
    let on_redis = match &args.on {
        Some(which) => Some(on_server(which, &played.trace)?),
        None => None,
    };
    args.picture.write(&played.trace)?;
    let text = show(args, &played, on_redis.as_ref())?;
    args.output.text(&(text + "\n"))?;
    let stale = matches!(&played.verdict, Some((Verdict::Stale { .. }, _)));
    Ok(match on_redis.as_ref().map(|report| &report.end) {
        Some(End::Differs { .. }) => Exit::Violated,
        Some(End::NotReplayable { .. }) => Exit::Inconclusive,
        Some(End::Identical) | None if stale => Exit::Inconclusive,
        Some(End::Identical) | None
            if played.trace.outcome.is_clean() && played.trace.outcome.is_stuck() =>
        {
            Exit::Inconclusive
        }
        Some(End::Identical) | None if played.trace.outcome.is_clean() => Exit::Holds,
        Some(End::Identical) | None => Exit::Violated,
    })
}

fn from_seed(args: &ReplayArgs, seed: u64) -> Result<Played, Failure> {
    let subject = subject::by_name(&args.gate.subject).map_err(Failure::usage)?;
    let scenario = args.gate.scenario(&subject)?;
    let engine = Engine::new();
    let strategy = args.gate.by_seed()?.fitted(&subject, &scenario, &engine);
    let mut run = Run::new(subject, scenario, seed).by(strategy);
    if !args.to_end {
        run = run.until_violation();
    }
    Ok(Played {
        trace: run.trace(&engine),
        seed: Some(seed),
        verdict: None,
    })
}

fn from_file(args: &ReplayArgs) -> Result<Played, Failure> {
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
    let case = Case::of(file).map_err(wrong)?;
    super::sensible(&case.scenario).map_err(|failure| wrong(failure.text))?;
    let until = if args.to_end {
        Until::End
    } else {
        Until::Violation
    };
    let (trace, verdict) = case.run(until, &Engine::new());
    let note = case.file.shrunken.map_or_else(String::new, |s| s.note);
    Ok(Played {
        trace,
        seed: None,
        verdict: Some((verdict, note)),
    })
}

/// Which server of its own a run is to be repeated on, if any: that of the binary
/// at this path, or of the first on the PATH.
fn private(which: &str) -> Option<Option<&Path>> {
    match which {
        "redis" => Some(None),
        path if Path::new(path).is_file() => Some(Some(Path::new(path))),
        _ => None,
    }
}

fn on_server(which: &str, trace: &Trace) -> Result<on_redis::Report, Failure> {
    let steps = trace.timeline();
    if let Some(binary) = private(which) {
        let scenario = serde_json::from_str::<Scenario>(&trace.file.scenario);
        let start = stepped::Start {
            epoch_us: EPOCH_US,
            scripts_loaded: scenario.is_ok_and(|scenario| scenario.loads_scripts()),
            from_snapshot: trace.from_snapshot,
        };
        let server = Stepped::start(binary, start.epoch_us);
        let mut server = server.map_err(Failure::environment)?;
        let report = stepped::replay(&mut server, &steps, &trace.left, &start);
        return report.map_err(Failure::environment);
    }
    let server = audit::server(which)?;
    let setting = own_time::Setting {
        // Every key of a run begins with its hash tag.
        key_prefix: "{",
        shortest_deadline_ms: trace.shortest_deadline_ms,
    };
    own_time::replay(&server, &steps, &trace.left, &setting).map_err(Failure::environment)
}

fn show(
    args: &ReplayArgs,
    played: &Played,
    on_redis: Option<&on_redis::Report>,
) -> Result<String, Failure> {
    let Played {
        trace,
        seed,
        verdict,
    } = played;
    let outcome = &trace.outcome;
    if args.output.format() == Format::Json {
        let value = json!({
            "subject": trace.file.subject,
            "seed": seed,
            "digest": hex(outcome.digest),
            "outcome": outcome,
            "verdict": verdict.as_ref().map(|(verdict, _)| verdict.to_string()),
            "on_redis": on_redis,
        });
        return serde_json::to_string_pretty(&value).map_err(Failure::environment);
    }
    let broken = outcome.violation();
    let mut text = picture::in_terminal(trace, &args.output);
    let what = match broken {
        Some((found, violation)) => format!("{} broke at step {}", found.code, violation.step),
        None if outcome.is_stuck() => "nothing broke, but it made no progress".to_owned(),
        None => "nothing broke".to_owned(),
    };
    text += &format!(
        "\n{} in {} steps: {what}\ndigest {}",
        trace.file.subject,
        outcome.steps,
        hex(outcome.digest)
    );
    if let Some((verdict, note)) = verdict {
        text += &format!("\nthe file says: {verdict}");
        if matches!(verdict, Verdict::Stale { .. }) {
            text += "\n(the program has changed since it was written: record the run again)";
        }
        if !note.is_empty() {
            text += &format!("\nnote: {note}");
        }
    }
    if let Some(report) = on_redis {
        text += &format!("\non a real server: {report}");
    }
    Ok(text)
}
