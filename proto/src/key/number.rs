//! Key encoding of numbers: by exact decimal value, whatever way they are written.

use crate::error::Error;

const NEGATIVE: u8 = 0x10;
const ZERO: u8 = 0x11;
const POSITIVE: u8 = 0x12;
const EXPONENT_BELOW: u8 = 0x3f;
const EXPONENT_ABOVE: u8 = 0xc0;

/// Greatest power of ten of a key, either way: far beyond any double, and safe to add to.
const EXPONENT_MAX: i64 = 1 << 30;

/// Encodes a literal that follows the JSON grammar.
pub(super) fn encode(literal: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let decimal = Decimal::parse(literal);
    let Some((first, last)) = decimal.significant() else {
        out.push(ZERO);
        return Ok(());
    };
    let exponent = decimal.point() - first as i64 + decimal.exponent;
    if exponent.abs() > EXPONENT_MAX {
        let message =
            format!("a key is refused: expected numbers with an exponent within ±{EXPONENT_MAX}, got a greater one");
        return Err(Error::data("key.exponent", message).suggest("send such a number as a string"));
    }
    // Whoever is below zero sorts the other way round: all bytes behind the tag are turned over.
    let flip = if decimal.negative { 0xff } else { 0x00 };
    out.push(if decimal.negative { NEGATIVE } else { POSITIVE });
    let start = out.len();
    push_exponent(exponent as i32, out);
    for i in (first..=last).step_by(2) {
        let unit = if i < last { decimal.digit(i + 1) } else { 0 };
        out.push(decimal.digit(i) * 10 + unit + 1);
    }
    out.push(0x00);
    for byte in &mut out[start..] {
        *byte ^= flip;
    }
    Ok(())
}

fn push_exponent(exponent: i32, out: &mut Vec<u8>) {
    match exponent {
        -64..=63 => out.push((0x80 + exponent) as u8),
        _ => {
            out.push(if exponent < 0 { EXPONENT_BELOW } else { EXPONENT_ABOVE });
            out.extend_from_slice(&(exponent ^ i32::MIN).to_be_bytes());
        }
    }
}

/// A literal taken apart. Its digits are those before the point and those behind it, as one row.
struct Decimal<'a> {
    negative: bool,
    before: &'a [u8],
    behind: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn parse(literal: &'a [u8]) -> Self {
        let (negative, rest) = match literal.split_first() {
            Some((b'-', rest)) => (true, rest),
            _ => (false, literal),
        };
        let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(e) => (&rest[..e], parse_exponent(&rest[e + 1..])),
            None => (rest, 0),
        };
        let (before, behind) = match mantissa.iter().position(|&byte| byte == b'.') {
            Some(point) => (&mantissa[..point], &mantissa[point + 1..]),
            None => (mantissa, &mantissa[..0]),
        };
        Self { negative, before, behind, exponent }
    }

    fn point(&self) -> i64 {
        self.before.len() as i64
    }

    fn digit(&self, index: usize) -> u8 {
        let byte = match index.checked_sub(self.before.len()) {
            None => self.before[index],
            Some(index) => self.behind[index],
        };
        byte - b'0'
    }

    /// Places of the first and the last digit that is not 0; none: the number is 0.
    fn significant(&self) -> Option<(usize, usize)> {
        let digits = self.before.len() + self.behind.len();
        let first = (0..digits).find(|&i| self.digit(i) != 0)?;
        let last = (first..digits).rfind(|&i| self.digit(i) != 0)?;
        Some((first, last))
    }
}

/// Saturates far beyond [`EXPONENT_MAX`] and far below overflow.
fn parse_exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    let value = digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1 << 50));
    if negative { -value } else { value }
}
