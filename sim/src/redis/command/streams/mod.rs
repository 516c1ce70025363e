//! Streams: ids, and what changes or reads the log itself. Groups are in
//! [`groups`], reading for consumers in [`read`], taking over in [`claims`].
//!
//! `~` trims whole nodes, as Redis has them ([`crate::redis::value`]).

mod claims;
mod groups;
mod info;
mod read;
#[cfg(test)]
mod tests;

use std::ops::Bound;

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out, flag, int};
use crate::redis::settings::{STREAM_BYTES, STREAM_ENTRIES};
use crate::redis::value::{Fields, Full, Stream, StreamId, Trim};
use crate::redis::{State, Version};
pub(super) use claims::{xautoclaim, xclaim, xpending};
pub(super) use groups::{xack, xgroup};
pub(super) use info::xinfo;
pub(super) use read::{xread, xreadgroup};

const NOT_AN_ID: Fail = Fail::fixed("ERR Invalid stream ID specified as stream command argument");

/// `string2ull`: strict for what fits 63 bits, `strtoull` for the rest.
fn part(text: &[u8]) -> Option<u64> {
    if let Some(value) = crate::redis::number::parse_i64(text) {
        return u64::try_from(value).ok();
    }
    let text = std::str::from_utf8(text.trim_ascii_start()).ok()?;
    let digits = text.strip_prefix('+').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// `ms` or `ms-seq`; without a number, it is `missing`.
fn strict_id(text: &[u8], missing: u64) -> Result<StreamId, Fail> {
    if text.len() > 127 {
        return Err(NOT_AN_ID);
    }
    let dash = text.iter().position(|byte| *byte == b'-');
    let (ms, seq) = match dash {
        Some(at) => (part(&text[..at]), part(&text[at + 1..])),
        None => (part(text), Some(missing)),
    };
    match (ms, seq) {
        (Some(ms), Some(seq)) => Ok(StreamId { ms, seq }),
        _ => Err(NOT_AN_ID),
    }
}

/// The same, with `-` and `+` for the ends.
fn id(text: &[u8], missing: u64) -> Result<StreamId, Fail> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        text => strict_id(text, missing),
    }
}

fn start_of(arg: &Arg) -> Result<StreamId, Fail> {
    const NONE: Fail = Fail::fixed("ERR invalid start ID for the interval");
    match arg.strip_prefix(b"(") {
        Some(rest) if !rest.is_empty() => strict_id(rest, 0)?.next().ok_or(NONE),
        _ => id(arg, 0),
    }
}

fn end_of(arg: &Arg) -> Result<StreamId, Fail> {
    const NONE: Fail = Fail::fixed("ERR invalid end ID for the interval");
    match arg.strip_prefix(b"(") {
        Some(rest) if !rest.is_empty() => strict_id(rest, u64::MAX)?.previous().ok_or(NONE),
        _ => id(arg, u64::MAX),
    }
}

pub(super) fn id_reply(id: StreamId) -> Reply {
    Reply::bulk(id.to_string())
}

fn entry_reply(id: StreamId, fields: &[Bytes]) -> Reply {
    let fields = fields.iter().map(|part| Reply::Bulk(part.clone()));
    Reply::Array(vec![id_reply(id), Reply::Array(fields.collect())])
}

/// What `XADD` and `XTRIM` have in common.
#[derive(Default)]
struct Options {
    trim: Option<Trim>,
    approximate: bool,
    limit: Option<usize>,
    keep_missing: bool,
    /// How many arguments were read.
    read: usize,
}

fn options(args: &[Arg], adding: bool) -> Result<Options, Fail> {
    let mut found = Options::default();
    let mut rest = args;
    while let [word, after @ ..] = rest {
        let (length, least) = (word.is("MAXLEN"), word.is("MINID"));
        if adding && **word == *b"*" {
            break;
        } else if (length || least) && !after.is_empty() {
            if found.trim.is_some() {
                return Err(Fail::fixed(
                    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                ));
            }
            let sign = after.len() >= 2 && (*after[0] == *b"~" || *after[0] == *b"=");
            found.approximate = sign && *after[0] == *b"~";
            let after = if sign { &after[1..] } else { after };
            found.trim = Some(if length {
                let most = usize::try_from(after[0].int()?);
                let most =
                    most.map_err(|_| Fail::fixed("ERR The MAXLEN argument must be >= 0."))?;
                Trim::Length(most)
            } else {
                Trim::Before(strict_id(&after[0], 0)?)
            });
            rest = &after[1..];
        } else if word.is("LIMIT") && !after.is_empty() {
            let limit = usize::try_from(after[0].int()?);
            let limit = limit.map_err(|_| Fail::fixed("ERR The LIMIT argument must be >= 0."))?;
            found.limit = Some(limit);
            rest = &after[1..];
        } else if adding && word.is("NOMKSTREAM") {
            found.keep_missing = true;
            rest = after;
        } else if adding {
            break;
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    found.read = args.len() - rest.len();
    Ok(found)
}

impl Options {
    /// What can only be said once all options, and an id, are read.
    fn check(&self, adding: bool) -> Result<(), Fail> {
        if self.limit.is_some_and(|limit| limit > 0) && self.trim.is_none() {
            return Err(Fail::fixed(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if !adding && self.trim.is_none() {
            return Err(Fail::fixed(
                "ERR syntax error, XTRIM must be called with MAXLEN or MINID",
            ));
        }
        if self.limit.is_some() && !self.approximate {
            return Err(Fail::fixed(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        Ok(())
    }

    /// Cuts off the oldest entries; how many.
    fn trim(&self, stream: &mut Stream, full: Full) -> usize {
        let limit = match self.limit {
            // Redis's own bound on what one command may cost.
            None if self.approximate && full.entries > 0 => {
                full.entries.saturating_mul(100).min(1_000_000)
            }
            None if self.approximate => 10_000,
            None | Some(0) => usize::MAX,
            Some(limit) => limit,
        };
        let trim = self.trim.as_ref();
        trim.map_or(0, |trim| stream.trim(*trim, self.approximate, limit))
    }
}

/// When a node is full, by the configuration.
fn full(state: &State) -> Full {
    Full {
        entries: state.settings.size(&STREAM_ENTRIES),
        bytes: state.settings.size(&STREAM_BYTES),
    }
}

/// The id that an `XADD` asks for.
enum Wanted {
    Next,
    NextOf(u64),
    Exactly(StreamId),
}

impl Wanted {
    fn read(arg: &Arg, version: Version) -> Result<Self, Fail> {
        if **arg == *b"*" {
            return Ok(Self::Next);
        }
        match arg.strip_suffix(b"-*") {
            Some(_) if !version.numbers_within_a_time() => Err(NOT_AN_ID),
            Some(ms) if !ms.contains(&b'-') => Ok(Self::NextOf(part(ms).ok_or(NOT_AN_ID)?)),
            _ => strict_id(arg, 0).map(Self::Exactly),
        }
    }

    fn after(&self, last: StreamId, now_ms: i64) -> Option<StreamId> {
        let now = now_ms.max(0) as u64;
        match self {
            Self::Next if now > last.ms => Some(StreamId { ms: now, seq: 0 }),
            Self::Next => last.next(),
            Self::NextOf(ms) if *ms == last.ms => {
                let seq = last.seq.checked_add(1)?;
                Some(StreamId { ms: *ms, seq })
            }
            Self::NextOf(ms) => Some(StreamId { ms: *ms, seq: 0 }),
            Self::Exactly(id) => Some(*id),
        }
        .filter(|id| *id > last)
    }
}

pub(super) fn xadd(state: &mut State, args: &[Arg]) -> Out {
    let options = options(&args[2..], true)?;
    let version = state.version;
    let rest = &args[2 + options.read..];
    let wanted = rest
        .first()
        .map_or(Ok(Wanted::Next), |id| Wanted::read(id, version))?;
    options.check(true)?;
    let Some((_, fields)) = rest
        .split_first()
        .filter(|(_, fields)| !fields.is_empty() && fields.len().is_multiple_of(2))
    else {
        return Err(Fail::arity("xadd"));
    };
    if matches!(wanted, Wanted::Exactly(StreamId::MIN)) {
        return Err(Fail::fixed(
            "ERR The ID specified in XADD must be greater than 0-0",
        ));
    }
    let (now_ms, full) = (state.db.now_ms, full(state));
    if options.keep_missing && state.db.read::<Stream>(&args[1])?.is_none() {
        return Ok(Reply::Nil);
    }
    let stream = state.db.upsert::<Stream>(&args[1])?;
    if stream.last == StreamId::MAX {
        return Err(Fail::fixed(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let full_ms =
        matches!(wanted, Wanted::NextOf(ms) if ms == stream.last.ms) && stream.last.seq == u64::MAX;
    if full_ms {
        // Redis knows only that it could not, and takes that for the reason.
        return Err(Fail::fixed("ERR Elements are too large to be stored"));
    }
    let id = wanted.after(stream.last, now_ms).ok_or(Fail::fixed(
        "ERR The ID specified in XADD is equal or smaller than the target stream top item",
    ))?;
    let fields: Fields = fields.iter().map(Arg::shared).collect();
    stream.append(id, fields, full);
    let gone = options.trim(stream, full);
    state.db.changed(&args[1]);
    if gone > 0 {
        state.db.trimmed(&args[1]);
    }
    Ok(id_reply(id))
}

pub(super) fn xtrim(state: &mut State, args: &[Arg]) -> Out {
    let options = options(&args[2..], false)?;
    options.check(false)?;
    let full = full(state);
    let Some(stream) = state.db.edit::<Stream>(&args[1])? else {
        return int(0);
    };
    let gone = options.trim(stream, full);
    if gone > 0 {
        state.db.changed(&args[1]);
    }
    int(gone)
}

pub(super) fn xlen(state: &mut State, args: &[Arg]) -> Out {
    int(state.db.read::<Stream>(&args[1])?.map_or(0, Stream::len))
}

/// Reads strict ids, all of them before any is used.
fn ids(args: &[Arg]) -> Result<Vec<StreamId>, Fail> {
    args.iter().map(|arg| strict_id(arg, 0)).collect()
}

pub(super) fn xdel(state: &mut State, args: &[Arg]) -> Out {
    let Some(stream) = state.db.edit::<Stream>(&args[1])? else {
        return int(0);
    };
    let ids = ids(&args[2..])?;
    let gone = ids.into_iter().filter(|id| stream.delete(*id)).count();
    if gone > 0 {
        state.db.changed(&args[1]);
    }
    int(gone)
}

fn range(state: &mut State, args: &[Arg], reverse: bool) -> Out {
    let (low, high) = if reverse {
        (&args[3], &args[2])
    } else {
        (&args[2], &args[3])
    };
    let (start, end) = (start_of(low)?, end_of(high)?);
    let mut count = None;
    for option in args[4..].chunks(2) {
        match option {
            [word, value] if word.is("COUNT") => {
                count = Some(usize::try_from(value.int()?).unwrap_or(0));
            }
            _ => return Err(Fail::SYNTAX),
        }
    }
    let Some(stream) = state.db.read::<Stream>(&args[1])? else {
        return Ok(Reply::Array(Vec::new()));
    };
    if count == Some(0) {
        return Ok(Reply::Nil);
    }
    if start > end {
        return Ok(Reply::Array(Vec::new()));
    }
    let bounds = (Bound::Included(start), Bound::Included(end));
    let found = stream.entries.range(bounds);
    let most = count.unwrap_or(usize::MAX);
    let show = |(id, fields): (&StreamId, &Fields)| entry_reply(*id, fields);
    Ok(Reply::Array(if reverse {
        found.rev().take(most).map(show).collect()
    } else {
        found.take(most).map(show).collect()
    }))
}

pub(super) fn xrange(state: &mut State, args: &[Arg]) -> Out {
    range(state, args, false)
}

pub(super) fn xrevrange(state: &mut State, args: &[Arg]) -> Out {
    range(state, args, true)
}

pub(super) fn xsetid(state: &mut State, args: &[Arg]) -> Out {
    if !state.version.counts_entries() {
        if args.len() > 3 {
            return Err(Fail::arity("xsetid"));
        }
        // Looked for first there.
        state
            .db
            .read::<Stream>(&args[1])?
            .ok_or(Fail::NO_SUCH_KEY)?;
    }
    let id = strict_id(&args[2], 0)?;
    let (mut added, mut deleted) = (None, StreamId::MIN);
    for option in args[3..].chunks(2) {
        match option {
            [word, value] if word.is("ENTRIESADDED") => {
                let count = u64::try_from(value.int()?);
                let count = count.map_err(|_| Fail::fixed("ERR entries_added must be positive"))?;
                added = Some(count);
            }
            [word, value] if word.is("MAXDELETEDID") => {
                deleted = strict_id(value, 0)?;
                if id < deleted {
                    return Err(Fail::fixed(
                        "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                    ));
                }
            }
            _ => return Err(Fail::SYNTAX),
        }
    }
    let version = state.version;
    let Some(stream) = state.db.edit::<Stream>(&args[1])? else {
        return Err(Fail::NO_SUCH_KEY);
    };
    if version.deleted_bounds_last() && id < stream.max_deleted {
        return Err(Fail::fixed(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if let Some(top) = stream.entries.keys().next_back() {
        if id < *top {
            return Err(Fail::fixed(
                "ERR The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if added.is_some_and(|added| added < stream.len() as u64) {
            return Err(Fail::fixed(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    stream.last = id;
    stream.added = added.unwrap_or(stream.added);
    if deleted != StreamId::MIN {
        stream.max_deleted = deleted;
    }
    state.db.kept_book(&args[1]);
    Ok(state.replies.ok())
}
