//! Strings, and the numbers they may hold.

use sluice_core::redis::{Bytes, Reply};

use super::keys::expiry_ms;
use super::{Arg, Fail, Out, bulk, flag, int};
use crate::redis::State;
use crate::redis::extended::Extended;
use crate::redis::number;
use crate::redis::settings::BULK;
use crate::redis::value::Value;

pub(super) fn get(state: &mut State, args: &[Arg]) -> Out {
    Ok(bulk(state.db.read_str(args[1])?))
}

/// When a `SET` or `GETEX` takes effect, and what becomes of the expiry.
#[derive(Default)]
struct Options<'a> {
    only_new: bool,
    only_old: bool,
    get: bool,
    keep: bool,
    persist: bool,
    /// The amount, whether it is in seconds, and whether it is absolute.
    expire: Option<(Arg<'a>, bool, bool)>,
}

fn options<'a>(args: &[Arg<'a>], set: bool) -> Result<Options<'a>, Fail> {
    let mut found = Options::default();
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        let free = found.expire.is_none() && !found.keep && !found.persist;
        if set && word.is("NX") && !found.only_old {
            found.only_new = true;
        } else if set && word.is("XX") && !found.only_new {
            found.only_old = true;
        } else if set && word.is("GET") {
            found.get = true;
        } else if set && word.is("KEEPTTL") && found.expire.is_none() {
            found.keep = true;
        } else if !set && word.is("PERSIST") && found.expire.is_none() {
            found.persist = true;
        } else {
            let (seconds, absolute) = if word.is("EX") {
                (true, false)
            } else if word.is("PX") {
                (false, false)
            } else if word.is("EXAT") {
                (true, true)
            } else if word.is("PXAT") {
                (false, true)
            } else {
                return Err(Fail::SYNTAX);
            };
            let amount = rest.next().filter(|_| free).ok_or(Fail::SYNTAX)?;
            found.expire = Some((*amount, seconds, absolute));
        }
    }
    Ok(found)
}

pub(super) fn set(state: &mut State, args: &[Arg]) -> Out {
    let options = options(&args[3..], true)?;
    let expires = match options.expire {
        Some((amount, seconds, absolute)) => {
            Some(expiry_ms(state, amount.int()?, seconds, absolute, "set")?)
        }
        None => None,
    };
    let key = &args[1];
    let old = if options.get {
        state.db.read_str(key)?.cloned()
    } else {
        None
    };
    let (exists, kept) = match state.db.entry(key) {
        Some(entry) => (true, entry.expires),
        None => (false, None),
    };
    let done = !(options.only_new && exists || options.only_old && !exists);
    if done {
        let expires = if options.keep { kept } else { expires };
        state
            .db
            .put(key.shared(), Value::Str(args[2].shared()), expires);
    }
    Ok(match (options.get, done) {
        (true, _) => bulk(old.as_ref()),
        (false, true) => state.replies.ok(),
        (false, false) => Reply::Nil,
    })
}

pub(super) fn setnx(state: &mut State, args: &[Arg]) -> Out {
    if state.db.exists(args[1]) {
        return int(0);
    }
    let value = Value::Str(args[2].shared());
    state.db.put(args[1].shared(), value, None);
    int(1)
}

pub(super) fn setex(state: &mut State, args: &[Arg]) -> Out {
    set_with_expiry(state, args, true, "setex")
}

pub(super) fn psetex(state: &mut State, args: &[Arg]) -> Out {
    set_with_expiry(state, args, false, "psetex")
}

fn set_with_expiry(state: &mut State, args: &[Arg], seconds: bool, name: &str) -> Out {
    let at = expiry_ms(state, args[2].int()?, seconds, false, name)?;
    let value = Value::Str(args[3].shared());
    state.db.put(args[1].shared(), value, Some(at));
    Ok(state.replies.ok())
}

pub(super) fn getset(state: &mut State, args: &[Arg]) -> Out {
    let old = bulk(state.db.read_str(args[1])?);
    let value = Value::Str(args[2].shared());
    state.db.put(args[1].shared(), value, None);
    Ok(old)
}

pub(super) fn getdel(state: &mut State, args: &[Arg]) -> Out {
    let old = bulk(state.db.read_str(args[1])?);
    state.db.remove(&args[1]);
    Ok(old)
}

pub(super) fn getex(state: &mut State, args: &[Arg]) -> Out {
    let options = options(&args[2..], false)?;
    let expiry = |state: &State| {
        let at = options.expire.map(|(amount, seconds, absolute)| {
            expiry_ms(state, amount.int()?, seconds, absolute, "getex")
        });
        at.transpose()
    };
    if state.version.reads_expiry_first() {
        expiry(state)?;
    }
    let Some(value) = state.db.read_str(args[1])?.cloned() else {
        return Ok(Reply::Nil);
    };
    if let Some(at) = expiry(state)? {
        state.db.expire(&args[1], Some(at));
    } else if options.persist && state.db.is_mortal(&args[1]) {
        state.db.expire(&args[1], None);
    }
    Ok(Reply::Bulk(value))
}

pub(super) fn mget(state: &mut State, args: &[Arg]) -> Out {
    let values = args[1..]
        .iter()
        .map(|key| bulk(state.db.read_str(key).unwrap_or(None)));
    Ok(Reply::Array(values.collect()))
}

pub(super) fn mset(state: &mut State, args: &[Arg]) -> Out {
    if args.len().is_multiple_of(2) {
        return Err(Fail::arity("mset"));
    }
    put_pairs(state, &args[1..]);
    Ok(state.replies.ok())
}

pub(super) fn msetnx(state: &mut State, args: &[Arg]) -> Out {
    if args.len().is_multiple_of(2) {
        return Err(Fail::arity("msetnx"));
    }
    let free = !args[1..].iter().step_by(2).any(|key| state.db.exists(key));
    if free {
        put_pairs(state, &args[1..]);
    }
    flag(free)
}

fn put_pairs(state: &mut State, pairs: &[Arg]) {
    for pair in pairs.chunks_exact(2) {
        let value = Value::Str(pair[1].shared());
        state.db.put(pair[0].shared(), value, None);
    }
}

pub(super) fn incr(state: &mut State, args: &[Arg]) -> Out {
    add(state, &args[1], 1)
}

pub(super) fn decr(state: &mut State, args: &[Arg]) -> Out {
    add(state, &args[1], -1)
}

pub(super) fn incrby(state: &mut State, args: &[Arg]) -> Out {
    let by = args[2].int()?;
    add(state, &args[1], by)
}

pub(super) fn decrby(state: &mut State, args: &[Arg]) -> Out {
    let by = args[2].int()?;
    if by == i64::MIN && state.version.bounds_decrements() {
        return Err(Fail::fixed("ERR decrement would overflow"));
    }
    let by = by.wrapping_neg();
    add(state, &args[1], by)
}

fn add(state: &mut State, key: &Arg, by: i64) -> Out {
    let old = match state.db.read_str(key)? {
        Some(text) => Arg::Shared(text).int()?,
        None => 0,
    };
    let new = old
        .checked_add(by)
        .ok_or(Fail::fixed("ERR increment or decrement would overflow"))?;
    state
        .db
        .write_str(key, Bytes::from(new.to_string().as_bytes()));
    Ok(Reply::Int(new))
}

pub(super) fn incrbyfloat(state: &mut State, args: &[Arg]) -> Out {
    // An infinity is a number, with which no sum is.
    let infinite = |text: &[u8]| number::parse_f64(text).is_some_and(f64::is_infinite);
    let (old, mut endless) = match state.db.read_str(args[1])? {
        Some(text) if infinite(text) => (Extended::ZERO, true),
        Some(text) => (Extended::parse(text).ok_or(Fail::NOT_A_FLOAT)?, false),
        None => (Extended::ZERO, false),
    };
    let by = match infinite(&args[2]) {
        true => Extended::ZERO,
        false => Extended::parse(&args[2]).ok_or(Fail::NOT_A_FLOAT)?,
    };
    endless |= infinite(&args[2]);
    if endless {
        return Err(Fail::fixed("ERR increment would produce NaN or Infinity"));
    }
    let new = old
        .plus(by)
        .ok_or(Fail::fixed("ERR increment would produce NaN or Infinity"))?;
    let text = Bytes::from(new.to_string().as_bytes());
    state.db.write_str(&args[1], text.clone());
    Ok(Reply::Bulk(text))
}

pub(super) fn append(state: &mut State, args: &[Arg]) -> Out {
    let longest = state.settings.size(&BULK);
    let text = match state.db.read_str(args[1])? {
        Some(old) if old.len() + args[2].len() > longest => {
            return Err(TOO_LONG);
        }
        Some(old) => Bytes::from([&**old, &*args[2]].concat()),
        None => args[2].shared(),
    };
    let len = text.len();
    state.db.write_str(&args[1], text);
    int(len)
}

const TOO_LONG: Fail = Fail::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

pub(super) fn setrange(state: &mut State, args: &[Arg]) -> Out {
    let start =
        usize::try_from(args[2].int()?).map_err(|_| Fail::fixed("ERR offset is out of range"))?;
    let len = state.db.read_str(args[1])?.map_or(0, |text| text.len());
    let part = &args[3];
    if part.is_empty() {
        return int(len);
    }
    let end = start.saturating_add(part.len());
    if end > state.settings.size(&BULK) {
        return Err(TOO_LONG);
    }
    state.db.edit_str(&args[1], end, |text| {
        text[start..end].copy_from_slice(part);
        (Reply::Int(text.len() as i64), true)
    })
}

pub(super) fn strlen(state: &mut State, args: &[Arg]) -> Out {
    int(state.db.read_str(args[1])?.map_or(0, |text| text.len()))
}

pub(super) fn getrange(state: &mut State, args: &[Arg]) -> Out {
    let (start, end) = (args[2].int()?, args[3].int()?);
    let Some(text) = state.db.read_str(args[1])? else {
        return Ok(Reply::bulk(b""));
    };
    let len = text.len() as i64;
    if start < 0 && end < 0 && start > end {
        return Ok(Reply::bulk(b""));
    }
    let from_end = |at: i64| {
        if at < 0 {
            at.saturating_add(len).max(0)
        } else {
            at
        }
    };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    if start > end || len == 0 {
        return Ok(Reply::bulk(b""));
    }
    Ok(Reply::bulk(&text[start as usize..=end as usize]))
}
