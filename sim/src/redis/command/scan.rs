//! `SCAN` and its kin: page by page.
//!
//! What is there from the beginning of a scan to its end is shown, whatever else
//! comes and goes meanwhile (<https://redis.io/docs/latest/commands/scan/>). A
//! cursor must say where to go on, and the server must not remember it; so each
//! element has a place, which is a hash of its name, a page is as many elements as
//! `COUNT` says in the order of their places, and the cursor is the place that the
//! next page begins with. Within a page elements come in byte order.
//!
//! A page takes O(elements) to find. For that to end, the pages of one scan are at
//! most a thousand or so: `COUNT` is a hint.

use sluice_core::redis::{Bytes, Reply};

use super::keys::glob;
use super::{Arg, Fail, Out, object};
use crate::digest::Digest;
use crate::redis::value::{Hash, Set, Typed, Value, ZSet};
use crate::redis::{State, Version};

/// No scan takes many more pages.
const PAGES: usize = 1024;

/// The place of an element: 48 bits, which every client can read, and never 0,
/// which is the beginning and the end.
fn place(name: &[u8]) -> u64 {
    (Digest::of(name) >> 16) + 1
}

/// Which command asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Keys,
    Set,
    Hash,
    ZSet,
}

struct Options<'a> {
    count: usize,
    glob: Option<Arg<'a>>,
    type_name: Option<Arg<'a>>,
    /// Without values, or scores.
    names_only: bool,
}

/// A cursor as C's `strtoul` reads it, which takes a sign, and nothing for 0.
fn cursor(arg: &Arg) -> Result<u64, Fail> {
    let invalid = Fail::fixed("ERR invalid cursor");
    if arg.is_empty() {
        return Ok(0);
    }
    let (negative, digits) = match arg.split_first() {
        Some((sign @ (b'+' | b'-'), rest)) => (*sign == b'-', rest),
        _ => (false, &**arg),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(invalid);
    }
    let value = std::str::from_utf8(digits).ok();
    let value = value.and_then(|text| text.parse::<u64>().ok());
    let value = value.ok_or(invalid)?;
    Ok(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

fn options<'a>(args: &[Arg<'a>], of: Of, version: Version) -> Result<Options<'a>, Fail> {
    let mut found = Options {
        count: 10,
        glob: None,
        type_name: None,
        names_only: false,
    };
    let mut rest = args;
    while let [name, after @ ..] = rest {
        rest = after;
        let novalues = name.is("NOVALUES") && version.scans_without_values();
        if novalues || name.is("NOSCORES") && version.is_valkey() {
            let (only, command) = if novalues {
                (Of::Hash, "NOVALUES option can only be used in HSCAN")
            } else {
                (Of::ZSet, "NOSCORES option can only be used in ZSCAN")
            };
            if of != only {
                return Err(Fail::new(format!("ERR {command}")));
            }
            found.names_only = true;
            continue;
        }
        let [value, after @ ..] = after else {
            return Err(Fail::SYNTAX);
        };
        rest = after;
        if name.is("COUNT") {
            let count = usize::try_from(value.int()?).ok();
            found.count = count.filter(|count| *count > 0).ok_or(Fail::SYNTAX)?;
        } else if name.is("MATCH") {
            found.glob = Some(*value);
        } else if of == Of::Keys && name.is("TYPE") {
            found.type_name = Some(*value);
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    Ok(found)
}

impl Options<'_> {
    /// The page that begins at a cursor, which is set to that of the next page. Of
    /// the page's elements those that match.
    fn page<'k, T>(
        &self,
        cursor: &mut u64,
        elements: impl Iterator<Item = (&'k Bytes, T)>,
    ) -> impl Iterator<Item = (&'k Bytes, T)> {
        let (mut all, from) = (0usize, *cursor);
        let elements = elements.inspect(|_| all += 1);
        let elements = elements.map(|(name, value)| (place(name), name, value));
        let elements: Vec<_> = elements.filter(|(place, ..)| *place >= from).collect();
        let count = self.count.max(all / PAGES);
        let mut places: Vec<u64> = elements.iter().map(|(place, ..)| *place).collect();
        let (last, more) = if count < places.len() {
            let (_, last, behind) = places.select_nth_unstable(count - 1);
            (*last, behind.iter().any(|place| *place > *last))
        } else {
            (u64::MAX, false)
        };
        *cursor = if more { last + 1 } else { 0 };
        let page = elements.into_iter().filter(move |(place, name, _)| {
            let matches = self.glob.is_none_or(|pattern| glob(&pattern, name));
            matches && *place <= last
        });
        page.map(|(_, name, value)| (name, value))
    }
}

fn answer(cursor: u64, items: Vec<Reply>) -> Out {
    let cursor = Reply::bulk(itoa::Buffer::new().format(cursor));
    Ok(Reply::Array(vec![cursor, Reply::Array(items)]))
}

pub(super) fn scan(state: &mut State, args: &[Arg]) -> Out {
    let mut cursor = cursor(&args[1])?;
    let options = options(&args[2..], Of::Keys, state.version)?;
    let page = options.page(&mut cursor, state.db.live_keys());
    let wanted = |value: &Value| {
        let name = options.type_name;
        name.is_none_or(|name| name.is(value.type_name()))
    };
    let page = page.filter(|(_, value)| wanted(value));
    let page = page.map(|(key, _)| Reply::Bulk(key.clone())).collect();
    answer(cursor, page)
}

/// A page of what is in a key. Compact values come as a whole, whatever the cursor.
fn inside<T: Typed>(
    state: &mut State,
    args: &[Arg],
    of: Of,
    list: impl FnOnce(&T, &Options, &mut u64, Version) -> Vec<Reply>,
) -> Out {
    let mut cursor = cursor(&args[2])?;
    let (version, settings) = (state.version, state.settings.clone());
    let Some(entry) = state.db.entry(args[1]) else {
        return answer(0, Vec::new());
    };
    let value = T::of(&entry.value).ok_or(Fail::WRONG_TYPE)?;
    let mut options = options(&args[3..], of, version)?;
    if object::is_compact(&entry.value, &settings, version) {
        (cursor, options.count) = (0, usize::MAX);
    }
    let items = list(value, &options, &mut cursor, version);
    answer(cursor, items)
}

pub(super) fn sscan(state: &mut State, args: &[Arg]) -> Out {
    inside(state, args, Of::Set, |set: &Set, options, cursor, _| {
        let page = options.page(cursor, set.iter().map(|member| (member, ())));
        page.map(|(member, ())| Reply::Bulk(member.clone()))
            .collect()
    })
}

pub(super) fn hscan(state: &mut State, args: &[Arg]) -> Out {
    inside(state, args, Of::Hash, |hash: &Hash, options, cursor, _| {
        let mut items = Vec::new();
        for (field, value) in options.page(cursor, hash.iter()) {
            items.push(Reply::Bulk(field.clone()));
            if !options.names_only {
                items.push(Reply::Bulk(value.clone()));
            }
        }
        items
    })
}

pub(super) fn zscan(state: &mut State, args: &[Arg]) -> Out {
    let of = Of::ZSet;
    inside(state, args, of, |zset: &ZSet, options, cursor, version| {
        let members = zset.range(0, zset.len());
        let mut items = Vec::new();
        for (member, score) in options.page(cursor, members.into_iter()) {
            items.push(Reply::Bulk(member.clone()));
            if !options.names_only {
                items.push(super::score(score, version));
            }
        }
        items
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sluice_core::redis::{Command, Reply};

    use crate::redis::Version;
    use crate::redis::tests::Bench;

    /// The next cursor, and the elements of a page.
    fn page(bench: &mut Bench, line: &str) -> (String, Vec<String>) {
        let mut words = line.split(' ');
        let command = Command::new(words.next().expect("a name"));
        let command = words.fold(command, |command, word| command.arg(word));
        let session = crate::redis::SessionId(1);
        let reply = (bench.server).execute(&bench.engine, bench.now_us, session, &command);
        let text = |reply: &Reply| match reply {
            Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{line}: {other:?}"),
        };
        match reply {
            Reply::Array(parts) => match &parts[..] {
                [cursor, Reply::Array(items)] => (text(cursor), items.iter().map(text).collect()),
                other => panic!("{line}: {other:?}"),
            },
            other => panic!("{line}: {other:?}"),
        }
    }

    /// What is there all the time is found, while others come and go.
    #[test]
    fn what_stays_is_found_by_pages() {
        for (scan, add, remove, width) in [
            ("SCAN", "SET {m} 1", "DEL {m}", 1),
            ("SSCAN s", "SADD s {m}", "SREM s {m}", 1),
            ("HSCAN h", "HSET h {m} 1", "HDEL h {m}", 2),
            ("ZSCAN z", "ZADD z 1 {m}", "ZREM z {m}", 2),
        ] {
            let mut bench = Bench::new();
            for n in 0..1000 {
                bench.run(&add.replace("{m}", &format!("stays-{n}")));
            }
            let mut found = BTreeSet::new();
            let (mut cursor, mut pages) = ("0".to_owned(), 0);
            loop {
                let (next, items) = page(&mut bench, &format!("{scan} {cursor} COUNT 20"));
                assert!((1..=20).contains(&(items.len() / width)), "{scan}");
                found.extend(items.into_iter().step_by(width));
                (cursor, pages) = (next, pages + 1);
                if cursor == "0" {
                    break;
                }
                bench.run(&add.replace("{m}", &format!("comes-{pages}")));
                bench.run(&remove.replace("{m}", &format!("comes-{}", pages / 2)));
            }
            assert!((50..=60).contains(&pages), "{scan}: {pages} pages");
            let stayed = found.iter().filter(|name| name.starts_with("stays"));
            assert_eq!(stayed.count(), 1000, "{scan}");
        }
    }

    /// `COUNT` counts what is looked at, not what matches.
    #[test]
    fn a_page_may_be_empty() {
        let mut bench = Bench::new();
        for n in 0..200 {
            bench.run(&format!("SET key-{n} 1"));
        }
        bench.run("LPUSH list 1");
        let (mut cursor, mut empty, mut found) = ("0".to_owned(), 0, Vec::new());
        loop {
            let line = format!("SCAN {cursor} MATCH l* TYPE list");
            let (next, items) = page(&mut bench, &line);
            empty += u32::from(items.is_empty());
            found.extend(items);
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        assert_eq!((found, empty), (vec!["list".to_owned()], 20));
    }

    /// As in Redis 7.0.15: compact values come whole, and what is not there is not
    /// asked how.
    #[test]
    fn corners() {
        let mut bench = Bench::new();
        for n in 0..100 {
            bench.run(&format!("HSET small f{n} 1"));
        }
        let (next, items) = page(&mut bench, "HSCAN small 7 COUNT 3");
        assert_eq!((next.as_str(), items.len()), ("0", 200));
        bench.run(
            "HSET small f0 0123456789012345678901234567890123456789012345678901234567890123456789",
        );
        let (next, items) = page(&mut bench, "HSCAN small 0 COUNT 3");
        assert_eq!((next.as_str() == "0", items.len()), (false, 6));
        assert_eq!(bench.run("HSCAN none 0 WHAT"), r#"["0", []]"#);
        assert_eq!(bench.run("HSCAN none x"), "-ERR invalid cursor");
        assert_eq!(bench.run("HSCAN small 0 COUNT 0"), "-ERR syntax error");
        assert_eq!(bench.run("HSCAN small 0 NOVALUES"), "-ERR syntax error");
        bench.server = crate::redis::Server::with_version(Version::V8_0);
        bench.run("HSET h a 1 b 2");
        bench.run("ZADD z 1 a");
        assert_eq!(bench.run("HSCAN h 0 NOVALUES"), r#"["0", ["a", "b"]]"#);
        let only = "-ERR NOVALUES option can only be used in HSCAN";
        assert_eq!(bench.run("ZSCAN z 0 NOVALUES"), only);
    }
}
