//! Between Redis's replies and Lua's values.

use sluice_core::redis::{Bytes, Reply};

use super::raw::{Kind, Stack};
use crate::redis::Version;
use crate::redis::command::score;

/// Deepest nesting of tables in a reply.
const MAX_DEPTH: usize = 64;

/// Pushes a reply as a script sees it. Errors are the caller's.
pub(super) fn push_reply(stack: &mut Stack, reply: &Reply) {
    match reply {
        Reply::Bulk(bytes) => stack.push_bytes(bytes),
        Reply::Int(n) => stack.push_number(*n as f64),
        Reply::Nil => stack.push_bool(false),
        Reply::Status(text) => push_word(stack, b"ok", text),
        Reply::Error(text) => push_word(stack, b"err", text),
        Reply::Array(items) => {
            assert!(stack.reserve(4), "replies are not nested deeply");
            stack.push_table(items.len(), 0);
            let table = stack.top();
            for (index, item) in (1..).zip(items) {
                push_reply(stack, item);
                stack.set_item(table, index);
            }
        }
    }
}

fn push_word(stack: &mut Stack, name: &[u8], text: &[u8]) {
    stack.push_table(0, 1);
    let table = stack.top();
    stack.push_bytes(name);
    stack.push_bytes(text);
    stack.set_field(table);
}

/// The value at `at` as a reply: a script's result.
pub(super) fn to_reply(stack: &mut Stack, at: i32, version: Version, depth: usize) -> Reply {
    match stack.kind(at) {
        Kind::Text => Reply::Bulk(Bytes::from(stack.bytes(at).unwrap_or_default())),
        Kind::Number => Reply::Int(c_cast(stack.number(at).unwrap_or_default())),
        Kind::Boolean if stack.truth(at) => Reply::Int(1),
        Kind::Table if depth < MAX_DEPTH && stack.reserve(8) => {
            table_reply(stack, at, version, depth)
        }
        Kind::Table => Reply::error("ERR reached lua stack limit"),
        Kind::Boolean | Kind::None | Kind::Nil | Kind::Userdata | Kind::Mark | Kind::Other => {
            Reply::Nil
        }
    }
}

/// C's `(long long)` on x86-64: what does not fit is the least integer.
pub(super) fn c_cast(n: f64) -> i64 {
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if (-EDGE..EDGE).contains(&n) {
        n as i64
    } else {
        i64::MIN
    }
}

fn table_reply(stack: &mut Stack, at: i32, version: Version, depth: usize) -> Reply {
    let top = stack.top();
    let reply = special(stack, at, version, depth);
    stack.pop(stack.top() - top);
    if let Some(reply) = reply {
        return reply;
    }
    let mut out = Vec::with_capacity(stack.len(at));
    for index in 1.. {
        stack.push_item(at, index);
        if stack.kind(top + 1) == Kind::Nil {
            stack.pop(1);
            break;
        }
        out.push(to_reply(stack, top + 1, version, depth + 1));
        stack.pop(1);
    }
    Reply::Array(out)
}

/// What a table with one of certain fields stands for. Leaves things on the
/// stack.
fn special(stack: &mut Stack, at: i32, version: Version, depth: usize) -> Option<Reply> {
    let field = stack.top() + 1;
    stack.push_field(at, b"err");
    if let Some(text) = stack.bytes(field) {
        return Some(Reply::Error(one_line(text)));
    }
    stack.pop(1);
    stack.push_field(at, b"ok");
    if let Some(text) = stack.bytes(field) {
        return Some(Reply::Status(one_line(text)));
    }
    stack.pop(1);
    stack.push_field(at, b"double");
    if stack.kind(field) == Kind::Number {
        return Some(score(stack.number(field).unwrap_or_default(), version));
    }
    stack.pop(1);
    for (name, values) in [(&b"map"[..], true), (b"set", false)] {
        stack.push_field(at, name);
        if stack.kind(field) == Kind::Table {
            let mut out = Vec::new();
            stack.push_nil();
            while stack.next(field) {
                out.push(to_reply(stack, field + 1, version, depth + 1));
                if values {
                    out.push(to_reply(stack, field + 2, version, depth + 1));
                }
                stack.pop(1);
            }
            return Some(Reply::Array(out));
        }
        stack.pop(1);
    }
    None
}

/// A status or error must not break the protocol's line.
pub(super) fn one_line(text: &[u8]) -> Bytes {
    let clean = |byte: &u8| {
        if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            *byte
        }
    };
    text.iter().map(clean).collect()
}
