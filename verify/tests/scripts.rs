//! The scripts of `lua/` against `core::slots::Slots`: the same operations at
//! the same times, compared reply by reply, zone by zone, counter by counter.
//!
//! One body, two backends. On the simulated Redis time is stepped at will. On a
//! real one it passes by itself, and what time a script saw is not in its
//! reply; but TIME sent before and after in the same packet leaves one or two
//! candidates, and `Slots` must agree for one of them, so that leases and
//! timeouts are compared exactly there, too.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::{Config as Proptest, RngAlgorithm, TestRng, TestRunner};
use sluice_core::redis::{Bytes, Command, Reply as RedisReply};
use sluice_core::script::{self, GateKeys, Zone};
use sluice_core::slots::{Class, Config, Fence, Outcome, Presence, Reply, Slots};
use sluice_core::time::StoreTime;
use sluice_sim::redis::{Engine, Server, SessionId};
use verify::real::{self, Connection};

fn main() {
    let trials = vec![
        Trial::test("scripts agree with slots", || {
            let plans = Plans {
                cases: 600,
                unit_ms: 3,
                retain_ms: 0,
            };
            agree(&mut Simulated::new(), "", plans)?;
            agree(
                &mut Simulated::new(),
                "",
                Plans {
                    retain_ms: 100_000_000,
                    ..plans
                },
            )?;
            Ok(())
        }),
        Trial::test("planted bugs are found", || {
            planted(
                &mut Simulated::new(),
                Plans {
                    cases: 600,
                    unit_ms: 3,
                    retain_ms: 0,
                },
            )
        }),
        Trial::test(
            "scripts declare the keys they use, and tell every word",
            whole,
        ),
        real::trial("scripts agree with slots on a real server", |server| {
            let mut space = server.space()?;
            let mut redis = Real(server.connect()?);
            let plans = Plans {
                cases: 40,
                unit_ms: 3,
                retain_ms: 0,
            };
            agree(&mut redis, space.prefix(), plans)?;
            space.clear()?;
            agree(
                &mut redis,
                space.prefix(),
                Plans {
                    retain_ms: 100_000_000,
                    ..plans
                },
            )?;
            space.clear()?;
            Ok(())
        }),
        real::trial("scripts refuse malformed arguments", |server| {
            let space = server.space()?;
            refuse(&mut Real(server.connect()?), space.prefix())
        }),
        Trial::test("headers tell keys, arguments and replies", headers),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Something that runs scripts.
trait Backend {
    /// Runs one command; between the two times (store milliseconds) it ran.
    fn call(&mut self, command: &Command) -> Result<(RedisReply, u64, u64), Failed>;

    /// Lets time pass.
    fn advance(&mut self, ms: u64);
}

/// A simulated server; its clock stands still unless stepped.
struct Simulated {
    server: Server,
    engine: Engine,
    now_us: u64,
}

impl Simulated {
    fn new() -> Self {
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
            .execute(&self.engine, self.now_us, SessionId(1), command);
        Ok((reply, self.now_us / 1000, self.now_us / 1000))
    }

    fn advance(&mut self, ms: u64) {
        self.now_us += ms * 1000 + 7; // not always at the turn of a millisecond
    }
}

struct Real(Connection);

impl Backend for Real {
    fn call(&mut self, command: &Command) -> Result<(RedisReply, u64, u64), Failed> {
        let time = Command::new("TIME");
        for command in [&time, command, &time] {
            self.0.send(command)?;
        }
        let from = millis(&self.0.receive()?)?;
        let reply = self.0.receive()?;
        Ok((reply, from, millis(&self.0.receive()?)?))
    }

    fn advance(&mut self, ms: u64) {
        sleep(Duration::from_millis(ms));
    }
}

fn millis(time: &RedisReply) -> Result<u64, Failed> {
    let RedisReply::Array(parts) = time else {
        return Err(format!("TIME answered {time:?}").into());
    };
    let part = |i: usize| parts.get(i).and_then(RedisReply::as_int).unwrap_or(0) as u64;
    Ok(part(0) * 1000 + part(1) / 1000)
}

/// One operation, of the client `id`.
#[derive(Clone, Copy, Debug)]
enum Op {
    Acquire {
        id: u8,
        nonce: u64,
        class: u8,
        wait: bool,
    },
    Poll {
        id: u8,
        nonce: u64,
    },
    Renew {
        id: u8,
        right: bool,
        touch: bool,
    },
    Release {
        id: u8,
        right: bool,
    },
    Cancel {
        id: u8,
        nonce: u64,
    },
    Resize(u32),
    Sweep,
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0u8..7;
    let nonce = prop_oneof![6 => 1u64..3, 1 => 0u64..6];
    let right = prop::bool::weighted(0.9);
    prop_oneof![
        12 => (id.clone(), nonce.clone(), prop_oneof![4 => Just(0u8), 1 => 0u8..4], prop::bool::weighted(0.9))
            .prop_map(|(id, nonce, class, wait)| Op::Acquire { id, nonce, class, wait }),
        5 => (id.clone(), nonce.clone()).prop_map(|(id, nonce)| Op::Poll { id, nonce }),
        4 => (id.clone(), right, any::<bool>())
            .prop_map(|(id, right, touch)| Op::Renew { id, right, touch }),
        5 => (id.clone(), right).prop_map(|(id, right)| Op::Release { id, right }),
        3 => (id, nonce).prop_map(|(id, nonce)| Op::Cancel { id, nonce }),
        1 => (1u32..5).prop_map(Op::Resize),
        1 => Just(Op::Sweep),
        8 => prop_oneof![4 => 0u64..4, 2 => 0u64..40].prop_map(Op::Advance),
    ]
}

/// A small gate: everything in it happens soon. Durations up to 24 times `unit`.
fn config(unit: u64) -> impl Strategy<Value = Config> {
    let ms = move || prop::option::of((1u64..24).prop_map(move |n| n * unit));
    let presence = (1u64..8, 1u64..24, 1u64..6).prop_map(move |(absent, more, claim)| Presence {
        absent_after_ms: absent * unit,
        abandon_after_ms: (absent + more) * unit,
        claim_within_ms: claim * unit,
    });
    let limits = (
        1u32..4,
        prop_oneof![Just(0u32), 1u32..5, Just(1000)],
        prop_oneof![Just(1u32), Just(2), Just(16)],
        prop_oneof![Just(0u64), 1u64..40, Just(100_000)],
        prop_oneof![Just(0u32), 1u32..4, Just(1000)],
    );
    let boosts = prop_oneof![Just([0; 4]), Just([0, 1, 2, 10])];
    (
        ms(),
        ms(),
        ms(),
        prop::option::of(presence),
        limits,
        any::<bool>(),
        boosts,
    )
        .prop_map(
            move |(lease_ms, idle_ms, wait_timeout_ms, presence, limits, count_absent, boosts)| {
                let (capacity, queue_limit, batch, tombstone, tombstones_max) = limits;
                Config {
                    capacity,
                    lease_ms,
                    idle_ms,
                    wait_timeout_ms,
                    presence,
                    queue_limit,
                    count_absent,
                    boosts,
                    batch,
                    tombstone_ms: tombstone * unit,
                    tombstones_max,
                }
            },
        )
}

/// How many plans, and of which kind.
#[derive(Clone, Copy)]
struct Plans {
    cases: u32,
    /// Durations and steps of time are multiples of this.
    unit_ms: u64,
    /// As in [`GateKeys::retain`].
    retain_ms: u64,
}

/// Runs random plans on both sides.
fn agree(backend: &mut dyn Backend, prefix: &str, plans: Plans) -> Result<Words, Failed> {
    let Plans {
        cases,
        unit_ms: unit,
        retain_ms,
    } = plans;
    for script in script::ALL {
        let (loaded, ..) = backend.call(&script::load(script))?;
        if loaded.as_bytes() != Some(script.sha1.as_bytes()) {
            return Err(format!("{}: SCRIPT LOAD answered {loaded:?}", script.name).into());
        }
    }
    // Fixed, so that a failure comes again; the plans shrink.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let settings = Proptest {
        cases,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Proptest::default()
    };
    let mut runner = TestRunner::new_with_rng(settings, rng);
    let strategy = (config(unit), prop::collection::vec(op(), 1..60));
    let (backend, runs, words) = (RefCell::new(backend), Cell::new(0), RefCell::default());
    let result = runner.run(&strategy, |(config, ops)| {
        runs.set(runs.get() + 1);
        let gate = GateKeys::new(prefix, &format!("run-{}", runs.get())).expect("a good name");
        let mut pair = Pair {
            backend: &mut **backend.borrow_mut(),
            gate: gate.retain(retain_ms),
            config,
            slots: Vec::new(),
            words: &words,
        };
        for (step, &op) in ops.iter().enumerate() {
            pair.step(op, unit).map_err(|e| {
                TestCaseError::fail(format!(
                    "step {step}, {op:?}: {}",
                    e.message().unwrap_or("failed")
                ))
            })?;
        }
        Ok(())
    });
    result.map_err(|e| Failed::from(e.to_string()))?;
    Ok(words.into_inner())
}

/// Bugs that the agreement must find: a part of a script, and what it is
/// replaced by.
const PLANTED: [(&str, &str, &str); 10] = [
    (
        "the short cut counts one too few",
        "held < capacity then",
        "held <= capacity then",
    ),
    (
        "promotion counts one too few",
        "while held < capacity",
        "while held <= capacity",
    ),
    ("any fencing number will do", "known == number", "true"),
    (
        "a delayed copy is taken for the newest",
        "nonce < known or",
        "false or",
    ),
    (
        "an expiry frees the slot a moment late",
        "deadline > now or steps",
        "deadline >= now or steps",
    ),
    (
        "one step too many is done",
        "local steps, first = batch",
        "local steps, first = batch + 1",
    ),
    (
        "an offer that lapses stays in front",
        "call('ZADD', LINE, key + 4e15, id)",
        "call('ZADD', LINE, key, id)",
    ),
    (
        "an ended waiter keeps its deadline",
        "if next_due < NEVER then call('ZREM', DUE, id) end",
        "",
    ),
    ("a renewal touches, too", "if ARGV[4] == '1'", "if true"),
    (
        "endings are never forgotten",
        "remembered <= tombstones_max",
        "true",
    ),
];

/// Each planted bug makes the agreement fail.
fn planted(backend: &mut dyn Backend, plans: Plans) -> Result<(), Failed> {
    for (i, (what, good, bad)) in PLANTED.into_iter().enumerate() {
        let mut mutant = Mutant {
            backend,
            good,
            bad,
            digests: BTreeMap::new(),
        };
        let found = agree(&mut mutant, &format!("{i}:"), plans).is_err();
        check(
            !mutant.digests.is_empty(),
            format!("no script contains `{good}`"),
        )?;
        check(found, format!("not found: {what}"))?;
    }
    Ok(())
}

/// Runs other scripts than it is asked to.
struct Mutant<'a> {
    backend: &'a mut dyn Backend,
    good: &'static str,
    bad: &'static str,
    /// From the good script's to the bad one's.
    digests: BTreeMap<Bytes, Bytes>,
}

impl Backend for Mutant<'_> {
    fn call(&mut self, command: &Command) -> Result<(RedisReply, u64, u64), Failed> {
        let loaded = script::ALL
            .into_iter()
            .find(|s| *command == script::load(s));
        if let Some(script) = loaded.filter(|script| script.text.contains(self.good)) {
            let text = script.text.replace(self.good, self.bad);
            let load = Command::new("SCRIPT").arg("LOAD").arg(text);
            let (digest, from, to) = self.backend.call(&load)?;
            let RedisReply::Bulk(digest) = digest else {
                return Err(format!("the mutant cannot be loaded: {digest:?}").into());
            };
            self.digests.insert(script.sha1.as_bytes().into(), digest);
            return Ok((RedisReply::bulk(script.sha1), from, to));
        }
        let mut command = command.clone();
        if let Some(digest) = command.args.get(1).and_then(|arg| self.digests.get(arg)) {
            command.args[1] = digest.clone();
        }
        self.backend.call(&command)
    }

    fn advance(&mut self, ms: u64) {
        self.backend.advance(ms);
    }
}

/// The scripts and the machine, side by side.
struct Pair<'a> {
    backend: &'a mut dyn Backend,
    gate: GateKeys,
    config: Config,
    /// Each agrees with everything seen so far. More than one only when a
    /// millisecond turned around a call and nothing has told them apart yet.
    slots: Vec<Slots<Vec<u8>>>,
    words: &'a RefCell<Words>,
}

/// Replies seen: script, first word.
type Words = BTreeSet<(&'static str, &'static str)>;

impl Pair<'_> {
    fn step(&mut self, op: Op, unit: u64) -> Result<(), Failed> {
        let command = match op {
            Op::Advance(steps) => {
                self.backend.advance(steps * unit);
                return Ok(());
            }
            op => self.command(op, self.fence(op)),
        };
        let fence = self.fence(op);
        let (reply, from, to) = self.backend.call(&command)?;
        let lua = script::decode(&reply)?;
        self.note(&command, &reply)?;
        let seen = self.look()?;
        let mut differences = String::new();
        let mut candidates = Vec::new();
        for now in (from..=to).map(StoreTime) {
            if self.slots.is_empty() {
                candidates.push((now, Slots::new(self.config, now.0)?));
            }
            candidates.extend(self.slots.iter().map(|slots| (now, slots.clone())));
        }
        let mut agreeing = Vec::new();
        for (now, mut slots) in candidates {
            let ours = apply(&mut slots, now, op, fence)?;
            slots.check();
            let expected = Seen::of(&slots);
            if ours == lua && expected == seen {
                agreeing.push(slots);
                continue;
            }
            differences += &format!("\nat {now:?}:\n slots {ours:?}\n   lua {lua:?}");
            if expected != seen {
                differences += &format!("\n slots {expected:?}\n   lua {seen:?}");
            }
        }
        agreeing.truncate(64);
        self.slots = agreeing;
        if !self.slots.is_empty() {
            return Ok(());
        }
        Err(differences.into())
    }

    /// Notes the reply's first word, which must be in the script's header.
    fn note(&mut self, command: &Command, reply: &RedisReply) -> Result<(), Failed> {
        let script = script::ALL
            .into_iter()
            .find(|s| command.args[1][..] == *s.sha1.as_bytes());
        let script = script.ok_or("a command of no script")?;
        let mut words = reply
            .as_bytes()
            .unwrap_or_default()
            .split(|&byte| byte == b' ');
        let first = words.next().unwrap_or_default();
        let header = Header::of(script)?.words;
        let known = header.iter().find(|word| word.as_bytes() == first);
        let known =
            known.ok_or_else(|| format!("{}: {reply:?} is not among {header:?}", script.name))?;
        self.words.borrow_mut().insert((script.name, *known));
        Ok(())
    }

    fn command(&self, op: Op, fence: Fence) -> Command {
        let (gate, config) = (&self.gate, &self.config);
        match op {
            Op::Acquire {
                id,
                nonce,
                class,
                wait,
            } => script::acquire(gate, config, &name(id), nonce, priority(class), wait),
            Op::Poll { id, nonce } => script::poll(gate, config, &name(id), nonce),
            Op::Renew { id, touch, .. } => script::renew(gate, config, &name(id), fence, touch),
            Op::Release { id, .. } => script::release(gate, config, &name(id), fence),
            Op::Cancel { id, nonce } => script::cancel(gate, config, &name(id), nonce),
            Op::Resize(capacity) => script::resize(gate, config, capacity),
            Op::Sweep => script::sweep(gate, config),
            Op::Advance(_) => unreachable!("time passes without a command"),
        }
    }

    /// The fencing number under which the caller holds its slot, or a wrong one.
    fn fence(&self, op: Op) -> Fence {
        let (Op::Renew { id, right, .. } | Op::Release { id, right }) = op else {
            return 0;
        };
        let mut held = self.slots.first().into_iter().flat_map(Slots::held);
        match held.find(|held| *held.id == name(id)) {
            Some(held) if right => held.fence,
            Some(held) => held.fence - 1,
            None => 1,
        }
    }

    fn look(&mut self) -> Result<Seen, Failed> {
        let command = script::status(&self.gate, &self.config);
        let (status, ..) = self.backend.call(&command)?;
        self.note(&command, &status)?;
        let mut zset = |key: &[u8]| -> Result<BTreeMap<Vec<u8>, f64>, Failed> {
            let range = Command::new("ZRANGE")
                .arg(key)
                .arg("0")
                .arg("-1")
                .arg("WITHSCORES");
            let (RedisReply::Array(rows), ..) = self.backend.call(&range)? else {
                return Err("ZRANGE did not answer an array".into());
            };
            let text = |reply: &RedisReply| reply.as_bytes().unwrap_or_default().to_vec();
            let rows = rows.chunks(2).map(|row| {
                let score = String::from_utf8(text(&row[1])).unwrap_or_default();
                (text(&row[0]), score.parse().unwrap_or(f64::NAN))
            });
            Ok(rows.collect())
        };
        let line = zset(self.gate.line())?;
        let due = zset(self.gate.due())?;
        let (fields, ..) = self
            .backend
            .call(&Command::new("HLEN").arg(self.gate.gate()))?;
        Ok(Seen {
            status: script::decode_status(&status)?,
            zones: line
                .into_iter()
                .map(|(id, score)| (id, Zone::of(score)))
                .collect(),
            due: due.into_iter().map(|(id, at)| (id, at as u64)).collect(),
            // Three fields are the gate's own.
            records: fields.as_int().unwrap_or(0) - 3,
        })
    }
}

/// What observers see.
#[derive(Debug, PartialEq)]
struct Seen {
    status: script::Status,
    zones: BTreeMap<Vec<u8>, Zone>,
    due: BTreeMap<Vec<u8>, u64>,
    records: i64,
}

impl Seen {
    fn of(slots: &Slots<Vec<u8>>) -> Self {
        let status = slots.status();
        let mut zones = BTreeMap::new();
        let mut due = BTreeMap::new();
        for held in slots.held() {
            zones.insert(held.id.clone(), Zone::Held(held.deadline.map(|at| at.0)));
        }
        for place in slots.waiting() {
            zones.insert(place.id.clone(), Zone::Waiting(place.order));
        }
        for place in slots.absent() {
            zones.insert(place.id.clone(), Zone::Absent(place.order));
        }
        for place in slots.waiting().chain(slots.absent()) {
            due.extend(place.deadline.map(|at| (place.id.clone(), at.0)));
        }
        for (id, _, _, until) in slots.ended() {
            zones.insert(id.clone(), Zone::Ended(until.0));
        }
        Self {
            status: script::Status {
                capacity: status.config.capacity,
                held: status.held,
                offers: status.offers,
                waiting: status.waiting,
                absent: status.absent,
                remembered: status.remembered,
                stats: status.stats,
                flow: status.flow,
            },
            records: zones.len() as i64,
            zones,
            due,
        }
    }
}

fn apply(
    slots: &mut Slots<Vec<u8>>,
    now: StoreTime,
    op: Op,
    fence: Fence,
) -> Result<Reply, Failed> {
    Ok(match op {
        Op::Acquire {
            id,
            nonce,
            class,
            wait,
        } => slots.acquire(now, name(id), nonce, priority(class), wait),
        Op::Poll { id, nonce } => slots.poll(now, &name(id), nonce),
        Op::Renew { id, touch, .. } => slots.renew(now, &name(id), fence, touch),
        Op::Release { id, .. } => slots.release(now, &name(id), fence),
        Op::Cancel { id, nonce } => slots.cancel(now, &name(id), nonce),
        Op::Resize(capacity) => slots.resize(now, capacity)?,
        Op::Sweep => slots.sweep(now),
        Op::Advance(_) => unreachable!("time passes without an operation"),
    })
}

/// Ids of which some are prefixes of others, and not all are text.
fn name(id: u8) -> Vec<u8> {
    match id {
        0 => b"a".to_vec(),
        1 => b"ab".to_vec(),
        2 => vec![0xff, 0xfe],
        n => format!("user:{n}").into_bytes(),
    }
}

fn priority(class: u8) -> Class {
    Class::new(class).expect("plans know the classes")
}

/// In a whole run of plans no key was used undeclared, and each word that a
/// header promises was given.
fn whole() -> Result<(), Failed> {
    let mut backend = Simulated::new();
    let words = agree(
        &mut backend,
        "",
        Plans {
            cases: 600,
            unit_ms: 3,
            retain_ms: 0,
        },
    )?;
    let undeclared = backend.server.undeclared_keys();
    check(undeclared.is_empty(), format!("{undeclared:?}"))?;
    for script in script::ALL {
        for word in Header::of(script)?.words {
            let given = words.contains(&(script.name, word));
            check(
                given,
                format!(
                    "{}: `{word}` is in the header and was never given",
                    script.name
                ),
            )?;
        }
    }
    Ok(())
}

/// What a script's header promises.
struct Header {
    keys: usize,
    /// Least and most.
    args: (usize, usize),
    words: Vec<&'static str>,
}

impl Header {
    fn of(script: &'static script::Script) -> Result<Self, Failed> {
        let line = |label: &str| {
            let found = script
                .text
                .lines()
                .find_map(|line| line.strip_prefix("-- ")?.strip_prefix(label));
            found
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| {
                    Failed::from(format!("{}: the header has no `-- {label} …`", script.name))
                })
        };
        let (keys, args) = (line("KEYS:")?, line("ARGV:")?);
        line("cost:")?;
        Ok(Self {
            keys: keys.split_whitespace().count(),
            args: (
                args.split_whitespace()
                    .filter(|arg| !arg.starts_with('['))
                    .count(),
                args.split_whitespace().count(),
            ),
            words: line("reply:")?.split('|').map(str::trim).collect(),
        })
    }
}

/// Each header against its code: the keys and arguments that are used, and the
/// builders that pass them. (The words of replies are held against the header
/// with every reply of the agreement.)
fn headers() -> Result<(), Failed> {
    let gate = GateKeys::new("", "gate")?;
    let config = Config::session_cap(20);
    let zero = Class::ZERO;
    let one = Class::new(1).expect("there are four");
    for (script, least, most) in [
        (
            &script::ACQUIRE,
            script::acquire(&gate, &config, b"id", 1, zero, true),
            script::acquire(&gate, &config, b"id", 1, one, false),
        ),
        (
            &script::POLL,
            script::poll(&gate, &config, b"id", 1),
            script::poll(&gate, &config, b"id", 1),
        ),
        (
            &script::RENEW,
            script::renew(&gate, &config, b"id", 1, false),
            script::renew(&gate, &config, b"id", 1, true),
        ),
        (
            &script::RELEASE,
            script::release(&gate, &config, b"id", 1),
            script::release(&gate, &config, b"id", 1),
        ),
        (
            &script::CANCEL,
            script::cancel(&gate, &config, b"id", 1),
            script::cancel(&gate, &config, b"id", 1),
        ),
        (
            &script::RESIZE,
            script::resize(&gate, &config, 1),
            script::resize(&gate, &config, 1),
        ),
        (
            &script::SWEEP,
            script::sweep(&gate, &config),
            script::sweep(&gate, &config),
        ),
        (
            &script::STATUS,
            script::status(&gate, &config),
            script::status(&gate, &config),
        ),
    ] {
        let header = Header::of(script)?;
        let name = script.name;
        check(
            header.keys == 3,
            format!("{name}: every script declares three keys"),
        )?;
        check(
            used(script.text, "KEYS") <= header.keys,
            format!("{name}: KEYS beyond the header"),
        )?;
        let args = used(script.text, "ARGV");
        check(
            args <= header.args.1,
            format!(
                "{name}: uses ARGV[{args}], the header tells {:?}",
                header.args
            ),
        )?;
        // EVALSHA, digest, number of keys, keys; then ARGV.
        check(
            least.args.len() == 6 + header.args.0,
            format!("{name}: {least:?}"),
        )?;
        check(
            most.args.len() == 6 + header.args.1,
            format!("{name}: {most:?}"),
        )?;
        check(
            !script.text.contains("--@"),
            format!("{name}: an include is left"),
        )?;
    }
    Ok(())
}

/// The largest number in `table[number]`.
fn used(text: &str, table: &str) -> usize {
    let opening = format!("{table}[");
    let uses = text.split(&opening).skip(1);
    uses.filter_map(|rest| rest.split(']').next()?.parse().ok())
        .max()
        .unwrap_or(0)
}

/// Malformed arguments get an error that says what is wrong, and change nothing.
fn refuse(backend: &mut dyn Backend, prefix: &str) -> Result<(), Failed> {
    let gate = GateKeys::new(prefix, "refuse")?;
    let good = script::acquire(&gate, &Config::session_cap(1), b"a", 1, Class::ZERO, true);
    let text = good.args[6].clone();
    let long = [b'x'; 513];
    let cases: [(&script::Script, &[&[u8]], &str); 15] = [
        (&script::ACQUIRE, &[b"", b"a", b"1"], "16 numbers"),
        (&script::ACQUIRE, &[b"20 1", b"a", b"1"], "16 numbers"),
        (
            &script::SWEEP,
            &[b"x x x x x x x x x x x x x x x x"],
            "16 numbers",
        ),
        (
            &script::SWEEP,
            &[b"0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0"],
            "16 numbers",
        ),
        (&script::SWEEP, &[], "16 numbers"),
        (&script::STATUS, &[], "configuration"),
        (&script::ACQUIRE, &[&text, b"", b"1"], "ARGV[2]"),
        (&script::ACQUIRE, &[&text, b"\x01", b"1"], "ARGV[2]"),
        (&script::ACQUIRE, &[&text, &long, b"1"], "ARGV[2]"),
        (&script::ACQUIRE, &[&text, b"a", b"x"], "ARGV[3]"),
        (&script::POLL, &[&text, b"a"], "ARGV[3]"),
        (&script::CANCEL, &[&text, b"a", b"-1"], "ARGV[3]"),
        (&script::ACQUIRE, &[&text, b"a", b"1", b"4"], "ARGV[4]"),
        (&script::RENEW, &[&text, b"a"], "ARGV[3]"),
        (&script::RESIZE, &[&text, b"0"], "ARGV[2]"),
    ];
    for born in [false, true] {
        for (script, args, complaint) in cases {
            let mut command = Command::new("EVALSHA").arg(script.sha1).arg("3");
            command
                .args
                .extend([gate.gate(), gate.line(), gate.due()].into_iter().cloned());
            for arg in args {
                command = command.arg(arg);
            }
            if born && script.name == "status" {
                continue; // a gate that exists knows its capacity
            }
            backend.call(&script::load(script))?;
            let (reply, ..) = backend.call(&command)?;
            let told = matches!(&reply, RedisReply::Error(e) if String::from_utf8_lossy(e).contains(complaint) && e.starts_with(b"ERR sluice:"));
            check(
                told,
                format!("{command:?}: {reply:?}, expected a word about {complaint}"),
            )?;
        }
        let (exists, ..) = backend.call(&Command::new("ZCARD").arg(gate.line()))?;
        check(
            exists == RedisReply::Int(born.into()),
            format!("{exists:?} places"),
        )?;
        let (granted, ..) = backend.call(&good)?;
        let granted = script::decode(&granted)?.outcome;
        check(
            matches!(granted, Outcome::Granted { .. }),
            format!("{granted:?}"),
        )?;
    }
    Ok(())
}

fn check(holds: bool, otherwise: impl Into<String>) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.into().into())
    }
}
