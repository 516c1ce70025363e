//! The simulated Redis against a real one: the same commands, the same replies.
//!
//! Random sequences fill templates of commands with keys and with values that
//! sit on the edges, so that the pairs of commands nobody thought of meet. A
//! sequence that is answered differently is shrunk: no command can be left out.
//! The simulated clock stands still meanwhile, so that times are given as far
//! in the past or the future.

mod canonical;
mod words;

use std::fmt;

use sluice_core::redis::{Command, Reply};
use sluice_sim::redis::{Engine, Server as Simulated, SessionId, Version};

use crate::real::{Connection, Error, Server, Space};
use canonical::canonical;
pub use words::{fill, lines, templates, words};

/// Both servers, asked the same.
pub struct Pair {
    real: Connection,
    simulated: Simulated,
    engine: Engine,
    now_us: u64,
    prefix: String,
    /// What the open transaction holds, for the shape of its replies.
    queued: Vec<Command>,
}

impl Pair {
    /// A simulated server of the real one's version; keys get this prefix.
    ///
    /// # Errors
    /// If the real server cannot be asked.
    pub fn new(server: &Server, prefix: String) -> Result<Self, Error> {
        // Told as "redis 7.0.15"; a Valkey is taken for the Redis it came from.
        let told = server.version();
        let version = match told.strip_prefix("redis ") {
            Some(number) => Version::nearest(number),
            None => Version::default(),
        };
        let mut real = server.connect()?;
        let time = real.call(&Command::new("TIME"))?;
        let now_us = time_us(&time).ok_or_else(|| Error::Protocol {
            address: server.describe(),
            why: format!("it answers {time:?} to TIME"),
        })?;
        Ok(Self {
            real,
            simulated: Simulated::with_version(version),
            engine: Engine::new(),
            now_us,
            prefix,
            queued: Vec::new(),
        })
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
        self.prefix = prefix;
        self.queued.clear();
        self.forget();
        Ok(())
    }

    /// The simulated server loses all it knows, alone.
    pub fn forget(&mut self) {
        self.simulated.disconnect(SessionId(1));
        self.simulated.restart(false);
    }

    /// A command from words; `$name` is a key of ours.
    #[must_use]
    pub fn command(&self, words: &[Vec<u8>]) -> Command {
        let mut args = words.iter().map(|word| match word.strip_prefix(b"$") {
            Some(name) => [self.prefix.as_bytes(), name].concat(),
            None => word.clone(),
        });
        let name = args.next().unwrap_or_default();
        let name = String::from_utf8_lossy(&name).into_owned();
        args.fold(Command::new(&name), |command, word| command.arg(word))
    }

    /// The two replies (ours, theirs), in comparable form, if they differ.
    ///
    /// # Errors
    /// If the real server cannot be asked.
    pub fn ask(&mut self, words: &[Vec<u8>]) -> Result<Option<(Reply, Reply)>, Error> {
        let command = self.command(words);
        if self.unspecified(&command) {
            return Ok(None);
        }
        let theirs = self.real.call(&command)?;
        let ours = self
            .simulated
            .execute(&self.engine, self.now_us, SessionId(1), &command);
        let queued = match command.name() {
            b"MULTI" | b"DISCARD" | b"EXEC" => std::mem::take(&mut self.queued),
            _ => Vec::new(),
        };
        if theirs == Reply::Status(b"QUEUED"[..].into()) {
            self.queued.push(command.clone());
        }
        let of = |reply| match reply {
            Reply::Array(items) if command.name() == b"EXEC" => {
                let each = queued.iter().zip(items);
                Reply::Array(each.map(|(one, reply)| canonical(one, reply)).collect())
            }
            other => canonical(&command, other),
        };
        let (ours, theirs) = (of(ours), of(theirs));
        Ok((ours != theirs).then_some((ours, theirs)))
    }

    /// Whether Redis leaves the reply open: ranges by member are meant for
    /// members of equal score.
    fn unspecified(&self, command: &Command) -> bool {
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
}

/// What `TIME` answers, in microseconds.
fn time_us(reply: &Reply) -> Option<u64> {
    let Reply::Array(parts) = reply else {
        return None;
    };
    let part = |at: usize| u64::try_from(parts.get(at)?.as_int()?).ok();
    part(0)?.checked_mul(1_000_000)?.checked_add(part(1)?)
}

/// Commands that the two servers answer differently.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The seed of the sequence that it was found in.
    pub seed: u64,
    /// What was said, the last of it answered differently. Shrunk.
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

/// A template, and which values fill it.
type Line = (usize, [usize; 8]);

/// Sequences by seed, one after the other.
pub struct Search<'a> {
    pair: Pair,
    space: &'a Space,
    templates: Vec<&'static str>,
    seed: u64,
    runs: u64,
    sabotaged: bool,
}

impl<'a> Search<'a> {
    /// Begins at this seed.
    ///
    /// # Errors
    /// If the real server cannot be asked.
    pub fn new(server: &Server, space: &'a Space, seed: u64) -> Result<Self, Error> {
        Ok(Self {
            pair: Pair::new(server, String::new())?,
            space,
            templates: templates(),
            seed,
            runs: 0,
            sabotaged: false,
        })
    }

    /// Lets the simulated server lose everything before each last command: for
    /// a test of the alarm.
    pub fn sabotage(&mut self) {
        self.sabotaged = true;
    }

    /// Tries the next sequence; a difference comes shrunk.
    ///
    /// # Errors
    /// If the real server cannot be asked.
    pub fn try_next(&mut self) -> Result<Option<Difference>, Error> {
        let seed = self.seed;
        self.seed = self.seed.wrapping_add(1);
        let lines = self.sequence(seed);
        let Some(mut best) = self.run(&lines, seed)? else {
            return Ok(None);
        };
        let mut left = lines[..best.commands.len()].to_vec();
        let mut width = left.len().div_ceil(2);
        loop {
            let mut at = 0;
            let mut shorter = false;
            while at < left.len() {
                let mut fewer = left.clone();
                fewer.drain(at..(at + width).min(left.len()));
                match self.run(&fewer, seed)? {
                    Some(found) => {
                        fewer.truncate(found.commands.len());
                        (left, best, shorter) = (fewer, found, true);
                    }
                    None => at += width,
                }
            }
            if width == 1 && !shorter {
                return Ok(Some(best));
            }
            width = (width / 2).max(1);
        }
    }

    fn sequence(&self, seed: u64) -> Vec<Line> {
        // SplitMix64 (Steele, Lea, Flood 2014).
        let mut state = seed;
        let mut draw = move |below: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ mixed >> 31) % below as u64) as usize
        };
        let len = 1 + draw(60);
        let line = |_| (draw(self.templates.len()), [(); 8].map(|()| draw(1000)));
        (0..len).map(line).collect()
    }

    /// Runs a sequence on both, up to the first difference.
    fn run(&mut self, lines: &[Line], seed: u64) -> Result<Option<Difference>, Error> {
        self.runs += 1;
        let prefix = self.space.key(&format!("{}:", self.runs));
        self.pair.start(prefix)?;
        let mut said = Vec::with_capacity(lines.len());
        let mut found = None;
        for (at, (template, picks)) in lines.iter().enumerate() {
            if self.sabotaged && at + 1 == lines.len() {
                self.pair.forget();
            }
            let words = fill(self.templates[*template], picks);
            said.push(self.pair.command(&words));
            if let Some((ours, theirs)) = self.pair.ask(&words)? {
                found = Some((ours, theirs));
                break;
            }
        }
        self.pair.clean()?;
        Ok(found.map(|(ours, theirs)| Difference {
            seed,
            commands: said,
            ours,
            theirs,
        }))
    }
}

impl Pair {
    /// Removes the keys that templates name from the real server.
    fn clean(&mut self) -> Result<(), Error> {
        self.real.call(&Command::new("DISCARD"))?;

        let key = |name: u8| [self.prefix.as_bytes(), &[name]].concat();
        let del = (b'a'..=b'e').fold(Command::new("DEL"), |del, name| del.arg(key(name)));
        self.real.call(&del)?;
        Ok(())
    }
}
