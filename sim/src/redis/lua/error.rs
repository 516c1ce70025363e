//! Errors on their way through Lua.

use std::fmt;

use mlua::{Error, Lua, Table, Value};

/// An error that a script may catch: the text, code first.
#[derive(Clone, Debug)]
pub(super) struct Raised {
    pub(super) text: Vec<u8>,
    /// A command's own error, as opposed to a misuse of the bridge.
    pub(super) from_command: bool,
}

/// What Redis says of a script that had to be stopped.
pub(super) const KILLED: &str = "ERR Script killed by user with SCRIPT KILL.";

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

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text.escape_ascii())
    }
}

impl std::error::Error for Raised {}

impl Raised {
    /// Raises a misuse of the bridge.
    pub(super) fn misuse(text: &str) -> Error {
        Error::external(Self {
            text: [b"ERR ", text.as_bytes()].concat(),
            from_command: false,
        })
    }
}

/// The table that Redis makes of an error.
pub(super) fn table_of(lua: &Lua, text: &[u8], from_command: bool) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string(text)?)?;
    if from_command {
        table.raw_set("ignore_error_stats_update", true)?;
    }
    Ok(table)
}

/// What a script would see of a native error: a table for what Redis raises as
/// one, a string for what Lua itself would have raised.
pub(super) fn translated(lua: &Lua, error: &Error) -> mlua::Result<Value> {
    if let Some(raised) = error.downcast_ref::<Raised>() {
        return Ok(Value::Table(table_of(
            lua,
            &raised.text,
            raised.from_command,
        )?));
    }
    let text = match error {
        Error::CallbackError { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    Ok(Value::String(lua.create_string(text)?))
}
