//! A blocking connection that speaks RESP2 over TCP, and nothing else.
//!
//! Small on purpose: a check must control which command is sent when, and see
//! each reply as the server wrote it, error texts included. A full client
//! (pools, retries, parsed errors) hides exactly that.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use sluice_core::redis::{Bytes, Command, Reply};

use super::Url;

const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(10);
const READY: Duration = Duration::from_secs(10);
/// Redis's own limit for one string.
const BULK_MAX: usize = 512 << 20;
const DEPTH_MAX: u32 = 32;

/// Why there is no connection, or no reply.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be understood.
    #[error("wrong URL: {why}; it should look like redis://[user:password@]host[:port][/database]")]
    Url {
        /// What is wrong with it.
        why: String,
    },
    /// The name has no address.
    #[error("cannot find host {host}: {source}; check the URL")]
    Resolve {
        /// The name.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody listens there, or nobody can be reached.
    #[error("no connection to {address}: {source}; is the server running, and is the port right?")]
    Refused {
        /// Host and port.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server wants a password, or another one.
    #[error("{address} does not let us in: {text}; put user:password@ before the host in the URL")]
    Auth {
        /// Host and port.
        address: String,
        /// What the server said.
        text: String,
    },
    /// The server refused what every check needs.
    #[error("{address} refused {command}: {text}")]
    Server {
        /// Host and port.
        address: String,
        /// The command's name.
        command: String,
        /// What the server said.
        text: String,
    },
    /// No answer in time; whether the command was executed is not known.
    #[error("{address} did not answer within {} s; it may be loading, busy, or stopped", .after.as_secs())]
    Timeout {
        /// Host and port.
        address: String,
        /// How long we waited.
        after: Duration,
    },
    /// The connection ended.
    #[error("the connection to {address} ended: {source}")]
    Lost {
        /// Host and port.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// What came back is not the Redis protocol.
    #[error("{address} does not speak the Redis protocol: {why}; is it another kind of server?")]
    Protocol {
        /// Host and port.
        address: String,
        /// What was found.
        why: String,
    },
}

/// One connection. Commands are answered in the order in which they were sent.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: String,
    buffer: Vec<u8>,
    at: usize,
}

impl Connection {
    /// Connects, logs in, selects the database, and says `PING`.
    ///
    /// # Errors
    /// [`Error`], each with what to do about it.
    pub fn open(url: &Url) -> Result<Self, Error> {
        let address = url.address();
        let places = (url.host.as_str(), url.port)
            .to_socket_addrs()
            .map_err(|source| Error::Resolve {
                host: url.host.clone(),
                source,
            })?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let mut stream = None;
        for place in places {
            match TcpStream::connect_timeout(&place, CONNECT) {
                Ok(open) => {
                    stream = Some(open);
                    break;
                }
                Err(error) => last = error,
            }
        }
        let stream = stream.ok_or_else(|| Error::Refused {
            address: address.clone(),
            source: last,
        })?;
        let lost = |source| Error::Lost {
            address: address.clone(),
            source,
        };
        stream.set_nodelay(true).map_err(lost)?;
        stream.set_read_timeout(Some(ANSWER)).map_err(lost)?;
        stream.set_write_timeout(Some(ANSWER)).map_err(lost)?;
        let mut connection = Self {
            stream,
            address,
            buffer: Vec::new(),
            at: 0,
        };
        connection.greet(url)?;
        Ok(connection)
    }

    /// As [`Connection::open`], again and again until a server that is just
    /// starting answers.
    ///
    /// # Errors
    /// The last error, after ten seconds without success.
    #[expect(clippy::disallowed_methods, reason = "waits for a real server")]
    pub(super) fn open_retrying(url: &Url) -> Result<Self, Error> {
        let start = Instant::now();
        loop {
            match Self::open(url) {
                Err(_) if start.elapsed() < READY => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                result => return result,
            }
        }
    }

    fn greet(&mut self, url: &Url) -> Result<(), Error> {
        if let Some(password) = &url.password {
            let auth = Command::new("AUTH");
            let auth = match &url.user {
                Some(user) => auth.arg(user),
                None => auth,
            };
            self.expect_ok(&auth.arg(password))?;
        }
        if url.database != 0 {
            self.expect_ok(&Command::new("SELECT").num(u64::from(url.database)))?;
        }
        self.expect_ok(&Command::new("PING"))
    }

    fn expect_ok(&mut self, command: &Command) -> Result<(), Error> {
        match self.call(command)? {
            Reply::Status(_) => Ok(()),
            Reply::Error(text) => Err(self.refusal(command, &text)),
            other => Err(self.nonsense(format!("it answers {other:?} to {command:?}"))),
        }
    }

    fn refusal(&self, command: &Command, text: &[u8]) -> Error {
        let address = self.address.clone();
        let command = command.name().escape_ascii().to_string();
        let auth = [&b"NOAUTH"[..], b"WRONGPASS", b"NOPERM", b"DENIED"]
            .iter()
            .any(|code| text.starts_with(code));
        let text = text.escape_ascii().to_string();
        if auth || command == "AUTH" {
            Error::Auth { address, text }
        } else {
            Error::Server {
                address,
                command,
                text,
            }
        }
    }

    /// Sends one command and waits for its reply. An error *reply* is a reply.
    ///
    /// # Errors
    /// [`Error::Timeout`] or [`Error::Lost`]: the command may have been
    /// executed, or may yet be. [`Error::Protocol`] for nonsense.
    pub fn call(&mut self, command: &Command) -> Result<Reply, Error> {
        self.send(command)?;
        self.receive()
    }

    /// As [`Connection::call`], where an error reply is a failure: for the
    /// counts and settings of an audit, which a refusal must not turn into 0.
    ///
    /// # Errors
    /// As [`Connection::call`], and [`Error::Auth`] or [`Error::Server`] if it
    /// is refused.
    pub fn ask(&mut self, command: &Command) -> Result<Reply, Error> {
        match self.call(command)? {
            Reply::Error(text) => Err(self.refusal(command, &text)),
            reply => Ok(reply),
        }
    }

    /// As [`Connection::ask`], for a command that answers with a number.
    ///
    /// # Errors
    /// As [`Connection::ask`], and [`Error::Protocol`] for another reply, or
    /// for a number below 0.
    pub fn count(&mut self, command: &Command) -> Result<u64, Error> {
        let reply = self.ask(command)?;
        let number = reply.as_int().and_then(|n| u64::try_from(n).ok());
        number.ok_or_else(|| self.nonsense(format!("it answers {reply:?} to {command:?}")))
    }

    /// Sends one command without waiting. Its reply is to be [received](Self::receive).
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub fn send(&mut self, command: &Command) -> Result<(), Error> {
        self.send_all(std::slice::from_ref(command))
    }

    /// Sends commands at once, without waiting. What is sent before it is
    /// received should fit the buffers of the sockets: some hundred kilobytes.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub fn send_all(&mut self, commands: &[Command]) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(64 * commands.len());
        let head = |bytes: &mut Vec<u8>, kind: u8, len: usize| {
            bytes.push(kind);
            bytes.extend_from_slice(len.to_string().as_bytes());
            bytes.extend_from_slice(b"\r\n");
        };
        for command in commands {
            head(&mut bytes, b'*', command.args.len());
            for arg in &command.args {
                head(&mut bytes, b'$', arg.len());
                bytes.extend_from_slice(arg);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        self.stream.write_all(&bytes).map_err(|e| self.broken(e))
    }

    /// Waits for the next reply (or message).
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub fn receive(&mut self) -> Result<Reply, Error> {
        let reply = self.reply(0)?;
        self.buffer.drain(..self.at);
        self.at = 0;
        Ok(reply)
    }

    /// Ends the connection from this side, and waits until the server has done
    /// so too, and so knows; whatever it had still to say.
    ///
    /// # Errors
    /// As [`Connection::receive`], but for the end.
    pub fn hang_up(mut self) -> Result<Vec<Reply>, Error> {
        if let Err(error) = self.stream.shutdown(Shutdown::Write) {
            return match error.kind() {
                // The server was first.
                io::ErrorKind::NotConnected => Ok(Vec::new()),
                _ => Err(self.broken(error)),
            };
        }
        let mut said = Vec::new();
        loop {
            match self.receive() {
                Ok(reply) => said.push(reply),
                Err(Error::Lost { .. }) => return Ok(said),
                Err(error) => return Err(error),
            }
        }
    }

    /// How long [`Connection::receive`] waits before it gives up.
    ///
    /// # Errors
    /// [`Error::Lost`] if the socket is gone.
    pub fn set_patience(&mut self, patience: Duration) -> Result<(), Error> {
        let patience = patience.max(Duration::from_millis(1));
        self.stream
            .set_read_timeout(Some(patience))
            .map_err(|e| self.broken(e))
    }

    /// The text of `INFO section`.
    ///
    /// # Errors
    /// As [`Connection::call`], and [`Error::Auth`] or [`Error::Server`] if it is refused.
    pub fn info(&mut self, section: &str) -> Result<String, Error> {
        let command = Command::new("INFO").arg(section);
        match self.call(&command)? {
            Reply::Bulk(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Reply::Error(text) => Err(self.refusal(&command, &text)),
            other => Err(self.nonsense(format!("it answers {other:?} to INFO"))),
        }
    }

    fn reply(&mut self, depth: u32) -> Result<Reply, Error> {
        if depth > DEPTH_MAX {
            return Err(self.nonsense("arrays nested too deep".to_owned()));
        }
        let line = self.line()?;
        let (kind, rest) = line.split_first().map_or((0, &[][..]), |(k, r)| (*k, r));
        match kind {
            b'+' => Ok(Reply::Status(Bytes::from(rest))),
            b'-' => Ok(Reply::Error(Bytes::from(rest))),
            b':' => Ok(Reply::Int(self.number(rest)?)),
            b'$' => match usize::try_from(self.number(rest)?) {
                Err(_) => Ok(Reply::Nil),
                Ok(len) if len > BULK_MAX => Err(self.nonsense(format!("a string of {len} bytes"))),
                Ok(len) => self.bulk(len),
            },
            b'*' => {
                let Ok(len) = usize::try_from(self.number(rest)?) else {
                    return Ok(Reply::Nil);
                };
                // Grows with what arrives, not with what is announced.
                let mut items = Vec::with_capacity(len.min(64));
                for _ in 0..len {
                    items.push(self.reply(depth + 1)?);
                }
                Ok(Reply::Array(items))
            }
            _ => Err(self.nonsense(format!(
                "a reply begins with \"{}\"",
                line[..line.len().min(20)].escape_ascii()
            ))),
        }
    }

    fn bulk(&mut self, len: usize) -> Result<Reply, Error> {
        while self.buffer.len() - self.at < len + 2 {
            self.fill()?;
        }
        let bytes = Bytes::from(&self.buffer[self.at..self.at + len]);
        self.at += len + 2;
        Ok(Reply::Bulk(bytes))
    }

    fn line(&mut self) -> Result<Vec<u8>, Error> {
        let mut from = self.at;
        loop {
            if let Some(end) = self.buffer[from..].iter().position(|b| *b == b'\n') {
                let line = &self.buffer[self.at..from + end];
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.at = from + end + 1;
                return Ok(line);
            }
            from = self.buffer.len();
            if from - self.at > 64 << 10 {
                return Err(self.nonsense("a line without end".to_owned()));
            }
            self.fill()?;
        }
    }

    fn number(&self, digits: &[u8]) -> Result<i64, Error> {
        std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.nonsense(format!("\"{}\" for a number", digits.escape_ascii())))
    }

    fn fill(&mut self) -> Result<(), Error> {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(self.broken(io::Error::from(io::ErrorKind::UnexpectedEof))),
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn broken(&self, source: io::Error) -> Error {
        let address = self.address.clone();
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout {
                address,
                after: self.stream.read_timeout().ok().flatten().unwrap_or(ANSWER),
            },
            _ => Error::Lost { address, source },
        }
    }

    pub(crate) fn nonsense(&self, why: String) -> Error {
        Error::Protocol {
            address: self.address.clone(),
            why,
        }
    }
}

/// The value of one `name:value` line of an `INFO` text.
pub(crate) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::net::TcpListener;
    use std::thread;

    use sluice_core::redis::{Command, Reply};

    use super::super::Url;
    use super::{Connection, Error};

    /// A peer that answers PING, and then says exactly these bytes.
    fn peer(says: &'static [u8]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut ping = [0; 14];
            stream.read_exact(&mut ping).expect("PING");
            stream.write_all(b"+PONG\r\n").expect("PONG");
            for byte in says {
                stream.write_all(&[*byte]).expect("a byte");
            }
            // What is still unread would turn the end into a reset.
            stream.shutdown(Shutdown::Write).expect("an end");
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        Connection::open(&Url::plain("127.0.0.1", port)).expect("a connection")
    }

    #[test]
    fn every_kind_of_reply_is_read_byte_by_byte() {
        let mut connection = peer(
            b"+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n*2\r\n:1\r\n*1\r\n$0\r\n\r\n",
        );
        let expected = [
            Reply::ok(),
            Reply::error("ERR no"),
            Reply::Int(-7),
            Reply::bulk("a\r\n"),
            Reply::Nil,
            Reply::Nil,
            Reply::Array(vec![Reply::Int(1), Reply::Array(vec![Reply::bulk("")])]),
        ];
        for reply in expected {
            assert_eq!(connection.receive().expect("a reply"), reply);
        }
        assert!(matches!(connection.receive(), Err(Error::Lost { .. })));
    }

    #[test]
    fn a_refused_count_is_an_error_and_no_zero() {
        let mut connection = peer(b"-NOPERM no INCR\r\n:7\r\n:-1\r\n$-1\r\n");
        let incr = Command::new("INCR").arg("k");
        let refused = connection.count(&incr).expect_err("refused");
        assert!(matches!(refused, Error::Auth { .. }), "{refused}");
        assert_eq!(connection.count(&incr).expect("a number"), 7);
        for _ in 0..2 {
            let error = connection.count(&incr).expect_err("no count");
            assert!(matches!(error, Error::Protocol { .. }), "{error}");
        }
    }

    #[test]
    fn nonsense_is_an_error_and_costs_no_memory() {
        for says in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"$99999999999\r\n",
            b":seven\r\n",
            b"*4000000000\r\n!\r\n",
            b"\r\n",
        ] {
            let error = peer(says).receive().expect_err("nonsense");
            assert!(matches!(error, Error::Protocol { .. }), "{error}");
        }
        let nested: &'static [u8] = Box::leak(b"*1\r\n".repeat(1000).into_boxed_slice());
        let error = peer(nested).receive().expect_err("nonsense");
        assert!(error.to_string().contains("deep"), "{error}");
    }

    #[test]
    fn a_closed_port_says_what_to_look_at() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let error = Connection::open(&Url::plain("127.0.0.1", port)).expect_err("nobody there");
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }

    #[test]
    fn a_silent_server_is_a_timeout() {
        let mut connection = peer(b"");
        // The peer's thread may be gone already: both ends of the story are clear errors.
        connection
            .set_patience(std::time::Duration::from_millis(20))
            .expect("a socket");
        let error = connection.call(&Command::new("PING")).expect_err("silence");
        assert!(
            matches!(error, Error::Timeout { .. } | Error::Lost { .. }),
            "{error}"
        );
    }
}
