//! Streams, node by node: each a listpack whose first part names the fields
//! that most of its entries have.

use std::collections::{BTreeMap, BTreeSet};

use sluice_core::redis::Bytes;

use super::form;
use super::packed::{listpack, to_listpack};
use super::read::Reader;
use super::write::{len, string};
use crate::redis::number::parse_i64;
use crate::redis::value::{Consumer, Fields, Group, Pending, Stream, StreamId};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

fn id_bytes(id: StreamId) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&id.ms.to_be_bytes());
    out[8..].copy_from_slice(&id.seq.to_be_bytes());
    out
}

fn id_pair(out: &mut Vec<u8>, id: StreamId) {
    len(out, id.ms);
    len(out, id.seq);
}

pub(super) fn write(out: &mut Vec<u8>, stream: &Stream, kind: u8) {
    let number = |n: i64| Bytes::from(n.to_string().as_bytes());
    let nodes = stream.runs();
    len(out, nodes.len() as u64);
    for node in nodes {
        // Deleted entries lose their places.
        let counts = [node.entries.len() as i64, 0, node.names.len() as i64];
        let mut items: Vec<Bytes> = counts.into_iter().map(number).collect();
        items.extend(node.names.iter().cloned());
        items.push(number(0));
        for (id, fields) in node.entries {
            let same = fields.iter().step_by(2).eq(node.names.iter());
            items.push(number(if same { SAME_FIELDS } else { 0 }));
            items.push(number(id.ms.wrapping_sub(node.master.ms) as i64));
            items.push(number(id.seq.wrapping_sub(node.master.seq) as i64));
            let count = fields.len() as i64 / 2;
            if same {
                items.extend(fields.iter().skip(1).step_by(2).cloned());
                items.push(number(count + 3));
            } else {
                items.push(number(count));
                items.extend(fields.iter().cloned());
                items.push(number(2 * count + 4));
            }
        }
        string(out, &id_bytes(node.master));
        string(out, &to_listpack(&items));
    }
    len(out, stream.len() as u64);
    id_pair(out, stream.last);
    id_pair(out, stream.first());
    id_pair(out, stream.max_deleted);
    len(out, stream.added);
    len(out, stream.groups.len() as u64);
    for (name, group) in &stream.groups {
        string(out, name);
        id_pair(out, group.last);
        len(out, group.read.unwrap_or(-1) as u64);
        len(out, group.pending.len() as u64);
        for (id, pending) in &group.pending {
            out.extend(id_bytes(*id));
            out.extend(pending.delivered_ms.to_le_bytes());
            len(out, pending.count as u64);
        }
        len(out, group.consumers.len() as u64);
        for (name, consumer) in &group.consumers {
            string(out, name);
            out.extend(consumer.seen_ms.to_le_bytes());
            if kind == form::STREAM_3 {
                out.extend(consumer.active_ms.unwrap_or(-1).to_le_bytes());
            }
            len(out, consumer.pending.len() as u64);
            for id in &consumer.pending {
                out.extend(id_bytes(*id));
            }
        }
    }
}

fn read_id(from: &mut Reader) -> Option<StreamId> {
    let (ms, seq) = (from.len()?, from.len()?);
    Some(StreamId { ms, seq })
}

fn read_raw_id(from: &mut Reader) -> Option<StreamId> {
    let (ms, seq) = (from.be(8)?, from.be(8)?);
    Some(StreamId { ms, seq })
}

/// One node's entries, into the stream.
fn read_node(stream: &mut Stream, master: StreamId, items: &[Bytes]) -> Option<()> {
    let mut items = items.iter();
    let number = |items: &mut std::slice::Iter<Bytes>| parse_i64(items.next()?);
    let (live, dead) = (number(&mut items)?, number(&mut items)?);
    let count = usize::try_from(number(&mut items)?).ok()?;
    let names: Vec<&Bytes> = items.by_ref().take(count).collect();
    if live < 1 || dead < 0 || names.len() != count || number(&mut items)? != 0 {
        return None;
    }
    let mut entries: Vec<(StreamId, Fields)> = Vec::new();
    let mut last = master;
    let mut gone = 0;
    while items.len() > 0 {
        let flags = number(&mut items)?;
        let (ms, seq) = (number(&mut items)? as u64, number(&mut items)? as u64);
        last = StreamId {
            ms: master.ms.wrapping_add(ms),
            seq: master.seq.wrapping_add(seq),
        };
        let mut fields: Vec<Bytes> = Vec::new();
        if flags & SAME_FIELDS != 0 {
            for name in &names {
                fields.extend([Bytes::clone(name), items.next()?.clone()]);
            }
        } else {
            let count = usize::try_from(number(&mut items)?).ok()?;
            for _ in 0..count.checked_mul(2)? {
                fields.push(items.next()?.clone());
            }
        }
        number(&mut items)?;
        if flags & DELETED != 0 {
            gone += 1;
        } else {
            entries.push((last, fields.into()));
        }
    }
    let grows = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let after = stream.entries.keys().next_back().copied();
    let after = after.is_none_or(|id| entries.first().is_some_and(|(first, _)| id < *first));
    if entries.len() as i64 != live || gone != dead || !grows || !after {
        return None;
    }
    let names = names.into_iter().cloned().collect();
    stream.load_node(master, dead, last, names, entries);
    Some(())
}

fn read_group(from: &mut Reader, stream: &Stream, kind: u8) -> Option<Group> {
    let mut group = Group {
        last: read_id(from)?,
        ..Group::default()
    };
    group.read = if kind == form::STREAM {
        stream.count_until(group.last)
    } else {
        Some(from.len()? as i64).filter(|read| *read >= 0)
    };
    let mut delivered = BTreeMap::new();
    for _ in 0..from.len()? {
        let id = read_raw_id(from)?;
        let at_ms = from.le(8)? as i64;
        let count = from.len()? as i64;
        delivered
            .insert(id, (at_ms, count))
            .is_none()
            .then_some(())?;
    }
    for _ in 0..from.len()? {
        let name = from.string()?;
        let seen_ms = from.le(8)? as i64;
        let active_ms = match kind {
            form::STREAM_3 => Some(from.le(8)? as i64).filter(|at| *at != -1),
            _ => Some(seen_ms),
        };
        let consumer = Consumer {
            pending: BTreeSet::new(),
            seen_ms,
            active_ms,
        };
        let old = group.consumers.insert(name.clone(), consumer);
        old.is_none().then_some(())?;
        for _ in 0..from.len()? {
            let id = read_raw_id(from)?;
            let (delivered_ms, count) = delivered.remove(&id)?;
            let pending = Pending {
                consumer: name.clone(),
                delivered_ms,
                count,
            };
            group.assign(id, pending);
        }
    }
    // Each pending entry is somebody's.
    delivered.is_empty().then_some(group)
}

pub(super) fn read(from: &mut Reader, kind: u8) -> Option<Stream> {
    let mut stream = Stream::default();
    for _ in 0..from.len()? {
        let key = from.string()?;
        let mut key = Reader::new(&key);
        let master = read_raw_id(&mut key).filter(|_| key.left() == 0)?;
        let items = listpack(&from.string()?)?;
        read_node(&mut stream, master, &items)?;
    }
    if from.len()? != stream.len() as u64 {
        return None;
    }
    stream.last = read_id(from)?;
    if kind == form::STREAM {
        stream.added = stream.len() as u64;
    } else {
        let _first = read_id(from)?;
        stream.max_deleted = read_id(from)?;
        stream.added = from.len()?;
    }
    if stream
        .entries
        .keys()
        .next_back()
        .is_some_and(|id| *id > stream.last)
    {
        return None;
    }
    for _ in 0..from.len()? {
        let name = from.string()?;
        let group = read_group(from, &stream, kind)?;
        stream.groups.insert(name, group).is_none().then_some(())?;
    }
    Some(stream)
}
