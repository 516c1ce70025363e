//! `verify diff`: the simulated Redis against a real one, for as long as asked.

use std::io::Write as _;
use std::time::Instant;

use super::progress::Progress;
use super::{DiffArgs, Exit, Failure, audit};
use crate::diff::Search;

#[expect(clippy::disallowed_methods, reason = "it was told how long")]
pub(super) fn run(args: &DiffArgs) -> Result<Exit, Failure> {
    let server = audit::server(&args.redis)?;
    let space = server.space().map_err(Failure::environment)?;
    let mut search = Search::new(&server, &space, args.seed).map_err(Failure::environment)?;
    let start = Instant::now();
    let progress = Progress::start();
    let mut sequences = 0u64;
    let found = loop {
        if start.elapsed() >= args.time {
            break None;
        }
        if let Some(found) = search.try_next().map_err(Failure::environment)? {
            break Some(found);
        }
        sequences += 1;
        progress.say(&format!("{sequences} sequences, all answered alike"));
    };
    drop(progress);
    let (text, exit) = match found {
        None => (
            format!("{sequences} sequences of commands were answered alike"),
            Exit::Holds,
        ),
        Some(found) => (
            format!(
                "after {sequences} sequences, these are answered differently:\n{found}\n\
                 again  cargo verify diff --redis {} --seed {} --for 1s",
                args.redis, found.seed
            ),
            Exit::Violated,
        ),
    };
    let said = writeln!(std::io::stdout(), "{}\n{text}", server.describe());
    said.map_err(Failure::environment)?;
    Ok(exit)
}
