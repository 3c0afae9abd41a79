//! Times as users write them: a whole number and its unit, such as `500ms` or `5m`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

const UNITS: [(&str, u64); 6] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

/// A time in a config: anything else than a number with its unit is a mistake at its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Time(
    /// As a program takes it.
    pub Duration,
);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = parse(&text).map(Self);
        time.ok_or_else(|| format!("expected a time with its unit, such as `500ms`, `30s` or `5m`, got {text:?}"))
    }
}

/// A time with its unit: `us`, `ms`, `s`, `m`, `h` or `d`. None: the text is none, or it is too long.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, microseconds_each) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*microseconds_each).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        let time = |text: &str| Time::try_from(text.to_owned()).map(|time| time.0.as_millis());
        assert_eq!(
            ["500ms", "30s", "2m", "1h", "1d", "7000us"].map(time),
            [Ok(500), Ok(30_000), Ok(120_000), Ok(3_600_000), Ok(86_400_000), Ok(7)]
        );
        for wrong in ["5", "ms", "", "5 ms", "5w", "1.5s", "-1s", "18446744073709551615h"] {
            assert!(time(wrong).unwrap_err().contains("a time with its unit"), "{wrong}");
        }
    }
}
