//! Commands with placeholders, and what stands for them: values that sit on the
//! edges (empty, huge, negative, not a number, not text, of the wrong type).

use std::sync::OnceLock;

use sha1::{Digest as _, Sha1};

use super::texts;

const TEMPLATES: &str = include_str!("templates.txt");
const SCRIPTS: &str = include_str!("scripts.txt");
const LIBRARIES: &str = include_str!("libraries.txt");

/// All templates; one that begins with `*n ` so often.
///
/// # Panics
/// If a line, which are ours, is not well formed.
#[must_use]
pub fn templates() -> Vec<&'static str> {
    let weighed = lines(TEMPLATES).flat_map(|(_, line)| {
        let weight = line.strip_prefix('*').map(|rest| {
            let (weight, template) = rest.split_once(' ').expect("a template");
            (template, weight.parse().expect("a weight"))
        });
        let (template, weight) = weight.unwrap_or((line, 1));
        std::iter::repeat_n(template, weight)
    });
    weighed.collect()
}

/// The scripts that templates call, escaped as in a line.
pub(super) fn scripts() -> &'static [&'static str] {
    static ALL: OnceLock<Vec<&'static str>> = OnceLock::new();
    ALL.get_or_init(|| lines(SCRIPTS).map(|(_, line)| line).collect())
}

/// The digests of those in which this occurs.
pub(super) fn digests_with(part: &str) -> Vec<Vec<u8>> {
    let found = scripts().iter().filter(|script| script.contains(part));
    found.map(|script| digest(script)).collect()
}

fn digest(script: &str) -> Vec<u8> {
    let digest = Sha1::digest(unescape(script));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.into_bytes()
}

/// The libraries of functions that templates load, escaped as in a line.
fn libraries() -> &'static [&'static str] {
    static ALL: OnceLock<Vec<&'static str>> = OnceLock::new();
    ALL.get_or_init(|| lines(LIBRARIES).map(|(_, line)| line).collect())
}

/// The words of a line: a quoted word may hold spaces, and `~NN` is a byte.
///
/// # Panics
/// If the line, which is ours, is not well formed.
#[must_use]
pub fn words(line: &str) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a closing quote"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        out.push(unescape(word));
        rest = after.trim_start();
    }
    out
}

pub(super) fn unescape(word: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = word.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'~' {
            out.push(byte);
            continue;
        }
        let digits: Vec<u8> = bytes.by_ref().take(2).collect();
        let digits = std::str::from_utf8(&digits).expect("two hexadecimal digits after ~");
        out.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits after ~"));
    }
    out
}

/// The lines of a text that are not empty or comments, with their numbers.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// What may stand for a placeholder of a template.
fn pool(placeholder: &str) -> &'static [&'static str] {
    match placeholder {
        "K" => &["$a", "$b", "$c", "$d", "$e"],
        "V" => &[
            "",
            "x",
            "10",
            "-3",
            "3.25",
            "long value with spaces",
            "~00~ff",
            "9223372036854775807",
            "y",
        ],
        "M" => &["a", "b", "c", "d", "aa", "", "~ff", "1", "2"],
        "N" => &[
            "0",
            "1",
            "-1",
            "2",
            "7",
            "100",
            "9223372036854775807",
            "-9223372036854775808",
            "x",
            "",
            "01",
            "1.5",
        ],
        "I" => &["0", "1", "-1", "2", "-2", "5", "-100", "100", "x"],
        "C" => &["0", "1", "2", "3", "-1", "x"],
        "F" => &[
            "0",
            "1",
            "2",
            "-1",
            "1.5",
            "0.1",
            "3.0e2",
            "inf",
            "-inf",
            "nan",
            "x",
            "1e-7",
            "12345678901234567890",
        ],
        "B" => &["0", "1", "(1", "2", "(2", "-inf", "+inf", "(1.5", "x", "("],
        "L" => &["-", "+", "[a", "(a", "[b", "(c", "[", "x"],
        "O" => &["0", "1", "7", "8", "100", "4095", "-1", "x", "4294967296"],
        "Y" => &[
            "u8", "i8", "i16", "u63", "i64", "u1", "i5", "u64", "i65", "x",
        ],
        "Q" => &["0", "#1", "3", "100", "#9", "-1", "#x", "4294967296"],
        "W" => &["WRAP", "SAT", "FAIL", "x"],
        "D" => &[
            "1-1", "1-*", "2-0", "3-5", "5", "6-1", "0-*", "0-0", "x", "100-*",
        ],
        "X" => &[
            "0", "1-1", "2-0", "2", "3-5", "(1-1", "-", "+", "0-0", "x", "6-2",
        ],
        "G" => &["g", "g", "h", "none"],
        "E" => &["alice", "bob"],
        "T" => &["4102444800", "1", "-5", "x", "4102444800000"],
        "A" => &["4102444800000", "4102444801000", "1", "x"],
        "S" => scripts(),
        "U" => libraries(),
        "P" => &["@@fa", "@@fb", "@@FA", "@@fc", "@@fd", "@@fe", "nosuch"],
        other => panic!("no pool for placeholder {other}"),
    }
}

/// Fills a template; each `{X}` takes the next of `picks`, and each `{word}` is made
/// up from all of them.
///
/// # Panics
/// If the template, which is ours, has an unknown placeholder.
#[must_use]
pub fn fill(template: &str, picks: &[usize]) -> Vec<Vec<u8>> {
    let all = picks;
    let mut picks = picks.iter().cycle();
    let mut made = 0;
    let mut pick = |pool: &'static [&'static str]| pool[picks.next().expect("cycles") % pool.len()];
    let word = |word: Vec<u8>| {
        let placeholder = word
            .strip_prefix(b"{")
            .and_then(|word| word.strip_suffix(b"}"))
            .and_then(|word| std::str::from_utf8(word).ok());
        match placeholder {
            // The digest of a script.
            Some("H") => digest(pick(scripts())),
            Some(placeholder) => {
                made += 1;
                let text = texts::made_up(placeholder, all, made);
                text.unwrap_or_else(|| unescape(pick(pool(placeholder))))
            }
            None => word,
        }
    };
    words(template).into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_filled() {
        for template in templates() {
            for pick in 0..1000 {
                let words = fill(template, &[pick; 8]);
                let name = &words[0];
                assert!(name.iter().all(u8::is_ascii_uppercase) || name.contains(&b'_'));
            }
        }
    }
}
