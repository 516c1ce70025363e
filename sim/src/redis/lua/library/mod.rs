//! The libraries that Redis adds to Lua: `bit`, `struct`, `cjson`, `cmsgpack`.

mod bit;
mod cjson;
mod cmsgpack;
mod json_settings;
mod json_tokens;
mod pack;

use mlua::{Error, Lua, MultiValue, Table, Value};

use super::call::Running;
use super::error::Plain;
use super::raw::Interpreter;

pub(super) use json_settings::{Settings as JsonSettings, Shared as SharedJsonSettings};

/// A table of all libraries by name.
pub(super) fn all(
    interpreter: &Interpreter<Running>,
    json: &SharedJsonSettings,
) -> mlua::Result<Table> {
    let lua = &interpreter.lua;
    let libraries = lua.create_table()?;
    libraries.set("bit", bit::library(lua)?)?;
    libraries.set("struct", pack::library(interpreter)?)?;
    libraries.set("cjson", cjson::library(lua, json)?)?;
    libraries.set("cmsgpack", cmsgpack::library(lua)?)?;
    Ok(libraries)
}

/// The arguments of a library function, read as C's `luaL_check…` does.
pub(super) struct Args<'a> {
    lua: &'a Lua,
    values: MultiValue,
}

impl<'a> Args<'a> {
    pub(super) fn new(lua: &'a Lua, values: MultiValue) -> Self {
        Self { lua, values }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The `at`-th value, counted from 1.
    fn value(&self, at: usize) -> Option<&Value> {
        self.values.get(at - 1)
    }

    pub(super) fn number(&self, at: usize) -> mlua::Result<f64> {
        match self.value(at) {
            Some(Value::Number(n)) => return Ok(*n),
            Some(Value::Integer(n)) => return Ok(*n as f64),
            Some(Value::String(_)) => {
                let value = self.value(at).cloned().unwrap_or(Value::Nil);
                if let Some(n) = self.lua.coerce_number(value)? {
                    return Ok(n);
                }
            }
            _ => {}
        }
        Err(self.expected(at, "number"))
    }

    fn string(&self, at: usize) -> mlua::Result<mlua::LuaString> {
        match self.value(at) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Integer(_) | Value::Number(_))) => {
                let text = self.lua.coerce_string(value.clone())?;
                text.ok_or_else(|| self.expected(at, "string"))
            }
            _ => Err(self.expected(at, "string")),
        }
    }

    fn expected(&self, at: usize, kind: &str) -> Error {
        let got = self.value(at).map_or("no value", |value| match value {
            Value::Integer(_) => "number",
            Value::LightUserData(_) => "userdata",
            other => other.type_name(),
        });
        self.bad(at, &format!("{kind} expected, got {got}"))
    }

    pub(super) fn bad(&self, at: usize, why: &str) -> Error {
        // As it was called; by another native, under no name.
        let called = self.lua.inspect_stack(0, |debug| {
            let name = debug.names().name;
            name.map(|name| name.into_owned())
        });
        let name = called.flatten().unwrap_or_else(|| "?".to_owned());
        Plain::raise(self.lua, &format!("bad argument #{at} to '{name}' ({why})"))
    }

    pub(super) fn error(&self, text: &str) -> Error {
        Plain::raise(self.lua, text)
    }
}
