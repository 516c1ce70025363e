//! `SORT` and `SORT_RO`.

use std::cmp::Ordering;

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out, bulk, int};
use crate::redis::value::{Hash, List, Typed as _, Value};
use crate::redis::{State, Version, cluster, number};

struct Options<'a> {
    by: Option<Arg<'a>>,
    get: Vec<Arg<'a>>,
    limit: Option<(i64, i64)>,
    descending: bool,
    alpha: bool,
    store: Option<Arg<'a>>,
}

fn options<'a>(state: &State, args: &[Arg<'a>], read_only: bool) -> Result<Options<'a>, Fail> {
    let (key, args) = (&args[1], &args[2..]);
    let mut found = Options {
        by: None,
        get: Vec::new(),
        limit: None,
        descending: false,
        alpha: false,
        store: None,
    };
    let mut rest = args;
    while let [word, after @ ..] = rest {
        rest = after;
        if word.is("ASC") {
            found.descending = false;
        } else if word.is("DESC") {
            found.descending = true;
        } else if word.is("ALPHA") {
            found.alpha = true;
        } else if word.is("LIMIT") && after.len() >= 2 {
            found.limit = Some((after[0].int()?, after[1].int()?));
            rest = &after[2..];
        } else if !read_only && word.is("STORE") && !after.is_empty() {
            found.store = Some(after[0]);
            rest = &after[1..];
        } else if word.is("BY") && !after.is_empty() {
            let sorts = after[0].contains(&b'*');
            if sorts && cluster::denies(state, key, &after[0]) {
                return Err(denied("BY", state));
            }
            found.by = Some(after[0]);
            rest = &after[1..];
        } else if word.is("GET") && !after.is_empty() {
            if cluster::denies(state, key, &after[0]) {
                return Err(denied("GET", state));
            }
            found.get.push(after[0]);
            rest = &after[1..];
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    Ok(found)
}

fn denied(option: &str, state: &State) -> Fail {
    let when = if state.version.sorts_within_slots() {
        " when keys formed by the pattern may be in different slots"
    } else {
        ""
    };
    Fail::new(format!(
        "ERR {option} option of SORT denied in Cluster mode{when}."
    ))
}

/// What a pattern stands for with `item` in place of its star: a string, or
/// (after `->`) a field of a hash.
fn look_up(state: &mut State, pattern: &[u8], item: &Bytes) -> Option<Bytes> {
    if pattern == b"#" {
        return Some(item.clone());
    }
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let after = &pattern[star + 1..];
    let arrow = after.windows(2).position(|pair| pair == b"->");
    let (after, field) = match arrow {
        Some(at) if at + 2 < after.len() => (&after[..at], Some(&after[at + 2..])),
        _ => (after, None),
    };
    let key = [&pattern[..star], item, after].concat();
    match field {
        None => state.db.read_str(&*key).ok()?.cloned(),
        Some(field) => state.db.read::<Hash>(&*key).ok()??.get(field).cloned(),
    }
}

/// An item with what it is sorted by.
struct Row {
    item: Bytes,
    score: f64,
    text: Option<Bytes>,
}

/// What C takes for the whole of a string.
fn c_string(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// `strtod`, to which nothing is 0.
fn number(text: &[u8], version: Version) -> Result<f64, Fail> {
    let text = c_string(text);
    let plain = version.reads_plain_floats();
    let text = if plain { text } else { text.trim_ascii_start() };
    if text.is_empty() && !version.nothing_is_no_number() {
        return Ok(0.0);
    }
    let hexadecimal = plain && number::is_hexadecimal(text);
    let value = number::parse_f64(text).filter(|_| !hexadecimal);
    value.ok_or(Fail::fixed(
        "ERR One or more scores can't be converted into double",
    ))
}

fn rows(state: &mut State, items: Vec<Bytes>, options: &Options) -> Result<Vec<Row>, Fail> {
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let by = match &options.by {
            Some(pattern) => look_up(state, pattern, &item),
            None => Some(item.clone()),
        };
        let score = match &by {
            Some(text) if !options.alpha => number(text, state.version)?,
            _ => 0.0,
        };
        rows.push(Row {
            item,
            score,
            text: by,
        });
    }
    Ok(rows)
}

fn order(a: &Row, b: &Row, options: &Options) -> Ordering {
    let order = if options.alpha {
        let read = |row: &Row| match (&row.text, options.store) {
            // `strcoll`, unless the result is kept.
            (Some(text), None) => Some(c_string(text).to_vec()),
            (text, _) => text.as_deref().map(<[u8]>::to_vec),
        };
        read(a).cmp(&read(b))
    } else {
        let order = a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal);
        order.then_with(|| a.item.cmp(&b.item))
    };
    if options.descending {
        order.reverse()
    } else {
        order
    }
}

pub(super) fn sort(state: &mut State, args: &[Arg]) -> Out {
    run(state, args, false)
}

pub(super) fn sort_ro(state: &mut State, args: &[Arg]) -> Out {
    run(state, args, true)
}

fn run(state: &mut State, args: &[Arg], read_only: bool) -> Out {
    let options = options(state, args, read_only)?;
    let mut items: Vec<Bytes> = match state.db.entry(args[1]).map(|e| &e.value) {
        None => Vec::new(),
        Some(Value::List(list)) => list.iter().cloned().collect(),
        // Byte order: what Redis itself sorts by where an order must be stable.
        Some(Value::Set(set)) => set.iter().cloned().collect(),
        Some(Value::ZSet(zset)) => {
            let all = zset.range(0, usize::MAX).into_iter();
            all.map(|(member, _)| member.clone()).collect()
        }
        Some(_) => return Err(Fail::WRONG_TYPE),
    };
    // A pattern without a star is the same for all: nothing is sorted.
    let as_is = options.by.is_some_and(|pattern| !pattern.contains(&b'*'));
    if as_is {
        if options.descending {
            items.reverse();
        }
    } else {
        let mut rows = rows(state, items, &options)?;
        rows.sort_by(|a, b| order(a, b, &options));
        items = rows.into_iter().map(|row| row.item).collect();
    }
    if let Some((offset, count)) = options.limit {
        let start = usize::try_from(offset.max(0))
            .unwrap_or(usize::MAX)
            .min(items.len());
        items.drain(..start);
        items.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    }
    let mut out: Vec<Option<Bytes>> = Vec::with_capacity(items.len());
    for item in items {
        if options.get.is_empty() {
            out.push(Some(item));
            continue;
        }
        for pattern in &options.get {
            out.push(look_up(state, pattern, &item));
        }
    }
    match options.store {
        None => Ok(Reply::Array(
            out.iter().map(|item| bulk(item.as_ref())).collect(),
        )),
        Some(key) => store(state, &key, out),
    }
}

fn store(state: &mut State, key: &Arg, items: Vec<Option<Bytes>>) -> Out {
    let list: List = items.into_iter().map(Option::unwrap_or_default).collect();
    let len = list.len();
    if len > 0 {
        state.db.put(key.shared(), list.wrap(), None);
    } else if state.db.exists(key) {
        state.db.remove(key);
    }
    int(len)
}
