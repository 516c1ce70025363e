//! Strings as rows of bits. Bit 0 is the most significant of the first byte.

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out, int};
use crate::redis::State;
use crate::redis::settings::BULK;
use crate::redis::value::Value;

pub(super) const NOT_AN_OFFSET: Fail =
    Fail::fixed("ERR bit offset is not an integer or out of range");

/// A bit's place; none lies beyond the longest string.
fn offset(state: &State, arg: &Arg) -> Result<usize, Fail> {
    let longest = state.settings.size(&BULK);
    let at = arg.int().ok().and_then(|at| usize::try_from(at).ok());
    at.filter(|at| at >> 3 < longest).ok_or(NOT_AN_OFFSET)
}

pub(super) fn setbit(state: &mut State, args: &[Arg]) -> Out {
    const NOT_A_BIT: Fail = Fail::fixed("ERR bit is not an integer or out of range");
    let at = offset(state, &args[2])?;
    let on = match args[3].int() {
        Ok(0) => false,
        Ok(1) => true,
        _ => return Err(NOT_A_BIT),
    };
    let (byte, mask) = (at >> 3, 0x80 >> (at & 7));
    let old = state.db.read_str(args[1])?;
    // What changes nothing breaks no watch.
    if let Some(old) = old.and_then(|text| text.get(byte)).copied()
        && (old & mask != 0) == on
    {
        return int(usize::from(on));
    }
    let old = state.db.edit_str(&args[1], byte + 1, |text| {
        let old = text[byte];
        text[byte] = if on { old | mask } else { old & !mask };
        (old, true)
    })?;
    int(usize::from(old & mask != 0))
}

pub(super) fn getbit(state: &mut State, args: &[Arg]) -> Out {
    let at = offset(state, &args[2])?;
    let text = state.db.read_str(args[1])?;
    let byte = text.and_then(|text| text.get(at >> 3)).unwrap_or(&0);
    int(usize::from(byte & (0x80 >> (at & 7)) != 0))
}

/// The unit of a range's bounds: whether they count bits.
fn unit(arg: &Arg) -> Result<bool, Fail> {
    if arg.is("BIT") {
        Ok(true)
    } else if arg.is("BYTE") {
        Ok(false)
    } else {
        Err(Fail::SYNTAX)
    }
}

/// Bounds as given, both inclusive, in bits or bytes.
#[derive(Clone, Copy)]
struct Span {
    start: i64,
    end: Option<i64>,
    bits: bool,
}

impl Span {
    /// As bits `start..end` of a string with `len` bytes.
    fn of(self, len: usize) -> (usize, usize) {
        let units = if self.bits { len * 8 } else { len } as i64;
        let absolute = |at: i64| {
            if at < 0 {
                at.saturating_add(units).max(0)
            } else {
                at
            }
        };
        let start = absolute(self.start);
        let end = absolute(self.end.unwrap_or(-1)).min(units - 1);
        let scale = if self.bits { 1 } else { 8 };
        if start > end {
            (0, 0)
        } else {
            (start as usize * scale, (end as usize + 1) * scale)
        }
    }
}

/// Reads `start end [BYTE|BIT]`; `None` if there is nothing to read.
fn count_span(args: &[Arg]) -> Result<Option<Span>, Fail> {
    let (start, end, bits) = match args {
        [] => return Ok(None),
        [start, end] => (start.int()?, end.int()?, false),
        [start, end, word] => {
            let bounds = (start.int()?, end.int()?);
            // Such a range is empty in any unit, and so 7.0 does not look at it.
            (bounds.0, bounds.1, unit(word)?)
        }
        _ => return Err(Fail::SYNTAX),
    };
    let end = Some(end);
    Ok(Some(Span { start, end, bits }))
}

pub(super) fn bitcount(state: &mut State, args: &[Arg]) -> Out {
    if state.version.bit_arguments_first() {
        count_span(&args[2..])?;
    }
    let Some(text) = state.db.read_str(args[1])? else {
        return int(0);
    };
    if args.len() > 4 && !state.version.counts_single_bits() {
        return Err(Fail::SYNTAX);
    }
    let span = match &args[2..] {
        [start, end, ..] if args.len() <= 5 => {
            let (start, end) = (start.int()?, end.int()?);
            if start < 0 && end < 0 && start > end {
                return int(0);
            }
            count_span(&args[2..])?
        }
        rest => count_span(rest)?,
    };
    let (start, end) = span.map_or((0, text.len() * 8), |span| span.of(text.len()));
    int(ones(text, start, end))
}

/// How many of the bits `start..end` are set.
fn ones(text: &[u8], start: usize, end: usize) -> usize {
    if start >= end {
        return 0;
    }
    let (first, last) = (start / 8, (end - 1) / 8);
    let whole: u32 = text[first..=last].iter().map(|b| b.count_ones()).sum();
    let before = text[first] & !(0xff >> (start % 8));
    let after = text[last] & (0x7f >> ((end - 1) % 8));
    whole as usize - (before.count_ones() + after.count_ones()) as usize
}

/// Reads `bit [start [end [BYTE|BIT]]]`, in the order of Redis's complaints.
fn position_span(args: &[Arg]) -> Result<Span, Fail> {
    let mut span = Span {
        start: 0,
        end: None,
        bits: false,
    };
    if args.len() > 3 {
        return Err(Fail::SYNTAX);
    }
    if let Some(start) = args.first() {
        span.start = start.int()?;
    }
    if let Some(word) = args.get(2) {
        span.bits = unit(word)?;
    }
    if let Some(end) = args.get(1) {
        span.end = Some(end.int()?);
    }
    Ok(span)
}

pub(super) fn bitpos(state: &mut State, args: &[Arg]) -> Out {
    let wanted = match args[2].int()? {
        0 => false,
        1 => true,
        _ => return Err(Fail::fixed("ERR The bit argument must be 1 or 0.")),
    };
    if state.version.bit_arguments_first() {
        position_span(&args[3..])?;
    }
    let Some(text) = state.db.read_str(args[1])? else {
        return Ok(Reply::Int(if wanted { -1 } else { 0 }));
    };
    if args.len() > 5 && !state.version.counts_single_bits() {
        return Err(Fail::SYNTAX);
    }
    let span = position_span(&args[3..])?;
    let (start, end) = span.of(text.len());
    Ok(Reply::Int(match position(text, start, end, wanted) {
        Some(at) => at as i64,
        // Beyond the end all bits are clear, unless an end was asked for.
        None if !wanted && span.end.is_none() && start < end => end as i64,
        None => -1,
    }))
}

/// The first bit of `start..end` that is as wanted.
fn position(text: &[u8], start: usize, end: usize, wanted: bool) -> Option<usize> {
    let dull = if wanted { 0x00 } else { 0xff };
    let mut at = start;
    while at < end {
        let byte = text[at / 8];
        if at.is_multiple_of(8) && byte == dull {
            at += 8;
        } else if (byte & (0x80 >> (at % 8)) != 0) == wanted {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

pub(super) fn bitop(state: &mut State, args: &[Arg]) -> Out {
    let (word, keys) = (&args[1], &args[3..]);
    let combine: fn(u8, u8) -> u8 = if word.is("AND") {
        |a, b| a & b
    } else if word.is("OR") {
        |a, b| a | b
    } else if word.is("XOR") {
        |a, b| a ^ b
    } else if word.is("NOT") {
        |a, _| !a
    } else {
        return Err(Fail::SYNTAX);
    };
    if word.is("NOT") && keys.len() != 1 {
        return Err(Fail::fixed(
            "ERR BITOP NOT must be called with a single source key.",
        ));
    }
    let mut texts: Vec<Option<Bytes>> = Vec::with_capacity(keys.len());
    for key in keys {
        texts.push(state.db.read_str(key)?.cloned());
    }
    let len = texts.iter().flatten().map(|text| text.len()).max();
    let len = len.unwrap_or(0);
    if len == 0 {
        state.db.remove(&args[2]);
        return int(0);
    }
    let mut texts = texts.iter().map(|text| text.as_deref().unwrap_or_default());
    let mut out = texts.next().unwrap_or_default().to_vec();
    out.resize(len, 0);
    if word.is("NOT") {
        out.iter_mut().for_each(|byte| *byte = !*byte);
    }
    for text in texts {
        let bytes = text.iter().chain(std::iter::repeat(&0));
        for (sum, byte) in out.iter_mut().zip(bytes) {
            *sum = combine(*sum, *byte);
        }
    }
    let value = Value::Str(Bytes::from(out));
    state.db.put(args[2].shared(), value, None);
    int(len)
}
