//! What Redis 6.2 has not got, and what it says in other words.

use sluice_core::redis::{Bytes, Reply};

use super::Version;
use super::command::{Arg, Fail};

/// Whether these are too many arguments for a command that takes them today.
pub(super) fn too_many(version: Version, name: &str, args: &[Arg]) -> bool {
    version == Version::V6_2
        && args.len() > 3
        && matches!(name, "expire" | "pexpire" | "expireat" | "pexpireat")
}

/// What it says to arguments that it does not know yet.
pub(super) fn refused(version: Version, name: &str, args: &[Arg]) -> Option<Fail> {
    if version != Version::V6_2 {
        return None;
    }
    match name {
        "xadd" if args[2..].iter().any(|arg| arg.ends_with(b"-*")) => Some(Fail::fixed(
            "ERR Invalid stream ID specified as stream command argument",
        )),
        _ => None,
    }
}

/// The reply to this command as the version has it.
#[inline]
pub(super) fn reworded(version: Version, reply: Reply, args: &[Arg]) -> Reply {
    match reply {
        Reply::Error(text) if version == Version::V6_2 => Reply::Error(error(text, args)),
        other => other,
    }
}

fn error(text: Bytes, args: &[Arg]) -> Bytes {
    let starts = |with: &str| text.starts_with(with.as_bytes());
    let subcommand = starts("ERR unknown subcommand ")
        || starts("ERR wrong number of arguments for ") && text.contains(&b'|');
    match args {
        [name, word, ..] if subcommand => {
            let name = name.to_ascii_uppercase();
            let head = b"ERR Unknown subcommand or wrong number of arguments for '";
            let parts = [&head[..], &**word, b"'. Try ", &name[..], b" HELP."];
            Bytes::from(parts.concat())
        }
        _ if *text == *LPOS => Bytes::from(LPOS_BEFORE),
        _ => text,
    }
}

const LPOS: &[u8] = b"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list";
const LPOS_BEFORE: &[u8] =
    b"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second, ...";
