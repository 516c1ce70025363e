//! `struct`: Roberto Ierusalimschy's library for packing values into bytes.

use mlua::{Error, Lua, MultiValue, Table, Value};

use super::Args;

/// Widest integer.
const MAX_INT: usize = 32;
/// Widest alignment.
const MAX_ALIGN: usize = 8;

/// Reads a format: byte order and alignment are its state.
struct Format<'a> {
    text: &'a [u8],
    little: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Self {
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Self {
            text,
            little: true,
            align: 1,
        }
    }

    fn number(&mut self, otherwise: usize, args: &Args) -> Result<usize, Error> {
        let count = self.text.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return Ok(otherwise);
        }
        let mut value = 0usize;
        for digit in &self.text[..count] {
            let next = value.checked_mul(10).map(|v| v + usize::from(digit - b'0'));
            value = next
                .filter(|value| *value <= i32::MAX as usize)
                .ok_or_else(|| args.error("integral size overflow"))?;
        }
        self.text = &self.text[count..];
        Ok(value)
    }

    /// The next option that takes or skips bytes, with its size and the padding
    /// that it needs at `position`; control options are obeyed on the way.
    fn next(&mut self, position: usize, args: &Args) -> Result<Option<(u8, usize, usize)>, Error> {
        while let Some((option, rest)) = self.text.split_first() {
            self.text = rest;
            let size = match option {
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'l' | b'L' | b'T' | b'd' => 8,
                b'f' => 4,
                b'i' | b'I' => {
                    let size = self.number(4, args)?;
                    if size > MAX_INT {
                        let text =
                            format!("integral size {size} is larger than limit of {MAX_INT}");
                        return Err(args.error(&text));
                    }
                    size
                }
                b'c' => self.number(1, args)?,
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
                    let align = self.number(MAX_ALIGN, args)?;
                    if !align.is_power_of_two() && align != 0 {
                        let text = format!("alignment {align} is not a power of 2");
                        return Err(args.error(&text));
                    }
                    self.align = align;
                    continue;
                }
                other => {
                    let text = format!("invalid format option '{}'", char::from(*other));
                    return Err(args.bad(1, &text));
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

fn pack(lua: &Lua, values: MultiValue) -> mlua::Result<mlua::LuaString> {
    let args = Args::new(lua, "pack", values);
    let text = args.string(1)?;
    let text = text.as_bytes();
    let mut format = Format::new(&text);
    let mut out = Vec::with_capacity(64);
    let mut at = 2;
    while let Some((option, size, padding)) = format.next(out.len(), &args)? {
        out.resize(out.len() + padding, 0);
        match option {
            b'x' => out.push(0),
            b'd' => {
                let bytes = args.number(at)?.to_le_bytes();
                put(&mut out, &bytes, format.little);
            }
            b'f' => {
                let bytes = (args.number(at)? as f32).to_le_bytes();
                put(&mut out, &bytes, format.little);
            }
            b'c' | b's' => {
                let value = args.string(at)?;
                let value = value.as_bytes();
                let size = if size == 0 { value.len() } else { size };
                if value.len() < size {
                    return Err(args.bad(at + 1, "string too short"));
                }
                out.extend_from_slice(&value[..size]);
                if option == b's' {
                    out.push(0);
                }
            }
            _ => {
                let n = args.number(at)?;
                let bits = if n < 0.0 { n as i64 as u64 } else { n as u64 };
                let mut bytes = [0u8; MAX_INT];
                bytes[..8].copy_from_slice(&bits.to_le_bytes());
                put(&mut out, &bytes[..size], format.little);
            }
        }
        at += usize::from(option != b'x');
    }
    lua.create_string(&out)
}

fn put(out: &mut Vec<u8>, bytes: &[u8], little: bool) {
    if little {
        out.extend_from_slice(bytes);
    } else {
        out.extend(bytes.iter().rev());
    }
}

fn unpack(lua: &Lua, values: MultiValue) -> mlua::Result<MultiValue> {
    let args = Args::new(lua, "unpack", values);
    let (text, data) = (args.string(1)?, args.string(2)?);
    let (text, data) = (text.as_bytes(), data.as_bytes());
    let start = match args.value(3) {
        None | Some(Value::Nil) => 1.0,
        Some(_) => args.number(3)?,
    };
    if start < 1.0 {
        return Err(args.bad(3, "offset must be 1 or greater"));
    }
    let mut position = start as usize - 1;
    let mut format = Format::new(&text);
    let mut out = MultiValue::with_capacity(text.len() + 1);
    while let Some((option, mut size, padding)) = format.next(position, &args)? {
        let short = || args.bad(2, "data string too short");
        position += padding;
        let rest = data.get(position..).ok_or_else(short)?;
        if option == b'c' && size == 0 {
            size = match out.pop_back() {
                Some(Value::Number(n)) => n as usize,
                Some(Value::Integer(n)) => usize::try_from(n).unwrap_or(usize::MAX),
                _ => return Err(args.error("format 'c0' needs a previous size")),
            };
        }
        let bytes = rest.get(..size).ok_or_else(short)?;
        match option {
            b'x' => {}
            b'd' => {
                let n = f64::from_le_bytes(take(bytes, format.little));
                out.push_back(Value::Number(n));
            }
            b'f' => {
                let n = f32::from_le_bytes(take(bytes, format.little));
                out.push_back(Value::Number(f64::from(n)));
            }
            b'c' => out.push_back(Value::String(lua.create_string(bytes)?)),
            b's' => {
                let end = rest.iter().position(|byte| *byte == 0);
                let end = end.ok_or_else(|| args.error("unfinished string in data"))?;
                out.push_back(Value::String(lua.create_string(&rest[..end])?));
                size = end + 1;
            }
            _ => out.push_back(Value::Number(integer(bytes, option, format.little))),
        }
        position += size;
    }
    out.push_back(Value::Number((position + 1) as f64));
    Ok(out)
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
    let unused = 64u32.saturating_sub(8 * bytes.len() as u32).min(63);
    ((value << unused) as i64 >> unused) as f64
}

fn size(lua: &Lua, values: MultiValue) -> mlua::Result<f64> {
    let args = Args::new(lua, "size", values);
    let text = args.string(1)?;
    let text = text.as_bytes();
    let mut format = Format::new(&text);
    let mut position = 0;
    while let Some((option, size, padding)) = format.next(position, &args)? {
        if option == b's' {
            return Err(args.bad(1, "option 's' has no fixed size"));
        }
        if option == b'c' && size == 0 {
            return Err(args.bad(1, "option 'c0' has no fixed size"));
        }
        position += padding + size;
    }
    Ok(position as f64)
}

pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("pack", lua.create_function(pack)?)?;
    table.set("unpack", lua.create_function(unpack)?)?;
    table.set("size", lua.create_function(size)?)?;
    Ok(table)
}
