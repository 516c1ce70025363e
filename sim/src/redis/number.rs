//! Numbers as Redis reads and writes them.
//!
//! Redis is strict about integers (no sign but minus, no leading zeros, no
//! spaces) and hands floats to `strtod`, which accepts more than Rust does
//! (hexadecimal) and reports underflow. Each difference is visible to clients,
//! so it is copied here.

use super::Version;

/// An integer as `string2ll` reads it.
pub(super) fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some(_) => (false, text),
        None => return None,
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
    }
    if negative {
        (value <= i64::MIN.unsigned_abs()).then(|| value.wrapping_neg() as i64)
    } else {
        i64::try_from(value).ok()
    }
}

/// A float as `strtod` reads the whole of the text; NaN and results that do
/// not fit are refused.
pub(super) fn parse_f64(text: &[u8]) -> Option<f64> {
    if let Some(value) = parse_short_decimal(text) {
        return Some(value);
    }
    let text = std::str::from_utf8(text).ok()?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(hex) = unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"))
    {
        let value = parse_hex(hex)?;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    let value: f64 = text.parse().ok()?;
    if value.is_finite() && value != 0.0 {
        return Some(value);
    }
    let word = unsigned.starts_with(['i', 'I']);
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or("");
    let underflow = value == 0.0 && mantissa.bytes().any(|b| (b'1'..=b'9').contains(&b));
    let overflow = value.is_infinite() && !word;
    (!value.is_nan() && !underflow && !overflow).then_some(value)
}

/// Up to fifteen digits with a point among them, or without: what most scores
/// are. The digits and the power of ten are floats both, and the quotient of two
/// floats is rounded once, so it is the nearest (Clinger 1990).
fn parse_short_decimal(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ];
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    if digits.len() > 15 {
        return None;
    }
    let (mut value, mut point) = (0u64, None);
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = 10 * value + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let decimals = point.map_or(0, |at| digits.len() - at - 1);
    if digits.len() == usize::from(point.is_some()) {
        return None; // there is no digit
    }
    let value = value as f64 / POWERS[decimals];
    Some(if negative { -value } else { value })
}

/// Whether it begins as a hexadecimal number does.
pub(super) fn is_hexadecimal(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+"));
    let unsigned = unsigned.unwrap_or(text);
    unsigned.starts_with(b"0x") || unsigned.starts_with(b"0X")
}

fn parse_hex(text: &str) -> Option<f64> {
    let (mantissa, exponent) = match text.split_once(['p', 'P']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let mut value = 0.0f64;
    for digit in whole.chars() {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let mut scale = 1.0 / 16.0;
    for digit in part.chars() {
        value += f64::from(digit.to_digit(16)?) * scale;
        scale /= 16.0;
    }
    let value = value * 2.0f64.powi(exponent);
    value.is_finite().then_some(value)
}

/// C's `%.{precision}g`.
pub(super) fn format_g(value: f64, precision: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() {
            "-nan"
        } else {
            "nan"
        }
        .to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let precision = precision.max(1);
    let text = format!("{value:.*e}", precision - 1);
    let (mantissa, exponent) = text.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a number");
    if exponent < -4 || exponent >= precision as i32 {
        let mantissa = trim_fraction(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    } else {
        let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
        trim_fraction(&format!("{value:.decimals$}")).to_owned()
    }
}

/// Drops trailing zeros of a fraction, and a bare point.
pub(super) fn trim_fraction(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// The integer that this float is, if it is one that both represent.
pub(super) fn exact_i64(value: f64) -> Option<i64> {
    const EDGE: f64 = (1u64 << 52) as f64;
    if value > -EDGE
        && value < EDGE
        && value.trunc() == value
        && (value != 0.0 || value.is_sign_positive())
    {
        Some(value as i64)
    } else {
        None
    }
}

/// A float as a reply (`ZSCORE`) or as an argument of `redis.call`.
pub(super) fn format_f64(value: f64, version: Version) -> String {
    if let Some(n) = exact_i64(value) {
        return n.to_string();
    }
    if version.shortest_floats() {
        format_shortest(value)
    } else {
        format_g(value, 17)
    }
}

/// The same at the end of a buffer; integers, which nearly all are, without
/// the detour of a string.
pub(super) fn write_f64(out: &mut Vec<u8>, value: f64, version: Version) {
    match exact_i64(value) {
        Some(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        None => out.extend_from_slice(format_f64(value, version).as_bytes()),
    }
}

/// The format of Redis 7.2 and later: shortest digits that read back, laid out
/// as its `fpconv_dtoa` does.
fn format_shortest(value: f64) -> String {
    if !value.is_finite() {
        return format_g(value, 17);
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let edge = i64::MAX as f64 / 2.0;
    if value > -edge && value < edge && value.trunc() == value {
        return (value as i64).to_string();
    }
    let text = format!("{:e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a number");
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let count = digits.len() as i32;
    let scale = exponent - (count - 1);
    let sign = if value < 0.0 { "-" } else { "" };
    let size = exponent.abs();
    if scale >= 0 && size < count + 7 {
        return format!("{sign}{digits}{}", "0".repeat(scale as usize));
    }
    if scale < 0 && (scale > -7 || size < 4) {
        let point = count + scale;
        return if point <= 0 {
            format!("{sign}0.{}{digits}", "0".repeat(-point as usize))
        } else {
            let (whole, part) = digits.split_at(point as usize);
            format!("{sign}{whole}.{part}")
        };
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let mark = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{first}{point}{rest}e{mark}{size}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The short way reads what the long way reads, to the last bit.
    #[test]
    fn short_decimals_are_read_as_all_are() {
        let mut state = 1u64;
        let mut draw = |bound: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % bound
        };
        for _ in 0..100_000 {
            let len = draw(17);
            let text: String = (0..len)
                .map(|_| char::from(b"0123456789012345.-"[draw(18) as usize]))
                .collect();
            if let Some(value) = parse_short_decimal(text.as_bytes()) {
                let long: Option<f64> = text.parse().ok();
                assert_eq!(Some(value.to_bits()), long.map(f64::to_bits), "{text:?}");
            }
        }
        assert_eq!(parse_short_decimal(b"10.5"), Some(10.5));
        for text in ["", ".", "-", "-.", "1e5", "+1", "1234567890123456"] {
            assert_eq!(parse_short_decimal(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn integers_are_strict() {
        assert_eq!(parse_i64(b"0"), Some(0));
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        for bad in [
            "",
            "-",
            "-0",
            "01",
            "+1",
            " 1",
            "1 ",
            "9223372036854775808",
            "1e3",
            "0x1",
        ] {
            assert_eq!(parse_i64(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn floats_are_strtods() {
        assert_eq!(parse_f64(b"1e3"), Some(1000.0));
        assert_eq!(parse_f64(b"+.5"), Some(0.5));
        assert_eq!(parse_f64(b"-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_f64(b"0x10"), Some(16.0));
        for bad in ["", " 1", "1 ", "nan", "1e999", "1e-999", "abc", "0x"] {
            assert_eq!(parse_f64(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn percent_g() {
        assert_eq!(format_g(1.0 / 3.0, 17), "0.33333333333333331");
        assert_eq!(format_g(1e17, 17), "1e+17");
        assert_eq!(format_g(123456.0, 17), "123456");
        assert_eq!(format_g(1.5e-7, 17), "1.4999999999999999e-07");
        assert_eq!(format_g(0.1, 14), "0.1");
        assert_eq!(format_g(-0.0, 17), "-0");
    }

    #[test]
    fn shortest_is_laid_out_as_redis_does() {
        assert_eq!(format_f64(1.0 / 3.0, Version::V7_2), "0.3333333333333333");
        assert_eq!(format_f64(1e17, Version::V7_2), "100000000000000000");
        assert_eq!(format_f64(1e300, Version::V7_2), "1e+300");
        assert_eq!(format_f64(1.5e-9, Version::V7_2), "1.5e-9");
        assert_eq!(format_f64(-12.25, Version::V7_2), "-12.25");
    }
}
