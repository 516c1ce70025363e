//! Whole-server tests; each family of commands has its own file.

use super::*;

/// A server with an engine, one session, and a clock to turn.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) server: Server,
    pub(crate) now_us: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            engine: Engine::new(),
            server: Server::new(),
            now_us: 1_700_000_000_000_000,
        }
    }

    /// Runs a command line, words separated by spaces.
    pub(crate) fn run(&mut self, line: &str) -> String {
        self.run_as(1, &line.split(' ').collect::<Vec<_>>())
    }

    pub(crate) fn run_as(&mut self, session: u64, words: &[&str]) -> String {
        let mut command = Command::new(words[0]);
        for word in &words[1..] {
            command = command.arg(word);
        }
        let reply = self
            .server
            .execute(&self.engine, self.now_us, SessionId(session), &command);
        format!("{reply:?}")
    }

    pub(crate) fn eval(&mut self, script: &str) -> String {
        self.run_as(1, &["EVAL", script, "0"])
    }
}

#[test]
fn a_first_conversation() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("PING"), "+PONG");
    assert_eq!(bench.run("SET k v PX 1000"), "+OK");
    assert_eq!(bench.run("GET k"), "\"v\"");
    assert_eq!(bench.run("PTTL k"), ":1000");
    bench.now_us += 1_001_000;
    assert_eq!(bench.run("GET k"), "nil");
    assert_eq!(bench.run("HSET h a 1 b 2"), ":2");
    assert_eq!(bench.run("HLEN h"), ":2");
    assert_eq!(bench.run("ZADD z 1 a 2 b 3 c"), ":3");
    assert_eq!(bench.run("ZRANK z b"), ":1");
    assert_eq!(
        bench.run("ZRANGE z 0 -1 WITHSCORES"),
        r#"["a", "1", "b", "2", "c", "3"]"#
    );
    assert_eq!(
        bench.run("LPUSH z x"),
        "-WRONGTYPE Operation against a key holding the wrong kind of value"
    );
    assert_eq!(
        bench.run("NOSUCH a b"),
        "-ERR unknown command \\'NOSUCH\\', with args beginning with: \\'a\\' \\'b\\' "
    );
    assert_eq!(bench.eval("return redis.call('HLEN', 'h') + 1"), ":3");
    assert_eq!(
        bench.run_as(
            1,
            &[
                "EVAL",
                "return {KEYS[1], ARGV[1], #ARGV}",
                "1",
                "k",
                "x",
                "y"
            ]
        ),
        r#"["k", "x", :2]"#
    );
}

#[test]
fn the_libraries_are_there() {
    let mut bench = Bench::new();
    let pack = "local s = struct.pack('<ddI2s', 1.5, -2, 258, 'x') return {#s, struct.unpack('<ddI2s', s)}";
    assert_eq!(bench.eval(pack), r#"[:20, :1, :-2, :258, "x", :21]"#);
    assert_eq!(
        bench.eval("return bit.tohex(bit.bxor(0xff, 0x0f))"),
        "\"000000f0\""
    );
    assert_eq!(
        bench.eval("return cjson.encode(cjson.decode('[1, \"a\", null, true]'))"),
        r#""[1,\"a\",null,true]""#
    );
    assert_eq!(
        bench.eval("return {cmsgpack.unpack(cmsgpack.pack(1, 'a', {2}))}"),
        r#"[:1, "a", [:2]]"#
    );
}

/// However a key got its expiry, and whatever became of the server since.
#[test]
fn keys_expire_wherever_their_expiry_came_from() {
    let comings: [&[&str]; 9] = [
        &["SET k v PX 100"],
        &["SET k v", "PEXPIRE k 100"],
        &["SET j v PX 100", "COPY j k"],
        &["SET j v PX 100", "RENAME j k"],
        &["SELECT 1", "SET k v PX 100", "MOVE k 0", "SELECT 0"],
        &["SELECT 1", "SET k v PX 100", "SELECT 0", "SWAPDB 0 1"],
        &["SET k v", "GETEX k PX 100"],
        &["MULTI", "SET k v PX 100", "EXEC"],
        &["EVAL redis.call('SET','k','v','PX','100') 0"],
    ];
    for coming in comings {
        for restarts in [false, true] {
            let mut bench = Bench::new();
            for line in coming {
                let reply = bench.run(line);
                assert!(!reply.starts_with('-'), "{line}: {reply}");
            }
            if restarts {
                bench.server.restart(true);
            }
            assert_eq!(bench.run("EXISTS k"), ":1", "{coming:?}");
            bench.now_us += 200_000;
            assert_eq!(bench.run("EXISTS k"), ":0", "{coming:?} {restarts}");
            assert_eq!(bench.run("GET k"), "nil");
            let stats = bench.run("INFO stats");
            assert!(stats.contains("expired_keys:1"), "{coming:?}: {stats}");
        }
    }
}

/// Digests of texts are kept for some time, and are right whether they are or not.
#[test]
fn scripts_are_named_by_their_sha1_however_many_there_are() {
    let mut bench = Bench::new();
    let long = format!("return 1 --{}", "x".repeat(70_000));
    for _ in 0..2 {
        for n in 0..100 {
            let text = format!("return {n}");
            assert_eq!(bench.eval(&text), format!(":{n}"));
            let sha = bench.run_as(1, &["SCRIPT", "LOAD", &text]);
            let sha = sha.trim_matches('"');
            let run = bench.run_as(1, &["EVALSHA", sha, "0"]);
            assert_eq!(run, format!(":{n}"));
        }
        assert_eq!(bench.eval(&long), ":1");
    }
    let known = bench.run_as(1, &["SCRIPT", "LOAD", "return 1"]);
    assert_eq!(known, "\"e0e1f9fabfc9d4800c877a703b823ac0578ff8db\"");
}
