//! Publish and subscribe.

use sluice_core::redis::{Bytes, Reply};

use super::keys::glob;
use super::{Arg, Fail, Out, int};
use crate::redis::lua::Engine;
use crate::redis::{Server, SessionId, State};

pub(super) fn publish(state: &mut State, args: &[Arg]) -> Out {
    int(state.subscriptions.publish(&args[1], &args[2].shared()))
}

pub(super) fn subscribe(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    let names = args[1..].iter().map(Arg::shared).collect();
    Ok(change(server, id, names, false, true))
}

pub(super) fn psubscribe(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    let names = args[1..].iter().map(Arg::shared).collect();
    Ok(change(server, id, names, true, true))
}

pub(super) fn unsubscribe(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    Ok(leave(server, id, args, false))
}

pub(super) fn punsubscribe(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    Ok(leave(server, id, args, true))
}

fn leave(server: &mut Server, id: SessionId, args: &[Arg], patterns: bool) -> Reply {
    let names = if args.len() > 1 {
        args[1..].iter().map(Arg::shared).collect()
    } else {
        server.state.subscriptions.of(patterns, id)
    };
    if names.is_empty() {
        let count = server.state.subscriptions.count(id) as i64;
        let word = if patterns {
            "punsubscribe"
        } else {
            "unsubscribe"
        };
        return Reply::Array(vec![Reply::bulk(word), Reply::Nil, Reply::Int(count)]);
    }
    change(server, id, names, patterns, false)
}

/// Subscribes to, or leaves, each name in turn: the first answer is the reply,
/// the others are pushed.
fn change(
    server: &mut Server,
    id: SessionId,
    names: Vec<Bytes>,
    patterns: bool,
    join: bool,
) -> Reply {
    let word = match (patterns, join) {
        (false, true) => "subscribe",
        (false, false) => "unsubscribe",
        (true, true) => "psubscribe",
        (true, false) => "punsubscribe",
    };
    let subscriptions = &mut server.state.subscriptions;
    let mut first = None;
    for name in names {
        let table = subscriptions.table(patterns);
        if join {
            table.entry(name.clone()).or_default().insert(id);
        } else if let Some(who) = table.get_mut(&name) {
            who.remove(&id);
            if who.is_empty() {
                table.remove(&name);
            }
        }
        let count = subscriptions.count(id) as i64;
        let parts = vec![Reply::bulk(word), Reply::Bulk(name), Reply::Int(count)];
        if first.is_none() {
            first = Some(Reply::Array(parts));
        } else {
            subscriptions.push(id, Reply::Array(parts));
        }
    }
    let count = subscriptions.count(id);
    server.edit_session(id, |session| session.subscribed = count);
    first.unwrap_or(Reply::Nil)
}

pub(super) fn pubsub(server: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    let subscriptions = &server.state.subscriptions;
    let word = &args[1];
    if word.is("CHANNELS") && args.len() <= 3 {
        let all = subscriptions.channels.keys();
        let found = all.filter(|name| args.get(2).is_none_or(|pattern| glob(pattern, name)));
        return Ok(Reply::Array(
            found.map(|name| Reply::Bulk(name.clone())).collect(),
        ));
    }
    if word.is("NUMSUB") {
        let mut out = Vec::new();
        for name in &args[2..] {
            let who = subscriptions.channels.get(&**name);
            out.push(Reply::Bulk(name.shared()));
            out.push(Reply::Int(who.map_or(0, |who| who.len() as i64)));
        }
        return Ok(Reply::Array(out));
    }
    if word.is("NUMPAT") && args.len() == 2 {
        return int(subscriptions.patterns.len());
    }
    Err(Fail::subcommand(word, "PUBSUB"))
}
