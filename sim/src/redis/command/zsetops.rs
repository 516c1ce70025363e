//! Unions, intersections and differences of sorted sets (and of sets, whose
//! members count as having score 1).

use hashbrown::HashMap;
use sluice_core::redis::Bytes;

use super::zranges::{listing, put_zset};
use super::{Arg, Fail, Out, int};
use crate::digest::FixedState;
use crate::redis::State;
use crate::redis::value::{Value, ZSet};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Algebra {
    Union,
    Intersection,
    Difference,
}

#[derive(Clone, Copy, Default)]
enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Opposite infinities are nothing, by Redis's convention.
            Self::Sum => number_or_zero(a + b),
            Self::Min if b < a => b,
            Self::Max if b > a => b,
            Self::Min | Self::Max => a,
        }
    }
}

fn number_or_zero(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value }
}

/// What a command has beside its keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Read,
    Store,
    Count,
}

/// One input: its value, shared with the keyspace, and what its scores count.
struct Source {
    value: Option<Value>,
    weight: f64,
}

impl Source {
    fn len(&self) -> usize {
        match &self.value {
            Some(Value::ZSet(zset)) => zset.len(),
            Some(Value::Set(set)) => set.len(),
            _ => 0,
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.value {
            Some(Value::ZSet(zset)) => zset.score(member),
            Some(Value::Set(set)) => set.contains(member).then_some(1.0),
            _ => None,
        }
    }

    fn items(&self) -> Vec<(&Bytes, f64)> {
        match &self.value {
            Some(Value::ZSet(zset)) => zset.range(0, usize::MAX),
            Some(Value::Set(set)) => set.iter().map(|member| (member, 1.0)).collect(),
            _ => Vec::new(),
        }
    }
}

struct Query {
    sources: Vec<Source>,
    aggregate: Aggregate,
    scores: bool,
    limit: usize,
}

/// Reads `numkeys key … options` from `args`, which begins with `numkeys`.
fn query(
    state: &mut State,
    args: &[Arg],
    how: Algebra,
    form: Form,
    name: &str,
) -> Result<Query, Fail> {
    let count = args[0].int()?;
    if count < 1 {
        return Err(Fail::new(format!(
            "ERR at least 1 input key is needed for '{name}' command"
        )));
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let (keys, mut rest) = args[1..].split_at_checked(count).ok_or(Fail::SYNTAX)?;
    let mut sources = Vec::with_capacity(count);
    for key in keys {
        let value = state.db.entry(key).map(|entry| entry.value.clone());
        if !matches!(value, None | Some(Value::ZSet(_) | Value::Set(_))) {
            return Err(Fail::WRONG_TYPE);
        }
        sources.push(Source { value, weight: 1.0 });
    }
    let mut query = Query {
        sources,
        aggregate: Aggregate::Sum,
        scores: false,
        limit: usize::MAX,
    };
    let weighed = how != Algebra::Difference && form != Form::Count;
    while let [word, after @ ..] = rest {
        if weighed && word.is("WEIGHTS") && after.len() >= count {
            for (source, weight) in query.sources.iter_mut().zip(after) {
                let weight = weight.float(state.version);
                source.weight =
                    weight.map_err(|_| Fail::fixed("ERR weight value is not a float"))?;
            }
            rest = &after[count..];
        } else if weighed && word.is("AGGREGATE") && !after.is_empty() {
            query.aggregate = if after[0].is("SUM") {
                Aggregate::Sum
            } else if after[0].is("MIN") {
                Aggregate::Min
            } else if after[0].is("MAX") {
                Aggregate::Max
            } else {
                return Err(Fail::SYNTAX);
            };
            rest = &after[1..];
        } else if form == Form::Read && word.is("WITHSCORES") {
            query.scores = true;
            rest = after;
        } else if form == Form::Count && word.is("LIMIT") && !after.is_empty() {
            let limit = after[0].int().ok().and_then(|n| usize::try_from(n).ok());
            query.limit = match limit.ok_or(Fail::fixed("ERR LIMIT can't be negative"))? {
                0 => usize::MAX,
                limit => limit,
            };
            rest = &after[1..];
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    if how != Algebra::Difference {
        query.sources.sort_by_key(Source::len);
    }
    Ok(query)
}

/// The members with their scores, in no particular order; at most `limit`.
fn combine(query: &Query, how: Algebra) -> Vec<(Bytes, f64)> {
    let Some((first, others)) = query.sources.split_first() else {
        return Vec::new();
    };
    let weigh = |source: &Source, score: f64| number_or_zero(source.weight * score);
    let items = first.items().into_iter();
    match how {
        Algebra::Intersection => {
            let common = items.filter_map(|(member, score)| {
                let mut sum = weigh(first, score);
                for other in others {
                    let score = other.score(member)?;
                    sum = query.aggregate.of(sum, other.weight * score);
                }
                Some((member.clone(), sum))
            });
            common.take(query.limit).collect()
        }
        Algebra::Difference => {
            let only = items
                .filter(|(member, _)| others.iter().all(|other| other.score(member).is_none()));
            only.map(|(member, score)| (member.clone(), score))
                .collect()
        }
        Algebra::Union => {
            let mut places: HashMap<Bytes, usize, FixedState> = HashMap::default();
            let mut sums: Vec<(Bytes, f64)> = Vec::new();
            for source in &query.sources {
                for (member, score) in source.items() {
                    let score = weigh(source, score);
                    match places.get(member) {
                        Some(at) => sums[*at].1 = query.aggregate.of(sums[*at].1, score),
                        None => {
                            places.insert(member.clone(), sums.len());
                            sums.push((member.clone(), score));
                        }
                    }
                }
            }
            sums
        }
    }
}

/// In order; if so, zeros without their sign.
fn zset_of(items: Vec<(Bytes, f64)>, unsigned: bool) -> ZSet {
    let mut zset = ZSet::default();
    for (member, score) in items {
        zset.insert(&member, if unsigned { score + 0.0 } else { score });
    }
    zset
}

fn read(state: &mut State, args: &[Arg], how: Algebra, name: &str) -> Out {
    let query = query(state, &args[1..], how, Form::Read, name)?;
    let zset = zset_of(combine(&query, how), false);
    let found = zset.range(0, usize::MAX);
    Ok(listing(found, query.scores, state.version))
}

fn store(state: &mut State, args: &[Arg], how: Algebra, name: &str) -> Out {
    let query = query(state, &args[2..], how, Form::Store, name)?;
    let zset = zset_of(combine(&query, how), state.version.drops_sign_of_zero());
    put_zset(state, &args[1], zset)
}

pub(super) fn zunion(state: &mut State, args: &[Arg]) -> Out {
    read(state, args, Algebra::Union, "zunion")
}

pub(super) fn zinter(state: &mut State, args: &[Arg]) -> Out {
    read(state, args, Algebra::Intersection, "zinter")
}

pub(super) fn zdiff(state: &mut State, args: &[Arg]) -> Out {
    read(state, args, Algebra::Difference, "zdiff")
}

pub(super) fn zunionstore(state: &mut State, args: &[Arg]) -> Out {
    store(state, args, Algebra::Union, "zunionstore")
}

pub(super) fn zinterstore(state: &mut State, args: &[Arg]) -> Out {
    store(state, args, Algebra::Intersection, "zinterstore")
}

pub(super) fn zdiffstore(state: &mut State, args: &[Arg]) -> Out {
    store(state, args, Algebra::Difference, "zdiffstore")
}

pub(super) fn zintercard(state: &mut State, args: &[Arg]) -> Out {
    let how = Algebra::Intersection;
    let query = query(state, &args[1..], how, Form::Count, "zintercard")?;
    int(combine(&query, how).len())
}
