//! The sixteen databases, and what moves keys between them.

use std::mem::swap;

use super::{Arg, Fail, Out, flag};
use crate::redis::{SessionId, State};

/// As many as Redis has unless it is told otherwise.
pub(super) const COUNT: u8 = 16;

const OUT_OF_RANGE: Fail = Fail::fixed("ERR DB index is out of range");

impl State {
    /// Makes a database the one that commands see. Between commands it is 0.
    pub(in crate::redis) fn select(&mut self, number: u8) {
        if number == self.selected {
            return;
        }
        self.gather();
        // Each swap leaves database 0 in the place of the one that is in use.
        for slot in [self.selected, number] {
            if slot != 0 {
                swap(&mut self.db, self.others.entry(slot).or_default());
            }
        }
        if self
            .others
            .get(&self.selected)
            .is_some_and(|db| db.is_blank())
        {
            self.others.remove(&self.selected);
        }
        self.selected = number;
        self.db.now_ms = (self.now_us / 1000) as i64;
        self.db.count_use(self.counts_use());
        self.db.note_changes(self.notifies());
    }

    /// Takes over what the database in use has counted.
    pub(in crate::redis) fn gather(&mut self) {
        self.expired += std::mem::take(&mut self.db.expired);
        self.changes += std::mem::take(&mut self.db.changes);
        let noted = self.db.take_noted().into_iter();
        let here = self.selected;
        self.noted
            .extend(noted.map(|(key, change)| (here, key, change)));
    }

    /// Does something in another database.
    fn within<T>(&mut self, number: u8, what: impl FnOnce(&mut Self) -> T) -> T {
        let here = self.selected;
        self.select(number);
        let out = what(self);
        self.select(here);
        out
    }

    /// Ends all watching of a session; whether any of its keys had changed.
    pub(in crate::redis) fn unwatch(&mut self, session: SessionId) -> bool {
        let mut dirty = self.db.unwatch(session);
        for db in self.others.values_mut() {
            db.now_ms = self.db.now_ms;
            dirty |= db.unwatch(session);
        }
        dirty
    }
}

/// The number of a database.
fn number(arg: &Arg) -> Result<u8, Fail> {
    const RANGE: Fail =
        Fail::fixed("ERR value is out of range, value must between -2147483648 and 2147483647");
    let value = i32::try_from(arg.int()?).map_err(|_| RANGE)?;
    let value = u8::try_from(value).ok().filter(|value| *value < COUNT);
    value.ok_or(OUT_OF_RANGE)
}

pub(super) fn select(state: &mut State, args: &[Arg]) -> Out {
    if state.nodes > 0 && args[1].int()? != 0 {
        return Err(not_in_cluster("SELECT"));
    }
    let number = number(&args[1])?;
    state.select(number);
    Ok(state.replies.ok())
}

fn not_in_cluster(name: &str) -> Fail {
    Fail::new(format!("ERR {name} is not allowed in cluster mode"))
}

pub(super) fn swapdb(state: &mut State, args: &[Arg]) -> Out {
    if state.nodes > 0 {
        return Err(not_in_cluster("SWAPDB"));
    }
    let index = |arg: &Arg, text: &'static str| {
        let value = arg.int().ok().and_then(|value| i32::try_from(value).ok());
        value.ok_or(Fail::fixed(text))
    };
    let first = index(&args[1], "ERR invalid first DB index")?;
    let second = index(&args[2], "ERR invalid second DB index")?;
    let valid = |value: i32| u8::try_from(value).ok().filter(|value| *value < COUNT);
    let (a, b) = (
        valid(first).ok_or(OUT_OF_RANGE)?,
        valid(second).ok_or(OUT_OF_RANGE)?,
    );
    if a != b {
        let here = state.selected;
        let one = state.within(a, |state| state.db.share());
        let other = state.within(b, |state| state.db.exchange(one));
        state.within(a, |state| state.db.exchange(other));
        debug_assert_eq!(here, state.selected);
    }
    Ok(state.replies.ok())
}

pub(super) fn move_key(state: &mut State, args: &[Arg]) -> Out {
    if state.nodes > 0 {
        return Err(not_in_cluster("MOVE"));
    }
    let to = number(&args[2])?;
    if to == state.selected {
        return Err(SAME);
    }
    if !state.db.exists(args[1]) || state.within(to, |there| there.db.exists(args[1])) {
        return flag(false);
    }
    let Some(entry) = state.db.remove(&args[1]) else {
        return flag(false);
    };
    state.within(to, |there| {
        there.db.put(args[1].shared(), entry.value, entry.expires);
    });
    flag(true)
}

const SAME: Fail = Fail::fixed("ERR source and destination objects are the same");

pub(super) fn copy(state: &mut State, args: &[Arg]) -> Out {
    let mut replace = false;
    let mut to = state.selected;
    let mut rest = &args[3..];
    while let [word, after @ ..] = rest {
        rest = after;
        if word.is("REPLACE") {
            replace = true;
        } else if word.is("DB") && !after.is_empty() {
            to = number(&after[0])?;
            rest = &after[1..];
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    if state.nodes > 0 && to != 0 {
        return Err(Fail::fixed(
            "ERR Copying to another database is not allowed in cluster mode",
        ));
    }
    if *args[1] == *args[2] && to == state.selected {
        return Err(SAME);
    }
    let Some(entry) = state.db.entry(args[1]).cloned() else {
        return flag(false);
    };
    state.within(to, |there| {
        let free = replace || !there.db.exists(args[2]);
        if free {
            there.db.put(args[2].shared(), entry.value, entry.expires);
        }
        flag(free)
    })
}

fn mode(args: &[Arg]) -> Result<(), Fail> {
    match &args[1..] {
        [] => Ok(()),
        [mode] if mode.is("SYNC") || mode.is("ASYNC") => Ok(()),
        _ => Err(Fail::SYNTAX),
    }
}

pub(super) fn flushdb(state: &mut State, args: &[Arg]) -> Out {
    mode(args)?;
    state.db.clear();
    Ok(state.replies.ok())
}

pub(super) fn flushall(state: &mut State, args: &[Arg]) -> Out {
    mode(args)?;
    state.db.clear();
    state.others.values_mut().for_each(|db| db.clear());
    Ok(state.replies.ok())
}

/// Of the databases that have keys: number, keys, and how many can expire.
pub(super) fn sizes(state: &mut State) -> Vec<(u8, usize, usize)> {
    let size = |n| state.within(n, |state| (n, state.db.len(), state.db.mortal()));
    let sizes = (0..COUNT).map(size);
    sizes.filter(|(_, len, _)| *len > 0).collect()
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    #[test]
    fn databases_are_apart_and_a_session_stays_where_it_is() {
        let mut bench = Bench::new();
        bench.run("SET k zero");
        assert_eq!(bench.run("SELECT 3"), "+OK");
        assert_eq!(bench.run("GET k"), "nil");
        bench.run("SET k three");
        assert_eq!(bench.run_as(2, &["GET", "k"]), "\"zero\"");
        assert_eq!(bench.run("GET k"), "\"three\"");
        assert_eq!(bench.run("SWAPDB 0 3"), "+OK");
        assert_eq!(bench.run("GET k"), "\"zero\"");
        assert_eq!(bench.run_as(2, &["GET", "k"]), "\"three\"");
        assert_eq!(bench.run("MOVE k 0"), ":0");
        assert_eq!(bench.run("COPY k k2 DB 0"), ":1");
        assert_eq!(bench.run_as(2, &["GET", "k2"]), "\"zero\"");
        assert_eq!(bench.run("FLUSHALL"), "+OK");
        assert_eq!(bench.run_as(2, &["DBSIZE"]), ":0");
        assert_eq!(bench.run("SELECT 16"), "-ERR DB index is out of range");
    }

    /// A transaction selects for itself and what follows; a script for itself.
    #[test]
    fn selecting_in_transactions_and_scripts() {
        let mut bench = Bench::new();
        bench.run("MULTI");
        bench.run("SELECT 2");
        bench.run("SET k two");
        assert_eq!(bench.run("EXEC"), "[+OK, +OK]");
        assert_eq!(bench.run("GET k"), "\"two\"");
        bench.eval("redis.call('SELECT', 5) redis.call('SET', 'k', 'five')");
        assert_eq!(bench.run("GET k"), "\"two\"");
        bench.run("SELECT 5");
        assert_eq!(bench.run("GET k"), "\"five\"");
    }

    /// A watch is on one database's key, and holds wherever its session is.
    #[test]
    fn watches_know_their_database() {
        let mut bench = Bench::new();
        bench.run("WATCH k");
        bench.run_as(2, &["SELECT", "1"]);
        bench.run_as(2, &["SET", "k", "x"]);
        bench.run("SELECT 1");
        bench.run("MULTI");
        assert_eq!(bench.run("EXEC"), "[]");
        bench.run("WATCH k");
        bench.run("SELECT 0");
        bench.run_as(2, &["SET", "k", "y"]);
        bench.run("MULTI");
        assert_eq!(bench.run("EXEC"), "nil");
    }

    /// Whichever way round they are named, and whether a key comes or goes.
    #[test]
    fn an_exchange_breaks_watches_on_both_sides() {
        for (one, other) in [("0", "9"), ("9", "0")] {
            let mut bench = Bench::new();
            bench.run("SET gone v");
            bench.run_as(2, &["SELECT", "9"]);
            bench.run_as(2, &["SET", "come", "v"]);
            for (key, told) in [("gone", "nil"), ("come", "nil"), ("neither", "[]")] {
                for session in [1, 2] {
                    bench.run_as(session, &["WATCH", key]);
                    bench.run_as(3, &["SWAPDB", one, other]);
                    bench.run_as(session, &["MULTI"]);
                    assert_eq!(bench.run_as(session, &["EXEC"]), told, "{key} {session}");
                }
            }
        }
    }

    /// What databases hold is part of the state; that they were visited is not.
    #[test]
    fn the_digest_knows_all_databases() {
        let mut bench = Bench::new();
        let blank = bench.server.digest();
        bench.run("SELECT 7");
        bench.run("SET k v");
        bench.run("SELECT 0");
        assert_ne!(bench.server.digest(), blank);
        bench.run("FLUSHALL");
        assert_eq!(bench.server.digest(), blank);
    }
}
