//! `verify script NAME`: a script of the gate, as one text.

use std::io::{ErrorKind, Write};

use clap::builder::PossibleValuesParser;
use sluice_core::script;

use super::{Exit, Failure, ScriptArgs};

/// The names that there are.
pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(script::ALL.map(|script| script.name))
}

pub(super) fn run(args: &ScriptArgs) -> Result<Exit, Failure> {
    let found = script::ALL.iter().find(|script| script.name == args.name);
    let script = found.expect("the parser knows the names");
    match std::io::stdout().write_all(script.text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::environment(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(Exit::Holds),
    }
}
