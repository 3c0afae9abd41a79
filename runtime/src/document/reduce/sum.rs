//! Exact sums of numbers as JSON writes them.

use std::str::FromStr as _;

use bigdecimal::BigDecimal;

/// A number reaches at most so many places to the left and to the right of its point: every double does, and a sum stays small.
const PLACES_MAX: i64 = 1100;
/// And is not written longer than this, in bytes.
const WRITTEN_MAX_BYTES: usize = 4096;

/// The sum, without exponent and without zeros that say nothing. `Err`: this one reaches too far from its point.
pub(super) fn sum<'v>(numbers: &[&'v str]) -> Result<String, &'v str> {
    let mut sum = BigDecimal::from(0);
    for number in numbers {
        let short = Some(number).filter(|number| number.len() <= WRITTEN_MAX_BYTES);
        match short.and_then(|number| BigDecimal::from_str(number).ok()).filter(is_near) {
            Some(number) => sum += number,
            None => return Err(number),
        }
    }
    Ok(sum.normalized().to_plain_string())
}

fn is_near(number: &BigDecimal) -> bool {
    let (right, digits) = (number.fractional_digit_count(), number.digits());
    let left = i64::try_from(digits).unwrap_or(i64::MAX).saturating_sub(right);
    right <= PLACES_MAX && left <= PLACES_MAX
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn no_digit_is_lost() {
        for (numbers, expected) in [
            (&["1", "2"][..], "3"),
            (&["0.1", "0.2"], "0.3"),
            (&["9223372036854775807", "1"], "9223372036854775808"),
            (&["18446744073709551616", "0.00000000000000000001"], "18446744073709551616.00000000000000000001"),
            (&["1e300", "-1e300", "5"], "5"),
            (&["1.50", "1.50"], "3"),
            (&["-0", "0"], "0"),
            (&["1E+2", "1e-2"], "100.01"),
            (&["-1", "0.5"], "-0.5"),
            (&["99999999999999999999999999999999999999", "1"], "100000000000000000000000000000000000000"),
        ] {
            assert_eq!(sum(numbers).as_deref(), Ok(expected), "{numbers:?}");
        }
        assert_eq!(sum(&["1", "1e2000"]), Err("1e2000"));
        assert_eq!(sum(&["1e-99999999999999999999", "1"]), Err("1e-99999999999999999999"));
        assert!(sum(&["1.7976931348623157e308", "5e-324"]).is_ok());
    }
}
