//! `cjson`: JSON, as Redis's library writes and reads it.
//!
//! What a script sets (`encode_max_depth` and its like) outlives it, as in Redis,
//! and holds for all that come after it ([`super::super::Left`]).

use mlua::{Lua, MultiValue, Table, Value};

use super::Args;
use super::json_settings::{Invalid, Settings, Shared};
use super::json_tokens::{Token, Tokens};
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
                let text = format!("Cannot serialise, excessive nesting ({depth})");
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
                let text = format!("Cannot serialise {}: type not supported", type_name(other));
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
                other => {
                    let text = format!(
                        "Cannot serialise {}: table key must be a number or string",
                        type_name(&other)
                    );
                    return Err(self.args.error(&text));
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
            let key = match pair?.0 {
                Value::Integer(n) => n as f64,
                Value::Number(n) => n,
                _ => return Ok(None),
            };
            if key < 1.0 || key.floor() != key {
                return Ok(None);
            }
            count += 1;
            if key > most as f64 {
                // A C `int`, which is the least one when it does not fit.
                most = if key <= f64::from(i32::MAX) {
                    key as i64
                } else {
                    i64::from(i32::MIN)
                };
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
        Ok(usize::try_from(most).ok())
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

/// As Lua names it, to which all numbers are one.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) => "userdata",
        other => other.type_name(),
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
    tokens: Tokens<'a>,
    lua: &'a Lua,
    args: &'a Args<'a>,
    most: usize,
}

impl Reader<'_> {
    fn unexpected(&self, wanted: &str, found: &Token) -> mlua::Error {
        let (found, at) = (found.name(), self.tokens.start + 1);
        self.args.error(&format!(
            "Expected {wanted} but found {found} at character {at}"
        ))
    }

    fn value(&mut self, token: Token, depth: usize) -> mlua::Result<Value> {
        match token {
            Token::Text(text) => Ok(Value::String(self.lua.create_string(text)?)),
            Token::Number(n) => Ok(Value::Number(n)),
            Token::Boolean(yes) => Ok(Value::Boolean(yes)),
            Token::Null => Ok(Value::NULL),
            Token::ObjectBegin | Token::ArrayBegin if depth > self.most => {
                let text = format!(
                    "Found too many nested data structures ({depth}) at character {}",
                    self.tokens.at
                );
                Err(self.args.error(&text))
            }
            Token::ObjectBegin => self.object(depth),
            Token::ArrayBegin => self.array(depth),
            other => Err(self.unexpected("value", &other)),
        }
    }

    fn array(&mut self, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        let mut token = self.tokens.next();
        if matches!(token, Token::ArrayEnd) {
            return Ok(Value::Table(table));
        }
        for index in 1.. {
            table.raw_set(index, self.value(token, depth + 1)?)?;
            match self.tokens.next() {
                Token::Comma => {}
                Token::ArrayEnd => break,
                other => return Err(self.unexpected("comma or array end", &other)),
            }
            token = self.tokens.next();
        }
        Ok(Value::Table(table))
    }

    fn object(&mut self, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        let mut token = self.tokens.next();
        if matches!(token, Token::ObjectEnd) {
            return Ok(Value::Table(table));
        }
        loop {
            let key = match token {
                Token::Text(key) => self.lua.create_string(key)?,
                other => return Err(self.unexpected("object key string", &other)),
            };
            match self.tokens.next() {
                Token::Colon => {}
                other => return Err(self.unexpected("colon", &other)),
            }
            let token_of_value = self.tokens.next();
            table.raw_set(key, self.value(token_of_value, depth + 1)?)?;
            match self.tokens.next() {
                Token::Comma => {}
                Token::ObjectEnd => return Ok(Value::Table(table)),
                other => return Err(self.unexpected("comma or object end", &other)),
            }
            token = self.tokens.next();
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
        tokens: Tokens::new(&text, set.decode_invalid),
        lua,
        args: &args,
        most: set.decode_depth.min(MAX_DEPTH),
    };
    let first = reader.tokens.next();
    let value = reader.value(first, 1)?;
    match reader.tokens.next() {
        Token::End => Ok(value),
        other => Err(reader.unexpected("the end", &other)),
    }
}

/// In the order of Redis's, which is that in which scripts find what is in it.
pub(super) fn library(lua: &Lua, settings: &Shared) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let set = settings.clone();
    let encode = lua.create_function(move |lua, values| encode(lua, values, set.get()))?;
    table.set("encode", encode)?;
    let set = settings.clone();
    let decode = lua.create_function(move |lua, values| decode(lua, values, set.get()))?;
    table.set("decode", decode)?;
    super::json_settings::fill(lua, &table, settings)?;
    let new = |lua: &Lua, ()| library(lua, &Shared::default());
    table.set("new", lua.create_function(new)?)?;
    table.set("null", Value::NULL)?;
    table.set("_NAME", "cjson")?;
    table.set("_VERSION", "2.1.0")?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    /// The answers are those of Redis 7.0.15.
    #[test]
    fn tables_with_odd_keys() {
        let wrong = "-ERR user_script:1: Cannot serialise ";
        for (value, answer) in [
            (
                "{[true]=1}",
                "boolean: table key must be a number or string",
            ),
            ("{[{}]=1}", "table: table key must be a number or string"),
            ("function() end", "function: type not supported"),
            ("{[2^31-1]=1}", "table: excessively sparse array"),
            ("{[11]=1}", "table: excessively sparse array"),
            ("{[1/0]=1}", "number: must not be NaN or Inf"),
        ] {
            let reply = Bench::new().eval(&format!("return cjson.encode({value})"));
            let told = format!("{wrong}{answer} script: ");
            assert!(reply.starts_with(&told), "{value}: {reply}");
        }
        for (value, answer) in [
            ("{[2^31]=1}", r#"{"2147483648":1}"#),
            ("{[2^53]=1, [1]=2}", "[2]"),
            ("{[1.5]=1}", r#"{"1.5":1}"#),
            ("{[1e300]=1}", r#"{"1e+300":1}"#),
        ] {
            let reply = Bench::new().eval(&format!("return cjson.encode({value})"));
            assert_eq!(reply, format!("{answer:?}"), "{value}");
        }
    }
}
