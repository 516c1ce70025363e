//! Scripts, in the Lua 5.1 that Redis runs.
//!
//! An [`Engine`] is one interpreter with Redis's sandbox and the scripts it has
//! compiled. It holds nothing that one run could leave to the next: globals are
//! read-only, what a script does leave behind is part of the server's state
//! ([`Left`]), and that state is lent to it for the length of one script.
//!
//! Lending is a swap: `redis.call` is a closure that outlives every server, so
//! the state moves into a cell that the closure shares, and back afterwards.
//! The alternative, a scoped closure per run, costs a Lua allocation per script.

mod api;
mod call;
mod convert;
mod error;
#[cfg(test)]
mod hostile;
mod library;
mod memory;
mod random;
mod raw;
mod register;
mod texts;
#[cfg(test)]
mod told;
mod variables;
mod wire;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashMap;
use mlua::{Function, Lua, LuaOptions, StdLib, Table};
use sha1::{Digest, Sha1};
use sluice_core::redis::{Bytes, Reply};

use super::cluster::Reach;
use super::command::{Arg, Fail};
use super::functions::{self, Locals};
use super::{Sha, State, Version};
use crate::digest::FixedState;
use call::Running;
use convert::Reading;
use library::{JsonSettings, SharedJsonSettings};
use memory::Memory;
use random::Random;
use raw::{Interpreter, Kept, Kind, Stack};
use variables::Variables;

/// A script that has executed so many Lua instructions (a second or two) is taken
/// to be endless: it is not run any further, and keeps the server busy.
const BUDGET: u32 = 200_000_000;
/// The budget is looked at this often.
const BUDGET_STEP: i32 = 1_000_000;
/// Garbage may grow to so many percent of what is alive: what lives long is
/// small (the sandbox and the scripts), so a collection now and then is cheap.
const GARBAGE_PERCENT: i32 = 1_000;

/// Lua interpreter and compiled scripts: one per thread, shared by all worlds
/// there. Cheap to clone; holds no state that a script can carry from one run
/// to the next.
#[derive(Clone)]
pub struct Engine {
    inner: Rc<Inner>,
}

struct Inner {
    interpreter: Interpreter<Running>,
    random: Random,
    json: SharedJsonSettings,
    /// The globals behind the stand-in, where `KEYS` and `ARGV` are set.
    globals: Kept,
    handler: Kept,
    compiled: RefCell<HashMap<Sha, Kept, FixedState>>,
    /// Digests of some of the last texts: clients send the same few whole again
    /// and again, and a SHA-1 costs more than to run them.
    digests: RefCell<HashMap<Bytes, Sha, FixedState>>,
    /// The globals of libraries of functions, and the libraries.
    outer: Table,
    libraries: RefCell<HashMap<Sha, Kept, FixedState>>,
    /// Makes the globals those of a library that is loaded (true) or runs.
    load: Function,
    callbacks: Kept,
    variables: Variables,
    /// Makes the globals those of a version; and which it is.
    adapt: Function,
    version: Cell<Version>,
    memory: Option<Memory>,
}

/// What scripts leave to those that come after them, beside keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Left {
    /// Where `math.random` has come to, once it was used.
    random: Option<u64>,
    /// What is set of `cjson`, if anything ever was: by scripts, and by functions,
    /// which have an interpreter of their own.
    json: Option<Rc<[JsonSettings; 2]>>,
}

impl Left {
    fn json(&self, interpreter: usize) -> JsonSettings {
        let json = self.json.as_ref();
        json.map_or_else(JsonSettings::default, |both| both[interpreter])
    }

    fn set_json(&mut self, interpreter: usize, settings: JsonSettings) {
        if self.json(interpreter) != settings {
            let both = self.json.get_or_insert_default();
            Rc::make_mut(both)[interpreter] = settings;
            if **both == <[JsonSettings; 2]>::default() {
                self.json = None; // equal states look alike
            }
        }
    }

    /// The interpreter of scripts is a new one.
    pub(super) fn flush_scripts(&mut self) {
        self.set_json(0, JsonSettings::default());
    }
}

/// One run of a script, or of a function.
pub(super) struct Job<'a> {
    /// The digest of the text.
    pub(super) sha: Sha,
    /// Which function of the library.
    pub(super) function: Option<&'a [u8]>,
    pub(super) keys: &'a [Arg<'a>],
    pub(super) argv: &'a [Arg<'a>],
    pub(super) read_only: bool,
    /// Not while memory is short.
    pub(super) may_grow: bool,
    pub(super) reach: Reach,
    /// For a client that speaks RESP3, on a network.
    pub(super) typed: bool,
}

impl Job<'_> {
    /// As errors name it.
    fn name(&self) -> &[u8] {
        self.function.unwrap_or(&self.sha)
    }
}

/// A script that is ready to run.
#[derive(Clone, Copy)]
pub(super) struct Script(Kept);

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// A fresh interpreter (some tens of microseconds).
    ///
    /// # Panics
    /// If there is no memory for it.
    #[must_use]
    pub fn new() -> Self {
        let inner = Inner::new().expect("the sandbox is ours and loads");
        Self {
            inner: Rc::new(inner),
        }
    }

    /// The same, but it remembers what each script has done to each state, and
    /// does it again without running it: for searches that come to the same
    /// state a thousand times. Scripts are functions of the state, the time and
    /// their arguments.
    ///
    /// # Panics
    /// If there is no memory for it.
    #[must_use]
    pub fn remembering() -> Self {
        let mut inner = Inner::new().expect("the sandbox is ours and loads");
        inner.memory = Some(Memory::default());
        Self {
            inner: Rc::new(inner),
        }
    }

    /// SHA-1 of a text, in lower-case hexadecimal.
    pub(super) fn sha1(&self, text: &Arg) -> Sha {
        /// What is longer is not kept.
        const LONGEST: usize = 64 << 10;
        /// Then it begins anew.
        const MOST: usize = 64;
        let mut digests = self.inner.digests.borrow_mut();
        if let Some(sha) = digests.get(&**text) {
            return *sha;
        }
        let sha = sha1_hex(text);
        if text.len() <= LONGEST {
            if digests.len() == MOST {
                digests.clear();
            }
            digests.insert(text.shared(), sha);
        }
        sha
    }

    /// The script, compiled if it was not yet; `sha` is its SHA-1.
    pub(super) fn compile(&self, sha: &Sha, source: &[u8]) -> Result<Script, Fail> {
        if let Some(kept) = self.inner.compiled.borrow().get(sha) {
            return Ok(Script(*kept));
        }
        let kept = self.inner.load(source)?;
        self.inner.compiled.borrow_mut().insert(*sha, kept);
        Ok(Script(kept))
    }

    /// Runs a script on a server.
    pub(super) fn run(
        &self,
        state: &mut Box<State>,
        script: Script,
        job: &Job,
    ) -> Result<Reply, Fail> {
        match &self.inner.memory {
            Some(memory) => memory.recall(state, job, |state| self.run_now(state, script, job)),
            None => self.run_now(state, script, job),
        }
    }

    fn run_now(&self, state: &mut Box<State>, script: Script, job: &Job) -> Result<Reply, Fail> {
        let inner = &*self.inner;
        self.lent(state, job, || {
            inner.finish(job, |stack| {
                stack.push_kept(inner.globals);
                let globals = stack.top();
                push_args(stack, b"KEYS", job.keys, globals);
                push_args(stack, b"ARGV", job.argv, globals);
                stack.push_kept(script.0);
                stack.replace(globals);
                0
            })
        })
    }

    /// Loads a library: what it registers, by name. `body` is its text without
    /// the first line, `sha` the digest of the whole.
    pub(super) fn load_library(
        &self,
        state: &mut Box<State>,
        sha: Sha,
        body: &[u8],
    ) -> Result<BTreeMap<Bytes, functions::Function>, Fail> {
        let job = Job {
            sha,
            function: Some(b"load"),
            keys: &[],
            argv: &[],
            read_only: true,
            may_grow: false,
            reach: Reach::default(),
            typed: false,
        };
        let loaded = self.lent(state, &job, || self.inner.register(&job, body));
        // Loading has an end: Redis gives it half a second.
        if state.park.take().is_some() {
            return Err(Fail::fixed(
                "ERR Error registering functions: ERR FUNCTION LOAD timeout",
            ));
        }
        loaded
    }

    /// Calls a function of a library: its name, what its variables hold, and its
    /// text without the first line.
    pub(super) fn call(
        &self,
        state: &mut Box<State>,
        (library, locals): (&[u8], &Locals),
        body: &[u8],
        job: &Job,
    ) -> Result<Reply, Fail> {
        let inner = &*self.inner;
        let run = |state: &mut Box<State>| {
            let mut held = None;
            let outcome = self.lent(state, job, || {
                inner.register(job, body)?;
                let opened = inner.variables.open(locals).map_err(|error| {
                    let head: &[u8] =
                        b"ERR the simulated server cannot read the variables of this library: ";
                    Fail::new([head, &*variables::why(&error)].concat())
                })?;
                let reply = inner.finish(job, |stack| {
                    stack.push_kept(inner.callbacks);
                    let at = stack.top();
                    stack.push_field(at, job.name());
                    stack.replace(at);
                    push_table(stack, job.keys);
                    push_table(stack, job.argv);
                    2
                });
                held = Some(inner.variables.close(&opened));
                reply
            });
            // One that does not end has not come to hold anything.
            if let Some(held) = held.filter(|_| state.park.is_none()) {
                state.libraries.set_locals(library, held);
            }
            outcome
        };
        match &inner.memory {
            Some(memory) => memory.recall(state, job, run),
            None => run(state),
        }
    }

    /// Lends the server's state to what runs.
    fn lent<T>(
        &self,
        state: &mut Box<State>,
        job: &Job,
        run: impl FnOnce() -> Result<T, Fail>,
    ) -> Result<T, Fail> {
        let inner = &*self.inner;
        let (version, selected) = (state.version, state.selected);
        inner.imitate(version);
        inner.random.begin(version, state.left.random);
        let interpreter = usize::from(job.function.is_some());
        inner.json.set(state.left.json(interpreter));
        inner.interpreter.host.borrow_mut().begin(state, job);
        let outcome = run();
        let mut host = inner.interpreter.host.borrow_mut();
        host.end(state);
        state.left.random = inner.random.end(version);
        state.left.set_json(interpreter, inner.json.get());
        state.select(selected);
        // Nothing waits in a script; but one that does not end lets others wait.
        state.park = host.park();
        outcome
    }
}

/// Sets a global to a table of arguments.
fn push_args(stack: &mut Stack, name: &[u8], args: &[Arg], globals: i32) {
    stack.push_bytes(name);
    push_table(stack, args);
    stack.set_field(globals);
}

fn push_table(stack: &mut Stack, args: &[Arg]) {
    stack.push_table(args.len(), 0);
    let table = stack.top();
    for (index, arg) in (1..).zip(args) {
        stack.push_bytes(arg);
        stack.set_item(table, index);
    }
}

impl Inner {
    fn new() -> mlua::Result<Self> {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        let interpreter = Interpreter::new(lua, Running::default())?;
        let lua = &interpreter.lua;
        lua.globals().raw_set("unpack", raw::unpack(lua)?)?;
        let random = Random::new();
        let json = SharedJsonSettings::new(Cell::new(JsonSettings::default()));
        let native = call::native(&interpreter, &random, &json)?;
        let translate: Function = native.get("translate")?;
        let translate = interpreter.keep(translate)?;
        interpreter.host.borrow_mut().translate = Some(translate);
        let sandbox = lua.load(include_str!("sandbox.lua")).set_name("=sandbox");
        let made: Table = sandbox.call(native)?;
        lua.set_globals(made.get("global")?)?;
        let callbacks = interpreter.keep(made.get::<Table>("callbacks")?)?;
        interpreter.host.borrow_mut().callbacks = Some(callbacks);
        interpreter.watch(BUDGET_STEP, Running::tick)?;
        interpreter.rest(GARBAGE_PERCENT);
        let adapt: Function = made.get("adapt")?;
        let inner = Self {
            random,
            json,
            globals: interpreter.keep(made.get::<Table>("real")?)?,
            handler: interpreter.keep(interpreter.function(call::handler)?)?,
            compiled: RefCell::default(),
            digests: RefCell::default(),
            outer: made.get("outer")?,
            libraries: RefCell::default(),
            load: made.get("load")?,
            callbacks,
            variables: Variables::new(&interpreter, &made)?,
            adapt,
            version: Cell::new(Version::default()),
            interpreter,
            memory: None,
        };
        inner.adapt_to(Version::default())?;
        Ok(inner)
    }

    /// Sees to it that scripts find what this version offers.
    fn imitate(&self, version: Version) {
        if self.version.get() != version {
            self.adapt_to(version).expect("the sandbox is ours");
        }
    }

    fn adapt_to(&self, version: Version) -> mlua::Result<()> {
        let about = self.interpreter.lua.create_table()?;
        about.set("redis", version.text())?;
        about.set("number", version.number())?;
        about.set("valkey", version.valkey())?;
        about.set("valkey_number", version.valkey_number())?;
        about.set("old", !version.errors_are_tables())?;
        about.set("os", version.offers_os())?;
        self.adapt.call::<()>(about)?;
        self.version.set(version);
        Ok(())
    }

    fn load(&self, source: &[u8]) -> Result<Kept, Fail> {
        self.compile(source, "@user_script", None).map_err(|text| {
            Fail::new([b"ERR Error compiling script (new function): ", &*text].concat())
        })
    }

    fn compile(
        &self,
        source: &[u8],
        name: &'static str,
        globals: Option<&Table>,
    ) -> Result<Kept, Bytes> {
        let mut chunk = self.interpreter.lua.load(source).set_name(name);
        if let Some(globals) = globals {
            chunk = chunk.set_environment(globals.clone());
        }
        let function = chunk.set_mode(mlua::chunk::ChunkMode::Text).into_function();
        let kept = function.and_then(|function| self.interpreter.keep(function));
        kept.map_err(|error| {
            let text = match &error {
                mlua::Error::SyntaxError { message, .. } => message.clone(),
                other => other.to_string(),
            };
            convert::one_line(text.as_bytes())
        })
    }

    /// Runs a library's text, so that its functions are among the callbacks.
    fn register(
        &self,
        job: &Job,
        body: &[u8],
    ) -> Result<BTreeMap<Bytes, functions::Function>, Fail> {
        let known = self.libraries.borrow().get(&job.sha).copied();
        let library = match known {
            Some(kept) => kept,
            None => {
                let compiled = self.compile(body, "@user_function", Some(&self.outer));
                let kept = compiled.map_err(|text| {
                    Fail::new([b"ERR Error compiling function: ", &*text].concat())
                })?;
                self.libraries.borrow_mut().insert(job.sha, kept);
                kept
            }
        };
        let sandbox = "the sandbox is ours";
        self.load.call::<()>(true).expect(sandbox);
        self.interpreter.host.borrow_mut().loading = Some(BTreeMap::new());
        let outcome = self.interpreter.run(
            self.handler,
            |stack| {
                stack.push_kept(library);
                0
            },
            |stack, at, fine| {
                if fine {
                    Ok(())
                } else {
                    Err(failed_load(stack, at))
                }
            },
        );
        let registered = self.interpreter.host.borrow_mut().loading.take();
        self.load.call::<()>(false).expect(sandbox);
        outcome.map(|()| registered.unwrap_or_default())
    }

    /// Runs what `prepare` pushes, and reads its result.
    fn finish(&self, job: &Job, prepare: impl FnOnce(&mut Stack) -> i32) -> Result<Reply, Fail> {
        let host = &self.interpreter.host;
        self.interpreter
            .run(self.handler, prepare, |stack, at, fine| {
                let (version, resp3) = {
                    let running = host.borrow();
                    (running.version(), running.resp3)
                };
                if fine {
                    let left = Cell::new(Reading::MOST);
                    let reading = Reading {
                        version,
                        resp3,
                        left: &left,
                    };
                    let reply = convert::to_reply(stack, at, reading, 0);
                    if reading.is_spent() {
                        return Err(Fail::fixed(
                            "ERR the simulated server gives no reply of more than 256 MB",
                        ));
                    }
                    left.set(2 * Reading::MOST); // what fitted fits again
                    if job.typed && !matches!(reply, Reply::Error(_)) {
                        let mut bytes = Vec::new();
                        wire::write(&mut bytes, stack, at, reading, 0);
                        host.borrow_mut().state.note_typed(bytes);
                    }
                    Ok(reply)
                } else {
                    Err(uncaught(stack, at, job, version))
                }
            })
    }
}

/// The error reply for a library that does not load.
fn failed_load(stack: &mut Stack, at: i32) -> Fail {
    let field = stack.top() + 1;
    if stack.kind(at) == Kind::Table {
        stack.push_field(at, b"killed");
        stack.push_field(at, b"err");
    } else {
        stack.push_nil();
        stack.push_copy(at);
    }
    let text = match stack.kind(field) {
        Kind::Nil => stack.bytes(field + 1).unwrap_or(b"unknown error"),
        _ => b"ERR FUNCTION LOAD timeout",
    };
    let text = [b"ERR Error registering functions: ", text].concat();
    Fail::new(&*convert::one_line(&text))
}

/// The error reply for what a script did not catch.
fn uncaught(stack: &mut Stack, at: i32, job: &Job, version: Version) -> Fail {
    let name = String::from_utf8_lossy(job.name());
    if stack.kind(at) != Kind::Table {
        stack.stringify(at);
        let text = stack.bytes(at).unwrap_or(b"unknown error");
        return Fail::new(&*convert::one_line(
            &[b"ERR Error running script: ", text].concat(),
        ));
    }
    let field = stack.top() + 1;
    stack.push_field(at, b"err");
    stack.push_field(at, b"source");
    stack.push_field(at, b"line");
    let said = stack.bytes(field).unwrap_or_default();
    let place = match (stack.bytes(field + 1), stack.number(field + 2)) {
        (Some(source), Some(line)) => [source, format!(":{line}").as_bytes()].concat(),
        _ => Vec::new(),
    };
    let mut text = Vec::new();
    if version.errors_are_tables() {
        // Some of the errors from commands have no text at all.
        text.extend_from_slice(said);
        if !place.is_empty() {
            let by = match version {
                Version::Valkey9 => String::new(),
                _ => format!("{name}, "),
            };
            text.extend_from_slice(format!(" script: {by}on ").as_bytes());
            text.extend_from_slice(&place);
            text.push(b'.');
        }
    } else {
        let head = format!("ERR Error running script (call to f_{name}): ");
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(&place);
        if !place.is_empty() {
            text.extend_from_slice(b": ");
        }
        let said = said.strip_prefix(b"ERR ").unwrap_or(said);
        text.extend_from_slice(said);
    }
    Fail::new(&*convert::one_line(&text))
}

/// SHA-1 in lower-case hexadecimal.
pub(super) fn sha1_hex(text: &[u8]) -> Sha {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha1::digest(text);
    let mut out = [0; 40];
    for (pair, byte) in out.chunks_exact_mut(2).zip(digest.iter()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    out
}
