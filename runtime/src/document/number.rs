//! Numbers as they are written: whether one is an integer by value, without rounding it first.

/// `1.0`, `1e3` and `123456789012345678901234567890` are integers, `0.5` and `1e-1` are not. Expects the bytes of a JSON number.
pub(super) fn is_integer(number: &[u8]) -> bool {
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    if digits.iter().all(u8::is_ascii_digit) {
        return true;
    }
    let (mantissa, exponent) = match digits.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&digits[..at], exponent(&digits[at + 1..])),
        None => (digits, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    let trailing_zeros = |digits: &[u8]| digits.iter().rev().take_while(|byte| **byte == b'0').count();
    let significant_fraction = fraction.len() - trailing_zeros(fraction);
    if significant_fraction > 0 {
        return exponent >= to_i64(significant_fraction);
    }
    let zero = whole.iter().all(|byte| *byte == b'0');
    zero || exponent >= -to_i64(trailing_zeros(whole))
}

/// Saturates: the length of a number is far below any exponent that does.
fn exponent(digits: &[u8]) -> i64 {
    let (negative, digits) = match digits {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let value = digits
        .iter()
        .fold(0i64, |value, byte| value.saturating_mul(10).saturating_add(i64::from(byte.wrapping_sub(b'0'))));
    if negative { -value } else { value }
}

fn to_i64(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::is_integer;

    #[test]
    fn a_number_is_an_integer_by_value_and_not_by_how_it_is_written() {
        for text in [
            "0",
            "-0",
            "7",
            "1.0",
            "-1.00",
            "1e3",
            "1E+3",
            "1.5e1",
            "0.0",
            "0e-5",
            "0.0e-9",
            "100e-2",
            "1180591620717411303424",
            "1e400",
        ] {
            assert!(is_integer(text.as_bytes()), "{text}");
        }
        for text in [
            "0.5",
            "1e-1",
            "1.5",
            "1.05e1",
            "15e-1",
            "100e-3",
            "1e-400",
            "1.0000000000000000000001",
            "1e-99999999999999999999",
        ] {
            assert!(!is_integer(text.as_bytes()), "{text}");
        }
    }
}
