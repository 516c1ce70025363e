//! Commands: their table, their arguments, their failures.
//!
//! A command is a function from the server's state and its arguments to a
//! reply. Those that need the session (transactions, subscriptions, scripts)
//! have a shape of their own and cannot be called from scripts or, most of
//! them, queued.

mod access;
mod bitfield;
mod bits;
mod blocking;
mod client;
mod cluster;
mod config;
pub(super) mod containers;
mod databases;
mod describe;
mod dump;
mod functions;
mod geo;
mod hashes;
pub(super) mod help;
mod hyperloglogs;
mod info;
mod keys;
mod lcs;
mod lists;
mod memory;
mod object;
mod operations;
mod pubsub;
mod scan;
pub(super) mod scripts;
mod server;
mod sets;
mod shebang;
mod sort;
mod streams;
mod strings;
mod table;
mod touch;
mod transactions;
mod zranges;
mod zsetops;
mod zsets;

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use sluice_core::redis::{Bytes, Reply};

use super::number;
pub(super) use keys::glob;
pub(super) use table::{Keys, Run, Spec, lookup};
pub(super) use touch::{tag, touch};

/// An argument: shared with the command it came from, or borrowed from Lua.
#[derive(Clone, Copy)]
pub(super) enum Arg<'a> {
    Shared(&'a Bytes),
    Plain(&'a [u8]),
}

impl<'a> From<&Arg<'a>> for Arg<'a> {
    fn from(arg: &Self) -> Self {
        *arg
    }
}

impl<'a> From<&'a Bytes> for Arg<'a> {
    fn from(bytes: &'a Bytes) -> Self {
        Self::Shared(bytes)
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Plain(bytes)
    }
}

impl Arg<'_> {
    /// The bytes, to keep; copies only what is not shared already.
    #[inline]
    pub(super) fn shared(&self) -> Bytes {
        match self {
            Arg::Shared(bytes) => Bytes::clone(bytes),
            Arg::Plain(bytes) => Bytes::from(*bytes),
        }
    }

    /// The bytes, to look something up with.
    #[inline]
    pub(super) fn bytes(&self) -> Cow<'_, Bytes> {
        match self {
            Arg::Shared(bytes) => Cow::Borrowed(bytes),
            Arg::Plain(bytes) => Cow::Owned(Bytes::from(*bytes)),
        }
    }

    /// Whether it is this word, in any case.
    pub(super) fn is(&self, word: &str) -> bool {
        self.eq_ignore_ascii_case(word.as_bytes())
    }

    /// An integer, or the error that Redis answers.
    pub(super) fn int(&self) -> Result<i64, Fail> {
        number::parse_i64(self).ok_or(Fail::NOT_AN_INTEGER)
    }

    /// A float, or the error that Redis answers.
    pub(super) fn float(&self, version: super::Version) -> Result<f64, Fail> {
        number::parse_f64(self)
            .filter(|_| version.reads_hexadecimal() || !number::is_hexadecimal(self))
            .ok_or(Fail::NOT_A_FLOAT)
    }
}

impl Deref for Arg<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Arg::Shared(bytes) => bytes,
            Arg::Plain(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Arg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

/// An error reply: the whole line, code first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fail(pub(super) Cow<'static, [u8]>);

impl Fail {
    pub(super) const WRONG_TYPE: Self =
        Self::fixed("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub(super) const SYNTAX: Self = Self::fixed("ERR syntax error");
    pub(super) const NOT_AN_INTEGER: Self =
        Self::fixed("ERR value is not an integer or out of range");
    pub(super) const NOT_A_FLOAT: Self = Self::fixed("ERR value is not a valid float");
    pub(super) const NO_SUCH_KEY: Self = Self::fixed("ERR no such key");

    /// A text that never changes.
    pub(super) const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }

    /// A text made for the occasion.
    pub(super) fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(Cow::Owned(text.into()))
    }

    /// Too few or too many arguments.
    pub(super) fn arity(name: &str) -> Self {
        Self::new(format!(
            "ERR wrong number of arguments for '{name}' command"
        ))
    }

    /// A subcommand that does not exist.
    pub(super) fn subcommand(word: &Arg, command: &str) -> Self {
        let word = until_zero(word);
        let shown = &word[..word.len().min(128)];
        let tail = format!("'. Try {command} HELP.");
        Self::new([b"ERR unknown subcommand '", shown, tail.as_bytes()].concat())
    }

    pub(super) fn reply(&self) -> Reply {
        // What a client has said may be in it, which must not end the line.
        if self.0.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return Reply::Error(Bytes::from(one_line(&self.0)));
        }
        Reply::Error(Bytes::from(&*self.0))
    }
}

/// The text with spaces for ends of lines.
pub(super) fn one_line(text: &[u8]) -> Vec<u8> {
    let end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let bytes = text.iter();
    bytes
        .map(|byte| if end(byte) { b' ' } else { *byte })
        .collect()
}

/// What C prints of a text: it ends at the first zero.
pub(super) fn until_zero(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == 0);
    &text[..end.unwrap_or(text.len())]
}

pub(super) type Out = Result<Reply, Fail>;

/// Replies that are made all the time.
pub(super) fn int(n: usize) -> Out {
    Ok(Reply::Int(n as i64))
}

pub(super) fn flag(yes: bool) -> Out {
    Ok(Reply::Int(i64::from(yes)))
}

pub(super) fn bulk(value: Option<&Bytes>) -> Reply {
    value.map_or(Reply::Nil, |bytes| Reply::Bulk(bytes.clone()))
}

/// A score as RESP2 has it.
pub(super) fn score(value: f64, version: super::Version) -> Reply {
    match number::exact_i64(value) {
        Some(n) => Reply::bulk(itoa::Buffer::new().format(n)),
        None => Reply::bulk(number::format_f64(value, version)),
    }
}
