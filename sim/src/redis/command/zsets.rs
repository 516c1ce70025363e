//! Sorted sets: change and lookup. Ranges are in [`super::zranges`].

use sluice_core::redis::{Bytes, Reply};
use smallvec::SmallVec;

use super::lists::{pop_count, pop_of_many, pop_of_many_count};
use super::sets::random_count;
use super::zranges::listing;
use super::{Arg, Fail, Out, bulk, int, score};
use crate::redis::State;
use crate::redis::value::ZSet;

const NAN: Fail = Fail::fixed("ERR resulting score is not a number (NaN)");

#[derive(Clone, Copy, Default)]
struct AddOptions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    changed: bool,
    increment: bool,
}

pub(super) fn zadd(state: &mut State, args: &[Arg]) -> Out {
    let mut options = AddOptions::default();
    let mut rest = &args[2..];
    while let [word, after @ ..] = rest
        && word.first().is_some_and(u8::is_ascii_alphabetic)
    {
        let slot = if word.is("NX") {
            &mut options.nx
        } else if word.is("XX") {
            &mut options.xx
        } else if word.is("GT") {
            &mut options.gt
        } else if word.is("LT") {
            &mut options.lt
        } else if word.is("CH") {
            &mut options.changed
        } else if word.is("INCR") {
            &mut options.increment
        } else {
            break;
        };
        *slot = true;
        rest = after;
    }
    add(state, &args[1], rest, options)
}

pub(super) fn zincrby(state: &mut State, args: &[Arg]) -> Out {
    let options = AddOptions {
        increment: true,
        ..AddOptions::default()
    };
    add(state, &args[1], &args[2..], options)
}

fn add(state: &mut State, key: &Arg, pairs: &[Arg], options: AddOptions) -> Out {
    let AddOptions { nx, xx, gt, lt, .. } = options;
    if pairs.is_empty() || pairs.len() % 2 == 1 {
        return Err(Fail::SYNTAX);
    }
    if nx && xx {
        return Err(Fail::fixed(
            "ERR XX and NX options at the same time are not compatible",
        ));
    }
    if nx && (gt || lt) || gt && lt {
        return Err(Fail::fixed(
            "ERR GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if options.increment && pairs.len() > 2 {
        return Err(Fail::fixed(
            "ERR INCR option supports a single increment-element pair",
        ));
    }
    let pairs = pairs.chunks_exact(2);
    // All of them before anything is changed.
    let mut given = SmallVec::<[f64; 4]>::new();
    for pair in pairs.clone() {
        given.push(pair[0].float(state.version)?);
    }
    let version = state.version;
    if xx && state.db.read::<ZSet>(key)?.is_none() {
        return Ok(if options.increment {
            Reply::Nil
        } else {
            Reply::Int(0)
        });
    }
    let zset = state.db.upsert::<ZSet>(key)?;
    let (mut added, mut updated) = (0, 0);
    let mut last = None;
    let mut failed = None;
    for (given, pair) in given.into_iter().zip(pairs) {
        zset.update(&pair[1].bytes(), |old| {
            let new = match old {
                Some(old) if options.increment => old + given,
                _ => given,
            };
            if new.is_nan() {
                failed = Some(NAN);
                return None;
            }
            let refused = match old {
                None => xx,
                Some(old) => nx || gt && new <= old || lt && new >= old,
            };
            if refused {
                return None;
            }
            last = Some(new);
            match old {
                None => added += 1,
                Some(old) if old == new => return None,
                Some(_) => updated += 1,
            }
            // The sign of zero is told in any case.
            let drops_sign = version.drops_sign_of_zero();
            Some(if drops_sign { new + 0.0 } else { new })
        });
        if failed.is_some() {
            break;
        }
    }
    if added + updated > 0 {
        state.db.changed(key);
    }
    match failed {
        Some(fail) => Err(fail),
        None if options.increment => Ok(last.map_or(Reply::Nil, |new| score(new, version))),
        None => int(added + if options.changed { updated } else { 0 }),
    }
}

pub(super) fn zrem(state: &mut State, args: &[Arg]) -> Out {
    let Some(zset) = state.db.edit::<ZSet>(&args[1])? else {
        return int(0);
    };
    let gone = args[2..]
        .iter()
        .filter(|m| zset.remove(m).is_some())
        .count();
    if gone > 0 {
        state.db.shrunk::<ZSet>(&args[1]);
    }
    int(gone)
}

pub(super) fn zcard(state: &mut State, args: &[Arg]) -> Out {
    int(state.db.read::<ZSet>(&args[1])?.map_or(0, ZSet::len))
}

pub(super) fn zscore(state: &mut State, args: &[Arg]) -> Out {
    let version = state.version;
    let zset = state.db.read::<ZSet>(&args[1])?;
    let found = zset.and_then(|zset| zset.score(&args[2]));
    Ok(found.map_or(Reply::Nil, |value| score(value, version)))
}

pub(super) fn zmscore(state: &mut State, args: &[Arg]) -> Out {
    let version = state.version;
    let zset = state.db.read::<ZSet>(&args[1])?;
    let one = |member: &Arg| {
        let found = zset.and_then(|zset| zset.score(member));
        found.map_or(Reply::Nil, |value| score(value, version))
    };
    Ok(Reply::Array(args[2..].iter().map(one).collect()))
}

fn rank(state: &mut State, args: &[Arg], reverse: bool, name: &str) -> Out {
    let with_score = match &args[3..] {
        [] => false,
        [word] if state.version.rank_with_score() && word.is("WITHSCORE") => true,
        [_] if state.version.rank_with_score() => return Err(Fail::SYNTAX),
        _ if state.version.rank_with_score() => return Err(Fail::arity(name)),
        _ => return Err(Fail::arity(name)),
    };
    let version = state.version;
    let Some(zset) = state.db.read::<ZSet>(&args[1])? else {
        return Ok(Reply::Nil);
    };
    let Some(at) = zset.rank(&args[2]) else {
        return Ok(Reply::Nil);
    };
    let at = if reverse { zset.len() - 1 - at } else { at };
    let at = Reply::Int(at as i64);
    Ok(match zset.score(&args[2]) {
        Some(value) if with_score => Reply::Array(vec![at, score(value, version)]),
        _ => at,
    })
}

pub(super) fn zrank(state: &mut State, args: &[Arg]) -> Out {
    rank(state, args, false, "zrank")
}

pub(super) fn zrevrank(state: &mut State, args: &[Arg]) -> Out {
    rank(state, args, true, "zrevrank")
}

fn pop(state: &mut State, args: &[Arg], min: bool) -> Out {
    if args.len() > 3 {
        return Err(Fail::SYNTAX);
    }
    let version = state.version;
    let count = match args.get(2) {
        Some(count) if version.checks_pop_counts() => pop_count(count)?,
        Some(count) => match usize::try_from(count.int()?) {
            Ok(0) | Err(_) => return Ok(Reply::Array(Vec::new())),
            Ok(count) => count,
        },
        None => 1,
    };
    let Some(zset) = state.db.edit::<ZSet>(&args[1])? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let mut out = Vec::new();
    for (member, value) in take(zset, count, min) {
        out.push(Reply::Bulk(member));
        out.push(score(value, version));
    }
    if count > 0 {
        state.db.shrunk::<ZSet>(&args[1]);
    }
    Ok(Reply::Array(out))
}

/// Takes so many members out, from the least or from the greatest on.
pub(super) fn take(zset: &mut ZSet, count: usize, min: bool) -> Vec<(Bytes, f64)> {
    let len = zset.len();
    let count = count.min(len);
    let start = if min { 0 } else { len - count };
    let found = zset.range(start, start + count).into_iter();
    let mut found: Vec<_> = found.map(|(m, score)| (m.clone(), score)).collect();
    if !min {
        found.reverse();
    }
    for (member, _) in &found {
        zset.remove(member);
    }
    found
}

/// `MIN` or `MAX`: whether the least are wanted.
pub(super) fn end_of(word: &Arg) -> Result<bool, Fail> {
    if word.is("MIN") {
        Ok(true)
    } else if word.is("MAX") {
        Ok(false)
    } else {
        Err(Fail::SYNTAX)
    }
}

pub(super) fn zmpop(state: &mut State, args: &[Arg]) -> Out {
    let (keys, word, options) = pop_of_many(&args[1..])?;
    let min = end_of(word)?;
    let count = pop_of_many_count(options)?;
    let version = state.version;
    for key in keys {
        let Some(zset) = state.db.edit::<ZSet>(key)? else {
            continue;
        };
        let popped = take(zset, count, min).into_iter();
        let pairs = popped.map(|(m, s)| Reply::Array(vec![Reply::Bulk(m), score(s, version)]));
        let pairs = Reply::Array(pairs.collect());
        state.db.shrunk::<ZSet>(key);
        return Ok(Reply::Array(vec![Reply::Bulk(key.shared()), pairs]));
    }
    Ok(Reply::Nil)
}

pub(super) fn zrandmember(state: &mut State, args: &[Arg]) -> Out {
    let (count, scores) = random_count(&args[2..], "WITHSCORES")?;
    let (version, mut draw) = (state.version, state.draw);
    let Some(zset) = state.db.read::<ZSet>(&args[1])? else {
        return Ok(count.map_or(Reply::Nil, |_| Reply::Array(Vec::new())));
    };
    let reply = if let Some(count) = count {
        let most = match usize::try_from(count) {
            Ok(most) if !draw.is_on() => most,
            _ => zset.len(),
        };
        let found = draw.some_of(zset.range(0, most).into_iter(), count);
        listing(found, scores, version)
    } else {
        let at = draw.below(zset.len());
        bulk(zset.range(at, at + 1).first().map(|(member, _)| *member))
    };
    state.draw = draw;
    Ok(reply)
}

pub(super) fn zpopmin(state: &mut State, args: &[Arg]) -> Out {
    pop(state, args, true)
}

pub(super) fn zpopmax(state: &mut State, args: &[Arg]) -> Out {
    pop(state, args, false)
}
