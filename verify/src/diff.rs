//! The simulated Redis against a real one: the same commands, the same replies.
//!
//! Random sequences fill templates of commands with keys and with values that
//! sit on the edges, so that the pairs of commands nobody thought of meet; some
//! commands go through a script. At the end the keys themselves are compared.
//! A sequence that is answered differently is shrunk: no command can be left
//! out. The simulated clock stands still meanwhile, so that times are given as
//! far in the past or the future.

mod canonical;
mod line;
mod search;
mod texts;
mod words;

use std::fmt;

use sluice_core::redis::{Bytes, Command, Reply};
use sluice_sim::redis::{Engine, Server as Simulated, SessionId, Value, Version};

use crate::real::{Connection, Error, Server};
pub(crate) use canonical::canonical;
pub use line::Line;
pub use search::{Search, Tally};
pub use words::{fill, lines, templates, words};

const SESSION: SessionId = SessionId(1);
/// The keys that templates name.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// The libraries of functions that they name.
const LIBRARIES: [&str; 2] = ["la", "lb"];

/// Both servers, asked the same.
pub struct Pair {
    real: Connection,
    simulated: Simulated,
    /// As it begins each sequence.
    empty: Simulated,
    engine: Engine,
    version: Version,
    now_us: u64,
    /// The digests of scripts that ask for the third protocol.
    third: Vec<Vec<u8>>,
    prefix: String,
    /// What the open transaction holds, for the shape of its replies.
    queued: Vec<Command>,
}

/// A command that was executed here, and what decides the shape of its reply.
struct Said {
    command: Command,
    ours: Reply,
    /// The commands of a transaction that it ends.
    queued: Vec<Command>,
}

impl Said {
    /// The two replies (ours, theirs), in comparable form, if they differ.
    fn against(self, theirs: Reply) -> Option<(Reply, Reply)> {
        if self.ours == theirs {
            return None;
        }
        let of = |reply| match reply {
            Reply::Array(items) if self.command.name() == b"EXEC" => {
                let each = self.queued.iter().zip(items);
                Reply::Array(each.map(|(one, reply)| canonical(one, reply)).collect())
            }
            other => canonical(&self.command, other),
        };
        let (ours, theirs) = (of(self.ours.clone()), of(theirs));
        (ours != theirs).then_some((ours, theirs))
    }
}

impl Pair {
    /// A simulated server of the real one's version; keys get this prefix.
    ///
    /// # Errors
    /// If the real server cannot be asked.
    pub fn new(server: &Server, prefix: String) -> Result<Self, Error> {
        let version = Version::nearest(server.version());
        let mut real = server.connect()?;
        let time = real.call(&Command::new("TIME"))?;
        let now_us = time_us(&time).ok_or_else(|| Error::Protocol {
            address: server.describe(),
            why: format!("it answers {time:?} to TIME"),
        })?;
        let simulated = Simulated::with_version(version);
        let mut pair = Self {
            real,
            empty: simulated.clone(),
            simulated,
            engine: Engine::new(),
            version,
            now_us,
            third: words::digests_with("setresp("),
            prefix,
            queued: Vec::new(),
        };
        pair.teach()?;
        Ok(pair)
    }

    /// Whom the simulated server imitates.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Lets both know the scripts that templates call by their digests.
    fn teach(&mut self) -> Result<(), Error> {
        for script in words::scripts() {
            let script = words::unescape(script);
            // One that does not compile is refused, and unknown to both.
            let load = Command::new("SCRIPT").arg("LOAD").arg(&script);
            self.real.call(&load)?;
            self.simulated
                .execute(&self.engine, self.now_us, SESSION, &load);
        }
        self.empty = self.simulated.clone();
        Ok(())
    }

    /// Begins anew: no transaction, no watch, an empty simulated server, and
    /// another prefix.
    ///
    /// # Errors
    /// If the real server cannot be asked.
    pub fn start(&mut self, prefix: String) -> Result<(), Error> {
        for word in ["DISCARD", "UNWATCH"] {
            self.real.call(&Command::new(word))?;
        }
        self.begin(prefix);
        Ok(())
    }

    fn begin(&mut self, prefix: String) {
        self.prefix = prefix;
        self.queued.clear();
        self.forget();
    }

    /// The simulated server loses all it knows but its scripts, alone.
    pub fn forget(&mut self) {
        self.simulated = self.empty.clone();
    }

    /// A command from words; `$name` is a key of ours, and `@@name` within a
    /// word the name of a function or library of ours.
    #[must_use]
    pub fn command(&self, words: &[Vec<u8>]) -> Command {
        let mut args = words.iter().map(|word| match word.strip_prefix(b"$") {
            Some(name) => [self.prefix.as_bytes(), name].concat(),
            None => self.named(word),
        });
        let name = args.next().unwrap_or_default();
        let name = String::from_utf8_lossy(&name).into_owned();
        args.fold(Command::new(&name), |command, word| command.arg(word))
    }

    /// The word with names of ours in it.
    fn named(&self, word: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(word.len());
        let mut rest = word;
        while let Some(at) = rest.windows(2).position(|two| two == b"@@") {
            out.extend_from_slice(&rest[..at]);
            out.extend(
                self.prefix
                    .bytes()
                    .map(|b| if b == b':' { b'_' } else { b }),
            );
            rest = &rest[at + 2..];
        }
        out.extend_from_slice(rest);
        out
    }

    /// Executes a command here, unless its reply is left open.
    fn say(&mut self, command: Command) -> Option<Said> {
        if self.unspecified(&command) {
            return None;
        }
        let ours = self
            .simulated
            .execute(&self.engine, self.now_us, SESSION, &command);
        let queued = match command.name() {
            // (A `MULTI` within one is refused, and ends nothing.)
            b"DISCARD" | b"EXEC" => std::mem::take(&mut self.queued),
            _ => Vec::new(),
        };
        if matches!(&ours, Reply::Status(text) if **text == *b"QUEUED") {
            self.queued.push(command.clone());
        }
        Some(Said {
            command,
            ours,
            queued,
        })
    }

    /// The two replies (ours, theirs), in comparable form, if they differ.
    ///
    /// # Errors
    /// If the real server cannot be asked.
    pub fn ask(&mut self, words: &[Vec<u8>]) -> Result<Option<(Reply, Reply)>, Error> {
        let command = self.command(words);
        let Some(said) = self.say(command) else {
            return Ok(None);
        };
        let theirs = self.real.call(&said.command)?;
        Ok(said.against(theirs))
    }

    /// A whole sequence under a prefix of its own, and then a look at the keys.
    /// All of it goes to the real server at once. The first difference, if
    /// there is one.
    ///
    /// # Errors
    /// If the real server cannot be asked.
    pub fn compare(&mut self, prefix: String, lines: &[Line]) -> Result<Option<Difference>, Error> {
        self.compare_with(prefix, lines, false)
    }

    /// As [`Pair::compare`]; `sabotaged`: here all is lost before the last line.
    fn compare_with(
        &mut self,
        prefix: String,
        lines: &[Line],
        sabotaged: bool,
    ) -> Result<Option<Difference>, Error> {
        self.begin(prefix);
        let mut said = Vec::with_capacity(lines.len() + 3 * NAMES.len());
        let mut at = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            if sabotaged && index + 1 == lines.len() {
                self.forget();
            }
            let command = self.command(&line.words());
            if let Some(one) = self.say(command) {
                at.push(index);
                said.push(one);
            }
        }
        // Both may be in a transaction still; if only one is, that is seen.
        said.extend(self.say(Command::new("DISCARD")));
        for name in NAMES {
            for look in self.look(name) {
                said.extend(self.say(look));
            }
        }
        let theirs = self.theirs(&said)?;
        let mut commands = Vec::new();
        for (index, (one, theirs)) in said.into_iter().zip(theirs).enumerate() {
            commands.push(one.command.clone());
            if left_a_mark(&one, &theirs) {
                return Ok(None);
            }
            if let Some((ours, theirs)) = one.against(theirs) {
                // What only looks is not part of what was said.
                let looks = at.len()..commands.len() - 1;
                if index >= at.len() {
                    commands.drain(looks);
                }
                return Ok(Some(Difference {
                    lines: at.get(index).map_or(lines.len(), |line| line + 1),
                    commands,
                    ours,
                    theirs,
                }));
            }
        }
        Ok(None)
    }

    /// What the real server answers to all that was said, between beginning
    /// anew and cleaning up.
    fn theirs(&mut self, said: &[Said]) -> Result<Vec<Reply>, Error> {
        let mut all = vec![Command::new("DISCARD"), Command::new("UNWATCH")];
        let first = all.len();
        all.extend(said.iter().map(|said| said.command.clone()));
        let last = all.len();
        let key = |name: &str| [self.prefix.as_bytes(), name.as_bytes()].concat();
        let del = NAMES
            .iter()
            .fold(Command::new("DEL"), |del, name| del.arg(key(name)));
        all.push(del);
        if said.iter().any(|said| said.command.name() == b"FUNCTION") {
            for library in LIBRARIES {
                let name = self.named(format!("@@{library}").as_bytes());
                all.push(Command::new("FUNCTION").arg("DELETE").arg(name));
            }
        }
        self.real.send_all(&all)?;
        let mut theirs = Vec::with_capacity(said.len());
        for at in 0..all.len() {
            let reply = self.real.receive()?;
            if (first..last).contains(&at) {
                theirs.push(reply);
            }
        }
        Ok(theirs)
    }

    /// Commands that show what a key holds, and until when.
    fn look(&self, name: &str) -> Vec<Command> {
        let key = format!("{}{name}", self.prefix);
        let ask = |words: &[&str], more: &[&str]| {
            let command = Command::new(words[0]);
            let command = words[1..].iter().fold(command, Command::arg);
            more.iter().fold(command.arg(&key), Command::arg)
        };
        let mut looks = vec![ask(&["TYPE"], &[])];
        // There the time left is all that is told, which passes meanwhile.
        if self.version != Version::V6_2 {
            looks.push(ask(&["PEXPIRETIME"], &[]));
        }
        let value = self.simulated.keyspace().get(key.as_bytes(), self.now_us);
        looks.extend(value.map(|value| match value {
            Value::Str(_) => ask(&["GET"], &[]),
            Value::List(_) => ask(&["LRANGE"], &["0", "-1"]),
            Value::Hash(_) => ask(&["HGETALL"], &[]),
            Value::Set(_) => ask(&["SMEMBERS"], &[]),
            Value::ZSet(_) => ask(&["ZRANGE"], &["0", "-1", "WITHSCORES"]),
            Value::Stream(_) => ask(&["XINFO", "STREAM"], &["FULL"]),
        }));
        looks
    }

    /// Whether Redis leaves the reply open: ranges by member are meant for
    /// members of equal score. Valkey counts a negative offset from the end of a
    /// range where the set is a skip list, which depends on what it was before.
    /// Redis 6.2 crashes now and then in such sequences, inside Lua; scripts that
    /// ask for the third protocol are left out there, which is not enough.
    fn unspecified(&self, command: &Command) -> bool {
        let third = |arg: &[u8]| arg.windows(8).any(|part| part == b"setresp(");
        let known = |sha: &[u8]| self.third.iter().any(|known| known == sha);
        let mut args = command.args.iter();
        if self.version == Version::V6_2 && args.any(|arg| third(arg) || known(arg)) {
            return true;
        }
        if let Some((_, inner)) = canonical::through(command) {
            return self.unspecified(&inner);
        }
        let valkey = matches!(self.version, Version::Valkey8 | Version::Valkey9);
        // Its Lua has tables in another order.
        let orders = |arg: &Bytes| {
            let calls = |name: &[u8]| arg.windows(name.len()).any(|part| part == name);
            calls(b"cjson.encode(") || calls(b"cmsgpack.pack(")
        };
        if valkey && command.args.iter().any(orders) {
            return true;
        }
        if valkey && command.name().starts_with(b"Z") {
            let negative = |pair: &[Bytes]| {
                pair[0].eq_ignore_ascii_case(b"limit") && pair[1].starts_with(b"-")
            };
            if command.args.windows(2).any(negative) {
                return true;
            }
        }
        if command.name().starts_with(b"SORT") && self.collates_a_nul(command) {
            return true;
        }
        let lex = command
            .args
            .iter()
            .any(|arg| arg.eq_ignore_ascii_case(b"bylex"));
        let lex = lex || command.name().ends_with(b"LEX") || command.name() == b"ZLEXCOUNT";
        let mut keys = command.args.iter().skip(1).take(2);
        lex && keys.any(|key| {
            let zset = self.simulated.keyspace().zset(key, self.now_us);
            let scores = zset
                .map(|zset| zset.range(0, usize::MAX))
                .unwrap_or_default();
            scores.windows(2).any(|pair| pair[0].1 != pair[1].1)
        })
    }

    /// Whether `SORT` compares texts that are equal as far as C's `strcoll`
    /// sees, which stops at a NUL: then any order will do.
    fn collates_a_nul(&self, command: &Command) -> bool {
        let alpha = |arg: &Bytes| arg.eq_ignore_ascii_case(b"alpha");
        let nul = |text: &Bytes| text.contains(&0);
        let Some(key) = command.args.get(1) else {
            return false;
        };
        let value = self.simulated.keyspace().get(key, self.now_us);
        let found = value.is_some_and(|value| match value {
            Value::Set(set) => set.iter().any(nul),
            Value::List(list) => list.iter().any(nul),
            Value::ZSet(zset) => zset
                .range(0, usize::MAX)
                .iter()
                .any(|(member, _)| nul(member)),
            Value::Str(_) | Value::Hash(_) | Value::Stream(_) => false,
        });
        found && command.args.iter().any(alpha)
    }
}

/// Whether `SORT` has taken for its own what somebody left in C's `errno` who read a
/// number beyond all floats, maybe long ago: nobody can know that here, and what
/// follows is not compared.
fn left_a_mark(said: &Said, theirs: &Reply) -> bool {
    fn told(reply: &Reply) -> bool {
        const CANNOT: &[u8] = b"One or more scores can't be converted into double";
        match reply {
            Reply::Error(text) | Reply::Bulk(text) => {
                text.windows(CANNOT.len()).any(|part| part == CANNOT)
            }
            Reply::Array(items) => items.iter().any(told),
            _ => false,
        }
    }
    told(theirs) && !told(&said.ours)
}

/// What `TIME` answers, in microseconds.
fn time_us(reply: &Reply) -> Option<u64> {
    let Reply::Array(parts) = reply else {
        return None;
    };
    let part = |at: usize| u64::try_from(parts.get(at)?.as_int()?).ok();
    part(0)?.checked_mul(1_000_000)?.checked_add(part(1)?)
}

/// A command that the two servers answer differently, after others.
#[derive(Clone, Debug)]
pub struct Difference {
    /// So many lines of the sequence lead to it.
    lines: usize,
    /// What was said, the last of it answered differently.
    pub commands: Vec<Command>,
    /// What the simulated server answered last.
    pub ours: Reply,
    /// What the real server answered last.
    pub theirs: Reply,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for command in &self.commands {
            writeln!(f, "{command:?}")?;
        }
        writeln!(f, "  real      {:?}", self.theirs)?;
        write!(f, "  simulated {:?}", self.ours)
    }
}
