//! Ranges of sorted sets: by rank, by score, by member.
//!
//! Every range is first turned into ranks `start..end` by two searches, and is
//! then read, counted or removed as such.

use sluice_core::redis::{Bytes, Reply};

use super::lists::clip;
use super::{Arg, Fail, Out, int, score};
use crate::redis::value::{Typed as _, ZSet};
use crate::redis::{State, Version, number};

const NOT_SCORES: Fail = Fail::fixed("ERR min or max is not a float");
const NOT_STRINGS: Fail = Fail::fixed("ERR min or max not valid string range item");

/// How the bounds of a range are to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// Two bounds, ready to be searched for.
enum Bounds<'a> {
    Rank(i64, i64),
    Score(Edge<f64>, Edge<f64>),
    Lex(Edge<LexBound<'a>>, Edge<LexBound<'a>>),
}

struct Edge<T> {
    value: T,
    excluded: bool,
}

enum LexBound<'a> {
    Lowest,
    Highest,
    Member(&'a [u8]),
}

impl LexBound<'_> {
    /// Whether a member is before this bound.
    fn after(&self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Member(bound) => member < *bound,
        }
    }

    /// Whether a member is before this bound or on it.
    fn on_or_after(&self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Member(bound) => member <= *bound,
        }
    }
}

fn score_edge(arg: &Arg, version: Version) -> Result<Edge<f64>, Fail> {
    let (text, excluded) = match arg.split_first() {
        Some((b'(', rest)) => (rest, true),
        _ => (&**arg, false),
    };
    // This one is `strtod` on its own: leading spaces and overflow pass, and nothing
    // at all is 0.
    let nothing = text.is_empty();
    let plain = version.reads_plain_floats();
    let text = if plain { text } else { text.trim_ascii_start() };
    if plain && number::is_hexadecimal(text) {
        return Err(NOT_SCORES);
    }
    let value = number::parse_f64(text).or_else(|| {
        let plain: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
        (!plain.is_nan()).then_some(plain)
    });
    value
        .map(|value| Edge { value, excluded })
        .or_else(|| {
            nothing.then_some(Edge {
                value: 0.0,
                excluded,
            })
        })
        .ok_or(NOT_SCORES)
}

fn lex_edge<'a>(arg: &Arg<'a>) -> Result<Edge<LexBound<'a>>, Fail> {
    let bytes: &'a [u8] = match arg {
        Arg::Shared(bytes) => bytes,
        Arg::Plain(bytes) => bytes,
    };
    let (value, excluded) = match bytes.split_first() {
        Some((b'-', [])) => (LexBound::Lowest, false),
        Some((b'+', [])) => (LexBound::Highest, false),
        Some((b'(', rest)) => (LexBound::Member(rest), true),
        Some((b'[', rest)) => (LexBound::Member(rest), false),
        _ => return Err(NOT_STRINGS),
    };
    Ok(Edge { value, excluded })
}

impl<'a> Bounds<'a> {
    fn read(by: By, low: &Arg<'a>, high: &Arg<'a>, version: Version) -> Result<Self, Fail> {
        Ok(match by {
            By::Rank => Self::Rank(low.int()?, high.int()?),
            By::Score => Self::Score(score_edge(low, version)?, score_edge(high, version)?),
            By::Lex => Self::Lex(lex_edge(low)?, lex_edge(high)?),
        })
    }

    /// The ranks `start..end` within this sorted set.
    fn ranks(&self, zset: &ZSet) -> (usize, usize) {
        let (start, end) = match self {
            Self::Rank(start, end) => return clip(*start, *end, zset.len()),
            Self::Score(low, high) => (
                zset.partition(|s, _| s < low.value || low.excluded && s == low.value),
                zset.partition(|s, _| s < high.value || !high.excluded && s == high.value),
            ),
            Self::Lex(low, high) => (
                zset.partition(|_, m| edge(low, m, true)),
                zset.partition(|_, m| edge(high, m, false)),
            ),
        };
        (start, end.max(start))
    }
}

/// Whether a member lies before a lower edge, or not beyond an upper one.
fn edge(edge: &Edge<LexBound>, member: &[u8], lower: bool) -> bool {
    if edge.excluded == lower {
        edge.value.on_or_after(member)
    } else {
        edge.value.after(member)
    }
}

struct Query<'a> {
    by: By,
    reverse: bool,
    scores: bool,
    limit: Option<(i64, i64)>,
    bounds: Bounds<'a>,
}

/// Reads `key low high` and the options that the command allows.
fn query<'a>(
    args: &[Arg<'a>],
    fixed: Option<By>,
    reverse: bool,
    storing: bool,
    version: Version,
) -> Result<Query<'a>, Fail> {
    let mut by = fixed.unwrap_or(By::Rank);
    let (mut reverse, mut scores, mut limit) = (reverse, false, None);
    let free = fixed.is_none();
    let mut rest = &args[4..];
    while let [word, after @ ..] = rest {
        rest = after;
        if !storing && word.is("WITHSCORES") {
            scores = true;
        } else if word.is("LIMIT") && after.len() >= 2 {
            limit = Some((after[0].int()?, after[1].int()?));
            rest = &after[2..];
        } else if free && by == By::Rank && word.is("BYSCORE") {
            by = By::Score;
        } else if free && by == By::Rank && word.is("BYLEX") {
            by = By::Lex;
        } else if free && !reverse && word.is("REV") {
            reverse = true;
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    if limit.is_some_and(|limit| limit != (0, -1)) && by == By::Rank {
        return Err(Fail::fixed(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if scores && by == By::Lex {
        return Err(Fail::fixed(
            "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ));
    }
    let (low, high) = match by {
        By::Score | By::Lex if reverse => (&args[3], &args[2]),
        By::Rank | By::Score | By::Lex => (&args[2], &args[3]),
    };
    Ok(Query {
        by,
        reverse,
        scores,
        limit,
        bounds: Bounds::read(by, low, high, version)?,
    })
}

fn select<'a>(zset: &'a ZSet, query: &Query) -> Vec<(&'a Bytes, f64)> {
    let len = zset.len();
    let (mut start, mut end) = query.bounds.ranks(zset);
    if query.by == By::Rank && query.reverse {
        (start, end) = (len - end.min(len), len - start.min(len));
    }
    if let Some((offset, count)) = query.limit.filter(|_| query.by != By::Rank) {
        let room = end - start;
        // A negative offset selects nothing; a negative count, everything.
        let offset = usize::try_from(offset).unwrap_or(room).min(room);
        let count = usize::try_from(count).unwrap_or(room).min(room - offset);
        (start, end) = if query.reverse {
            (end - offset - count, end - offset)
        } else {
            (start + offset, start + offset + count)
        };
    }
    let mut found = zset.range(start, end);
    if query.reverse {
        found.reverse();
    }
    found
}

fn range(state: &mut State, args: &[Arg], by: Option<By>, reverse: bool) -> Out {
    let query = query(args, by, reverse, false, state.version)?;
    let version = state.version;
    let Some(zset) = state.db.read::<ZSet>(&args[1])? else {
        return Ok(Reply::Array(Vec::new()));
    };
    Ok(listing(select(zset, &query), query.scores, version))
}

pub(super) fn zrangestore(state: &mut State, args: &[Arg]) -> Out {
    let query = query(&args[1..], None, false, true, state.version)?;
    let mut kept = ZSet::default();
    if let Some(zset) = state.db.read::<ZSet>(&args[2])? {
        for (member, score) in select(zset, &query) {
            kept.insert(member, score);
        }
    }
    put_zset(state, &args[1], kept)
}

/// Puts a result there, or removes what was there if the result is empty; its
/// length.
pub(super) fn put_zset(state: &mut State, key: &Arg, zset: ZSet) -> Out {
    let len = zset.len();
    if len == 0 {
        // An expired key is gone already, and nobody watching minds.
        if state.db.exists(key) {
            state.db.remove(key);
        }
    } else {
        state.db.put(key.shared(), zset.wrap(), None);
    }
    int(len)
}

/// Members, with their scores if so wanted.
pub(super) fn listing(found: Vec<(&Bytes, f64)>, scores: bool, version: Version) -> Reply {
    let mut out = Vec::with_capacity(found.len() * if scores { 2 } else { 1 });
    for (member, value) in found {
        out.push(Reply::Bulk(member.clone()));
        if scores {
            out.push(score(value, version));
        }
    }
    Reply::Array(out)
}

pub(super) fn zrange(state: &mut State, args: &[Arg]) -> Out {
    range(state, args, None, false)
}

pub(super) fn zrevrange(state: &mut State, args: &[Arg]) -> Out {
    range(state, args, Some(By::Rank), true)
}

pub(super) fn zrangebyscore(state: &mut State, args: &[Arg]) -> Out {
    range(state, args, Some(By::Score), false)
}

pub(super) fn zrevrangebyscore(state: &mut State, args: &[Arg]) -> Out {
    range(state, args, Some(By::Score), true)
}

pub(super) fn zrangebylex(state: &mut State, args: &[Arg]) -> Out {
    range(state, args, Some(By::Lex), false)
}

pub(super) fn zrevrangebylex(state: &mut State, args: &[Arg]) -> Out {
    range(state, args, Some(By::Lex), true)
}

fn count(state: &mut State, args: &[Arg], by: By) -> Out {
    let bounds = Bounds::read(by, &args[2], &args[3], state.version)?;
    let Some(zset) = state.db.read::<ZSet>(&args[1])? else {
        return int(0);
    };
    let (start, end) = bounds.ranks(zset);
    int(end - start)
}

pub(super) fn zcount(state: &mut State, args: &[Arg]) -> Out {
    count(state, args, By::Score)
}

pub(super) fn zlexcount(state: &mut State, args: &[Arg]) -> Out {
    count(state, args, By::Lex)
}

fn remove(state: &mut State, args: &[Arg], by: By) -> Out {
    let bounds = Bounds::read(by, &args[2], &args[3], state.version)?;
    let Some(zset) = state.db.edit::<ZSet>(&args[1])? else {
        return int(0);
    };
    let (start, end) = bounds.ranks(zset);
    let gone: Vec<Bytes> = zset
        .range(start, end)
        .into_iter()
        .map(|(m, _)| m.clone())
        .collect();
    for member in &gone {
        zset.remove(member);
    }
    if !gone.is_empty() {
        state.db.shrunk::<ZSet>(&args[1]);
    }
    int(gone.len())
}

pub(super) fn zremrangebyrank(state: &mut State, args: &[Arg]) -> Out {
    remove(state, args, By::Rank)
}

pub(super) fn zremrangebyscore(state: &mut State, args: &[Arg]) -> Out {
    remove(state, args, By::Score)
}

pub(super) fn zremrangebylex(state: &mut State, args: &[Arg]) -> Out {
    remove(state, args, By::Lex)
}
