//! What clients send: RESP requests, and lines for those who type.
//!
//! A reader is fed bytes as they come and gives commands back. It allocates for
//! what has arrived, never for what is announced, so a client costs no more
//! memory than it sends, and never more than [`Limits`] allow. The texts of
//! its complaints are Redis's own.

use sluice_core::redis::{Bytes, Command};

/// The longest line: an announcement, or an inline command.
const LINE_MAX: usize = 64 * 1024;

/// How much a client may ask for at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one argument.
    pub bulk: usize,
    /// Bytes of all arguments of a command together.
    pub request: usize,
    /// Arguments of a command.
    pub args: usize,
}

impl Limits {
    /// Those of Redis, with an end to the number of arguments.
    pub const DEFAULT: Self = Self {
        bulk: 512 << 20,
        request: (512 << 20) + (1 << 20),
        args: 999_999,
    };
}

/// What was sent is not the protocol; the connection is beyond help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ERR Protocol error: {0}")]
pub struct Malformed(String);

/// A command that has begun to arrive.
#[derive(Debug)]
struct Partial {
    left: usize,
    bytes: usize,
    args: Vec<Bytes>,
    /// The length of the argument that comes next, once announced.
    next: Option<usize>,
}

/// Bytes in, commands out.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    buffer: Vec<u8>,
    at: usize,
    /// No line ends before here.
    searched: usize,
    partial: Option<Partial>,
    /// Who sends has not said a password that it has to say.
    stranger: bool,
}

/// What those may send who have not said their password: so many arguments, of
/// so many bytes.
const STRANGERS_ARGS: usize = 10;
const STRANGERS_BULK: usize = 16 << 10;

impl Reader {
    /// With nothing read yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: Vec::new(),
            at: 0,
            searched: 0,
            partial: None,
            stranger: false,
        }
    }

    /// Whether little is to be taken from now on, for who sends is not known.
    pub const fn distrust(&mut self, stranger: bool) {
        self.stranger = stranger;
    }

    /// No argument may be longer from now on; one that was announced already may.
    pub const fn limit_bulk(&mut self, most: usize) {
        self.limits.bulk = most;
        let least = most.saturating_add(1 << 20);
        if self.limits.request < least {
            self.limits.request = least;
        }
    }

    /// Takes what has arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at > 0 && (self.at == self.buffer.len() || self.at > LINE_MAX) {
            self.buffer.drain(..self.at);
            self.searched = self.searched.saturating_sub(self.at);
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that have arrived and are not yet part of a command.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// The next whole command, if it has arrived.
    ///
    /// # Errors
    /// If it is not the protocol, or too much.
    pub fn command(&mut self) -> Result<Option<Command>, Malformed> {
        loop {
            if self.partial.is_some() {
                return self.multibulk();
            }
            match self.buffer.get(self.at) {
                None => return Ok(None),
                Some(b'*') => {
                    let Some(count) = self.line("too big mbulk count string")? else {
                        return Ok(None);
                    };
                    let count = announced(&count).filter(|n| *n <= i64::from(i32::MAX));
                    let count = count.ok_or_else(|| wrong("invalid multibulk length"))?;
                    // A null or empty request means nothing, and is no mistake.
                    let Ok(left @ 1..) = usize::try_from(count) else {
                        continue;
                    };
                    if left > self.limits.args {
                        return Err(wrong("invalid multibulk length"));
                    }
                    if self.stranger && left > STRANGERS_ARGS {
                        return Err(wrong("unauthenticated multibulk length"));
                    }
                    self.partial = Some(Partial {
                        left,
                        bytes: 0,
                        args: Vec::with_capacity(left.min(64)),
                        next: None,
                    });
                }
                Some(_) => {
                    let Some(line) = self.line("too big inline request")? else {
                        return Ok(None);
                    };
                    let line = line.strip_suffix(b"\r").unwrap_or(&line);
                    let args = words(line).ok_or_else(|| wrong("unbalanced quotes in request"))?;
                    if !args.is_empty() {
                        return Ok(Some(Command { args }));
                    }
                }
            }
        }
    }

    /// Goes on with a command of announced arguments.
    fn multibulk(&mut self) -> Result<Option<Command>, Malformed> {
        while let Some(partial) = &self.partial {
            let Some(len) = partial.next else {
                if !self.announcement()? {
                    return Ok(None);
                }
                continue;
            };
            // With its end of line.
            let Some(bytes) = self.buffer.get(self.at..self.at + len + 2) else {
                return Ok(None);
            };
            let arg = Bytes::from(&bytes[..len]);
            self.at += len + 2;
            let Some(partial) = &mut self.partial else {
                break;
            };
            partial.args.push(arg);
            partial.next = None;
            partial.left -= 1;
            if partial.left == 0 {
                let args = std::mem::take(&mut partial.args);
                self.partial = None;
                return Ok(Some(Command { args }));
            }
        }
        Ok(None)
    }

    /// Reads how long the next argument is; false if that has not arrived.
    fn announcement(&mut self) -> Result<bool, Malformed> {
        match self.buffer.get(self.at) {
            None => return Ok(false),
            Some(b'$') => {}
            Some(other) => {
                let shown = match char::from(*other) {
                    '\r' | '\n' => ' ',
                    shown if shown.is_ascii_graphic() => shown,
                    _ => '?',
                };
                return Err(wrong(&format!("expected '$', got '{shown}'")));
            }
        }
        let Some(line) = self.line("too big bulk count string")? else {
            return Ok(false);
        };
        let len = announced(&line).and_then(|n| usize::try_from(n).ok());
        let len = len.filter(|len| *len <= self.limits.bulk);
        let len = len.ok_or_else(|| wrong("invalid bulk length"))?;
        if self.stranger && len > STRANGERS_BULK {
            return Err(wrong("unauthenticated bulk length"));
        }
        if let Some(partial) = &mut self.partial {
            partial.bytes += len;
            if partial.bytes > self.limits.request {
                return Err(wrong("too big request"));
            }
            partial.next = Some(len);
        }
        Ok(true)
    }

    /// The next line without its line feed; what is too long is refused as such.
    fn line(&mut self, too_long: &str) -> Result<Option<Vec<u8>>, Malformed> {
        let from = self.searched.max(self.at);
        let end = self.buffer[from..].iter().position(|byte| *byte == b'\n');
        let Some(end) = end.map(|end| from + end) else {
            self.searched = self.buffer.len();
            if self.waiting() > LINE_MAX {
                return Err(wrong(too_long));
            }
            return Ok(None);
        };
        let line = &self.buffer[self.at..end];
        if line.len() > LINE_MAX {
            return Err(wrong(too_long));
        }
        let line = line.to_vec();
        self.at = end + 1;
        Ok(Some(line))
    }
}

fn wrong(text: &str) -> Malformed {
    Malformed(text.to_owned())
}

/// The number in `*3` or `$3`, whose line ends as it should.
fn announced(line: &[u8]) -> Option<i64> {
    number(line.get(1..)?.strip_suffix(b"\r")?)
}

/// A number as Redis reads it: no sign but minus, no spaces, no zeros before it.
fn number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    let text = std::str::from_utf8(text).ok()?;
    plain.then(|| text.parse().ok()).flatten()
}

/// Splits a typed line: words, "quoted \x00 ones" and 'plain ones'.
fn words(line: &[u8]) -> Option<Vec<Bytes>> {
    let mut out = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        let Some(first) = rest.first() else {
            return Some(out);
        };
        let (word, after) = match first {
            b'"' | b'\'' => quoted(&rest[1..], *first)?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace);
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                (word.to_vec(), after)
            }
        };
        // A quote ends a word; another must not follow at once.
        if after
            .first()
            .is_some_and(|byte| !byte.is_ascii_whitespace())
        {
            return None;
        }
        out.push(Bytes::from(word));
        rest = after;
    }
}

/// What stands before the closing quote, and what comes after it.
fn quoted(text: &[u8], quote: u8) -> Option<(Vec<u8>, &[u8])> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        let byte = *text.get(at)?;
        at += 1;
        if byte == quote {
            return Some((out, &text[at..]));
        }
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let next = *text.get(at)?;
        at += 1;
        if quote == b'\'' {
            if next != b'\'' {
                out.push(b'\\');
            }
            out.push(next);
            continue;
        }
        let hex = text.get(at..at + 2).filter(|_| next == b'x');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                out.push(value);
                at += 2;
            }
            None => out.push(match next {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 8,
                b'a' => 7,
                other => other,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Limits = Limits {
        bulk: 100,
        request: 150,
        args: 9,
    };

    fn read(limits: Limits, parts: &[&[u8]]) -> Result<Vec<Command>, String> {
        let mut reader = Reader::new(limits);
        let mut out = Vec::new();
        for part in parts {
            reader.feed(part);
            while let Some(command) = reader.command().map_err(|e| e.to_string())? {
                out.push(command);
            }
        }
        Ok(out)
    }

    fn encode(command: &Command) -> Vec<u8> {
        let mut out = format!("*{}\r\n", command.args.len()).into_bytes();
        for arg in &command.args {
            out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            out.extend_from_slice(arg);
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    #[test]
    fn lines_are_read_as_a_shell_would() {
        let line = b"set k \"a b\\x00\\n\" 'it\\'s'\r\n\r\nping\n";
        let found = read(SMALL, &[line]).unwrap();
        assert_eq!(
            found,
            [
                Command::new("set").arg("k").arg("a b\0\n").arg("it's"),
                Command::new("ping")
            ]
        );
    }

    #[test]
    fn what_is_too_much_or_wrong_is_refused_with_redis_s_words() {
        for (text, complaint) in [
            ("*x\r\n", "invalid multibulk length"),
            ("*10\r\n", "invalid multibulk length"),
            ("*01\r\n", "invalid multibulk length"),
            ("*00\r\n", "invalid multibulk length"),
            ("*-0\r\n", "invalid multibulk length"),
            ("*\r\n", "invalid multibulk length"),
            ("*1 \r\n", "invalid multibulk length"),
            ("*1\r\n$04\r\n", "invalid bulk length"),
            ("*1\r\n$-0\r\n", "invalid bulk length"),
            ("*1\n$4\r\n", "invalid multibulk length"),
            ("*1\r\n$4\n", "invalid bulk length"),
            ("*1\r\n\r\n", "expected '$', got ' '"),
            ("*1\r\n$\r\n", "invalid bulk length"),
            ("*99999999999\r\n", "invalid multibulk length"),
            ("*1\r\n*1\r\n", "expected '$', got '*'"),
            ("*1\r\n$101\r\n", "invalid bulk length"),
            ("*1\r\n$-1\r\n", "invalid bulk length"),
            ("*1\r\n$+1\r\n", "invalid bulk length"),
            ("set \"a\r\n", "unbalanced quotes in request"),
            ("set \"a\"b\r\n", "unbalanced quotes in request"),
        ] {
            let found = read(SMALL, &[text.as_bytes()]);
            assert_eq!(
                found,
                Err(format!("ERR Protocol error: {complaint}")),
                "{text}"
            );
        }
        let two = format!("*2\r\n$100\r\n{}\r\n$51\r\n", "x".repeat(100));
        assert!(read(SMALL, &[two.as_bytes()]).is_err());
        let endless = [b'x'; LINE_MAX + 1];
        assert!(read(SMALL, &[&endless]).is_err());
        let announced = [&b"*1\r\n$"[..], &[b'1'; LINE_MAX + 1]].concat();
        assert!(read(SMALL, &[&announced]).is_err());
        let million = b"*1000000\r\n$0\r\n\r\n";
        assert!(read(Limits::DEFAULT, &[million]).is_err());
        assert_eq!(read(SMALL, &[b"*0\r\n*-1\r\n"]), Ok(vec![]));
    }

    /// The limits and the texts are those of Redis 7.0.15.
    #[test]
    fn strangers_may_say_little() {
        let read = |text: &[u8]| {
            let mut reader = Reader::new(Limits::DEFAULT);
            reader.distrust(true);
            reader.feed(text);
            reader.command().map_err(|wrong| wrong.to_string())
        };
        let many = Err("ERR Protocol error: unauthenticated multibulk length".to_owned());
        let long = Err("ERR Protocol error: unauthenticated bulk length".to_owned());
        assert_eq!(read(b"*11\r\n"), many);
        assert_eq!(read(b"*10\r\n"), Ok(None));
        assert_eq!(read(b"*3\r\n$16385\r\n"), long);
        assert_eq!(read(b"*3\r\n$16384\r\n"), Ok(None));
    }

    proptest! {
        /// However the bytes are cut, the same commands come out.
        #[test]
        fn commands_survive_any_cut(
            commands in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..6), 1..6),
            cuts in prop::collection::vec(1usize..9, 1..60),
        ) {
            let commands: Vec<Command> = commands.into_iter().map(|args| Command {
                args: args.into_iter().map(Bytes::from).collect(),
            }).collect();
            let bytes: Vec<u8> = commands.iter().flat_map(encode).collect();
            let mut parts = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, after) = rest.split_at((*cut).min(rest.len()));
                parts.push(part);
                rest = after;
            }
            prop_assert_eq!(read(SMALL, &parts), Ok(commands));
        }

        /// Garbage is refused or read, and never costs more than it weighs.
        #[test]
        fn garbage_does_no_harm(
            parts in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..30),
                    prop::sample::select(vec![
                        &b"*2\r\n"[..], b"$3\r\n", b"abc\r\n", b"*-1\r\n", b"$-1\r\n",
                        b"*999999\r\n", b"$536870912\r\n", b"\r\n", b"\"", b"*", b"$",
                    ]).prop_map(<[u8]>::to_vec),
                ], 0..40),
        ) {
            let mut reader = Reader::new(Limits::DEFAULT);
            let mut fed = 0;
            'all: for part in &parts {
                reader.feed(part);
                fed += part.len();
                loop {
                    match reader.command() {
                        Ok(Some(command)) => prop_assert!(!command.args.is_empty()),
                        Ok(None) => break,
                        Err(_) => break 'all,
                    }
                }
                prop_assert!(reader.buffer.capacity() <= 4 * fed + LINE_MAX);
            }
        }
    }
}
