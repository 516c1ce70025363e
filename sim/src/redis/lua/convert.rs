//! Between Redis's replies and Lua's values.

use std::cell::Cell;

use sluice_core::redis::{Bytes, Reply};

use super::raw::{Kind, Stack};
use crate::redis::command::{score, until_zero};
use crate::redis::shape::Shape;
use crate::redis::{Version, number};

/// Deepest nesting of tables in a reply: a fraction of what fits into the stack
/// of a thread (2 MB). In Redis Lua's ends, some thousands of tables deep.
pub(super) const MAX_DEPTH: usize = 1_000;

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

/// Pushes a reply of the third protocol: maps, sets and doubles are tables that
/// say so, and nothing is nil.
pub(super) fn push_typed(stack: &mut Stack, reply: &Reply, shape: Shape) {
    assert!(stack.reserve(8), "replies are not nested deeply");
    match (reply, shape) {
        (Reply::Nil, _) => stack.push_nil(),
        (Reply::Bulk(text), Shape::Double) => {
            let value = number::parse_f64(text).unwrap_or(f64::NAN);
            wrap(stack, b"double", |stack| stack.push_number(value));
        }
        (Reply::Bulk(text), Shape::Text) => wrap(stack, b"verbatim_string", |stack| {
            stack.push_table(0, 2);
            let table = stack.top();
            for (name, value) in [(&b"string"[..], &text[..]), (b"format", b"txt")] {
                stack.push_bytes(name);
                stack.push_bytes(value);
                stack.set_field(table);
            }
        }),
        (Reply::Array(items), Shape::Map | Shape::DeepMap) => wrap(stack, b"map", |stack| {
            stack.push_table(0, items.len() / 2);
            let table = stack.top();
            for pair in items.chunks_exact(2) {
                push_typed(stack, &pair[0], Shape::Plain);
                push_typed(stack, &pair[1], shape.within(&pair[0]));
                set(stack, table);
            }
        }),
        (Reply::Array(items), Shape::Streams) => wrap(stack, b"map", |stack| {
            stack.push_table(0, items.len());
            let table = stack.top();
            for item in items {
                if let Reply::Array(pair) = item {
                    pair.iter()
                        .for_each(|part| push_typed(stack, part, Shape::Plain));
                    set(stack, table);
                }
            }
        }),
        (Reply::Array(items), Shape::Set) => wrap(stack, b"set", |stack| {
            stack.push_table(0, items.len());
            let table = stack.top();
            for item in items {
                push_typed(stack, item, Shape::Plain);
                stack.push_bool(true);
                set(stack, table);
            }
        }),
        (Reply::Array(items), Shape::Pairs | Shape::Scored) => {
            let value = if shape == Shape::Scored {
                Shape::Double
            } else {
                Shape::Plain
            };
            stack.push_table(items.len() / 2, 0);
            let table = stack.top();
            for (index, pair) in (1..).zip(items.chunks_exact(2)) {
                push_items(stack, pair, |at| if at == 1 { value } else { Shape::Plain });
                stack.set_item(table, index);
            }
        }
        (Reply::Array(items), _) => push_items(stack, items, |at| match (shape, &items[at]) {
            (Shape::Maps, _) => Shape::DeepMap,
            (Shape::Doubles, _) => Shape::Double,
            (Shape::Places, _) => Shape::Doubles,
            // What was found, and of that the place.
            (Shape::Located, Reply::Array(parts)) if parts.iter().any(is_array) => Shape::Places,
            (Shape::LastDouble, _) if at + 1 == items.len() => Shape::Double,
            (Shape::KeyScored, Reply::Array(pairs)) if pairs.iter().all(is_array) => {
                Shape::KeyScored
            }
            (Shape::KeyScored, Reply::Array(_)) => Shape::LastDouble,
            _ => Shape::Plain,
        }),
        (reply, _) => push_reply(stack, reply),
    }
}

fn is_array(reply: &Reply) -> bool {
    matches!(reply, Reply::Array(_))
}

/// A table of items, each in its shape.
fn push_items(stack: &mut Stack, items: &[Reply], shape: impl Fn(usize) -> Shape) {
    stack.push_table(items.len(), 0);
    let table = stack.top();
    for (at, item) in items.iter().enumerate() {
        push_typed(stack, item, shape(at));
        stack.set_item(table, at as i32 + 1);
    }
}

/// A table with one field.
fn wrap(stack: &mut Stack, name: &[u8], value: impl FnOnce(&mut Stack)) {
    stack.push_table(0, 1);
    let table = stack.top();
    stack.push_bytes(name);
    value(stack);
    stack.set_field(table);
}

/// Takes key and value from the top into a table, unless the key is nothing.
fn set(stack: &mut Stack, table: i32) {
    if stack.kind(stack.top() - 1) == Kind::Nil {
        stack.pop(2);
    } else {
        stack.set_field(table);
    }
}

fn push_word(stack: &mut Stack, name: &[u8], text: &[u8]) {
    stack.push_table(0, 1);
    let table = stack.top();
    stack.push_bytes(name);
    stack.push_bytes(text);
    stack.set_field(table);
}

/// How a script's result is read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) version: Version,
    /// The script has asked for the third protocol: what is false is not nothing.
    pub(super) resp3: bool,
    /// How much more it may hold. A table that holds itself twice is endless.
    pub(super) left: &'a Cell<usize>,
}

impl Reading<'_> {
    /// Values of 32 bytes, a quarter of a gigabyte.
    pub(super) const MOST: usize = 1 << 23;

    /// Takes in the value at `at`; false if that was one too many.
    pub(super) fn takes(self, stack: &Stack, at: i32) -> bool {
        let text = match stack.kind(at) {
            Kind::Text => stack.bytes(at).map_or(0, <[u8]>::len),
            _ => 0,
        };
        let left = self.left.get().saturating_sub(1 + text / 32);
        self.left.set(left);
        left > 0
    }

    /// It holds too much, and is not looked at any further.
    pub(super) fn is_spent(self) -> bool {
        self.left.get() == 0
    }
}

/// The value at `at` as a reply: a script's result.
pub(super) fn to_reply(stack: &mut Stack, at: i32, reading: Reading, depth: usize) -> Reply {
    if !reading.takes(stack, at) {
        return Reply::Nil;
    }
    match stack.kind(at) {
        Kind::Text => Reply::Bulk(Bytes::from(stack.bytes(at).unwrap_or_default())),
        Kind::Number => Reply::Int(c_cast(stack.number(at).unwrap_or_default())),
        Kind::Boolean if stack.truth(at) => Reply::Int(1),
        Kind::Boolean if reading.resp3 => Reply::Int(0),
        Kind::Table if depth < MAX_DEPTH && stack.reserve(8) => {
            table_reply(stack, at, reading, depth)
        }
        Kind::Table => Reply::error("ERR reached lua stack limit"),
        _ => Reply::Nil,
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

fn table_reply(stack: &mut Stack, at: i32, reading: Reading, depth: usize) -> Reply {
    let top = stack.top();
    let reply = special(stack, at, reading, depth);
    stack.pop(stack.top() - top);
    if let Some(reply) = reply {
        return reply;
    }
    let mut out = Vec::with_capacity(stack.len(at));
    for index in 1.. {
        stack.push_item(at, index);
        if stack.kind(top + 1) == Kind::Nil || reading.is_spent() {
            stack.pop(1);
            break;
        }
        out.push(to_reply(stack, top + 1, reading, depth + 1));
        stack.pop(1);
    }
    Reply::Array(out)
}

/// What a table with one of certain fields stands for. Leaves things on the
/// stack.
fn special(stack: &mut Stack, at: i32, reading: Reading, depth: usize) -> Option<Reply> {
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
        return Some(score(
            stack.number(field).unwrap_or_default(),
            reading.version,
        ));
    }
    stack.pop(1);
    if reading.version.errors_are_tables()
        && let Some(text) = worded(stack, at, field, reading.version)
    {
        return Some(Reply::Bulk(text));
    }
    for (name, values) in [(&b"map"[..], true), (b"set", false)] {
        stack.push_field(at, name);
        if stack.kind(field) == Kind::Table {
            let mut out = Vec::new();
            stack.push_nil();
            while !reading.is_spent() && stack.next(field) {
                out.push(to_reply(stack, field + 1, reading, depth + 1));
                if values {
                    out.push(to_reply(stack, field + 2, reading, depth + 1));
                }
                stack.pop(1);
            }
            return Some(Reply::Array(out));
        }
        stack.pop(1);
    }
    None
}

/// A big number, or a text that says what it is. Leaves nothing on the stack.
fn worded(stack: &mut Stack, at: i32, field: i32, version: Version) -> Option<Bytes> {
    stack.push_field(at, b"big_number");
    let number = stack.bytes(field).map(|text| match version {
        Version::Valkey9 => one_line(text),
        _ => on_one_line(text),
    });
    stack.pop(1);
    if number.is_some() {
        return number;
    }
    stack.push_field(at, b"verbatim_string");
    let mut text = None;
    if stack.kind(field) == Kind::Table {
        stack.push_field(field, b"format");
        stack.push_field(field, b"string");
        if stack.kind(field + 1) == Kind::Text {
            text = stack.bytes(field + 2).map(Bytes::from);
        }
        stack.pop(2);
    }
    stack.pop(1);
    text
}

/// A status or error must not break the protocol's line, and ends where C ends it.
pub(super) fn one_line(text: &[u8]) -> Bytes {
    on_one_line(until_zero(text))
}

pub(super) fn on_one_line(text: &[u8]) -> Bytes {
    let clean = |byte: &u8| {
        if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            *byte
        }
    };
    text.iter().map(clean).collect()
}
