//! `XGROUP` and `XACK`.

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out, State, flag, id, ids, int, strict_id};
use crate::redis::command::containers::misused;
use crate::redis::value::{Group, Stream, StreamId};

/// Subcommands with their arity, as Redis checks it before anything else.
const ARITY: &[(&str, i32)] = &[
    ("create", -5),
    ("createconsumer", 5),
    ("delconsumer", 5),
    ("destroy", 4),
    ("help", 2),
    ("setid", -5),
];

/// A subcommand's name in lower case, if its arity fits.
pub(super) fn subcommand(
    args: &[Arg],
    known: &'static [(&'static str, i32)],
    command: &str,
) -> Result<&'static str, Fail> {
    let word = &args[1];
    let Some((name, arity)) = known.iter().find(|(name, _)| word.is(name)) else {
        return Err(Fail::subcommand(word, &command.to_ascii_uppercase()));
    };
    let count = args.len() as i32;
    if count == *arity || *arity < 0 && count >= -arity {
        Ok(name)
    } else {
        Err(Fail::arity(&format!("{command}|{name}")))
    }
}

/// `NOGROUP` for a key that exists.
pub(super) fn no_group(key: &Arg, group: &Arg) -> Fail {
    let parts: [&[u8]; 5] = [
        b"NOGROUP No such consumer group '",
        group,
        b"' for key name '",
        key,
        b"'",
    ];
    Fail::new(parts.concat())
}

/// What follows the id of `CREATE` and `SETID`: whether to make the stream, and
/// how much the group is to have read.
fn options(args: &[Arg], name: &str, word: &Arg) -> Result<(bool, Option<i64>), Fail> {
    let (mut make, mut read) = (false, None);
    let mut rest = args;
    while let [option, after @ ..] = rest {
        if name == "create" && option.is("MKSTREAM") {
            make = true;
            rest = after;
        } else if option.is("ENTRIESREAD") && !after.is_empty() {
            let count = after[0].int()?;
            if count < -1 {
                return Err(Fail::fixed(
                    "ERR value for ENTRIESREAD must be positive or -1",
                ));
            }
            read = Some(count).filter(|count| *count >= 0);
            rest = &after[1..];
        } else {
            return Err(misused(word, "XGROUP"));
        }
    }
    Ok((make, read))
}

pub(in crate::redis::command) fn xgroup(state: &mut State, args: &[Arg]) -> Out {
    let word = &args[1];
    let name = subcommand(args, ARITY, "xgroup")?;
    if name == "help" {
        return Ok(help());
    }
    let (key, group_name) = (&args[2], &args[3]);
    let (make, read) = match name {
        "create" | "setid" => options(&args[5..], name, word)?,
        _ => (false, None),
    };
    let now_ms = state.db.now_ms;
    if state.db.read::<Stream>(key)?.is_none() {
        if !make {
            return Err(Fail::fixed(
                "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
            ));
        }
        // Before the stream is made, so that a bad id leaves nothing behind.
        if *args[4] != *b"$" {
            strict_id(&args[4], 0)?;
        }
    }
    let made = !state.db.exists(key);
    let stream = state.db.upsert::<Stream>(key)?;
    let last = stream.last;
    let position = |text: &Arg, strict: bool| match &**text {
        b"$" => Ok(last),
        text if strict => strict_id(text, 0),
        text => id(text, 0),
    };
    if name == "create" {
        let last = position(&args[4], true)?;
        if stream.groups.contains_key(&**group_name) {
            return Err(Fail::fixed("BUSYGROUP Consumer Group name already exists"));
        }
        let group = Group {
            last,
            read,
            ..Group::default()
        };
        stream.groups.insert(group_name.shared(), group);
        if made {
            state.db.changed(key);
        } else {
            state.db.kept_book(key);
        }
        return Ok(state.replies.ok());
    }
    if name == "destroy" {
        let gone = stream.groups.remove(&**group_name).is_some();
        if gone {
            state.db.kept_book(key);
            state.db.rouse(key);
        }
        return flag(gone);
    }
    let Some(group) = stream.groups.get_mut(&**group_name) else {
        return Err(no_group(key, group_name));
    };
    let reply = match name {
        "setid" => {
            group.last = position(&args[4], false)?;
            group.read = read;
            state.replies.ok()
        }
        "createconsumer" if group.consumers.contains_key(&*args[4]) => Reply::Int(0),
        "createconsumer" => Reply::Int(i64::from(group.see(&args[4].shared(), now_ms))),
        _ => Reply::Int(group.dismiss(&args[4]) as i64),
    };
    state.db.kept_book(key);
    Ok(reply)
}

fn help() -> Reply {
    let lines = [
        "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.",
        "HELP",
        "    Prints this help.",
    ];
    let status = |line: &str| Reply::Status(Bytes::from(line.as_bytes()));
    Reply::Array(lines.into_iter().map(status).collect())
}

pub(in crate::redis::command) fn xack(state: &mut State, args: &[Arg]) -> Out {
    let Some(stream) = state.db.edit::<Stream>(&args[1])? else {
        return int(0);
    };
    let Some(group) = stream.groups.get_mut(&*args[2]) else {
        return int(0);
    };
    let ids: Vec<StreamId> = ids(&args[3..])?;
    let done = ids.into_iter().filter(|id| group.release(*id).is_some());
    let done = done.count();
    if done > 0 {
        state.db.kept_book(&args[1]);
    }
    int(done)
}
