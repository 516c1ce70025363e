//! Sets.
//!
//! `SPOP` and `SRANDMEMBER` are random in Redis. Here they take members in
//! byte order: any choice is one that Redis might make, and a run that depends
//! on which is made must be found by asking the chooser, not by chance.

use std::collections::BTreeSet;

use sluice_core::redis::{Bytes, Reply};

use super::lists::pop_count;
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
    state.db.upsert::<Set>(&args[2])?.insert(args[3].shared());
    state.db.changed(&args[2]);
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
    let Some(set) = state.db.edit::<Set>(&args[1])? else {
        return Ok(count.map_or(Reply::Nil, |_| Reply::Array(Vec::new())));
    };
    let taken: Vec<Bytes> = set.iter().take(count.unwrap_or(1)).cloned().collect();
    for member in &taken {
        set.remove(member);
    }
    if !taken.is_empty() {
        state.db.shrunk::<Set>(&args[1]);
    }
    Ok(match count {
        None => bulk(taken.first()),
        Some(_) => replies(taken.iter()),
    })
}

pub(super) fn srandmember(state: &mut State, args: &[Arg]) -> Out {
    if args.len() > 3 {
        return Err(Fail::SYNTAX);
    }
    let count = match args.get(2) {
        Some(count) => Some(count.int()?),
        None => None,
    };
    if count.is_some_and(|count| count < -(i64::MAX / 2)) {
        return Err(Fail::fixed("ERR value is out of range"));
    }
    let Some(set) = state.db.read::<Set>(&args[1])? else {
        return Ok(count.map_or(Reply::Nil, |_| Reply::Array(Vec::new())));
    };
    Ok(match count {
        None => bulk(set.iter().next()),
        Some(count) if count >= 0 => replies(set.iter().take(count as usize)),
        Some(count) => {
            let all: Vec<&Bytes> = set.iter().collect();
            let wanted = count.unsigned_abs().min(1 << 24) as usize;
            replies(all.iter().copied().cycle().take(wanted))
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Algebra {
    Union,
    Intersection,
    Difference,
}

fn combine(state: &mut State, keys: &[Arg], how: Algebra) -> Result<BTreeSet<Bytes>, Fail> {
    let mut sets: Vec<BTreeSet<Bytes>> = Vec::with_capacity(keys.len());
    for key in keys {
        let set = state.db.read::<Set>(key)?;
        sets.push(set.into_iter().flat_map(Set::iter).cloned().collect());
    }
    let mut sets = sets.into_iter();
    let first = sets.next().unwrap_or_default();
    Ok(sets.fold(first, |sum, set| match how {
        Algebra::Union => sum.union(&set).cloned().collect(),
        Algebra::Intersection => sum.intersection(&set).cloned().collect(),
        Algebra::Difference => sum.difference(&set).cloned().collect(),
    }))
}

fn combined(state: &mut State, args: &[Arg], how: Algebra) -> Out {
    Ok(replies(combine(state, &args[1..], how)?.iter()))
}

fn store(state: &mut State, args: &[Arg], how: Algebra) -> Out {
    let members = combine(state, &args[2..], how)?;
    if members.is_empty() {
        if state.db.exists(&args[1]) {
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
