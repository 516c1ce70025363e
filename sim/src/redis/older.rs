//! What Redis 6.2 has not got, and what it says in other words.

use sluice_core::redis::{Bytes, Reply};

use super::Version;
use super::command::Arg;

/// Whether these are too many arguments for a command that takes them today.
pub(super) fn too_many(version: Version, name: &str, args: &[Arg]) -> bool {
    version == Version::V6_2
        && args.len() > 3
        && matches!(name, "expire" | "pexpire" | "expireat" | "pexpireat")
}

/// Makes the reply to this command what the version says.
pub(super) fn reword(version: Version, reply: &mut Reply, args: &[Arg]) {
    if version == Version::V6_2
        && let Reply::Error(text) = reply
    {
        *text = error(std::mem::take(text), args);
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
        _ if starts("ERR invalid expire time in '") => {
            let head = b"ERR invalid expire time in ";
            let name = text[head.len() + 1..].split(|byte| *byte == b'\'').next();
            Bytes::from([&head[..], name.unwrap_or_default()].concat())
        }
        _ if *text == *LPOS => Bytes::from(LPOS_BEFORE),
        _ => text,
    }
}

const LPOS: &[u8] = b"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list";
const LPOS_BEFORE: &[u8] =
    b"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second, ...";
