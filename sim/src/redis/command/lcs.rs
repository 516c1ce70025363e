//! `LCS`: the longest common subsequence of two strings.

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out, int};
use crate::redis::State;
use crate::redis::settings::BULK;

/// Most cells of the table of lengths: 64 MB.
const MOST_CELLS: usize = 1 << 24;

struct Options {
    ranges: bool,
    length: bool,
    least: i64,
    with_lengths: bool,
}

fn options(args: &[Arg]) -> Result<Options, Fail> {
    let mut found = Options {
        ranges: false,
        length: false,
        least: 0,
        with_lengths: false,
    };
    let mut rest = args;
    while let [word, after @ ..] = rest {
        rest = after;
        if word.is("IDX") {
            found.ranges = true;
        } else if word.is("LEN") {
            found.length = true;
        } else if word.is("WITHMATCHLEN") {
            found.with_lengths = true;
        } else if word.is("MINMATCHLEN") && !after.is_empty() {
            found.least = after[0].int()?.max(0);
            rest = &after[1..];
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    if found.ranges && found.length {
        return Err(Fail::fixed(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    Ok(found)
}

/// Lengths for every pair of prefixes, row by row.
struct Table {
    cells: Vec<u32>,
    width: usize,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Self {
        let width = b.len() + 1;
        let mut cells = vec![0u32; (a.len() + 1) * width];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                cells[(i + 1) * width + j + 1] = if x == y {
                    cells[i * width + j] + 1
                } else {
                    cells[i * width + j + 1].max(cells[(i + 1) * width + j])
                };
            }
        }
        Self { cells, width }
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * self.width + j]
    }
}

/// Equal stretches of `len` bytes that begin at `a` and at `b`.
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

/// Walks back from the ends: the common bytes, and where they lie.
fn trace(table: &Table, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Match>) {
    let (mut i, mut j) = (a.len(), b.len());
    let (mut common, mut matches): (_, Vec<Match>) = (Vec::new(), Vec::new());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            common.push(a[i - 1]);
            match matches.last_mut() {
                Some(last) if last.a == i && last.b == j => {
                    last.a -= 1;
                    last.b -= 1;
                    last.len += 1;
                }
                _ => matches.push(Match {
                    a: i - 1,
                    b: j - 1,
                    len: 1,
                }),
            }
            i -= 1;
            j -= 1;
        } else if table.at(i - 1, j) > table.at(i, j - 1) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    common.reverse();
    (common, matches)
}

pub(super) fn lcs(state: &mut State, args: &[Arg]) -> Out {
    let mut texts: Vec<Bytes> = Vec::with_capacity(2);
    for key in &args[1..3] {
        let text = state
            .db
            .read_str(key)
            .map_err(|_| Fail::fixed("ERR The specified keys must contain string values"))?;
        texts.push(text.cloned().unwrap_or_default());
    }
    let options = options(&args[3..])?;
    let (a, b) = (&*texts[0], &*texts[1]);
    let cells = (a.len() + 1).checked_mul(b.len() + 1);
    let bytes = cells.and_then(|cells| cells.checked_mul(4));
    if bytes.is_some_and(|bytes| bytes > state.settings.size(&BULK)) {
        return Err(Fail::fixed(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    if cells.is_none_or(|cells| cells > MOST_CELLS) {
        return Err(Fail::fixed(
            "ERR Insufficient memory, failed allocating transient memory for LCS",
        ));
    }
    let table = Table::new(a, b);
    let length = table.at(a.len(), b.len());
    if options.length {
        return int(length as usize);
    }
    let (common, matches) = trace(&table, a, b);
    if !options.ranges {
        return Ok(Reply::Bulk(Bytes::from(common)));
    }
    let range = |at: usize, len: usize| {
        Reply::Array(vec![
            Reply::Int(at as i64),
            Reply::Int((at + len) as i64 - 1),
        ])
    };
    let long_enough = matches.iter().filter(|m| m.len as i64 >= options.least);
    let shown = long_enough.map(|m| {
        let mut parts = vec![range(m.a, m.len), range(m.b, m.len)];
        if options.with_lengths {
            parts.push(Reply::Int(m.len as i64));
        }
        Reply::Array(parts)
    });
    Ok(Reply::Array(vec![
        Reply::bulk("matches"),
        Reply::Array(shown.collect()),
        Reply::bulk("len"),
        Reply::Int(i64::from(length)),
    ]))
}
