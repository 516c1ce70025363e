//! Publish and subscribe: channels, patterns, and the channels of shards, which
//! are apart from both.

use sluice_core::redis::{Bytes, Reply};

use super::keys::glob;
use super::{Arg, Fail, Out, containers, int};
use crate::redis::lua::Engine;
use crate::redis::session::Listens;
use crate::redis::{Server, SessionId, State};

pub(super) fn publish(state: &mut State, args: &[Arg]) -> Out {
    int(state.subscriptions.publish(&args[1], &args[2].shared()))
}

pub(super) fn spublish(state: &mut State, args: &[Arg]) -> Out {
    let message = args[2].shared();
    int(state.subscriptions.publish_to_shard(&args[1], &message))
}

pub(super) fn subscribe(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    Ok(join(server, id, args, Listens::Channel))
}

pub(super) fn psubscribe(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    Ok(join(server, id, args, Listens::Pattern))
}

pub(super) fn ssubscribe(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    if server.state.in_exec {
        return Err(Fail::fixed(
            "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client",
        ));
    }
    Ok(join(server, id, args, Listens::Shard))
}

pub(super) fn unsubscribe(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    Ok(leave(server, id, args, Listens::Channel))
}

pub(super) fn punsubscribe(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    Ok(leave(server, id, args, Listens::Pattern))
}

pub(super) fn sunsubscribe(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    Ok(leave(server, id, args, Listens::Shard))
}

fn join(server: &mut Server, id: SessionId, args: &[Arg], to: Listens) -> Reply {
    let names = args[1..].iter().map(Arg::shared).collect();
    change(server, id, names, to, true)
}

fn leave(server: &mut Server, id: SessionId, args: &[Arg], to: Listens) -> Reply {
    let names = if args.len() > 1 {
        args[1..].iter().map(Arg::shared).collect()
    } else {
        server.state.subscriptions.of(to, id)
    };
    if names.is_empty() {
        let count = server.state.subscriptions.told(to, id) as i64;
        let word = Reply::bulk(to.word(false));
        return Reply::Array(vec![word, Reply::Nil, Reply::Int(count)]);
    }
    change(server, id, names, to, false)
}

/// Subscribes to, or leaves, each name in turn: the first answer is the reply,
/// the others are pushed.
fn change(server: &mut Server, id: SessionId, names: Vec<Bytes>, to: Listens, join: bool) -> Reply {
    let word = to.word(join);
    let subscriptions = &mut server.state.subscriptions;
    let mut first = None;
    for name in names {
        let table = subscriptions.table(to);
        if join {
            table.entry(name.clone()).or_default().insert(id);
        } else if let Some(who) = table.get_mut(&name) {
            who.remove(&id);
            if who.is_empty() {
                table.remove(&name);
            }
        }
        let count = subscriptions.told(to, id) as i64;
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

pub(super) fn pubsub(state: &mut State, args: &[Arg]) -> Out {
    let shards = state.version.shard_channels();
    let subscriptions = &mut state.subscriptions;
    let word = &args[1];
    let kinds = [
        ("CHANNELS", "NUMSUB", Listens::Channel),
        ("SHARDCHANNELS", "SHARDNUMSUB", Listens::Shard),
    ];
    for (names, numbers, to) in kinds.into_iter().take(1 + usize::from(shards)) {
        let table = subscriptions.table(to);
        if word.is(names) && args.len() <= 3 {
            let all = table.keys();
            let found = all.filter(|name| args.get(2).is_none_or(|pattern| glob(pattern, name)));
            return Ok(Reply::Array(
                found.map(|name| Reply::Bulk(name.clone())).collect(),
            ));
        }
        if word.is(numbers) {
            let mut out = Vec::new();
            for name in &args[2..] {
                let who = table.get(&**name);
                out.push(Reply::Bulk(name.shared()));
                out.push(Reply::Int(who.map_or(0, |who| who.len() as i64)));
            }
            return Ok(Reply::Array(out));
        }
    }
    if word.is("NUMPAT") && args.len() == 2 {
        return int(subscriptions.patterns.len());
    }
    Err(containers::misused(word, "PUBSUB"))
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    /// What Redis 7.0.15 says.
    #[test]
    fn channels_of_shards_are_apart() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.run_as(2, &["SSUBSCRIBE", "c"]),
            r#"["ssubscribe", "c", :1]"#
        );
        assert_eq!(bench.run("PUBSUB SHARDCHANNELS"), r#"["c"]"#);
        assert_eq!(bench.run("PUBSUB CHANNELS"), "[]");
        assert_eq!(bench.run("PUBSUB SHARDNUMSUB c d"), r#"["c", :1, "d", :0]"#);
        assert_eq!(bench.run("PUBSUB NUMSUB c"), r#"["c", :0]"#);
        assert_eq!(bench.run("PUBLISH c x"), ":0");
        assert_eq!(bench.run("SPUBLISH c hi"), ":1");
        let (_, pushed) = bench.server.poll_push().expect("a message");
        assert_eq!(format!("{pushed:?}"), r#"["smessage", "c", "hi"]"#);
        assert_eq!(
            bench.run_as(2, &["SUBSCRIBE", "d"]),
            r#"["subscribe", "d", :1]"#
        );
        assert!(
            bench
                .run_as(2, &["CLIENT", "ID"])
                .starts_with(r"-ERR Can\'t execute \'client|id\': only (P|S)SUBSCRIBE")
        );
        assert_eq!(
            bench.run_as(2, &["UNSUBSCRIBE"]),
            r#"["unsubscribe", "d", :0]"#
        );
        assert!(bench.run_as(2, &["GET", "k"]).starts_with("-ERR Can"));
        assert_eq!(
            bench.run_as(2, &["PING", "x", "y"]),
            r"-ERR wrong number of arguments for \'ping\' command"
        );
        assert_eq!(
            bench.run_as(2, &["SUNSUBSCRIBE"]),
            r#"["sunsubscribe", "c", :0]"#
        );
        assert_eq!(bench.run_as(2, &["GET", "k"]), "nil");
        assert_eq!(bench.run("SUNSUBSCRIBE"), r#"["sunsubscribe", nil, :0]"#);
        assert_eq!(
            bench.eval("return redis.call('PUBSUB', 'SHARDCHANNELS')"),
            "[]"
        );
        bench.run("MULTI");
        bench.run("SSUBSCRIBE c");
        bench.run("MONITOR");
        assert_eq!(
            bench.run("EXEC"),
            r"[-ERR SSUBSCRIBE isn\'t allowed for a DENY BLOCKING client, -ERR MONITOR isn\'t allowed for DENY BLOCKING client]"
        );
    }
}
