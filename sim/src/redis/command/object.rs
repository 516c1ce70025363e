//! `OBJECT`: how a value is kept, as far as that can be told from the value.
//!
//! Redis's encodings depend on a value's past too (a hash that was large stays
//! a table). Here they follow from content and version alone, so that equal
//! states answer alike. Accesses are counted only while the policy of eviction
//! asks for it ([`crate::redis::memory`]) or there are real clients; else nothing
//! is ever idle.

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out};
use crate::redis::number::parse_i64;
use crate::redis::settings::{
    HASH_ENTRIES, HASH_VALUE, LIST_SIZE, Number, SET_ENTRIES, SET_INTEGERS, SET_VALUE, Settings,
    ZSET_ENTRIES, ZSET_VALUE,
};
use crate::redis::value::Value;
use crate::redis::{State, Version};

/// What `OBJECT ENCODING` answers.
fn encoding(value: &Value, settings: &Settings, version: Version) -> &'static str {
    let short = |text: &Bytes, most: &Number| text.len() <= settings.size(most);
    let packed = "listpack";
    match value {
        Value::Str(text) if parse_i64(text).is_some() => "int",
        Value::Str(text) if text.len() <= 44 => "embstr",
        Value::Str(_) => "raw",
        Value::List(list) => {
            // A listpack has a header, an end, and a little around each item.
            let bytes = || list.iter().map(|item| item.len() + 2).sum::<usize>() + 7;
            let fits = match settings.get(&LIST_SIZE) {
                most @ 0.. => list.len() as i64 <= most && bytes() <= 8 * 1024,
                size => bytes() <= 4096 << (-1 - size).min(4),
            };
            if version.short_lists() && fits {
                packed
            } else {
                "quicklist"
            }
        }
        Value::Hash(hash) => {
            let short = |text: &Bytes| short(text, &HASH_VALUE);
            let few = hash.len() <= settings.size(&HASH_ENTRIES);
            if few && hash.iter().all(|(f, v)| short(f) && short(v)) {
                packed
            } else {
                "hashtable"
            }
        }
        Value::Set(set) => {
            let few = |most: &Number| set.len() <= settings.size(most);
            if few(&SET_INTEGERS) && set.iter().all(|m| parse_i64(m).is_some()) {
                "intset"
            } else if version.short_lists()
                && few(&SET_ENTRIES)
                && set.iter().all(|member| short(member, &SET_VALUE))
            {
                packed
            } else {
                "hashtable"
            }
        }
        Value::ZSet(zset) => {
            let few = zset.len() <= settings.size(&ZSET_ENTRIES);
            let all = || zset.range(0, zset.len()).into_iter();
            if few && all().all(|(member, _)| short(member, &ZSET_VALUE)) {
                packed
            } else {
                "skiplist"
            }
        }
        Value::Stream(_) => "stream",
    }
}

/// Whether a value has one of the encodings that are read as a whole.
pub(super) fn is_compact(value: &Value, settings: &Settings, version: Version) -> bool {
    matches!(encoding(value, settings, version), "listpack" | "intset")
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
    let (version, policy, counts) = (state.version, state.limits.policy, state.counts_use());
    let now_ms = state.db.now_ms;
    let settings = state.settings.clone();
    let Some(entry) = state.db.peek(args[2]) else {
        return Ok(Reply::Nil);
    };
    Ok(match name {
        "encoding" => Reply::bulk(encoding(&entry.value, &settings, version)),
        "refcount" => Reply::Int(1),
        "idletime" if policy.counts_frequency() => {
            return Err(Fail::fixed(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        "idletime" if counts => Reply::Int(entry.used.idle_ms(now_ms) / 1000),
        "idletime" => Reply::Int(0),
        _ if policy.counts_frequency() => Reply::Int(i64::from(entry.used.frequency(now_ms))),
        _ => {
            return Err(Fail::fixed(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
    })
}
