//! From values to bytes.

use super::{form, lzf, stream};
use crate::redis::Version;
use crate::redis::number::parse_i64;
use crate::redis::value::Value;

/// Longer texts are compressed, if that makes them shorter.
const COMPRESSED_ABOVE: usize = 20;

pub(super) fn len(out: &mut Vec<u8>, len: u64) {
    match len {
        0..=63 => out.push(len as u8),
        64..=16_383 => out.extend([0x40 | (len >> 8) as u8, len as u8]),
        16_384..=0xffff_ffff => {
            out.push(0x80);
            out.extend((len as u32).to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend(len.to_be_bytes());
        }
    }
}

pub(super) fn string(out: &mut Vec<u8>, text: &[u8]) {
    // Small numbers have a form of their own.
    let number = (text.len() <= 11).then(|| parse_i64(text)).flatten();
    match number {
        Some(n @ -0x80..=0x7f) => out.extend([0xc0, n as u8]),
        Some(n @ -0x8000..=0x7fff) => {
            out.push(0xc1);
            out.extend((n as i16).to_le_bytes());
        }
        Some(n @ -0x8000_0000..=0x7fff_ffff) => {
            out.push(0xc2);
            out.extend((n as i32).to_le_bytes());
        }
        _ => match (text.len() > COMPRESSED_ABOVE).then(|| lzf::compress(text)) {
            Some(Some(compressed)) => {
                out.push(0xc3);
                len(out, compressed.len() as u64);
                len(out, text.len() as u64);
                out.extend(compressed);
            }
            _ => {
                len(out, text.len() as u64);
                out.extend_from_slice(text);
            }
        },
    }
}

pub(super) fn value(out: &mut Vec<u8>, value: &Value, version: Version) {
    match value {
        Value::Str(text) => {
            out.push(form::STRING);
            string(out, text);
        }
        Value::List(list) => {
            out.push(form::LIST);
            len(out, list.len() as u64);
            list.iter().for_each(|item| string(out, item));
        }
        Value::Set(set) => {
            out.push(form::SET);
            len(out, set.len() as u64);
            set.iter().for_each(|member| string(out, member));
        }
        Value::Hash(hash) => {
            out.push(form::HASH);
            len(out, hash.len() as u64);
            for (field, value) in hash.iter() {
                string(out, field);
                string(out, value);
            }
        }
        Value::ZSet(zset) => {
            out.push(form::ZSET);
            len(out, zset.len() as u64);
            for (member, score) in zset.range(0, zset.len()) {
                string(out, member);
                out.extend(score.to_bits().to_le_bytes());
            }
        }
        Value::Stream(stream) => {
            let kind = if version.active_consumers() {
                form::STREAM_3
            } else {
                form::STREAM_2
            };
            out.push(kind);
            stream::write(out, stream, kind);
        }
    }
}
