//! The words of a JSON text, as Redis's library cuts them: strings of any bytes,
//! and whatever C's `strtod` takes for a number.

/// One word.
pub(super) enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// What is wrong.
    Bad(&'static str),
}

impl Token {
    /// As errors name it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Text(_) => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Bad(why) => why,
        }
    }
}

/// Cuts a text into words.
pub(super) struct Tokens<'a> {
    /// Up to the first zero: there C ends it.
    text: &'a [u8],
    /// Behind the last word.
    pub(super) at: usize,
    /// Where the last word began, or what is wrong in it.
    pub(super) start: usize,
    /// Numbers may be what is none in JSON.
    invalid: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a [u8], invalid: bool) -> Self {
        let end = text.iter().position(|byte| *byte == 0);
        Self {
            text: &text[..end.unwrap_or(text.len())],
            at: 0,
            start: 0,
            invalid,
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    fn bad(&mut self, why: &'static str) -> Token {
        self.start = self.at;
        Token::Bad(why)
    }

    pub(super) fn next(&mut self) -> Token {
        while matches!(self.rest(), [b' ' | b'\t' | b'\n' | b'\r', ..]) {
            self.at += 1;
        }
        self.start = self.at;
        let rest = self.rest();
        let (token, len) = match rest {
            [] => (Token::End, 0),
            [b'{', ..] => (Token::ObjectBegin, 1),
            [b'}', ..] => (Token::ObjectEnd, 1),
            [b'[', ..] => (Token::ArrayBegin, 1),
            [b']', ..] => (Token::ArrayEnd, 1),
            [b':', ..] => (Token::Colon, 1),
            [b',', ..] => (Token::Comma, 1),
            [b'"', ..] => return self.string(),
            [b'-' | b'0'..=b'9', ..] => return self.number(),
            _ if rest.starts_with(b"true") => (Token::Boolean(true), 4),
            _ if rest.starts_with(b"false") => (Token::Boolean(false), 5),
            _ if rest.starts_with(b"null") => (Token::Null, 4),
            // What only C calls a number.
            [b'+' | b'i' | b'I' | b'n' | b'N', ..] if self.invalid && is_invalid(rest) => {
                return self.number();
            }
            _ => return self.bad("invalid token"),
        };
        self.at += len;
        token
    }

    fn number(&mut self) -> Token {
        if !self.invalid && is_invalid(self.rest()) {
            return self.bad("invalid number");
        }
        match strtod(self.rest()) {
            Some((value, len)) => {
                self.at += len;
                Token::Number(value)
            }
            None => self.bad("invalid number"),
        }
    }

    fn string(&mut self) -> Token {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.rest() {
                [] => return self.bad("unexpected end of string"),
                [b'"', ..] => {
                    self.at += 1;
                    return Token::Text(out);
                }
                [b'\\', b'u', digits @ ..] => match unicode(digits) {
                    Some((symbol, len)) => {
                        push_symbol(&mut out, symbol);
                        self.at += 2 + len;
                    }
                    None => return self.bad("invalid unicode escape code"),
                },
                [b'\\', code @ ..] => match code.first().and_then(|code| unescaped(*code)) {
                    Some(byte) => {
                        out.push(byte);
                        self.at += 2;
                    }
                    None => return self.bad("invalid escape code"),
                },
                [byte, ..] => {
                    out.push(*byte);
                    self.at += 1;
                }
            }
        }
    }
}

const fn unescaped(code: u8) -> Option<u8> {
    Some(match code {
        b'"' | b'\\' | b'/' => code,
        b'b' => 8,
        b't' => 9,
        b'n' => 10,
        b'f' => 12,
        b'r' => 13,
        _ => return None,
    })
}

/// What four digits say, or two times four with `\u` between them, if that is a
/// symbol; and their length.
fn unicode(digits: &[u8]) -> Option<(u32, usize)> {
    let high = hex4(digits)?;
    match high {
        0xd800..0xdc00 => {
            let low = hex4(digits.get(4..)?.strip_prefix(b"\\u")?)?;
            let pair = 0x1_0000 + ((high & 0x3ff) << 10) + (low & 0x3ff);
            (0xdc00..0xe000).contains(&low).then_some((pair, 10))
        }
        0xdc00..0xe000 => None,
        _ => Some((high, 4)),
    }
}

fn hex4(digits: &[u8]) -> Option<u32> {
    let digits = digits.get(..4)?.iter();
    digits
        .map(|digit| char::from(*digit).to_digit(16))
        .try_fold(0, |sum, digit| Some(sum << 4 | digit?))
}

fn push_symbol(out: &mut Vec<u8>, symbol: u32) {
    let symbol = char::from_u32(symbol).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(symbol.encode_utf8(&mut [0; 4]).as_bytes());
}

/// What is no number in JSON, though it may be one in C.
fn is_invalid(text: &[u8]) -> bool {
    let word = |text: &[u8]| word(text).is_some();
    match text {
        [b'+', ..] => true,
        [b'-', rest @ ..] | rest => match rest {
            [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
            _ => word(rest),
        },
    }
}

/// A number in letters, and its length.
fn word(text: &[u8]) -> Option<(f64, usize)> {
    let is = |name: &[u8]| {
        let head = text.get(..name.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(name))
    };
    match () {
        () if is(b"infinity") => Some((f64::INFINITY, 8)),
        () if is(b"inf") => Some((f64::INFINITY, 3)),
        () if is(b"nan") => {
            // Anything in parentheses may follow.
            let more = text[3..].strip_prefix(b"(").and_then(|inner| {
                let part = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
                let count = inner.iter().take_while(part).count();
                (inner.get(count) == Some(&b')')).then_some(count + 2)
            });
            Some((f64::NAN, 3 + more.unwrap_or(0)))
        }
        () => None,
    }
}

/// The number at the beginning as C reads it, and its length.
fn strtod(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let unsigned = &text[sign..];
    let (value, len) = word(unsigned)
        .or_else(|| hexadecimal(unsigned))
        .or_else(|| decimal(unsigned))?;
    let minus = text.first() == Some(&b'-');
    Some((if minus { -value } else { value }, sign + len))
}

fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    let digits = |from: usize| {
        let digits = text[from..].iter();
        from + digits.take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut len = digits(0);
    let mut count = len;
    if text.get(len) == Some(&b'.') {
        let end = digits(len + 1);
        count += end - len - 1;
        len = end;
    }
    if count == 0 {
        return None;
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        let start = len + 1 + usize::from(matches!(text.get(len + 1), Some(b'-' | b'+')));
        if text.get(start).is_some_and(u8::is_ascii_digit) {
            len = digits(start);
        }
    }
    let written = std::str::from_utf8(&text[..len]).ok()?;
    Some((written.parse().ok()?, len))
}

/// `0x1.8p3`.
fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    let [b'0', b'x' | b'X', digits @ ..] = text else {
        return None;
    };
    // The digits that count, and by how many powers of two they are off.
    let (mut mantissa, mut power) = (0u128, 0i64);
    let (mut count, mut len, mut point) = (0, 0, false);
    for byte in digits {
        match char::from(*byte).to_digit(16) {
            Some(digit) => {
                count += 1;
                if mantissa >> 120 == 0 {
                    mantissa = mantissa << 4 | u128::from(digit);
                    power -= if point { 4 } else { 0 };
                } else {
                    // Too small to count but for which way it is rounded.
                    mantissa |= u128::from(digit != 0);
                    power += if point { 0 } else { 4 };
                }
            }
            None if *byte == b'.' && !point => point = true,
            None => break,
        }
        len += 1;
    }
    if count == 0 {
        return None;
    }
    if let [b'p' | b'P', exponent @ ..] = &digits[len..] {
        let sign = usize::from(matches!(exponent.first(), Some(b'-' | b'+')));
        let figures = exponent[sign..].iter().take_while(|b| b.is_ascii_digit());
        let (mut by, mut figure_count) = (0i64, 0);
        for figure in figures {
            by = (by * 10 + i64::from(figure - b'0')).min(1 << 40);
            figure_count += 1;
        }
        if figure_count > 0 {
            power += if exponent[0] == b'-' { -by } else { by };
            len += 1 + sign + figure_count;
        }
    }
    let mut value = mantissa as f64;
    let by = if power < 0 { 0.5 } else { 2.0 };
    // More steps than these leave nothing, or infinity.
    for _ in 0..power.unsigned_abs().min(2_400) {
        value *= by;
    }
    Some((value, 2 + len))
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    /// The errors are those of Redis 7.0.15.
    #[test]
    fn errors_name_what_is_wrong_and_where() {
        let bad_token = "value but found invalid token at character";
        let bad_number = "value but found invalid number at character";
        let bad_symbol = "value but found invalid unicode escape code at character";
        let bad_escape = "value but found invalid escape code at character";
        let unfinished = "value but found unexpected end of string at character";
        for (text, wanted, at) in [
            (r#""\\ud83d""#, bad_symbol, 2),
            (r#""\\ude00""#, bad_symbol, 2),
            (r#""\\ud83d\\u0041""#, bad_symbol, 2),
            (r#"["ab\\ud83d\\n"]"#, bad_symbol, 5),
            (r#""\\u12""#, bad_symbol, 2),
            (r#""\\u+123""#, bad_symbol, 2),
            (r#""\\a""#, bad_escape, 2),
            (r#""abc\\"#, bad_escape, 5),
            (r#"["abc"#, unfinished, 6),
            (r#""a\0b""#, unfinished, 3),
            (
                "[1 2]",
                "comma or array end but found T_NUMBER at character",
                4,
            ),
            (
                "{1:1}",
                "object key string but found T_NUMBER at character",
                2,
            ),
            (
                r#"["a" "b"]"#,
                "comma or array end but found T_STRING at character",
                6,
            ),
            (r#"{"a" 1}"#, "colon but found T_NUMBER at character", 6),
            (
                r#"{"a":1 "b"}"#,
                "comma or object end but found T_STRING at character",
                8,
            ),
            (
                r#"{"a":1,}"#,
                "object key string but found T_OBJ_END at character",
                8,
            ),
            (r#"{"a":}"#, "value but found T_OBJ_END at character", 6),
            ("[,1]", "value but found T_COMMA at character", 2),
            (
                "[1:2]",
                "comma or array end but found T_COLON at character",
                3,
            ),
            (
                "[0 true]",
                "comma or array end but found T_BOOLEAN at character",
                4,
            ),
            (
                "[0 null]",
                "comma or array end but found T_NULL at character",
                4,
            ),
            (
                "[0 {]",
                "comma or array end but found T_OBJ_BEGIN at character",
                4,
            ),
            (
                "[0 [",
                "comma or array end but found T_ARR_BEGIN at character",
                4,
            ),
            ("[", "value but found T_END at character", 2),
            ("", "value but found T_END at character", 1),
            ("1 2", "the end but found T_NUMBER at character", 3),
            ("1 ]", "the end but found T_ARR_END at character", 3),
            ("nullx", "the end but found invalid token at character", 5),
            ("nul", bad_token, 1),
            ("[.5]", bad_token, 2),
            ("[in]", bad_token, 2),
            (r"\12[1]", bad_token, 1),
            ("+", bad_number, 1),
            ("[- 1]", bad_number, 2),
            ("[--inf]", bad_number, 2),
            ("[+a]", bad_number, 2),
            (
                "[1e+]",
                "comma or array end but found invalid token at character",
                3,
            ),
            ("0x", "the end but found invalid token at character", 2),
            ("0x1p", "the end but found invalid token at character", 4),
            (
                r"[1\0]",
                "comma or array end but found T_END at character",
                3,
            ),
        ] {
            let script = format!("return cjson.decode('{text}')");
            let told = format!("-ERR user_script:1: Expected {wanted} {at} script:");
            let reply = Bench::new().eval(&script);
            assert!(reply.starts_with(&told), "{text}: {reply}");
        }
    }

    /// The values are those of Redis 7.0.15.
    #[test]
    fn more_is_read_than_json_allows() {
        for (text, value) in [
            (r#""a\tb\nc\1""#, r#""a\tb\nc\x01""#),
            (r#""\\ud83d\\ude00""#, r#""\xf0\x9f\x98\x80""#),
            ("0x1p4", "\"16\""),
            ("0x1.8p1", "\"3\""),
            ("0x.8", "\"0.5\""),
            ("-0X10", "\"-16\""),
            ("0xffffffffffffffffff", "\"4.7223664828696e+21\""),
            ("0x1p-1074", "\"4.9406564584125e-324\""),
            ("+1", "\"1\""),
            ("1.", "\"1\""),
            ("-.5", "\"-0.5\""),
            ("012", "\"12\""),
            ("1e999", "\"inf\""),
            ("-infinity", "\"-inf\""),
            ("nan(12)", "\"nan\""),
            (r"12\0zzz", "\"12\""),
        ] {
            let script = format!("return tostring(cjson.decode('{text}'))");
            assert_eq!(Bench::new().eval(&script), value, "{text}");
        }
    }
}
