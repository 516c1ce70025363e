//! The one place that speaks to Lua's C interface directly.
//!
//! A script's cost is its calls, and through a safe wrapper each call takes
//! a protected call, a vector of values with a reference each, and a copy of
//! every argument. Here a call reads its arguments where they lie on Lua's
//! stack and writes its result there; everything that is not called by the
//! thousand (the libraries that run rarely, loading, the sandbox) goes through
//! `mlua` as before.
//!
//! **Why this is sound.** Three rules, kept in this file alone:
//!
//! 1. A slice read from the stack borrows the [`Stack`], and whatever could
//!    take the string off it needs the `Stack` mutably.
//! 2. Lua reports errors by `longjmp`. The only functions here that raise are
//!    the trampoline and the hook, when nothing is left to drop. Running out of
//!    memory inside a push would jump, too: natives own nothing across a push
//!    (what they build lies in their host), and the process is at its end.
//! 3. Indices are positive, which Lua checks against the stack's top, and
//!    pushes without a bound reserve their room first.

#![allow(
    unsafe_code,
    reason = "the bridge's cost is the simulator's speed; see the header"
)]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::rc::Rc;

use mlua::ffi;
use mlua::{Function, Lua, lua_State};

/// Arguments and results of a native function.
pub(super) struct Stack(NonNull<lua_State>);

/// An error is on top of the stack and is to be raised.
pub(super) struct Raise;

/// How many results a native function leaves on top of the stack.
pub(super) type Out = Result<c_int, Raise>;

/// A function that scripts call, with what it shares with its kin.
pub(super) type Native<H> = fn(&mut Stack, &mut H) -> Out;

/// A value's type, as far as anybody here asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    None,
    Nil,
    Boolean,
    Number,
    Text,
    Table,
    /// An error of `mlua`'s, or another of its objects; or `cjson.null`.
    Userdata,
    /// What ends a script: only the hook makes it.
    Mark,
    Function,
    Other,
}

impl Kind {
    /// The name that Lua gives it in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "no value",
            Self::Nil => "nil",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Text => "string",
            Self::Table => "table",
            Self::Userdata | Self::Mark => "userdata",
            Self::Function => "function",
            Self::Other => "thread",
        }
    }
}

/// A value kept alive in Lua's registry, for the life of the interpreter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept(c_int);

/// An interpreter, and what its native functions share.
pub(super) struct Interpreter<H> {
    // Dropped first: its functions point to the host.
    pub(super) lua: Lua,
    pub(super) host: Rc<RefCell<H>>,
    state: NonNull<lua_State>,
}

/// What ends a script, and cannot be caught.
static KILL: u8 = 0;

impl<H> Interpreter<H> {
    pub(super) fn new(lua: Lua, host: H) -> mlua::Result<Self> {
        let mut state = std::ptr::null_mut();
        // SAFETY: only takes the address; the state lives as long as `lua`.
        unsafe { lua.exec_raw::<()>((), |l| state = l)? };
        Ok(Self {
            lua,
            host: Rc::new(RefCell::new(host)),
            state: NonNull::new(state).expect("there is a state"),
        })
    }

    /// Makes a native function. Panics in it pass through Lua; they are our
    /// own bugs, and the interpreter is not used again.
    pub(super) fn function(&self, native: Native<H>) -> mlua::Result<Function> {
        let host = Rc::as_ptr(&self.host).cast_mut().cast::<c_void>();
        // SAFETY: two pushes and a closure within the room that there always
        // is. The pointers are those that the trampoline expects, and the host
        // outlives the interpreter.
        unsafe {
            self.lua.exec_raw((), |l| {
                ffi::lua_pushlightuserdata(l, host);
                ffi::lua_pushlightuserdata(l, native as *mut c_void);
                ffi::lua_pushcclosure(l, trampoline::<H>, 2);
            })
        }
    }

    /// Keeps a value for as long as the interpreter lives.
    pub(super) fn keep(&self, value: impl mlua::IntoLua) -> mlua::Result<Kept> {
        let mut kept = 0;
        // SAFETY: `luaL_ref` takes the one value that was pushed.
        unsafe {
            self.lua.exec_raw::<()>(value, |l| {
                kept = ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX);
            })?;
        }
        Ok(Kept(kept))
    }

    /// Calls `tick` every `every` instructions; if it says so, the script ends.
    pub(super) fn watch(&self, every: c_int, tick: fn(&mut H) -> bool) -> mlua::Result<()> {
        let host = Rc::as_ptr(&self.host).cast_mut().cast::<c_void>();
        // SAFETY: as in `function`; the hook finds both in the registry.
        unsafe {
            self.lua.exec_raw((), |l| {
                ffi::lua_pushlightuserdata(l, (&raw const KILL).cast_mut().cast());
                ffi::lua_pushlightuserdata(l, host);
                ffi::lua_pushlightuserdata(l, tick as *mut c_void);
                ffi::lua_pushcclosure(l, nothing, 2);
                ffi::lua_rawset(l, ffi::LUA_REGISTRYINDEX);
                ffi::lua_sethook(l, Some(hook::<H>), ffi::LUA_MASKCOUNT, every);
            })
        }
    }

    /// How much garbage may pile up: the collector rests until the heap is
    /// `percent` of what it was after the last collection.
    pub(super) fn rest(&self, percent: c_int) {
        // SAFETY: sets a parameter.
        unsafe { ffi::lua_gc(self.state.as_ptr(), ffi::LUA_GCSETPAUSE, percent) };
    }

    /// Runs a function, errors through `handler`; then hands the one result, or
    /// error (`false`), to `read` at index 1 above the stack that it found.
    /// `prepare` pushes the function and its arguments, and says how many these
    /// are. Out of memory outside a function, Lua ends the
    /// process, as Rust does.
    pub(super) fn run<T>(
        &self,
        handler: Kept,
        prepare: impl FnOnce(&mut Stack) -> c_int,
        read: impl FnOnce(&mut Stack, c_int, bool) -> T,
    ) -> T {
        let l = self.state.as_ptr();
        let mut stack = Stack(self.state);
        // SAFETY: the stack is left as it was found; the handler is a function.
        unsafe {
            let base = ffi::lua_gettop(l);
            assert!(ffi::lua_checkstack(l, 16) != 0, "there is room for a call");
            ffi::lua_rawgeti_(l, ffi::LUA_REGISTRYINDEX, handler.0);
            let count = prepare(&mut stack);
            assert_eq!(
                stack.top(),
                base + 2 + count,
                "a function and its arguments"
            );
            let status = ffi::lua_pcall(l, count, 1, base + 1);
            let out = read(&mut stack, base + 2, status == ffi::LUA_OK);
            ffi::lua_settop(l, base);
            out
        }
    }
}

/// Between Lua and a native function.
unsafe extern "C-unwind" fn trampoline<H>(l: *mut lua_State) -> c_int {
    // SAFETY: `function` made this closure: its first upvalue is the host, its
    // second the native. Nothing is borrowed or owned when the error is raised.
    unsafe {
        let host = ffi::lua_touserdata(l, ffi::lua_upvalueindex(1)).cast::<RefCell<H>>();
        let native = ffi::lua_touserdata(l, ffi::lua_upvalueindex(2));
        let native = std::mem::transmute::<*mut c_void, Native<H>>(native);
        let out = native(
            &mut Stack(NonNull::new_unchecked(l)),
            &mut (*host).borrow_mut(),
        );
        match out {
            Ok(count) => count,
            Err(Raise) => ffi::lua_error(l),
        }
    }
}

/// What scripts find in place of some of Lua's own functions: C functions like
/// these, so that their errors name the line that called them, and the function
/// as it was called. Each has up to three values of its own: most of them the
/// tables for which others stand in, and Lua's function.
pub(super) fn front(
    lua: &Lua,
    (name, own): (String, mlua::Variadic<mlua::Value>),
) -> mlua::Result<Function> {
    let function: ffi::lua_CFunction = match &*name {
        "collectgarbage" => collectgarbage,
        "getmetatable" => getmetatable,
        "insert" => insert,
        "load" => load,
        "loadstring" => loadstring,
        "next" | "rawget" => reads,
        "pairs" => pairs,
        "pcall" => pcall,
        "rawset" => rawset,
        "resume" => resume,
        "setmetatable" => setmetatable,
        "tostring" => tostring,
        "xpcall" => xpcall,
        _ => return Err(mlua::Error::runtime("there is no such function")),
    };
    // SAFETY: the values are there, and taken.
    unsafe {
        lua.exec_raw(own, |l| {
            ffi::lua_settop(l, 3);
            ffi::lua_pushcclosure(l, function, 3);
        })
    }
}

// SAFETY, of all that follow up to `xpcall`: they read their arguments as C
// functions do, own nothing, and push no more than there always is room for.
// Their first own value is a table where it is looked into, and a function where
// it is called.

/// Whether the first argument stands in for a table, which is then on top.
unsafe fn stands_in(l: *mut lua_State) -> bool {
    unsafe {
        if ffi::lua_type(l, 1) != ffi::LUA_TTABLE {
            return false;
        }
        ffi::lua_pushvalue(l, 1);
        ffi::lua_rawget_(l, ffi::lua_upvalueindex(1));
        if ffi::lua_type(l, -1) != ffi::LUA_TNIL {
            return true;
        }
        ffi::lua_settop(l, -2);
        false
    }
}

/// Lua's function, as if it had been called itself.
unsafe fn inner(l: *mut lua_State) -> c_int {
    unsafe {
        match ffi::lua_tocfunction(l, ffi::lua_upvalueindex(2)) {
            Some(function) => function(l),
            None => ffi::luaL_error(l, c"not a function of Lua's".as_ptr()),
        }
    }
}

/// Calls the function that is the first own value.
unsafe fn forward(l: *mut lua_State) -> c_int {
    unsafe {
        ffi::lua_pushvalue(l, ffi::lua_upvalueindex(1));
        ffi::lua_insert(l, 1);
        ffi::lua_call(l, ffi::lua_gettop(l) - 1, ffi::LUA_MULTRET);
        ffi::lua_gettop(l)
    }
}

/// Lua's function, unless it would write to what cannot be written.
unsafe fn writes(l: *mut lua_State) -> c_int {
    unsafe {
        if stands_in(l) {
            ffi::lua_pushstring(l, c"Attempt to modify a readonly table".as_ptr());
            ffi::lua_error(l);
        }
        inner(l)
    }
}

unsafe extern "C-unwind" fn reads(l: *mut lua_State) -> c_int {
    unsafe {
        if stands_in(l) {
            ffi::lua_replace(l, 1);
        }
        inner(l)
    }
}

unsafe extern "C-unwind" fn rawset(l: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checktype(l, 1, ffi::LUA_TTABLE);
        ffi::luaL_checkany(l, 2);
        ffi::luaL_checkany(l, 3);
        writes(l)
    }
}

unsafe extern "C-unwind" fn setmetatable(l: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checktype(l, 1, ffi::LUA_TTABLE);
        match ffi::lua_type(l, 2) {
            ffi::LUA_TNIL | ffi::LUA_TTABLE => writes(l),
            _ => ffi::luaL_argerror(l, 2, c"nil or table expected".as_ptr()),
        }
    }
}

unsafe extern "C-unwind" fn insert(l: *mut lua_State) -> c_int {
    unsafe {
        match ffi::lua_gettop(l) {
            2 => writes(l),
            3 => {
                ffi::luaL_checktype(l, 1, ffi::LUA_TTABLE);
                ffi::luaL_checkinteger(l, 2);
                writes(l)
            }
            _ => inner(l),
        }
    }
}

/// The second own value is `next`, the third one that sees through stand-ins.
unsafe extern "C-unwind" fn pairs(l: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checktype(l, 1, ffi::LUA_TTABLE);
        let next = if stands_in(l) { 3 } else { 2 };
        ffi::lua_pushvalue(l, ffi::lua_upvalueindex(next));
        ffi::lua_pushvalue(l, 1);
        ffi::lua_pushnil(l);
        3
    }
}

/// The second own value has what is shown in place of some metatables.
unsafe extern "C-unwind" fn getmetatable(l: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checkany(l, 1);
        if stands_in(l) {
            ffi::lua_replace(l, 1);
        }
        if ffi::lua_getmetatable(l, 1) == 0 {
            ffi::lua_pushnil(l);
        } else if ffi::luaL_getmetafield_(l, 1, c"__metatable".as_ptr()) == 0 {
            ffi::lua_pushvalue(l, -1);
            ffi::lua_rawget_(l, ffi::lua_upvalueindex(2));
            if ffi::lua_type(l, -1) == ffi::LUA_TNIL {
                ffi::lua_settop(l, -2);
            }
        }
        1
    }
}

/// What has an address goes to the first own value.
unsafe extern "C-unwind" fn tostring(l: *mut lua_State) -> c_int {
    unsafe {
        match ffi::lua_type(l, 1) {
            ffi::LUA_TTABLE if ffi::luaL_callmeta(l, 1, c"__tostring".as_ptr()) != 0 => 1,
            ffi::LUA_TTABLE | ffi::LUA_TFUNCTION | ffi::LUA_TTHREAD => forward(l),
            _ => inner(l),
        }
    }
}

unsafe extern "C-unwind" fn loadstring(l: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checklstring(l, 1, std::ptr::null_mut());
        ffi::luaL_optlstring(l, 2, c"".as_ptr(), std::ptr::null_mut());
        forward(l)
    }
}

unsafe extern "C-unwind" fn load(l: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_optlstring(l, 2, c"".as_ptr(), std::ptr::null_mut());
        ffi::luaL_checktype(l, 1, ffi::LUA_TFUNCTION);
        forward(l)
    }
}

unsafe extern "C-unwind" fn resume(l: *mut lua_State) -> c_int {
    unsafe {
        if ffi::lua_tothread(l, 1).is_null() {
            return ffi::luaL_argerror(l, 1, c"coroutine expected".as_ptr());
        }
        forward(l)
    }
}

/// Garbage is no script's business; but they are told so as Lua would.
unsafe extern "C-unwind" fn collectgarbage(l: *mut lua_State) -> c_int {
    const NAMES: [&CStr; 7] = [
        c"collect",
        c"stop",
        c"restart",
        c"count",
        c"step",
        c"setpause",
        c"setstepmul",
    ];
    unsafe {
        let mut names = [std::ptr::null(); NAMES.len() + 1];
        for (to, name) in names.iter_mut().zip(NAMES) {
            *to = name.as_ptr();
        }
        let option = ffi::luaL_checkoption(l, 1, NAMES[0].as_ptr(), names.as_ptr());
        ffi::luaL_optinteger(l, 2, 0);
        match option {
            4 => ffi::lua_pushboolean(l, 0),
            5 | 6 => ffi::lua_pushnumber(l, 200.0),
            _ => ffi::lua_pushnumber(l, 0.0),
        }
        1
    }
}

/// Makes of the error on top what a script may see of it, with the function that
/// is the first own value; what cannot be caught is raised again.
unsafe fn shown(l: *mut lua_State) {
    unsafe {
        match ffi::lua_type(l, -1) {
            ffi::LUA_TUSERDATA => {
                ffi::lua_pushvalue(l, ffi::lua_upvalueindex(1));
                ffi::lua_insert(l, -2);
                ffi::lua_call(l, 1, 1);
            }
            ffi::LUA_TLIGHTUSERDATA if is_kill(l, -1) => {
                ffi::lua_error(l);
            }
            _ => {}
        }
    }
}

unsafe fn is_kill(l: *mut lua_State, at: c_int) -> bool {
    unsafe { std::ptr::eq(ffi::lua_touserdata(l, at).cast(), &raw const KILL) }
}

/// `pcall` as Redis has it: of an error that is a table, its text (if the second
/// own value is true).
unsafe extern "C-unwind" fn pcall(l: *mut lua_State) -> c_int {
    unsafe {
        let unwraps = ffi::lua_toboolean(l, ffi::lua_upvalueindex(2)) != 0;
        if unwraps && ffi::lua_gettop(l) == 0 {
            // Redis calls what it has put there to tell success.
            ffi::lua_pushboolean(l, 0);
            ffi::lua_pushstring(l, c"attempt to call a boolean value".as_ptr());
            return 2;
        }
        ffi::luaL_checkany(l, 1);
        ffi::lua_pushboolean(l, 1);
        ffi::lua_insert(l, 1);
        if ffi::lua_pcall(l, ffi::lua_gettop(l) - 2, ffi::LUA_MULTRET, 0) != ffi::LUA_OK {
            ffi::lua_remove(l, 1);
            shown(l);
            if unwraps && ffi::lua_type(l, -1) == ffi::LUA_TTABLE {
                ffi::lua_getfield_(l, -1, c"err".as_ptr());
                if ffi::lua_isstring(l, -1) != 0 {
                    ffi::lua_replace(l, -2);
                }
            }
            ffi::lua_pushboolean(l, 0);
            ffi::lua_insert(l, 1);
        }
        ffi::lua_gettop(l)
    }
}

unsafe extern "C-unwind" fn xpcall(l: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checkany(l, 2);
        ffi::lua_settop(l, 2);
        if ffi::lua_type(l, 2) == ffi::LUA_TFUNCTION {
            ffi::lua_pushvalue(l, ffi::lua_upvalueindex(1));
            ffi::lua_insert(l, 2);
            ffi::lua_pushcclosure(l, handled, 2);
        }
        ffi::lua_insert(l, 1);
        let status = ffi::lua_pcall(l, 0, ffi::LUA_MULTRET, 1);
        if status != ffi::LUA_OK {
            shown(l);
        }
        ffi::lua_pushboolean(l, c_int::from(status == ffi::LUA_OK));
        ffi::lua_replace(l, 1);
        ffi::lua_gettop(l)
    }
}

/// Hands an error to the handler that is the second own value.
unsafe extern "C-unwind" fn handled(l: *mut lua_State) -> c_int {
    unsafe {
        if ffi::lua_type(l, 1) == ffi::LUA_TLIGHTUSERDATA && is_kill(l, 1) {
            return 1;
        }
        shown(l);
        ffi::lua_pushvalue(l, ffi::lua_upvalueindex(2));
        ffi::lua_insert(l, 1);
        ffi::lua_call(l, 1, 1);
        1
    }
}

/// `unpack` as Redis has it. That of Lua 5.1 counts what it is to return in an
/// `int`, which overflows: such a script ends the process (CVE-2025-46817).
pub(super) fn unpack(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: one push.
    unsafe { lua.exec_raw((), |l| ffi::lua_pushcfunction(l, unpacked)) }
}

unsafe extern "C-unwind" fn unpacked(l: *mut lua_State) -> c_int {
    // SAFETY: reads its arguments as C functions do, and owns nothing; what it
    // pushes has room.
    unsafe {
        ffi::luaL_checktype(l, 1, ffi::LUA_TTABLE);
        let first = ffi::luaL_optinteger(l, 2, 1) as c_int;
        let last = match ffi::lua_type(l, 3) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => ffi::lua_objlen(l, 1) as c_int,
            _ => ffi::luaL_checkinteger(l, 3) as c_int,
        };
        if first > last {
            return 0;
        }
        let count = c_int::try_from(i64::from(last) - i64::from(first) + 1);
        match count {
            Ok(count) if count < c_int::MAX && ffi::lua_checkstack(l, count) != 0 => {
                (first..=last).for_each(|at| ffi::lua_rawgeti_(l, 1, at));
                count
            }
            _ => ffi::luaL_error(l, c"too many results to unpack".as_ptr()),
        }
    }
}

/// `getupvalue` of Lua's `debug`, which scripts do not have.
pub(super) fn getupvalue(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: one push.
    unsafe { lua.exec_raw((), |l| ffi::lua_pushcfunction(l, upvalue)) }
}

unsafe extern "C-unwind" fn upvalue(l: *mut lua_State) -> c_int {
    // SAFETY: the arguments are checked; there is room for a value and its name,
    // which belongs to the function.
    unsafe {
        ffi::luaL_checktype(l, 1, ffi::LUA_TFUNCTION);
        let at = ffi::luaL_checkinteger(l, 2) as c_int;
        let name = ffi::lua_getupvalue(l, 1, at);
        if name.is_null() {
            return 0;
        }
        ffi::lua_pushstring(l, name);
        ffi::lua_insert(l, -2);
        2
    }
}

/// `getmetatable` of Lua's `debug`: whatever `__metatable` says.
pub(super) fn metatable(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: one push.
    unsafe { lua.exec_raw((), |l| ffi::lua_pushcfunction(l, metatable_of)) }
}

unsafe extern "C-unwind" fn metatable_of(l: *mut lua_State) -> c_int {
    // SAFETY: the argument is checked; there is room for what is pushed.
    unsafe {
        ffi::luaL_checkany(l, 1);
        ffi::lua_getmetatable(l, 1)
    }
}

/// `setupvalue` of Lua's `debug`; returns nothing.
pub(super) fn setupvalue(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: one push.
    unsafe { lua.exec_raw((), |l| ffi::lua_pushcfunction(l, set_upvalue)) }
}

unsafe extern "C-unwind" fn set_upvalue(l: *mut lua_State) -> c_int {
    // SAFETY: the arguments are checked, and the third is there to be taken.
    unsafe {
        ffi::luaL_checktype(l, 1, ffi::LUA_TFUNCTION);
        let at = ffi::luaL_checkinteger(l, 2) as c_int;
        ffi::lua_settop(l, 3);
        ffi::lua_setupvalue(l, 1, at);
        0
    }
}

unsafe extern "C-unwind" fn nothing(_: *mut lua_State) -> c_int {
    0
}

unsafe extern "C-unwind" fn hook<H>(l: *mut lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: `watch` left a closure with both pointers under this key.
    unsafe {
        ffi::lua_pushlightuserdata(l, (&raw const KILL).cast_mut().cast());
        ffi::lua_rawget_(l, ffi::LUA_REGISTRYINDEX);
        ffi::lua_getupvalue(l, -1, 1);
        ffi::lua_getupvalue(l, -2, 2);
        let host = ffi::lua_touserdata(l, -2).cast::<RefCell<H>>();
        let tick =
            std::mem::transmute::<*mut c_void, fn(&mut H) -> bool>(ffi::lua_touserdata(l, -1));
        ffi::lua_settop(l, -4);
        if tick(&mut (*host).borrow_mut()) {
            ffi::lua_pushlightuserdata(l, (&raw const KILL).cast_mut().cast());
            ffi::lua_error(l);
        }
    }
}

impl Stack {
    fn l(&self) -> *mut lua_State {
        self.0.as_ptr()
    }

    /// Number of values; in a native function, of arguments.
    pub(super) fn top(&self) -> c_int {
        // SAFETY: reads only.
        unsafe { ffi::lua_gettop(self.l()) }
    }

    /// The type of the value at `at`, counted from 1.
    pub(super) fn kind(&self, at: c_int) -> Kind {
        debug_assert!(at > 0, "indices are absolute");
        // SAFETY: reads only.
        match unsafe { ffi::lua_type(self.l(), at) } {
            ffi::LUA_TNONE => Kind::None,
            ffi::LUA_TNIL => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::Text,
            ffi::LUA_TTABLE => Kind::Table,
            ffi::LUA_TUSERDATA => Kind::Userdata,
            // SAFETY: reads only.
            ffi::LUA_TLIGHTUSERDATA if unsafe { is_kill(self.l(), at) } => Kind::Mark,
            ffi::LUA_TLIGHTUSERDATA => Kind::Userdata,
            ffi::LUA_TFUNCTION => Kind::Function,
            _ => Kind::Other,
        }
    }

    /// The bytes of a string; of nothing else.
    pub(super) fn bytes(&self, at: c_int) -> Option<&[u8]> {
        if self.kind(at) != Kind::Text {
            return None;
        }
        let mut len = 0;
        // SAFETY: it is a string, so nothing is converted; it stays where it is
        // while it is on the stack, which needs the stack mutably to change.
        unsafe {
            let start = ffi::lua_tolstring(self.l(), at, &raw mut len);
            Some(std::slice::from_raw_parts(start.cast(), len))
        }
    }

    /// The number, also when it is written as a string.
    pub(super) fn number(&self, at: c_int) -> Option<f64> {
        debug_assert!(at > 0, "indices are absolute");
        // SAFETY: reads only.
        unsafe {
            let number = ffi::lua_tonumber(self.l(), at);
            (number != 0.0 || ffi::lua_isnumber(self.l(), at) != 0).then_some(number)
        }
    }

    /// What counts as true.
    pub(super) fn truth(&self, at: c_int) -> bool {
        // SAFETY: reads only.
        unsafe { ffi::lua_toboolean(self.l(), at) != 0 }
    }

    /// Turns a number into the string that Lua makes of it.
    pub(super) fn stringify(&mut self, at: c_int) {
        debug_assert!(at > 0, "indices are absolute");
        // SAFETY: converts in place.
        unsafe { ffi::lua_tolstring(self.l(), at, std::ptr::null_mut()) };
    }

    /// Room for so many values more; false if there cannot be.
    pub(super) fn reserve(&mut self, count: c_int) -> bool {
        // SAFETY: grows the stack or refuses.
        unsafe { ffi::lua_checkstack(self.l(), count) != 0 }
    }

    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        // SAFETY: Lua copies the bytes.
        unsafe { ffi::lua_pushlstring_(self.l(), bytes.as_ptr().cast::<c_char>(), bytes.len()) }
    }

    /// A part of the string at `at`, which is at least so long.
    pub(super) fn push_part(&mut self, at: c_int, part: std::ops::Range<usize>) {
        let part = &self.bytes(at).expect("a string")[part];
        // SAFETY: Lua copies the bytes; the string stays where it is.
        unsafe { ffi::lua_pushlstring_(self.l(), part.as_ptr().cast::<c_char>(), part.len()) }
    }

    pub(super) fn push_number(&mut self, number: f64) {
        // SAFETY: copies a number.
        unsafe { ffi::lua_pushnumber(self.l(), number) }
    }

    pub(super) fn push_bool(&mut self, value: bool) {
        // SAFETY: copies a boolean.
        unsafe { ffi::lua_pushboolean(self.l(), c_int::from(value)) }
    }

    pub(super) fn push_nil(&mut self) {
        // SAFETY: pushes nil.
        unsafe { ffi::lua_pushnil(self.l()) }
    }

    /// A copy of the value at `at`.
    pub(super) fn push_copy(&mut self, at: c_int) {
        debug_assert!(at > 0, "indices are absolute");
        // SAFETY: copies a value.
        unsafe { ffi::lua_pushvalue(self.l(), at) }
    }

    pub(super) fn push_kept(&mut self, kept: Kept) {
        // SAFETY: reads a slot that is never freed.
        unsafe { ffi::lua_rawgeti_(self.l(), ffi::LUA_REGISTRYINDEX, kept.0) }
    }

    /// A new table with room for so many items and fields.
    pub(super) fn push_table(&mut self, items: usize, fields: usize) {
        let room = |n: usize| c_int::try_from(n).unwrap_or(0);
        // SAFETY: allocates a table.
        unsafe { ffi::lua_createtable(self.l(), room(items), room(fields)) }
    }

    /// Takes the top value into the table at `at`, as its `index`-th item.
    pub(super) fn set_item(&mut self, at: c_int, index: c_int) {
        assert_eq!(self.kind(at), Kind::Table);
        // SAFETY: it is a table, and a value is on top.
        unsafe { ffi::lua_rawseti_(self.l(), at, index) }
    }

    /// Takes the top value into the table at `at`, under the name below it.
    pub(super) fn set_field(&mut self, at: c_int) {
        assert_eq!(self.kind(at), Kind::Table);
        // SAFETY: it is a table, and a string and a value are on top.
        unsafe { ffi::lua_rawset(self.l(), at) }
    }

    /// Pushes the `index`-th item of the table at `at`.
    pub(super) fn push_item(&mut self, at: c_int, index: c_int) {
        assert_eq!(self.kind(at), Kind::Table);
        // SAFETY: it is a table.
        unsafe { ffi::lua_rawgeti_(self.l(), at, index) }
    }

    /// Pushes a field of the table at `at`.
    pub(super) fn push_field(&mut self, at: c_int, name: &[u8]) {
        assert_eq!(self.kind(at), Kind::Table);
        self.push_bytes(name);
        // SAFETY: it is a table, and the name is on top.
        unsafe { ffi::lua_rawget_(self.l(), at) }
    }

    /// The next key and value of the table at `at`, in place of the key on top;
    /// false, and nothing, at the end.
    pub(super) fn next(&mut self, at: c_int) -> bool {
        assert_eq!(self.kind(at), Kind::Table);
        // SAFETY: it is a table, and the key came from it (or is nil).
        unsafe { ffi::lua_next(self.l(), at) != 0 }
    }

    /// Number of items of the table at `at`.
    pub(super) fn len(&self, at: c_int) -> usize {
        // SAFETY: reads only.
        unsafe { ffi::lua_objlen(self.l(), at) }
    }

    /// Drops `count` values from the top.
    pub(super) fn pop(&mut self, count: c_int) {
        assert!((0..=self.top()).contains(&count));
        // SAFETY: there are so many.
        unsafe { ffi::lua_settop(self.l(), -count - 1) }
    }

    /// Takes the top value to `at`, in place of what is there.
    pub(super) fn replace(&mut self, at: c_int) {
        assert!((1..self.top()).contains(&at));
        // SAFETY: the index is valid.
        unsafe { ffi::lua_replace(self.l(), at) }
    }

    /// Calls the function below `count` arguments; one result. Errors pass on:
    /// the caller owns nothing.
    pub(super) fn call(&mut self, count: c_int) {
        assert!(count < self.top());
        // SAFETY: there are so many values; rule 2 binds the caller.
        unsafe { ffi::lua_call(self.l(), count, 1) }
    }

    /// The source and line of the function `level` calls up, if it is Lua's.
    pub(super) fn place(&self, level: c_int) -> Option<Option<Place>> {
        let place = self.frame(level)?;
        Some((place.line >= 0).then_some(place))
    }

    /// The function `level` calls up.
    pub(super) fn frame(&self, level: c_int) -> Option<Place> {
        // SAFETY: `lua_getstack` fills what `lua_getinfo` needs; the texts are
        // copied before anything can free them.
        unsafe {
            let mut debug: ffi::lua_Debug = std::mem::zeroed();
            if ffi::lua_getstack(self.l(), level, &raw mut debug) == 0 {
                return None;
            }
            ffi::lua_getinfo(self.l(), c"Sl".as_ptr(), &raw mut debug);
            let text = |start: *const c_char| CStr::from_ptr(start).to_string_lossy().into_owned();
            Some(Place {
                source: text(debug.source),
                short: text((&raw const debug.short_src).cast()),
                line: debug.currentline,
            })
        }
    }

    /// The name by which this function was called; by another native it has none.
    pub(super) fn called(&self) -> String {
        // SAFETY: as in `place`; a name that is there ends with a zero.
        unsafe {
            let mut debug: ffi::lua_Debug = std::mem::zeroed();
            if ffi::lua_getstack(self.l(), 0, &raw mut debug) != 0 {
                ffi::lua_getinfo(self.l(), c"n".as_ptr(), &raw mut debug);
            }
            if debug.name.is_null() {
                return "?".to_owned();
            }
            CStr::from_ptr(debug.name).to_string_lossy().into_owned()
        }
    }
}

/// Where a function is in its source.
pub(super) struct Place {
    /// The chunk's name, `@` first when it names a file; `=[C]` is none.
    pub(super) source: String,
    /// The name as messages have it.
    pub(super) short: String,
    /// Less than zero if there is none.
    pub(super) line: i32,
}
