//! A number by its digits, to tell whether a column keeps all of them.

/// Digits without zeros around them, times a power of ten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Of a JSON number; none: its exponent is beyond everything.
    pub(crate) fn of(raw: &str) -> Option<Self> {
        let (negative, unsigned) = raw.strip_prefix('-').map_or((false, raw), |unsigned| (true, unsigned));
        let (mantissa, power) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            // Minus nothing is nothing.
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        let zeros_behind = i64::try_from(all.len() - all.trim_end_matches('0').len()).ok()?;
        let behind_the_point = i64::try_from(fraction.len()).ok()?;
        let exponent = power.parse::<i64>().ok()?.checked_sub(behind_the_point)?.checked_add(zeros_behind)?;
        Some(Self { negative, digits: significant.to_owned(), exponent })
    }

    /// Nothing of it lies behind so many digits after the point (before it, where that is below zero).
    pub(crate) fn fits_scale(&self, scale: i16) -> bool {
        self.digits.is_empty() || self.exponent >= -i64::from(scale)
    }
}

/// The single-precision number that this is, as [`longshore_sdk::materialize::exact::double`] has it for doubles.
pub(crate) fn is_real(raw: &str) -> bool {
    let Some(number) = raw.parse().ok().filter(|number: &f32| number.is_finite()) else { return false };
    let decimal = Decimal::of(raw);
    let is_written = |text: String| decimal.is_some() && Decimal::of(&text) == decimal;
    // The server's shortest text may have a digit more than Rust's, or another last one: it is the number rounded to so many digits.
    let behind_first = decimal.as_ref().and_then(|decimal| decimal.digits.len().checked_sub(1));
    is_written(format!("{number:e}"))
        || behind_first.is_some_and(|digits| digits < 9 && is_written(format!("{number:.digits$e}")))
        || is_written(format!("{number:.0}"))
}

/// Written as the shortest text that leads to the number it is read as: then no two texts are one number. For keys.
pub(crate) fn is_shortest(raw: &str, shortest: &str) -> bool {
    Decimal::of(raw).is_some_and(|decimal| Decimal::of(shortest) == Some(decimal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_behind_the_scale_are_told() {
        for (raw, scale, fits) in [
            ("1.25", 2, true),
            ("1.250", 2, true),
            ("1.255", 2, false),
            ("125e-2", 2, true),
            ("1e3", 0, true),
            ("1200", -2, true),
            ("1210", -2, false),
            ("0.000", -5, true),
            ("-0", 0, true),
            ("1e-400", 2, false),
        ] {
            assert_eq!(Decimal::of(raw).unwrap().fits_scale(scale), fits, "{raw} at {scale}");
        }
    }

    #[test]
    fn a_real_gives_back_what_was_written() {
        for raw in
            ["0.1", "16777216", "3.4028235e38", "1e-45", "0.10000000149011612", "-0.0", "1.17549435e-38", "0.100000001"]
        {
            let expected = raw != "0.10000000149011612";
            assert_eq!(is_real(raw), expected, "{raw}");
        }
        for raw in ["1.5046602e+06", "1504660.3", "1504660.25", "-1504660.2", "2.7442079e+09", "2.744208e9"] {
            assert!(is_real(raw), "{raw}");
        }
        for raw in ["16777217", "1e39", "1e-60", "0.123456789012", "1504660.22"] {
            assert!(!is_real(raw), "{raw}");
        }
        assert!(is_shortest("0.10", "0.1") && is_shortest("1e1", "10") && !is_shortest("0.10000000000000001", "0.1"));
    }
}
