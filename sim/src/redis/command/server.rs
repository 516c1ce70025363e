//! The server itself, and the connection.

use std::fmt;

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out, int, table};
use crate::redis::lua::Engine;
use crate::redis::{Server, SessionId, State};

pub(super) fn ping(_: &mut State, args: &[Arg]) -> Out {
    match args {
        [_] => Ok(Reply::Status(Bytes::from(&b"PONG"[..]))),
        [_, text] => Ok(Reply::Bulk(text.shared())),
        _ => Err(Fail::arity("ping")),
    }
}

pub(super) fn echo(_: &mut State, args: &[Arg]) -> Out {
    Ok(Reply::Bulk(args[1].shared()))
}

pub(super) fn time(state: &mut State, _: &[Arg]) -> Out {
    let (seconds, micros) = (state.now_us / 1_000_000, state.now_us % 1_000_000);
    Ok(Reply::Array(vec![
        Reply::bulk(seconds.to_string()),
        Reply::bulk(micros.to_string()),
    ]))
}

pub(super) fn info(state: &mut State, args: &[Arg]) -> Out {
    let named = |name: &str| args[1..].iter().any(|arg| arg.is(name));
    let all = args.len() == 1 || ["default", "all", "everything"].into_iter().any(named);
    let mut text = String::new();
    for name in [
        "Server",
        "Memory",
        "Stats",
        "Replication",
        "Cluster",
        "Keyspace",
    ] {
        if all || named(name) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            text.push_str(&format!("{gap}# {name}\r\n"));
            section(state, name, &mut text);
        }
    }
    Ok(Reply::bulk(text))
}

fn section(state: &mut State, name: &str, text: &mut String) {
    let mut line = |name: &str, value: &dyn fmt::Display| {
        text.push_str(&format!("{name}:{value}\r\n"));
    };
    match name {
        "Server" => {
            line("redis_version", &state.version.text());
            line("redis_mode", &mode(state));
            // Another one at each start; the first is not all zeros.
            let run = u64::from(state.starts) + 1;
            line("run_id", &format_args!("{run:040x}"));
        }
        "Memory" => {
            line("used_memory", &state.used_memory());
            line("maxmemory", &state.limits.bytes);
            line("maxmemory_policy", &state.limits.policy.name());
        }
        "Stats" => {
            line("total_commands_processed", &state.commands);
            line("evicted_keys", &state.evicted);
        }
        "Replication" => {
            line("role", &"master");
            line("connected_slaves", &0);
        }
        "Cluster" => line("cluster_enabled", &u8::from(state.nodes > 0)),
        _ => {
            for (number, keys) in super::databases::sizes(state) {
                line(&format!("db{number}"), &format_args!("keys={keys}"));
            }
        }
    }
}

fn mode(state: &State) -> &'static str {
    if state.nodes > 0 {
        "cluster"
    } else {
        "standalone"
    }
}

pub(super) fn quit(server: &mut Server, _: &Engine, id: SessionId, _: &[Arg]) -> Out {
    server.disconnect(id);
    Ok(server.state.replies.ok())
}

pub(super) fn reset(server: &mut Server, _: &Engine, id: SessionId, _: &[Arg]) -> Out {
    server.disconnect(id);
    server.state.select(0);
    Ok(Reply::Status(Bytes::from(&b"RESET"[..])))
}

pub(super) fn client(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    let word = &args[1];
    match args.len() {
        2 if word.is("ID") => Ok(Reply::Int(id.0 as i64)),
        2 if word.is("GETNAME") => {
            let session = server.state.sessions.get(&id);
            Ok(super::bulk(
                session.and_then(|session| session.name.as_ref()),
            ))
        }
        3 if word.is("SETNAME") => {
            if args[2].iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
                return Err(Fail::fixed(
                    "ERR Client names cannot contain spaces, newlines or special characters.",
                ));
            }
            let name = (!args[2].is_empty()).then(|| args[2].shared());
            server.edit_session(id, |session| session.name = name);
            Ok(server.state.replies.ok())
        }
        4 if word.is("SETINFO") && server.state.version.rank_with_score() => {
            if !args[2].is("LIB-NAME") && !args[2].is("LIB-VER") {
                return Err(Fail::new(
                    [b"ERR Unrecognized option '", &*args[2], b"'"].concat(),
                ));
            }
            Ok(server.state.replies.ok())
        }
        3 | 4 if word.is("UNBLOCK") => {
            let error = match args.get(3) {
                None => false,
                Some(how) if how.is("TIMEOUT") => false,
                Some(how) if how.is("ERROR") => true,
                Some(_) => {
                    return Err(Fail::fixed(
                        "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
                    ));
                }
            };
            let id = u64::try_from(args[2].int()?).map(SessionId);
            super::flag(id.is_ok_and(|id| server.unpark(id, error)))
        }
        3 if word.is("NO-EVICT") || word.is("NO-TOUCH") => Ok(server.state.replies.ok()),
        _ => Err(Fail::subcommand(word, "CLIENT")),
    }
}

pub(super) fn hello(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    let mut resp3 = server.speaks_resp3(id);
    if let Some(version) = args.get(1) {
        let version = version
            .int()
            .map_err(|_| Fail::fixed("ERR Protocol version is not an integer or out of range"))?;
        resp3 = match version {
            2 => false,
            3 => true,
            _ => return Err(Fail::fixed("NOPROTO unsupported protocol version")),
        };
    }
    let mut rest = args.get(2..).unwrap_or_default();
    while let [word, after @ ..] = rest {
        if word.is("SETNAME") && !after.is_empty() {
            let name = after[0].shared();
            server.edit_session(id, |session| session.name = Some(name));
            rest = &after[1..];
        } else if word.is("AUTH") && after.len() >= 2 {
            rest = &after[2..];
        } else {
            return Err(Fail::new(
                [b"ERR Syntax error in HELLO option '", &**word, b"'"].concat(),
            ));
        }
    }
    server.edit_session(id, |session| session.resp3 = resp3);
    let version = server.state.version.text();
    let pairs = [
        ("server", Reply::bulk("redis")),
        ("version", Reply::bulk(version)),
        ("proto", Reply::Int(if resp3 { 3 } else { 2 })),
        ("id", Reply::Int(id.0 as i64)),
        ("mode", Reply::bulk(mode(&server.state))),
        ("role", Reply::bulk("master")),
        ("modules", Reply::Array(Vec::new())),
    ];
    let flat = pairs
        .into_iter()
        .flat_map(|(name, value)| [Reply::bulk(name), value]);
    Ok(Reply::Array(flat.collect()))
}

pub(super) fn command(_: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    match &args[1..] {
        [word] if word.is("COUNT") => int(table::count()),
        [] => Ok(Reply::Array(Vec::new())),
        [word, ..] if word.is("DOCS") || word.is("INFO") => Ok(Reply::Array(Vec::new())),
        [word, ..] => Err(Fail::subcommand(word, "COMMAND")),
    }
}
