//! Dates and times by their shape. The server reads much more than it prints (`now`, `Jan 3`, 24:00, a leap second, a zone where none is kept)
//! and makes something else of it without a word; what has one of the shapes here, it either takes as it is or refuses.

use std::borrow::Cow;

/// Both infinities are kept by dates and timestamps.
const INFINITIES: [&str; 2] = ["infinity", "-infinity"];
/// Before Christ, as the server prints it: behind everything.
const BEFORE_CHRIST: &str = " BC";
/// Digits of a fraction of a second that are kept.
const MICROSECONDS: u8 = 6;

/// `2024-01-31`, `12024-01-31`, `0044-03-15 BC`, `infinity`.
pub(crate) fn is_date(text: &str) -> bool {
    let (date, _) = era(text);
    INFINITIES.contains(&text) || Scan(date).date().is_some_and(|rest| rest.is_empty())
}

/// `12:30:00`, `12:30:00.5`, `24:00:00`; with `zone` `12:30:00+02`, `12:30:00-05:30`.
pub(crate) fn is_time(text: &str, zone: bool, precision: Option<u8>) -> bool {
    let rest = match text.strip_prefix("24:00:00") {
        Some(rest) => Some(rest),
        None => Scan(text).clock(precision.unwrap_or(MICROSECONDS), false),
    };
    match rest {
        Some("") => !zone,
        Some(rest) => {
            zone && rest.starts_with(['+', '-']) && rest[1..].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b':'))
        }
        None => false,
    }
}

/// How a timestamp is told to the server. With a zone: RFC 3339, any offset, but in a key UTC as `Z` alone, since two texts must not become one
/// moment; without: as the server prints it.
pub(crate) fn timestamp(text: &str, zone: bool, precision: Option<u8>, is_key: bool) -> Option<Cow<'_, str>> {
    if INFINITIES.contains(&text) {
        return Some(Cow::Borrowed(text));
    }
    let (moment, era) = era(text);
    let after_date = Scan(moment).date()?;
    let between = after_date.chars().next().filter(|between| match (zone, is_key) {
        (true, true) => *between == 'T',
        (true, false) => matches!(between, 'T' | 't' | ' '),
        (false, _) => *between == ' ',
    })?;
    let clock = &after_date[between.len_utf8()..];
    let offset = Scan(clock).clock(precision.unwrap_or(MICROSECONDS), is_key)?;
    let told = match (zone, offset) {
        (false, "") | (true, "Z") => "",
        (true, "z") if !is_key => "",
        (true, offset) if !is_key && is_offset(offset) => offset,
        (_, _) => return None,
    };
    let date = &moment[..moment.len() - after_date.len()];
    let clock = &clock[..clock.len() - offset.len()];
    let utc = if zone && told.is_empty() { "+00" } else { "" };
    Some(Cow::Owned(format!("{date} {clock}{told}{utc}{era}")))
}

fn era(text: &str) -> (&str, &str) {
    text.strip_suffix(BEFORE_CHRIST).map_or((text, ""), |before| (before, BEFORE_CHRIST))
}

/// `+02:00`
fn is_offset(text: &str) -> bool {
    let minutes =
        |text: &str| text.get(1..3).zip(text.get(4..)).map(|(hours, minutes)| (hours.to_owned(), minutes.to_owned()));
    let below = |text: &str, max: u8| {
        text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()) && text.parse().is_ok_and(|n: u8| n <= max)
    };
    text.starts_with(['+', '-'])
        && text.get(3..4) == Some(":")
        && minutes(text).is_some_and(|(hours, minutes)| below(&hours, 15) && below(&minutes, 59))
}

/// What is left of a text.
#[derive(Clone, Copy)]
struct Scan<'t>(&'t str);

impl<'t> Scan<'t> {
    fn number(&mut self, least: usize, most: usize) -> Option<&'t str> {
        let end = self.0.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at_checked(end).filter(|_| (least..=most).contains(&end))?;
        self.0 = rest;
        Some(digits)
    }

    fn pair(&mut self, max: u8) -> Option<u8> {
        self.number(2, 2)?.parse().ok().filter(|number| *number <= max)
    }

    fn mark(&mut self, mark: char) -> Option<()> {
        self.0 = self.0.strip_prefix(mark)?;
        Some(())
    }

    /// What stands behind a date; whether there is such a day, the server knows.
    fn date(mut self) -> Option<&'t str> {
        let year = self.number(4, 7)?;
        if year.len() > 4 && year.starts_with('0') {
            return None;
        }
        self.mark('-')?;
        self.pair(12)?;
        self.mark('-')?;
        self.pair(31)?;
        Some(self.0)
    }

    /// What stands behind a time of day. A leap second would become the next minute.
    fn clock(mut self, precision: u8, no_zeros_behind: bool) -> Option<&'t str> {
        self.pair(23)?;
        self.mark(':')?;
        self.pair(59)?;
        self.mark(':')?;
        self.pair(59)?;
        if self.mark('.').is_some() {
            let fraction = self.number(1, usize::MAX)?;
            let kept = fraction.trim_end_matches('0').len();
            if kept > usize::from(precision) || no_zeros_behind && kept < fraction.len() {
                return None;
            }
        }
        Some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_keeps_as_it_is_has_a_shape() {
        for text in ["2024-01-31", "12024-01-31", "0044-03-15 BC", "infinity", "-infinity"] {
            assert!(is_date(text), "{text}");
        }
        for text in [
            "now",
            "today",
            "epoch",
            "allballs",
            "Jan 3",
            "2024-1-31",
            "20240131",
            "02024-01-01",
            "2024-01-31 AD",
            "2024-01-31 ",
            "",
        ] {
            assert!(
                !is_date(text) && timestamp(text, true, None, false).is_none() && !is_time(text, false, None),
                "{text}"
            );
        }
        assert!(
            is_time("24:00:00", false, None)
                && is_time("23:59:59.999999", false, None)
                && is_time("01:00:00-05:30", true, None)
        );
        for text in ["23:59:60", "24:00:01", "12:00", "12:00:00.0000001", "12:00:00Z", "12:00:00+02"] {
            assert!(!is_time(text, false, None), "{text}");
        }
        assert!(!is_time("12:00:00.1234", false, Some(3)) && is_time("12:00:00.1230", false, Some(3)));
    }

    #[test]
    fn a_timestamp_is_told_in_the_servers_words() {
        let told = |text: &str, zone, key| timestamp(text, zone, None, key).map(Cow::into_owned);
        assert_eq!(told("2024-01-01T00:00:00.123456Z", true, true).as_deref(), Some("2024-01-01 00:00:00.123456+00"));
        assert_eq!(told("2024-01-01t00:00:00+02:00", true, false).as_deref(), Some("2024-01-01 00:00:00+02:00"));
        assert_eq!(told("0044-03-15T12:00:00Z BC", true, true).as_deref(), Some("0044-03-15 12:00:00+00 BC"));
        assert_eq!(told("2024-01-01 00:00:00.5", false, true).as_deref(), Some("2024-01-01 00:00:00.5"));
        assert_eq!(told("infinity", true, true).as_deref(), Some("infinity"));
        for text in ["2024-01-01T00:00:00.10Z", "2024-01-01T00:00:00+00:00", "2024-01-01t00:00:00Z"] {
            assert!(
                told(text, true, true).is_none() && told(text, true, false).is_some(),
                "{text}: two keys must not become one"
            );
        }
        for text in [
            "2024-01-01T00:00:00",
            "2024-12-31T23:59:60Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00.0000001Z",
            "2024-01-01T00:00:00+2",
        ] {
            assert_eq!(told(text, true, false), None, "{text}");
        }
        for text in ["2024-01-01 00:00:00Z", "2024-01-01 00:00:00+02", "2024-01-01"] {
            assert_eq!(told(text, false, false), None, "a zone would be thrown away: {text}");
        }
    }
}
