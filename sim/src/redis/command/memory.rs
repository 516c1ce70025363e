//! `MEMORY USAGE`.

use sluice_core::redis::Reply;

use super::{Arg, Fail, Out, int};
use crate::redis::State;
use crate::redis::memory::size;

pub(super) fn memory(state: &mut State, args: &[Arg]) -> Out {
    if !args[1].is("USAGE") {
        return Err(Fail::subcommand(&args[1], "MEMORY"));
    }
    match &args[2..] {
        [_] => {}
        [_, word, samples] if word.is("SAMPLES") => {
            if samples.int()? < 0 {
                return Err(Fail::SYNTAX);
            }
        }
        [] => return Err(Fail::arity("memory|usage")),
        _ => return Err(Fail::SYNTAX),
    }
    match state.db.peek(&args[2]) {
        Some(entry) => int(size(&args[2], entry) as usize),
        None => Ok(Reply::Nil),
    }
}
