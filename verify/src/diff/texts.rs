//! Texts that are made up rather than picked: numbers, JSON, MessagePack, formats
//! and patterns, most of them nearly right. What reads them was written by hand
//! twice, and they differ where nobody thought of looking.

/// Draws from a seed: SplitMix64 (Steele, Lea, Flood 2014).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn of(&mut self, all: &[&'static str]) -> &'static str {
        all[self.below(all.len())]
    }
}

/// What may stand for a placeholder whose texts are made up: all of the picks say
/// which, and at which place of its line it stands. `None` for another placeholder.
pub(super) fn made_up(placeholder: &str, picks: &[usize], place: u64) -> Option<Vec<u8>> {
    let mixed = |seed: u64, pick: &usize| Draw(seed ^ *pick as u64).next();
    let seed = picks.iter().fold(place, mixed);
    let mut draw = Draw(seed);
    let mut out = Vec::new();
    match placeholder {
        "number" => number(&mut draw, &mut out),
        // Whether zero keeps its sign depends on what the set has been through:
        // `SORT` makes a large one of it.
        "score" => {
            number(&mut draw, &mut out);
            let value = std::str::from_utf8(&out).ok();
            let value = value.and_then(|text| text.parse::<f64>().ok());
            if out.starts_with(b"-") && value == Some(0.0) {
                out.remove(0);
            }
        }
        "json" => json(&mut draw, &mut out, 0),
        "packed" => packed(&mut draw, &mut out, 0),
        "layout" => some_of(&mut draw, &mut out, LAYOUT, 6),
        "format" => format(&mut draw, &mut out),
        "pattern" => some_of(&mut draw, &mut out, PATTERN, 6),
        "text" => some_of(&mut draw, &mut out, TEXT, 10),
        _ => return None,
    }
    if matches!(placeholder, "json" | "packed") && draw.one_in(3) {
        spoil(&mut draw, &mut out);
    }
    Some(out)
}

/// Of `struct`. (Sizes are one digit: Redis itself is at a loss with huge ones.)
const LAYOUT: &[&str] = &[
    "<", ">", "=", "!", "!2", "!4", "b", "B", "h", "H", "l", "L", "T", "f", "d", "s", "x", "i",
    "I", "i1", "i3", "I2", "I8", "c0", "c1", "c3", "Bc0", " ", "q", "z", "-", "1",
];
const PATTERN: &[&str] = &[
    "a", "b", ".", "%a", "%d", "%s", "%w", "%p", "%%", "%", "[ab]", "[^a]", "[a-c]", "[%d_]", "[",
    "]", "^", "$", "*", "+", "-", "?", "(", ")", "()", "%1", "%bab", "%f[a]", "%z", "~",
];
const TEXT: &[&str] = &[
    "a", "b", "ab", " ", "1", "c_", ".", "%", "]", "-", "\0", "é", "(", "A",
];

fn some_of(draw: &mut Draw, out: &mut Vec<u8>, all: &[&'static str], most: usize) {
    for _ in 0..draw.below(most + 1) {
        out.extend_from_slice(draw.of(all).as_bytes());
    }
}

/// None is too large or too small for a float: whoever meets one leaves a mark
/// (`errno`) that `SORT` takes for its own.
fn number(draw: &mut Draw, out: &mut Vec<u8>) {
    const SIGNS: &[&str] = &["", "", "", "-", "-", "+", " ", "--"];
    const WHOLE: &[&str] = &[
        "0",
        "1",
        "7",
        "12",
        "007",
        "1.5",
        ".5",
        "5.",
        ".",
        "",
        "0.1",
        "0.30000000000000004",
        "123456789012345",
        "1234567890123456",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "123456789012345678901234567890",
        "0x1A",
        "0x",
        "0X1p4",
        "0x.8",
        "inf",
        "Inf",
        "INFINITY",
        "infinit",
        "nan",
        "NaN",
        "nan()",
        "0.000000000000000000001",
        "1.7976931348623157",
        "4.9",
        "2.2250738585072011",
        "1_000",
    ];
    const ENDS: &[&str] = &[
        "", "", "", "", "", "e1", "e5", "E-7", "e+3", "e", "e200", "e-200", "e17", "e21", " ", "x",
        ".", "f", "0",
    ];
    for part in [SIGNS, WHOLE, ENDS] {
        out.extend_from_slice(draw.of(part).as_bytes());
    }
}

fn json(draw: &mut Draw, out: &mut Vec<u8>, depth: usize) {
    let space = |draw: &mut Draw, out: &mut Vec<u8>| {
        if draw.one_in(8) {
            out.extend_from_slice(draw.of(&[" ", "\n", "\t", "\r\n"]).as_bytes());
        }
    };
    space(draw, out);
    match draw.below(if depth > 3 { 6 } else { 10 }) {
        0 => out.extend_from_slice(
            draw.of(&["true", "false", "null", "nul", "True"])
                .as_bytes(),
        ),
        1 | 2 => number(draw, out),
        3..6 => json_text(draw, out),
        6 | 7 => {
            out.push(b'[');
            for at in 0..draw.below(4) {
                if at > 0 {
                    out.push(b',');
                }
                json(draw, out, depth + 1);
            }
            out.push(b']');
        }
        _ => {
            out.push(b'{');
            for at in 0..draw.below(3) {
                if at > 0 {
                    out.push(b',');
                }
                // (Of two equal names the last counts; which comes first in a
                // table is another matter, so they are told apart.)
                json_text(draw, out);
                out.pop();
                out.push(b'0' + at as u8);
                out.push(b'"');
                space(draw, out);
                out.push(b':');
                json(draw, out, depth + 1);
            }
            out.push(b'}');
        }
    }
    space(draw, out);
}

fn json_text(draw: &mut Draw, out: &mut Vec<u8>) {
    const PARTS: &[&str] = &[
        "a",
        "key",
        "é",
        "\u{1f600}",
        " ",
        "\t",
        "\n",
        "\u{7f}",
        "/",
        "\\n",
        "\\/",
        "\\\"",
        "\\\\",
        "\\u0041",
        "\\u00e9",
        "\\u20AC",
        "\\u0000",
        "\\ud83d\\ude00",
        "\\ud83d",
        "\\ude00",
        "\\ud83d\\u0041",
        "\\u12",
        "\\x",
        "\\a",
        "12",
    ];
    out.push(b'"');
    some_of(draw, out, PARTS, 3);
    out.push(b'"');
}

/// MessagePack: <https://github.com/msgpack/msgpack/blob/master/spec.md>.
fn packed(draw: &mut Draw, out: &mut Vec<u8>, depth: usize) {
    let bytes = |draw: &mut Draw, out: &mut Vec<u8>, count: usize| {
        for _ in 0..count {
            out.push(draw.next() as u8);
        }
    };
    match draw.below(if depth > 3 { 7 } else { 10 }) {
        0 => out.push(draw.next() as u8 & 0x7f),
        1 => out.push(0xe0 | draw.next() as u8),
        2 => out.push([0xc0, 0xc1, 0xc2, 0xc3, 0xc7, 0xd4][draw.below(6)]),
        3 => {
            // Unsigned, signed, float.
            let (tag, size) = [
                (0xcc, 1),
                (0xcd, 2),
                (0xce, 4),
                (0xd0, 1),
                (0xd1, 2),
                (0xd2, 4),
                (0xd3, 8),
                (0xca, 4),
                (0xcb, 8),
            ][draw.below(9)];
            out.push(tag);
            bytes(draw, out, size);
        }
        4..7 => {
            let len = draw.below(4);
            match draw.below(3) {
                0 => out.push(0xa0 | len as u8),
                1 => out.extend([0xd9, len as u8]),
                _ => out.extend([0xda, 0, len as u8]),
            }
            out.extend((0..len).map(|at| b'a' + at as u8));
        }
        7 | 8 => {
            let len = draw.below(4);
            match draw.below(2) {
                0 => out.push(0x90 | len as u8),
                _ => out.extend([0xdc, 0, len as u8]),
            }
            (0..len).for_each(|_| packed(draw, out, depth + 1));
        }
        _ => {
            let len = draw.below(3);
            out.push(0x80 | len as u8);
            for at in 0..len {
                out.extend([0xa1, b'k' + at as u8]);
                packed(draw, out, depth + 1);
            }
        }
    }
}

/// A conversion of `string.format`, with something around it.
fn format(draw: &mut Draw, out: &mut Vec<u8>) {
    const FLAGS: &[&str] = &["", "", "", "-", "+", " ", "#", "0", "-0", "+-"];
    const WIDTHS: &[&str] = &["", "", "", "1", "5", "20", "99", "100"];
    const PRECISIONS: &[&str] = &["", "", "", ".", ".0", ".3", ".14", ".17", ".99", ".100"];
    const KINDS: &[&str] = &[
        "d", "i", "o", "u", "x", "X", "e", "E", "f", "g", "G", "c", "s", "q", "%", "", "z", "5",
    ];
    out.extend_from_slice(draw.of(&["", "", "a", "%%"]).as_bytes());
    out.push(b'%');
    for part in [FLAGS, WIDTHS, PRECISIONS, KINDS] {
        out.extend_from_slice(draw.of(part).as_bytes());
    }
    out.extend_from_slice(draw.of(&["", "", "b", "%"]).as_bytes());
}

/// One byte is lost, or is another, or is one too many.
fn spoil(draw: &mut Draw, out: &mut Vec<u8>) {
    const BYTES: &[u8] = b"[]{},:\"\\ \t\n0-1eE.+xtn\0\xff\xc1\x93\x82";
    let at = draw.below(out.len() + 1);
    let byte = BYTES[draw.below(BYTES.len())];
    match (draw.below(3), out.get_mut(at)) {
        (0, Some(_)) => {
            out.remove(at);
        }
        (1, Some(old)) => *old = byte,
        _ => out.insert(at, byte),
    }
}
