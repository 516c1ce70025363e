//! `verify find`: the first seed that breaks a gate.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sluice_sim::redis::Engine;

use super::progress::Progress;
use super::{Exit, Failure, FindArgs, Format, picture};
use crate::audit::scenario_arguments;
use crate::audit::simulator::{example, hex};
use crate::faults::Tally;
use crate::find::Search;
use crate::run::Run;
use crate::strategy::{Strategy, Tactic};
use crate::{pool, shrink, subject};

/// Runs that are run again without each of their faults.
const SAMPLE: usize = 12;

pub(super) fn run(args: &FindArgs) -> Result<Exit, Failure> {
    let subject = subject::by_name(&args.gate.subject).map_err(Failure::usage)?;
    let scenario = args.gate.scenario(&subject)?;
    let seeds = args.seeds.clone().unwrap_or(0..10_000);
    let progress = Progress::start();
    let search = Search {
        subject: &subject,
        scenario: &scenario,
        strategy: args.gate.strategy,
        seeds: seeds.clone(),
        code: None,
        threads: pool::threads(),
    };
    let stuck = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let found = search.go(|seed, outcome| {
        tally.lock().expect("no run panics").add(outcome);
        stuck.fetch_add(outcome.is_stuck().into(), Ordering::Relaxed);
        if seed.is_multiple_of(16) {
            progress.say(&format!("seed {seed} of {}..{}", seeds.start, seeds.end));
        }
    });
    drop(progress);
    let json = args.output.format() == Format::Json;
    let Some(found) = found else {
        let stuck = stuck.into_inner();
        let mut tally = tally.into_inner().expect("no run panics");
        if !tally.faults.is_empty() {
            let engine = Engine::new();
            // Of a guided search, runs of the same workload at random.
            let strategy = search.strategy.by_seed().unwrap_or_default();
            let strategy = strategy.fitted(&subject, &scenario, &engine);
            for seed in seeds.clone().take(SAMPLE) {
                let run = Run::new(subject, scenario.clone(), seed).by(strategy);
                tally.compare(&run, &engine);
            }
        }
        let text = nothing(subject.name, &scenario.name, &seeds, stuck, &tally, json);
        args.output.text(&(text + "\n"))?;
        return Ok(if stuck > 0 {
            Exit::Inconclusive
        } else {
            Exit::Holds
        });
    };
    let engine = Engine::new();
    let file = &found.trace.file;
    let mut shrunken = (!args.no_shrink)
        .then(|| shrink::shrink(&subject, &scenario, &file.decisions, &engine))
        .flatten();
    let header = shrunken
        .as_mut()
        .and_then(|s| s.trace.file.shrunken.as_mut());
    if let (Some(header), Some(note)) = (header, &args.note) {
        header.note.clone_from(note);
    }
    if let Some(to) = &args.record {
        let file = shrunken.as_ref().map_or(file, |s| &s.trace.file);
        std::fs::write(to, file.to_text())
            .map_err(|error| Failure::usage(format!("cannot write {}: {error}", to.display())))?;
    }
    let Some(mut example) = example(&subject, &scenario, found.seed, &found.trace, None) else {
        return Err(Failure::environment(
            "a violation without a step: a bug of verify",
        ));
    };
    match args.gate.strategy {
        Tactic::BySeed(strategy) if strategy != Strategy::Random => {
            example.repeat += &format!(" --strategy {strategy}");
        }
        Tactic::BySeed(_) => {}
        // No seed has its run: the search leads there again, or its record.
        Tactic::Guided => {
            let Range { start, end } = seeds;
            example.repeat = format!(
                "cargo run --release -p verify -- find --subject {}{} --strategy guided --seeds \
                 {start}..{end}",
                subject.name,
                scenario_arguments(&scenario)
            );
        }
    }
    let shown = shrunken.as_ref().map_or(&found.trace, |s| &s.trace);
    args.picture.write(shown)?;
    let guided = args.gate.strategy == Tactic::Guided;
    let text = if json {
        let mut value = serde_json::to_value(&example).map_err(Failure::environment)?;
        value["shrunken"] = shrunken.as_ref().map_or(Value::Null, |s| {
            json!({
                "bug": s.bug.to_string(),
                "original": s.original,
                "shrunken": s.shrunken,
                "runs": s.tried,
                "digest": hex(s.trace.outcome.digest),
            })
        });
        serde_json::to_string_pretty(&value).map_err(Failure::environment)?
    } else {
        let picture = picture::in_terminal(shown, &args.output);
        let form = shrunken.as_ref().map_or(String::new(), |s| {
            format!(
                "from   {}\nto     {} (after {} runs)\n",
                s.original, s.shrunken, s.tried
            )
        });
        format!(
            "{} breaks {} in {}: {} {}, step {}, after {} {}\n{}\n{form}\n{picture}\ndigest {}\nagain  {}",
            subject.name,
            example.property,
            scenario.name,
            if guided { "search" } else { "seed" },
            found.seed,
            example.step,
            found.tried,
            if guided { "runs" } else { "seeds" },
            example.what,
            hex(found.trace.outcome.digest),
            example.repeat,
        )
    };
    args.output.text(&(text + "\n"))?;
    Ok(Exit::Violated)
}

/// What a search without a result says.
fn nothing(
    subject: &str,
    load: &str,
    seeds: &Range<u64>,
    stuck: u64,
    tally: &Tally,
    json: bool,
) -> String {
    let Range { start, end } = seeds;
    if json {
        let seeds = [start, end];
        return json!({
            "found": null, "subject": subject, "scenario": load, "seeds": seeds, "stuck": stuck,
            "evidence": tally,
        })
        .to_string();
    }
    let mut text = format!(
        "Nothing broke {subject} in {load}, seeds {start}..{end}. That shows that nothing was \
         found, not that there is nothing."
    );
    for sentence in tally.words() {
        text += &format!("\n{sentence}");
    }
    if stuck > 0 {
        text += &format!(
            "\n{stuck} of these runs made no progress and were stopped: what should come about \
             in the end was not judged in them."
        );
    }
    text
}
