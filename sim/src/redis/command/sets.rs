//! Sets.
//!
//! `SPOP` and `SRANDMEMBER` are random in Redis. Here they take members in
//! byte order: any choice is one that Redis might make, and a run that depends
//! on which is made must be found by asking the chooser, not by chance.

use std::collections::BTreeSet;
use std::rc::Rc;

use sluice_core::redis::{Bytes, Reply};

use super::lists::{at_least_one, pop_count};
use super::{Arg, Fail, Out, bulk, flag, int};
use crate::redis::State;
use crate::redis::value::{Set, Value};

pub(super) fn sadd(state: &mut State, args: &[Arg]) -> Out {
    let set = state.db.upsert::<Set>(&args[1])?;
    let new = args[2..]
        .iter()
        .filter(|member| set.insert(member.shared()))
        .count();
    if new > 0 {
        state.db.changed(&args[1]);
    }
    int(new)
}

pub(super) fn srem(state: &mut State, args: &[Arg]) -> Out {
    let Some(set) = state.db.edit::<Set>(&args[1])? else {
        return int(0);
    };
    let gone = args[2..].iter().filter(|member| set.remove(member)).count();
    if gone > 0 {
        state.db.shrunk::<Set>(&args[1]);
    }
    int(gone)
}

pub(super) fn scard(state: &mut State, args: &[Arg]) -> Out {
    int(state.db.read::<Set>(&args[1])?.map_or(0, Set::len))
}

pub(super) fn sismember(state: &mut State, args: &[Arg]) -> Out {
    let set = state.db.read::<Set>(&args[1])?;
    flag(set.is_some_and(|set| set.contains(&args[2])))
}

pub(super) fn smismember(state: &mut State, args: &[Arg]) -> Out {
    let set = state.db.read::<Set>(&args[1])?;
    let found = |member: &Arg| set.is_some_and(|set| set.contains(member));
    let flags = args[2..].iter().map(|m| Reply::Int(i64::from(found(m))));
    Ok(Reply::Array(flags.collect()))
}

pub(super) fn smembers(state: &mut State, args: &[Arg]) -> Out {
    let set = state.db.read::<Set>(&args[1])?;
    Ok(replies(set.into_iter().flat_map(Set::iter)))
}

fn replies<'a>(members: impl Iterator<Item = &'a Bytes>) -> Reply {
    Reply::Array(members.map(|member| Reply::Bulk(member.clone())).collect())
}

pub(super) fn smove(state: &mut State, args: &[Arg]) -> Out {
    let Some(set) = state.db.read::<Set>(&args[1])? else {
        return int(0);
    };
    let contains = set.contains(&args[3]);
    state.db.read::<Set>(&args[2])?;
    if !contains {
        return int(0);
    }
    if *args[1] == *args[2] {
        return int(1);
    }
    if let Some(set) = state.db.edit::<Set>(&args[1])? {
        set.remove(&args[3]);
    }
    state.db.shrunk::<Set>(&args[1]);
    if state.db.upsert::<Set>(&args[2])?.insert(args[3].shared()) {
        state.db.changed(&args[2]);
    }
    int(1)
}

pub(super) fn spop(state: &mut State, args: &[Arg]) -> Out {
    if args.len() > 3 {
        return Err(Fail::SYNTAX);
    }
    let count = match args.get(2) {
        Some(count) => Some(pop_count(count)?),
        None => None,
    };
    let mut draw = state.draw;
    let Some(set) = state.db.edit::<Set>(&args[1])? else {
        return Ok(count.map_or(Reply::Nil, |_| Reply::Array(Vec::new())));
    };
    let wanted = count.unwrap_or(1).min(set.len());
    let taken = draw.some_of(set.iter().cloned(), wanted as i64);
    for member in &taken {
        set.remove(member);
    }
    state.draw = draw;
    if !taken.is_empty() {
        state.db.shrunk::<Set>(&args[1]);
    }
    Ok(match count {
        None => bulk(taken.first()),
        Some(_) => replies(taken.iter()),
    })
}

/// The count of a command that picks members at random, and whether the word
/// that asks for more than their names follows it.
pub(super) fn random_count(args: &[Arg], more: &str) -> Result<(Option<i64>, bool), Fail> {
    let Some(count) = args.first() else {
        return Ok((None, false));
    };
    let count = count.int()?;
    if count == i64::MIN {
        return Err(Fail::fixed(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    match &args[1..] {
        [] => Ok((Some(count), false)),
        [word] if word.is(more) => {
            let far = !(-(i64::MAX / 2)..=i64::MAX / 2).contains(&count);
            if far {
                return Err(Fail::fixed("ERR value is out of range"));
            }
            Ok((Some(count), true))
        }
        _ => Err(Fail::SYNTAX),
    }
}

pub(super) fn srandmember(state: &mut State, args: &[Arg]) -> Out {
    if args.len() > 3 {
        return Err(Fail::SYNTAX);
    }
    let (count, _) = random_count(&args[2..], "")?;
    let mut draw = state.draw;
    let Some(set) = state.db.read::<Set>(&args[1])? else {
        return Ok(count.map_or(Reply::Nil, |_| Reply::Array(Vec::new())));
    };
    let reply = match count {
        None => bulk(set.iter().nth(draw.below(set.len()))),
        Some(count) => replies(draw.some_of(set.iter(), count).into_iter()),
    };
    state.draw = draw;
    Ok(reply)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Algebra {
    Union,
    Intersection,
    Difference,
}

/// The sets themselves, shared with the keyspace; empty where there is no key.
fn sources(state: &mut State, keys: &[Arg]) -> Result<Vec<Rc<Set>>, Fail> {
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        found.push(match state.db.entry(key).map(|entry| &entry.value) {
            None => Rc::default(),
            Some(Value::Set(set)) => set.clone(),
            Some(_) => return Err(Fail::WRONG_TYPE),
        });
    }
    Ok(found)
}

/// What all have in common, in byte order: the smallest is gone through, and
/// looked for in the others.
fn common(sets: &[Rc<Set>]) -> impl Iterator<Item = &Bytes> {
    let smallest = sets.iter().min_by_key(|set| set.len());
    let members = smallest.into_iter().flat_map(|set| set.iter());
    members.filter(|member| sets.iter().all(|set| set.contains(member)))
}

fn combine(state: &mut State, keys: &[Arg], how: Algebra) -> Result<BTreeSet<Bytes>, Fail> {
    let sets = sources(state, keys)?;
    Ok(match how {
        Algebra::Union => sets.iter().flat_map(|set| set.iter()).cloned().collect(),
        Algebra::Intersection => common(&sets).cloned().collect(),
        Algebra::Difference => {
            let members = sets[0].iter();
            let only = members.filter(|member| !sets[1..].iter().any(|set| set.contains(member)));
            only.cloned().collect()
        }
    })
}

pub(super) fn sintercard(state: &mut State, args: &[Arg]) -> Out {
    let count = at_least_one(&args[1], "ERR numkeys should be greater than 0")?;
    let split = args[2..].split_at_checked(count);
    let (keys, mut options) = split.ok_or(Fail::fixed(
        "ERR Number of keys can't be greater than number of args",
    ))?;
    let mut limit = 0;
    while let [word, rest @ ..] = options {
        let (value, rest) = rest.split_first().ok_or(Fail::SYNTAX)?;
        if !word.is("LIMIT") {
            return Err(Fail::SYNTAX);
        }
        let value = value.int().ok().and_then(|n| usize::try_from(n).ok());
        limit = value.ok_or(Fail::fixed("ERR LIMIT can't be negative"))?;
        options = rest;
    }
    let sets = sources(state, keys)?;
    let limit = if limit == 0 { usize::MAX } else { limit };
    int(common(&sets).take(limit).count())
}

fn combined(state: &mut State, args: &[Arg], how: Algebra) -> Out {
    Ok(replies(combine(state, &args[1..], how)?.iter()))
}

fn store(state: &mut State, args: &[Arg], how: Algebra) -> Out {
    let members = combine(state, &args[2..], how)?;
    if members.is_empty() {
        if state.db.exists(args[1]) {
            state.db.remove(&args[1]);
        }
        return int(0);
    }
    let mut set = Set::default();
    for member in members {
        set.insert(member);
    }
    let len = set.len();
    state.db.put(args[1].shared(), Value::Set(set.into()), None);
    int(len)
}

pub(super) fn sunion(state: &mut State, args: &[Arg]) -> Out {
    combined(state, args, Algebra::Union)
}

pub(super) fn sinter(state: &mut State, args: &[Arg]) -> Out {
    combined(state, args, Algebra::Intersection)
}

pub(super) fn sdiff(state: &mut State, args: &[Arg]) -> Out {
    combined(state, args, Algebra::Difference)
}

pub(super) fn sunionstore(state: &mut State, args: &[Arg]) -> Out {
    store(state, args, Algebra::Union)
}

pub(super) fn sinterstore(state: &mut State, args: &[Arg]) -> Out {
    store(state, args, Algebra::Intersection)
}

pub(super) fn sdiffstore(state: &mut State, args: &[Arg]) -> Out {
    store(state, args, Algebra::Difference)
}
