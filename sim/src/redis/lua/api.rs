//! `redis.*` but for calls: what scripts ask of the bridge itself.

use mlua::Table;
use sluice_core::redis::Bytes;

use super::call::{Running, caller, push_error, read_args};
use super::raw::{Interpreter, Kind, Out, Raise, Stack};
use super::{sha1_hex, texts};
use crate::redis::Version;
use crate::redis::command::containers::{self, Refused};
use crate::redis::command::{self, Arg, until_zero};

pub(super) fn fill(interpreter: &Interpreter<Running>, redis: &Table) -> mlua::Result<()> {
    redis.set("error_reply", interpreter.function(error_reply)?)?;
    redis.set("status_reply", interpreter.function(status_reply)?)?;
    redis.set("sha1hex", interpreter.function(sha1hex)?)?;
    redis.set("log", interpreter.function(log)?)?;
    redis.set("setresp", interpreter.function(setresp)?)?;
    redis.set("set_repl", interpreter.function(set_repl)?)?;
    redis.set("acl_check_cmd", interpreter.function(acl_check_cmd)?)
}

/// Raises a misuse of the bridge.
pub(super) fn misuse(stack: &mut Stack, running: &mut Running, text: impl Into<String>) -> Out {
    let tables = running.version().errors_are_tables();
    let code: &[u8] = if tables { b"ERR " } else { b"" };
    // Nothing else is owned from here on.
    running.text = [code, text.into().as_bytes()].concat();
    if tables {
        push_error(stack, &running.text, false);
    } else {
        stack.push_bytes(&running.text);
    }
    Err(Raise)
}

/// The text alone on the stack, or the error that takes its place.
fn only_text<'a>(stack: &'a mut Stack, running: &mut Running) -> Result<&'a [u8], Out> {
    const WRONG: &str = "wrong number or type of arguments";
    if stack.top() == 1 && stack.kind(1) == Kind::Text {
        return Ok(stack.bytes(1).unwrap_or_default());
    }
    running.text.clear();
    if running.version().errors_are_tables() {
        running.text.extend_from_slice(b"ERR ");
    } else {
        running.text.extend_from_slice(caller(stack).as_bytes());
    }
    running.text.extend_from_slice(WRONG.as_bytes());
    push_error(stack, &running.text, false);
    Err(Ok(1))
}

/// `redis.error_reply`: a code is put before a text without one.
fn error_reply(stack: &mut Stack, running: &mut Running) -> Out {
    let version = running.version();
    let text = match only_text(stack, running) {
        Ok(text) => text,
        Err(out) => return out,
    };
    let text = until_zero(text);
    running.text = if version.errors_are_tables() {
        let text = text.strip_prefix(b"-").unwrap_or(text);
        let gap = text.iter().position(|byte| *byte == b' ');
        let (code, said) = gap.map_or((&b"ERR"[..], text), |at| (&text[..at], &text[at + 1..]));
        let ends = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let start = said
            .iter()
            .position(|byte| !ends(byte))
            .unwrap_or(said.len());
        let end = said
            .iter()
            .rposition(|byte| !ends(byte))
            .map_or(start, |at| at + 1);
        [code, b" ", &said[start..end]].concat()
    } else {
        text.to_vec()
    };
    push_error(stack, &running.text, false);
    Ok(1)
}

fn status_reply(stack: &mut Stack, running: &mut Running) -> Out {
    if let Err(out) = only_text(stack, running) {
        return out;
    }
    stack.push_table(0, 1);
    stack.push_bytes(b"ok");
    stack.push_copy(1);
    stack.set_field(2);
    Ok(1)
}

fn sha1hex(stack: &mut Stack, running: &mut Running) -> Out {
    if stack.top() != 1 {
        return misuse(stack, running, "wrong number of arguments");
    }
    if stack.kind(1) == Kind::Number {
        stack.stringify(1);
    }
    let sha = sha1_hex(stack.bytes(1).unwrap_or_default());
    stack.push_bytes(&sha);
    Ok(1)
}

/// Logging goes nowhere; misuse is an error all the same.
fn log(stack: &mut Stack, running: &mut Running) -> Out {
    let library = texts::library(running.version());
    if stack.top() < 2 {
        let text = format!("{library}.log() requires two arguments or more.");
        return misuse(stack, running, text);
    }
    match stack.number(1).map(|level| level as i64) {
        Some(0..=3) => Ok(0),
        Some(_) => misuse(stack, running, "Invalid debug level."),
        None => misuse(
            stack,
            running,
            "First argument must be a number (log level).",
        ),
    }
}

/// From now on, replies are those of this protocol.
fn setresp(stack: &mut Stack, running: &mut Running) -> Out {
    if stack.top() != 1 {
        let library = texts::library(running.version());
        let text = format!("{library}.setresp() requires one argument.");
        return misuse(stack, running, text);
    }
    match stack.number(1).unwrap_or(0.0) as i64 {
        version @ (2 | 3) => {
            running.resp3 = version == 3;
            Ok(0)
        }
        _ => misuse(stack, running, "RESP version must be 2 or 3."),
    }
}

fn set_repl(stack: &mut Stack, running: &mut Running) -> Out {
    let version = running.version();
    if stack.top() != 1 {
        let library = texts::library(version);
        let count = if version.counts_repl_arguments() {
            "one argument"
        } else {
            "two arguments"
        };
        let text = format!("{library}.set_repl() requires {count}.");
        return misuse(stack, running, text);
    }
    match stack.number(1).unwrap_or(0.0) as i64 {
        0..=3 => Ok(0),
        _ => misuse(
            stack,
            running,
            "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        ),
    }
}

fn acl_check_cmd(stack: &mut Stack, running: &mut Running) -> Out {
    let version = running.version();
    let known = {
        let mut text = Vec::new();
        let mut args = vec![Arg::Plain(&[]); stack.top() as usize];
        let read = read_args(stack, version, &mut text, &mut args);
        read.map(|()| is_command(&args, version)).ok()
    };
    match known {
        Some(true) => {
            stack.push_bool(true);
            Ok(1)
        }
        Some(false) => {
            let library = texts::library(version);
            let text = format!("Invalid command passed to {library}.acl_check_cmd()");
            misuse(stack, running, text)
        }
        None if stack.top() == 0 => misuse(stack, running, texts::no_arguments(version)),
        None => misuse(stack, running, texts::wrong_arguments(version)),
    }
}

fn is_command(args: &[Arg], version: Version) -> bool {
    command::lookup(&args[0])
        .filter(|spec| spec.exists_in(version))
        .is_some_and(|spec| !matches!(containers::check(spec, args), Err(Refused::Unknown(_))))
}

/// The bytes at `at`, to keep; also those of a number, which beyond what Lua
/// writes in plain digits only need to be no name.
pub(super) fn text_of(stack: &Stack, at: i32) -> Option<Bytes> {
    match stack.kind(at) {
        Kind::Number => {
            let n = stack.number(at).unwrap_or_default();
            let text = match n.abs() < 1e14 && n.fract() == 0.0 {
                true => format!("{n}"),
                false => format!("{n:+e}"),
            };
            Some(Bytes::from(text.as_bytes()))
        }
        _ => stack.bytes(at).map(Bytes::from),
    }
}
