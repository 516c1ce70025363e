//! The first line of a script, if it says how the script is to be run:
//! `#!lua flags=no-writes,allow-oom`.

use super::{Arg, Fail};
use crate::redis::memory::OUT_OF_MEMORY;

/// What scripts may say of themselves. Only "allow-stale" makes no difference
/// here: there is no replica.
const FLAGS: [&[u8]; 5] = [
    b"no-writes",
    b"allow-oom",
    b"allow-stale",
    b"no-cluster",
    b"allow-cross-slot-keys",
];

/// What a script's first line said.
#[derive(Clone, Copy)]
pub(super) struct Script<'a> {
    /// The text without that line, but with its end, so that numbers of lines
    /// stay what they are.
    pub(super) body: &'a [u8],
    /// It has such a line.
    pub(super) declared: bool,
    /// It promises to change nothing.
    pub(super) no_writes: bool,
    /// It may write though memory is short.
    pub(super) allow_oom: bool,
    /// It may use keys of several slots.
    pub(super) crosses: bool,
    /// It refuses to run in a cluster.
    pub(super) no_cluster: bool,
}

impl<'a> Script<'a> {
    pub(super) fn read(text: &'a [u8]) -> Result<Self, Fail> {
        let mut script = Self {
            body: text,
            declared: false,
            no_writes: false,
            allow_oom: false,
            crosses: false,
            no_cluster: false,
        };
        if !text.starts_with(b"#!") {
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
                if !FLAGS.contains(&flag) {
                    return Err(refused("Unexpected flag in script shebang: ", flag));
                }
                script.no_writes |= flag == FLAGS[0];
                script.allow_oom |= flag == FLAGS[1];
                script.no_cluster |= flag == FLAGS[3];
                script.crosses |= flag == FLAGS[4];
            }
        }
        Ok(script)
    }

    /// Whether it is to change nothing, called by the name that it was; `short`:
    /// there is no memory for one that would.
    pub(super) fn read_only(&self, called_so: bool, short: bool) -> Result<bool, Fail> {
        if short && self.declared && !self.no_writes && !self.allow_oom {
            return Err(OUT_OF_MEMORY);
        }
        if self.declared && called_so && !self.no_writes {
            return Err(Fail::fixed(
                "ERR Can not execute a script with write flag using *_ro command.",
            ));
        }
        Ok(called_so || self.no_writes)
    }
}

fn refused(text: &str, what: &[u8]) -> Fail {
    let shown = Arg::Plain(&what[..what.len().min(128)]);
    Fail::new([b"ERR ", text.as_bytes(), &*shown].concat())
}
