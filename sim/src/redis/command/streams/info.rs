//! `XINFO`.

use sluice_core::redis::{Bytes, Reply};

use super::groups::{no_group, subcommand};
use super::{Arg, Fail, Out, State, entry_reply, id_reply};
use crate::redis::Version;
use crate::redis::command::containers::misused;
use crate::redis::value::{Consumer, Group, Stream};

const ARITY: &[(&str, i32)] = &[("consumers", 4), ("groups", 3), ("help", 2), ("stream", -3)];

fn map(pairs: Vec<(&str, Reply)>) -> Reply {
    let flat = pairs
        .into_iter()
        .flat_map(|(name, value)| [Reply::bulk(name), value]);
    Reply::Array(flat.collect())
}

fn number(value: usize) -> Reply {
    Reply::Int(value as i64)
}

fn known(value: Option<i64>) -> Reply {
    value.map_or(Reply::Nil, Reply::Int)
}

pub(in crate::redis::command) fn xinfo(state: &mut State, args: &[Arg]) -> Out {
    let name = subcommand(args, ARITY, "xinfo")?;
    if name == "help" {
        return Ok(help());
    }
    let (now_ms, version) = (state.db.now_ms, state.version);
    let stream = state.db.read::<Stream>(&args[2])?;
    let stream = stream.ok_or(Fail::NO_SUCH_KEY)?;
    if name == "stream" {
        return whole(stream, args, version);
    }
    if name == "groups" {
        let groups = stream.groups.iter().map(|(name, group)| {
            let mut pairs = vec![
                ("name", Reply::Bulk(name.clone())),
                ("consumers", number(group.consumers.len())),
                ("pending", number(group.pending.len())),
                ("last-delivered-id", id_reply(group.last)),
            ];
            pairs.extend(progress(stream, group, version));
            map(pairs)
        });
        return Ok(Reply::Array(groups.collect()));
    }
    let group = stream.groups.get(&*args[3]);
    let group = group.ok_or_else(|| no_group(&args[2], &args[3]))?;
    let consumers = group.consumers.iter().map(|(name, consumer)| {
        let mut pairs = vec![
            ("name", Reply::Bulk(name.clone())),
            ("pending", number(consumer.pending.len())),
            ("idle", Reply::Int((now_ms - consumer.seen_ms).max(0))),
        ];
        if version.active_consumers() {
            let inactive = consumer.active_ms.map_or(-1, |at| (now_ms - at).max(0));
            pairs.push(("inactive", Reply::Int(inactive)));
        }
        map(pairs)
    });
    Ok(Reply::Array(consumers.collect()))
}

fn whole(stream: &Stream, args: &[Arg], version: Version) -> Out {
    let full = match &args[3..] {
        [] => None,
        [word] if word.is("FULL") => Some(10),
        [word, count, value] if word.is("FULL") && count.is("COUNT") => {
            Some(usize::try_from(value.int()?).unwrap_or(10))
        }
        _ => return Err(misused(&args[1], "XINFO")),
    };
    let nodes = stream.nodes();
    let mut pairs = vec![
        ("length", number(stream.len())),
        ("radix-tree-keys", number(nodes)),
        ("radix-tree-nodes", number(nodes + 1)),
        ("last-generated-id", id_reply(stream.last)),
    ];
    if version.counts_entries() {
        pairs.extend([
            ("max-deleted-entry-id", id_reply(stream.max_deleted)),
            ("entries-added", Reply::Int(stream.added as i64)),
            ("recorded-first-entry-id", id_reply(stream.first())),
        ]);
    }
    let entries = stream.iter().map(|(id, fields)| entry_reply(id, fields));
    if let Some(count) = full {
        let most = if count == 0 { usize::MAX } else { count };
        let groups = stream.groups.iter();
        let groups = groups.map(|(name, group)| full_group(stream, name, group, most, version));
        pairs.push(("entries", Reply::Array(entries.take(most).collect())));
        pairs.push(("groups", Reply::Array(groups.collect())));
    } else {
        let mut ends = stream
            .entries
            .iter()
            .map(|(id, fields)| entry_reply(*id, fields));
        let first = ends.next().unwrap_or(Reply::Nil);
        let last = ends.next_back().unwrap_or_else(|| first.clone());
        pairs.push(("groups", number(stream.groups.len())));
        pairs.push(("first-entry", first));
        pairs.push(("last-entry", last));
    }
    Ok(map(pairs))
}

fn full_group(
    stream: &Stream,
    name: &Bytes,
    group: &Group,
    most: usize,
    version: Version,
) -> Reply {
    let pending = group.pending.iter().take(most).map(|(id, pending)| {
        Reply::Array(vec![
            id_reply(*id),
            Reply::Bulk(pending.consumer.clone()),
            Reply::Int(pending.delivered_ms),
            Reply::Int(pending.count),
        ])
    });
    let consumers = group.consumers.iter();
    let consumers =
        consumers.map(|(name, consumer)| full_consumer(group, name, consumer, most, version));
    let mut pairs = vec![
        ("name", Reply::Bulk(name.clone())),
        ("last-delivered-id", id_reply(group.last)),
    ];
    pairs.extend(progress(stream, group, version));
    pairs.extend([
        ("pel-count", number(group.pending.len())),
        ("pending", Reply::Array(pending.collect())),
        ("consumers", Reply::Array(consumers.collect())),
    ]);
    map(pairs)
}

/// How much a group has read, and how far it is behind, where that is told.
fn progress(
    stream: &Stream,
    group: &Group,
    version: Version,
) -> impl Iterator<Item = (&'static str, Reply)> {
    let told = version.counts_entries().then(|| {
        [
            ("entries-read", known(group.read)),
            ("lag", known(stream.lag(group, version.lag_of_empty()))),
        ]
    });
    told.into_iter().flatten()
}

fn full_consumer(
    group: &Group,
    name: &Bytes,
    consumer: &Consumer,
    most: usize,
    version: Version,
) -> Reply {
    let ids = consumer.pending.iter().take(most);
    let pending = ids.filter_map(|id| {
        let pending = group.pending.get(id)?;
        Some(Reply::Array(vec![
            id_reply(*id),
            Reply::Int(pending.delivered_ms),
            Reply::Int(pending.count),
        ]))
    });
    let mut pairs = vec![
        ("name", Reply::Bulk(name.clone())),
        ("seen-time", Reply::Int(consumer.seen_ms)),
    ];
    if version.active_consumers() {
        pairs.push(("active-time", Reply::Int(consumer.active_ms.unwrap_or(-1))));
    }
    pairs.push(("pel-count", number(consumer.pending.len())));
    pairs.push(("pending", Reply::Array(pending.collect())));
    map(pairs)
}

fn help() -> Reply {
    let lines = [
        "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CONSUMERS <key> <groupname>",
        "    Show consumers of <groupname>.",
        "GROUPS <key>",
        "    Show the stream consumer groups.",
        "STREAM <key> [FULL [COUNT <count>]",
        "    Show information about the stream.",
        "HELP",
        "    Prints this help.",
    ];
    let status = |line: &str| Reply::Status(Bytes::from(line.as_bytes()));
    Reply::Array(lines.into_iter().map(status).collect())
}
