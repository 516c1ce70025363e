//! `COMMAND`: what there is, and where keys stand.
//!
//! Of a command's description, this knows name, arity, keys, and the flags that
//! matter here; what is about access control or documentation is empty.

use sluice_core::redis::{Bytes, Reply};

use super::containers::{self, Refused};
use super::keys::glob;
use super::table::{self, Keys, Spec};
use super::{Arg, Fail, Out, int};
use crate::redis::lua::Engine;
use crate::redis::{Server, SessionId, Version};

/// Where a command's keys are, scripts' included: the table has those that a
/// command itself looks at.
fn keys_of(spec: &Spec) -> Keys {
    match spec.name {
        "eval" | "eval_ro" | "evalsha" | "evalsha_ro" | "fcall" | "fcall_ro" => Keys::Counted {
            at: 2,
            stored: false,
        },
        _ => spec.keys,
    }
}

fn status(text: &str) -> Reply {
    Reply::Status(Bytes::from(text.as_bytes()))
}

fn describe(spec: &Spec) -> Reply {
    let keys = keys_of(spec);
    let (first, last, step) = match keys {
        Keys::None => (0, 0, 0),
        Keys::At { first, last, step } => (first as i64, last as i64, step as i64),
        Keys::Counted { stored, .. } => (i64::from(stored), i64::from(stored), 1),
        Keys::Sorted | Keys::Roaming => (1, 1, 1),
        Keys::Streams => (0, 0, 0),
    };
    let moves = matches!(
        keys,
        Keys::Counted { .. } | Keys::Sorted | Keys::Roaming | Keys::Streams
    );
    let reads = !spec.write && keys != Keys::None;
    let flags = [
        (spec.write, "write"),
        (reads, "readonly"),
        (spec.grows, "denyoom"),
        (moves, "movablekeys"),
    ];
    let flags = flags.into_iter().filter(|(is, _)| *is);
    let nothing = || Reply::Array(Vec::new());
    Reply::Array(vec![
        Reply::bulk(spec.name),
        Reply::Int(i64::from(spec.arity())),
        Reply::Array(flags.map(|(_, name)| status(name)).collect()),
        Reply::Int(first),
        Reply::Int(last),
        Reply::Int(step),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
    ])
}

fn get_keys(args: &[Arg], version: Version) -> Out {
    const INVALID: Fail = Fail::fixed("ERR Invalid command specified");
    // One of 7.0's own mistakes: what has no arguments is one too few.
    if version == Version::V7_0 && args.len() == 1 {
        return Err(Fail::arity("command|getkeys"));
    }
    let spec = table::lookup(&args[0]).ok_or(INVALID)?;
    if matches!(containers::check(spec, args), Err(Refused::Unknown(_))) {
        return Err(INVALID);
    }
    let keys = keys_of(spec);
    if keys == Keys::None {
        return Err(Fail::fixed("ERR The command has no key arguments"));
    }
    if !spec.accepts(args.len()) {
        return Err(Fail::fixed(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let mut found = Vec::new();
    keys.each(args, |key| found.push(Reply::Bulk(key.shared())));
    match keys {
        // A count beyond what there is counts nothing.
        Keys::Counted { at, .. } => {
            let count = args.get(at).and_then(|count| count.int().ok()).unwrap_or(0);
            let fits = usize::try_from(count).is_ok_and(|count| count < args.len() - at);
            if !fits || count == 0 {
                found.clear();
            }
        }
        Keys::Roaming => found = roaming(spec.name, args),
        _ => {}
    }
    let optional = spec.name.starts_with("eval") || spec.name.starts_with("fcall");
    if found.is_empty() && !optional {
        return Err(Fail::fixed("ERR Invalid arguments specified for command"));
    }
    Ok(Reply::Array(found))
}

/// Of `GEORADIUS` and `GEORADIUSBYMEMBER`: where it looks, and what follows the
/// first `STORE` and the first `STOREDIST` among its options.
fn roaming(name: &str, args: &[Arg]) -> Vec<Reply> {
    let from = if name == "georadius" { 6 } else { 5 };
    let options = args.get(from..).unwrap_or_default();
    let after = |word: &str| {
        let at = options.iter().position(|option| option.is(word))?;
        options.get(at + 1)
    };
    let stored = ["STORE", "STOREDIST"].into_iter().filter_map(after);
    let keys = args.iter().skip(1).take(1).chain(stored);
    keys.map(|key| Reply::Bulk(key.shared())).collect()
}

/// All names, each with those of its subcommands after it.
fn names(version: Version) -> impl Iterator<Item = String> {
    const LATER: [&str; 3] = ["myshardid", "no-touch", "setinfo"];
    let exists = move |word: &str| version.rank_with_score() || !LATER.contains(&word);
    let all = table::all().iter();
    let all = all.filter(move |spec| spec.exists_in(version));
    all.flat_map(move |spec| {
        let words = spec.subcommands.unwrap_or_default().iter();
        let words = words.filter(move |(word, _)| exists(word));
        let words = words.map(|(word, _)| format!("{}|{word}", spec.name));
        std::iter::once(spec.name.to_owned()).chain(words)
    })
}

fn list(args: &[Arg], version: Version) -> Out {
    let all = names(version);
    let names = |names: &mut dyn Iterator<Item = String>| {
        Ok(Reply::Array(names.map(Reply::bulk).collect()))
    };
    match args {
        [] => names(&mut { all }),
        [by, kind, pattern] if by.is("FILTERBY") && kind.is("PATTERN") => {
            names(&mut all.filter(|name| glob(&pattern.to_ascii_lowercase(), name.as_bytes())))
        }
        // There are no modules, and no users.
        [by, kind, _] if by.is("FILTERBY") && (kind.is("MODULE") || kind.is("ACLCAT")) => {
            names(&mut std::iter::empty())
        }
        _ => Err(Fail::SYNTAX),
    }
}

pub(super) fn command(server: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    let version = server.state.version;
    match &args[1..] {
        [] => Ok(Reply::Array(table::all().iter().map(describe).collect())),
        [word] if word.is("COUNT") => int(table::all().len()),
        [word] if word.is("INFO") => Ok(Reply::Array(table::all().iter().map(describe).collect())),
        [word, names @ ..] if word.is("INFO") => {
            let found = names.iter().map(|name| table::lookup(name));
            Ok(Reply::Array(
                found
                    .map(|spec| spec.map_or(Reply::Nil, describe))
                    .collect(),
            ))
        }
        [word, rest @ ..] if word.is("LIST") => list(rest, version),
        [word, line @ ..] if word.is("GETKEYS") && !line.is_empty() => get_keys(line, version),
        [word] if word.is("GETKEYS") => Err(Fail::arity("command|getkeys")),
        [word, ..] if word.is("DOCS") => Ok(Reply::Array(Vec::new())),
        [word, ..] => Err(Fail::subcommand(word, "COMMAND")),
    }
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    #[test]
    fn keys_are_told_as_redis_tells_them() {
        let mut bench = Bench::new();
        for (line, expected) in [
            ("COMMAND GETKEYS GET k", r#"["k"]"#),
            ("COMMAND GETKEYS SORT a STORE x STORE y", r#"["a", "y"]"#),
            ("COMMAND GETKEYS EVAL s 2 a b c", r#"["a", "b"]"#),
            ("COMMAND GETKEYS EVAL s 0", "[]"),
            ("COMMAND GETKEYS EVAL s 3 a b", "[]"),
            (
                "COMMAND GETKEYS GEORADIUS g 1 1 1 km STOREDIST d STORE e",
                r#"["g", "e", "d"]"#,
            ),
            ("COMMAND GETKEYS GEORADIUSBYMEMBER g STORE d km", r#"["g"]"#),
            ("COMMAND GETKEYS MEMORY USAGE k", r#"["k"]"#),
            (
                "COMMAND GETKEYS PING",
                "-ERR The command has no key arguments",
            ),
            ("COMMAND GETKEYS NOSUCH", "-ERR Invalid command specified"),
            (
                "COMMAND GETKEYS XREADGROUP GROUP STREAMS STREAMS COUNT 1 STREAMS a b 0 0",
                r#"["a", "b"]"#,
            ),
            (
                "COMMAND GETKEYS XGROUP FOO k",
                "-ERR Invalid command specified",
            ),
            ("COMMAND LIST FILTERBY PATTERN zr?nk", r#"["zrank"]"#),
            (
                "COMMAND LIST FILTERBY PATTERN *restore*",
                r#"["function|restore", "restore", "restore-asking"]"#,
            ),
            ("COMMAND LIST FILTERBY x", "-ERR syntax error"),
        ] {
            assert_eq!(bench.run(line), expected, "{line}");
        }
        let told = bench.run("COMMAND INFO lmpop nosuch set");
        assert!(
            told.contains(r#"["lmpop", :-4, [+write, +movablekeys], :0, :0, :1"#),
            "{told}"
        );
        assert!(told.contains("nil"), "{told}");
        assert!(
            told.contains(r#"["set", :-3, [+write, +denyoom], :1, :1, :1"#),
            "{told}"
        );
    }
}
