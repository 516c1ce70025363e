//! The server itself, and the connection.

use std::fmt;

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out};
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

/// Sections of `INFO` in their order; the second half only when asked for.
const SECTIONS: [&str; 11] = [
    "Server",
    "Clients",
    "Memory",
    "Persistence",
    "Stats",
    "Replication",
    "CPU",
    "Cluster",
    "Keyspace",
    "Commandstats",
    "Errorstats",
];

pub(super) fn info(state: &mut State, args: &[Arg]) -> Out {
    let named = |name: &str| args[1..].iter().any(|arg| arg.is(name));
    let all = ["all", "everything"].into_iter().any(named);
    let usual = args.len() == 1 || named("default") || all;
    let mut text = String::new();
    for name in SECTIONS {
        let wanted = match name {
            "Commandstats" => all,
            _ => usual,
        };
        if wanted || named(name) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            text.push_str(&format!("{gap}# {name}\r\n"));
            section(state, name, &mut text);
        }
    }
    Ok(Reply::bulk(text))
}

fn section(state: &mut State, name: &str, text: &mut String) {
    state.gather();
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
        "Clients" => {
            let network = state.network.as_ref();
            // Who asks is there in any case.
            let clients = network.map_or(1, |network| network.clients.len());
            line("connected_clients", &clients);
            let put_off = network.map_or(0, |network| network.put_off());
            line("blocked_clients", &(state.waiting.len() + put_off));
        }
        "Memory" => {
            line("used_memory", &state.used_memory());
            line("number_of_cached_scripts", &state.scripts.len());
            line("maxmemory", &state.limits.bytes);
            line("maxmemory_policy", &state.limits.policy.name());
            // What is freed is freed at once.
            line("lazyfree_pending_objects", &0);
        }
        "Persistence" => {
            line("loading", &0);
            line("rdb_changes_since_last_save", &state.changes);
            line("rdb_last_save_time", &state.saved_s);
        }
        "Stats" => {
            let network = state.network.as_ref();
            let connections = network.map_or(0, |network| network.connections);
            line("total_connections_received", &connections);
            line("total_commands_processed", &state.commands);
            line("expired_keys", &state.expired);
            line("evicted_keys", &state.evicted);
            line("pubsub_channels", &state.subscriptions.channels.len());
            line("pubsub_patterns", &state.subscriptions.patterns.len());
            line("total_error_replies", &state.errors());
        }
        "Replication" => {
            match &state.master {
                None => line("role", &"master"),
                Some(master) => {
                    line("role", &"slave");
                    line("master_host", &String::from_utf8_lossy(&master.host));
                    line("master_port", &master.port);
                    line("master_link_status", &"down");
                    line("master_last_io_seconds_ago", &-1);
                    line("master_sync_in_progress", &0);
                    line("slave_repl_offset", &0);
                }
            }
            line("connected_slaves", &0);
            line("master_repl_offset", &0);
        }
        // Simulated commands take no time.
        "CPU" => {
            line("used_cpu_sys", &"0.000000");
            line("used_cpu_user", &"0.000000");
        }
        "Cluster" => line("cluster_enabled", &u8::from(state.nodes > 0)),
        "Commandstats" => {
            let calls = state.network.iter().flat_map(|network| &network.calls);
            for (name, of) in calls {
                line(
                    &format!("cmdstat_{name}"),
                    &format_args!(
                        "calls={},usec=0,usec_per_call=0.00,rejected_calls={},failed_calls={}",
                        of.calls, of.rejected, of.failed
                    ),
                );
            }
        }
        "Errorstats" => {
            let errors = state.network.iter().flat_map(|network| &network.errors);
            for (word, count) in errors {
                line(&format!("errorstat_{word}"), &format_args!("count={count}"));
            }
        }
        _ => {
            for (number, keys, expires) in super::databases::sizes(state) {
                line(
                    &format!("db{number}"),
                    &format_args!("keys={keys},expires={expires},avg_ttl=0"),
                );
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

pub(super) fn role(server: &mut Server, _: &Engine, _: SessionId, _: &[Arg]) -> Out {
    Ok(Reply::Array(match &server.state.master {
        None => vec![
            Reply::bulk("master"),
            Reply::Int(0),
            Reply::Array(Vec::new()),
        ],
        Some(master) => vec![
            Reply::bulk("slave"),
            Reply::Bulk(master.host.clone()),
            Reply::Int(master.port.into()),
            Reply::bulk("connect"),
            Reply::Int(-1),
        ],
    }))
}

pub(super) fn replicaof(server: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    if server.state.nodes > 0 {
        return Err(Fail::fixed("ERR REPLICAOF not allowed in cluster mode."));
    }
    Ok(match server.follow(&args[1], &args[2])? {
        true => server.state.replies.ok(),
        false => Reply::Status(Bytes::from(
            &b"OK Already connected to specified master"[..],
        )),
    })
}

pub(super) fn quit(server: &mut Server, _: &Engine, id: SessionId, _: &[Arg]) -> Out {
    server.disconnect(id);
    Ok(server.state.replies.ok())
}

pub(super) fn reset(server: &mut Server, _: &Engine, id: SessionId, _: &[Arg]) -> Out {
    server.reset(id);
    server.state.select(0);
    Ok(Reply::Status(Bytes::from(&b"RESET"[..])))
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
            super::client::set_name(server, id, &after[0])?;
            rest = &after[1..];
        } else if word.is("AUTH") && after.len() >= 2 {
            server.admit(id, &after[0], &after[1])?;
            rest = &after[2..];
        } else {
            return Err(Fail::new(
                [b"ERR Syntax error in HELLO option '", &**word, b"'"].concat(),
            ));
        }
    }
    if server.is_stranger(id) {
        return Err(Fail::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    server.edit_session(id, |session| session.resp3 = resp3);
    let version = server.state.version.text();
    let role = match &server.state.master {
        None => "master",
        Some(_) => "replica",
    };
    let pairs = [
        ("server", Reply::bulk("redis")),
        ("version", Reply::bulk(version)),
        ("proto", Reply::Int(if resp3 { 3 } else { 2 })),
        ("id", Reply::Int(id.0 as i64)),
        ("mode", Reply::bulk(mode(&server.state))),
        ("role", Reply::bulk(role)),
        ("modules", Reply::Array(Vec::new())),
    ];
    let flat = pairs
        .into_iter()
        .flat_map(|(name, value)| [Reply::bulk(name), value]);
    Ok(Reply::Array(flat.collect()))
}
