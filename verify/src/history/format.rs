//! Histories as lines of JSON, one operation a line, after a line that says by
//! what they are to be judged:
//!
//! ```text
//! {"history":1,"model":"slots","capacity":2}
//! {"client":"a","key":"chat","start":10,"end":35,"op":{"acquire":{"attempt":1}},"reply":{"granted":{"fence":7}}}
//! {"client":"a","key":"chat","start":90,"op":{"release":{"attempt":1}}}
//! ```
//!
//! Times are nanoseconds of one monotone clock. An operation has both `end` and
//! `reply`, or, if its outcome is unknown, neither. `key` may be left out where
//! there is only one. Lines come in any order; empty ones are passed over.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Answer, History, Operation, queue, slots};

/// Longest line.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Most operations.
const OPERATIONS_MAX: usize = 10_000_000;
/// Longest name of a client or key, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// By what a history is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`slots::Slots::new`].
    Slots,
    /// [`slots::Slots::lock`].
    Lock,
    /// [`queue::Queue`].
    Queue,
}

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Version of the format: 1.
    pub history: u32,
    /// By what to judge.
    pub model: Kind,
    /// Slots of each key, for [`Kind::Slots`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
}

impl Header {
    /// A header of this version.
    #[must_use]
    pub const fn new(model: Kind, capacity: Option<u32>) -> Self {
        Self {
            history: 1,
            model,
            capacity,
        }
    }
}

/// A history that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recording {
    /// Of slots or of a lock.
    Slots(History<slots::Op, slots::Reply>),
    /// Of a queue.
    Queue(History<queue::Op, queue::Reply>),
}

/// Why lines are not a history: where, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Error {
    /// From 1.
    pub line: u64,
    /// What is wrong, and what would be right.
    pub what: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<O, R> {
    client: String,
    #[serde(default)]
    key: String,
    start: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
    op: O,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    reply: Option<R>,
}

const fn none<R>() -> Option<R> {
    None
}

/// Reads a history. Memory is bounded by what the lines say, and by ten million
/// operations.
///
/// # Errors
/// The first line that is not as it must be.
pub fn read(mut from: impl BufRead) -> Result<(Header, Recording), Error> {
    let mut lines = Lines {
        from: &mut from,
        text: Vec::new(),
        line: 0,
    };
    if !lines.next()? {
        return Err(lines.error("no header; begin with {\"history\":1,\"model\":\"slots\",…}"));
    }
    let header: Header = lines.parse()?;
    if header.history != 1 {
        let what = format!("version {}; this program reads version 1", header.history);
        return Err(lines.error(what));
    }
    let recording = match header.model {
        Kind::Slots | Kind::Lock => {
            let mut attempts = BTreeSet::new();
            Recording::Slots(lines.history(slots::Op::fits, |asked| {
                let slots::Op::Acquire { attempt } = asked.op else {
                    return Ok(());
                };
                if attempts.insert((asked.client, asked.key, attempt)) {
                    return Ok(());
                }
                Err(format!(
                    "attempt {attempt} of this client was acquired before: number them"
                ))
            })?)
        }
        Kind::Queue => Recording::Queue(lines.history(queue::Op::fits, |_| Ok(()))?),
    };
    Ok((header, recording))
}

struct Lines<'a, B> {
    from: &'a mut B,
    text: Vec<u8>,
    line: u64,
}

impl<B: BufRead> Lines<'_, B> {
    fn error(&self, what: impl Into<String>) -> Error {
        Error {
            line: self.line.max(1),
            what: what.into(),
        }
    }

    /// Goes to the next line that is not empty. Whether there is one.
    fn next(&mut self) -> Result<bool, Error> {
        loop {
            self.text.clear();
            let mut some = self.from.by_ref().take(LINE_BYTES_MAX + 1);
            let read = some.read_until(b'\n', &mut self.text);
            self.line += 1;
            match read {
                Err(error) => return Err(self.error(format!("cannot be read: {error}"))),
                Ok(0) => return Ok(false),
                Ok(bytes) if bytes as u64 > LINE_BYTES_MAX => {
                    return Err(self.error(format!("longer than {LINE_BYTES_MAX} bytes")));
                }
                Ok(_) if self.text.trim_ascii().is_empty() => {}
                Ok(_) => return Ok(true),
            }
        }
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.text).map_err(|error| {
            // Its line number is always 1: ours is meant.
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or_default();
            self.error(format!("column {}: {what}", error.column()))
        })
    }

    fn history<O, R>(
        &mut self,
        fits: impl Fn(&O, &R) -> bool,
        mut admit: impl FnMut(&Operation<O, R>) -> Result<(), String>,
    ) -> Result<History<O, R>, Error>
    where
        Line<O, R>: DeserializeOwned,
    {
        let mut history = History::default();
        while self.next()? {
            let line: Line<O, R> = self.parse()?;
            for (what, name) in [("client", &line.client), ("key", &line.key)] {
                if name.len() > NAME_BYTES_MAX {
                    let bytes = name.len();
                    return Err(
                        self.error(format!("{what}: {bytes} bytes, at most {NAME_BYTES_MAX}"))
                    );
                }
            }
            let answer = match (line.end, line.reply) {
                (None, None) => None,
                (Some(end), Some(_)) if end < line.start => {
                    let start = line.start;
                    return Err(self.error(format!("its end, {end}, is before its start, {start}")));
                }
                (Some(end), Some(reply)) => {
                    if !fits(&line.op, &reply) {
                        return Err(self.error("this operation has no such reply"));
                    }
                    Some(Answer { end, reply })
                }
                (Some(_), None) => {
                    return Err(self.error(
                        "it has an end and no reply; leave out both where the outcome is unknown",
                    ));
                }
                (None, Some(_)) => {
                    return Err(self.error("it has a reply and no end: when was it known?"));
                }
            };
            if history.operations.len() == OPERATIONS_MAX {
                return Err(self.error(format!("more than {OPERATIONS_MAX} operations")));
            }
            let at = history.begin(&line.client, &line.key, line.start, line.op);
            history.operations[at].answer = answer;
            admit(&history.operations[at]).map_err(|what| self.error(what))?;
        }
        Ok(history)
    }
}

/// Writes a history, so that [`read`] gives it back.
///
/// # Errors
/// Those of the writer.
pub fn write<O, R>(mut to: impl Write, header: Header, history: &History<O, R>) -> io::Result<()>
where
    O: Clone + Serialize,
    R: Clone + Serialize,
{
    serde_json::to_writer(&mut to, &header)?;
    to.write_all(b"\n")?;
    for operation in &history.operations {
        let line = Line {
            client: history.clients.name(operation.client).to_owned(),
            key: history.keys.name(operation.key).to_owned(),
            start: operation.start,
            end: operation.answer.as_ref().map(|answer| answer.end),
            op: operation.op.clone(),
            reply: operation.reply().cloned(),
        };
        serde_json::to_writer(&mut to, &line)?;
        to.write_all(b"\n")?;
    }
    Ok(())
}
