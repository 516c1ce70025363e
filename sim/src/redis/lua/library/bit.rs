//! `bit`: operations on 32-bit integers, as in Mike Pall's BitOp 1.0.2.

use mlua::{Lua, Table};

use super::Args;

/// The low 32 bits of a number, rounded to nearest even, wrapped.
fn to_bit(n: f64) -> i32 {
    (n + 6_755_399_441_055_744.0).to_bits() as u32 as i32
}

pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let unary = |name: &'static str, apply: fn(i32) -> i32| {
        let function = lua.create_function(move |lua, values| {
            let args = Args::new(lua, values);
            Ok(f64::from(apply(to_bit(args.number(1)?))))
        })?;
        table.set(name, function)
    };
    unary("tobit", |n| n)?;
    unary("bnot", |n| !n)?;
    unary("bswap", i32::swap_bytes)?;
    let fold = |name: &'static str, apply: fn(i32, i32) -> i32| {
        let function = lua.create_function(move |lua, values| {
            let args = Args::new(lua, values);
            let mut sum = to_bit(args.number(1)?);
            for at in 2..=args.len() {
                sum = apply(sum, to_bit(args.number(at)?));
            }
            Ok(f64::from(sum))
        })?;
        table.set(name, function)
    };
    fold("band", |a, b| a & b)?;
    fold("bor", |a, b| a | b)?;
    fold("bxor", |a, b| a ^ b)?;
    let shift = |name: &'static str, apply: fn(i32, u32) -> i32| {
        let function = lua.create_function(move |lua, values| {
            let args = Args::new(lua, values);
            let (value, by) = (args.number(1)?, args.number(2)?);
            Ok(f64::from(apply(to_bit(value), to_bit(by) as u32 & 31)))
        })?;
        table.set(name, function)
    };
    shift("lshift", |n, by| n << by)?;
    shift("rshift", |n, by| (n as u32 >> by) as i32)?;
    shift("arshift", |n, by| n >> by)?;
    shift("rol", i32::rotate_left)?;
    shift("ror", i32::rotate_right)?;
    let tohex = lua.create_function(|lua, values| {
        let args = Args::new(lua, values);
        let value = to_bit(args.number(1)?) as u32;
        let width = match args.value(2) {
            None => 8,
            Some(_) => to_bit(args.number(2)?),
        };
        let upper = width < 0;
        let width = width.unsigned_abs().min(8) as usize;
        let text = format!("{value:08x}");
        let text = &text[8 - width..];
        Ok(if upper {
            text.to_uppercase()
        } else {
            text.to_owned()
        })
    })?;
    table.set("tohex", tohex)?;
    Ok(table)
}
