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
mod random;

use std::cell::RefCell;
use std::rc::Rc;

use hashbrown::HashMap;
use mlua::{Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Value, VmState};
use sha1::{Digest, Sha1};
use sluice_core::redis::{Bytes, Reply};

use super::command::{Arg, Fail};
use super::hash::FixedState;
use super::{Sha, State};
use call::Running;
use random::Random;

/// A script that has executed so many Lua instructions is taken to be endless.
const BUDGET: u32 = 200_000_000;
/// The budget is looked at this often.
const BUDGET_STEP: u32 = 1_000_000;
/// Most keys with a runner of their own.
const MAX_KEYS: usize = 8;
/// Most arguments that are passed on Lua's stack.
const MAX_ARGS: usize = 200;

/// Lua interpreter and compiled scripts: one per thread, shared by all worlds
/// there. Cheap to clone; holds no state that a script can carry from one run
/// to the next.
#[derive(Clone)]
pub struct Engine {
    inner: Rc<Inner>,
}

struct Inner {
    lua: Lua,
    running: Rc<RefCell<Running>>,
    random: Random,
    spent: Rc<std::cell::Cell<u32>>,
    runners: Vec<Function>,
    run_tables: Function,
    tidy: Function,
    compiled: RefCell<HashMap<Sha, Script, FixedState>>,
}

#[derive(Clone)]
struct Script {
    function: Function,
    /// It could get hold of a function that writes past a stand-in.
    suspect: bool,
}

/// One run of a script.
pub(super) struct Job<'a> {
    pub(super) sha: Sha,
    pub(super) keys: &'a [Arg<'a>],
    pub(super) argv: &'a [Arg<'a>],
    pub(super) read_only: bool,
}

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

    /// Makes sure that the script can be run; `sha` is its SHA-1.
    pub(super) fn compile(&self, sha: &Sha, source: &[u8]) -> Result<(), Fail> {
        if self.inner.compiled.borrow().contains_key(sha) {
            return Ok(());
        }
        let script = self.inner.load(source)?;
        self.inner.compiled.borrow_mut().insert(*sha, script);
        Ok(())
    }

    /// Runs a compiled script on a server.
    pub(super) fn run(&self, state: &mut State, job: &Job) -> Result<Reply, Fail> {
        let inner = &*self.inner;
        let script = inner.compiled.borrow().get(&job.sha).cloned();
        let script = script.expect("compiled before it is run");
        inner.random.reset();
        inner.spent.set(0);
        inner.running.borrow_mut().begin(state, job);
        let outcome = inner.call(&script, job);
        let version = inner.running.borrow_mut().end(state);
        if script.suspect {
            inner.tidy.call::<()>(()).expect("the sandbox is ours");
        }
        match outcome {
            Ok((true, value)) => {
                convert::to_reply(&value, version, 0).map_err(|e| failure(&e.to_string()))
            }
            Ok((false, value)) => Err(uncaught(&value, &job.sha)),
            Err(error) if error::is_kill(&error) => Err(killed(&job.sha)),
            Err(error) => Err(failure(&error.to_string())),
        }
    }
}

impl Inner {
    fn new() -> mlua::Result<Self> {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        let running = Rc::new(RefCell::new(Running::default()));
        let random = Random::new();
        let spent = Rc::new(std::cell::Cell::new(0));
        let native = call::native(&lua, &running, &random)?;
        let sandbox = lua.load(include_str!("sandbox.lua")).set_name("=sandbox");
        let (global, make, run_tables, tidy): (mlua::Table, Function, Function, Function) =
            sandbox.call(native)?;
        let runners = (0..=MAX_KEYS)
            .map(|n| make.call(n))
            .collect::<Result<_, _>>()?;
        lua.set_globals(global)?;
        let counter = spent.clone();
        let triggers = HookTriggers::new().every_nth_instruction(BUDGET_STEP);
        lua.set_global_hook(triggers, move |_, _| {
            counter.set(counter.get() + BUDGET_STEP);
            if counter.get() >= BUDGET {
                return Err(mlua::Error::external(error::Killed));
            }
            Ok(VmState::Continue)
        })?;
        Ok(Self {
            lua,
            running,
            random,
            spent,
            runners,
            run_tables,
            tidy,
            compiled: RefCell::default(),
        })
    }

    fn load(&self, source: &[u8]) -> Result<Script, Fail> {
        let chunk = self.lua.load(source).set_name("@user_script");
        let function = chunk.set_mode(mlua::chunk::ChunkMode::Text).into_function();
        let function = function.map_err(|error| {
            let text = match &error {
                mlua::Error::SyntaxError { message, .. } => message.clone(),
                other => other.to_string(),
            };
            let text = format!("ERR Error compiling script (new function): {text}");
            Fail::new(&*convert::one_line(text.as_bytes()))
        })?;
        let names: [&[u8]; 3] = [b"table", b"_G", b"load"];
        let has = |name: &[u8]| source.windows(name.len()).any(|window| window == name);
        Ok(Script {
            function,
            suspect: names.into_iter().any(has),
        })
    }

    fn call(&self, script: &Script, job: &Job) -> mlua::Result<(bool, Value)> {
        let lua = &self.lua;
        let few = job.keys.len() <= MAX_KEYS && job.argv.len() <= MAX_ARGS;
        if few {
            let mut args = MultiValue::with_capacity(1 + job.keys.len() + job.argv.len());
            args.push_back(Value::Function(script.function.clone()));
            for arg in job.keys.iter().chain(job.argv) {
                args.push_back(Value::String(lua.create_string(&**arg)?));
            }
            return self.runners[job.keys.len()].call(args);
        }
        let table = |args: &[Arg]| {
            let table = lua.create_table_with_capacity(args.len(), 0)?;
            for arg in args {
                table.raw_push(lua.create_string(&**arg)?)?;
            }
            Ok::<_, mlua::Error>(table)
        };
        let function = script.function.clone();
        self.run_tables
            .call((function, table(job.keys)?, table(job.argv)?))
    }
}

/// The error reply for what a script did not catch.
fn uncaught(value: &Value, sha: &Sha) -> Fail {
    let Value::Table(table) = value else {
        return match value {
            Value::Error(error) if error::is_kill(error) => killed(sha),
            other => failure(&format!("{other:?}")),
        };
    };
    let field = |name: &str| table.raw_get::<Value>(name).ok();
    let mut text = match field("err") {
        Some(Value::String(text)) => text.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    let source = field("source").and_then(|source| Some(source.as_string()?.to_string_lossy()));
    let line = field("line").and_then(|line| line.as_integer());
    if let (Some(source), Some(line)) = (source, line) {
        let sha = String::from_utf8_lossy(sha);
        text.extend(format!(" script: {sha}, on {source}:{line}.").bytes());
    }
    Fail::new(&*convert::one_line(&text))
}

fn killed(sha: &Sha) -> Fail {
    let sha = String::from_utf8_lossy(sha);
    Fail::new(format!("{} script: {sha}", error::KILLED))
}

fn failure(text: &str) -> Fail {
    let text = format!("ERR Error running script: {text}");
    Fail::new(&*convert::one_line(text.as_bytes()))
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

/// Shares the bytes of a Lua string.
fn bytes_of(text: &mlua::LuaString) -> Bytes {
    Bytes::from(&*text.as_bytes())
}
