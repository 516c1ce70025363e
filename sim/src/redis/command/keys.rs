//! Keys and their expiry.

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out, flag, int};
use crate::redis::State;

/// The point in time, in milliseconds since the epoch, that an option means.
pub(super) fn expiry_ms(
    state: &State,
    amount: i64,
    seconds: bool,
    absolute: bool,
    name: &str,
) -> Result<i64, Fail> {
    let base = if absolute { 0 } else { state.db.now_ms };
    let unit = if seconds { 1000 } else { 1 };
    (amount > 0)
        .then(|| amount.checked_mul(unit)?.checked_add(base))
        .flatten()
        .ok_or_else(|| invalid_expiry(name))
}

fn invalid_expiry(name: &str) -> Fail {
    Fail::new(format!("ERR invalid expire time in '{name}' command"))
}

pub(super) fn del(state: &mut State, args: &[Arg]) -> Out {
    let gone = args[1..]
        .iter()
        .filter(|key| state.db.exists(*key) && state.db.remove(key).is_some());
    int(gone.count())
}

pub(super) fn exists(state: &mut State, args: &[Arg]) -> Out {
    int(args[1..].iter().filter(|key| state.db.exists(*key)).count())
}

/// `EXISTS`, and each is used.
pub(super) fn touch(state: &mut State, args: &[Arg]) -> Out {
    let keys = args[1..].iter();
    int(keys.filter(|key| state.db.entry(*key).is_some()).count())
}

pub(super) fn type_of(state: &mut State, args: &[Arg]) -> Out {
    let name = state
        .db
        .peek(args[1])
        .map_or("none", |e| e.value.type_name());
    Ok(Reply::Status(Bytes::from(name.as_bytes())))
}

pub(super) fn expire(state: &mut State, args: &[Arg]) -> Out {
    set_expiry(state, args, true, false, "expire")
}

pub(super) fn pexpire(state: &mut State, args: &[Arg]) -> Out {
    set_expiry(state, args, false, false, "pexpire")
}

pub(super) fn expireat(state: &mut State, args: &[Arg]) -> Out {
    set_expiry(state, args, true, true, "expireat")
}

pub(super) fn pexpireat(state: &mut State, args: &[Arg]) -> Out {
    set_expiry(state, args, false, true, "pexpireat")
}

fn set_expiry(state: &mut State, args: &[Arg], seconds: bool, absolute: bool, name: &str) -> Out {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for option in &args[3..] {
        if option.is("NX") {
            nx = true;
        } else if option.is("XX") {
            xx = true;
        } else if option.is("GT") {
            gt = true;
        } else if option.is("LT") {
            lt = true;
        } else {
            return Err(Fail::new([b"ERR Unsupported option ", &**option].concat()));
        }
    }
    if nx && (xx || gt || lt) {
        return Err(Fail::fixed(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if gt && lt {
        return Err(Fail::fixed(
            "ERR GT and LT options at the same time are not compatible",
        ));
    }
    let amount = args[2].int()?;
    let base = if absolute { 0 } else { state.db.now_ms };
    let at = amount
        .checked_mul(if seconds { 1000 } else { 1 })
        .and_then(|ms| ms.checked_add(base))
        .ok_or_else(|| invalid_expiry(name))?;
    let Some(entry) = state.db.entry(args[1]) else {
        return int(0);
    };
    let refused = match entry.expires {
        Some(old) => nx || gt && at <= old || lt && at >= old,
        None => xx || gt,
    };
    if !refused {
        state.db.expire(&args[1], Some(at));
    }
    flag(!refused)
}

pub(super) fn ttl(state: &mut State, args: &[Arg]) -> Out {
    let now = state.db.now_ms;
    lifetime(state, &args[1], |at| {
        (at - now).max(0).saturating_add(500) / 1000
    })
}

pub(super) fn pttl(state: &mut State, args: &[Arg]) -> Out {
    let now = state.db.now_ms;
    lifetime(state, &args[1], |at| (at - now).max(0))
}

pub(super) fn expiretime(state: &mut State, args: &[Arg]) -> Out {
    lifetime(state, &args[1], |at| {
        // Beyond all numbers, too, it is rounded.
        ((i128::from(at) + 500) / 1000) as i64
    })
}

pub(super) fn pexpiretime(state: &mut State, args: &[Arg]) -> Out {
    lifetime(state, &args[1], |at| at)
}

fn lifetime(state: &mut State, key: &Arg, of: impl Fn(i64) -> i64) -> Out {
    Ok(Reply::Int(match state.db.peek(key) {
        None => -2,
        Some(entry) => entry.expires.map_or(-1, of),
    }))
}

pub(super) fn persist(state: &mut State, args: &[Arg]) -> Out {
    let mortal = state.db.entry(args[1]).is_some_and(|e| e.expires.is_some());
    if mortal {
        state.db.expire(&args[1], None);
    }
    flag(mortal)
}

pub(super) fn keys(state: &mut State, args: &[Arg]) -> Out {
    let live = state.db.live_keys().map(|(key, _)| key);
    let found = live.filter(|key| glob(&args[1], key));
    Ok(Reply::Array(
        found.map(|key| Reply::Bulk(key.clone())).collect(),
    ))
}

pub(super) fn randomkey(state: &mut State, _args: &[Arg]) -> Out {
    let live = if state.draw.is_on() {
        state.db.live_keys().count()
    } else {
        1
    };
    let at = state.draw.below(live);
    let found = state.db.live_keys().nth(at);
    Ok(super::bulk(found.map(|(key, _)| key)))
}

pub(super) fn dbsize(state: &mut State, _args: &[Arg]) -> Out {
    int(state.db.len())
}

pub(super) fn rename(state: &mut State, args: &[Arg]) -> Out {
    move_key(state, &args[1], &args[2], true)?;
    Ok(state.replies.ok())
}

pub(super) fn renamenx(state: &mut State, args: &[Arg]) -> Out {
    flag(move_key(state, &args[1], &args[2], false)?)
}

fn move_key(state: &mut State, from: &Arg, to: &Arg, replace: bool) -> Result<bool, Fail> {
    if !state.db.exists(from) {
        return Err(Fail::NO_SUCH_KEY);
    }
    if **from == **to {
        return Ok(replace);
    }
    if !replace && state.db.exists(to) {
        return Ok(false);
    }
    if let Some(entry) = state.db.remove(from) {
        state.db.put(to.shared(), entry.value, entry.expires);
    }
    Ok(true)
}

/// Redis's glob: `*`, `?`, `[a-z]`, `[^…]`, and `\` to quote. More than a thousand
/// stars match nothing, since Redis bounds its recursion (CVE-2024-31228).
pub(in crate::redis) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    const STARS: usize = 1_000;
    // The usual two-pointer match: on failure, let the last star eat one more.
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut stars = 0;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            // Stars side by side are one, and the last needs no search.
            stars += usize::from(pattern.get(p).is_some_and(|next| *next != b'*'));
            if stars > STARS {
                return false;
            }
            continue;
        }
        if t == text.len() && p == pattern.len() {
            return true;
        }
        let step = match (pattern.get(p), text.get(t)) {
            (Some(_), Some(byte)) => one(&pattern[p..], *byte),
            _ => None,
        };
        match (step, star) {
            (Some(width), _) => {
                p += width;
                t += 1;
            }
            (None, Some((after, eaten))) if eaten < text.len() => {
                star = Some((after, eaten + 1));
                (p, t) = (after, eaten + 1);
            }
            (None, _) => return false,
        }
    }
}

/// Matches one byte; the width of the pattern that did it.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        b'[' => {
            let negated = pattern.get(1) == Some(&b'^');
            let mut at = if negated { 2 } else { 1 };
            let mut hit = false;
            while at < pattern.len() && pattern[at] != b']' {
                if pattern[at] == b'\\' && at + 1 < pattern.len() {
                    hit |= pattern[at + 1] == byte;
                    at += 2;
                } else if at + 2 < pattern.len() && pattern[at + 1] == b'-' {
                    let (low, high) = (pattern[at], pattern[at + 2]);
                    hit |= (low.min(high)..=low.max(high)).contains(&byte);
                    at += 3;
                } else {
                    hit |= pattern[at] == byte;
                    at += 1;
                }
            }
            (hit != negated).then_some((at + 1).min(pattern.len()))
        }
        other => (other == byte).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("h?llo", "hello", true),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*a*b*", "xxaxxbxx", true),
            ("", "a", false),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
        for (stars, expected) in [(1_000, true), (1_001, false)] {
            assert_eq!(glob(&b"*?".repeat(stars), &[b'a'; 5_000]), expected);
            assert!(glob(&[b'*'].repeat(2 * stars), b"a"), "one star");
        }
    }
}
