//! What depends on the clock, and so is not compared with a real server.

use crate::redis::tests::Bench;
use crate::redis::{Server, Version};

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.run("XADD s 1-1 f a");
    bench.run("XADD s 2-1 f b");
    bench.run("XGROUP CREATE s g 0");
    bench
}

#[test]
fn ids_come_from_the_clock_and_never_run_backwards() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("XADD s * f a"), "\"1700000000000-0\"");
    assert_eq!(bench.run("XADD s * f a"), "\"1700000000000-1\"");
    bench.now_us -= 5_000_000;
    assert_eq!(bench.run("XADD s * f a"), "\"1700000000000-2\"");
    bench.now_us += 6_000_000;
    assert_eq!(bench.run("XADD s * f a"), "\"1700000001000-0\"");
}

#[test]
fn idle_entries_are_claimed_and_others_are_not() {
    let mut bench = bench();
    bench.run("XREADGROUP GROUP g alice COUNT 1 STREAMS s >");
    bench.now_us += 5_000_000;
    bench.run("XREADGROUP GROUP g alice COUNT 1 STREAMS s >");
    assert_eq!(
        bench.run("XPENDING s g - + 10"),
        r#"[["1-1", "alice", :5000, :1], ["2-1", "alice", :0, :1]]"#
    );
    assert_eq!(
        bench.run("XPENDING s g IDLE 4000 - + 10"),
        r#"[["1-1", "alice", :5000, :1]]"#
    );
    assert_eq!(bench.run("XCLAIM s g bob 6000 1-1 2-1"), "[]");
    assert_eq!(
        bench.run("XAUTOCLAIM s g bob 5000 0"),
        r#"["0-0", [["1-1", ["f", "a"]]], []]"#
    );
    assert_eq!(
        bench.run("XPENDING s g - + 10"),
        r#"[["1-1", "bob", :0, :2], ["2-1", "alice", :0, :1]]"#
    );
    assert_eq!(
        bench.run("XCLAIM s g carol 0 2-1 IDLE 700 RETRYCOUNT 9"),
        r#"[["2-1", ["f", "b"]]]"#
    );
    assert_eq!(
        bench.run("XPENDING s g - + 10 carol"),
        r#"[["2-1", "carol", :700, :9]]"#
    );
}

/// In 7.2 a consumer who asks in vain exists, and was never active.
#[test]
fn consumers_are_idle_and_inactive() {
    let mut bench = bench();
    bench.run("XREADGROUP GROUP g alice STREAMS s >");
    bench.now_us += 1_000_000;
    assert_eq!(bench.run("XREADGROUP GROUP g alice STREAMS s >"), "nil");
    bench.run("XREADGROUP GROUP g bob STREAMS s >");
    bench.now_us += 500_000;
    assert_eq!(
        bench.run("XINFO CONSUMERS s g"),
        r#"[["name", "alice", "pending", :2, "idle", :500, "inactive", :1500], ["name", "bob", "pending", :0, "idle", :500, "inactive", :-1]]"#
    );
}

/// Approximate trimming takes whole nodes.
#[test]
fn about_so_many_are_left() {
    let mut bench = Bench::new();
    for n in 1..=250 {
        bench.run(&format!("XADD s {n} f v"));
    }
    assert_eq!(bench.run("XTRIM s MAXLEN ~ 120"), ":100");
    assert_eq!(bench.run("XTRIM s MAXLEN ~ 10 LIMIT 50"), ":0");
    assert_eq!(bench.run("XTRIM s MINID ~ 190"), ":0");
    assert_eq!(bench.run("XTRIM s MINID ~ 230"), ":100");
    assert_eq!(bench.run("XLEN s"), ":50");
}

/// Streams are part of a state: their groups too.
#[test]
fn the_digest_sees_groups() {
    let mut one = bench();
    let other = bench();
    assert_eq!(one.server.digest(), other.server.digest());
    one.run("XREADGROUP GROUP g alice COUNT 1 STREAMS s >");
    let read = one.server.digest();
    assert_ne!(read, other.server.digest());
    one.run("XACK s g 1-1");
    assert_ne!(read, one.server.digest());
}

/// Since 7.4, `+` is the last entry there is, deleted ones left out.
#[test]
fn the_last_entry_is_read_by_its_own_name() {
    let mut bench = bench();
    assert!(bench.run("XREAD STREAMS s +").starts_with("-ERR Invalid"));
    bench.server = Server::with_version(Version::V8_2);
    assert_eq!(bench.run("XREAD STREAMS s +"), "nil");
    bench.run("XADD s 1-1 f a");
    bench.run("XADD s 2-1 f b");
    bench.run("XDEL s 2-1");
    assert_eq!(
        bench.run("XREAD STREAMS s +"),
        r#"[["s", [["1-1", ["f", "a"]]]]]"#
    );
}

/// The lengths are those of Redis 7.0.15, asked the same.
#[test]
fn trimming_roughly_keeps_whole_nodes() {
    let mut bench = Bench::new();
    bench.run("CONFIG SET stream-node-max-entries 10");
    for n in 1..=100 {
        bench.run(&format!("XADD s {n}-0 f v"));
    }
    assert_eq!(bench.run("XTRIM s MAXLEN ~ 55"), ":40");
    assert_eq!(bench.run("XTRIM s MAXLEN ~ 1 LIMIT 30"), ":30");
    assert_eq!(bench.run("XTRIM s MINID ~ 85-0"), ":10");
    // Two nodes are left; deleted entries keep their places in theirs.
    assert_eq!(bench.run("XDEL s 83-0"), ":1");
    assert_eq!(bench.run("XDEL s 85-0"), ":1");
    assert_eq!(bench.run("XTRIM s MAXLEN ~ 12"), ":0");
    assert_eq!(bench.run("XTRIM s MAXLEN ~ 10"), ":8");
    assert_eq!(bench.run("XTRIM s MAXLEN 3"), ":7");
    assert_eq!(bench.run("XTRIM s MAXLEN ~ 2"), ":0");
    bench.run("CONFIG SET stream-node-max-entries 0 stream-node-max-bytes 100");
    bench.run("DEL s");
    for n in 1..=30 {
        bench.run(&format!("XADD s {n}-0 f some-longer-value"));
    }
    assert!(
        bench
            .run("XINFO STREAM s")
            .contains(r#""radix-tree-keys", :10"#)
    );
    assert_eq!(bench.run("XTRIM s MAXLEN ~ 10"), ":18");
}
