//! What an answer of the server means: one table, without IO.

use std::time::{Duration, SystemTime};

use http::StatusCode;

/// An answer, as much of it as is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The header, as it came.
    pub(crate) retry_after: Option<String>,
    /// The beginning of the body, fit to be shown.
    pub(crate) excerpt: String,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is there.
    Arrived,
    /// The same again, later.
    Again,
    /// Less at once.
    TooLarge,
    /// These documents are not wanted.
    Refused,
    /// The user has to change something, and what.
    Misconfigured(&'static str),
}

/// By the status alone.
pub(crate) fn verdict(status: StatusCode) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Arrived,
        // 409: drafts of `Idempotency-Key` have it for a request whose first one is still under way.
        408 | 409 | 425 | 429 | 500..=599 => Verdict::Again,
        413 => Verdict::TooLarge,
        400 | 422 => Verdict::Refused,
        401 | 403 => Verdict::Misconfigured("correct `token`, `headers` or `signature`"),
        404 | 410 => Verdict::Misconfigured("correct `url`, or the binding's `path`"),
        405 => Verdict::Misconfigured("set `method` to what the server takes"),
        415 => Verdict::Misconfigured("set `format` to what the server takes"),
        300..=399 => Verdict::Misconfigured("redirects are not followed: set `url` to where this one leads"),
        _ => Verdict::Misconfigured("correct `url`, or ask whoever runs the server"),
    }
}

/// How long the server wants to be left alone: seconds, or a date.
pub(crate) fn retry_after(header: Option<&str>, now: SystemTime) -> Option<Duration> {
    let text = header?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The beginning of a body, on one line and without what a terminal would obey.
pub(crate) fn excerpt(body: &[u8]) -> String {
    const SHOWN_CHARACTERS: usize = 300;
    let text = String::from_utf8_lossy(body);
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_means_one_thing() {
        let verdict = |code: u16| verdict(StatusCode::from_u16(code).unwrap());
        for code in [200, 201, 202, 204, 299] {
            assert_eq!(verdict(code), Verdict::Arrived, "{code}");
        }
        for code in [408, 409, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(verdict(code), Verdict::Again, "{code}");
        }
        assert_eq!((verdict(413), verdict(400), verdict(422)), (Verdict::TooLarge, Verdict::Refused, Verdict::Refused));
        for code in [301, 302, 307, 308, 401, 403, 404, 405, 410, 415, 418, 451, 999] {
            assert!(matches!(verdict(code), Verdict::Misconfigured(_)), "{code}");
        }
    }

    #[test]
    fn retry_after_has_two_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let after = |text| retry_after(Some(text), now).map(|duration| duration.as_secs());
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!((after("soon"), after("-1"), retry_after(None, now)), (None, None, None));
    }

    #[test]
    fn what_a_server_says_is_cut_and_harmless() {
        assert_eq!(excerpt(b"no\n\x1b[31m way"), "no\\n\\u{1b}[31m way");
        let long = excerpt("é".repeat(2_000).as_bytes());
        assert_eq!((long.chars().count(), long.ends_with('…')), (301, true));
    }
}
