//! What a user may write, and the settings it resolves to.

use std::path::PathBuf;
use std::time::Duration;

use longshore_sdk::{Error, Result, time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Captures tables of a SQLite database and their changes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// File of the database, relative to the catalog. The connector puts triggers and a small log into it.
    #[schemars(length(min = 1))]
    pub path: String,
    /// How often to look for changes, with a unit: 500ms, 1s, 5m.
    #[serde(default = "default_poll_interval")]
    pub poll_interval: String,
    /// How long to wait for a program that keeps the database locked, with a unit.
    #[serde(default = "default_busy_timeout")]
    pub busy_timeout: String,
}

/// A table.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Name of the table, as it is written in the database.
    #[schemars(length(min = 1))]
    pub table: String,
    /// The columns to capture; those of the key always are. Without it: all, also those that are added later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub columns: Option<Vec<String>>,
}

fn default_poll_interval() -> String {
    "1s".to_owned()
}

fn default_busy_timeout() -> String {
    "5s".to_owned()
}

/// A config that was found sound.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) poll_interval: Duration,
    pub(crate) busy_timeout: Duration,
}

impl Settings {
    /// Checks what a schema cannot.
    pub(crate) fn new(config: &Config) -> Result<Settings> {
        Ok(Settings {
            path: PathBuf::from(&config.path),
            poll_interval: interval("poll_interval", &config.poll_interval)?,
            busy_timeout: interval("busy_timeout", &config.busy_timeout)?,
        })
    }
}

/// Longest time that may be written: a day.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

fn interval(name: &str, text: &str) -> Result<Duration> {
    time::parse(text).filter(|time| !time.is_zero() && *time <= INTERVAL_MAX).ok_or_else(|| {
        let message = format!(
            "capture-sqlite reads its config: expected `{name}` to be a time with a unit, above 0 and at most 24h, got {text:?}"
        );
        Error::config("sqlite.interval.invalid", message)
            .at_pointer(format!("/{name}"))
            .suggest("such as 500ms, 1s, 5m or 1h")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_is_above_zero() {
        for (text, ms) in [("500ms", 500), ("1s", 1_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(interval("poll_interval", text).expect(text).as_millis(), ms);
        }
        for text in ["", "1", "0s", "s", "1 s", "-1s", "25h", "1.5s"] {
            let error = interval("poll_interval", text).expect_err(text);
            assert_eq!(error.pointer, "/poll_interval");
        }
    }
}
