//! `OBJECT`: how a value is kept, as far as that can be told from the value.
//!
//! Redis's encodings depend on a value's past too (a hash that was large stays
//! a table). Here they follow from content and version alone, so that equal
//! states answer alike. Accesses are counted only while the policy of eviction
//! asks for it ([`crate::redis::memory`]); else nothing is ever idle.

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out};
use crate::redis::number::parse_i64;
use crate::redis::value::Value;
use crate::redis::{State, Version};

/// Longest member that fits into a compact encoding.
const COMPACT_BYTES: usize = 64;

/// What `OBJECT ENCODING` answers.
fn encoding(value: &Value, version: Version) -> &'static str {
    let short = |text: &Bytes| text.len() <= COMPACT_BYTES;
    let packed = "listpack";
    match value {
        Value::Str(text) if parse_i64(text).is_some() => "int",
        Value::Str(text) if text.len() <= 44 => "embstr",
        Value::Str(_) => "raw",
        Value::List(list) => {
            let bytes: usize = list.iter().map(|item| item.len() + 2).sum();
            if version.short_lists() && bytes <= 8 * 1024 {
                packed
            } else {
                "quicklist"
            }
        }
        Value::Hash(hash) => {
            if hash.len() <= 512 && hash.iter().all(|(f, v)| short(f) && short(v)) {
                packed
            } else {
                "hashtable"
            }
        }
        Value::Set(set) => {
            if set.len() <= 512 && set.iter().all(|m| parse_i64(m).is_some()) {
                "intset"
            } else if version.short_lists() && set.len() <= 128 && set.iter().all(short) {
                packed
            } else {
                "hashtable"
            }
        }
        Value::ZSet(zset) => {
            let all = zset.range(0, 129);
            if all.len() <= 128 && all.iter().all(|(member, _)| short(member)) {
                packed
            } else {
                "skiplist"
            }
        }
        Value::Stream(_) => "stream",
    }
}

pub(super) fn object(state: &mut State, args: &[Arg]) -> Out {
    let word = &args[1];
    if word.is("HELP") && args.len() == 2 {
        let lines = [
            "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "ENCODING <key>",
            "    Return the kind of internal representation used in order to store the value",
            "    associated with a <key>.",
            "FREQ <key>",
            "    Return the access frequency index of the <key>. The returned integer is",
            "    proportional to the logarithm of the recent access frequency of the key.",
            "IDLETIME <key>",
            "    Return the idle time of the <key>, that is the approximated number of",
            "    seconds elapsed since the last access to the key.",
            "REFCOUNT <key>",
            "    Return the number of references of the value associated with the specified",
            "    <key>.",
            "HELP",
            "    Prints this help.",
        ];
        let status = |line: &str| Reply::Status(Bytes::from(line.as_bytes()));
        return Ok(Reply::Array(lines.into_iter().map(status).collect()));
    }
    let known = ["encoding", "freq", "idletime", "refcount"];
    let Some(name) = known.into_iter().find(|name| word.is(name)) else {
        return Err(Fail::subcommand(word, "OBJECT"));
    };
    if args.len() != 3 {
        return Err(Fail::arity(&format!("object|{name}")));
    }
    let (version, policy) = (state.version, state.limits.policy);
    let now_ms = state.db.now_ms;
    let Some(entry) = state.db.peek(&args[2]) else {
        return Ok(Reply::Nil);
    };
    Ok(match name {
        "encoding" => Reply::bulk(encoding(&entry.value, version)),
        "refcount" => Reply::Int(1),
        "idletime" if policy.counts_frequency() => {
            return Err(Fail::fixed(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        "idletime" if policy.counts_use() => Reply::Int(entry.used.idle_ms(now_ms) / 1000),
        "idletime" => Reply::Int(0),
        _ if policy.counts_frequency() => Reply::Int(i64::from(entry.used.frequency(now_ms))),
        _ => {
            return Err(Fail::fixed(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
    })
}
