//! `math.random` as Redis has it: `lrand48` of its own, so that scripts are
//! deterministic on all platforms. Redis 6.2 seeds it anew for every script;
//! later ones begin once, when the server starts.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Function, Lua, Value, Variadic};

use super::error::Plain;
use crate::redis::Version;

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
/// The state that a C library begins with, and each server here.
const FIRST: u64 = 0x1234_ABCD_330E;
const MASK: u64 = (1 << 48) - 1;
const MAX: f64 = 0x7FFF_FFFF as f64;

/// The generator's 48 bits.
#[derive(Clone, Debug)]
pub(super) struct Random(Rc<Cell<u64>>);

impl Random {
    pub(super) fn new() -> Self {
        Self(Rc::new(Cell::new(FIRST)))
    }

    /// To where a server has come, if scripts have used it.
    pub(super) fn begin(&self, version: Version, at: Option<u64>) {
        match version {
            Version::V6_2 => self.seed(0),
            _ => self.0.set(at.unwrap_or(FIRST)),
        }
    }

    /// Where the server has come to.
    pub(super) fn end(&self, version: Version) -> Option<u64> {
        let at = self.0.get();
        (version != Version::V6_2 && at != FIRST).then_some(at)
    }

    fn seed(&self, seed: u32) {
        self.0.set(u64::from(seed) << 16 | 0x330E);
    }

    fn next(&self) -> u32 {
        let next = self.0.get().wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        self.0.set(next);
        (next >> 17) as u32
    }

    /// `math.random`.
    pub(super) fn random(&self, lua: &Lua) -> mlua::Result<Function> {
        let this = self.clone();
        lua.create_function(move |lua, args: Variadic<f64>| {
            let unit = f64::from(this.next() % 0x7FFF_FFFF) / MAX;
            let (low, high, at) = match args[..] {
                [] => return Ok(Value::Number(unit)),
                [high] => (1.0, high.trunc(), 1),
                [low, high] => (low.trunc(), high.trunc(), 2),
                _ => return Err(Plain::raise(lua, "wrong number of arguments")),
            };
            if low > high {
                let text = format!("bad argument #{at} to 'random' (interval is empty)");
                return Err(Plain::raise(lua, &text));
            }
            Ok(Value::Number((unit * (high - low + 1.0)).floor() + low))
        })
    }

    /// `math.randomseed`.
    pub(super) fn randomseed(&self, lua: &Lua) -> mlua::Result<Function> {
        let this = self.clone();
        lua.create_function(move |_, seed: f64| {
            this.seed(super::convert::c_cast(seed) as u32);
            Ok(())
        })
    }
}
