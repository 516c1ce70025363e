//! Where scripts run: the simulated Redis, or a real one.

use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::Failed;
use sluice_core::redis::{Command, Reply as RedisReply};
use sluice_sim::redis::{Engine, Server, SessionId};
use verify::real::{self, Connection};

const CALLS: SessionId = SessionId(1);
const EARS: SessionId = SessionId(2);

/// Something that runs scripts.
pub(crate) trait Backend {
    /// Runs one command; between the two times (store milliseconds) it ran.
    fn call(&mut self, command: &Command) -> Result<(RedisReply, u64, u64), Failed>;

    /// Lets time pass.
    fn advance(&mut self, ms: u64);

    /// From now on listens to this channel, and to no other.
    fn listen(&mut self, channel: &[u8]) -> Result<(), Failed>;

    /// What was published since this was last asked.
    fn messages(&mut self) -> Result<Vec<Vec<u8>>, Failed>;
}

/// A simulated server; its clock stands still unless stepped.
pub(crate) struct Simulated {
    pub(crate) server: Server,
    engine: Engine,
    now_us: u64,
}

impl Simulated {
    pub(crate) fn new() -> Self {
        Self {
            server: Server::new(),
            engine: Engine::new(),
            now_us: 1_700_000_000_000_000,
        }
    }
}

impl Backend for Simulated {
    fn call(&mut self, command: &Command) -> Result<(RedisReply, u64, u64), Failed> {
        let reply = self
            .server
            .execute(&self.engine, self.now_us, CALLS, command);
        Ok((reply, self.now_us / 1000, self.now_us / 1000))
    }

    fn advance(&mut self, ms: u64) {
        self.now_us += ms * 1000 + 7; // not always at the turn of a millisecond
    }

    fn listen(&mut self, channel: &[u8]) -> Result<(), Failed> {
        for command in [
            Command::new("UNSUBSCRIBE"),
            Command::new("SUBSCRIBE").arg(channel),
        ] {
            self.server
                .execute(&self.engine, self.now_us, EARS, &command);
        }
        while self.server.poll_push().is_some() {}
        Ok(())
    }

    fn messages(&mut self) -> Result<Vec<Vec<u8>>, Failed> {
        let mut heard = Vec::new();
        while let Some((EARS, push)) = self.server.poll_push() {
            heard.push(message(&push).ok_or_else(|| format!("{push:?} is no message"))?);
        }
        Ok(heard)
    }
}

/// A connection for the calls, and one that listens.
pub(crate) struct Real {
    calls: Connection,
    ears: Connection,
}

impl Real {
    pub(crate) fn new(server: &real::Server) -> Result<Self, Failed> {
        Ok(Self {
            calls: server.connect()?,
            ears: server.connect()?,
        })
    }
}

impl Backend for Real {
    fn call(&mut self, command: &Command) -> Result<(RedisReply, u64, u64), Failed> {
        let time = Command::new("TIME");
        for command in [&time, command, &time] {
            self.calls.send(command)?;
        }
        let from = millis(&self.calls.receive()?)?;
        let reply = self.calls.receive()?;
        Ok((reply, from, millis(&self.calls.receive()?)?))
    }

    fn advance(&mut self, ms: u64) {
        sleep(Duration::from_millis(ms));
    }

    fn listen(&mut self, channel: &[u8]) -> Result<(), Failed> {
        self.ears.call(&Command::new("UNSUBSCRIBE"))?;
        self.ears.call(&Command::new("SUBSCRIBE").arg(channel))?;
        Ok(())
    }

    fn messages(&mut self) -> Result<Vec<Vec<u8>>, Failed> {
        // The answer to PING comes after every message published before it.
        self.ears.send(&Command::new("PING"))?;
        let mut heard = Vec::new();
        loop {
            let reply = self.ears.receive()?;
            match message(&reply) {
                Some(text) => heard.push(text),
                None if is_pong(&reply) => return Ok(heard),
                None => return Err(format!("{reply:?} is neither a message nor a pong").into()),
            }
        }
    }
}

fn millis(time: &RedisReply) -> Result<u64, Failed> {
    let RedisReply::Array(parts) = time else {
        return Err(format!("TIME answered {time:?}").into());
    };
    let part = |i: usize| parts.get(i).and_then(RedisReply::as_int).unwrap_or(0) as u64;
    Ok(part(0) * 1000 + part(1) / 1000)
}

/// The text of a message of a channel.
fn message(push: &RedisReply) -> Option<Vec<u8>> {
    match push {
        RedisReply::Array(parts) => match &parts[..] {
            [kind, _, text] if kind.as_bytes() == Some(b"message") => {
                Some(text.as_bytes()?.to_vec())
            }
            _ => None,
        },
        _ => None,
    }
}

fn is_pong(reply: &RedisReply) -> bool {
    matches!(reply, RedisReply::Array(parts) if parts.first().and_then(RedisReply::as_bytes) == Some(b"pong"))
}
