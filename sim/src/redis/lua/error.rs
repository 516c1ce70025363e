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

    /// Raises what Lua itself says of no line.
    pub(super) fn bare(text: &str) -> Error {
        Error::external(Self(text.to_owned()))
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
    let mut error = error;
    while let Error::CallbackError { cause, .. } = error {
        error = cause;
    }
    let text = match error {
        Error::RuntimeError(text) => {
            // What `mlua` has caught comes with where it was.
            let end = text.find("\nstack traceback:").unwrap_or(text.len());
            text[..end].to_owned()
        }
        Error::MemoryError(_) => "not enough memory".to_owned(),
        other => other.to_string(),
    };
    Ok(Value::String(lua.create_string(text)?))
}
