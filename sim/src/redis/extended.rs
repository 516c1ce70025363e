//! The 80-bit floats of `INCRBYFLOAT` and `HINCRBYFLOAT`.
//!
//! Redis adds these in C's `long double`, 64 bits of mantissa on x86, and
//! prints 17 decimals without trailing zeros. With Rust's `f64`, 0.1 + 0.2
//! would show its rounding where Redis does not, so the few operations needed
//! are done here on an explicit 64-bit mantissa.

use std::fmt;

use super::number;

/// A finite value `±mantissa · 2^exponent`, mantissa normalized (top bit set)
/// or zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extended {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

impl Extended {
    pub(super) const ZERO: Self = Self {
        negative: false,
        mantissa: 0,
        exponent: 0,
    };

    /// Reads a decimal; infinities are refused, since no sum with one is valid.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        // Range and syntax are strtod's; only the rounding is finer.
        let approximate = number::parse_f64(text).filter(|value| value.is_finite())?;
        let text = std::str::from_utf8(text).ok()?;
        let negative = text.starts_with('-');
        let unsigned = text.trim_start_matches(['+', '-']);
        if unsigned.starts_with("0x") || unsigned.starts_with("0X") {
            return Some(Self::of_f64(approximate));
        }
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Vec<u8> = whole
            .bytes()
            .chain(part.bytes())
            .map(|b| b - b'0')
            .collect();
        let scale = exponent - part.len() as i32;
        if digits.len() > 400 || scale.abs() > 400 {
            return Some(Self::of_f64(approximate));
        }
        let mut numerator = Big::default();
        for digit in digits {
            numerator.mul_add(10, u32::from(digit));
        }
        Some(Self::of_ratio(negative, numerator, scale))
    }

    /// Exactly this value, which is finite.
    pub(super) fn of_f64(value: f64) -> Self {
        if value == 0.0 {
            return Self::ZERO;
        }
        let bits = value.to_bits();
        let field = ((bits >> 52) & 0x7ff) as i32;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, exponent) = if field == 0 {
            (fraction, -1074)
        } else {
            (fraction | 1 << 52, field - 1075)
        };
        let shift = mantissa.leading_zeros();
        Self {
            negative: value < 0.0,
            mantissa: mantissa << shift,
            exponent: exponent - shift as i32,
        }
    }

    /// `numerator · 10^scale`, rounded to 64 bits, ties to even.
    fn of_ratio(negative: bool, mut numerator: Big, scale: i32) -> Self {
        let mut denominator = Big::default();
        denominator.mul_add(1, 1);
        for _ in 0..scale.unsigned_abs() {
            let side = if scale > 0 {
                &mut numerator
            } else {
                &mut denominator
            };
            side.mul_add(10, 0);
        }
        if numerator.bits() == 0 {
            return Self::ZERO;
        }
        // Scale so that the quotient has 65 or 66 bits, then divide bit by bit.
        let shift = 65 - (numerator.bits() as i32 - denominator.bits() as i32);
        if shift > 0 {
            numerator.shl(shift as u32);
        } else {
            denominator.shl(-shift as u32);
        }
        let mut quotient: u128 = 0;
        let mut bit = 67;
        denominator.shl(bit);
        loop {
            quotient <<= 1;
            if numerator.sub_if_not_less(&denominator) {
                quotient |= 1;
            }
            if bit == 0 {
                break;
            }
            bit -= 1;
            denominator.shr1();
        }
        Self::round(negative, quotient, numerator.bits() != 0, -shift)
    }

    /// The value of `wide · 2^exponent`, plus a bit if `sticky`, in 64 bits.
    fn round(negative: bool, wide: u128, sticky: bool, exponent: i32) -> Self {
        if wide == 0 {
            return Self::ZERO;
        }
        let drop = (128 - wide.leading_zeros() as i32) - 64;
        if drop <= 0 {
            let mantissa = (wide << -drop) as u64;
            return Self {
                negative,
                mantissa,
                exponent: exponent + drop,
            };
        }
        let rest = wide & ((1u128 << drop) - 1);
        let half = 1u128 << (drop - 1);
        let mut mantissa = wide >> drop;
        let mut exponent = exponent + drop;
        if rest > half || rest == half && (sticky || mantissa & 1 == 1) {
            mantissa += 1;
            if mantissa >> 64 == 1 {
                mantissa >>= 1;
                exponent += 1;
            }
        }
        Self {
            negative,
            mantissa: mantissa as u64,
            exponent,
        }
    }

    /// The sum; `None` if it is out of range.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let (big, small) = if (self.mantissa == 0, -self.exponent, u64::MAX - self.mantissa)
            <= (
                other.mantissa == 0,
                -other.exponent,
                u64::MAX - other.mantissa,
            ) {
            (self, other)
        } else {
            (other, self)
        };
        if small.mantissa == 0 {
            return Some(big);
        }
        let distance = (big.exponent - small.exponent) as u32;
        let wide = u128::from(big.mantissa) << 62;
        let (low, sticky) = if distance <= 62 {
            (u128::from(small.mantissa) << (62 - distance), false)
        } else if distance - 62 < 64 {
            let by = distance - 62;
            let kept = u128::from(small.mantissa >> by);
            (kept, kept << by != u128::from(small.mantissa))
        } else {
            (0, true)
        };
        let sum = if big.negative == small.negative {
            Self::round(big.negative, wide + low, sticky, big.exponent - 62)
        } else {
            // A lost bit makes the difference a little smaller than `wide - low`.
            let borrow = u128::from(sticky);
            Self::round(big.negative, wide - low - borrow, sticky, big.exponent - 62)
        };
        (sum.exponent < 16_384 - 64).then_some(sum)
    }
}

/// `%.17Lf` without trailing zeros.
impl fmt::Display for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mantissa == 0 {
            return f.write_str("0");
        }
        // mantissa · 2^exponent · 10^17 as an integer, ties to even.
        let mut value = Big::default();
        value.mul_add(1, (self.mantissa >> 32) as u32);
        value.shl(32);
        value.mul_add(1, self.mantissa as u32);
        for _ in 0..17 {
            value.mul_add(10, 0);
        }
        if self.exponent >= 0 {
            value.shl(self.exponent as u32);
        } else {
            value.shr_round(self.exponent.unsigned_abs());
        }
        let mut digits = value.decimal();
        if digits.len() < 18 {
            digits.insert_str(0, &"0".repeat(18 - digits.len()));
        }
        digits.insert(digits.len() - 17, '.');
        let text = number::trim_fraction(&digits);
        let sign = if self.negative && text != "0" {
            "-"
        } else {
            ""
        };
        write!(f, "{sign}{text}")
    }
}

/// A natural number of any size, least significant word first, no leading
/// zero words.
#[derive(Clone, Debug, Default)]
struct Big(Vec<u32>);

impl Big {
    fn mul_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for word in &mut self.0 {
            let product = u64::from(*word) * u64::from(factor) + carry;
            *word = product as u32;
            carry = product >> 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    fn bits(&self) -> u32 {
        self.0
            .last()
            .map_or(0, |top| (self.0.len() as u32) * 32 - top.leading_zeros())
    }

    fn shl(&mut self, by: u32) {
        if self.0.is_empty() {
            return;
        }
        if !by.is_multiple_of(32) {
            self.mul_add(1 << (by % 32), 0);
        }
        self.0
            .splice(0..0, std::iter::repeat_n(0, (by / 32) as usize));
    }

    fn shr1(&mut self) -> bool {
        let mut carry = 0;
        for word in self.0.iter_mut().rev() {
            let low = *word & 1;
            *word = *word >> 1 | carry << 31;
            carry = low;
        }
        self.trim();
        carry == 1
    }

    /// Shifts right, rounding to nearest, ties to even.
    fn shr_round(&mut self, by: u32) {
        let (mut half, mut sticky) = (false, false);
        for _ in 0..by {
            sticky |= half;
            half = self.shr1();
            if self.0.is_empty() && !half && !sticky {
                return;
            }
        }
        if half && (sticky || self.0.first().is_some_and(|word| word & 1 == 1)) {
            self.mul_add(1, 1);
        }
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// Subtracts `other` unless it is larger; whether it did.
    fn sub_if_not_less(&mut self, other: &Self) -> bool {
        let less = self
            .0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()));
        if less.is_lt() {
            return false;
        }
        let mut borrow = 0i64;
        for (at, word) in self.0.iter_mut().enumerate() {
            let rest = i64::from(*word) - i64::from(other.0.get(at).copied().unwrap_or(0)) + borrow;
            *word = rest as u32;
            borrow = rest >> 32;
        }
        self.trim();
        true
    }

    fn decimal(mut self) -> String {
        let mut digits = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0u64;
            for word in self.0.iter_mut().rev() {
                let value = rest << 32 | u64::from(*word);
                *word = (value / 10) as u32;
                rest = value % 10;
            }
            self.trim();
            digits.push(b'0' + rest as u8);
        }
        digits.iter().rev().map(|b| char::from(*b)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let a = Extended::parse(a.as_bytes()).unwrap();
        let b = Extended::parse(b.as_bytes()).unwrap();
        a.plus(b).unwrap().to_string()
    }

    #[test]
    fn sums_print_as_long_doubles_do() {
        assert_eq!(sum("0.1", "0.2"), "0.3");
        assert_eq!(sum("10.50", "0.1"), "10.6");
        assert_eq!(sum("5.0e3", "2.0e2"), "5200");
        assert_eq!(sum("3", "-3"), "0");
        assert_eq!(sum("-1.5", "1"), "-0.5");
        assert_eq!(sum("1e-18", "0"), "0");
        assert_eq!(sum("17179869184", "1.5"), "17179869185.5");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "abc", "inf", "nan", " 1", "1 "] {
            assert_eq!(Extended::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
