//! A Redis command and a Redis reply, as data.
//!
//! Machines produce [`Command`]s and consume [`Reply`]s; who carries them (a
//! socket, a simulated connection) is not their concern. Both are cheap to
//! clone and to hash, because the exhaustive search does both all the time.
//! Protocol: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

pub use crate::bytes::Bytes;

/// One command: its name and arguments, `["EVALSHA", "…", "3", …]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Command {
    /// Name first, then arguments; never empty.
    pub args: Vec<Bytes>,
}

impl Command {
    /// A command with the given name and no arguments yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut args = Vec::with_capacity(8);
        args.push(Bytes::from(name.as_bytes()));
        Self { args }
    }

    /// The same command with one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<Bytes>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// The same command with a number as its next argument, in decimal.
    #[must_use]
    pub fn num(self, n: u64) -> Self {
        let mut buf = [0u8; 20];
        let mut at = buf.len();
        let mut n = n;
        loop {
            at -= 1;
            buf[at] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.arg(&buf[at..])
    }

    /// The command's name as the client wrote it.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.args[0]
    }
}

impl Hash for Command {
    /// Every command of every run is hashed, so the length of each argument is
    /// left to the hasher: one that does not count it takes `a bc` for `ab c`.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.args.len());
        self.args.iter().for_each(|arg| state.write(arg));
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{}", arg.escape_ascii())?;
        }
        Ok(())
    }
}

/// One reply (RESP2, and the RESP3 types that clients of scripts can meet).
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reply {
    /// `+OK`
    Status(Bytes),
    /// `-ERR …`: the whole line, code first, without the leading dash.
    Error(Bytes),
    /// `:7`
    Int(i64),
    /// `$3 abc`
    Bulk(Bytes),
    /// The null bulk or the null array.
    Nil,
    /// `*2 …`
    Array(Vec<Reply>),
}

impl Reply {
    /// `+OK`.
    #[must_use]
    pub fn ok() -> Self {
        Self::Status(Bytes::from(&b"OK"[..]))
    }

    /// An error reply with this text, code first.
    #[must_use]
    pub fn error(text: impl Into<Bytes>) -> Self {
        Self::Error(text.into())
    }

    /// A bulk string.
    #[must_use]
    pub fn bulk(bytes: impl Into<Bytes>) -> Self {
        Self::Bulk(bytes.into())
    }

    /// The integer, also when it is written as a string.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            Self::Bulk(b) | Self::Status(b) => core::str::from_utf8(b).ok()?.parse().ok(),
            Self::Error(_) | Self::Nil | Self::Array(_) => None,
        }
    }

    /// The bytes of a bulk string or a status.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(b) | Self::Status(b) => Some(b),
            Self::Error(_) | Self::Int(_) | Self::Nil | Self::Array(_) => None,
        }
    }

    /// The error's code (`NOSCRIPT`, `READONLY`, …): its first word.
    #[must_use]
    pub fn error_code(&self) -> Option<&[u8]> {
        match self {
            Self::Error(text) => text.split(|b| *b == b' ').next(),
            Self::Status(_) | Self::Int(_) | Self::Bulk(_) | Self::Nil | Self::Array(_) => None,
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(s) => write!(f, "+{}", s.escape_ascii()),
            Self::Error(e) => write!(f, "-{}", e.escape_ascii()),
            Self::Int(n) => write!(f, ":{n}"),
            Self::Bulk(b) => write!(f, "\"{}\"", b.escape_ascii()),
            Self::Nil => f.write_str("nil"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
        }
    }
}
