//! `MEMORY`: what keys take, by the figures of [`crate::redis::memory`], and what
//! there is to say of an allocator that nobody can look into.

use sluice_core::redis::Reply;

use super::info::{INTERPRETER, PROCESS};
use super::{Arg, Fail, Out, int, score};
use crate::redis::State;
use crate::redis::memory::{BASE, size};

pub(super) fn memory(state: &mut State, args: &[Arg]) -> Out {
    match args {
        [_, word] if word.is("DOCTOR") => return Ok(Reply::bulk(doctor(state))),
        [_, word] if word.is("MALLOC-STATS") => {
            return Ok(Reply::bulk("Stats not supported for the current allocator"));
        }
        [_, word] if word.is("PURGE") => return Ok(state.replies.ok()),
        [_, word] if word.is("STATS") => return Ok(stats(state)),
        [_, word, ..] if word.is("USAGE") => {}
        _ => return Err(Fail::subcommand(&args[1], "MEMORY")),
    }
    match &args[2..] {
        [_] => {}
        [_, word, samples] if word.is("SAMPLES") => {
            if samples.int()? < 0 {
                return Err(Fail::SYNTAX);
            }
        }
        [] => return Err(Fail::arity("memory|usage")),
        _ => return Err(Fail::SYNTAX),
    }
    match state.db.peek(args[2]) {
        Some(entry) => int(size(&args[2], entry) as usize),
        None => Ok(Reply::Nil),
    }
}

fn doctor(state: &State) -> &'static str {
    const LEAST: u64 = 5 << 20;
    if state.used_memory() < LEAST {
        "Hi Sam, this instance is empty or is using very little memory, my issues detector can't be used in these conditions. Please, leave for your mission on Earth and fill it with some data. The new Sam and I will be back to our programming as soon as I finished rebooting.\n"
    } else {
        "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n"
    }
}

/// The same as in `INFO memory`.
fn stats(state: &mut State) -> Reply {
    let used = state.used_memory();
    let rss = used + PROCESS;
    let resident = rss - INTERPRETER;
    let data = used.saturating_sub(BASE);
    let sizes = super::databases::sizes(state);
    let keys = sizes.iter().map(|(_, keys, _)| *keys as u64).sum::<u64>();
    let version = state.version;
    let number = |n: u64| Reply::Int(n as i64);
    let ratio = |a: u64, b: u64| score(a as f64 / b.max(1) as f64, version);
    let since_7_0 = version != crate::redis::Version::V6_2;
    let functions: usize = state.libraries.iter().map(|(_, l)| l.code.len()).sum();
    let scripts: usize = state.scripts.values().map(|text| text.len()).sum();
    let mut pairs = vec![
        ("peak.allocated".to_owned(), number(used)),
        ("total.allocated".to_owned(), number(used)),
        ("startup.allocated".to_owned(), number(BASE)),
        ("replication.backlog".to_owned(), number(0)),
        ("clients.slaves".to_owned(), number(0)),
        ("clients.normal".to_owned(), number(0)),
    ];
    let mut put = |name: &str, value: Reply| pairs.push((name.to_owned(), value));
    if since_7_0 {
        put("cluster.links", number(0));
    }
    put("aof.buffer", number(0));
    put("lua.caches", number(scripts as u64));
    if since_7_0 {
        put("functions.caches", number(200 + functions as u64));
    }
    for (db, keys, expires) in sizes {
        // A table's slot for each key.
        const SLOT: usize = 72;
        let slots = |count: usize| number((count * SLOT) as u64);
        let mut of = vec![
            Reply::bulk("overhead.hashtable.main"),
            slots(keys),
            Reply::bulk("overhead.hashtable.expires"),
            slots(expires),
        ];
        if since_7_0 {
            of.extend([Reply::bulk("overhead.hashtable.slot-to-keys"), number(0)]);
        }
        put(&format!("db.{db}"), Reply::Array(of));
    }
    put("overhead.total", number(BASE));
    put("keys.count", number(keys));
    put(
        "keys.bytes-per-key",
        number(data.checked_div(keys).unwrap_or(0)),
    );
    put("dataset.bytes", number(data));
    put("dataset.percentage", ratio(100 * data, data));
    put("peak.percentage", ratio(100, 1));
    put("allocator.allocated", number(used));
    put("allocator.active", number(resident));
    put("allocator.resident", number(resident));
    put("allocator-fragmentation.ratio", ratio(resident, used));
    put("allocator-fragmentation.bytes", number(resident - used));
    put("allocator-rss.ratio", ratio(1, 1));
    put("allocator-rss.bytes", number(0));
    put("rss-overhead.ratio", ratio(rss, resident));
    put("rss-overhead.bytes", number(rss - resident));
    put("fragmentation", ratio(rss, used));
    put("fragmentation.bytes", number(rss - used));
    let pairs = pairs.into_iter();
    Reply::Array(
        pairs
            .flat_map(|(name, value)| [Reply::bulk(name), value])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    #[test]
    fn there_is_little_to_say_of_memory() {
        let mut bench = Bench::new();
        assert!(
            bench
                .run("MEMORY DOCTOR")
                .starts_with("\"Hi Sam, this instance is empty")
        );
        assert_eq!(bench.run("MEMORY PURGE"), "+OK");
        assert!(
            bench
                .run("MEMORY HELP")
                .starts_with("[+MEMORY <subcommand>")
        );
        bench.run("SET k v");
        let stats = bench.run("MEMORY STATS");
        assert!(
            stats.starts_with(r#"["peak.allocated", :900058"#),
            "{stats}"
        );
        assert!(stats.contains(r#""keys.count", :1"#), "{stats}");
        assert!(stats.contains(r#""db.0", ["overhead.hashtable.main", :72"#));
        let arity = r"-ERR wrong number of arguments for \'memory|stats\' command";
        assert_eq!(bench.run("MEMORY STATS x"), arity);
    }
}
