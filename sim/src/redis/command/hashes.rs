//! Hashes.

use sluice_core::redis::{Bytes, Reply};

use super::sets::random_count;
use super::{Arg, Fail, Out, bulk, flag, int};
use crate::redis::State;
use crate::redis::extended::Extended;
use crate::redis::number;
use crate::redis::value::Hash;

fn put_all(state: &mut State, args: &[Arg], name: &str) -> Result<usize, Fail> {
    if args.len() % 2 == 1 {
        return Err(Fail::arity(name));
    }
    let hash = state.db.upsert::<Hash>(&args[1])?;
    let mut new = 0;
    for pair in args[2..].chunks_exact(2) {
        new += usize::from(hash.insert(pair[0].shared(), pair[1].shared()));
    }
    state.db.changed(&args[1]);
    Ok(new)
}

pub(super) fn hset(state: &mut State, args: &[Arg]) -> Out {
    int(put_all(state, args, "hset")?)
}

pub(super) fn hmset(state: &mut State, args: &[Arg]) -> Out {
    put_all(state, args, "hmset")?;
    Ok(state.replies.ok())
}

pub(super) fn hsetnx(state: &mut State, args: &[Arg]) -> Out {
    let hash = state.db.upsert::<Hash>(&args[1])?;
    if hash.get(&args[2]).is_some() {
        return int(0);
    }
    hash.insert(args[2].shared(), args[3].shared());
    state.db.changed(&args[1]);
    int(1)
}

pub(super) fn hget(state: &mut State, args: &[Arg]) -> Out {
    let hash = state.db.read::<Hash>(&args[1])?;
    Ok(bulk(hash.and_then(|hash| hash.get(&args[2]))))
}

pub(super) fn hmget(state: &mut State, args: &[Arg]) -> Out {
    let hash = state.db.read::<Hash>(&args[1])?;
    let values = args[2..]
        .iter()
        .map(|field| bulk(hash.and_then(|hash| hash.get(field))));
    Ok(Reply::Array(values.collect()))
}

fn list_all(state: &mut State, key: &Arg, fields: bool, values: bool) -> Out {
    let mut out = Vec::new();
    if let Some(hash) = state.db.read::<Hash>(key)? {
        for (field, value) in hash.iter() {
            if fields {
                out.push(Reply::Bulk(field.clone()));
            }
            if values {
                out.push(Reply::Bulk(value.clone()));
            }
        }
    }
    Ok(Reply::Array(out))
}

pub(super) fn hgetall(state: &mut State, args: &[Arg]) -> Out {
    list_all(state, &args[1], true, true)
}

pub(super) fn hkeys(state: &mut State, args: &[Arg]) -> Out {
    list_all(state, &args[1], true, false)
}

pub(super) fn hvals(state: &mut State, args: &[Arg]) -> Out {
    list_all(state, &args[1], false, true)
}

pub(super) fn hdel(state: &mut State, args: &[Arg]) -> Out {
    let Some(hash) = state.db.edit::<Hash>(&args[1])? else {
        return int(0);
    };
    let gone = args[2..].iter().filter(|field| hash.remove(field)).count();
    if gone > 0 {
        state.db.shrunk::<Hash>(&args[1]);
    }
    int(gone)
}

pub(super) fn hlen(state: &mut State, args: &[Arg]) -> Out {
    int(state.db.read::<Hash>(&args[1])?.map_or(0, Hash::len))
}

pub(super) fn hexists(state: &mut State, args: &[Arg]) -> Out {
    let hash = state.db.read::<Hash>(&args[1])?;
    flag(hash.is_some_and(|hash| hash.get(&args[2]).is_some()))
}

pub(super) fn hstrlen(state: &mut State, args: &[Arg]) -> Out {
    let hash = state.db.read::<Hash>(&args[1])?;
    let value = hash.and_then(|hash| hash.get(&args[2]));
    int(value.map_or(0, |value| value.len()))
}

pub(super) fn hincrby(state: &mut State, args: &[Arg]) -> Out {
    let by = args[3].int()?;
    let hash = state.db.read::<Hash>(&args[1])?;
    let old = match hash.and_then(|hash| hash.get(&args[2])) {
        Some(text) => {
            number::parse_i64(text).ok_or(Fail::fixed("ERR hash value is not an integer"))?
        }
        None => 0,
    };
    let new = old
        .checked_add(by)
        .ok_or(Fail::fixed("ERR increment or decrement would overflow"))?;
    let text = Bytes::from(new.to_string().as_bytes());
    let hash = state.db.upsert::<Hash>(&args[1])?;
    hash.insert(args[2].shared(), text);
    state.db.changed(&args[1]);
    Ok(Reply::Int(new))
}

pub(super) fn hincrbyfloat(state: &mut State, args: &[Arg]) -> Out {
    let by = match number::parse_f64(&args[3]) {
        Some(by) if by.is_infinite() => {
            return Err(Fail::fixed("ERR value is NaN or Infinity"));
        }
        _ => Extended::parse(&args[3]).ok_or(Fail::NOT_A_FLOAT)?,
    };
    let hash = state.db.read::<Hash>(&args[1])?;
    let old = match hash.and_then(|hash| hash.get(&args[2])) {
        Some(text) if number::parse_f64(text).is_some_and(f64::is_infinite) => {
            return Err(Fail::fixed("ERR increment would produce NaN or Infinity"));
        }
        Some(text) => Extended::parse(text).ok_or(Fail::fixed("ERR hash value is not a float"))?,
        None => Extended::ZERO,
    };
    let new = old
        .plus(by)
        .ok_or(Fail::fixed("ERR increment would produce NaN or Infinity"))?;
    let text = Bytes::from(new.to_string().as_bytes());
    let hash = state.db.upsert::<Hash>(&args[1])?;
    hash.insert(args[2].shared(), text.clone());
    state.db.changed(&args[1]);
    Ok(Reply::Bulk(text))
}

pub(super) fn hrandfield(state: &mut State, args: &[Arg]) -> Out {
    let (count, values) = random_count(&args[2..], "WITHVALUES")?;
    let mut draw = state.draw;
    let Some(hash) = state.db.read::<Hash>(&args[1])? else {
        return Ok(count.map_or(Reply::Nil, |_| Reply::Array(Vec::new())));
    };
    let Some(count) = count else {
        let field = hash.iter().nth(draw.below(hash.len()));
        let reply = bulk(field.map(|(field, _)| field));
        state.draw = draw;
        return Ok(reply);
    };
    let mut out = Vec::new();
    for (field, value) in draw.some_of(hash.iter(), count) {
        out.push(Reply::Bulk(field.clone()));
        if values {
            out.push(Reply::Bulk(value.clone()));
        }
    }
    state.draw = draw;
    Ok(Reply::Array(out))
}
