//! `cjson`: JSON, as Redis's library writes and reads it.
//!
//! What a script sets (`encode_max_depth` and its like) outlives it, as in Redis,
//! and holds for all that come after it ([`super::super::Left`]).

use mlua::{Lua, MultiValue, Table, Value};

use super::Args;
use super::json_settings::{Invalid, Settings, Shared};
use crate::redis::number::format_g;

/// Deeper than this the stack of a thread may end (2 MB; 2,000 were too many in
/// a build without increments), whatever was set; in Redis Lua's does.
const MAX_DEPTH: usize = 1_000;

fn encode(lua: &Lua, values: MultiValue, set: Settings) -> mlua::Result<mlua::LuaString> {
    let args = Args::new(lua, values);
    if args.len() != 1 {
        return Err(args.bad(1, "expected 1 argument"));
    }
    let mut writer = Writer {
        out: Vec::new(),
        args: &args,
        set,
    };
    writer.value(&args.values[0], 1)?;
    lua.create_string(&writer.out)
}

/// A JSON text being written.
struct Writer<'a> {
    out: Vec<u8>,
    args: &'a Args<'a>,
    set: Settings,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => {
                self.out.extend_from_slice(b"null");
            }
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Integer(n) => self.number(*n as f64)?,
            Value::Number(n) => self.number(*n)?,
            Value::String(text) => write_string(&mut self.out, &text.as_bytes()),
            Value::Table(_) if depth > self.set.encode_depth.min(MAX_DEPTH) => {
                let text = format!("Cannot serialise, excessive depth ({depth})");
                return Err(self.args.error(&text));
            }
            Value::Table(table) => match self.array_len(table)? {
                Some(len) if len > 0 => {
                    self.out.push(b'[');
                    for index in 1..=len {
                        if index > 1 {
                            self.out.push(b',');
                        }
                        self.value(&table.raw_get(index)?, depth + 1)?;
                    }
                    self.out.push(b']');
                }
                _ => self.object(table, depth)?,
            },
            other => {
                let text = format!("Cannot serialise {}: type not supported", other.type_name());
                return Err(self.args.error(&text));
            }
        }
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        self.out.push(b'{');
        let mut first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            match key {
                Value::String(text) => write_string(&mut self.out, &text.as_bytes()),
                Value::Integer(_) | Value::Number(_) => {
                    self.out.push(b'"');
                    self.value(&key, depth)?;
                    self.out.push(b'"');
                }
                _ => {
                    let text = "Cannot serialise table: table key must be a number or string";
                    return Err(self.args.error(text));
                }
            }
            self.out.push(b':');
            self.value(&value, depth + 1)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// The length of a table whose keys are all positive integers, unless it is
    /// too sparse to be an array.
    fn array_len(&self, table: &Table) -> mlua::Result<Option<usize>> {
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
        let Settings {
            sparse_convert,
            sparse_ratio,
            sparse_safe,
            ..
        } = self.set;
        if sparse_ratio > 0 && most > count.saturating_mul(sparse_ratio) && most > sparse_safe {
            if sparse_convert {
                return Ok(None);
            }
            let text = "Cannot serialise table: excessively sparse array";
            return Err(self.args.error(text));
        }
        Ok(Some(most as usize))
    }

    fn number(&mut self, n: f64) -> mlua::Result<()> {
        match self.set.encode_invalid {
            _ if n.is_finite() => {}
            Invalid::Refused => {
                let text = "Cannot serialise number: must not be NaN or Inf";
                return Err(self.args.error(text));
            }
            Invalid::Null => {
                self.out.extend_from_slice(b"null");
                return Ok(());
            }
            Invalid::Written if n.is_nan() => {
                self.out.extend_from_slice(b"nan");
                return Ok(());
            }
            Invalid::Written => {}
        }
        let text = format_g(n, self.set.precision);
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'/' => out.extend_from_slice(b"\\/"),
            8 => out.extend_from_slice(b"\\b"),
            9 => out.extend_from_slice(b"\\t"),
            10 => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            13 => out.extend_from_slice(b"\\r"),
            0..32 | 127 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            other => out.push(*other),
        }
    }
    out.push(b'"');
}

/// A JSON text being read.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    lua: &'a Lua,
    args: &'a Args<'a>,
    set: Settings,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn unexpected(&mut self, wanted: &str) -> mlua::Error {
        let found = match self.peek() {
            None => "T_END",
            Some(b'{') => "T_OBJ_BEGIN",
            Some(b'}') => "T_OBJ_END",
            Some(b'[') => "T_ARR_BEGIN",
            Some(b']') => "T_ARR_END",
            Some(b',') => "T_COMMA",
            Some(b':') => "T_COLON",
            Some(_) => "invalid token",
        };
        let at = self.at + 1;
        self.args.error(&format!(
            "Expected {wanted} but found {found} at character {at}"
        ))
    }

    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        let rest = |reader: &Self| &reader.text[reader.at..];
        match self.peek() {
            Some(b'{' | b'[') if depth > self.set.decode_depth.min(MAX_DEPTH) => {
                let text = format!(
                    "Found too many nested data structures ({depth}) at character {}",
                    self.at + 1
                );
                Err(self.args.error(&text))
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => {
                let text = self.string()?;
                Ok(Value::String(self.lua.create_string(text)?))
            }
            Some(b't') if rest(self).starts_with(b"true") => Ok(self.word(4, Value::Boolean(true))),
            Some(b'f') if rest(self).starts_with(b"false") => {
                Ok(self.word(5, Value::Boolean(false)))
            }
            Some(b'n') if rest(self).starts_with(b"null") => Ok(self.word(4, Value::NULL)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            // Also what JSON does not call a number, where C does.
            Some(b'i' | b'I' | b'n' | b'N' | b'+')
                if self.set.decode_invalid && self.is_invalid_number() =>
            {
                self.number()
            }
            _ => Err(self.unexpected("value")),
        }
    }

    fn word(&mut self, len: usize, value: Value) -> Value {
        self.at += len;
        value
    }

    /// An infinity or what is not a number, and its length.
    fn odd_number(&self) -> Option<(f64, usize)> {
        let rest = &self.text[self.at..];
        let sign = usize::from(matches!(rest.first(), Some(b'-' | b'+')));
        let word = &rest[sign..];
        let is = |name: &[u8]| {
            word.get(..name.len())
                .is_some_and(|w| w.eq_ignore_ascii_case(name))
        };
        let (value, len) = match () {
            () if is(b"infinity") => (f64::INFINITY, 8),
            () if is(b"inf") => (f64::INFINITY, 3),
            () if is(b"nan") => (f64::NAN, 3),
            () => return None,
        };
        let minus = rest.first() == Some(&b'-');
        Some((if minus { -value } else { value }, sign + len))
    }

    /// What is no number in JSON, but one in C.
    fn is_invalid_number(&self) -> bool {
        let text = &self.text[self.at..];
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        match digits {
            _ if text.starts_with(b"+") || self.odd_number().is_some() => true,
            [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
            _ => false,
        }
    }

    /// `0x1f` and its length.
    fn hexadecimal(&self) -> Option<(f64, usize)> {
        let text = &self.text[self.at..];
        let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
        let [b'0', b'x' | b'X', digits @ ..] = &text[sign..] else {
            return None;
        };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let add = |sum: f64, digit: u32| sum * 16.0 + f64::from(digit);
        let value = digits.iter().map_while(digit).fold(0.0, add);
        let count = digits.iter().map_while(digit).count();
        let value = if text[0] == b'-' { -value } else { value };
        (count > 0).then_some((value, sign + 2 + count))
    }

    fn number(&mut self) -> mlua::Result<Value> {
        if !self.set.decode_invalid && self.is_invalid_number() {
            let text = format!(
                "Expected value but found invalid number at character {}",
                self.at + 1
            );
            return Err(self.args.error(&text));
        }
        if let Some((value, len)) = self.odd_number() {
            self.at += len;
            return Ok(Value::Number(value));
        }
        if let Some((value, len)) = self.hexadecimal() {
            self.at += len;
            return Ok(Value::Number(value));
        }
        let part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let len = self.text[self.at..].iter().take_while(part).count();
        let text = std::str::from_utf8(&self.text[self.at..self.at + len]).unwrap_or("");
        let Ok(n) = text.parse::<f64>() else {
            return Err(self.unexpected("value"));
        };
        self.at += len;
        Ok(Value::Number(n))
    }

    fn string(&mut self) -> mlua::Result<Vec<u8>> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let Some(byte) = self.text.get(self.at).copied() else {
                return Err(self.args.error(&format!(
                    "Expected value but found unexpected end of string at character {}",
                    self.at + 1
                )));
            };
            self.at += 1;
            match byte {
                b'"' => return Ok(out),
                b'\\' => self.escape(&mut out)?,
                0..32 => {
                    return Err(self.args.error(&format!(
                        "Expected value but found invalid token at character {}",
                        self.at
                    )));
                }
                other => out.push(other),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> mlua::Result<()> {
        let code = self.text.get(self.at).copied();
        self.at += 1;
        out.push(match code {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => 10,
            Some(b'r') => 13,
            Some(b't') => 9,
            Some(b'u') => {
                let mut unit = self.hex()?;
                if (0xd800..0xdc00).contains(&unit) && self.text[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.hex()?;
                    unit = 0x1_0000 + ((unit - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
                }
                let symbol = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(symbol.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => {
                return Err(self.args.error(&format!(
                    "Expected value but found invalid escape code at character {}",
                    self.at
                )));
            }
        });
        Ok(())
    }

    fn hex(&mut self) -> mlua::Result<u32> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let at = self.at;
        self.at += 4;
        value.ok_or_else(|| {
            let text =
                format!("Expected value but found invalid unicode escape code at character {at}");
            self.args.error(&text)
        })
    }

    fn array(&mut self, depth: usize) -> mlua::Result<Value> {
        self.at += 1;
        let table = self.lua.create_table()?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Table(table));
        }
        let mut index = 1;
        loop {
            table.raw_set(index, self.value(depth + 1)?)?;
            index += 1;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Table(table));
                }
                _ => return Err(self.unexpected("comma or array end")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> mlua::Result<Value> {
        self.at += 1;
        let table = self.lua.create_table()?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Table(table));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("object key string"));
            }
            let key = self.string()?;
            if self.peek() != Some(b':') {
                return Err(self.unexpected("colon"));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            table.raw_set(self.lua.create_string(key)?, value)?;
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                }
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Table(table));
                }
                _ => return Err(self.unexpected("comma or object end")),
            }
        }
    }
}

fn decode(lua: &Lua, values: MultiValue, set: Settings) -> mlua::Result<Value> {
    let args = Args::new(lua, values);
    if args.len() != 1 {
        return Err(args.bad(1, "expected 1 argument"));
    }
    let text = args.string(1)?;
    let text = text.as_bytes();
    if text.len() >= 2 && text[..2].contains(&0) {
        return Err(args.error("JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut reader = Reader {
        text: &text,
        at: 0,
        lua,
        args: &args,
        set,
    };
    let value = reader.value(1)?;
    if reader.peek().is_some() {
        return Err(reader.unexpected("the end"));
    }
    Ok(value)
}

pub(super) fn library(lua: &Lua, settings: &Shared) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let set = settings.clone();
    let encode = lua.create_function(move |lua, values| encode(lua, values, set.get()))?;
    table.set("encode", encode)?;
    let set = settings.clone();
    let decode = lua.create_function(move |lua, values| decode(lua, values, set.get()))?;
    table.set("decode", decode)?;
    table.set("null", Value::NULL)?;
    table.set("_NAME", "cjson")?;
    table.set("_VERSION", "2.1.0")?;
    super::json_settings::fill(lua, &table, settings)?;
    Ok(table)
}
