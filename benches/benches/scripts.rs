//! What the scripts cost a real server, beside scripts that do nothing.
//!
//! The figure is the server's own, `usec_per_call` of INFO commandstats, so the
//! network and this client are not in it. Everything is measured in turns on one
//! private server, and each ratio is taken within its turn: machines get slower
//! and faster while one looks. A *floor* is a script that makes the same calls of
//! Redis with constant arguments and does nothing else; no script that needs
//! these calls can be cheaper.
//!
//! `cargo bench -p sluice-benches --bench scripts [-- LARGEST_QUEUE]`; with
//! `--test` everything runs once, small.

use std::error::Error;
use std::fmt::Write as _;
use std::thread::sleep;
use std::time::Duration;

use sluice_core::redis::{Command, Reply};
use sluice_core::script::{self, GateKeys, Script};
use sluice_core::slots::{Class, Config, Outcome};
use verify::real::{Connection, Server, Want};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Calls in flight at once while measuring: the server is never idle, so its
/// caches are as warm as under load.
const WINDOW: usize = 200;
const LEASE_MS: u64 = 40;
const NOTHING: &str = "`return 1`";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let quick = arguments.iter().any(|argument| argument == "--test");
    let largest = arguments.iter().find_map(|argument| argument.parse().ok());
    let server = match Server::find(&Want::Local) {
        Ok(server) => server,
        Err(missing) => {
            println!("skipped: {missing}");
            return Ok(());
        }
    };
    println!("{}\n", server.describe());
    let sizes: Vec<u64> = [100, 1_000, 10_000, 100_000, 1_000_000]
        .into_iter()
        .filter(|size| *size <= largest.unwrap_or(if quick { 100 } else { 1_000_000 }))
        .collect();
    let turns = if quick { 1 } else { 15 };
    let mut bench = Bench::new(&server)?;
    bench.calls(&sizes, turns)?;
    println!("{}", bench.table());
    println!(
        "{}",
        throughput(&server, &mut bench, if quick { 1_000 } else { 100_000 })?
    );
    Ok(())
}

/// One server, and what was measured on it.
struct Bench {
    redis: Connection,
    /// Digest of `return 1`, and what it cost in this turn, in µs.
    nothing: String,
    nothing_us: f64,
    /// Name, then by turn: µs per call, and how many times `return 1` that is.
    measured: Vec<(String, Vec<(f64, f64)>)>,
    next_id: u64,
}

impl Bench {
    fn new(server: &Server) -> Result<Self> {
        let mut bench = Self {
            redis: server.connect()?,
            nothing: String::new(),
            nothing_us: f64::NAN,
            measured: Vec::new(),
            next_id: 0,
        };
        bench.nothing = bench.load("return 1")?;
        for script in script::ALL.into_iter().chain(script::GUARDED_ALL) {
            bench.load(script.text)?;
        }
        Ok(bench)
    }

    fn load(&mut self, text: &str) -> Result<String> {
        let reply = self
            .redis
            .call(&Command::new("SCRIPT").arg("LOAD").arg(text))?;
        let digest = reply
            .as_bytes()
            .ok_or_else(|| format!("SCRIPT LOAD: {reply:?}"))?;
        Ok(String::from_utf8_lossy(digest).into_owned())
    }

    /// Runs the calls and notes the server's time for each; their replies.
    fn measure(&mut self, name: &str, calls: &[Command]) -> Result<Vec<Reply>> {
        let before = self.spent()?;
        let replies = self.run(calls)?;
        let after = self.spent()?;
        let each = (after.1 - before.1) as f64 / (after.0 - before.0) as f64;
        if name == NOTHING {
            self.nothing_us = each;
        }
        let turn = (each, each / self.nothing_us);
        match self.measured.iter_mut().find(|(known, _)| known == name) {
            Some((_, turns)) => turns.push(turn),
            None => self.measured.push((name.to_owned(), vec![turn])),
        }
        Ok(replies)
    }

    /// What everything else in this turn is compared with.
    fn measure_nothing(&mut self, calls: u64) -> Result<()> {
        let nothing = Command::new("EVALSHA").arg(&self.nothing).arg("0");
        self.measure(NOTHING, &vec![nothing; 3 * usize::try_from(calls)?])?;
        Ok(())
    }

    /// Calls of EVALSHA so far, and µs spent in them.
    fn spent(&mut self) -> Result<(u64, u64)> {
        let info = self.redis.info("commandstats")?;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_evalsha:"));
        let number = |name: &str| {
            let fields = line.unwrap_or("calls=0,usec=0").split(',');
            fields
                .filter_map(|field| field.strip_prefix(name))
                .find_map(|n| n.parse().ok())
        };
        let found = number("calls=").zip(number("usec="));
        found.ok_or_else(|| "INFO commandstats tells no calls".into())
    }

    fn run(&mut self, calls: &[Command]) -> Result<Vec<Reply>> {
        let mut replies = Vec::with_capacity(calls.len());
        for some in calls.chunks(WINDOW) {
            for call in some {
                self.redis.send(call)?;
            }
            for _ in some {
                match self.redis.receive()? {
                    Reply::Error(text) => return Err(text.escape_ascii().to_string().into()),
                    reply => replies.push(reply),
                }
            }
        }
        Ok(replies)
    }

    /// `n` joins of ids never seen before.
    fn joins(&mut self, gate: &GateKeys, config: &Config, n: u64) -> Vec<Command> {
        let first = self.next_id;
        self.next_id += n;
        (first..first + n)
            .map(|i| {
                let id = format!("user-{i}");
                script::acquire(gate, config, id.as_bytes(), 1, Class::ZERO, true)
            })
            .collect()
    }

    /// The gate `name` with so many joined.
    fn filled(&mut self, name: &str, config: &Config, n: u64) -> Result<GateKeys> {
        let gate = GateKeys::new("", name)?;
        let mut left = n;
        while left > 0 {
            let some = left.min(10_000);
            let joins = self.joins(&gate, config, some);
            self.run(&joins)?;
            left -= some;
        }
        Ok(gate)
    }

    /// Every kind of call, at every size, in turns.
    fn calls(&mut self, sizes: &[u64], turns: u32) -> Result<()> {
        let calls: u64 = if turns == 1 { 20 } else { 400 };
        // Endings stay for an hour, so that nothing is due but what is measured.
        let cap = |capacity, lease_ms| Config {
            capacity,
            lease_ms: Some(lease_ms),
            queue_limit: u32::MAX,
            batch: 1,
            presence: None,
            wait_timeout_ms: None,
            tombstone_ms: 3_600_000,
            ..Config::semaphore(capacity, lease_ms, 1)
        };
        let (open, full) = (cap(1_000_000_000, 3_600_000), cap(20, 3_600_000));
        let timed = Config {
            wait_timeout_ms: Some(3_600_000),
            ..full
        };
        let brief = cap(u32::try_from(calls)?, LEASE_MS);
        let floors = Floors::load(self)?;
        for &size in sizes {
            println!("measuring with {size} in line …");
            let granted = self.filled(&format!("granted-{size}"), &open, size)?;
            let queued = self.filled(&format!("queued-{size}"), &full, size + 20)?;
            let waits = self.filled(&format!("timed-{size}"), &timed, size + 20)?;
            let expiring = self.filled(&format!("expiring-{size}"), &brief, size + calls)?;
            let bare = self.filled(&format!("floor-{size}"), &full, size + 20)?;
            for _ in 0..turns {
                self.measure_nothing(calls)?;
                let same = self.joins(&granted, &open, calls);
                let same = same
                    .into_iter()
                    .map(|c| instead(c, &self.nothing))
                    .collect::<Vec<_>>();
                self.measure("`return 1` with a join's keys and arguments", &same)?;
                for (name, gate, config, floor, word) in [
                    ("granted", &granted, &open, &floors.granted, "granted"),
                    ("queued", &queued, &full, &floors.queued, "waiting"),
                    (
                        "queued, wait timeout",
                        &waits,
                        &timed,
                        &floors.timed,
                        "waiting",
                    ),
                ] {
                    let joins = self.joins(gate, config, calls);
                    let replies = self.measure(&row(name, size), &joins)?;
                    all(&replies, word)?;
                    let joins = self.joins(&bare, config, calls);
                    let floor: Vec<_> = joins.into_iter().map(|c| instead(c, floor)).collect();
                    self.measure(&row(&format!("floor of {name}"), size), &floor)?;
                }
                self.expiry(&expiring, &brief, size, calls)?;
                let joins = self.joins(&bare, &brief, calls);
                let floor: Vec<_> = joins
                    .into_iter()
                    .map(|c| instead(c, &floors.expiry))
                    .collect();
                self.measure(&row("floor of expiry and promotion", size), &floor)?;
            }
            for gate in [&granted, &queued, &waits, &expiring, &bare] {
                let unlink = Command::new("UNLINK").arg(gate.gate()).arg(gate.line());
                self.redis.call(&unlink.arg(gate.due()))?;
            }
        }
        self.others(&full, turns, calls)
    }

    /// Joins each of which expires one holder and promotes one waiter (B is 1).
    fn expiry(&mut self, gate: &GateKeys, config: &Config, size: u64, calls: u64) -> Result<()> {
        sleep(Duration::from_millis(LEASE_MS + 5));
        let count = |status: script::Status| (status.stats.reclaimed, status.stats.processed);
        let before = count(self.status(gate, config)?);
        let joins = self.joins(gate, config, calls);
        let replies = self.measure(&row("expiry and promotion", size), &joins)?;
        all(&replies, "waiting")?;
        let after = count(self.status(gate, config)?);
        if (after.0 - before.0, after.1 - before.1) != (calls, calls) {
            return Err(format!("{calls} joins moved {before:?} to {after:?}").into());
        }
        Ok(())
    }

    fn status(&mut self, gate: &GateKeys, config: &Config) -> Result<script::Status> {
        let reply = self.redis.call(&script::status(gate, config))?;
        Ok(script::decode_status(&reply)?)
    }

    /// Poll, renew and release, in a gate of ordinary size.
    fn others(&mut self, config: &Config, turns: u32, calls: u64) -> Result<()> {
        let open = Config {
            capacity: 1_000_000_000,
            ..*config
        };
        let held = GateKeys::new("", "held")?;
        // In its pause, which lasts for a lease: an INFO and an HGET more.
        let guarded = GateKeys::new("", "guarded")?.guarded();
        let line = self.filled("line", config, 1_020)?;
        for _ in 0..turns {
            self.measure_nothing(calls)?;
            let joins = self.joins(&line, config, calls);
            self.run(&joins)?;
            let polls: Vec<_> = joins
                .iter()
                .map(|join| instead_of(join, &script::POLL))
                .collect();
            all(&self.measure("poll, waiting", &polls)?, "waiting")?;
            let joins = self.joins(&guarded, config, calls);
            all(&self.measure("queued, guarded", &joins)?, "waiting")?;
            let joins = self.joins(&held, &open, calls);
            let fences: Vec<_> = self.run(&joins)?.iter().map(fence).collect::<Result<_>>()?;
            for (name, script, word) in [
                ("renew", &script::RENEW, "renewed"),
                ("release", &script::RELEASE, "released"),
            ] {
                let calls = joins.iter().zip(&fences).map(|(join, fence)| {
                    let mut call = instead_of(join, script);
                    call.args[8] = fence.to_string().as_bytes().into();
                    call
                });
                let calls: Vec<_> = calls.collect();
                all(&self.measure(name, &calls)?, word)?;
            }
        }
        Ok(())
    }

    /// What was measured: the least µs of all turns, and the medians of the
    /// ratios within a turn.
    fn table(&self) -> String {
        let turns = |name: &str| {
            let found = self.measured.iter().find(|(known, _)| known == name);
            found.map(|(_, turns)| &turns[..])
        };
        let mut text =
            "| call | least µs | × `return 1` | × its floor |\n|---|---|---|---|\n".to_owned();
        for (name, values) in &self.measured {
            let least = values
                .iter()
                .map(|value| value.0)
                .fold(f64::INFINITY, f64::min);
            let ratio = median(values.iter().map(|value| value.1).collect());
            let floor = turns(&format!("floor of {name}")).map(|floor| {
                let ratios = values
                    .iter()
                    .zip(floor)
                    .map(|(value, floor)| value.0 / floor.0);
                format!("{:.2}", median(ratios.collect()))
            });
            let floor = floor.unwrap_or_default();
            writeln!(text, "| {name} | {least:.2} | {ratio:.1} | {floor} |")
                .expect("a string takes everything");
        }
        text
    }
}

fn row(name: &str, size: u64) -> String {
    format!("{name}, {size}")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The same call of another script.
fn instead(mut call: Command, digest: &str) -> Command {
    call.args[1] = digest.as_bytes().into();
    call
}

fn instead_of(call: &Command, script: &Script) -> Command {
    instead(call.clone(), script.sha1)
}

fn all(replies: &[Reply], word: &str) -> Result<()> {
    let fits = |reply: &&Reply| {
        reply
            .as_bytes()
            .is_some_and(|text| text.starts_with(word.as_bytes()))
    };
    match replies.iter().find(|reply| !fits(reply)) {
        None => Ok(()),
        Some(reply) => Err(format!("{reply:?} where `{word}` was to be measured").into()),
    }
}

fn fence(reply: &Reply) -> Result<u64> {
    match script::decode(reply)?.outcome {
        Outcome::Granted { fence, .. } => Ok(fence),
        other => Err(format!("{other:?} is no grant").into()),
    }
}

/// Scripts that make the calls of a join and nothing else.
struct Floors {
    granted: String,
    queued: String,
    timed: String,
    expiry: String,
}

impl Floors {
    fn load(bench: &mut Bench) -> Result<Self> {
        let read = "local call, id = redis.call, ARGV[2] call('TIME') call('HMGET', KEYS[1], '\\1', '\\3') ";
        let held = "call('ZCOUNT', KEYS[2], '-4e15', '(0') ";
        let line = "call('ZCOUNT', KEYS[2], '0', '+inf') ";
        let join = "call('ZADD', KEYS[2], 'NX', '17179900000', id) ";
        let due = "call('ZADD', KEYS[3], '1790000000000', id) ";
        let (hot, record) = ("h".repeat(80), "r".repeat(41));
        let write = format!("call('HSET', KEYS[1], '\\5', '{hot}', id, '{record}') ");
        let waiting = "return 'waiting 1000 0 0 0 0'";
        let granted = format!(
            "{read}{held}call('ZADD', KEYS[2], 'NX', '-2210000000000000', id) {write}\
             return 'granted 1790000000000 3600000 0 0'"
        );
        let queued = format!("{read}{held}{join}{line}{write}{waiting}");
        let timed = format!("{read}{held}{join}{line}{due}{write}{waiting}");
        // Reads what is due, the records of three ids, both ends of the line;
        // moves three ids; counts; tells one; writes statistics and records.
        let expiry = format!(
            "{read}call('HGET', KEYS[1], '\\4') \
             call('ZRANGEBYSCORE', KEYS[2], '-4e15', '(0', 'WITHSCORES', 'LIMIT', '0', '2') \
             call('HGET', KEYS[1], 'user-1') \
             call('ZADD', KEYS[2], 'XX', '-6210000000000000', 'nobody') \
             call('HGET', KEYS[1], id) call('ZCOUNT', KEYS[2], '0', '(4e15') {held}{join}\
             call('ZRANGEBYSCORE', KEYS[2], '0', '(4e15', 'LIMIT', '0', '2') \
             call('HGET', KEYS[1], 'user-2') \
             call('ZADD', KEYS[2], 'XX', '-2210000000000000', 'nobody') \
             call('PUBLISH', 'floor:wake', 'user-2') {line}\
             call('ZRANGEBYSCORE', KEYS[2], '-4e15', '(0', 'WITHSCORES', 'LIMIT', '0', '1') \
             call('HSET', KEYS[1], '\\5', '{hot}', '\\6', '{hot}', '\\7', '{hot}', id, '{record}') \
             call('HINCRBY', KEYS[1], '\\8', '1') call('HINCRBY', KEYS[1], '\\8', '1') \
             call('HINCRBY', KEYS[1], '\\8', '1') {waiting}"
        );
        Ok(Self {
            granted: bench.load(&granted)?,
            queued: bench.load(&queued)?,
            timed: bench.load(&timed)?,
            expiry: bench.load(&expiry)?,
        })
    }
}

/// Calls a second over 50 connections, one call at a time on each, as
/// `redis-benchmark` sees them.
fn throughput(server: &Server, bench: &mut Bench, calls: u32) -> Result<String> {
    let url = server.url();
    let port = url
        .rsplit(':')
        .next()
        .and_then(|rest| rest.split('/').next())
        .unwrap_or_default();
    let config = Config {
        queue_limit: u32::MAX,
        ..Config::semaphore(1_000_000_000, 3_600_000, 300_000)
    };
    let gate = GateKeys::new("", "throughput")?;
    let join = script::acquire(&gate, &config, b"user-__rand_int__", 1, Class::ZERO, true);
    let nothing = Command::new("EVALSHA").arg(&bench.nothing).arg("0");
    let (mut rates, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    for _ in 0..if calls > 1_000 { 5 } else { 1 } {
        for (command, rates) in [&nothing, &join].into_iter().zip(&mut rates) {
            let mut benchmark = std::process::Command::new("redis-benchmark");
            benchmark.args(["-p", port, "-c", "50", "-r", "1000000000000", "--csv", "-n"]);
            benchmark.arg(calls.to_string());
            for arg in &command.args {
                benchmark.arg(std::str::from_utf8(arg)?);
            }
            let Ok(output) = benchmark.output() else {
                return Ok("throughput: skipped, no redis-benchmark on the PATH".to_owned());
            };
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let rate = text
                .lines()
                .last()
                .and_then(|line| line.split("\",\"").nth(1));
            let rate = rate.and_then(|rate| rate.trim_matches('"').parse::<f64>().ok());
            rates.push(rate.ok_or_else(|| format!("redis-benchmark says: {text}"))?);
        }
        ratios.push(rates[1].last().unwrap_or(&0.0) / rates[0].last().unwrap_or(&1.0));
    }
    let [nothing, join] = rates.map(median);
    Ok(format!(
        "50 connections, calls a second: `return 1` {nothing:.0}, granted {join:.0}; ratio {:.2}",
        median(ratios)
    ))
}
