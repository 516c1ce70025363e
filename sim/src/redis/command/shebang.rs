//! The first line of a script, if it says how the script is to be run:
//! `#!lua flags=no-writes,allow-oom`.

use super::{Arg, Fail};
use crate::redis::functions::Flags;
use crate::redis::memory::OUT_OF_MEMORY;

/// What a script's first line said.
#[derive(Clone, Copy)]
pub(super) struct Script<'a> {
    /// The text without that line, but with its end, so that numbers of lines
    /// stay what they are.
    pub(super) body: &'a [u8],
    /// It has such a line.
    pub(super) declared: bool,
    pub(super) flags: Flags,
}

impl<'a> Script<'a> {
    /// `shebangs`: the server knows such lines; to others they are Lua.
    pub(super) fn read(text: &'a [u8], shebangs: bool) -> Result<Self, Fail> {
        let mut script = Self {
            body: text,
            declared: false,
            flags: Flags::default(),
        };
        if !shebangs || !text.starts_with(b"#!") {
            return Ok(script);
        }
        let end = text.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or(Fail::fixed("ERR Invalid script shebang"))?;
        script.body = &text[end..];
        script.declared = true;
        let mut parts = text[..end].split(u8::is_ascii_whitespace);
        let engine = parts.next().unwrap_or_default();
        if engine != b"#!lua" {
            return Err(refused("Unexpected engine in script shebang: ", engine));
        }
        for part in parts.filter(|part| !part.is_empty()) {
            let Some(flags) = part.strip_prefix(b"flags=") else {
                return Err(refused("Unknown lua shebang option: ", part));
            };
            for flag in flags
                .split(|byte| *byte == b',')
                .filter(|_| !flags.is_empty())
            {
                if !script.flags.add(flag, false) {
                    return Err(refused("Unexpected flag in script shebang: ", flag));
                }
            }
        }
        Ok(script)
    }
}

/// Whether what has these flags, if it has any, is to change nothing, called by
/// the name that it was; `short`: there is no memory for one that would.
pub(super) fn read_only(flags: Option<Flags>, called_so: bool, short: bool) -> Result<bool, Fail> {
    let Some(flags) = flags else {
        return Ok(called_so);
    };
    let no_writes = flags.has(Flags::NO_WRITES);
    if short && !no_writes && !flags.has(Flags::ALLOW_OOM) {
        return Err(OUT_OF_MEMORY);
    }
    if called_so && !no_writes {
        return Err(Fail::fixed(
            "ERR Can not execute a script with write flag using *_ro command.",
        ));
    }
    Ok(called_so || no_writes)
}

fn refused(text: &str, what: &[u8]) -> Fail {
    let shown = Arg::Plain(&what[..what.len().min(128)]);
    Fail::new([b"ERR ", text.as_bytes(), &*shown].concat())
}
