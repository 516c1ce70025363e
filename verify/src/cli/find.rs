//! `verify find`: the first seed that breaks a gate.

use serde_json::json;

use super::progress::Progress;
use super::{Exit, Failure, FindArgs, Format};
use crate::audit::simulator::{example, hex};
use crate::find::Search;
use crate::property::Verdict;
use crate::strategy::Strategy;
use crate::timeline::{self, Style};
use crate::{pool, subject};

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
    let found = search.go(|seed| {
        if seed.is_multiple_of(16) {
            progress.say(&format!("seed {seed} of {}..{}", seeds.start, seeds.end));
        }
    });
    drop(progress);
    let json = args.output.format() == Format::Json;
    let Some(found) = found else {
        let (name, load) = (subject.name, &scenario.name);
        let text = if json {
            let seeds = [seeds.start, seeds.end];
            json!({"found": null, "subject": name, "scenario": load, "seeds": seeds}).to_string()
        } else {
            format!(
                "Nothing broke {name} in {load}, seeds {}..{}. That shows that nothing was found, \
                 not that there is nothing.",
                seeds.start, seeds.end
            )
        };
        args.output.text(&(text + "\n"))?;
        return Ok(Exit::Holds);
    };
    if let Some(file) = &args.record {
        std::fs::write(file, found.trace.file.to_text())
            .map_err(|error| Failure::usage(format!("cannot write {}: {error}", file.display())))?;
    }
    let Some(mut example) = example(&subject, &scenario, found.seed, &found.trace, None) else {
        return Err(Failure::environment(
            "a violation without a step: a bug of verify",
        ));
    };
    if args.gate.strategy != Strategy::Random {
        example.repeat += &format!(" --strategy {}", args.gate.strategy);
    }
    let text = if json {
        serde_json::to_string_pretty(&example).map_err(Failure::environment)?
    } else {
        let broken = found
            .trace
            .outcome
            .violations()
            .find_map(|f| match &f.verdict {
                Verdict::Violated(violation) => Some(violation),
                Verdict::Holds | Verdict::Inconclusive(_) => None,
            });
        let style = Style {
            colour: args.output.colour(),
            ..Style::default()
        };
        let picture = timeline::render(&found.trace.timeline(), &found.trace.names, broken, style);
        format!(
            "{} breaks {} in {}: seed {}, step {}, after {} seeds\n{}\n\n{picture}\ndigest {}\nagain  {}",
            subject.name,
            example.property,
            scenario.name,
            found.seed,
            example.step,
            found.tried,
            example.what,
            hex(found.trace.outcome.digest),
            example.repeat,
        )
    };
    args.output.text(&(text + "\n"))?;
    Ok(Exit::Violated)
}
