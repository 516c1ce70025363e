//! The simulated Redis against a real one: the same commands, the same replies.
//!
//! Two ways of asking. *Conversations* are files of lines picked by hand, each
//! of which once was, or easily could be, answered differently. *Random
//! sequences* fill templates of commands with keys and with values that sit on
//! the edges (empty, huge, negative, not a number, wrong type), so that the
//! pairs of commands nobody thought of meet as well; a mismatch is shrunk.
//!
//! What Redis leaves open is not compared: the order of what comes out of a
//! hash table (both sides are sorted), and members picked at random.

use std::collections::BTreeSet;

use libtest_mimic::{Arguments, Failed};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use sluice_core::redis::{Command, Reply};
use sluice_sim::redis::{Engine, Server as Simulated, SessionId, Version};
use verify::real::{self, Connection, Server};

const CONVERSATIONS: &[(&str, &str)] = &[
    ("keys", include_str!("differential/keys.txt")),
    ("strings", include_str!("differential/strings.txt")),
    ("bits", include_str!("differential/bits.txt")),
    ("streams", include_str!("differential/streams.txt")),
    ("blocking", include_str!("differential/blocking.txt")),
    ("databases", include_str!("differential/databases.txt")),
    ("hashes", include_str!("differential/hashes.txt")),
    ("lists", include_str!("differential/lists.txt")),
    ("sets", include_str!("differential/sets.txt")),
    ("sorted sets", include_str!("differential/zsets.txt")),
    (
        "transactions",
        include_str!("differential/transactions.txt"),
    ),
    ("scripts", include_str!("differential/scripts.txt")),
    ("libraries", include_str!("differential/libraries.txt")),
];

const TEMPLATES: &str = include_str!("differential/templates.txt");

fn main() {
    let mut trials: Vec<_> = CONVERSATIONS
        .iter()
        .map(|(name, text)| {
            real::trial(format!("the conversation about {name}"), |server| {
                conversation(server, text)
            })
        })
        .collect();
    trials.push(real::trial("random sequences", random_sequences));
    trials.push(real::trial("a planted difference is seen", planted));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Both servers, asked the same.
struct Pair {
    real: Connection,
    simulated: Simulated,
    engine: Engine,
    now_us: u64,
    prefix: String,
    /// What the open transaction holds, for the shape of its replies.
    queued: Vec<Command>,
}

impl Pair {
    fn new(server: &Server, prefix: String) -> Result<Self, Failed> {
        let version = if server.version().contains("7.0.") {
            Version::V7_0
        } else {
            Version::V7_2
        };
        let mut real = server.connect()?;
        let now_us = time_us(&real.call(&Command::new("TIME"))?);
        Ok(Self {
            real,
            simulated: Simulated::with_version(version),
            engine: Engine::new(),
            now_us,
            prefix,
            queued: Vec::new(),
        })
    }

    /// A command from words; `$name` is a key of ours.
    fn command(&self, words: &[Vec<u8>]) -> Command {
        let mut args = words.iter().map(|word| match word.strip_prefix(b"$") {
            Some(name) => [self.prefix.as_bytes(), name].concat(),
            None => word.clone(),
        });
        let name = args.next().unwrap_or_default();
        let name = String::from_utf8_lossy(&name).into_owned();
        args.fold(Command::new(&name), |command, word| command.arg(word))
    }

    /// The two replies, in comparable form, if they differ.
    fn ask(&mut self, words: &[Vec<u8>]) -> Result<Option<(Reply, Reply)>, real::Error> {
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

fn time_us(reply: &Reply) -> u64 {
    let Reply::Array(parts) = reply else {
        panic!("TIME answered {reply:?}");
    };
    let part = |at: usize| parts[at].as_int().expect("TIME answers numbers") as u64;
    part(0) * 1_000_000 + part(1)
}

/// Replies whose order means nothing are sorted.
fn canonical(command: &Command, reply: Reply) -> Reply {
    let width = match command.name().to_ascii_uppercase().as_slice() {
        b"HGETALL" => 2,
        b"HKEYS" | b"HVALS" | b"SMEMBERS" | b"SINTER" | b"SUNION" | b"SDIFF" | b"KEYS" => 1,
        // Only ever asked for all there are.
        b"HRANDFIELD" | b"ZRANDMEMBER" if command.args.len() == 4 => 2,
        b"HRANDFIELD" | b"ZRANDMEMBER" | b"SRANDMEMBER" | b"SPOP" => 1,
        b"XINFO" => return timeless(reply),
        b"XPENDING" if command.args.len() > 3 => return idle(reply),
        name @ (b"HSCAN" | b"SSCAN") => {
            let width = if name == b"HSCAN" { 2 } else { 1 };
            let Reply::Array(mut page) = reply else {
                return reply;
            };
            if let Some(items) = page.pop() {
                page.push(sorted(items, width));
            }
            return Reply::Array(page);
        }
        _ => return reply,
    };
    sorted(reply, width)
}

/// `XINFO` without what depends on clocks and on Redis's trees.
fn timeless(reply: Reply) -> Reply {
    const NAMES: &[&[u8]] = &[
        b"idle",
        b"inactive",
        b"seen-time",
        b"active-time",
        b"radix-tree-keys",
        b"radix-tree-nodes",
    ];
    const A_TIME_MS: i64 = 1_000_000_000_000;
    match reply {
        Reply::Array(items) => {
            let mut masked = false;
            let items = items.into_iter().map(|item| {
                let hidden = std::mem::replace(
                    &mut masked,
                    item.as_bytes().is_some_and(|name| NAMES.contains(&name)),
                );
                if hidden { Reply::Nil } else { timeless(item) }
            });
            Reply::Array(items.collect())
        }
        Reply::Int(n) if n > A_TIME_MS => Reply::Nil,
        other => other,
    }
}

/// `XPENDING` without idle times.
fn idle(reply: Reply) -> Reply {
    let Reply::Array(mut rows) = reply else {
        return reply;
    };
    for row in &mut rows {
        if let Reply::Array(row) = row
            && let Some(idle) = row.get_mut(2)
        {
            *idle = Reply::Nil;
        }
    }
    Reply::Array(rows)
}

/// An array with its groups of `width` items in order.
fn sorted(reply: Reply, width: usize) -> Reply {
    match reply {
        Reply::Array(items) => {
            let mut groups: Vec<&[Reply]> = items.chunks(width).collect();
            groups.sort_by_key(|group| format!("{group:?}"));
            Reply::Array(groups.concat())
        }
        other => other,
    }
}

/// The words of a line; a quoted word may hold spaces and `\xNN` escapes.
fn words(line: &str) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a closing quote"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        out.push(unescape(word));
        rest = after.trim_start();
    }
    out
}

fn unescape(word: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = word.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'~' {
            out.push(byte);
            continue;
        }
        let digits: Vec<u8> = bytes.by_ref().take(2).collect();
        let digits = std::str::from_utf8(&digits).expect("two hexadecimal digits after ~");
        out.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits after ~"));
    }
    out
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn conversation(server: &Server, text: &str) -> Result<(), Failed> {
    let space = server.space()?;
    let mut pair = Pair::new(server, space.prefix().to_owned())?;
    let mut differences = Vec::new();
    for (at, line) in lines(text) {
        if let Some((ours, theirs)) = pair.ask(&words(line))? {
            differences.push(format!(
                "line {at}: {line}\n  real      {theirs:?}\n  simulated {ours:?}"
            ));
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n{}", server.describe(), differences.join("\n")).into())
}

/// The alarm works: a server that has missed one write is found out.
fn planted(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    let mut pair = Pair::new(server, space.prefix().to_owned())?;
    pair.ask(&words("SADD $s a b"))?;
    pair.simulated = Simulated::new();
    match pair.ask(&words("SCARD $s"))? {
        Some(_) => Ok(()),
        None => Err("a lost write was not seen".into()),
    }
}

/// What may stand for a placeholder of a template.
fn pool(placeholder: &str) -> &'static [&'static str] {
    match placeholder {
        "K" => &["$a", "$b", "$c", "$d", "$e"],
        "V" => &[
            "",
            "x",
            "10",
            "-3",
            "3.25",
            "long value with spaces",
            "~00~ff",
            "9223372036854775807",
            "y",
        ],
        "M" => &["a", "b", "c", "d", "aa", "", "~ff", "1", "2"],
        "N" => &[
            "0",
            "1",
            "-1",
            "2",
            "7",
            "100",
            "9223372036854775807",
            "-9223372036854775808",
            "x",
            "",
            "01",
            "1.5",
        ],
        "I" => &["0", "1", "-1", "2", "-2", "5", "-100", "100", "x"],
        "C" => &["0", "1", "2", "3", "-1", "x"],
        "F" => &[
            "0",
            "1",
            "2",
            "-1",
            "1.5",
            "0.1",
            "3.0e2",
            "inf",
            "-inf",
            "nan",
            "x",
            "1e-7",
            "12345678901234567890",
        ],
        "B" => &["0", "1", "(1", "2", "(2", "-inf", "+inf", "(1.5", "x", "("],
        "L" => &["-", "+", "[a", "(a", "[b", "(c", "[", "x"],
        "O" => &["0", "1", "7", "8", "100", "4095", "-1", "x", "4294967296"],
        "Y" => &[
            "u8", "i8", "i16", "u63", "i64", "u1", "i5", "u64", "i65", "x",
        ],
        "Q" => &["0", "#1", "3", "100", "#9", "-1", "#x", "4294967296"],
        "W" => &["WRAP", "SAT", "FAIL", "x"],
        "D" => &[
            "1-1", "1-*", "2-0", "3-5", "5", "6-1", "0-*", "0-0", "x", "100-*",
        ],
        "X" => &[
            "0", "1-1", "2-0", "2", "3-5", "(1-1", "-", "+", "0-0", "x", "6-2",
        ],
        "G" => &["g", "g", "h", "none"],
        "E" => &["alice", "bob"],
        "T" => &["4102444800", "1", "-5", "x", "4102444800000"],
        "A" => &["4102444800000", "4102444801000", "1", "x"],
        other => panic!("no pool for placeholder {other}"),
    }
}

/// Fills a template; each `{X}` takes the next of `picks`.
fn fill(template: &str, picks: &[usize]) -> Vec<Vec<u8>> {
    let mut picks = picks.iter().cycle();
    let word = |word: &str| {
        let placeholder = word
            .strip_prefix('{')
            .and_then(|word| word.strip_suffix('}'));
        unescape(match placeholder {
            Some(placeholder) => {
                let pool = pool(placeholder);
                pool[picks.next().expect("cycles") % pool.len()]
            }
            None => word,
        })
    };
    template.split(' ').map(word).collect()
}

fn random_sequences(server: &Server) -> Result<(), Failed> {
    const SEED: [u8; 32] = *b"the same sequences in every run.";
    let cases = std::env::var("SLUICE_DIFF_CASES")
        .ok()
        .and_then(|n| n.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(150),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let templates: Vec<&str> = lines(TEMPLATES).map(|(_, line)| line).collect();
    let one = (0..templates.len(), prop::collection::vec(0usize..1000, 6));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let space = server.space()?;
    let mut used = BTreeSet::new();
    let mut case = 0;
    let connection = std::cell::RefCell::new(Pair::new(server, String::new())?);
    let outcome = {
        let used = std::cell::RefCell::new(&mut used);
        let case = std::cell::RefCell::new(&mut case);
        runner.run(&prop::collection::vec(one, 1..60), |sequence| {
            let mut pair = connection.borrow_mut();
            **case.borrow_mut() += 1;
            pair.prefix = space.key(&format!("{}:", case.borrow()));
            for word in ["DISCARD", "UNWATCH"] {
                let ended = pair.real.call(&Command::new(word));
                ended.map_err(|e| TestCaseError::fail(e.to_string()))?;
            }
            pair.simulated = fresh(&pair);
            pair.queued.clear();
            let mut said = Vec::new();
            for (template, picks) in sequence {
                let words = fill(templates[template], &picks);
                used.borrow_mut().insert(template);
                said.push(format!("{:?}", pair.command(&words)));
                let different = pair
                    .ask(&words)
                    .map_err(|e| TestCaseError::fail(e.to_string()))?;
                if let Some((ours, theirs)) = different {
                    return Err(TestCaseError::fail(format!(
                        "\n{}\n  real      {theirs:?}\n  simulated {ours:?}",
                        said.join("\n")
                    )));
                }
            }
            Ok(())
        })
    };
    match outcome {
        Ok(()) if used.len() * 10 >= templates.len() * 9 => Ok(()),
        Ok(()) => Err(format!(
            "only {} of {} templates were used",
            used.len(),
            templates.len()
        )
        .into()),
        Err(TestError::Fail(reason, _)) => Err(format!("{}{reason}", server.describe()).into()),
        Err(TestError::Abort(reason)) => Err(reason.to_string().into()),
    }
}

fn fresh(pair: &Pair) -> Simulated {
    let mut fresh = pair.simulated.clone();
    fresh.restart(false);
    fresh
}
