//! `verify prove`: every schedule within bounds, and a certificate of it.

use std::time::Instant;

use serde_json::json;
use sha1::{Digest as _, Sha1};
use sluice_core::script;
use sluice_sim::redis::Engine;
use sluice_sim::strategy::exhaustive::Bounds;
use sluice_sim::world::{FaultKind, PerFault};

use super::progress::Progress;
use super::{Exit, Failure, Format, ProveArgs};
use crate::property::Verdict;
use crate::prove::{JUDGED, Proof, Shown};
use crate::run::Run;
use crate::scenario::Scenario;
use crate::timeline::{self, Style};
use crate::{shrink, subject};

/// What it cost, and what exactly was explored.
struct Cost {
    seconds: f64,
    peak_mb: Option<u64>,
    scripts: String,
    program: String,
}

#[expect(clippy::disallowed_methods, reason = "says how long it took")]
pub(super) fn run(args: &ProveArgs) -> Result<Exit, Failure> {
    let subject = subject::by_name(&args.subject).map_err(Failure::usage)?;
    let faults = args
        .alphabet
        .iter()
        .fold(PerFault::default(), |all, kind| all.with(*kind, 1));
    let faults = if args.faults == 0 {
        PerFault::default()
    } else {
        faults
    };
    let scenario = Scenario::proof(args.cap, args.clients, args.ops / 2, faults);
    let bounds = Bounds {
        faults: args.faults,
        clock_steps: args.clock_steps,
        states: args.states,
    };
    let known = Proof::of(subject, scenario, bounds);
    let proof = Proof {
        symmetric: !args.no_symmetry,
        reduced: !args.no_reduction,
        sleeping: !args.no_reduction,
        by_meaning: known.by_meaning && !args.exact,
        ..known
    };
    let start = Instant::now();
    let progress = Progress::start();
    let shown = proof.go(|states| {
        progress.say(&format!("{states} states"));
        true
    });
    drop(progress);
    let cost = Cost {
        seconds: start.elapsed().as_secs_f64(),
        peak_mb: peak_mb(),
        scripts: scripts(),
        program: program(),
    };
    let text = if args.output.format() == Format::Json {
        as_json(args, &proof, &shown, &cost)?
    } else {
        as_text(args, &proof, &shown, &cost)
    };
    args.output.text(&(text + "\n"))?;
    Ok(match &shown.certificate.violation {
        Some(_) => Exit::Violated,
        None if shown.holds() => Exit::Holds,
        None => Exit::Inconclusive,
    })
}

fn verdict(shown: &Shown) -> String {
    let certificate = &shown.certificate;
    match &certificate.violation {
        Some(violation) => format!("VIOLATED  {}", violation.words),
        None if shown.undeclared => {
            "INCONCLUSIVE  a script used keys that it had not declared".into()
        }
        None if certificate.complete => "HOLDS  complete: every schedule within the bounds".into(),
        None => format!("INCONCLUSIVE  given up after {} states", certificate.states),
    }
}

fn as_text(args: &ProveArgs, proof: &Proof, shown: &Shown, cost: &Cost) -> String {
    let c = &shown.certificate;
    let names: Vec<&str> = c.alphabet.iter().map(|kind| kind.name()).collect();
    let symmetry = if proof.symmetric {
        "equal clients taken as interchangeable (ids do not break ties)"
    } else {
        "every client told apart"
    };
    let reduction = if proof.reduced {
        "ends of connections first; local events first, once no fault and no time may come between; sleep sets"
    } else {
        "every order of local events"
    };
    let numbers = if proof.by_meaning {
        "order keys and fencing numbers by rank, no statistics"
    } else {
        "every number as it is"
    };
    let mut text = format!(
        "{}\n\n\
         subject      {}\n\
         bounds       {} clients, cap {}, {} operations each, {} faults, {} clock steps\n\
         faults       {}\n\
         magnitudes   a cut loses nothing or all in flight, each way; outages of one length\n\
         time         passes only to the next deadline, at any moment; bounds polls too\n\
         properties   {}, step by step; nothing about what comes about in the end\n\
         identity     64-bit hash of the state, times relative; {symmetry}\n\
         numbers      {numbers}\n\
         reduction    {reduction}\n\
         states       {} ({} ends, {} out of time), longest path {}\n\
         transitions  {}\n\
         cost         {:.1} s, peak memory {}\n\
         scripts      {}\n\
         program      {}",
        verdict(shown),
        args.subject,
        args.clients,
        args.cap,
        args.ops,
        args.faults,
        args.clock_steps,
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        },
        JUDGED.join(", "),
        c.states,
        c.ends,
        c.out_of_time,
        c.depth,
        c.transitions,
        cost.seconds,
        cost.peak_mb
            .map_or("unknown".to_owned(), |mb| format!("{mb} MB")),
        cost.scripts,
        cost.program,
    );
    if let Some(decisions) = shown.decisions() {
        text += &picture(args, proof, decisions);
    }
    text
}

/// The violation, shrunk to what matters.
fn picture(args: &ProveArgs, proof: &Proof, decisions: &[sluice_sim::log::Decision]) -> String {
    let engine = Engine::new();
    let shrunken = shrink::shrink(&proof.subject, &proof.scenario, decisions, &engine);
    let trace = shrunken.map_or_else(
        || {
            let run = Run::new(proof.subject, proof.scenario.clone(), 0).until_violation();
            run.trace_along(decisions, &engine).0
        },
        |s| s.trace,
    );
    let broken = trace
        .outcome
        .violations()
        .find_map(|found| match &found.verdict {
            Verdict::Violated(violation) => Some(violation),
            Verdict::Holds | Verdict::Inconclusive(_) => None,
        });
    let style = Style {
        colour: args.output.colour(),
        ..Style::default()
    };
    let picture = timeline::render(&trace.timeline(), &trace.names, broken, style);
    format!("\n\n{picture}")
}

fn as_json(args: &ProveArgs, proof: &Proof, shown: &Shown, cost: &Cost) -> Result<String, Failure> {
    let c = &shown.certificate;
    let names: Vec<&str> = c
        .alphabet
        .iter()
        .map(|kind: &FaultKind| kind.name())
        .collect();
    let value = json!({
        "subject": args.subject,
        "verdict": verdict(shown),
        "holds": shown.holds(),
        "bounds": {
            "clients": args.clients, "cap": args.cap, "operations": args.ops,
            "faults": args.faults, "clock_steps": args.clock_steps,
        },
        "alphabet": names,
        "properties": JUDGED,
        "symmetry": !args.no_symmetry,
        "reduction": !args.no_reduction,
        "by_meaning": proof.by_meaning,
        "states": c.states,
        "transitions": c.transitions,
        "ends": c.ends,
        "out_of_time": c.out_of_time,
        "depth": c.depth,
        "complete": c.complete,
        "seconds": cost.seconds,
        "peak_mb": cost.peak_mb,
        "scripts_sha1": cost.scripts,
        "program_sha1": cost.program,
    });
    serde_json::to_string_pretty(&value).map_err(Failure::environment)
}

/// Peak memory of this process, where the system tells.
fn peak_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kb: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kb / 1_024)
}

/// SHA-1 over all scripts, in their order.
fn scripts() -> String {
    let mut all = Sha1::new();
    for script in script::ALL {
        all.update(script.text.as_bytes());
    }
    hex(&all.finalize())
}

fn program() -> String {
    let bytes = std::env::current_exe().and_then(std::fs::read);
    bytes.map_or("unknown".to_owned(), |bytes| hex(&Sha1::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
