//! What the simulated Redis costs: simple commands, and the script bridge
//! beside bare `mlua`.
//!
//! The peer of the bridge is the least that a script can cost through `mlua`:
//! the same text, the same keys and arguments, in an interpreter without
//! sandbox, where `redis.call` is a native function that takes its arguments
//! and does nothing.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mlua::{Lua, MultiValue, Value};
use sluice_core::redis::{Command, Reply};
use sluice_sim::redis::{Engine, Server, SessionId};

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SESSION: SessionId = SessionId(1);
const NOW_US: u64 = 1_700_000_000_000_000;

/// About what a gate does: look, write, answer.
const SCRIPT: &str = "
local key, order, id = KEYS[1], KEYS[2], ARGV[1]
local now, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local count = redis.call('HLEN', key)
if count >= limit then
  return 'full'
end
local fresh = redis.call('HSET', key, id, ARGV[2])
local joined = redis.call('ZADD', order, now, id)
if fresh == 1 and joined == 0 then
  return redis.error_reply('ERR half a member')
end
local position = count
if position > limit then
  position = limit
end
return string.format('granted %d %d', position, now)
";

struct Simulated {
    engine: Engine,
    server: Server,
}

impl Simulated {
    fn new() -> Self {
        Self {
            engine: Engine::new(),
            server: Server::new(),
        }
    }

    fn run(&mut self, command: &Command) -> Reply {
        self.server.execute(&self.engine, NOW_US, SESSION, command)
    }
}

fn command(words: &[&str]) -> Command {
    let name = Command::new(words[0]);
    words[1..]
        .iter()
        .fold(name, |command, word| command.arg(word))
}

fn simple(c: &mut Criterion) {
    let mut group = c.benchmark_group("redis/simple");
    let mut redis = Simulated::new();
    for n in 0..100 {
        let (member, score) = (format!("member-{n}"), n.to_string());
        redis.run(&command(&["HSET", "hash", &member, &score]));
        redis.run(&command(&["ZADD", "zset", &score, &member]));
    }
    let cases = [
        (
            "HLEN",
            [command(&["HLEN", "hash"]), command(&["HLEN", "hash"])],
        ),
        (
            "HSET",
            [
                command(&["HSET", "hash", "member-50", "a"]),
                command(&["HSET", "hash", "member-50", "b"]),
            ],
        ),
        (
            "ZADD",
            [
                command(&["ZADD", "zset", "10.5", "member-50"]),
                command(&["ZADD", "zset", "90.5", "member-50"]),
            ],
        ),
    ];
    for (name, [one, other]) in cases {
        group.bench_function(name, |b| {
            let mut flip = false;
            b.iter(|| {
                flip = !flip;
                redis.run(black_box(if flip { &one } else { &other }))
            });
        });
    }
}

fn script(c: &mut Criterion) {
    let mut group = c.benchmark_group("redis/script");
    let args = [
        "2",
        "{a}:members",
        "{a}:order",
        "client-17",
        "1700000000000",
        "1000",
    ];
    group.bench_function("simulated", |b| {
        let mut redis = Simulated::new();
        let sha = match redis.run(&command(&["SCRIPT", "LOAD", SCRIPT])) {
            Reply::Bulk(sha) => String::from_utf8_lossy(&sha).into_owned(),
            other => panic!("SCRIPT LOAD answered {other:?}"),
        };
        let evalsha = args
            .iter()
            .fold(command(&["EVALSHA", &sha]), |c, arg| c.arg(arg));
        b.iter(|| redis.run(black_box(&evalsha)));
    });
    group.bench_function("bare mlua", |b| {
        let lua = Lua::new();
        let redis = lua.create_table().expect("memory");
        let nothing = lua
            .create_function(|_, _: MultiValue| Ok(1))
            .expect("memory");
        redis.set("call", nothing).expect("memory");
        lua.globals().set("redis", redis).expect("memory");
        let function = lua.load(SCRIPT).into_function().expect("compiles");
        b.iter(|| {
            for (name, values) in [("KEYS", &args[1..3]), ("ARGV", &args[3..])] {
                let table = lua.create_sequence_from(black_box(values).iter().copied());
                lua.globals()
                    .raw_set(name, table.expect("memory"))
                    .expect("memory");
            }
            let out: Value = function.call(()).expect("runs");
            out
        });
    });
}

criterion_group!(benches, simple, script);
criterion_main!(benches);
