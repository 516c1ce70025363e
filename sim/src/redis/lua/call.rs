//! `redis.*`: the bridge from a script to the server that runs it.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Table, Value, Variadic};
use sluice_core::redis::{Bytes, Reply};

use super::error::{self, Raised};
use super::random::Random;
use super::{Job, bytes_of, convert, sha1_hex};
use crate::redis::command::{self, Arg, Keys, Run, Spec};
use crate::redis::{MAX_FINDINGS, Sha, State, Undeclared, Version};

/// The script that is running, and the server it was lent.
#[derive(Default)]
pub(super) struct Running {
    state: State,
    sha: Option<Sha>,
    keys: Vec<Bytes>,
    read_only: bool,
    /// Objects that were turned into text, in order.
    names: u32,
}

impl Running {
    pub(super) fn begin(&mut self, state: &mut State, job: &Job) {
        assert!(self.sha.is_none(), "scripts do not nest");
        std::mem::swap(&mut self.state, state);
        self.sha = Some(job.sha);
        self.keys.clear();
        self.keys.extend(job.keys.iter().map(Arg::shared));
        self.read_only = job.read_only;
        self.names = 0;
    }

    pub(super) fn end(&mut self, state: &mut State) -> Version {
        std::mem::swap(&mut self.state, state);
        self.sha = None;
        state.version
    }

    /// Executes one command of the script.
    fn call(&mut self, args: &[Arg]) -> Result<Reply, mlua::Error> {
        let Some(spec) = command::lookup(&args[0]) else {
            return Err(Raised::misuse("Unknown Redis command called from script"));
        };
        if !spec.accepts(args.len()) {
            return Err(Raised::misuse(
                "Wrong number of args calling Redis command from script",
            ));
        }
        let Run::Data(run) = spec.run else {
            return Err(Raised::misuse(
                "This Redis command is not allowed from script",
            ));
        };
        if self.read_only && spec.write {
            return Err(Raised::misuse(
                "Write commands are not allowed from read-only scripts.",
            ));
        }
        self.check_keys(spec, args);
        Ok(run(&mut self.state, args).unwrap_or_else(|fail| fail.reply()))
    }

    /// Notes keys that were not declared.
    fn check_keys(&mut self, spec: &Spec, args: &[Arg]) {
        let Keys::At { first, last, step } = spec.keys else {
            return;
        };
        let last = if last < 0 {
            args.len().saturating_add_signed(last)
        } else {
            last as usize
        };
        for key in args[..=last].iter().skip(first).step_by(step) {
            if self.keys.iter().any(|declared| **declared == **key) {
                continue;
            }
            let sha = self.sha.as_ref().map_or(&b""[..], |sha| &sha[..]);
            let finding = Undeclared {
                script: String::from_utf8_lossy(sha).into(),
                command: spec.name,
                key: key.shared(),
            };
            let known = &mut self.state.undeclared;
            if known.len() < MAX_FINDINGS && !known.contains(&finding) {
                known.push(finding);
            }
        }
    }
}

type Shared = Rc<RefCell<Running>>;

/// All that the sandbox takes from here.
pub(super) fn native(lua: &Lua, running: &Shared, random: &Random) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    native.set("random", random.random(lua)?)?;
    native.set("randomseed", random.randomseed(lua)?)?;
    native.set("translate", translate(lua)?)?;
    native.set("handler", handler(lua)?)?;
    native.set("libraries", super::library::all(lua)?)?;
    let names = running.clone();
    let name_of = move |_: &Lua, _: Value| {
        let mut running = names.borrow_mut();
        running.names += 1;
        Ok(format!("0x{:08x}", running.names))
    };
    native.set("name_of", lua.create_function(name_of)?)?;
    let redis = lua.create_table()?;
    redis.set("call", call(lua, running, true)?)?;
    redis.set("pcall", call(lua, running, false)?)?;
    redis.set("error_reply", single_field(lua, "err")?)?;
    redis.set("status_reply", single_field(lua, "ok")?)?;
    redis.set("sha1hex", sha1hex(lua)?)?;
    redis.set("log", log(lua)?)?;
    redis.set("setresp", setresp(lua)?)?;
    redis.set("set_repl", set_repl(lua)?)?;
    redis.set("acl_check_cmd", acl_check_cmd(lua)?)?;
    let version = Version::default();
    redis.set("REDIS_VERSION", version.text())?;
    redis.set("REDIS_VERSION_NUM", version.number())?;
    native.set("redis", redis)?;
    Ok(native)
}

/// `redis.call` (raising) and `redis.pcall`.
fn call(lua: &Lua, running: &Shared, raising: bool) -> mlua::Result<Function> {
    let running = running.clone();
    lua.create_function(move |lua, args: MultiValue| {
        let outcome = command(&running, &args);
        match outcome {
            Ok(Reply::Error(text)) if raising => Err(mlua::Error::external(Raised {
                text: text.to_vec(),
                from_command: true,
            })),
            Ok(reply) => convert::to_lua(lua, &reply),
            Err(error) if raising => Err(error),
            Err(error) => error::translated(lua, &error),
        }
    })
}

fn command(running: &Shared, args: &MultiValue) -> mlua::Result<Reply> {
    if args.is_empty() {
        return Err(Raised::misuse(
            "Please specify at least one argument for this redis lib call",
        ));
    }
    let mut running = running.borrow_mut();
    let version = running.state.version;
    let mut owned: Vec<Bytes> = Vec::with_capacity(args.len());
    for value in args {
        owned.push(match value {
            Value::String(text) => bytes_of(text),
            Value::Integer(n) => Bytes::from(convert::number_text(*n as f64, version).as_bytes()),
            Value::Number(n) => Bytes::from(convert::number_text(*n, version).as_bytes()),
            _ => {
                return Err(Raised::misuse(
                    "Lua redis lib command arguments must be strings or integers",
                ));
            }
        });
    }
    let mut few = [Arg::Plain(&[]); 16];
    if let Some(few) = few.get_mut(..owned.len()) {
        for (slot, arg) in few.iter_mut().zip(&owned) {
            *slot = Arg::Shared(arg);
        }
        running.call(few)
    } else {
        let many: Vec<Arg> = owned.iter().map(Arg::Shared).collect();
        running.call(&many)
    }
}

/// Turns a native error into what a script may see of it, and says whether it
/// is one that must not be caught.
fn translate(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, value: Value| match &value {
        Value::Error(error) if error::is_kill(error) => Ok((Value::Nil, value)),
        Value::Error(error) => Ok((error::translated(lua, error)?, Value::Nil)),
        _ => Ok((value, Value::Nil)),
    })
}

/// Redis's handler of uncaught errors: a table with the error's text and place.
fn handler(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, value: Value| {
        let value = match &value {
            Value::Error(error) if error::is_kill(error) => return Ok(value),
            Value::Error(error) => error::translated(lua, error)?,
            _ => value,
        };
        let table = match value {
            Value::Table(table) => table,
            other => {
                let text = match &other {
                    Value::String(text) => text.as_bytes().to_vec(),
                    other => other.to_string()?.into_bytes(),
                };
                error::table_of(lua, &[b"ERR ", &text[..]].concat(), false)?
            }
        };
        if let Some((source, line)) = place(lua) {
            table.raw_set("source", source)?;
            table.raw_set("line", line)?;
        }
        Ok(Value::Table(table))
    })
}

/// Where the script is: its innermost frame.
fn place(lua: &Lua) -> Option<(String, usize)> {
    const DEPTH: usize = 64;
    for level in 1..DEPTH {
        let found = lua.inspect_stack(level, |debug| {
            let source = debug.source().source.map(|source| source.to_string());
            (source, debug.current_line())
        })?;
        if let (Some(source), Some(line)) = found
            && source == "@user_script"
        {
            return Some((source, line));
        }
    }
    None
}

/// `redis.error_reply` and `redis.status_reply`.
fn single_field(lua: &Lua, field: &'static str) -> mlua::Result<Function> {
    lua.create_function(move |lua, args: MultiValue| {
        let Some(Value::String(text)) = args.front().filter(|_| args.len() == 1) else {
            let text = b"ERR wrong number or type of arguments";
            return error::table_of(lua, text, false);
        };
        let text = text.as_bytes();
        if field == "err" {
            let text = text.strip_prefix(b"-").unwrap_or(&text);
            let text = if text.contains(&b' ') {
                text.to_vec()
            } else {
                [b"ERR ", text].concat()
            };
            return error::table_of(lua, text.trim_ascii_end(), false);
        }
        let table = lua.create_table()?;
        table.raw_set(field, lua.create_string(&*text)?)?;
        Ok(table)
    })
}

fn sha1hex(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, args: MultiValue| {
        let text = match args.front().filter(|_| args.len() == 1) {
            Some(Value::String(text)) => text.as_bytes().to_vec(),
            Some(Value::Integer(n)) => n.to_string().into_bytes(),
            Some(_) => Vec::new(),
            None => return Err(Raised::misuse("wrong number of arguments")),
        };
        lua.create_string(sha1_hex(&text))
    })
}

/// Logging goes nowhere; misuse is an error all the same.
fn log(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|_, args: Variadic<Value>| {
        if args.len() < 2 {
            return Err(Raised::misuse(
                "redis.log() requires two arguments or more.",
            ));
        }
        match args[0].as_integer() {
            Some(0..=3) => Ok(()),
            Some(_) => Err(Raised::misuse("Invalid debug level.")),
            None => Err(Raised::misuse(
                "First argument must be a number (log level).",
            )),
        }
    })
}

/// Both protocols are accepted; replies have the shape of the second.
fn setresp(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|_, args: Variadic<Value>| match args[..] {
        [ref version] => match version.as_integer() {
            Some(2 | 3) => Ok(()),
            _ => Err(Raised::misuse("RESP version must be 2 or 3.")),
        },
        _ => Err(Raised::misuse("redis.setresp() requires one argument.")),
    })
}

fn set_repl(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|_, args: Variadic<Value>| match args[..] {
        [ref flags] => match flags.as_integer() {
            Some(0..=3) => Ok(()),
            _ => Err(Raised::misuse(
                "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
            )),
        },
        _ => Err(Raised::misuse("redis.set_repl() requires two arguments.")),
    })
}

fn acl_check_cmd(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|_, args: Variadic<Value>| match args.first() {
        Some(Value::String(name)) => match command::lookup(&name.as_bytes()) {
            Some(_) => Ok(true),
            None => Err(Raised::misuse(
                "Invalid command passed to redis.acl_check_cmd()",
            )),
        },
        _ => Err(Raised::misuse(
            "Please specify at least one argument for this redis.acl_check_cmd() call",
        )),
    })
}
