//! Values of JSON as what machines calculate with, without changing one: each function says `None` rather than round, cut or guess.
//!
//! All take the text of a value as a document has it, without whitespace around it (as [`super::Projector`] finds it).

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// The text between the quotes; copied only where something is escaped.
pub fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    match inner.contains('\\') {
        false => Some(Cow::Borrowed(inner)),
        true => serde_json::from_str(raw).ok().map(Cow::Owned),
    }
}

/// The integer that a number is, however it is written (`1e3`, `7.0`), if 64 bits hold it.
pub fn integer(raw: &str) -> Option<i64> {
    if is_integral(raw) {
        return raw.parse().ok();
    }
    let Decimal { negative, digits: [whole, fraction], exponent } = Decimal::of(raw)?;
    if whole.is_empty() && fraction.is_empty() {
        return Some(0);
    }
    // A 64-bit integer has at most 19 digits; below zero there is a fraction.
    let zeros = usize::try_from(exponent).ok().filter(|zeros| *zeros < 20)?;
    let sign = if negative { "-" } else { "" };
    format!("{sign}{whole}{fraction}{}", "0".repeat(zeros)).parse().ok()
}

/// The double that a number is: exactly, or as the shortest text that leads to it, or rounded to the digits that are written, at most
/// 17, which is how most programs write a double so that the same one is read again.
pub fn double(raw: &str) -> Option<f64> {
    let number: f64 = raw.parse().ok().filter(|number: &f64| number.is_finite())?;
    // Fifteen digits always come back, unless the number is too small or too large to have them all.
    let digits = raw.bytes().filter(u8::is_ascii_digit).count();
    if digits <= 15 && raw.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-')) {
        return Some(number);
    }
    let decimal = Decimal::of(raw)?;
    let is_written = |text: &str| Decimal::of(text) == Some(decimal);
    let is_whole = decimal.exponent >= 0 && decimal.exponent < 400;
    let comes_back = Written::of(format_args!("{number:e}")).is_some_and(|text| is_written(text.as_str()))
        || decimal.rounded_to(17).is_some_and(|behind_first| is_written(&format!("{number:.behind_first$e}")))
        || is_whole && is_written(&format!("{number:.0}"));
    comes_back.then_some(number)
}

/// The shortest text of a number, which needs no more room than this.
#[derive(Default)]
struct Written {
    bytes: [u8; 32],
    length: usize,
}

impl Written {
    fn of(text: fmt::Arguments<'_>) -> Option<Self> {
        let mut written = Self::default();
        written.write_fmt(text).ok()?;
        Some(written)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for Written {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

/// A number written without fraction and exponent.
#[must_use]
pub fn is_integral(raw: &str) -> bool {
    !raw.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// A number as its digits, without zeros around them, times a power of ten.
#[derive(Debug, Clone, Copy)]
struct Decimal<'r> {
    negative: bool,
    /// As they are written, before the point and behind it.
    digits: [&'r str; 2],
    exponent: i64,
}

impl<'r> Decimal<'r> {
    fn of(raw: &'r str) -> Option<Self> {
        let (negative, unsigned) = raw.strip_prefix('-').map_or((false, raw), |unsigned| (true, unsigned));
        let (mantissa, exponent) = match unsigned.bytes().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&unsigned[..at], &unsigned[at + 1..]),
            None => (unsigned, "0"),
        };
        let (written_whole, written_fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (whole, mut fraction) = (written_whole.trim_start_matches('0'), written_fraction.trim_end_matches('0'));
        let mut trailing = written_fraction.len() - fraction.len();
        let mut digits = whole;
        if fraction.is_empty() {
            digits = whole.trim_end_matches('0');
            trailing += whole.len() - digits.len();
        } else if whole.is_empty() {
            fraction = fraction.trim_start_matches('0');
        }
        if digits.is_empty() && fraction.is_empty() {
            return Some(Self { negative, digits: [""; 2], exponent: 0 });
        }
        let fraction_len = i64::try_from(written_fraction.len()).ok()?;
        let trailing = i64::try_from(trailing).ok()?;
        let exponent = exponent.parse::<i64>().ok()?.checked_sub(fraction_len)?.checked_add(trailing)?;
        Some(Self { negative, digits: [digits, fraction], exponent })
    }

    fn count(&self) -> usize {
        self.digits[0].len() + self.digits[1].len()
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.digits[0].bytes().chain(self.digits[1].bytes())
    }

    /// So many digits it has behind its first, and no more in all than `most`, which are enough for every number of a kind. Programs do not agree
    /// on the shortest text of a number, but each has the number rounded to as many digits as the text has.
    fn rounded_to(&self, most: usize) -> Option<usize> {
        self.count().checked_sub(1).filter(|behind_first| *behind_first < most)
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.negative, self.exponent, self.count()) == (other.negative, other.exponent, other.count())
            && self.bytes().eq(other.bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_integer_is_one_however_it_is_written() {
        for (raw, number) in [
            ("0", 0),
            ("-0", 0),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("-2.50e1", -25),
            ("0e99", 0),
            ("0e99999999999999999999", 0),
            ("120e-1", 12),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("9.223372036854775807e18", i64::MAX),
        ] {
            assert_eq!(integer(raw), Some(number), "{raw}");
        }
        for raw in ["1.5", "9223372036854775808", "1e19", "1e-1", "1e400", "12345678901234567890123", "\"7\"", "{}"] {
            assert_eq!(integer(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_double_gives_back_the_number_that_was_written() {
        for (raw, number) in [
            ("0.1", 0.1),
            ("-0.0", 0.0),
            ("1.10", 1.1),
            ("10.357019999999999", 10.357_019_999_999_999),
            ("48.053808600000004", 48.053_808_6),
            ("0.10000000000000001", 0.1),
            ("1e308", 1e308),
            ("1.7976931348623157e308", f64::MAX),
            ("5e-324", 5e-324),
            ("1e3", 1000.0),
            ("9007199254740992", 9_007_199_254_740_992.0),
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
            ("100000000000000000000000", 1e23),
            ("123456789012345", 123_456_789_012_345.0),
            ("1.1258999068426242e+15", 4_503_599_627_370_497.0 / 4.0),
            ("1125899906842624.3", 4_503_599_627_370_497.0 / 4.0),
            ("-1125899906842625.2", -4_503_599_627_370_501.0 / 4.0),
            ("9.5e-322", 9.5e-322),
        ] {
            assert_eq!(double(raw), Some(number), "{raw}");
        }
        for raw in [
            "9007199254740993",
            "1125899906842624.22",
            "0.100000000000000005",
            "0.1000000000000000055511151231257827",
            "123456789.12345678901234567890",
            "1e400",
            "1e-400",
            "true",
            "\"1\"",
        ] {
            assert_eq!(double(raw), None, "{raw}");
        }
        assert!(double("-0.0").is_some_and(f64::is_sign_negative));
    }

    /// The same number by a walk over a copy of its digits.
    fn digits(raw: &str) -> (bool, String, i64) {
        let (negative, unsigned) = raw.strip_prefix('-').map_or((false, raw), |unsigned| (true, unsigned));
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let all = all.trim_start_matches('0');
        let digits = all.trim_end_matches('0');
        let exponent = exponent.parse::<i64>().unwrap() - fraction.len() as i64 + (all.len() - digits.len()) as i64;
        (negative, digits.to_owned(), if digits.is_empty() { 0 } else { exponent })
    }

    fn double_by_digits(raw: &str) -> Option<f64> {
        let number: f64 = raw.parse().ok().filter(|number: &f64| number.is_finite())?;
        let (wanted, is_written) = (digits(raw), |text: String| digits(&text) == digits(raw));
        let behind_first = wanted.1.len().checked_sub(1).filter(|behind_first| *behind_first < 17);
        let comes_back = is_written(format!("{number:e}"))
            || behind_first.is_some_and(|behind_first| is_written(format!("{number:.behind_first$e}")))
            || is_written(format!("{number:.0}"));
        comes_back.then_some(number)
    }

    proptest! {
        #[test]
        fn a_double_is_judged_by_its_digits(raw in "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?") {
            prop_assert_eq!(double(&raw), double_by_digits(&raw), "{}", raw);
            let decimal = Decimal::of(&raw).unwrap();
            prop_assert_eq!((decimal.negative, decimal.digits.concat(), decimal.exponent), digits(&raw));
        }

        #[test]
        fn every_double_is_itself(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            prop_assert_eq!(double(&format!("{number:e}")), Some(number));
            prop_assert_eq!(double(&number.to_string()), Some(number));
        }
    }

    #[test]
    fn a_text_is_what_stands_between_its_quotes() {
        for (raw, expected) in [("\"\"", ""), ("\"007\"", "007"), (r#""a\"b\u00e9\u0000""#, "a\"bé\0")] {
            assert_eq!(text(raw).as_deref(), Some(expected));
        }
        for raw in ["7", "\"", "", "{}"] {
            assert_eq!(text(raw), None, "{raw}");
        }
    }
}
