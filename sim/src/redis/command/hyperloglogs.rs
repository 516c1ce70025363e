//! `PFADD`, `PFCOUNT`, `PFMERGE`, and `PFDEBUG` to look inside.

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out};
use crate::redis::State;
use crate::redis::hyperloglog::{Corrupted, HyperLogLog, Registers};
use crate::redis::settings::SPARSE_BYTES;

const CORRUPTED: Fail = Fail::fixed("INVALIDOBJ Corrupted HLL object detected");

impl From<Corrupted> for Fail {
    fn from(_: Corrupted) -> Self {
        CORRUPTED
    }
}

/// What is at a key, if anything is.
fn find(state: &mut State, key: &[u8]) -> Result<Option<HyperLogLog>, Fail> {
    let sparse_max = state.settings.size(&SPARSE_BYTES);
    let text = state.db.read_str(key)?;
    let read = text.map(|text| HyperLogLog::read(text, sparse_max));
    read.map(|read| {
        read.ok_or(Fail::fixed(
            "WRONGTYPE Key is not a valid HyperLogLog string value.",
        ))
    })
    .transpose()
}

fn empty(state: &State) -> HyperLogLog {
    HyperLogLog::new(state.settings.size(&SPARSE_BYTES))
}

fn keep(state: &mut State, key: &Arg, value: HyperLogLog) {
    state.db.write_str(key, Bytes::from(value.into_bytes()));
}

pub(super) fn pfadd(state: &mut State, args: &[Arg]) -> Out {
    let found = find(state, &args[1])?;
    let mut updated = found.is_none();
    let mut value = found.unwrap_or_else(|| empty(state));
    let mut failed = None;
    for element in &args[2..] {
        match value.add(element) {
            Ok(changed) => updated |= changed,
            Err(corrupted) => {
                failed = Some(corrupted);
                break;
            }
        }
    }
    if updated {
        value.forget();
        keep(state, &args[1], value);
    }
    match failed {
        Some(corrupted) => Err(corrupted.into()),
        None => super::flag(updated),
    }
}

pub(super) fn pfcount(state: &mut State, args: &[Arg]) -> Out {
    if let [_, key] = args {
        let Some(mut value) = find(state, key)? else {
            return Ok(Reply::Int(0));
        };
        let estimate = match value.known() {
            Some(known) => known,
            None => {
                let estimate = value.registers()?.estimate();
                value.know(estimate);
                keep(state, key, value);
                estimate
            }
        };
        return Ok(Reply::Int(estimate as i64));
    }
    let mut registers = Registers::default();
    for key in &args[1..] {
        if let Some(value) = find(state, key)? {
            value.merge_into(&mut registers)?;
        }
    }
    Ok(Reply::Int(registers.estimate() as i64))
}

pub(super) fn pfmerge(state: &mut State, args: &[Arg]) -> Out {
    let mut registers = Registers::default();
    let mut dense = false;
    for key in &args[1..] {
        if let Some(value) = find(state, key)? {
            dense |= value.is_dense();
            value.merge_into(&mut registers)?;
        }
    }
    let mut value = find(state, &args[1])?.unwrap_or_else(|| empty(state));
    if dense {
        value.make_dense()?;
    }
    value.raise_to(&registers)?;
    value.forget();
    keep(state, &args[1], value);
    Ok(state.replies.ok())
}

pub(super) fn pfdebug(state: &mut State, args: &[Arg]) -> Out {
    let missing = Fail::fixed("ERR The specified key does not exist");
    let mut value = find(state, &args[2])?.ok_or(missing)?;
    let word = &args[1];
    let dense = value.is_dense();
    let reply = if word.is("GETREG") {
        let all = value.registers()?;
        value.make_dense()?;
        Reply::Array(all.iter().map(|one| Reply::Int(one.into())).collect())
    } else if word.is("DECODE") {
        if dense {
            return Err(Fail::fixed("ERR HLL encoding is not sparse"));
        }
        Reply::bulk(value.decoded()?)
    } else if word.is("ENCODING") {
        let name = if dense { "dense" } else { "sparse" };
        Reply::Status(Bytes::from(name.as_bytes()))
    } else if word.is("TODENSE") {
        value.make_dense()?;
        Reply::Int(i64::from(!dense))
    } else {
        let text = [b"ERR Unknown PFDEBUG subcommand '", &**word, b"'"];
        return Err(Fail::new(text.concat()));
    };
    if value.is_dense() != dense {
        keep(state, &args[2], value);
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    /// The answers are those of Redis 7.0.15.
    #[test]
    fn what_was_added_is_counted() {
        let mut bench = Bench::new();
        for (line, answer) in [
            ("PFADD h a b c d e f g", ":1"),
            ("PFADD h a", ":0"),
            ("PFCOUNT h", ":7"),
            ("PFADD g a x y", ":1"),
            ("PFCOUNT h g none", ":9"),
            ("PFMERGE m h g", "+OK"),
            ("PFCOUNT m", ":9"),
            ("PFDEBUG ENCODING m", "+sparse"),
            ("PFDEBUG TODENSE m", ":1"),
            ("STRLEN m", ":12304"),
            ("PFCOUNT m", ":9"),
            ("PFADD fresh", ":1"),
            (
                "GET fresh",
                r#""HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff""#,
            ),
            ("SET s HYLL", "+OK"),
            (
                "PFADD s a",
                "-WRONGTYPE Key is not a valid HyperLogLog string value.",
            ),
            ("SADD set a", ":1"),
            (
                "PFCOUNT set",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
        ] {
            assert_eq!(bench.run(line), answer, "{line}");
        }
    }
}
