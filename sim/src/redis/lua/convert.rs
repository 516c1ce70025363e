//! Between Redis's replies and Lua's values.

use mlua::{Lua, Table, Value};
use sluice_core::redis::{Bytes, Reply};

use super::error::table_of;
use crate::redis::command::score;
use crate::redis::{Version, number};

/// Deepest nesting of tables in a reply.
const MAX_DEPTH: usize = 64;

/// A number argument of `redis.call`, as text.
pub(super) fn number_text(n: f64, version: Version) -> String {
    number::format_f64(n, version)
}

/// A reply as a script sees it.
pub(super) fn to_lua(lua: &Lua, reply: &Reply) -> mlua::Result<Value> {
    Ok(match reply {
        Reply::Bulk(bytes) => Value::String(lua.create_string(bytes)?),
        Reply::Int(n) => Value::Number(*n as f64),
        Reply::Nil => Value::Boolean(false),
        Reply::Status(text) => {
            let table = lua.create_table_with_capacity(0, 1)?;
            table.raw_set("ok", lua.create_string(text)?)?;
            Value::Table(table)
        }
        Reply::Error(text) => Value::Table(table_of(lua, text, true)?),
        Reply::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for item in items {
                table.raw_push(to_lua(lua, item)?)?;
            }
            Value::Table(table)
        }
    })
}

/// A script's result as a reply.
pub(super) fn to_reply(value: &Value, version: Version, depth: usize) -> mlua::Result<Reply> {
    Ok(match value {
        Value::String(text) => Reply::Bulk(Bytes::from(&*text.as_bytes())),
        Value::Integer(n) => Reply::Int(*n),
        Value::Number(n) => Reply::Int(c_cast(*n)),
        Value::Boolean(true) => Reply::Int(1),
        Value::Table(table) if depth < MAX_DEPTH => table_reply(table, version, depth)?,
        Value::Table(_) => Reply::error("ERR reached lua stack limit"),
        _ => Reply::Nil,
    })
}

/// C's `(long long)` on x86-64: what does not fit is the least integer.
pub(super) fn c_cast(n: f64) -> i64 {
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if (-EDGE..EDGE).contains(&n) {
        n as i64
    } else {
        i64::MIN
    }
}

fn table_reply(table: &Table, version: Version, depth: usize) -> mlua::Result<Reply> {
    // An array is what nearly all scripts answer; it has a first element.
    let mut item: Value = table.raw_get(1)?;
    if let Some(text) = word(table, "err")? {
        return Ok(Reply::Error(one_line(&text)));
    }
    if let Some(text) = word(table, "ok")? {
        return Ok(Reply::Status(one_line(&text)));
    }
    if let Value::Number(n) = table.raw_get("double")? {
        return Ok(score(n, version));
    }
    if let Value::Integer(n) = table.raw_get("double")? {
        return Ok(score(n as f64, version));
    }
    if let Value::Table(map) = table.raw_get("map")? {
        let mut out = Vec::new();
        for pair in map.pairs::<Value, Value>() {
            let (key, value) = pair?;
            out.push(to_reply(&key, version, depth + 1)?);
            out.push(to_reply(&value, version, depth + 1)?);
        }
        return Ok(Reply::Array(out));
    }
    if let Value::Table(set) = table.raw_get("set")? {
        let mut out = Vec::new();
        for pair in set.pairs::<Value, Value>() {
            out.push(to_reply(&pair?.0, version, depth + 1)?);
        }
        return Ok(Reply::Array(out));
    }
    let mut out = Vec::with_capacity(table.raw_len());
    let mut index = 1;
    while !item.is_nil() {
        out.push(to_reply(&item, version, depth + 1)?);
        index += 1;
        item = table.raw_get(index)?;
    }
    Ok(Reply::Array(out))
}

fn word(table: &Table, name: &str) -> mlua::Result<Option<Vec<u8>>> {
    Ok(match table.raw_get(name)? {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        _ => None,
    })
}

/// A status or error must not break the protocol's line.
pub(super) fn one_line(text: &[u8]) -> Bytes {
    let clean = |byte: &u8| {
        if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            *byte
        }
    };
    text.iter().map(clean).collect()
}
