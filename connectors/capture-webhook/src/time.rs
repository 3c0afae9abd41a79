//! A time as a user writes it: a number and its unit.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// `500ms`, `30s`, `5m` or `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Time(pub(crate) Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("expected a time with its unit, such as `500ms`, `30s` or `5m`, got {text:?}");
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let milliseconds_each: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(milliseconds_each).map(Duration::from_millis).map(Time).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        let time = |text: &str| Time::try_from(text.to_owned()).map(|time| time.0.as_millis());
        assert_eq!(
            [time("500ms"), time("30s"), time("2m"), time("1h")],
            [Ok(500), Ok(30_000), Ok(120_000), Ok(3_600_000)]
        );
        for wrong in ["5", "ms", "", "5 ms", "5d", "-1s", "18446744073709551615h"] {
            assert!(time(wrong).unwrap_err().contains("a time with its unit"), "{wrong}");
        }
    }
}
