//! `cmsgpack`: MessagePack, as Redis's library writes and reads it.

use mlua::{Lua, MultiValue, Table, Value};

use super::Args;
use crate::redis::lua::convert::c_cast;
use crate::redis::lua::error::Plain;

/// Tables nested deeper are written as nil.
const MAX_DEPTH: usize = 16;
/// Tables nested deeper are not read: the stack of a thread is what it is. In
/// Redis Lua's ends first, at some thousands.
const DEEPEST: usize = 500;
/// More values at once than Lua's stack takes.
const MOST: usize = 7_999;
const TOO_MANY: &str =
    "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)";

fn pack(lua: &Lua, values: MultiValue) -> mlua::Result<mlua::LuaString> {
    let args = Args::new(lua, values);
    if args.len() == 0 {
        return Err(args.bad(0, "MessagePack pack needs input."));
    }
    let mut out = Vec::new();
    for value in &args.values {
        write(&mut out, value, 0)?;
    }
    lua.create_string(&out)
}

fn write(out: &mut Vec<u8>, value: &Value, depth: usize) -> mlua::Result<()> {
    match value {
        Value::Boolean(yes) => out.push(if *yes { 0xc3 } else { 0xc2 }),
        Value::Integer(n) => write_int(out, *n),
        Value::Number(n) => write_number(out, *n),
        Value::String(text) => {
            let text = text.as_bytes();
            match text.len() {
                n @ 0..32 => out.push(0xa0 | n as u8),
                n @ 32..256 => out.extend([0xd9, n as u8]),
                n @ 256..65_536 => head(out, 0xda, &(n as u16).to_be_bytes()),
                n => head(out, 0xdb, &(n as u32).to_be_bytes()),
            }
            out.extend_from_slice(&text);
        }
        Value::Table(_) if depth == MAX_DEPTH => out.push(0xc0),
        Value::Table(table) => match array_len(table)? {
            Some(len) => {
                length(out, len, 0x90, 0xdc);
                for index in 1..=len {
                    write(out, &table.raw_get(index)?, depth + 1)?;
                }
            }
            None => {
                length(out, table.pairs::<Value, Value>().count(), 0x80, 0xde);
                for pair in table.pairs::<Value, Value>() {
                    let (key, value) = pair?;
                    write(out, &key, depth + 1)?;
                    write(out, &value, depth + 1)?;
                }
            }
        },
        _ => out.push(0xc0),
    }
    Ok(())
}

/// The length of a table that is an array: keys exactly 1 to n.
fn array_len(table: &Table) -> mlua::Result<Option<usize>> {
    let (mut count, mut most) = (0i64, 0i64);
    for pair in table.pairs::<Value, Value>() {
        match pair?.0 {
            Value::Integer(n) if n > 0 => {
                count += 1;
                most = most.max(n);
            }
            _ => return Ok(None),
        }
    }
    Ok((count == most).then_some(count as usize))
}

fn head(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn length(out: &mut Vec<u8>, len: usize, short: u8, long: u8) {
    match len {
        0..16 => out.push(short | len as u8),
        16..65_536 => head(out, long, &(len as u16).to_be_bytes()),
        _ => head(out, long + 1, &(len as u32).to_be_bytes()),
    }
}

fn write_int(out: &mut Vec<u8>, n: i64) {
    match n {
        0..=0x7f => out.push(n as u8),
        0x80..=0xff => out.extend([0xcc, n as u8]),
        0x100..=0xffff => head(out, 0xcd, &(n as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => head(out, 0xce, &(n as u32).to_be_bytes()),
        0x1_0000_0000.. => head(out, 0xcf, &n.to_be_bytes()),
        -32..0 => out.push(n as i8 as u8),
        -128..-32 => out.extend([0xd0, n as i8 as u8]),
        -32_768..-128 => head(out, 0xd1, &(n as i16).to_be_bytes()),
        -2_147_483_648..-32_768 => head(out, 0xd2, &(n as i32).to_be_bytes()),
        _ => head(out, 0xd3, &n.to_be_bytes()),
    }
}

fn write_number(out: &mut Vec<u8>, n: f64) {
    if n.trunc() == n && n.abs() < 9.2e18 {
        write_int(out, n as i64);
    } else if f64::from(n as f32) == n {
        head(out, 0xca, &(n as f32).to_be_bytes());
    } else {
        head(out, 0xcb, &n.to_be_bytes());
    }
}

/// What is left to read.
struct Reader<'a> {
    data: &'a [u8],
    args: &'a Args<'a>,
}

impl Reader<'_> {
    fn bytes(&mut self, count: usize) -> mlua::Result<&[u8]> {
        let (bytes, rest) = self
            .data
            .split_at_checked(count)
            .ok_or_else(|| self.args.error("Missing bytes in input."))?;
        self.data = rest;
        Ok(bytes)
    }

    /// A big-endian number of so many bytes.
    fn uint(&mut self, count: usize) -> mlua::Result<u64> {
        let bytes = self.bytes(count)?;
        Ok(bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn int(&mut self, count: usize) -> mlua::Result<Value> {
        let unused = 64 - 8 * count as u32;
        let value = ((self.uint(count)? << unused) as i64) >> unused;
        Ok(Value::Number(value as f64))
    }

    fn read(&mut self, lua: &Lua, depth: usize) -> mlua::Result<Value> {
        if depth > DEEPEST {
            return Err(self.args.error(TOO_MANY));
        }
        let tag = self.uint(1)? as u8;
        Ok(match tag {
            0x00..=0x7f => Value::Number(f64::from(tag)),
            0xe0..=0xff => Value::Number(f64::from(tag as i8)),
            0x80..=0x8f => self.map(lua, usize::from(tag & 15), depth)?,
            0x90..=0x9f => self.array(lua, usize::from(tag & 15), depth)?,
            0xa0..=0xbf => self.string(lua, usize::from(tag & 31))?,
            0xc0 => Value::Nil,
            0xc2 => Value::Boolean(false),
            0xc3 => Value::Boolean(true),
            0xca => {
                let bits = self.uint(4)? as u32;
                Value::Number(f64::from(f32::from_bits(bits)))
            }
            0xcb => Value::Number(f64::from_bits(self.uint(8)?)),
            // The widest are taken for signed ones.
            0xcc..=0xcf => Value::Number(self.uint(1 << (tag - 0xcc))? as i64 as f64),
            0xd0..=0xd3 => self.int(1 << (tag - 0xd0))?,
            0xd9 => self.sized(lua, 1)?,
            0xda => self.sized(lua, 2)?,
            0xdb => self.sized(lua, 4)?,
            0xdc | 0xdd => {
                let len = self.uint(if tag == 0xdc { 2 } else { 4 })? as usize;
                self.array(lua, len, depth)?
            }
            0xde | 0xdf => {
                let len = self.uint(if tag == 0xde { 2 } else { 4 })? as usize;
                self.map(lua, len, depth)?
            }
            _ => return Err(self.args.error("Bad data format in input.")),
        })
    }

    fn sized(&mut self, lua: &Lua, width: usize) -> mlua::Result<Value> {
        let len = self.uint(width)? as usize;
        self.string(lua, len)
    }

    fn string(&mut self, lua: &Lua, len: usize) -> mlua::Result<Value> {
        let bytes = self.bytes(len)?;
        Ok(Value::String(lua.create_string(bytes)?))
    }

    fn array(&mut self, lua: &Lua, len: usize, depth: usize) -> mlua::Result<Value> {
        let table = lua.create_table()?;
        for index in 1..=len {
            table.raw_set(index, self.read(lua, depth + 1)?)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, lua: &Lua, len: usize, depth: usize) -> mlua::Result<Value> {
        let table = lua.create_table()?;
        for _ in 0..len {
            let key = self.read(lua, depth + 1)?;
            let value = self.read(lua, depth + 1)?;
            match &key {
                Value::Nil => return Err(Plain::bare("table index is nil")),
                Value::Number(n) if n.is_nan() => {
                    return Err(Plain::bare("table index is NaN"));
                }
                _ => table.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(table))
    }
}

/// Reads at most `limit` values from `offset` on; with the offset of what is
/// left, or −1. Neither a limit nor an offset: all values, and no offset.
fn unpack(args: &Args, limit: i32, offset: i32) -> mlua::Result<MultiValue> {
    let lua = args.lua;
    let data = args.string(1)?;
    let data = data.as_bytes();
    let len = data.len();
    if offset < 0 || limit < 0 {
        // Redis writes the length where the limit should be.
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {len}.");
        return Err(args.error(&text));
    }
    let start = offset as usize;
    if start > len {
        let text = format!("Start offset {offset} greater than input length {len}.");
        return Err(args.error(&text));
    }
    let all = limit == 0 && offset == 0;
    let limit = if all { usize::MAX } else { limit as usize };
    let mut reader = Reader {
        data: &data[start..],
        args,
    };
    let mut out = MultiValue::new();
    while !reader.data.is_empty() && out.len() < limit {
        if out.len() == MOST {
            return Err(args.error(TOO_MANY));
        }
        out.push_back(reader.read(lua, 0)?);
    }
    if !all {
        let left = if reader.data.is_empty() {
            -1.0
        } else {
            (data.len() - reader.data.len()) as f64
        };
        out.push_front(Value::Number(left));
    }
    Ok(out)
}

pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("pack", lua.create_function(pack)?)?;
    let int = |args: &Args, at: usize| Ok::<_, mlua::Error>(c_cast(args.number(at)?) as i32);
    let offset = move |args: &Args, at: usize| match args.value(at) {
        None | Some(Value::Nil) => Ok(0),
        Some(_) => int(args, at),
    };
    let all = |lua: &Lua, values| unpack(&Args::new(lua, values), 0, 0);
    table.set("unpack", lua.create_function(all)?)?;
    let one = move |lua: &Lua, values| {
        let args = Args::new(lua, values);
        unpack(&args, 1, offset(&args, 2)?)
    };
    table.set("unpack_one", lua.create_function(one)?)?;
    let limited = move |lua: &Lua, values| {
        let args = Args::new(lua, values);
        let limit = int(&args, 2)?;
        unpack(&args, limit, offset(&args, 3)?)
    };
    table.set("unpack_limit", lua.create_function(limited)?)?;
    table.set("_NAME", "cmsgpack")?;
    table.set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    table.set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    /// The answers are those of Redis 7.0.15.
    #[test]
    fn odd_inputs() {
        let line = "-ERR user_script:1: ";
        for (what, answer) in [
            ("unpack('\\129\\192\\1')", "-ERR table index is nil"),
            (
                "unpack('\\129\\203\\127\\248\\0\\0\\0\\0\\0\\0\\1')",
                "-ERR table index is NaN",
            ),
            ("unpack('\\207' .. string.rep('\\255', 8))", "[:-1]"),
            (
                "unpack('\\196\\1a')",
                &format!("{line}Bad data format in input."),
            ),
            ("unpack('\\145')", &format!("{line}Missing bytes in input.")),
            (
                "unpack(string.rep('\\1', 9000))",
                &format!(
                    "{line}stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)"
                ),
            ),
            ("unpack_limit('\\1\\2\\3', 0)", "[:1, :2, :3]"),
            ("unpack_limit('\\1\\2\\3', 0, 1)", "[:1]"),
            ("unpack_limit('\\1\\2\\3', 1.9, 1.9)", "[:2, :2]"),
            ("unpack_limit('\\1\\2\\3', 2, 3)", "[:-1]"),
            (
                "unpack_limit('\\1\\2\\3', 2, 4)",
                &format!("{line}Start offset 4 greater than input length 3."),
            ),
            (
                "unpack_limit('\\1\\2\\3', 2, -1)",
                &format!("{line}Invalid request to unpack with offset of -1 and limit of 3."),
            ),
            ("unpack_one('\\1\\2\\3', nil)", "[:1, :1]"),
            ("unpack_one('')", "[:-1]"),
        ] {
            let reply = Bench::new().eval(&format!("return {{cmsgpack.{what}}}"));
            let end = reply.find(" script: ").unwrap_or(reply.len());
            assert_eq!(&reply[..end], answer, "{what}");
        }
        let deep = "return #cmsgpack.unpack(string.rep('\\145', 300) .. '\\1')";
        assert_eq!(Bench::new().eval(deep), ":1");
    }
}
