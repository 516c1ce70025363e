//! Who waits, who is served, and when time is up.

use sluice_core::redis::Command;

use super::super::tests::Bench;
use super::super::{Server, SessionId, Version};

impl Bench {
    /// Submits; what it answered, or `waits`.
    fn submit(&mut self, session: u64, line: &str) -> String {
        let mut words = line.split(' ');
        let command = Command::new(words.next().unwrap_or_default());
        let command = words.fold(command, |command, word| command.arg(word));
        let session = SessionId(session);
        let reply = self
            .server
            .submit(&self.engine, self.now_us, session, &command);
        reply.map_or_else(|| "waits".to_owned(), |reply| format!("{reply:?}"))
    }

    fn replies(&mut self) -> Vec<String> {
        let next = || self.server.poll_reply();
        std::iter::from_fn(next)
            .map(|(session, reply)| format!("{}: {reply:?}", session.0))
            .collect()
    }

    fn pass_ms(&mut self, ms: u64) -> Vec<String> {
        self.now_us += ms * 1000;
        self.server.time_out(self.now_us);
        self.replies()
    }
}

#[test]
fn who_waits_longest_is_served_first() {
    let mut bench = Bench::new();
    assert_eq!(bench.submit(1, "BLPOP a b 0"), "waits");
    assert_eq!(bench.submit(2, "BRPOP b 0"), "waits");
    assert_eq!(bench.submit(3, "BLMPOP 0 1 b LEFT COUNT 2"), "waits");
    assert_eq!(bench.submit(9, "RPUSH b 1 2 3 4 5"), ":5");
    assert_eq!(
        bench.replies(),
        [
            r#"1: ["b", "1"]"#,
            r#"2: ["b", "5"]"#,
            r#"3: ["b", ["2", "3"]]"#
        ]
    );
    assert_eq!(bench.submit(1, "BLPOP b 0"), r#"["b", "4"]"#);
}

/// Before 7.2 what became ready first is served first; since then a command that
/// waited looks at its keys in its own order.
#[test]
fn which_of_several_keys_is_served() {
    for (version, first) in [(Version::V7_0, 1), (Version::V7_2, 0)] {
        let mut bench = Bench::new();
        bench.server = Server::with_version(version);
        for (line, replies) in [
            ("BLPOP k1 k2 0", [r#"1: ["k1", "y"]"#, r#"1: ["k2", "x"]"#]),
            (
                "BLMPOP 0 2 k1 k2 LEFT COUNT 1",
                [r#"1: ["k1", ["y"]]"#, r#"1: ["k2", ["x"]]"#],
            ),
        ] {
            bench.submit(1, line);
            for line in ["MULTI", "RPUSH k2 x", "RPUSH k1 y", "EXEC"] {
                bench.submit(2, line);
            }
            assert_eq!(bench.replies(), [replies[first]], "{version:?} {line}");
            bench.submit(2, "DEL k1 k2");
        }
        bench.submit(1, "XREAD BLOCK 0 STREAMS s1 s2 0 0");
        for line in ["MULTI", "XADD s2 1-1 a b", "XADD s1 1-1 a b", "EXEC"] {
            bench.submit(2, line);
        }
        let both = r#"1: [["s1", [["1-1", ["a", "b"]]]], ["s2", [["1-1", ["a", "b"]]]]]"#;
        let one = r#"1: [["s2", [["1-1", ["a", "b"]]]]]"#;
        assert_eq!(bench.replies(), [[both, one][first]], "{version:?}");
    }
}

/// What a key holds while nobody looks is nobody's.
#[test]
fn a_key_that_comes_and_goes_in_one_transaction_serves_nobody() {
    let mut bench = Bench::new();
    bench.submit(1, "BLPOP k 0");
    for line in ["MULTI", "RPUSH k x", "DEL k", "SADD k y"] {
        bench.submit(2, line);
    }
    assert_eq!(bench.submit(2, "EXEC"), "[:1, :1, :1]");
    assert_eq!(bench.replies(), [""; 0]);
    bench.submit(2, "DEL k");
    bench.submit(2, "RPUSH k z");
    assert_eq!(bench.replies(), [r#"1: ["k", "z"]"#]);
}

#[test]
fn nothing_waits_in_transactions_and_scripts() {
    let mut bench = Bench::new();
    bench.submit(1, "MULTI");
    bench.submit(1, "BLPOP k 0");
    bench.submit(1, "XREAD BLOCK 0 STREAMS s $");
    bench.submit(1, "BLMOVE k l LEFT LEFT 0");
    assert_eq!(bench.submit(1, "EXEC"), "[nil, nil, nil]");
    assert_eq!(
        bench.eval("return redis.call('BLPOP', 'k', 0) or 'none'"),
        "\"none\""
    );
    assert_eq!(bench.run("BZPOPMIN z 0"), "nil");
    assert_eq!(bench.server.deadline_us(), None);
    assert!(!bench.server.is_parked(SessionId(1)));
}

#[test]
fn time_runs_out_for_each_at_its_own_time() {
    let mut bench = Bench::new();
    bench.submit(1, "BLPOP k 0.5");
    bench.submit(2, "BLMOVE k l LEFT RIGHT 0.1");
    bench.submit(3, "XREAD BLOCK 300 STREAMS s $");
    bench.submit(4, "WAIT 1 50");
    bench.submit(5, "BLPOP k 0");
    assert_eq!(bench.server.deadline_us(), Some(bench.now_us + 50_000));
    assert_eq!(bench.pass_ms(49), [""; 0]);
    assert_eq!(bench.pass_ms(1), ["4: :0"]);
    assert_eq!(bench.pass_ms(300), ["2: nil", "3: nil"]);
    bench.submit(9, "RPUSH k x");
    assert_eq!(bench.replies(), [r#"1: ["k", "x"]"#]);
    assert_eq!(bench.pass_ms(1_000_000), [""; 0]);
    assert!(bench.server.is_parked(SessionId(5)));
}

#[test]
fn moves_cascade() {
    let mut bench = Bench::new();
    bench.submit(1, "BLMOVE a b LEFT RIGHT 0");
    bench.submit(2, "BLMOVE b c LEFT RIGHT 0");
    bench.submit(3, "BRPOPLPUSH c d 0");
    bench.submit(9, "RPUSH a x");
    assert_eq!(bench.replies(), ["1: \"x\"", "2: \"x\"", "3: \"x\""]);
    assert_eq!(bench.run("LRANGE d 0 -1"), r#"["x"]"#);
}

#[test]
fn sorted_sets_and_their_best() {
    let mut bench = Bench::new();
    bench.submit(1, "BZPOPMAX z 0");
    bench.submit(2, "BZMPOP 0 2 y z MIN COUNT 10");
    bench.submit(9, "ZADD z 1 a 2 b 3 c");
    assert_eq!(
        bench.replies(),
        [
            r#"1: ["z", "c", "3"]"#,
            r#"2: ["z", [["a", "1"], ["b", "2"]]]"#
        ]
    );
}

#[test]
fn streams_wake_all_readers_and_one_of_a_group() {
    let mut bench = Bench::new();
    bench.submit(9, "XADD s 1-1 f a");
    bench.submit(9, "XGROUP CREATE s g $");
    bench.submit(1, "XREAD BLOCK 0 STREAMS s $");
    bench.submit(2, "XREAD BLOCK 0 STREAMS s 1-1");
    bench.submit(3, "XREADGROUP GROUP g alice BLOCK 0 STREAMS s >");
    bench.submit(4, "XREADGROUP GROUP g bob BLOCK 0 STREAMS s >");
    bench.submit(9, "XADD s 2-1 f b");
    let told = r#"[["s", [["2-1", ["f", "b"]]]]]"#;
    assert_eq!(
        bench.replies(),
        [
            format!("1: {told}"),
            format!("2: {told}"),
            format!("3: {told}")
        ]
    );
    bench.submit(9, "DEL s");
    let replies = bench.replies();
    assert!(replies[0].starts_with("4: -NOGROUP"), "{replies:?}");
}

#[test]
fn waits_end_with_their_connection_or_by_command() {
    let mut bench = Bench::new();
    bench.submit(1, "BLPOP k 0");
    bench.submit(2, "BLPOP k 0");
    bench.submit(3, "BLPOP k 0");
    bench.server.disconnect(SessionId(1));
    assert_eq!(bench.submit(9, "CLIENT UNBLOCK 2"), ":1");
    assert_eq!(bench.submit(9, "CLIENT UNBLOCK 2"), ":0");
    assert_eq!(bench.submit(9, "CLIENT UNBLOCK 3 ERROR"), ":1");
    assert_eq!(
        bench.replies(),
        [
            "2: nil",
            "3: -UNBLOCKED client unblocked via CLIENT UNBLOCK"
        ]
    );
    bench.submit(9, "RPUSH k x");
    assert_eq!(bench.run("LLEN k"), ":1");
}

/// That somebody waits is part of the state; that somebody has, is not.
#[test]
fn the_digest_knows_who_waits() {
    let mut bench = Bench::new();
    let blank = bench.server.digest();
    bench.submit(1, "SELECT 3");
    let selected = bench.server.digest();
    bench.submit(1, "BLPOP k 1");
    let waits = bench.server.digest();
    assert_ne!(waits, selected);
    bench.server.disconnect(SessionId(1));
    assert_eq!(bench.server.digest(), blank);
    assert_eq!(Server::new().digest(), blank);
}
