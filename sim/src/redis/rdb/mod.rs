//! `DUMP` and `RESTORE`: values as Redis writes them to disk.
//!
//! What is written here any Redis of the same version reads, and what it writes
//! is read here, old forms included. The bytes are the same for strings and for
//! libraries of functions; lists, hashes, sets and so on are written plainly
//! here, and packed by Redis.

mod lzf;
mod packed;
mod read;
mod stream;
mod write;

use sluice_core::redis::Bytes;

use super::Version;
use super::value::Value;

/// The numbers of the forms in which values are written.
mod form {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const ZSET_TEXT: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const ZSET: u8 = 5;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const ZSET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const LIST_QUICKLIST: u8 = 14;
    pub(super) const STREAM: u8 = 15;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const ZSET_LISTPACK: u8 = 17;
    pub(super) const LIST_QUICKLIST_2: u8 = 18;
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const SET_LISTPACK: u8 = 20;
    pub(super) const STREAM_3: u8 = 21;
    /// A library of functions.
    pub(super) const LIBRARY: u8 = 245;
    /// The same before it was released: name, engine and description apart.
    pub(super) const LIBRARY_RC: u8 = 246;
}

/// Version and checksum, at the end.
const FOOTER: usize = 10;

/// The checksum that Redis uses: CRC-64 of Jones, reflected.
const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0x95ac_9329_ac4b_c9b5
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

static TABLE: [u64; 256] = table();

fn checksum(bytes: &[u8]) -> u64 {
    let step = |crc: u64, byte: &u8| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8;
    bytes.iter().fold(0, step)
}

/// What `DUMP` answers.
pub(super) fn dump(value: &Value, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    write::value(&mut out, value, version);
    sealed(out, version)
}

/// What `FUNCTION DUMP` answers, of libraries with this text.
pub(super) fn dump_libraries<'a>(
    codes: impl Iterator<Item = &'a Bytes>,
    version: Version,
) -> Vec<u8> {
    let mut out = Vec::new();
    for code in codes {
        out.push(form::LIBRARY);
        write::string(&mut out, code);
    }
    sealed(out, version)
}

/// With its version and checksum.
fn sealed(mut out: Vec<u8>, version: Version) -> Vec<u8> {
    out.extend(version.rdb().to_le_bytes());
    let sum = checksum(&out);
    out.extend(sum.to_le_bytes());
    out
}

/// Whether this is what some `DUMP` answered, of this version or an older one.
pub(super) fn is_whole(payload: &[u8], version: Version) -> bool {
    let Some(at) = payload.len().checked_sub(FOOTER) else {
        return false;
    };
    let (body, sum) = payload.split_at(at + 2);
    let known = u16::from_le_bytes([body[at], body[at + 1]]) <= version.rdb();
    known && sum == checksum(body).to_le_bytes()
}

/// The value, of a whole payload; `None` for nonsense.
pub(super) fn restore(payload: &[u8]) -> Option<Value> {
    let body = payload.get(..payload.len().checked_sub(FOOTER)?)?;
    read::value(body)
}

/// The texts of libraries, of a whole payload, or what Redis says is wrong.
pub(super) fn restore_libraries(
    payload: &[u8],
    version: Version,
) -> Result<Vec<Bytes>, &'static str> {
    let body = &payload[..payload.len().saturating_sub(FOOTER)];
    let mut from = read::Reader::new(body);
    let mut codes = Vec::new();
    while from.left() > 0 {
        codes.push(match from.byte() {
            Some(form::LIBRARY) => from.string().ok_or("Failed loading library payload")?,
            Some(form::LIBRARY_RC) if version == Version::V7_0 => release_candidate(&mut from)?,
            Some(form::LIBRARY_RC) => return Err("Pre-GA function format not supported"),
            _ => return Err("given type is not a function"),
        });
    }
    Ok(codes)
}

/// What is now the first line of a library was written apart.
fn release_candidate(from: &mut read::Reader) -> Result<Bytes, &'static str> {
    let name = from.string().ok_or("Failed loading library name")?;
    let engine = from.string().ok_or("Failed loading engine name")?;
    let described = from.len();
    let described = described.ok_or("Failed loading library description indicator")?;
    if described != 0 {
        from.string().ok_or("Failed loading library description")?;
    }
    let code = from.string().ok_or("Failed loading library blob")?;
    let parts: [&[u8]; 6] = [b"#!", &engine, b" name=", &name, b"\n", &code];
    Ok(Bytes::from(parts.concat()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::redis::tests::Bench;

    /// A stream in the form of Redis 5.
    #[test]
    fn what_older_servers_wrote_is_read() {
        let dumped =
            b"\x0f\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00";
        let node = to_bytes(&["1", "0", "1", "f", "0", "2", "0", "0", "v", "4"]);
        let mut payload = dumped.to_vec();
        payload.push(node.len() as u8);
        payload.extend(&node);
        // One entry, the last id, no groups; version 9 and the checksum.
        payload.extend([1, 1, 0, 0, 9, 0]);
        payload.extend(checksum(&payload).to_le_bytes());
        assert!(is_whole(&payload, Version::V7_0));
        let Some(Value::Stream(stream)) = restore(&payload) else {
            panic!("it is not read");
        };
        assert_eq!((stream.len(), stream.added), (1, 1));
        assert_eq!(stream.iter().next().map(|(id, _)| id.ms), Some(1));
    }

    fn to_bytes(items: &[&str]) -> Vec<u8> {
        let items: Vec<_> = items.iter().map(|item| item.as_bytes().into()).collect();
        packed::to_listpack(&items)
    }

    #[test]
    fn the_checksum_is_that_of_redis() {
        assert_eq!(checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    /// Everything that can be written is read again, by any version.
    #[test]
    fn values_survive_a_dump() {
        let mut bench = Bench::new();
        for line in [
            "SET small 12",
            "SET large 12345678901",
            "SET text hello",
            "RPUSH list a 1 -5 100000 b",
            "SADD set 1 2 x",
            "HSET hash f v g 17",
            "ZADD zset 1 a 1.5 b -inf c inf d",
            "XADD stream 1-1 f v",
            "XADD stream 1-2 f w",
            "XADD stream 5-0 g x h 12",
            "XADD gaps 1-1 f v",
            "XADD gaps 1-2 f v",
            "XDEL gaps 1-1",
            "XGROUP CREATE stream grp 0",
            "XREADGROUP GROUP grp ann COUNT 1 STREAMS stream >",
            "XGROUP CREATECONSUMER stream grp bob",
        ] {
            bench.run(line);
        }
        let long = "x".repeat(20_000);
        bench.run(&format!("SET long {long}"));
        for version in Version::ALL {
            let all = bench.server.keyspace().iter(bench.now_us);
            for (key, value) in all {
                let dumped = dump(value, version);
                assert!(is_whole(&dumped, version));
                let Some(restored) = restore(&dumped) else {
                    panic!("{} is not read again", key.escape_ascii());
                };
                let again = dump(&restored, version);
                assert_eq!(again, dumped, "{}", key.escape_ascii());
                // The places of deleted entries are not kept, nor, before 7.2, who
                // was never given anything.
                if version.active_consumers() && **key != *b"gaps" {
                    assert_eq!(restored.digest(), value.digest(), "{}", key.escape_ascii());
                }
            }
        }
        let mut broken = dump(&Value::Str(b"x"[..].into()), Version::V7_0);
        broken[1] ^= 1;
        assert!(!is_whole(&broken, Version::V7_0));
    }

    proptest! {
        /// Nonsense is no value, and does no harm.
        #[test]
        fn nonsense_is_refused(
            kind in 0u8..24,
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut payload = vec![kind];
            payload.extend(&bytes);
            payload.extend([0; FOOTER]);
            let _ = restore(&payload);
        }

        /// A byte changed anywhere makes another value or none.
        #[test]
        fn damage_does_no_harm(at in 0usize..400, byte in any::<u8>()) {
            let mut bench = Bench::new();
            for n in 0..5 {
                bench.run(&format!("XADD s {n}-1 f {n} g h"));
            }
            bench.run("XGROUP CREATE s g 0");
            bench.run("XREADGROUP GROUP g c COUNT 2 STREAMS s >");
            let value = bench.server.keyspace().get(b"s", bench.now_us).cloned();
            let mut dumped = dump(&value.expect("it was added"), Version::V7_2);
            let at = at % dumped.len();
            dumped[at] = byte;
            let _ = restore(&dumped);
        }
    }
}
