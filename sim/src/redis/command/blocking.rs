//! Commands that wait when there is nothing: `BLPOP`, `BZPOPMIN`, and so on.
//! Each does what its plain sibling does, and else leaves a note that it would
//! rather wait ([`crate::redis::waiting`]).

use sluice_core::redis::Reply;

use super::lists::{pop_of_many, pop_of_many_count, pop_one, side, transfer};
use super::{Arg, Fail, Out, lists, score, zsets};
use crate::redis::value::{List, ZSet};
use crate::redis::waiting::{Park, Wants};
use crate::redis::{State, number};

const NEGATIVE: Fail = Fail::fixed("ERR timeout is negative");
const FAR: Fail = Fail::fixed("ERR timeout is out of range");

/// A timeout in seconds, with a fraction; in microseconds, 0 for none.
fn seconds(arg: &Arg, state: &State) -> Result<u64, Fail> {
    if let Some(whole) = number::parse_i64(arg) {
        let ms = i128::from(whole) * 1000;
        let far = state.version.far_timeouts();
        let beyond = if far && ms > 0 { FAR } else { NEGATIVE };
        return until(i64::try_from(ms).map_err(|_| beyond)?, state);
    }
    let value = number::parse_f64(arg).or_else(|| beyond(arg));
    let value = value.ok_or(Fail::fixed("ERR timeout is not a float or out of range"))?;
    let ms = value * 1000.0;
    if ms > i64::MAX as f64 {
        let far = state.version.far_timeouts();
        return Err(if far { FAR } else { NEGATIVE });
    }
    until(ms.ceil() as i64, state)
}

/// Numbers that C's `long double` holds, and ours does not: infinite.
fn beyond(text: &[u8]) -> Option<f64> {
    const MOST: u32 = 4_932;
    let text = std::str::from_utf8(text).ok()?;
    let (_, exponent) = text.split_once(['e', 'E'])?;
    let fits = exponent.trim_start_matches('+').parse::<u32>().ok()? < MOST;
    let value: f64 = text.parse().ok()?;
    (fits && value.is_infinite()).then_some(value)
}

/// A timeout in milliseconds; in microseconds, 0 for none.
pub(super) fn milliseconds(arg: &Arg, state: &State) -> Result<u64, Fail> {
    let value = arg.int();
    let value = value.map_err(|_| Fail::fixed("ERR timeout is not an integer or out of range"))?;
    until(value, state)
}

fn until(ms: i64, state: &State) -> Result<u64, Fail> {
    let ms = u64::try_from(ms).map_err(|_| NEGATIVE)?;
    let now_ms = state.db.now_ms;
    if state.version.far_timeouts() && ms > (i64::MAX - now_ms.max(0)) as u64 {
        return Err(FAR);
    }
    Ok(ms.saturating_mul(1000))
}

/// Answers nothing, and would rather wait.
fn wait_for(state: &mut State, keys: &[Arg], wants: Wants, timeout_us: u64) -> Out {
    state.park = Some(Park {
        keys: keys.iter().map(Arg::shared).collect(),
        wants,
        timeout_us,
        command: None,
    });
    Ok(Reply::Nil)
}

fn pop(state: &mut State, args: &[Arg], left: bool) -> Out {
    let (timeout, keys) = args[1..].split_last().ok_or(Fail::SYNTAX)?;
    let timeout_us = seconds(timeout, state)?;
    for key in keys {
        let list = state.db.edit::<List>(key)?;
        if let Some(item) = list.and_then(|list| pop_one(list, left)) {
            state.db.shrunk::<List>(key);
            return Ok(Reply::Array(vec![
                Reply::Bulk(key.shared()),
                Reply::Bulk(item),
            ]));
        }
    }
    wait_for(state, keys, Wants::List, timeout_us)
}

pub(super) fn blpop(state: &mut State, args: &[Arg]) -> Out {
    pop(state, args, true)
}

pub(super) fn brpop(state: &mut State, args: &[Arg]) -> Out {
    pop(state, args, false)
}

fn move_or_wait(state: &mut State, args: &[Arg], from_left: bool, to_left: bool) -> Out {
    let timeout = args.last().ok_or(Fail::SYNTAX)?;
    let timeout_us = seconds(timeout, state)?;
    if state.db.read::<List>(&args[1])?.is_some() {
        return transfer(state, &args[1], &args[2], from_left, to_left);
    }
    wait_for(state, &args[1..2], Wants::List, timeout_us)
}

pub(super) fn blmove(state: &mut State, args: &[Arg]) -> Out {
    let (from_left, to_left) = (side(&args[3])?, side(&args[4])?);
    move_or_wait(state, args, from_left, to_left)
}

pub(super) fn brpoplpush(state: &mut State, args: &[Arg]) -> Out {
    move_or_wait(state, args, false, true)
}

pub(super) fn blmpop(state: &mut State, args: &[Arg]) -> Out {
    // What is wrong with the rest is said first.
    let (_, word, options) = pop_of_many(&args[2..])?;
    side(word)?;
    pop_of_many_count(options)?;
    let timeout_us = seconds(&args[1], state)?;
    match lists::lmpop(state, &args[1..])? {
        Reply::Nil => {
            let (keys, ..) = pop_of_many(&args[2..])?;
            wait_for(state, keys, Wants::List, timeout_us)
        }
        popped => Ok(popped),
    }
}

fn pop_scored(state: &mut State, args: &[Arg], min: bool) -> Out {
    let (timeout, keys) = args[1..].split_last().ok_or(Fail::SYNTAX)?;
    let timeout_us = seconds(timeout, state)?;
    let version = state.version;
    for key in keys {
        let zset = state.db.edit::<ZSet>(key)?;
        let popped = zset.and_then(|zset| zsets::take(zset, 1, min).pop());
        if let Some((member, value)) = popped {
            state.db.shrunk::<ZSet>(key);
            return Ok(Reply::Array(vec![
                Reply::Bulk(key.shared()),
                Reply::Bulk(member),
                score(value, version),
            ]));
        }
    }
    wait_for(state, keys, Wants::ZSet, timeout_us)
}

pub(super) fn bzpopmin(state: &mut State, args: &[Arg]) -> Out {
    pop_scored(state, args, true)
}

pub(super) fn bzpopmax(state: &mut State, args: &[Arg]) -> Out {
    pop_scored(state, args, false)
}

pub(super) fn bzmpop(state: &mut State, args: &[Arg]) -> Out {
    let (_, word, options) = pop_of_many(&args[2..])?;
    zsets::end_of(word)?;
    pop_of_many_count(options)?;
    let timeout_us = seconds(&args[1], state)?;
    match zsets::zmpop(state, &args[1..])? {
        Reply::Nil => {
            let (keys, ..) = pop_of_many(&args[2..])?;
            wait_for(state, keys, Wants::ZSet, timeout_us)
        }
        popped => Ok(popped),
    }
}

/// There are no replicas: nobody has acknowledged anything, nor ever will.
pub(super) fn wait(state: &mut State, args: &[Arg]) -> Out {
    let replicas = args[1].int()?;
    let timeout_us = milliseconds(&args[2], state)?;
    if replicas > 0 {
        wait_for(state, &[], Wants::Replica, timeout_us)?;
    }
    Ok(Reply::Int(0))
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;
    use crate::redis::{Server, Version};

    /// What Redis 7.0.15 says.
    #[test]
    fn what_is_wrong_is_said_in_the_order_of_redis() {
        let mut bench = Bench::new();
        bench.server = Server::with_version(Version::V7_0);
        let keys = "-ERR numkeys should be greater than 0";
        let syntax = "-ERR syntax error";
        let float = "-ERR timeout is not a float or out of range";
        let negative = "-ERR timeout is negative";
        for (line, told) in [
            ("BLMPOP x 0 a FOO", keys),
            ("BLMPOP x y a FOO", keys),
            ("BLMPOP x 1 a FOO", syntax),
            (
                "BLMPOP x 1 a LEFT COUNT 0",
                "-ERR count should be greater than 0",
            ),
            ("BLMPOP x 1 a LEFT", float),
            ("BLMPOP -1 1 a LEFT", negative),
            ("BZMPOP x 0 a FOO", keys),
            ("BZMPOP x 1 a MIN", float),
            ("BLPOP k 9223372036854775", "nil"),
            ("BLPOP k 9223372036854776", negative),
            ("BLPOP k 1e18", negative),
            ("BLPOP k inf", negative),
            ("WAIT 0 9223372036854775807", ":0"),
            ("XREAD BLOCK 9223372036854775807 STREAMS n $", "nil"),
            ("SET a b PXAT 9223372036854775807", "+OK"),
            ("EXPIRETIME a", ":9223372036854776"),
            ("PEXPIRETIME a", ":9223372036854775807"),
        ] {
            assert_eq!(bench.run(line), told, "{line}");
        }
    }
}
