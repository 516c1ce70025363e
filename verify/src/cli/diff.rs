//! `verify diff`: the simulated Redis against a real one, for as long as asked.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::{DiffArgs, Exit, Failure, audit};
use crate::diff::{Search, Tally};

/// How long, if nothing else was said.
const DEFAULT: Duration = Duration::from_secs(60);

/// The progress is told after so many sequences.
const OFTEN: u64 = 256;

#[expect(clippy::disallowed_methods, reason = "it was told how long")]
pub(super) fn run(args: &DiffArgs) -> Result<Exit, Failure> {
    let server = audit::server(&args.redis)?;
    let space = server.space().map_err(Failure::environment)?;
    let mut search = Search::new(&server, &space, args.seed).map_err(Failure::environment)?;
    let start = Instant::now();
    // Without either bound, the default of time; with one, that one.
    let time = args.time.or(args.commands.is_none().then_some(DEFAULT));
    let progress = Progress::start();
    let mut found = Vec::new();
    loop {
        let done = search.tally();
        let late = time.is_some_and(|time| start.elapsed() >= time);
        let enough = args.commands.is_some_and(|most| done.commands >= most);
        if late || enough || found.len() as u64 >= args.differences {
            break;
        }
        found.extend(search.try_next().map_err(Failure::environment)?);
        if done.sequences.is_multiple_of(OFTEN) {
            progress.say(&told(done));
        }
    }
    drop(progress);
    let mut text = format!(
        "{}\nimitated as {}; {} in {:.0} s\n",
        server.describe(),
        search.imitated(),
        told(search.tally()),
        start.elapsed().as_secs_f64(),
    );
    for (seed, difference) in &found {
        text.push_str(&format!(
            "\n{difference}\nagain  cargo verify diff --redis {} --seed {seed} --for 1s\n",
            args.redis
        ));
    }
    write!(std::io::stdout(), "{text}").map_err(Failure::environment)?;
    Ok(if found.is_empty() {
        Exit::Holds
    } else {
        Exit::Violated
    })
}

fn told(tally: Tally) -> String {
    let Tally {
        commands,
        sequences,
        mismatches,
    } = tally;
    format!("{commands} commands in {sequences} sequences, {mismatches} mismatches")
}
