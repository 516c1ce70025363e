//! Scripts, in the Lua 5.1 that Redis runs.
//!
//! An [`Engine`] is one interpreter with Redis's sandbox and the scripts it has
//! compiled. It holds nothing that one run could leave to the next: globals are
//! read-only, the random generator starts anew, and the server's state is
//! lent to it for the length of one script.
//!
//! Lending is a swap: `redis.call` is a closure that outlives every server, so
//! the state moves into a cell that the closure shares, and back afterwards.
//! The alternative, a scoped closure per run, costs a Lua allocation per script.

mod call;
mod convert;
mod error;
mod library;
mod memory;
mod random;
mod raw;

use std::cell::RefCell;
use std::rc::Rc;

use hashbrown::HashMap;
use mlua::{Function, Lua, LuaOptions, StdLib};
use sha1::{Digest, Sha1};
use sluice_core::redis::Reply;

use super::cluster::Reach;
use super::command::{Arg, Fail};
use super::hash::FixedState;
use super::{Sha, State};
use call::Running;
use memory::Memory;
use random::Random;
use raw::{Interpreter, Kept, Kind, Stack};

/// A script that has executed so many Lua instructions is taken to be endless.
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
    /// The globals behind the stand-in, where `KEYS` and `ARGV` are set.
    globals: Kept,
    handler: Kept,
    compiled: RefCell<HashMap<Sha, Kept, FixedState>>,
    memory: Option<Memory>,
}

/// One run of a script.
pub(super) struct Job<'a> {
    pub(super) sha: Sha,
    pub(super) keys: &'a [Arg<'a>],
    pub(super) argv: &'a [Arg<'a>],
    pub(super) read_only: bool,
    /// Not while memory is short.
    pub(super) may_grow: bool,
    pub(super) reach: Reach,
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
        let version = state.version;
        let selected = state.selected;
        inner.random.reset();
        inner.interpreter.host.borrow_mut().begin(state, job);
        let outcome = inner.interpreter.run(
            inner.handler,
            |stack| {
                stack.push_kept(inner.globals);
                let globals = stack.top();
                push_args(stack, b"KEYS", job.keys, globals);
                push_args(stack, b"ARGV", job.argv, globals);
                stack.push_kept(script.0);
                stack.replace(globals);
            },
            |stack, at, fine| {
                if fine {
                    Ok(convert::to_reply(stack, at, version, 0))
                } else {
                    Err(uncaught(stack, at, &job.sha))
                }
            },
        );
        inner.interpreter.host.borrow_mut().end(state);
        state.select(selected);
        // Nothing waits in a script.
        state.park = None;
        outcome
    }
}

/// Sets a global to a table of arguments.
fn push_args(stack: &mut Stack, name: &[u8], args: &[Arg], globals: i32) {
    stack.push_bytes(name);
    stack.push_table(args.len(), 0);
    let table = stack.top();
    for (index, arg) in (1..).zip(args) {
        stack.push_bytes(arg);
        stack.set_item(table, index);
    }
    stack.set_field(globals);
}

impl Inner {
    fn new() -> mlua::Result<Self> {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        let interpreter = Interpreter::new(lua, Running::default())?;
        let lua = &interpreter.lua;
        let random = Random::new();
        let native = call::native(&interpreter, &random)?;
        let translate: Function = native.get("translate")?;
        let translate = interpreter.keep(translate)?;
        interpreter.host.borrow_mut().translate = Some(translate);
        let sandbox = lua.load(include_str!("sandbox.lua")).set_name("=sandbox");
        let (global, real): (mlua::Table, mlua::Table) = sandbox.call(native)?;
        lua.set_globals(global)?;
        interpreter.watch(BUDGET_STEP, Running::tick)?;
        interpreter.rest(GARBAGE_PERCENT);
        Ok(Self {
            random,
            globals: interpreter.keep(real)?,
            handler: interpreter.keep(interpreter.function(call::handler)?)?,
            compiled: RefCell::default(),
            interpreter,
            memory: None,
        })
    }

    fn load(&self, source: &[u8]) -> Result<Kept, Fail> {
        let chunk = self.interpreter.lua.load(source).set_name("@user_script");
        let function = chunk.set_mode(mlua::chunk::ChunkMode::Text).into_function();
        let kept = function.and_then(|function| self.interpreter.keep(function));
        kept.map_err(|error| {
            let text = match &error {
                mlua::Error::SyntaxError { message, .. } => message.clone(),
                other => other.to_string(),
            };
            let text = format!("ERR Error compiling script (new function): {text}");
            Fail::new(&*convert::one_line(text.as_bytes()))
        })
    }
}

/// The error reply for what a script did not catch.
fn uncaught(stack: &mut Stack, at: i32, sha: &Sha) -> Fail {
    let sha = String::from_utf8_lossy(sha);
    if stack.kind(at) == Kind::Mark && stack.is_kill(at) {
        return Fail::new(format!("{} script: {sha}", error::KILLED));
    }
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
    let mut text = stack.bytes(field).unwrap_or_default().to_vec();
    if let (Some(source), Some(line)) = (stack.bytes(field + 1), stack.number(field + 2)) {
        text.extend_from_slice(format!(" script: {sha}, on ").as_bytes());
        text.extend_from_slice(source);
        text.extend_from_slice(format!(":{line}.").as_bytes());
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
