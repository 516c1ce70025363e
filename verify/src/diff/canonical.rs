//! What Redis leaves open is not compared: the order of what comes out of a
//! hash table, times, and the nodes of its trees.

use sluice_core::redis::{Command, Reply};

use super::line::{SCRIPTS, TYPED};

/// Replies whose order means nothing are sorted.
pub(crate) fn canonical(command: &Command, reply: Reply) -> Reply {
    if let Some((script, inner)) = through(command) {
        return match reply {
            // Whether it went well, and what came of it.
            Reply::Array(parts) if script == 2 => {
                let parts = parts.into_iter().map(|part| canonical(&inner, part));
                Reply::Array(parts.collect())
            }
            // A map went through a table of Lua's, whose order Valkey has changed.
            other if script == TYPED + 1 && maps(&inner) => sorted(canonical(&inner, other), 2),
            other => canonical(&inner, other),
        };
    }
    let width = match command.name().to_ascii_uppercase().as_slice() {
        b"HGETALL" => 2,
        b"HKEYS" | b"HVALS" | b"SMEMBERS" | b"SINTER" | b"SUNION" | b"SDIFF" | b"KEYS" => 1,
        // Only ever asked for all there are.
        b"HRANDFIELD" | b"ZRANDMEMBER" if command.args.len() == 4 => 2,
        b"HRANDFIELD" | b"ZRANDMEMBER" | b"SRANDMEMBER" | b"SPOP" => 1,
        b"XINFO" => return timeless(reply),
        b"FUNCTION" => return libraries(reply),
        // How Redis counts memory is its own, and it counts what has expired.
        b"MEMORY" if matches!(reply, Reply::Int(_)) => return Reply::Nil,
        b"XPENDING" if command.args.len() > 3 => return idle(reply),
        name @ (b"HSCAN" | b"SSCAN") => {
            let width = if name == b"HSCAN" { 2 } else { 1 };
            let Reply::Array(mut page) = reply else {
                return reply;
            };
            if let Some(items) = page.pop() {
                page.push(sorted(items, width));
            }
            return Reply::Array(page);
        }
        _ => return reply,
    };
    sorted(reply, width)
}

/// The script that a command went through, and the command.
pub(super) fn through(command: &Command) -> Option<(usize, Command)> {
    let [eval, script, _, args @ ..] = &command.args[..] else {
        return None;
    };
    let script = SCRIPTS.iter().position(|own| own.as_bytes() == &**script)?;
    (**eval == *b"EVAL" && !args.is_empty()).then(|| {
        let args = args.to_vec();
        (script, Command { args })
    })
}

/// Whether the reply is a map in the third protocol.
fn maps(command: &Command) -> bool {
    let name = command.name();
    [&b"LCS"[..], b"XREAD", b"XREADGROUP"].contains(&name)
}

/// Libraries in the order of their names, and so their functions.
fn libraries(reply: Reply) -> Reply {
    match reply {
        Reply::Array(items) => {
            let list = items.iter().any(|item| matches!(item, Reply::Array(_)));
            let items = Reply::Array(items.into_iter().map(libraries).collect());
            let pairs = matches!(&items, Reply::Array(items) if !list || items.len() > 1 && items[0].as_bytes().is_some());
            if pairs { items } else { sorted(items, 1) }
        }
        other => other,
    }
}

/// `XINFO` without what depends on clocks and on Redis's trees.
fn timeless(reply: Reply) -> Reply {
    const NAMES: &[&[u8]] = &[
        b"idle",
        b"inactive",
        b"seen-time",
        b"active-time",
        b"radix-tree-keys",
        b"radix-tree-nodes",
    ];
    const A_TIME_MS: i64 = 1_000_000_000_000;
    match reply {
        Reply::Array(items) => {
            let mut masked = false;
            let items = items.into_iter().map(|item| {
                let hidden = std::mem::replace(
                    &mut masked,
                    item.as_bytes().is_some_and(|name| NAMES.contains(&name)),
                );
                if hidden { Reply::Nil } else { timeless(item) }
            });
            Reply::Array(items.collect())
        }
        Reply::Int(n) if n > A_TIME_MS => Reply::Nil,
        other => other,
    }
}

/// `XPENDING` without idle times.
fn idle(reply: Reply) -> Reply {
    let Reply::Array(mut rows) = reply else {
        return reply;
    };
    for row in &mut rows {
        if let Reply::Array(row) = row
            && let Some(idle) = row.get_mut(2)
        {
            *idle = Reply::Nil;
        }
    }
    Reply::Array(rows)
}

/// An array with its groups of `width` items in order.
fn sorted(reply: Reply, width: usize) -> Reply {
    match reply {
        Reply::Array(items) => {
            let mut groups: Vec<&[Reply]> = items.chunks(width).collect();
            groups.sort_by_key(|group| format!("{group:?}"));
            Reply::Array(groups.concat())
        }
        other => other,
    }
}
