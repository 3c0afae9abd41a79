//! When something is done: times with their unit, `every` of a materialization and `schedule` of a capture. Reads no clock: whoever asks for
//! the next time says what time it is.

use std::str::FromStr as _;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::code::Code;
use super::diagnostic::Diagnostic;
use super::fields::{Fields, text};

/// More often than this nothing is done on purpose.
const LEAST: Duration = Duration::from_secs(1);
/// Documents wait for a commit no longer than this: so long a stop of the destination would go unseen.
const EVERY_MOST: Duration = Duration::from_hours(24);
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// When a capture that has caught up is asked again.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// So long after the last time, as it began.
    Interval(Duration),
    /// At the minutes a cron pattern says, in UTC.
    Cron(Box<Cron>),
}

impl Schedule {
    /// How long to wait from now on. `begun` is how long ago the last session began.
    #[must_use]
    pub fn wait(&self, begun: Duration, now: Timestamp) -> Duration {
        match self {
            Self::Interval(interval) => interval.saturating_sub(begun),
            Self::Cron(cron) => {
                let now = now.to_zoned(TimeZone::UTC).datetime();
                let next = next_of(cron, now).unwrap_or(now);
                Duration::try_from(next.duration_since(now)).unwrap_or_default()
            }
        }
    }
}

/// None: there is none, as on 31 February.
fn next_of(cron: &Cron, after: DateTime) -> Option<DateTime> {
    cron.find_next_occurrence(&after, false).ok()
}

/// A time with its unit, such as `90s`.
///
/// # Errors
/// What was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let Some((_, milliseconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err("expected a whole number and its unit: ms, s, m, h or d, such as 90s".into());
    };
    let number = u64::from_str(number).map_err(|_| "expected a whole number in front of the unit, such as 90s")?;
    number.checked_mul(*milliseconds).map(Duration::from_millis).ok_or_else(|| "that is too long".into())
}

/// `every` of a materialization.
pub(super) fn every(fields: &Fields<'_>, findings: &mut Vec<Diagnostic>) -> Option<Duration> {
    read(fields, "every", "every: 5m", findings, |text| match duration(text)? {
        time if time < LEAST => Err("less than 1s is what happens without it".into()),
        time if time > EVERY_MOST => Err("expected at most 24h: so long documents would wait in the journal".into()),
        time => Ok(time),
    })
}

/// `schedule` of a capture.
pub(super) fn schedule(fields: &Fields<'_>, findings: &mut Vec<Diagnostic>) -> Option<Schedule> {
    read(fields, "schedule", "schedule: 5m", findings, |text| {
        if !text.trim().contains([' ', '@', '*']) {
            return match duration(text)? {
                time if time < LEAST => {
                    Err("expected at least 1s: a capture that follows its source needs none".into())
                }
                time => Ok(Schedule::Interval(time)),
            };
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|_| {
            "expected five parts: minute (0-59), hour (0-23), day of the month (1-31), month (1-12), day of the week (0-7)"
        })?;
        match next_of(&cron, DateTime::constant(2024, 1, 1, 0, 0, 0, 0)) {
            Some(_) => Ok(Schedule::Cron(Box::new(cron))),
            None => Err("there is no such day in any year".into()),
        }
    })
}

fn read<T>(
    fields: &Fields<'_>,
    key: &str,
    example: &str,
    findings: &mut Vec<Diagnostic>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let node = fields.optional(key)?;
    let who = format!("`{key}` of {}", fields.who);
    let written = text(node, &who, example, findings)?;
    match parse(written) {
        Ok(time) => Some(time),
        Err(why) => {
            let help = match key {
                "schedule" => "write a time, such as `5m`, or when, such as \"30 3 * * *\": at 3:30 each night (UTC)",
                _ => "write a time with its unit, such as `5m`",
            };
            findings.push(Diagnostic::error(Code::Time, node.span, format!("{who}: `{written}`: {why}"), help));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fields::{Keys, fields};
    use crate::catalog::node::{Entry, Node, Scalar, Value};
    use crate::catalog::source::Span;

    fn schedule_of(written: &str) -> Result<Schedule, String> {
        let scalar = Value::Scalar(Scalar { text: written.into(), plain: true });
        let value = Node { span: Span::default(), key_span: None, value: scalar };
        let entry = Entry { key: "schedule".into(), key_span: Span::default(), value };
        let task = Node { value: Value::Mapping(vec![entry]), ..Node::absent(Span::default()) };
        let mut findings = Vec::new();
        let keys = Keys { known: &["schedule"], example: "" };
        let fields = fields(&task, "capture `nyc`", keys, &mut findings).expect("a mapping");
        schedule(&fields, &mut findings).ok_or_else(|| findings.remove(0).message)
    }

    fn wait(written: &str, now: &str) -> u64 {
        let now = now.parse().expect("a time");
        schedule_of(written).expect("a schedule").wait(Duration::ZERO, now).as_secs()
    }

    #[test]
    fn an_interval_is_counted_from_where_the_last_session_began() {
        let five = schedule_of("5m").expect("a schedule");
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(five.wait(Duration::from_secs(20), now), Duration::from_secs(280));
        assert_eq!(five.wait(Duration::from_secs(400), now), Duration::ZERO, "it took longer than the interval");
    }

    #[test]
    fn a_pattern_means_the_next_minute_that_fits_in_utc() {
        assert_eq!(wait("30 3 * * *", "2026-03-01T03:00:00Z"), 30 * 60);
        assert_eq!(wait("30 3 * * *", "2026-03-01T03:30:00Z"), 24 * 3600, "now is not next");
        assert_eq!(wait("0 0 29 2 *", "2026-03-01T00:00:00Z"), (365 + 365) * 86_400, "the next leap year");
        assert_eq!(wait("*/15 * * * MON", "2026-03-01T23:59:30Z"), 30, "a Sunday ends");
        assert_eq!(wait("@daily", "2026-03-01T23:59:00Z"), 60);
        assert_eq!(wait("0 9 * * 1-5", "2026-03-06T09:00:01Z"), 3 * 86_400 - 1, "over the weekend");
    }

    #[test]
    fn what_is_no_time_is_told_with_what_was_expected() {
        for (written, part) in [
            ("5", "its unit"),
            ("five minutes", "five parts"),
            ("0s", "at least 1s"),
            ("500ms", "at least 1s"),
            ("* * * *", "five parts"),
            ("0 0 0 * * *", "five parts"),
            ("61 * * * *", "five parts"),
            ("0 0 31 2 *", "no such day"),
            ("99999999999999999d", "too long"),
        ] {
            let why = schedule_of(written).expect_err(written);
            assert!(why.contains(part) && why.contains(written), "{written}: {why}");
        }
    }

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2d"), Ok(Duration::from_hours(48)));
        for wrong in ["", "5", "s", "1.5h", "-1s", "1 h", "1w", "99999999999999999999h", "9999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
