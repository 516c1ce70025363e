//! `redis.*`: the bridge from a script to the server that runs it.

use mlua::{Function, Lua, MultiValue, Table, Value, Variadic};
use sluice_core::redis::{Bytes, Reply};

use super::error::{self, Raised};
use super::random::Random;
use super::raw::{self, Interpreter, Kept, Kind, Out, Place, Raise, Stack};
use super::{Job, convert, sha1_hex};
use crate::redis::cluster::Reach;
use crate::redis::command::{self, Arg, Fail, Run, Spec};
use crate::redis::memory::OUT_OF_MEMORY;
use crate::redis::{MAX_FINDINGS, Sha, State, Undeclared, Version, number};

/// The script that is running, and the server it was lent.
pub(super) struct Running {
    state: Box<State>,
    sha: Option<Sha>,
    keys: Vec<Bytes>,
    read_only: bool,
    /// There is memory, or it may go on, for it has written.
    may_grow: bool,
    reach: Reach,
    /// Objects that were turned into text, in order.
    names: u32,
    /// Instructions executed.
    spent: u32,
    /// The last reply, which is here so that nothing is owned while it is
    /// pushed; and what the other natives build.
    reply: Reply,
    pub(super) text: Vec<u8>,
    /// Turns errors of `mlua`'s into what scripts may see.
    pub(super) translate: Option<Kept>,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            state: Box::default(),
            sha: None,
            keys: Vec::new(),
            read_only: false,
            may_grow: true,
            reach: Reach::default(),
            names: 0,
            spent: 0,
            reply: Reply::Nil,
            text: Vec::new(),
            translate: None,
        }
    }
}

impl Running {
    pub(super) fn begin(&mut self, state: &mut Box<State>, job: &Job) {
        assert!(self.sha.is_none(), "scripts do not nest");
        std::mem::swap(&mut self.state, state);
        self.sha = Some(job.sha);
        self.keys.clear();
        self.keys.extend(job.keys.iter().map(Arg::shared));
        self.read_only = job.read_only;
        self.may_grow = job.may_grow;
        self.reach = job.reach;
        self.names = 0;
        self.spent = 0;
    }

    pub(super) fn end(&mut self, state: &mut Box<State>) {
        std::mem::swap(&mut self.state, state);
        self.sha = None;
    }

    /// Counts instructions; whether they are too many.
    pub(super) fn tick(&mut self) -> bool {
        self.spent = self.spent.saturating_add(super::BUDGET_STEP as u32);
        self.spent >= super::BUDGET
    }

    /// Executes one command of the script.
    fn call(&mut self, args: &[Arg]) -> Result<Reply, Fail> {
        let Some(spec) = command::lookup(&args[0]) else {
            return Err(Fail::fixed("ERR Unknown Redis command called from script"));
        };
        if !spec.accepts(args.len()) {
            return Err(Fail::fixed(
                "ERR Wrong number of args calling Redis command from script",
            ));
        }
        let Run::Data(run) = spec.run else {
            return Err(NOT_ALLOWED);
        };
        if self.read_only && spec.write {
            return Err(Fail::fixed(
                "ERR Write commands are not allowed from read-only scripts.",
            ));
        }
        if let Some(refused) = refuse_to_wait(spec.name, args, self.state.version) {
            return refused;
        }
        if spec.write {
            if spec.grows && !self.may_grow {
                return Err(OUT_OF_MEMORY);
            }
            self.may_grow = true;
        }
        self.reach.check(spec, args, self.state.version)?;
        self.check_keys(spec, args);
        Ok(self.state.run(None, spec, run, args))
    }

    /// Notes keys that were not declared.
    fn check_keys(&mut self, spec: &Spec, args: &[Arg]) {
        let (declared, sha) = (&self.keys, &self.sha);
        let known = &mut self.state.undeclared;
        spec.keys.each(args, |key| {
            if declared.iter().any(|declared| **declared == **key) {
                return;
            }
            let sha = sha.as_ref().map_or(&b""[..], |sha| &sha[..]);
            let finding = Undeclared {
                script: String::from_utf8_lossy(sha).into(),
                command: spec.name,
                key: key.shared(),
            };
            if known.len() < MAX_FINDINGS && !known.contains(&finding) {
                known.push(finding);
            }
        });
    }
}

/// What Redis says to commands that would wait, which in a script it does not.
#[inline]
fn refuse_to_wait(name: &str, args: &[Arg], version: Version) -> Option<Result<Reply, Fail>> {
    match name {
        "xread" | "xreadgroup" if !version.reads_waiting_in_scripts() => {
            let options = args.iter().take_while(|arg| !arg.is("STREAMS"));
            options.into_iter().any(|arg| arg.is("BLOCK")).then(|| {
                let tail: &[u8] = b" command is not allowed with BLOCK option from scripts";
                Ok(Reply::error([b"ERR ", &*args[0], tail].concat()))
            })
        }
        "blpop" | "brpop" | "blmove" | "brpoplpush" | "bzpopmin" | "bzpopmax" | "wait"
            if !version.waits_in_scripts() =>
        {
            Some(Err(NOT_ALLOWED))
        }
        _ => None,
    }
}

const NOT_ALLOWED: Fail = Fail::fixed("ERR This Redis command is not allowed from script");

/// All that the sandbox takes from here.
pub(super) fn native(interpreter: &Interpreter<Running>, random: &Random) -> mlua::Result<Table> {
    let lua = &interpreter.lua;
    let native = lua.create_table()?;
    native.set("random", random.random(lua)?)?;
    native.set("randomseed", random.randomseed(lua)?)?;
    native.set("translate", translate(lua)?)?;
    native.set("libraries", super::library::all(interpreter)?)?;
    native.set("name_of", interpreter.function(name_of)?)?;
    let guard = |lua: &Lua, (function, refused, message): (Function, Table, String)| {
        raw::guard(lua, function, refused, &message)
    };
    native.set("guard", lua.create_function(guard)?)?;
    let redis = lua.create_table()?;
    redis.set("call", interpreter.function(call)?)?;
    redis.set("pcall", interpreter.function(pcall)?)?;
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

/// `redis.call`: raises what is wrong.
fn call(stack: &mut Stack, running: &mut Running) -> Out {
    let from_command = command(stack, running);
    if let Reply::Error(text) = &running.reply {
        push_error(stack, text, from_command);
        return Err(Raise);
    }
    convert::push_reply(stack, &running.reply);
    Ok(1)
}

/// `redis.pcall`: returns what is wrong.
fn pcall(stack: &mut Stack, running: &mut Running) -> Out {
    let from_command = command(stack, running);
    if let Reply::Error(text) = &running.reply {
        push_error(stack, text, from_command);
    } else {
        convert::push_reply(stack, &running.reply);
    }
    Ok(1)
}

/// Executes the command on the stack and leaves its reply; whether an error in
/// it is the command's own, as opposed to a misuse of the bridge.
fn command(stack: &Stack, running: &mut Running) -> bool {
    let mut text = std::mem::take(&mut running.text);
    text.clear();
    let count = stack.top() as usize;
    let mut few = [Arg::Plain(&[]); 16];
    let outcome = match few.get_mut(..count) {
        Some(few) => {
            read_args(stack, running.state.version, &mut text, few).and_then(|()| running.call(few))
        }
        None => {
            let mut many = vec![Arg::Plain(&[]); count];
            read_args(stack, running.state.version, &mut text, &mut many)
                .and_then(|()| running.call(&many))
        }
    };
    running.text = text;
    let from_command = outcome.is_ok();
    running.reply = outcome.unwrap_or_else(|fail| fail.reply());
    from_command
}

/// Reads the arguments where they lie; numbers are written out into `text`.
fn read_args<'a>(
    stack: &'a Stack,
    version: Version,
    text: &'a mut Vec<u8>,
    args: &mut [Arg<'a>],
) -> Result<(), Fail> {
    if args.is_empty() {
        return Err(Fail::fixed(
            "ERR Please specify at least one argument for this redis lib call",
        ));
    }
    let mut numbers = false;
    for (at, arg) in (1..).zip(args.iter_mut()) {
        match stack.bytes(at) {
            Some(bytes) => *arg = Arg::Plain(bytes),
            None if stack.kind(at) == Kind::Number => {
                numbers = true;
                number::write_f64(text, stack.number(at).unwrap_or(0.0), version);
                text.push(b' ');
            }
            None => {
                return Err(Fail::fixed(
                    "ERR Lua redis lib command arguments must be strings or integers",
                ));
            }
        }
    }
    if numbers {
        let mut written = text.split(|byte| *byte == b' ');
        for (at, arg) in (1..).zip(args) {
            if stack.kind(at) == Kind::Number {
                *arg = Arg::Plain(written.next().unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// The table that Redis makes of an error.
fn push_error(stack: &mut Stack, text: &[u8], from_command: bool) {
    stack.push_table(0, 2);
    let table = stack.top();
    stack.push_bytes(b"err");
    stack.push_bytes(text);
    stack.set_field(table);
    if from_command {
        stack.push_bytes(b"ignore_error_stats_update");
        stack.push_bool(true);
        stack.set_field(table);
    }
}

/// Addresses differ from run to run, so objects are numbered instead.
fn name_of(stack: &mut Stack, running: &mut Running) -> Out {
    running.names += 1;
    running.text.clear();
    running
        .text
        .extend_from_slice(format!("0x{:08x}", running.names).as_bytes());
    stack.push_bytes(&running.text);
    Ok(1)
}

/// Turns a native error into what a script may see of it, and says whether it
/// is one that must not be caught.
fn translate(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, value: Value| match &value {
        Value::LightUserData(_) => Ok((Value::Nil, value)),
        Value::Error(error) => Ok((error::translated(lua, error)?, Value::Nil)),
        _ => Ok((value, Value::Nil)),
    })
}

/// Redis's handler of uncaught errors: a table with the error's text and place.
pub(super) fn handler(stack: &mut Stack, running: &mut Running) -> Out {
    if stack.kind(1) == Kind::Mark {
        return Ok(1);
    }
    if stack.kind(1) == Kind::Userdata
        && let Some(translate) = running.translate
    {
        stack.push_kept(translate);
        stack.push_copy(1);
        stack.call(1);
        stack.replace(1);
    }
    if stack.kind(1) != Kind::Table {
        stack.stringify(1);
        running.text.clear();
        running.text.extend_from_slice(b"ERR ");
        let text = stack.bytes(1);
        running
            .text
            .extend_from_slice(text.unwrap_or(b"(error object is not a string)"));
        push_error(stack, &running.text, false);
        stack.replace(1);
    }
    running.text.clear();
    let mut line = None;
    if let Some(place) = place(stack) {
        running.text.extend_from_slice(place.source.as_bytes());
        line = Some(f64::from(place.line));
    }
    if let Some(line) = line {
        stack.push_bytes(b"source");
        stack.push_bytes(&running.text);
        stack.set_field(1);
        stack.push_bytes(b"line");
        stack.push_number(line);
        stack.set_field(1);
    }
    stack.push_copy(1);
    Ok(1)
}

/// Where the script is: its innermost frame.
fn place(stack: &Stack) -> Option<Place> {
    const DEPTH: i32 = 64;
    for level in 1..DEPTH {
        if let Some(place) = stack.place(level)?
            && place.source == "@user_script"
        {
            return Some(place);
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
