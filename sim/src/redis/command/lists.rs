//! Lists.

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out, bulk, int};
use crate::redis::State;
use crate::redis::value::List;

const OUT_OF_RANGE: Fail = Fail::fixed("ERR index out of range");

fn push(state: &mut State, args: &[Arg], left: bool, only_old: bool) -> Out {
    if only_old && state.db.read::<List>(&args[1])?.is_none() {
        return int(0);
    }
    let list = state.db.upsert::<List>(&args[1])?;
    for value in &args[2..] {
        push_one(list, value.shared(), left);
    }
    let len = list.len();
    state.db.changed(&args[1]);
    int(len)
}

fn push_one(list: &mut List, value: Bytes, left: bool) {
    if left {
        list.push_front(value);
    } else {
        list.push_back(value);
    }
}

pub(super) fn pop_one(list: &mut List, left: bool) -> Option<Bytes> {
    if left {
        list.pop_front()
    } else {
        list.pop_back()
    }
}

pub(super) fn lpush(state: &mut State, args: &[Arg]) -> Out {
    push(state, args, true, false)
}

pub(super) fn rpush(state: &mut State, args: &[Arg]) -> Out {
    push(state, args, false, false)
}

pub(super) fn lpushx(state: &mut State, args: &[Arg]) -> Out {
    push(state, args, true, true)
}

pub(super) fn rpushx(state: &mut State, args: &[Arg]) -> Out {
    push(state, args, false, true)
}

/// The optional count of a pop: not negative.
pub(super) fn pop_count(arg: &Arg) -> Result<usize, Fail> {
    let positive = arg.int().ok().and_then(|count| usize::try_from(count).ok());
    positive.ok_or(Fail::fixed("ERR value is out of range, must be positive"))
}

fn pop(state: &mut State, args: &[Arg], left: bool, name: &str) -> Out {
    if args.len() > 3 {
        return Err(Fail::arity(name));
    }
    let count = match args.get(2) {
        Some(count) => Some(pop_count(count)?),
        None => None,
    };
    let Some(list) = state.db.edit::<List>(&args[1])? else {
        return Ok(Reply::Nil);
    };
    let reply = match count {
        None => bulk(pop_one(list, left).as_ref()),
        Some(count) => {
            let popped = (0..count.min(list.len())).filter_map(|_| pop_one(list, left));
            Reply::Array(popped.map(Reply::Bulk).collect())
        }
    };
    if count != Some(0) {
        state.db.shrunk::<List>(&args[1]);
    }
    Ok(reply)
}

pub(super) fn lpop(state: &mut State, args: &[Arg]) -> Out {
    pop(state, args, true, "lpop")
}

pub(super) fn rpop(state: &mut State, args: &[Arg]) -> Out {
    pop(state, args, false, "rpop")
}

pub(super) fn llen(state: &mut State, args: &[Arg]) -> Out {
    int(state.db.read::<List>(&args[1])?.map_or(0, List::len))
}

/// Clips Redis's inclusive, maybe negative bounds to `start..end` of `len` items.
pub(super) fn clip(start: i64, end: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let absolute = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let start = absolute(start).max(0);
    let end = absolute(end).min(len - 1).saturating_add(1);
    if start >= end {
        (0, 0)
    } else {
        (start as usize, end as usize)
    }
}

pub(super) fn lrange(state: &mut State, args: &[Arg]) -> Out {
    let (start, end) = (args[2].int()?, args[3].int()?);
    let Some(list) = state.db.read::<List>(&args[1])? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let (start, end) = clip(start, end, list.len());
    let items = list.range(start..end).map(|item| Reply::Bulk(item.clone()));
    Ok(Reply::Array(items.collect()))
}

fn position(index: i64, len: usize) -> Option<usize> {
    let at = if index < 0 {
        index.checked_add(len as i64)?
    } else {
        index
    };
    usize::try_from(at).ok().filter(|at| *at < len)
}

pub(super) fn lindex(state: &mut State, args: &[Arg]) -> Out {
    let Some(list) = state.db.read::<List>(&args[1])? else {
        return Ok(Reply::Nil);
    };
    let at = position(args[2].int()?, list.len());
    Ok(bulk(at.and_then(|at| list.get(at))))
}

pub(super) fn lset(state: &mut State, args: &[Arg]) -> Out {
    let Some(list) = state.db.edit::<List>(&args[1])? else {
        return Err(Fail::NO_SUCH_KEY);
    };
    let at = position(args[2].int()?, list.len()).ok_or(OUT_OF_RANGE)?;
    list[at] = args[3].shared();
    state.db.changed(&args[1]);
    Ok(state.replies.ok())
}

pub(super) fn lrem(state: &mut State, args: &[Arg]) -> Out {
    let count = args[2].int()?;
    let Some(list) = state.db.edit::<List>(&args[1])? else {
        return int(0);
    };
    let most = match count {
        0 => usize::MAX,
        count => usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX),
    };
    let before = list.len();
    let mut gone = 0;
    let mut keep = |item: &Bytes| {
        let go = gone < most && **item == *args[3];
        gone += usize::from(go);
        !go
    };
    if count < 0 {
        let mut kept: List = List::with_capacity(before);
        for item in list.drain(..).rev().filter(|item| keep(item)) {
            kept.push_front(item);
        }
        *list = kept;
    } else {
        list.retain(|item| keep(item));
    }
    if gone > 0 {
        state.db.shrunk::<List>(&args[1]);
    }
    int(gone)
}

pub(super) fn ltrim(state: &mut State, args: &[Arg]) -> Out {
    let (start, end) = (args[2].int()?, args[3].int()?);
    if let Some(list) = state.db.edit::<List>(&args[1])? {
        let (start, end) = clip(start, end, list.len());
        list.truncate(end);
        list.drain(..start);
        state.db.shrunk::<List>(&args[1]);
    }
    Ok(state.replies.ok())
}

pub(super) fn linsert(state: &mut State, args: &[Arg]) -> Out {
    let after = if args[2].is("AFTER") {
        1
    } else if args[2].is("BEFORE") {
        0
    } else {
        return Err(Fail::SYNTAX);
    };
    let Some(list) = state.db.edit::<List>(&args[1])? else {
        return int(0);
    };
    let Some(at) = list.iter().position(|item| **item == *args[3]) else {
        return Ok(Reply::Int(-1));
    };
    list.insert(at + after, args[4].shared());
    let len = list.len();
    state.db.changed(&args[1]);
    int(len)
}

pub(super) fn lpos(state: &mut State, args: &[Arg]) -> Out {
    let (mut rank, mut count, mut most) = (1i64, None, 0usize);
    let bounded = state.version.bounds_ranks();
    for option in args[3..].chunks(2) {
        match option {
            [name, value] if name.is("RANK") => {
                rank = value.int()?;
                if rank == 0 {
                    return Err(Fail::fixed(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
                    ));
                }
                if rank == i64::MIN && !bounded {
                    // There is no such positive number, and C stays where it is.
                    rank = -1;
                }
                if rank == i64::MIN {
                    return Err(Fail::fixed(
                        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
                    ));
                }
            }
            [name, value] if name.is("COUNT") => {
                count = Some(not_negative(value, "COUNT can't be negative")?);
            }
            [name, value] if name.is("MAXLEN") => {
                most = not_negative(value, "MAXLEN can't be negative")?;
            }
            _ => return Err(Fail::SYNTAX),
        }
    }
    let mut found = Vec::new();
    if let Some(list) = state.db.read::<List>(&args[1])? {
        let wanted = match count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        let depth = if most == 0 {
            list.len()
        } else {
            most.min(list.len())
        };
        let skip = usize::try_from(rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let at = |step: usize| {
            if rank < 0 {
                list.len() - 1 - step
            } else {
                step
            }
        };
        let hits = (0..depth).map(at).filter(|at| *list[*at] == *args[2]);
        found.extend(hits.skip(skip).take(wanted).map(|at| Reply::Int(at as i64)));
    }
    Ok(match count {
        Some(_) => Reply::Array(found),
        None => found.pop().unwrap_or(Reply::Nil),
    })
}

fn not_negative(arg: &Arg, text: &str) -> Result<usize, Fail> {
    let value = arg.int().ok().and_then(|value| usize::try_from(value).ok());
    value.ok_or_else(|| Fail::new(format!("ERR {text}")))
}

pub(super) fn side(arg: &Arg) -> Result<bool, Fail> {
    if arg.is("LEFT") {
        Ok(true)
    } else if arg.is("RIGHT") {
        Ok(false)
    } else {
        Err(Fail::SYNTAX)
    }
}

pub(super) fn lmove(state: &mut State, args: &[Arg]) -> Out {
    let (from_left, to_left) = (side(&args[3])?, side(&args[4])?);
    transfer(state, &args[1], &args[2], from_left, to_left)
}

pub(super) fn rpoplpush(state: &mut State, args: &[Arg]) -> Out {
    transfer(state, &args[1], &args[2], false, true)
}

pub(super) fn transfer(
    state: &mut State,
    from: &Arg,
    to: &Arg,
    from_left: bool,
    to_left: bool,
) -> Out {
    if state.db.read::<List>(from)?.is_none() {
        return Ok(Reply::Nil);
    }
    state.db.read::<List>(to)?;
    let Some(item) = state
        .db
        .edit::<List>(from)?
        .and_then(|list| pop_one(list, from_left))
    else {
        return Ok(Reply::Nil);
    };
    push_one(state.db.upsert::<List>(to)?, item.clone(), to_left);
    state.db.changed(to);
    state.db.shrunk::<List>(from);
    Ok(Reply::Bulk(item))
}

/// `numkeys key … word [COUNT n]`, as the commands that pop from the first of
/// several keys have it: the keys, the word, and the count.
pub(super) fn pop_of_many<'a, 'b>(
    args: &'a [Arg<'b>],
) -> Result<(&'a [Arg<'b>], &'a Arg<'b>, &'a [Arg<'b>]), Fail> {
    let count = at_least_one(&args[0], "ERR numkeys should be greater than 0")?;
    let (keys, rest) = args[1..].split_at_checked(count).ok_or(Fail::SYNTAX)?;
    let (word, rest) = rest.split_first().ok_or(Fail::SYNTAX)?;
    Ok((keys, word, rest))
}

/// The `COUNT` of such a command.
pub(super) fn pop_of_many_count(options: &[Arg]) -> Result<usize, Fail> {
    match options {
        [] => Ok(1),
        [word, count, rest @ ..] if word.is("COUNT") => {
            let count = at_least_one(count, "ERR count should be greater than 0")?;
            rest.is_empty().then_some(count).ok_or(Fail::SYNTAX)
        }
        _ => Err(Fail::SYNTAX),
    }
}

/// A number that is not less than one.
pub(super) fn at_least_one(arg: &Arg, text: &'static str) -> Result<usize, Fail> {
    let value = arg.int().ok().and_then(|value| usize::try_from(value).ok());
    value.filter(|value| *value > 0).ok_or(Fail::fixed(text))
}

pub(super) fn lmpop(state: &mut State, args: &[Arg]) -> Out {
    let (keys, word, options) = pop_of_many(&args[1..])?;
    let left = side(word)?;
    let count = pop_of_many_count(options)?;
    for key in keys {
        let Some(list) = state.db.edit::<List>(key)? else {
            continue;
        };
        let popped = (0..count.min(list.len())).filter_map(|_| pop_one(list, left));
        let popped = Reply::Array(popped.map(Reply::Bulk).collect());
        state.db.shrunk::<List>(key);
        return Ok(Reply::Array(vec![Reply::Bulk(key.shared()), popped]));
    }
    Ok(Reply::Nil)
}
