//! `math.random` as Redis has it: `lrand48` of its own, so that scripts are
//! deterministic on all platforms. Redis 6.2 seeds it anew for every script;
//! later ones begin once, when the server starts.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Function, Lua};

use super::convert::c_cast;
use super::library::Args;
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
        lua.create_function(move |lua, values| {
            let args = Args::new(lua, values);
            let unit = f64::from(this.next() % 0x7FFF_FFFF) / MAX;
            // C's `int`s, which lose what is above them.
            let int = |at| Ok::<_, mlua::Error>(c_cast(args.number(at)?) as i32);
            let (low, high) = match args.len() {
                0 => return Ok(unit),
                1 => (1, int(1)?),
                2 => (int(1)?, int(2)?),
                _ => return Err(args.error("wrong number of arguments")),
            };
            if low > high {
                return Err(args.bad(args.len(), "interval is empty"));
            }
            let width = f64::from(high.wrapping_sub(low).wrapping_add(1));
            Ok((unit * width).floor() + f64::from(low))
        })
    }

    /// `math.randomseed`.
    pub(super) fn randomseed(&self, lua: &Lua) -> mlua::Result<Function> {
        let this = self.clone();
        lua.create_function(move |lua, values| {
            let seed = Args::new(lua, values).number(1)?;
            this.seed(c_cast(seed) as u32);
            Ok(())
        })
    }
}
