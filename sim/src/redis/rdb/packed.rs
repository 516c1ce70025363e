//! The compact forms: listpacks, ziplists, intsets, and LZF.

use sluice_core::redis::Bytes;

use super::read::Reader;

/// No string is longer than what a client may send.
const LONGEST: usize = 512 << 20;

fn text(n: i64) -> Bytes {
    Bytes::from(n.to_string().as_bytes())
}

/// The items of a listpack.
pub(super) fn listpack(bytes: &[u8]) -> Option<Vec<Bytes>> {
    let mut from = Reader::new(bytes);
    let total = from.le(4)? as usize;
    let _count = from.le(2)?;
    if total != bytes.len() {
        return None;
    }
    let mut out = Vec::new();
    loop {
        let before = from.left();
        let first = from.byte()?;
        let item = match first {
            0..=0x7f => text(i64::from(first)),
            0x80..=0xbf => Bytes::from(from.take(usize::from(first & 0x3f))?),
            0xc0..=0xdf => {
                let value = i64::from(first & 0x1f) << 8 | i64::from(from.byte()?);
                text(if value >= 1 << 12 {
                    value - (1 << 13)
                } else {
                    value
                })
            }
            0xe0..=0xef => {
                let len = usize::from(first & 0x0f) << 8 | usize::from(from.byte()?);
                Bytes::from(from.take(len)?)
            }
            0xf0 => {
                let len = from.le(4)? as usize;
                Bytes::from(from.take(len)?)
            }
            0xf1 => text(from.signed(2)?),
            0xf2 => text(from.signed(3)?),
            0xf3 => text(from.signed(4)?),
            0xf4 => text(from.signed(8)?),
            0xff => return (from.left() == 0).then_some(out),
            _ => return None,
        };
        out.push(item);
        let back = match before - from.left() {
            0..=127 => 1,
            128..=16_382 => 2,
            16_383..=2_097_150 => 3,
            2_097_151..=268_435_454 => 4,
            _ => 5,
        };
        from.take(back)?;
    }
}

/// Appends an item of a listpack.
fn pack(out: &mut Vec<u8>, item: &[u8]) {
    let from = out.len();
    match (item.len() <= 20).then(|| crate::redis::number::parse_i64(item)) {
        Some(Some(n @ 0..=127)) => out.push(n as u8),
        Some(Some(n @ -4096..=4095)) => {
            let bits = n as u16 & 0x1fff;
            out.extend([0xc0 | (bits >> 8) as u8, bits as u8]);
        }
        Some(Some(n @ -0x8000..=0x7fff)) => {
            out.push(0xf1);
            out.extend(&n.to_le_bytes()[..2]);
        }
        Some(Some(n @ -0x80_0000..=0x7f_ffff)) => {
            out.push(0xf2);
            out.extend(&n.to_le_bytes()[..3]);
        }
        Some(Some(n @ -0x8000_0000..=0x7fff_ffff)) => {
            out.push(0xf3);
            out.extend(&n.to_le_bytes()[..4]);
        }
        Some(Some(n)) => {
            out.push(0xf4);
            out.extend(n.to_le_bytes());
        }
        _ => {
            let len = item.len();
            match len {
                0..=63 => out.push(0x80 | len as u8),
                64..=4095 => out.extend([0xe0 | (len >> 8) as u8, len as u8]),
                _ => {
                    out.push(0xf0);
                    out.extend((len as u32).to_le_bytes());
                }
            }
            out.extend_from_slice(item);
        }
    }
    // The length again, seven bits a byte, to be read from its end.
    let len = out.len() - from;
    let bytes = match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    for at in (0..bytes).rev() {
        let part = (len >> (7 * at)) as u8 & 0x7f;
        let more = if at + 1 < bytes { 0x80 } else { 0 };
        out.push(part | more);
    }
}

/// A listpack of these items.
pub(super) fn to_listpack(items: &[Bytes]) -> Vec<u8> {
    let mut out = vec![0; 6];
    for item in items {
        pack(&mut out, item);
    }
    out.push(0xff);
    let total = out.len() as u32;
    out[..4].copy_from_slice(&total.to_le_bytes());
    let count = u16::try_from(items.len()).unwrap_or(u16::MAX);
    out[4..6].copy_from_slice(&count.to_le_bytes());
    out
}

/// The items of a ziplist, which was before listpacks.
pub(super) fn ziplist(bytes: &[u8]) -> Option<Vec<Bytes>> {
    let mut from = Reader::new(bytes);
    let total = from.le(4)? as usize;
    let (_tail, _count) = (from.le(4)?, from.le(2)?);
    if total != bytes.len() {
        return None;
    }
    let mut out = Vec::new();
    loop {
        match from.byte()? {
            0xff => return (from.left() == 0).then_some(out),
            0xfe => {
                from.take(4)?;
            }
            _ => {}
        }
        let first = from.byte()?;
        out.push(match first {
            0..=0x3f => Bytes::from(from.take(usize::from(first))?),
            0x40..=0x7f => {
                let len = usize::from(first & 0x3f) << 8 | usize::from(from.byte()?);
                Bytes::from(from.take(len)?)
            }
            0x80 => {
                let len = from.be(4)? as usize;
                Bytes::from(from.take(len)?)
            }
            0xc0 => text(from.signed(2)?),
            0xd0 => text(from.signed(4)?),
            0xe0 => text(from.signed(8)?),
            0xf0 => text(from.signed(3)?),
            0xfe => text(from.signed(1)?),
            0xf1..=0xfd => text(i64::from(first & 0x0f) - 1),
            _ => return None,
        });
    }
}

/// The members of an intset.
pub(super) fn intset(bytes: &[u8]) -> Option<Vec<Bytes>> {
    let mut from = Reader::new(bytes);
    let (width, count) = (from.le(4)? as usize, from.le(4)? as usize);
    if !matches!(width, 2 | 4 | 8) || from.left() != width.checked_mul(count)? {
        return None;
    }
    (0..count).map(|_| from.signed(width).map(text)).collect()
}

/// Undoes LZF: runs of plain bytes, and copies of what came before.
pub(super) fn decompress(bytes: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > LONGEST {
        return None;
    }
    let mut from = Reader::new(bytes);
    let mut out: Vec<u8> = Vec::new();
    while from.left() > 0 {
        let control = usize::from(from.byte()?);
        if control < 32 {
            out.extend_from_slice(from.take(control + 1)?);
        } else {
            let mut run = control >> 5;
            if run == 7 {
                run += usize::from(from.byte()?);
            }
            let back = (control & 0x1f) << 8 | usize::from(from.byte()?);
            let start = out.len().checked_sub(back + 1)?;
            // It may run into what it writes.
            for at in start..start + run + 2 {
                out.push(out[at]);
            }
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listpacks_are_read_as_they_were_written() {
        let words: Vec<String> = [
            0,
            1,
            127,
            128,
            -1,
            4095,
            -4096,
            4096,
            32_767,
            -32_768,
            32_768,
            8_388_607,
            -8_388_608,
            8_388_608,
            i64::from(i32::MIN),
            i64::MAX,
            i64::MIN,
        ]
        .iter()
        .map(i64::to_string)
        .chain([0, 1, 63, 64, 127, 128, 4095, 4096, 17_000].map(|len| "x".repeat(len)))
        .collect();
        let items: Vec<Bytes> = words.iter().map(|w| Bytes::from(w.as_bytes())).collect();
        assert_eq!(listpack(&to_listpack(&items)), Some(items));
    }

    #[test]
    fn compressed_text_is_restored() {
        // "aaaaaaaaaa" as liblzf has it: one byte, and nine copies of it.
        assert_eq!(
            decompress(&[0, b'a', 0xe0, 0, 0], 10),
            Some(b"aaaaaaaaaa".to_vec())
        );
        assert_eq!(decompress(&[0, b'a', 0xe0, 0, 0], 9), None);
        assert_eq!(decompress(&[0x20, 0], 3), None);
    }
}
