//! `XREAD` and `XREADGROUP`.

use std::ops::Bound;

use sluice_core::redis::{Bytes, Command, Reply};

use super::{Arg, Fail, Out, State, entry_reply, id_reply, strict_id};
use crate::redis::command::blocking::milliseconds;
use crate::redis::value::{Group, Pending, Stream, StreamId};
use crate::redis::waiting::{Park, Wants};

/// What is asked of one stream.
#[derive(Clone, Copy)]
enum From {
    /// What came after this id.
    After(StreamId),
    /// What nobody in the group was given yet.
    New,
}

struct Request<'a, 'b> {
    /// How many of each stream, 0 for all.
    count: usize,
    /// How long to wait, in microseconds, 0 for ever.
    block_us: Option<u64>,
    group: Option<(&'a Arg<'b>, &'a Arg<'b>)>,
    no_ack: bool,
    keys: &'a [Arg<'b>],
    ids: &'a [Arg<'b>],
}

fn request<'a, 'b>(
    args: &'a [Arg<'b>],
    grouped: bool,
    state: &State,
) -> Result<Request<'a, 'b>, Fail> {
    let version = state.version;
    let mut found = Request {
        count: 0,
        block_us: None,
        group: None,
        no_ack: false,
        keys: &[],
        ids: &[],
    };
    let mut rest = &args[1..];
    while let [word, after @ ..] = rest {
        rest = after;
        if word.is("BLOCK") && !after.is_empty() {
            found.block_us = Some(milliseconds(&after[0], state)?);
            rest = &after[1..];
        } else if word.is("COUNT") && !after.is_empty() {
            found.count = usize::try_from(after[0].int()?).unwrap_or(0);
            rest = &after[1..];
        } else if word.is("STREAMS") && !after.is_empty() {
            if !after.len().is_multiple_of(2) {
                let (name, ids) = match (version.names_unbalanced(), grouped) {
                    (false, _) => ("XREAD", "an ID or '$'"),
                    (true, false) if version.reads_last() => ("'xread'", "an ID, '+', or '$'"),
                    (true, false) => ("'xread'", "an ID or '$'"),
                    (true, true) => ("'xreadgroup'", "an ID or '>'"),
                };
                return Err(Fail::new(format!(
                    "ERR Unbalanced {name} list of streams: for each stream key {ids} must be specified."
                )));
            }
            (found.keys, found.ids) = after.split_at(after.len() / 2);
            break;
        } else if word.is("GROUP") && after.len() >= 2 {
            if !grouped {
                return Err(Fail::fixed(
                    "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                ));
            }
            found.group = Some((&after[0], &after[1]));
            rest = &after[2..];
        } else if word.is("NOACK") {
            if !grouped {
                return Err(Fail::fixed(
                    "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                ));
            }
            found.no_ack = true;
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    if found.keys.is_empty() {
        return Err(Fail::SYNTAX);
    }
    if grouped && found.group.is_none() {
        return Err(Fail::fixed("ERR Missing GROUP option for XREADGROUP"));
    }
    Ok(found)
}

/// Where reading starts in each stream.
fn starts(state: &mut State, request: &Request) -> Result<Vec<From>, Fail> {
    let version = state.version;
    let last = version.reads_last();
    let mut found = Vec::with_capacity(request.ids.len());
    for (key, id) in request.keys.iter().zip(request.ids) {
        let stream = state.db.read::<Stream>(key)?;
        if let Some((group, _)) = request.group
            && !stream.is_some_and(|stream| stream.groups.contains_key(&**group))
        {
            return Err(Fail::new(
                [
                    b"NOGROUP No such key '",
                    &**key,
                    b"' or consumer group '",
                    &**group,
                    b"' in XREADGROUP with GROUP option",
                ]
                .concat(),
            ));
        }
        let grouped = request.group.is_some();
        found.push(match &**id {
            b"$" if grouped => {
                return Err(Fail::fixed(
                    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
                ));
            }
            b"$" => From::After(stream.map_or(StreamId::MIN, |stream| stream.last)),
            b"+" if grouped && last => {
                return Err(Fail::fixed(
                    "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.",
                ));
            }
            // Valkey looks at the last id ever given, deleted or not.
            b"+" if version.is_valkey() && last => match stream {
                Some(stream) if version.last_needs_an_id() && stream.last == StreamId::MIN => {
                    return Err(Fail::fixed("ERR the stream last element ID is 0-0"));
                }
                stream => {
                    let newest = stream.map_or(StreamId::MIN, |stream| stream.last);
                    From::After(newest.previous().unwrap_or(newest))
                }
            },
            b"+" if last => {
                let newest = stream.and_then(|stream| stream.entries.keys().next_back());
                let before = newest.and_then(|id| id.previous());
                let all = stream.map_or(StreamId::MIN, |stream| stream.last);
                From::After(before.unwrap_or(all))
            }
            b">" if !grouped => {
                return Err(Fail::fixed(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
                ));
            }
            b">" => From::New,
            // Redis marks what is new by the last id of all.
            text => match strict_id(text, 0)? {
                StreamId::MAX if grouped => From::New,
                id => From::After(id),
            },
        });
    }
    Ok(found)
}

pub(in crate::redis::command) fn xread(state: &mut State, args: &[Arg]) -> Out {
    run(state, args, false)
}

pub(in crate::redis::command) fn xreadgroup(state: &mut State, args: &[Arg]) -> Out {
    run(state, args, true)
}

fn run(state: &mut State, args: &[Arg], grouped: bool) -> Out {
    let request = request(args, grouped, state)?;
    let starts = starts(state, &request)?;
    let mut out = Vec::new();
    for (key, from) in request.keys.iter().zip(&starts) {
        let found = match (request.group, *from) {
            (None, From::After(id)) => plain(state, key, id, request.count)?,
            (None, From::New) => None,
            (Some((group, name)), from) => consume(state, key, group, name, from, &request)?,
        };
        if let Some(entries) = found {
            let key = Reply::Bulk(key.shared());
            out.push(Reply::Array(vec![key, Reply::Array(entries)]));
        }
    }
    if !out.is_empty() {
        return Ok(Reply::Array(out));
    }
    if let Some(timeout_us) = request.block_us {
        state.park = Some(Park {
            keys: request.keys.iter().map(Arg::shared).collect(),
            wants: if grouped { Wants::Group } else { Wants::Stream },
            timeout_us,
            command: Some(later(args, &starts)),
        });
    }
    Ok(Reply::Nil)
}

/// The same command, to be executed later: the last id of now is not that of
/// then.
fn later(args: &[Arg], starts: &[From]) -> Command {
    let ids = args.len() - starts.len();
    let mut words: Vec<Bytes> = args.iter().map(Arg::shared).collect();
    for (word, start) in words[ids..].iter_mut().zip(starts) {
        if let From::After(id) = start {
            *word = Bytes::from(id.to_string().as_bytes());
        }
    }
    Command { args: words }
}

fn most(count: usize) -> usize {
    if count == 0 { usize::MAX } else { count }
}

/// Entries after an id; none if there are none.
fn plain(
    state: &mut State,
    key: &Arg,
    id: StreamId,
    count: usize,
) -> Result<Option<Vec<Reply>>, Fail> {
    let Some(stream) = state.db.read::<Stream>(key)? else {
        return Ok(None);
    };
    let after = (Bound::Excluded(id), Bound::Unbounded);
    let found = stream.entries.range(after).take(most(count));
    let found: Vec<Reply> = found.map(|(id, fields)| entry_reply(*id, fields)).collect();
    Ok((!found.is_empty()).then_some(found))
}

/// Delivers to a consumer: new entries, or again what is pending with it.
fn consume(
    state: &mut State,
    key: &Arg,
    group_name: &Arg,
    name: &Arg,
    from: From,
    request: &Request,
) -> Result<Option<Vec<Reply>>, Fail> {
    let (now_ms, version) = (state.db.now_ms, state.version);
    let Some(stream) = state.db.edit::<Stream>(key)? else {
        return Ok(None);
    };
    // Out of the stream while both are needed.
    let Some((group_name, mut group)) = stream.groups.remove_entry(&**group_name) else {
        return Ok(None);
    };
    let name = name.shared();
    let due = match from {
        From::After(_) => true,
        From::New => stream.entries.keys().next_back() > Some(&group.last),
    };
    let new = (due || version.active_consumers()) && group.see(&name, now_ms);
    let out = match from {
        From::After(id) => Some(history(stream, &mut group, &name, id, request, now_ms)),
        From::New if due => Some(deliver(stream, &mut group, &name, request, now_ms)),
        From::New => None,
    };
    stream.groups.insert(group_name, group);
    if new || due {
        state.db.kept_book(key);
    }
    Ok(out)
}

/// What is pending with a consumer, from an id on; counts as delivered again.
fn history(
    stream: &Stream,
    group: &mut Group,
    name: &Bytes,
    after: StreamId,
    request: &Request,
    now_ms: i64,
) -> Vec<Reply> {
    let Some(consumer) = group.consumers.get(name) else {
        return Vec::new();
    };
    let after = (Bound::Excluded(after), Bound::Unbounded);
    let ids = consumer.pending.range(after).take(most(request.count));
    let ids: Vec<StreamId> = ids.copied().collect();
    let show = |id: StreamId| match stream.entries.get(&id) {
        Some(fields) => {
            if let Some(pending) = group.pending.get_mut(&id) {
                pending.delivered_ms = now_ms;
                pending.count += 1;
            }
            entry_reply(id, fields)
        }
        None => Reply::Array(vec![id_reply(id), Reply::Nil]),
    };
    ids.into_iter().map(show).collect()
}

/// What nobody in the group was given yet.
fn deliver(
    stream: &Stream,
    group: &mut Group,
    name: &Bytes,
    request: &Request,
    now_ms: i64,
) -> Vec<Reply> {
    let after = (Bound::Excluded(group.last), Bound::Unbounded);
    let found = stream.entries.range(after).take(most(request.count));
    let mut out = Vec::new();
    for (id, fields) in found {
        group.read = stream.read_after(group, *id);
        group.last = *id;
        out.push(entry_reply(*id, fields));
        if request.no_ack {
            continue;
        }
        let pending = Pending {
            consumer: name.clone(),
            delivered_ms: now_ms,
            count: 1,
        };
        group.assign(*id, pending);
    }
    if let Some(consumer) = group.consumers.get_mut(name) {
        consumer.active_ms = Some(now_ms);
    }
    out
}
