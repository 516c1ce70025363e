//! Scripts of any bytes, and any value across the bridge: nothing panics, what
//! comes back is a reply, and it is no larger than what was put in allows.

use proptest::prelude::*;
use sluice_core::redis::{Command, Reply};

use crate::redis::tests::Bench;
use crate::redis::{SessionId, Version};

/// Words that make a script out of noise now and then. None of them loops.
const WORDS: [&str; 40] = [
    "return",
    "local",
    "x",
    "=",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ";",
    "..",
    "#",
    "nil",
    "true",
    "function",
    "end",
    "if",
    "then",
    "0",
    "-1",
    "1e400",
    "'k'",
    "\"\\0\"",
    "redis",
    ".call",
    ".pcall",
    "'SET'",
    "'GET'",
    "KEYS",
    "ARGV",
    "error",
    "pcall",
    "setmetatable",
    "\n",
    "--",
    "#!lua",
    "[[",
    "]]",
];

fn noise() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(&WORDS[..]).prop_map(|word| format!("{word} ").into_bytes());
    let bytes = prop::collection::vec(any::<u8>(), 0..6);
    let parts = prop::collection::vec(prop_oneof![8 => word, 1 => bytes], 0..40);
    parts.prop_map(|parts| parts.concat())
}

/// A text as Lua writes it.
fn quoted(bytes: &[u8]) -> String {
    let escaped = bytes.iter().map(|byte| format!("\\{byte:03}"));
    format!("'{}'", escaped.collect::<String>())
}

/// Values with a name, or none.
const KNOWN: [&str; 22] = [
    "nil",
    "true",
    "false",
    "0",
    "-0",
    "0/0",
    "1/0",
    "-1/0",
    "1e300",
    "2^63",
    "-2^63",
    "0.1",
    "3.99",
    "function() end",
    "redis",
    "redis.call",
    "_G",
    "KEYS",
    "cjson.null",
    "''",
    "'ok'",
    "setmetatable({}, {__index = function() error('x') end})",
];

/// An expression for any value that a script can make.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => prop::sample::select(&KNOWN[..]).prop_map(str::to_owned),
        1 => any::<f64>().prop_map(|n| format!("({n:e})").replace("NaN", "0/0").replace("inf", "1/0")),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| quoted(&bytes)),
        1 => prop::sample::select(vec!["SET", "GET", "HSET", "ZADD", "EVAL", "MULTI", "XADD", "SORT"])
            .prop_map(|name| format!("'{name}'")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let one = inner.clone();
        let field = prop::sample::select(vec![
            "err",
            "ok",
            "double",
            "map",
            "set",
            "big_number",
            "verbatim_string",
            "format",
            "string",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("{{{}}}", items.join(", "))),
            (field, one).prop_map(|(name, value)| format!("{{{name} = {value}}}")),
            (inner.clone(), inner.clone()).prop_map(|(string, format)| format!(
                "{{verbatim_string = {{string = {string}, format = {format}}}}}"
            )),
            (inner.clone(), inner)
                .prop_map(|(key, value)| format!("{{[tostring({key})] = {value}, 1}}")),
        ]
    })
}

/// What is done with two values.
const USES: [&str; 27] = [
    "return A",
    "redis.setresp(3) return {A, B}",
    "return {map = A, B}",
    "return redis.call(A, B)",
    "return redis.pcall(A, B, A)",
    "return redis.pcall('SET', A, B)",
    "return {redis.pcall('HSET', 'h', A, B), redis.pcall('HGETALL', 'h')}",
    "redis.setresp(3) return {redis.pcall('ZADD', 'z', A, B), redis.pcall('ZRANGE', 'z', 0, -1, 'WITHSCORES')}",
    "error(A)",
    "return {pcall(error, A)}",
    "return redis.error_reply(A)",
    "return redis.status_reply(A)",
    "return redis.sha1hex(A)",
    "return redis.setresp(A)",
    "redis.log(A, B)",
    "return cjson.encode(A)",
    "return cjson.decode(A)",
    "cjson.encode_max_depth(A) return cjson.encode(B)",
    "return {cmsgpack.unpack(cmsgpack.pack(A, B))}",
    "return {cmsgpack.unpack(A)}",
    "return struct.pack(A, B, A)",
    "return {struct.unpack(A, B)}",
    "return bit.tohex(A, B)",
    "return string.format(A, B)",
    "return {unpack({1, 2, 3}, A, B)}",
    "local t = {A} t[2] = t return t",
    "local t = {A} t.x = t return {pcall(cjson.encode, t), pcall(cmsgpack.pack, t)}",
];

/// How many bytes and items a reply has.
fn weight(reply: &Reply) -> usize {
    match reply {
        Reply::Bulk(text) | Reply::Status(text) | Reply::Error(text) => text.len() + 1,
        Reply::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Reply::Int(_) | Reply::Nil => 1,
    }
}

/// What is left behind one value of RESP3; `None` if there is none.
fn after_one(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let (line, rest) = (&bytes[1..end], &bytes[end + 2..]);
    let count = || std::str::from_utf8(line).ok()?.parse::<usize>().ok();
    match bytes[0] {
        b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => Some(rest),
        b'$' | b'=' => rest.get(count()?..)?.strip_prefix(b"\r\n"),
        kind @ (b'*' | b'~' | b'%') => {
            let items = count()? * if kind == b'%' { 2 } else { 1 };
            (0..items).try_fold(rest, |rest, _| after_one(rest))
        }
        _ => None,
    }
}

/// Runs a script for a client of RESP3; the reply is whole in both protocols.
fn run(version: Version, script: &[u8]) -> Reply {
    let mut bench = Bench::new();
    bench.server = crate::redis::Server::with_version(version);
    let id = SessionId(1);
    bench.server.connect(bench.now_us, id, "a:1", "b:1");
    bench.run("HELLO 3");
    let eval = Command::new("EVAL").arg(script).arg("1").arg("k").arg("v");
    let reply = (bench.server).execute(&bench.engine, bench.now_us, id, &eval);
    match bench.server.poll_typed() {
        Some(bytes) => assert_eq!(after_one(&bytes), Some(&[][..]), "{}", bytes.escape_ascii()),
        None => assert!(matches!(reply, Reply::Error(_)), "{reply:?}"),
    }
    // The server is as good as before.
    let stale = bench.run("GET nothing");
    assert!(
        stale == "nil" || stale.starts_with("-MASTERDOWN"),
        "{stale}"
    );
    let _ = bench.server.digest();
    reply
}

fn versions() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

/// Lua's own ends the process here.
#[test]
fn unpack_counts_without_overflow() {
    let cases = [
        ("-2, 2147483647", Err(())),
        ("0, 2147483647", Err(())),
        ("-2147483648, -2", Err(())),
        ("-2147483648, 2147483647", Err(())),
        ("1, 8000", Err(())),
        ("2147483647, 2147483647", Ok("[]")),
        ("-1, -2", Ok("[]")),
        ("2", Ok("[:2, :3]")),
        ("3, 9", Ok("[:3]")),
    ];
    for (range, expected) in cases {
        let script = format!("return {{unpack({{1, 2, 3}}, {range})}}");
        let reply = format!("{:?}", run(Version::V7_2, script.as_bytes()));
        match expected {
            Ok(text) => assert_eq!(reply, text, "{script}"),
            Err(()) => assert!(reply.contains("too many results to unpack"), "{reply}"),
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_run_or_refused(version in versions(), script in noise()) {
        let reply = run(version, &script);
        prop_assert!(weight(&reply) < 10_000 + 4 * script.len());
    }

    #[test]
    fn any_value_crosses_the_bridge(
        version in versions(),
        a in value(),
        b in value(),
        what in prop::sample::select(&USES[..]),
    ) {
        let script = format!("local A, B = {a}, {b} {what}");
        let reply = run(version, script.as_bytes());
        // The widest is `_G`, the deepest a table within itself.
        prop_assert!(weight(&reply) < 2_000_000, "{script}");
    }
}

/// The nesting that is allowed can be set; the stack is what it is.
#[test]
fn no_depth_is_too_deep() {
    for script in [
        "local t = {} t[1] = t cjson.encode_max_depth(1e9) return cjson.encode(t)",
        "local t = {} t.x = t cjson.encode_max_depth(1e9) return cjson.encode(t)",
        "cjson.decode_max_depth(1e9) return #cjson.decode(string.rep('[', 1e6))",
        "cjson.decode_max_depth(1e9) return #cjson.decode(string.rep('{\"a\":', 1e6))",
        "local t = {} t[1] = t return cmsgpack.pack(t)",
        "return #cmsgpack.unpack(string.rep('\\145', 1e6))",
        "return #cmsgpack.unpack(string.rep('\\129\\1', 1e6))",
        "local t = 1 for i = 1, 1e5 do t = {t} end return t",
        "local t = 1 for i = 1, 1e5 do t = {map = {a = t}} end return t",
    ] {
        let reply = run(Version::V7_0, script.as_bytes());
        assert!(weight(&reply) < 10_000, "{script}");
        assert!(reply == reply.clone());
        assert!(format!("{reply:?}").len() < 100_000);
    }
}

/// A reply ends, whatever the table is that it is made of.
#[test]
fn endless_replies_are_refused() {
    for script in [
        "local t = {} t[1] = t t[2] = t return t",
        "local t = {} t.map = t t.x = t return {t, t}",
        "local s, t = string.rep('x', 1e6), {} for i = 1, 1000 do t[i] = s end return t",
    ] {
        let reply = run(Version::V7_2, script.as_bytes());
        let refused = "ERR the simulated server gives no reply of more than 256 MB";
        assert_eq!(reply, Reply::error(refused), "{script}");
    }
}

/// Such a reply fits into the stack of a thread, which tests have, too: 2 MB.
#[test]
fn replies_are_nested_deeply() {
    for depth in [64, 999, 1_000] {
        let script = format!("local t = 7 for i = 1, {depth} do t = {{t}} end return t");
        let reply = format!("{:?}", run(Version::V7_0, script.as_bytes()));
        let nested = [&*"[".repeat(depth), ":7", &*"]".repeat(depth)].concat();
        assert!(reply == nested, "{depth}");
    }
}
