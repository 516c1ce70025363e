//! A script's result as a client reads it who speaks RESP3.
//!
//! To all others a map is a list and a double a text, and so they are in a
//! [`Reply`](sluice_core::redis::Reply). What the script meant is known here
//! alone: so the bytes for the wire are written here, by the rules of
//! [`to_reply`](super::convert::to_reply), for clients on a network only.

use super::convert::{MAX_DEPTH, Reading, c_cast, on_one_line, one_line};
use super::raw::{Kind, Stack};
use crate::redis::command::until_zero;
use crate::redis::{Version, number};

/// Appends the value at `at`.
pub(super) fn write(out: &mut Vec<u8>, stack: &mut Stack, at: i32, reading: Reading, depth: usize) {
    if !reading.takes(stack, at) {
        return;
    }
    match stack.kind(at) {
        Kind::Text => bulk(out, b'$', b"", stack.bytes(at).unwrap_or_default()),
        Kind::Number => {
            let n = c_cast(stack.number(at).unwrap_or_default());
            line(out, b':', n.to_string().as_bytes());
        }
        Kind::Boolean if reading.resp3 => {
            line(out, b'#', if stack.truth(at) { b"t" } else { b"f" })
        }
        Kind::Boolean if stack.truth(at) => line(out, b':', b"1"),
        Kind::Table if depth < MAX_DEPTH && stack.reserve(8) => {
            let top = stack.top();
            if !special(out, stack, at, reading, depth) {
                array(out, stack, at, reading, depth);
            }
            stack.pop(stack.top() - top);
        }
        Kind::Table => line(out, b'-', b"ERR reached lua stack limit"),
        _ => line(out, b'_', b""),
    }
}

/// The items from 1 to the first that is not there.
fn array(out: &mut Vec<u8>, stack: &mut Stack, at: i32, reading: Reading, depth: usize) {
    let item = stack.top() + 1;
    let mut items = Vec::new();
    let mut count = 0;
    loop {
        stack.push_item(at, count + 1);
        if stack.kind(item) == Kind::Nil || reading.is_spent() {
            break;
        }
        write(&mut items, stack, item, reading, depth + 1);
        stack.pop(1);
        count += 1;
    }
    line(out, b'*', count.to_string().as_bytes());
    out.extend(items);
}

/// What a table with one of certain fields stands for; whether it has one.
/// Leaves things on the stack.
fn special(out: &mut Vec<u8>, stack: &mut Stack, at: i32, reading: Reading, depth: usize) -> bool {
    let field = stack.top() + 1;
    for (name, kind) in [(&b"err"[..], b'-'), (b"ok", b'+')] {
        stack.push_field(at, name);
        if let Some(text) = stack.bytes(field) {
            line(out, kind, &one_line(text));
            return true;
        }
        stack.pop(1);
    }
    stack.push_field(at, b"double");
    if stack.kind(field) == Kind::Number {
        let n = stack.number(field).unwrap_or_default();
        let mut text = Vec::new();
        number::write_f64(&mut text, n, reading.version);
        line(out, b',', &text);
        return true;
    }
    stack.pop(1);
    if reading.version.errors_are_tables() && worded(out, stack, at, field, reading.version) {
        return true;
    }
    for (name, kind) in [(&b"map"[..], b'%'), (b"set", b'~')] {
        stack.push_field(at, name);
        if stack.kind(field) == Kind::Table {
            let mut items = Vec::new();
            let mut count = 0u32;
            stack.push_nil();
            while !reading.is_spent() && stack.next(field) {
                write(&mut items, stack, field + 1, reading, depth + 1);
                if kind == b'%' {
                    write(&mut items, stack, field + 2, reading, depth + 1);
                }
                stack.pop(1);
                count += 1;
            }
            line(out, kind, count.to_string().as_bytes());
            out.extend(items);
            return true;
        }
        stack.pop(1);
    }
    false
}

/// A big number, or a text that says what it is.
fn worded(out: &mut Vec<u8>, stack: &mut Stack, at: i32, field: i32, version: Version) -> bool {
    stack.push_field(at, b"big_number");
    if let Some(text) = stack.bytes(field) {
        let text = match version {
            Version::Valkey9 => one_line(text),
            _ => on_one_line(text),
        };
        line(out, b'(', &text);
        return true;
    }
    stack.pop(1);
    stack.push_field(at, b"verbatim_string");
    if stack.kind(field) == Kind::Table {
        stack.push_field(field, b"format");
        stack.push_field(field, b"string");
        if let (Some(format), Some(text)) = (stack.bytes(field + 1), stack.bytes(field + 2)) {
            // Three characters, cut or filled up.
            let mut kind = *b"   :";
            for (to, from) in kind.iter_mut().take(3).zip(until_zero(format)) {
                *to = *from;
            }
            bulk(out, b'=', &kind, text);
            return true;
        }
        stack.pop(2);
    }
    stack.pop(1);
    false
}

fn line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.push(kind);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn bulk(out: &mut Vec<u8>, kind: u8, head: &[u8], text: &[u8]) {
    line(out, kind, (head.len() + text.len()).to_string().as_bytes());
    out.extend_from_slice(head);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}
