//! Errors on their way through Lua.

use std::fmt;

use mlua::{Error, Lua, Value};

/// An error as Lua itself would raise it: a string that says where.
#[derive(Clone, Debug)]
pub(super) struct Plain(String);

impl Plain {
    /// Raises from a native function, in the name of the line that called it.
    pub(super) fn raise(lua: &Lua, text: &str) -> Error {
        let place = lua.inspect_stack(1, |debug| {
            let source = debug.source().short_src.map(|source| source.to_string());
            Some((source?, debug.current_line()?))
        });
        Error::external(Self(match place.flatten() {
            Some((source, line)) => format!("{source}:{line}: {text}"),
            None => text.to_owned(),
        }))
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Plain {}

/// What a script would see of a native error: the text that Lua itself would
/// have raised.
pub(super) fn translated(lua: &Lua, error: &Error) -> mlua::Result<Value> {
    let text = match error {
        Error::CallbackError { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    Ok(Value::String(lua.create_string(text)?))
}
