//! `redis.*`: the bridge from a script to the server that runs it.

use std::collections::BTreeMap;

use mlua::{Function, Lua, Table, Value};
use sluice_core::redis::{Bytes, Reply};

use super::error;
use super::library::SharedJsonSettings;
use super::random::Random;
use super::raw::{self, Interpreter, Kept, Kind, Out, Place, Raise, Stack};
use super::{Job, api, convert, register, texts};
use crate::redis::cluster::Reach;
use crate::redis::command::containers::{self, Refused};
use crate::redis::command::scripts::REPLICATED;
use crate::redis::command::{self, Arg, Fail, Run, Spec};
use crate::redis::functions;
use crate::redis::memory::OUT_OF_MEMORY;
use crate::redis::shape::Shape;
use crate::redis::waiting::{Park, Wants};
use crate::redis::{MAX_FINDINGS, State, Undeclared, Version, number, older};

/// The script that is running, and the server it was lent.
pub(super) struct Running {
    pub(super) state: Box<State>,
    /// The digest of the script, or the name of the function; empty: none runs.
    name: Vec<u8>,
    keys: Vec<Bytes>,
    read_only: bool,
    /// There is memory, or it may go on, for it has written.
    may_grow: bool,
    /// It has called a command that writes.
    wrote: bool,
    /// It has asked for replies of the third protocol.
    pub(super) resp3: bool,
    reach: Reach,
    /// Objects that were turned into text, in order.
    names: u32,
    /// Instructions executed.
    spent: u32,
    /// What the library that is being loaded has registered.
    pub(super) loading: Option<BTreeMap<Bytes, functions::Function>>,
    /// The last reply, which is here so that nothing is owned while it is
    /// pushed; and what the other natives build.
    reply: Reply,
    pub(super) text: Vec<u8>,
    /// Turns errors of `mlua`'s into what scripts may see.
    pub(super) translate: Option<Kept>,
    /// What the functions of the library do, by name.
    pub(super) callbacks: Option<Kept>,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            state: Box::default(),
            name: Vec::new(),
            keys: Vec::new(),
            read_only: false,
            may_grow: true,
            wrote: false,
            resp3: false,
            reach: Reach::default(),
            names: 0,
            spent: 0,
            loading: None,
            reply: Reply::Nil,
            text: Vec::new(),
            translate: None,
            callbacks: None,
        }
    }
}

impl Running {
    pub(super) fn begin(&mut self, state: &mut Box<State>, job: &Job) {
        assert!(self.name.is_empty(), "scripts do not nest");
        std::mem::swap(&mut self.state, state);
        self.name.extend_from_slice(job.name());
        self.keys.clear();
        self.keys.extend(job.keys.iter().map(Arg::shared));
        self.read_only = job.read_only;
        self.may_grow = job.may_grow;
        self.wrote = false;
        self.resp3 = false;
        self.reach = job.reach;
        self.names = 0;
        self.spent = 0;
    }

    pub(super) fn end(&mut self, state: &mut Box<State>) {
        std::mem::swap(&mut self.state, state);
        self.name.clear();
    }

    /// What becomes of a script without end: it occupies the server until it is
    /// killed.
    pub(super) fn park(&self) -> Option<Park> {
        self.is_endless().then(|| Park {
            keys: Vec::new(),
            wants: Wants::Kill { wrote: self.wrote },
            timeout_us: 0,
            command: None,
        })
    }

    pub(super) fn version(&self) -> Version {
        self.state.version
    }

    /// Counts instructions; whether they are too many.
    pub(super) fn tick(&mut self) -> bool {
        self.spent = self.spent.saturating_add(super::BUDGET_STEP as u32);
        self.is_endless()
    }

    /// Whether it has executed more than any script should.
    pub(super) fn is_endless(&self) -> bool {
        self.spent >= super::BUDGET
    }

    /// Executes one command of the script.
    fn call(&mut self, args: &[Arg]) -> Result<Reply, Fail> {
        let done = self.attempt(args);
        if let Err(fail) = &done {
            self.state.note_rejection(args, fail);
        }
        done
    }

    fn attempt(&mut self, args: &[Arg]) -> Result<Reply, Fail> {
        let version = self.state.version;
        let misuse = |text: &str| Err(Fail::new(format!("ERR {text}")));
        let spec = command::lookup(&args[0]).filter(|spec| spec.exists_in(version));
        let Some(spec) = spec else {
            return misuse(texts::unknown_command(version));
        };
        if !spec.accepts(args.len()) || older::too_many(version, spec.name, args) {
            return misuse(texts::wrong_arity(version));
        }
        if version != Version::V6_2 {
            match containers::check(spec, args) {
                Ok(()) => {}
                Err(Refused::Unknown(fail)) if version == Version::Valkey9 => return Err(fail),
                Err(Refused::Unknown(_)) => return misuse(texts::unknown_command(version)),
                Err(Refused::Arity(_)) => return misuse(texts::wrong_arity(version)),
            }
        }
        let Run::Data(run) = spec.run else {
            return misuse(texts::not_allowed(version));
        };
        if spec.name == "cluster" && args[1].is("RESET") {
            return misuse(texts::not_allowed(version));
        }
        if self.read_only && (spec.write || REPLICATED.contains(&spec.name)) {
            return Err(Fail::fixed(
                "ERR Write commands are not allowed from read-only scripts.",
            ));
        }
        if let Some(refused) = self.state.refuse_in_script(spec) {
            return Err(refused);
        }
        if let Some(refused) = refuse_to_wait(spec.name, args, version) {
            return refused;
        }
        if spec.write {
            if spec.grows_with(args, version) && !self.may_grow {
                return Err(OUT_OF_MEMORY);
            }
            self.may_grow = true;
            self.wrote = true;
        }
        self.reach.check(spec, args, version)?;
        self.check_keys(spec, args);
        let mut reply = self.state.run(None, spec, run, args);
        older::reword(version, &mut reply, args);
        Ok(reply)
    }

    /// Notes keys that were not declared.
    fn check_keys(&mut self, spec: &Spec, args: &[Arg]) {
        let (declared, name) = (&self.keys, &self.name);
        let known = &mut self.state.undeclared;
        spec.keys.each(args, |key| {
            if declared.iter().any(|declared| **declared == **key) {
                return;
            }
            let finding = Undeclared {
                script: String::from_utf8_lossy(name).into(),
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
            let text = texts::not_allowed(version);
            Some(Err(Fail::new(format!("ERR {text}"))))
        }
        _ => None,
    }
}

/// All that the sandbox takes from here.
pub(super) fn native(
    interpreter: &Interpreter<Running>,
    random: &Random,
    json: &SharedJsonSettings,
) -> mlua::Result<Table> {
    let lua = &interpreter.lua;
    let native = lua.create_table()?;
    native.set("random", random.random(lua)?)?;
    native.set("randomseed", random.randomseed(lua)?)?;
    native.set("translate", translate(lua)?)?;
    native.set("libraries", super::library::all(interpreter, json)?)?;
    native.set("name_of", interpreter.function(name_of)?)?;
    native.set("front", lua.create_function(raw::front)?)?;
    let redis = lua.create_table()?;
    redis.set("call", interpreter.function(call)?)?;
    redis.set("pcall", interpreter.function(pcall)?)?;
    api::fill(interpreter, &redis)?;
    native.set("redis", redis)?;
    native.set("register", interpreter.function(register::register)?)?;
    Ok(native)
}

/// `redis.call`: raises what is wrong.
fn call(stack: &mut Stack, running: &mut Running) -> Out {
    answer(stack, running, true)
}

/// `redis.pcall`: returns what is wrong.
fn pcall(stack: &mut Stack, running: &mut Running) -> Out {
    answer(stack, running, false)
}

fn answer(stack: &mut Stack, running: &mut Running, raise: bool) -> Out {
    let done = command(stack, running);
    let Reply::Error(text) = &running.reply else {
        if running.resp3 {
            convert::push_typed(stack, &running.reply, done.shape);
        } else {
            convert::push_reply(stack, &running.reply);
        }
        return Ok(1);
    };
    if running.state.version.errors_are_tables() {
        push_error(stack, text, done.counted);
    } else {
        // The text alone is raised, and says where the bridge was misused.
        running.text.clear();
        let mut said = &text[..];
        if !done.from_command {
            running.text.extend_from_slice(caller(stack).as_bytes());
            said = said.strip_prefix(b"ERR ").unwrap_or(said);
        }
        running.text.extend_from_slice(said);
        if raise {
            stack.push_bytes(&running.text);
        } else {
            push_error(stack, &running.text, false);
        }
    }
    if raise { Err(Raise) } else { Ok(1) }
}

/// Where a function of ours was called from, as Redis 6.2 has it.
pub(super) fn caller(stack: &Stack) -> String {
    match stack.place(1) {
        Some(Some(place)) => format!("{}: {}: ", place.source, place.line),
        _ => "=[C]: -1: ".to_owned(),
    }
}

/// What is known of a command that was executed.
struct Done {
    /// It came to calling it: Redis has counted what was wrong then.
    counted: bool,
    /// An error in it is the command's own, as opposed to a misuse of the bridge.
    from_command: bool,
    /// What the reply is, if that was asked.
    shape: Shape,
}

/// Executes the command on the stack and leaves its reply.
fn command(stack: &Stack, running: &mut Running) -> Done {
    let mut text = std::mem::take(&mut running.text);
    text.clear();
    let count = stack.top() as usize;
    let mut few = [Arg::Plain(&[]); 16];
    let mut many = Vec::new();
    let args = match few.get_mut(..count) {
        Some(few) => few,
        None => {
            many.resize(count, Arg::Plain(&[]));
            &mut many[..]
        }
    };
    let read = read_args(stack, running.state.version, &mut text, args);
    let counted = read.is_ok();
    let outcome = read.and_then(|()| running.call(args));
    let shape = if running.resp3 && outcome.is_ok() {
        Shape::of(args)
    } else {
        Shape::Plain
    };
    running.text = text;
    let from_command = outcome.is_ok();
    running.reply = outcome.unwrap_or_else(|fail| fail.reply());
    Done {
        counted,
        from_command,
        shape,
    }
}

/// Reads the arguments where they lie; numbers are written out into `text`.
pub(super) fn read_args<'a>(
    stack: &'a Stack,
    version: Version,
    text: &'a mut Vec<u8>,
    args: &mut [Arg<'a>],
) -> Result<(), Fail> {
    if args.is_empty() {
        let text = texts::no_arguments(version);
        return Err(Fail::new(format!("ERR {text}")));
    }
    let mut numbers = false;
    for (at, arg) in (1..).zip(args.iter_mut()) {
        match stack.bytes(at) {
            Some(bytes) => *arg = Arg::Plain(bytes),
            None if stack.kind(at) == Kind::Number => {
                numbers = true;
                let value = stack.number(at).unwrap_or(0.0);
                let drops_sign = value == 0.0 && version.scripts_write_integers();
                number::write_f64(text, if drops_sign { 0.0 } else { value }, version);
                text.push(b' ');
            }
            None => {
                let text = texts::wrong_arguments(version);
                return Err(Fail::new(format!("ERR {text}")));
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
pub(super) fn push_error(stack: &mut Stack, text: &[u8], counted: bool) {
    stack.push_table(0, 1 + usize::from(counted));
    let table = stack.top();
    stack.push_bytes(b"err");
    stack.push_bytes(text);
    stack.set_field(table);
    if counted {
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
        Value::LightUserData(pointer) if !pointer.0.is_null() => Ok((Value::Nil, value)),
        Value::Error(error) => Ok((error::translated(lua, error)?, Value::Nil)),
        _ => Ok((value, Value::Nil)),
    })
}

/// Redis's handler of uncaught errors: a table with the error's text and place.
pub(super) fn handler(stack: &mut Stack, running: &mut Running) -> Out {
    if stack.kind(1) == Kind::Userdata
        && let Some(translate) = running.translate
    {
        stack.push_kept(translate);
        stack.push_copy(1);
        stack.call(1);
        stack.replace(1);
    }
    let version = running.state.version;
    if stack.kind(1) == Kind::Mark {
        running.text.clear();
        running.text.extend_from_slice(b"ERR ");
        running
            .text
            .extend_from_slice(texts::killed(version).as_bytes());
        push_error(stack, &running.text, false);
        stack.push_bytes(b"killed");
        stack.push_bool(true);
        stack.set_field(2);
        stack.replace(1);
    } else if stack.kind(1) == Kind::Table {
        if !version.errors_are_tables() {
            return refuse_in_handler(stack, running);
        }
    } else {
        let kind = stack.kind(1);
        if kind == Kind::Number {
            stack.stringify(1);
        }
        running.text.clear();
        running.text.extend_from_slice(b"ERR ");
        match kind {
            Kind::Text | Kind::Number => {
                let text = stack.bytes(1).unwrap_or_default();
                running.text.extend_from_slice(text);
            }
            _ if !version.errors_are_tables() => return refuse_in_handler(stack, running),
            Kind::Boolean if stack.truth(1) => running.text.extend_from_slice(b"true"),
            Kind::Boolean => running.text.extend_from_slice(b"false"),
            Kind::Function | Kind::Other => {
                running.names += 1;
                let text = format!("{}: 0x{:08x}", kind.name(), running.names);
                running.text.extend_from_slice(text.as_bytes());
            }
            Kind::Userdata => running.text.extend_from_slice(b"userdata: (nil)"),
            _ => running.text.extend_from_slice(b"nil"),
        }
        push_error(stack, &running.text, false);
        stack.replace(1);
    }
    running.text.clear();
    if let Some(place) = place(stack) {
        running.text.extend_from_slice(place.source.as_bytes());
        let line = f64::from(place.line);
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

/// The handler of Redis 6.2 knows texts alone, and fails itself.
fn refuse_in_handler(stack: &mut Stack, running: &mut Running) -> Out {
    running.text.clear();
    let kind = stack.kind(1).name();
    let text = format!("err_handler_def:9: attempt to concatenate local 'err' (a {kind} value)");
    running.text.extend_from_slice(text.as_bytes());
    drop(text);
    push_error(stack, &running.text, false);
    let table = stack.top();
    stack.push_bytes(b"source");
    stack.push_bytes(b"@err_handler_def");
    stack.set_field(table);
    stack.push_bytes(b"line");
    stack.push_number(9.0);
    stack.set_field(table);
    Ok(1)
}

/// Where the error is, as Redis finds it: in the function that raised it, or if
/// that is one of C in the one that called it, whatever that is.
fn place(stack: &Stack) -> Option<Place> {
    let is = |level, source: &str| stack.frame(level).is_some_and(|it| it.source == source);
    let (native, ours) = ("=[C]", "=sandbox");
    let mut level = 1;
    // There are no such functions of Lua's in Redis.
    while is(level, ours) || is(level, native) && is(level + 1, ours) {
        level += 1;
    }
    stack.frame(level + i32::from(is(level, native)))
}
