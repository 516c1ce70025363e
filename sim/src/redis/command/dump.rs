//! `DUMP`, `RESTORE`.

use sluice_core::redis::Reply;

use super::{Arg, Fail, Out};
use crate::redis::{State, rdb};

pub(super) fn dump(state: &mut State, args: &[Arg]) -> Out {
    let version = state.version;
    let value = state.db.entry(args[1]).map(|entry| &entry.value);
    Ok(value.map_or(Reply::Nil, |value| Reply::bulk(rdb::dump(value, version))))
}

pub(super) fn restore(state: &mut State, args: &[Arg]) -> Out {
    let (mut replace, mut absolute) = (false, false);
    let (mut idle, mut frequency) = (None, None);
    let mut rest = &args[4..];
    while let [word, after @ ..] = rest {
        rest = after;
        if word.is("REPLACE") {
            replace = true;
        } else if word.is("ABSTTL") {
            absolute = true;
        } else if word.is("IDLETIME") && !after.is_empty() && frequency.is_none() {
            let seconds = after[0].int()?;
            if seconds < 0 {
                return Err(Fail::fixed("ERR Invalid IDLETIME value, must be >= 0"));
            }
            idle = Some(seconds);
            rest = &after[1..];
        } else if word.is("FREQ") && !after.is_empty() && idle.is_none() {
            let value = u8::try_from(after[0].int()?);
            frequency = Some(
                value
                    .map_err(|_| Fail::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255"))?,
            );
            rest = &after[1..];
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    if !replace && state.db.exists(args[1]) {
        return Err(Fail::fixed("BUSYKEY Target key name already exists."));
    }
    let ttl = args[2].int()?;
    if ttl < 0 {
        return Err(Fail::fixed("ERR Invalid TTL value, must be >= 0"));
    }
    if !rdb::is_whole(&args[3], state.version) {
        return Err(Fail::fixed(
            "ERR DUMP payload version or checksum are wrong",
        ));
    }
    let value = rdb::restore(&args[3]).ok_or(Fail::fixed("ERR Bad data format"))?;
    let now_ms = state.db.now_ms;
    let at = match ttl {
        0 => None,
        at if absolute => Some(at),
        ttl => Some(ttl.saturating_add(now_ms)),
    };
    if at.is_some_and(|at| at <= now_ms) {
        state.db.remove(&args[1]);
        return Ok(state.replies.ok());
    }
    state.db.put(args[1].shared(), value, at);
    let policy = state.limits.policy;
    if let Some(seconds) = idle.filter(|_| policy.counts_use() && !policy.counts_frequency()) {
        state.db.mark_used(&args[1], |used| {
            used.idle_for(now_ms, seconds.saturating_mul(1000));
        });
    }
    if let Some(frequency) = frequency.filter(|_| policy.counts_frequency()) {
        state
            .db
            .mark_used(&args[1], |used| used.set_frequency(frequency));
    }
    Ok(state.replies.ok())
}

#[cfg(test)]
mod tests {
    use sluice_core::redis::{Command, Reply};

    use crate::redis::SessionId;
    use crate::redis::tests::Bench;

    impl Bench {
        fn dump(&mut self, key: &str) -> Vec<u8> {
            let command = Command::new("DUMP").arg(key);
            let (engine, now_us) = (&self.engine, self.now_us);
            match self.server.execute(engine, now_us, SessionId(1), &command) {
                Reply::Bulk(bytes) => bytes.to_vec(),
                other => panic!("{other:?}"),
            }
        }

        fn restore(&mut self, key: &str, ttl: &str, payload: &[u8], options: &[&str]) -> String {
            let command = Command::new("RESTORE").arg(key).arg(ttl).arg(payload);
            let command = options.iter().fold(command, |c, option| c.arg(option));
            let (engine, now_us) = (&self.engine, self.now_us);
            let reply = self.server.execute(engine, now_us, SessionId(1), &command);
            format!("{reply:?}")
        }
    }

    #[test]
    fn keys_come_back_as_they_were() {
        let mut bench = Bench::new();
        bench.run("HSET h f v");
        let dumped = bench.dump("h");
        let busy = "-BUSYKEY Target key name already exists.";
        assert_eq!(bench.restore("h", "0", &dumped, &[]), busy);
        assert_eq!(bench.restore("h", "500", &dumped, &["REPLACE"]), "+OK");
        assert_eq!(bench.run("PTTL h"), ":500");
        assert_eq!(bench.run("HGETALL h"), r#"["f", "v"]"#);
        let now_ms = bench.now_us / 1000;
        let past = (now_ms - 1).to_string();
        assert_eq!(
            bench.restore("h", &past, &dumped, &["ABSTTL", "REPLACE"]),
            "+OK"
        );
        assert_eq!(bench.run("EXISTS h"), ":0");
        let wrong = "-ERR DUMP payload version or checksum are wrong";
        assert_eq!(bench.restore("h", "0", b"...", &[]), wrong);
        assert_eq!(bench.restore("h", "0", b"...", &["x"]), "-ERR syntax error");
        let negative = "-ERR Invalid TTL value, must be >= 0";
        assert_eq!(bench.restore("h", "-1", &dumped, &[]), negative);
        assert_eq!(bench.run("DUMP nosuch"), "nil");
    }

    #[test]
    fn idle_time_and_frequency_are_restored_where_they_are_counted() {
        let mut bench = Bench::new();
        bench.run("SET k v");
        let dumped = bench.dump("k");
        bench.run("CONFIG SET maxmemory-policy allkeys-lru");
        assert_eq!(
            bench.restore("k", "0", &dumped, &["IDLETIME", "70", "REPLACE"]),
            "+OK"
        );
        assert_eq!(bench.run("OBJECT IDLETIME k"), ":70");
        bench.run("CONFIG SET maxmemory-policy allkeys-lfu");
        assert_eq!(
            bench.restore("k", "0", &dumped, &["FREQ", "100", "REPLACE"]),
            "+OK"
        );
        assert_eq!(bench.run("OBJECT FREQ k"), ":100");
        let far = "-ERR Invalid FREQ value, must be >= 0 and <= 255";
        assert_eq!(
            bench.restore("k", "0", &dumped, &["FREQ", "256", "REPLACE"]),
            far
        );
    }
}
