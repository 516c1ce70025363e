//! `XPENDING`, `XCLAIM`, `XAUTOCLAIM`: what is delivered and not acknowledged,
//! and taking it over.

use std::ops::Bound;

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out, State, end_of, entry_reply, id_reply, start_of, strict_id};
use crate::redis::value::{Group, Pending, Stream, StreamId};

fn no_group(key: &Arg, group: &Arg) -> Fail {
    let parts: [&[u8]; 5] = [
        b"NOGROUP No such key '",
        key,
        b"' or consumer group '",
        group,
        b"'",
    ];
    Fail::new(parts.concat())
}

/// The stream with its group taken out, which the caller puts back.
fn open<'a>(
    state: &'a mut State,
    key: &Arg,
    group: &Arg,
) -> Result<(&'a mut Stream, Bytes, Group), Fail> {
    let stream = state.db.edit::<Stream>(key)?;
    let stream = stream.ok_or_else(|| no_group(key, group))?;
    let taken = stream.groups.remove_entry(&**group);
    let (name, taken) = taken.ok_or_else(|| no_group(key, group))?;
    Ok((stream, name, taken))
}

/// Which pending entries are asked for.
struct Window<'a, 'b> {
    start: StreamId,
    end: StreamId,
    count: usize,
    idle_ms: i64,
    consumer: Option<&'a Arg<'b>>,
}

fn window<'a, 'b>(args: &'a [Arg<'b>]) -> Result<Option<Window<'a, 'b>>, Fail> {
    if args.is_empty() {
        return Ok(None);
    }
    if !(3..=6).contains(&args.len()) {
        return Err(Fail::SYNTAX);
    }
    let (mut idle_ms, mut rest) = (0, args);
    if args[0].is("IDLE") {
        idle_ms = args[1].int()?;
        rest = &args[2..];
        if rest.len() < 3 {
            return Err(Fail::SYNTAX);
        }
    }
    let count = usize::try_from(rest[2].int()?).unwrap_or(0);
    Ok(Some(Window {
        start: start_of(&rest[0])?,
        end: end_of(&rest[1])?,
        count,
        idle_ms,
        consumer: rest.get(3),
    }))
}

pub(in crate::redis::command) fn xpending(state: &mut State, args: &[Arg]) -> Out {
    let window = window(&args[3..])?;
    let now_ms = state.db.now_ms;
    let stream = state.db.read::<Stream>(&args[1])?;
    let group = stream.and_then(|stream| stream.groups.get(&*args[2]));
    let group = group.ok_or_else(|| no_group(&args[1], &args[2]))?;
    let Some(window) = window else {
        return Ok(summary(group));
    };
    if window.start > window.end {
        return Ok(Reply::Array(Vec::new()));
    }
    let bounds = (Bound::Included(window.start), Bound::Included(window.end));
    let show = |(id, pending): (&StreamId, &Pending)| {
        let idle_ms = now_ms - pending.delivered_ms;
        (window.idle_ms == 0 || idle_ms >= window.idle_ms).then(|| {
            Reply::Array(vec![
                id_reply(*id),
                Reply::Bulk(pending.consumer.clone()),
                Reply::Int(idle_ms.max(0)),
                Reply::Int(pending.count),
            ])
        })
    };
    let found: Vec<Reply> = match window.consumer {
        None => {
            let found = group.pending.range(bounds).filter_map(show);
            found.take(window.count).collect()
        }
        Some(name) => {
            let consumer = group.consumers.get(&**name);
            let ids = consumer.into_iter().flat_map(|c| c.pending.range(bounds));
            let found = ids.filter_map(|id| show((id, group.pending.get(id)?)));
            found.take(window.count).collect()
        }
    };
    Ok(Reply::Array(found))
}

fn summary(group: &Group) -> Reply {
    let (Some(first), Some(last)) = (
        group.pending.keys().next(),
        group.pending.keys().next_back(),
    ) else {
        return Reply::Array(vec![Reply::Int(0), Reply::Nil, Reply::Nil, Reply::Nil]);
    };
    let busy = group
        .consumers
        .iter()
        .filter(|(_, c)| !c.pending.is_empty());
    let busy = busy.map(|(name, consumer)| {
        let count = Reply::bulk(consumer.pending.len().to_string());
        Reply::Array(vec![Reply::Bulk(name.clone()), count])
    });
    Reply::Array(vec![
        Reply::Int(group.pending.len() as i64),
        id_reply(*first),
        id_reply(*last),
        Reply::Array(busy.collect()),
    ])
}

/// The options of `XCLAIM`.
struct Claim {
    ids: Vec<StreamId>,
    delivered_ms: Option<i64>,
    count: Option<i64>,
    force: bool,
    only_ids: bool,
    last: StreamId,
}

fn claim(args: &[Arg], now_ms: i64) -> Result<Claim, Fail> {
    let ids: Vec<StreamId> = args
        .iter()
        .map_while(|arg| strict_id(arg, 0).ok())
        .collect();
    let mut rest = &args[ids.len()..];
    let mut found = Claim {
        ids,
        delivered_ms: None,
        count: None,
        force: false,
        only_ids: false,
        last: StreamId::MIN,
    };
    while let [word, after @ ..] = rest {
        rest = after;
        let number = |name: &str| {
            let text = || Fail::new(format!("ERR Invalid {name} option argument for XCLAIM"));
            after[0].int().map_err(|_| text())
        };
        if word.is("FORCE") {
            found.force = true;
            continue;
        } else if word.is("JUSTID") {
            found.only_ids = true;
            continue;
        } else if word.is("IDLE") && !after.is_empty() {
            found.delivered_ms = Some(now_ms.wrapping_sub(number("IDLE")?));
        } else if word.is("TIME") && !after.is_empty() {
            found.delivered_ms = Some(number("TIME")?);
        } else if word.is("RETRYCOUNT") && !after.is_empty() {
            found.count = Some(number("RETRYCOUNT")?).filter(|count| *count >= 0);
        } else if word.is("LASTID") && !after.is_empty() {
            found.last = strict_id(&after[0], 0)?;
        } else {
            return Err(Fail::new(
                [b"ERR Unrecognized XCLAIM option '", &**word, b"'"].concat(),
            ));
        }
        rest = &after[1..];
    }
    Ok(found)
}

/// Gives a pending entry to a consumer; the reply's part for it.
fn give(
    stream: &Stream,
    group: &mut Group,
    id: StreamId,
    pending: Pending,
    only_ids: bool,
) -> Reply {
    let (name, now_ms) = (pending.consumer.clone(), pending.delivered_ms);
    group.assign(id, pending);
    if let Some(consumer) = group.consumers.get_mut(&name) {
        consumer.active_ms = Some(now_ms);
    }
    match stream.entries.get(&id) {
        _ if only_ids => id_reply(id),
        Some(fields) => entry_reply(id, fields),
        None => Reply::Nil,
    }
}

pub(in crate::redis::command) fn xclaim(state: &mut State, args: &[Arg]) -> Out {
    let (now_ms, version) = (state.db.now_ms, state.version);
    let stream = state.db.read::<Stream>(&args[1])?;
    if !stream.is_some_and(|stream| stream.groups.contains_key(&*args[2])) {
        return Err(no_group(&args[1], &args[2]));
    }
    let idle_ms = args[4].int();
    let idle_ms =
        idle_ms.map_err(|_| Fail::fixed("ERR Invalid min-idle-time argument for XCLAIM"))?;
    let claim = claim(&args[5..], now_ms)?;
    let sane = claim.delivered_ms.filter(|at| (0..=now_ms).contains(at));
    let delivered_ms = sane.unwrap_or(now_ms);
    let name = args[3].shared();
    let (stream, group_name, mut group) = open(state, &args[1], &args[2])?;
    group.last = group.last.max(claim.last);
    if version.active_consumers() {
        group.see(&name, now_ms);
    }
    let mut out = Vec::new();
    for id in claim.ids {
        let deleted = !stream.entries.contains_key(&id);
        if deleted && version.drops_deleted() {
            group.release(id);
            continue;
        }
        let count = match group.pending.get(&id) {
            Some(old) if idle_ms > 0 && now_ms - old.delivered_ms < idle_ms => continue,
            Some(old) => old.count,
            None if claim.force && !deleted => 1,
            None => continue,
        };
        group.see(&name, now_ms);
        let pending = Pending {
            consumer: name.clone(),
            delivered_ms,
            count: match claim.count {
                Some(count) => count,
                None if claim.only_ids => count,
                None => count.saturating_add(1),
            },
        };
        out.push(give(stream, &mut group, id, pending, claim.only_ids));
    }
    stream.groups.insert(group_name, group);
    state.db.kept_book(&args[1]);
    Ok(Reply::Array(out))
}

pub(in crate::redis::command) fn xautoclaim(state: &mut State, args: &[Arg]) -> Out {
    /// Looks at so many entries for each that is wanted.
    const ATTEMPTS: usize = 10;
    const MOST: i64 = i64::MAX / 16;
    let (now_ms, version) = (state.db.now_ms, state.version);
    let idle_ms = args[4].int();
    let idle_ms =
        idle_ms.map_err(|_| Fail::fixed("ERR Invalid min-idle-time argument for XAUTOCLAIM"))?;
    let start = start_of(&args[5])?;
    let (mut count, mut only_ids) = (100usize, false);
    let mut rest = &args[6..];
    while let [word, after @ ..] = rest {
        rest = after;
        if word.is("COUNT") && !after.is_empty() {
            let value = after[0].int().ok().filter(|n| (1..=MOST).contains(n));
            let value = value.ok_or(Fail::fixed("ERR COUNT must be > 0"))?;
            count = usize::try_from(value).unwrap_or(usize::MAX);
            rest = &after[1..];
        } else if word.is("JUSTID") {
            only_ids = true;
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    let name = args[3].shared();
    let (stream, group_name, mut group) = open(state, &args[1], &args[2])?;
    if version.active_consumers() {
        group.see(&name, now_ms);
    }
    let (mut out, mut gone) = (Vec::new(), Vec::new());
    let mut next = Some(start);
    for _ in 0..count.saturating_mul(ATTEMPTS) {
        let here = next.and_then(|next| group.pending.range(next..).next());
        let Some((id, old)) = here.filter(|_| out.len() + gone.len() < count) else {
            break;
        };
        let (id, old) = (*id, old.clone());
        next = id.next();
        if version.drops_deleted() && !stream.entries.contains_key(&id) {
            group.release(id);
            gone.push(id_reply(id));
            continue;
        }
        if idle_ms > 0 && now_ms - old.delivered_ms < idle_ms {
            continue;
        }
        group.see(&name, now_ms);
        let pending = Pending {
            consumer: name.clone(),
            delivered_ms: now_ms,
            count: old.count.saturating_add(i64::from(!only_ids)),
        };
        out.push(give(stream, &mut group, id, pending, only_ids));
    }
    let cursor = next.and_then(|next| group.pending.range(next..).next());
    let cursor = cursor.map_or(StreamId::MIN, |(id, _)| *id);
    stream.groups.insert(group_name, group);
    state.db.kept_book(&args[1]);
    let mut reply = vec![id_reply(cursor), Reply::Array(out)];
    if version.drops_deleted() {
        reply.push(Reply::Array(gone));
    }
    Ok(Reply::Array(reply))
}
