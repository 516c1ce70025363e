//! `redis.register_function`, in both its forms.

use sluice_core::redis::Bytes;

use super::api::{misuse, text_of};
use super::call::Running;
use super::raw::{Kind, Out, Stack};
use super::texts;
use crate::redis::functions::{Flags, Function, is_name};

/// What was given, before it is known to be complete.
#[derive(Default)]
struct Given {
    name: Option<Bytes>,
    /// Where on the stack the function is.
    callback: Option<i32>,
    function: Function,
}

pub(super) fn register(stack: &mut Stack, running: &mut Running) -> Out {
    let library = texts::library(running.version());
    if running.loading.is_none() {
        let text =
            format!("{library}.register_function can only be called on FUNCTION LOAD command");
        return misuse(stack, running, text);
    }
    let read = match stack.top() {
        1 => named(stack, library),
        2 => positional(stack, library),
        _ => Err(format!(
            "wrong number of arguments to {library}.register_function"
        )),
    };
    let (name, callback, function) = match read {
        Ok(read) => read,
        Err(text) => return misuse(stack, running, text),
    };
    let valkey = running.version().is_valkey();
    if !is_name(&name) {
        let kind = if valkey { "Function" } else { "Library" };
        let text = format!(
            "{kind} names can only contain letters, numbers, or underscores(_) and must be at least one character long"
        );
        return misuse(stack, running, text);
    }
    let known = running.loading.get_or_insert_default();
    if known.contains_key(&name) {
        return misuse(stack, running, "Function already exists in the library");
    }
    known.insert(name.clone(), function);
    if let Some(callbacks) = running.callbacks {
        running.text.clear();
        running.text.extend_from_slice(&name);
        drop(name);
        stack.push_kept(callbacks);
        let table = stack.top();
        stack.push_bytes(&running.text);
        stack.push_copy(callback);
        stack.set_field(table);
    }
    Ok(0)
}

type Read = Result<(Bytes, i32, Function), String>;

/// A name and a function.
fn positional(stack: &mut Stack, library: &str) -> Read {
    let name = text_of(stack, 1);
    let name = name
        .ok_or_else(|| format!("first argument to {library}.register_function must be a string"))?;
    if stack.kind(2) != Kind::Function {
        return Err(format!(
            "second argument to {library}.register_function must be a function"
        ));
    }
    Ok((name, 2, Function::default()))
}

/// A table of arguments by name. Values stay on the stack where they are needed.
fn named(stack: &mut Stack, library: &str) -> Read {
    if stack.kind(1) != Kind::Table {
        return Err(format!(
            "calling {library}.register_function with a single argument is only applicable to Lua table (representing named arguments)."
        ));
    }
    let given_to = |what: &str| format!("{what} argument given to {library}.register_function");
    let mut given = Given::default();
    // A place for the function, below what the loop leaves.
    stack.push_nil();
    stack.push_nil();
    while stack.next(1) {
        let (key, value) = (3, 4);
        let Some(name) = text_of(stack, key) else {
            return Err(format!(
                "named argument key given to {library}.register_function is not a string"
            ));
        };
        match &*name.to_ascii_lowercase() {
            b"function_name" => {
                let text = text_of(stack, value);
                let text = text.ok_or_else(|| given_to("function_name") + " must be a string")?;
                given.name = Some(text);
            }
            b"description" => {
                let text = text_of(stack, value);
                let text = text.ok_or_else(|| given_to("description") + " must be a string")?;
                given.function.description = Some(text);
            }
            b"callback" => {
                if stack.kind(value) != Kind::Function {
                    return Err(given_to("callback") + " must be a function");
                }
                stack.push_copy(value);
                stack.replace(2);
                given.callback = Some(2);
            }
            b"flags" => {
                if stack.kind(value) != Kind::Table {
                    return Err(format!(
                        "flags argument to {library}.register_function must be a table representing function flags"
                    ));
                }
                given.function.flags = flags(stack, value)?;
            }
            _ => {
                return Err(format!(
                    "unknown argument given to {library}.register_function"
                ));
            }
        }
        stack.pop(1);
    }
    let must = |what: &str| format!("{library}.register_function must get a {what} argument");
    let name = given.name.ok_or_else(|| must("function name"))?;
    let callback = given.callback.ok_or_else(|| must("callback"))?;
    Ok((name, callback, given.function))
}

fn flags(stack: &mut Stack, at: i32) -> Result<Flags, String> {
    let mut flags = Flags::default();
    for index in 1.. {
        stack.push_item(at, index);
        let item = stack.top();
        let done = stack.kind(item) == Kind::Nil;
        let known = done || text_of(stack, item).is_some_and(|name| flags.add(&name, true));
        stack.pop(1);
        if !known {
            return Err("unknown flag given".to_owned());
        }
        if done {
            break;
        }
    }
    Ok(flags)
}
