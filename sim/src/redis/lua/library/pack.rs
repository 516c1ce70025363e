//! `struct`: Roberto Ierusalimschy's library for packing values into bytes.

use mlua::Table;

use crate::redis::lua::call::Running;
use crate::redis::lua::convert::c_cast;
use crate::redis::lua::raw::{Interpreter, Kind, Out, Raise, Stack};

/// Widest integer.
const MAX_INT: usize = 32;
/// Widest alignment.
const MAX_ALIGN: usize = 8;

/// What a call did wrong.
enum Wrong {
    Plain(String),
    /// With the number of the argument.
    Argument(i32, String),
}

impl Wrong {
    fn plain(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }

    fn argument(at: i32, text: &str) -> Self {
        Self::Argument(at, text.to_owned())
    }

    /// An argument of another type.
    fn expected(stack: &Stack, at: i32, kind: &str) -> Self {
        let got = stack.kind(at).name();
        Self::Argument(at, format!("{kind} expected, got {got}"))
    }

    /// Leaves the error on the stack, in the name of the line that called.
    fn raise(self, stack: &mut Stack, text: &mut Vec<u8>) -> Raise {
        text.clear();
        if let Some(Some(place)) = stack.place(1) {
            text.extend_from_slice(format!("{}:{}: ", place.short, place.line).as_bytes());
        }
        match self {
            Self::Plain(what) => text.extend_from_slice(what.as_bytes()),
            Self::Argument(at, why) => {
                let name = stack.called();
                text.extend_from_slice(format!("bad argument #{at} to '{name}' ({why})").as_bytes())
            }
        }
        stack.push_bytes(text);
        Raise
    }
}

/// Reads a format: byte order and alignment are its state.
struct Format<'a> {
    text: &'a [u8],
    little: bool,
    align: usize,
    /// Letters that say nothing are passed over.
    lenient: bool,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Self {
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Self {
            text,
            little: true,
            align: 1,
            lenient: false,
        }
    }

    fn number(&mut self, otherwise: usize) -> Result<usize, Wrong> {
        let count = self.text.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return Ok(otherwise);
        }
        let mut value = 0usize;
        for digit in &self.text[..count] {
            let next = value.checked_mul(10).map(|v| v + usize::from(digit - b'0'));
            value = next
                .filter(|value| *value <= i32::MAX as usize)
                .ok_or_else(|| Wrong::plain("integral size overflow"))?;
        }
        self.text = &self.text[count..];
        Ok(value)
    }

    /// The next option that takes or skips bytes, with its size and the padding
    /// that it needs at `position`; control options are obeyed on the way.
    fn next(&mut self, position: usize) -> Result<Option<(u8, usize, usize)>, Wrong> {
        while let Some((option, rest)) = self.text.split_first() {
            self.text = rest;
            let size = match option {
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'l' | b'L' | b'T' | b'd' => 8,
                b'f' => 4,
                b'i' | b'I' => {
                    let size = self.number(4)?;
                    if size > MAX_INT {
                        let text =
                            format!("integral size {size} is larger than limit of {MAX_INT}");
                        return Err(Wrong::Plain(text));
                    }
                    size
                }
                b'c' => self.number(1)?,
                b's' => 0,
                b' ' => continue,
                b'<' => {
                    self.little = true;
                    continue;
                }
                b'>' => {
                    self.little = false;
                    continue;
                }
                b'!' => {
                    let align = self.number(MAX_ALIGN)?;
                    if !align.is_power_of_two() {
                        let text = format!("alignment {align} is not a power of 2");
                        return Err(Wrong::Plain(text));
                    }
                    self.align = align;
                    continue;
                }
                other if self.lenient && other.is_ascii_alphanumeric() => continue,
                other => {
                    let text = format!("invalid format option '{}'", char::from(*other));
                    return Err(Wrong::Argument(1, text));
                }
            };
            let unit = size.min(self.align);
            let padding = if size == 0 || *option == b'c' || unit == 0 {
                0
            } else {
                (unit - (position & (unit - 1))) & (unit - 1)
            };
            return Ok(Some((*option, size, padding)));
        }
        Ok(None)
    }
}

/// The argument as a string; a number is made one.
fn text_at(stack: &mut Stack, at: i32) -> Result<(), Wrong> {
    match stack.kind(at) {
        Kind::Text => Ok(()),
        Kind::Number => {
            stack.stringify(at);
            Ok(())
        }
        _ => Err(Wrong::expected(stack, at, "string")),
    }
}

fn number_at(stack: &Stack, at: i32) -> Result<f64, Wrong> {
    stack
        .number(at)
        .ok_or_else(|| Wrong::expected(stack, at, "number"))
}

fn bytes_at(stack: &Stack, at: i32) -> Result<&[u8], Wrong> {
    stack
        .bytes(at)
        .ok_or_else(|| Wrong::expected(stack, at, "string"))
}

fn pack(stack: &mut Stack, running: &mut Running) -> Out {
    let out = &mut running.text;
    out.clear();
    match pack_into(stack, out) {
        Ok(()) => {
            stack.push_bytes(out);
            Ok(1)
        }
        Err(wrong) => Err(wrong.raise(stack, out)),
    }
}

fn pack_into(stack: &mut Stack, out: &mut Vec<u8>) -> Result<(), Wrong> {
    if stack.top() > 0 {
        stack.push_nil(); // as in Redis: what is behind the last is nil
    }
    for at in 1..=stack.top() {
        if stack.kind(at) == Kind::Number && at == 1 {
            stack.stringify(at);
        }
    }
    let mut format = Format::new(bytes_at(stack, 1)?);
    let mut at = 2;
    let mut written = itoa::Buffer::new();
    while let Some((option, size, padding)) = format.next(out.len())? {
        out.resize(out.len() + padding, 0);
        match option {
            b'x' => out.push(0),
            b'd' => {
                let bytes = number_at(stack, at)?.to_le_bytes();
                put(out, &bytes, format.little);
            }
            b'f' => {
                let bytes = (number_at(stack, at)? as f32).to_le_bytes();
                put(out, &bytes, format.little);
            }
            b'c' | b's' => {
                // Numbers are taken for their text, as Lua writes it.
                let value = match stack.number(at).filter(|_| stack.kind(at) == Kind::Number) {
                    Some(n) => match crate::redis::number::exact_i64(n) {
                        Some(n) if n.abs() < 100_000_000_000_000 => written.format(n).as_bytes(),
                        _ => &crate::redis::number::format_g(n, 14).into_bytes(),
                    },
                    None => bytes_at(stack, at)?,
                };
                let size = if size == 0 { value.len() } else { size };
                if value.len() < size {
                    return Err(Wrong::argument(at + 1, "string too short"));
                }
                out.extend_from_slice(&value[..size]);
                if option == b's' {
                    out.push(0);
                }
            }
            _ => {
                let n = number_at(stack, at)?;
                let bits = unsigned(n);
                let mut bytes = [0u8; MAX_INT];
                bytes[..8].copy_from_slice(&bits.to_le_bytes());
                put(out, &bytes[..size], format.little);
            }
        }
        at += i32::from(option != b'x');
    }
    Ok(())
}

/// C's `(unsigned long)` on x86-64, of what is negative by way of `long`.
fn unsigned(n: f64) -> u64 {
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if n >= EDGE {
        c_cast(n - EDGE) as u64 ^ 1 << 63
    } else {
        c_cast(n) as u64
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8], little: bool) {
    if little {
        out.extend_from_slice(bytes);
    } else {
        out.extend(bytes.iter().rev());
    }
}

fn unpack(stack: &mut Stack, running: &mut Running) -> Out {
    match unpack_all(stack, &mut running.text) {
        Ok(count) => Ok(count),
        Err(wrong) => Err(wrong.raise(stack, &mut running.text)),
    }
}

/// One value that was read, before it is pushed.
enum Read {
    Number(f64),
    /// So many bytes from the position.
    Bytes(usize),
    Nothing,
}

fn unpack_all(stack: &mut Stack, copy: &mut Vec<u8>) -> Result<i32, Wrong> {
    text_at(stack, 1)?;
    text_at(stack, 2)?;
    let start = match stack.kind(3) {
        Kind::None | Kind::Nil => 1.0,
        _ => number_at(stack, 3)?,
    };
    // A negative one is a huge one to C.
    let Some(mut position) = (c_cast(start) as usize).checked_sub(1) else {
        return Err(Wrong::argument(3, "offset must be 1 or greater"));
    };
    if position > bytes_at(stack, 2)?.len() && !bytes_at(stack, 1)?.is_empty() {
        return Err(Wrong::argument(2, "data string too short"));
    }
    let base = stack.top();
    // The format is short; a copy of it lets the stack grow meanwhile.
    copy.clear();
    copy.extend_from_slice(bytes_at(stack, 1)?);
    let mut format = Format::new(copy);
    if !stack.reserve(
        i32::try_from(copy.len())
            .unwrap_or(i32::MAX)
            .saturating_add(2),
    ) {
        return Err(Wrong::plain("too many results"));
    }
    while let Some((option, mut size, padding)) = format.next(position)? {
        if option == b'c' && size == 0 {
            let previous = stack.top();
            let count = stack.number(previous).filter(|_| previous > base);
            let count = count.ok_or_else(|| Wrong::plain("format 'c0' needs a previous size"))?;
            size = usize::try_from(unsigned(count)).unwrap_or(usize::MAX);
            stack.pop(1);
        }
        let read = {
            let short = || Wrong::argument(2, "data string too short");
            position += padding;
            let rest = bytes_at(stack, 2)?.get(position..).ok_or_else(short)?;
            let bytes = rest.get(..size).ok_or_else(short)?;
            match option {
                b'x' => Read::Nothing,
                b'd' => Read::Number(f64::from_le_bytes(take(bytes, format.little))),
                b'f' => Read::Number(f64::from(f32::from_le_bytes(take(bytes, format.little)))),
                b'c' => Read::Bytes(size),
                b's' => {
                    let end = rest.iter().position(|byte| *byte == 0);
                    let end = end.ok_or_else(|| Wrong::plain("unfinished string in data"))?;
                    size = end + 1;
                    Read::Bytes(end)
                }
                _ => Read::Number(integer(bytes, option, format.little)),
            }
        };
        match read {
            Read::Nothing => {}
            Read::Number(n) => stack.push_number(n),
            Read::Bytes(count) => stack.push_part(2, position..position + count),
        }
        position += size;
    }
    stack.push_number((position + 1) as f64);
    Ok(stack.top() - base)
}

/// The bytes in little-endian order.
fn take<const N: usize>(bytes: &[u8], little: bool) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    if !little {
        out.reverse();
    }
    out
}

fn integer(bytes: &[u8], option: u8, little: bool) -> f64 {
    let mut value = 0u64;
    let mut add = |byte: &u8| value = value << 8 | u64::from(*byte);
    if little {
        bytes.iter().rev().for_each(&mut add);
    } else {
        bytes.iter().for_each(&mut add);
    }
    if option.is_ascii_uppercase() {
        return value as f64;
    }
    // Of what is wider than a number the last eight bytes are left, and the mask of
    // the sign is where a processor puts it that counts shifts modulo 64.
    let mask = u64::MAX.wrapping_shl((8 * bytes.len() as u32).wrapping_sub(1));
    let value = if value & mask != 0 {
        value | mask
    } else {
        value
    };
    value as i64 as f64
}

fn size(stack: &mut Stack, running: &mut Running) -> Out {
    match size_of(stack) {
        Ok(size) => {
            stack.push_number(size as f64);
            Ok(1)
        }
        Err(wrong) => Err(wrong.raise(stack, &mut running.text)),
    }
}

fn size_of(stack: &mut Stack) -> Result<usize, Wrong> {
    text_at(stack, 1)?;
    let mut format = Format::new(bytes_at(stack, 1)?);
    format.lenient = true;
    let mut position = 0;
    while let Some((option, size, padding)) = format.next(position)? {
        if option == b's' {
            return Err(Wrong::argument(1, "option 's' has no fixed size"));
        }
        if option == b'c' && size == 0 {
            return Err(Wrong::argument(1, "option 'c0' has no fixed size"));
        }
        position += padding + size;
    }
    Ok(position)
}

pub(super) fn library(interpreter: &Interpreter<Running>) -> mlua::Result<Table> {
    let table = interpreter.lua.create_table()?;
    table.set("pack", interpreter.function(pack)?)?;
    table.set("unpack", interpreter.function(unpack)?)?;
    table.set("size", interpreter.function(size)?)?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    /// The answers are those of Redis 7.0.15.
    #[test]
    fn odd_formats_and_numbers() {
        let bad = "-ERR user_script:1: bad argument ";
        for (what, answer) in [
            ("pack('i', 1e20)", r#""\x00\x00\x00\x00""#),
            ("pack('l', 1e19)", r#""\x00\x00\xe8\x89\x04#\xc7\x8a""#),
            ("pack('l', -1e19)", r#""\x00\x00\x00\x00\x00\x00\x00\x80""#),
            ("pack('l', 0/0)", r#""\x00\x00\x00\x00\x00\x00\x00\x80""#),
            (
                "pack('i9', -1)",
                r#""\xff\xff\xff\xff\xff\xff\xff\xff\x00""#,
            ),
            ("size('y')", ":0"),
            ("size('xi!ix')", ":13"),
            (
                "pack('!0i', 1)",
                "-ERR user_script:1: alignment 0 is not a power of 2",
            ),
            (
                "pack('i4')",
                &format!(r"{bad}#2 to \'pack\' (number expected, got nil)"),
            ),
            (
                "pack()",
                &format!(r"{bad}#1 to \'pack\' (string expected, got no value)"),
            ),
            (
                "pack('y')",
                &format!(r"{bad}#1 to \'pack\' (invalid format option \'y\')"),
            ),
            (
                "unpack('y', 'a')",
                &format!(r"{bad}#1 to \'unpack\' (invalid format option \'y\')"),
            ),
        ] {
            let reply = Bench::new().eval(&format!("return struct.{what}"));
            let end = reply.find(" script: ").unwrap_or(reply.len());
            assert_eq!(&reply[..end], answer, "{what}");
        }
    }
}
