//! `BITFIELD`: integers of any width at any bit of a string.

use sluice_core::redis::Reply;

use super::bits::NOT_AN_OFFSET;
use super::{Arg, Fail, Out};
use crate::redis::State;
use crate::redis::number::parse_i64;
use crate::redis::settings::BULK;

const NOT_A_TYPE: Fail = Fail::fixed(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);

/// What becomes of a value that does not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// Where an integer lies: `bits` wide, at most 64.
#[derive(Clone, Copy)]
struct Field {
    signed: bool,
    bits: u32,
    at: usize,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

struct Step {
    field: Field,
    action: Action,
    overflow: Overflow,
}

fn field(kind: &Arg, offset: &Arg, longest: usize) -> Result<Field, Fail> {
    let signed = match kind.first() {
        Some(b'i') => true,
        Some(b'u') => false,
        _ => return Err(NOT_A_TYPE),
    };
    let most = if signed { 64 } else { 63 };
    let bits = parse_i64(&kind[1..]).filter(|bits| (1..=most).contains(bits));
    let bits = bits.ok_or(NOT_A_TYPE)?;
    let (text, unit) = match offset.strip_prefix(b"#") {
        Some(rest) => (rest, bits),
        None => (&**offset, 1),
    };
    let at = parse_i64(text).map(|at| at.wrapping_mul(unit));
    let at = at.and_then(|at| usize::try_from(at).ok());
    let at = at.filter(|at| at >> 3 < longest).ok_or(NOT_AN_OFFSET)?;
    Ok(Field {
        signed,
        bits: bits as u32,
        at,
    })
}

fn steps(args: &[Arg], longest: usize) -> Result<Vec<Step>, Fail> {
    let mut overflow = Overflow::Wrap;
    let mut found = Vec::new();
    let mut rest = args;
    while let [word, after @ ..] = rest {
        if word.is("OVERFLOW") && !after.is_empty() {
            overflow = if after[0].is("WRAP") {
                Overflow::Wrap
            } else if after[0].is("SAT") {
                Overflow::Saturate
            } else if after[0].is("FAIL") {
                Overflow::Fail
            } else {
                return Err(Fail::fixed("ERR Invalid OVERFLOW type specified"));
            };
            rest = &after[1..];
            continue;
        }
        let get = word.is("GET") && after.len() >= 2;
        let set = word.is("SET") && after.len() >= 3;
        if !(get || set || word.is("INCRBY") && after.len() >= 3) {
            return Err(Fail::SYNTAX);
        }
        let field = field(&after[0], &after[1], longest)?;
        let action = if get {
            Action::Get
        } else if set {
            Action::Set(after[2].int()?)
        } else {
            Action::Add(after[2].int()?)
        };
        rest = &after[if get { 2 } else { 3 }..];
        found.push(Step {
            field,
            action,
            overflow,
        });
    }
    Ok(found)
}

impl Field {
    fn read(self, text: &[u8]) -> i64 {
        let mut value = 0u64;
        for at in self.at..self.at + self.bits as usize {
            let byte = text.get(at >> 3).unwrap_or(&0);
            value = value << 1 | u64::from(byte >> (7 - (at & 7)) & 1);
        }
        self.narrow(value)
    }

    fn write(self, text: &mut [u8], value: i64) {
        for step in 0..self.bits {
            let at = self.at + step as usize;
            let mask = 0x80 >> (at & 7);
            if value as u64 >> (self.bits - 1 - step) & 1 == 1 {
                text[at >> 3] |= mask;
            } else {
                text[at >> 3] &= !mask;
            }
        }
    }

    /// What the lowest bits stand for.
    fn narrow(self, value: u64) -> i64 {
        let spare = 64 - self.bits;
        if self.signed {
            (value << spare) as i64 >> spare
        } else {
            (value << spare >> spare) as i64
        }
    }

    /// `value + by` in this width, and whether it had to be made to fit.
    /// Written as Redis does it, whose limits wrap for a value far outside.
    fn sum(self, value: i64, by: i64, overflow: Overflow) -> (i64, bool) {
        let (over, under, limits);
        if self.signed {
            let max = i64::MAX >> (64 - self.bits);
            let min = -max - 1;
            let (room_up, room_down) = (max.wrapping_sub(value), min.wrapping_sub(value));
            let narrow = self.bits != 64;
            over = value > max || narrow && by > room_up || value >= 0 && by > 0 && by > room_up;
            under =
                value < min || narrow && by < room_down || value < 0 && by < 0 && by < room_down;
            limits = (min, max);
        } else {
            let max = i64::MAX >> (63 - self.bits);
            over = value as u64 > max as u64 || by > 0 && by > max.wrapping_sub(value);
            under = by < 0 && by < value.wrapping_neg();
            limits = (0, max);
        }
        let wrapped = self.narrow(value.wrapping_add(by) as u64);
        match overflow {
            Overflow::Saturate if over => (limits.1, true),
            Overflow::Saturate if under => (limits.0, true),
            Overflow::Saturate | Overflow::Wrap | Overflow::Fail => (wrapped, over || under),
        }
    }
}

impl Step {
    /// Its answer, and whether it changed anything.
    fn run(&self, text: &mut [u8]) -> (Reply, bool) {
        let old = self.field.read(text);
        let (new, shown, lost) = match self.action {
            Action::Get => return (Reply::Int(old), false),
            Action::Set(value) => {
                let (new, lost) = self.field.sum(value, 0, self.overflow);
                (new, old, lost)
            }
            Action::Add(by) => {
                let (new, lost) = self.field.sum(old, by, self.overflow);
                (new, new, lost)
            }
        };
        if lost && self.overflow == Overflow::Fail {
            return (Reply::Nil, false);
        }
        self.field.write(text, new);
        (Reply::Int(shown), new != old)
    }
}

pub(super) fn bitfield(state: &mut State, args: &[Arg]) -> Out {
    run(state, args, false)
}

pub(super) fn bitfield_ro(state: &mut State, args: &[Arg]) -> Out {
    run(state, args, true)
}

fn run(state: &mut State, args: &[Arg], read_only: bool) -> Out {
    let steps = steps(&args[2..], state.settings.size(&BULK))?;
    let writes = steps.iter().filter(|s| !matches!(s.action, Action::Get));
    let last = writes.map(|s| s.field.at + s.field.bits as usize - 1).max();
    let Some(last) = last else {
        let text = state.db.read_str(args[1])?;
        let text: &[u8] = text.map_or(&[], |text| text);
        let got = steps.iter().map(|s| Reply::Int(s.field.read(text)));
        return Ok(Reply::Array(got.collect()));
    };
    if read_only {
        return Err(Fail::fixed(
            "ERR BITFIELD_RO only supports the GET subcommand",
        ));
    }
    state.db.edit_str(&args[1], last / 8 + 1, |text| {
        let told = steps.iter().map(|step| step.run(text));
        let (replies, changed): (Vec<Reply>, Vec<bool>) = told.unzip();
        (Reply::Array(replies), changed.contains(&true))
    })
}
