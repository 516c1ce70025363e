//! `verify failover`: what a failover does to a gate's cap.

use serde_json::{Value, json};

use super::progress::Progress;
use super::{Exit, FailoverArgs, Failure, Format, picture};
use crate::failover::{
    ASSUMPTIONS, Assumption, Belief, Counterexample, believers, counterexample, gates,
    without_a_lease,
};
use crate::{pool, subject};

pub(super) fn run(args: &FailoverArgs) -> Result<Exit, Failure> {
    let progress = Progress::start();
    let (trusting, guarded) = gates();
    let threads = pool::threads();
    let count = |gate| {
        progress.say(&format!("counting who believes to be in: {}", gate));
        let gate = subject::by_name(gate).map_err(Failure::usage)?;
        Ok(believers(&gate, args.seeds.clone(), threads))
    };
    let (lost, kept) = (count(trusting.name)?, count(guarded.name)?);
    let mut missing = Vec::new();
    for assumption in ASSUMPTIONS {
        progress.say(&format!("without: {}", assumption.what));
        let subject = subject::by_name(assumption.without).map_err(Failure::usage)?;
        let seeds = args.seeds.start..args.seeds.start.saturating_add(args.budget);
        let found = counterexample(&subject, seeds, threads, !args.no_shrink);
        missing.push((assumption, found));
    }
    drop(progress);
    let refusal = without_a_lease();
    let text = match args.output.format() {
        Format::Json => as_json(lost, kept, &missing, &refusal),
        Format::Terminal | Format::Markdown | Format::Junit => {
            as_text(args, lost, kept, &missing, &refusal)
        }
    };
    args.output.text(&(text + "\n"))?;
    // The alarm must be seen to work: a counterexample for whatever is missing.
    let shown = lost.over > 0 && missing.iter().all(|(_, found)| found.is_some());
    Ok(match (kept.over, shown && kept.replaced > 0) {
        (0, true) => Exit::Holds,
        (0, false) => Exit::Inconclusive,
        (_, _) => Exit::Violated,
    })
}

type Missing = [(Assumption, Option<Counterexample>)];

fn as_text(
    args: &FailoverArgs,
    lost: Belief,
    kept: Belief,
    missing: &Missing,
    refusal: &str,
) -> String {
    let mut text = format!(
        "The gate without a guard, on replicas that may lack the last grants\n  {}\n\n\
         The same, guarded: a new server gives no slot for a lease\n  {}\n  \
         The price: that pause at every failover and at the gate's birth, and an\n  \
         INFO and an HGET in each call.\n",
        believed(lost),
        believed(kept),
    );
    for (assumption, found) in missing {
        text += &format!(
            "\nWithout this: {}\n  (see to it: {})\n",
            assumption.what, assumption.how
        );
        let Some(found) = found else {
            text += &format!("  Nothing was found in {} seeds.\n", args.budget);
            continue;
        };
        let shown = found.shrunken.as_ref().map_or(&found.trace, |s| &s.trace);
        let words = shown.outcome.violation();
        text += &format!(
            "  NOT ACHIEVABLE: {}\n  Again: verify replay {} --subject {} --scenario swarm\n\n",
            words.map_or("", |(_, violation)| &violation.words),
            found.seed,
            assumption.without,
        );
        if found.shrunken.is_some() {
            text += &picture::in_terminal(shown, &args.output);
        }
    }
    text += &format!(
        "\nWithout a lease\n  NOT ACHIEVABLE: no pause is long enough. The scripts refuse:\n  {refusal}"
    );
    text
}

fn believed(belief: Belief) -> String {
    let Belief {
        runs,
        replaced,
        over,
        worst,
    } = belief;
    match worst {
        Some((count, slots)) => format!(
            "NOT ACHIEVABLE: in {over} of {runs} runs (a replica took over in {replaced}) more\n  \
             believed to be in than there were slots; at worst {count} in {slots}."
        ),
        None => format!(
            "holds: in none of {runs} runs (a replica took over in {replaced}) did more believe\n  \
             to be in than there were slots."
        ),
    }
}

fn as_json(lost: Belief, kept: Belief, missing: &Missing, refusal: &str) -> String {
    let without = missing.iter().map(|(assumption, found)| {
        let found = found.as_ref().map_or(Value::Null, |found| {
            let shown = found.shrunken.as_ref().map_or(&found.trace, |s| &s.trace);
            let words = shown.outcome.violation();
            json!({
                "seed": found.seed,
                "words": words.map(|(_, violation)| &violation.words),
                "steps": shown.outcome.steps,
                "shrunken": found.shrunken.as_ref().map(|s| &s.shrunken),
            })
        });
        json!({ "assumption": assumption, "counterexample": found })
    });
    json!({
        "trusting": lost,
        "guarded": kept,
        "without": without.collect::<Vec<_>>(),
        "without_a_lease": refusal,
    })
    .to_string()
}
