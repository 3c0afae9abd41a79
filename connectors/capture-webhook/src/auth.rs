//! Who may send: a bearer token, a signature of the body, or both. Compared in a time that tells nothing about where they differ.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, StatusCode};
use ring::digest::{SHA256, digest};
use ring::hmac;

use crate::config::Encoding;
use crate::reply::Refusal;

/// What is asked of a sender; nothing by default.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// The token's digest, so that its length shows as little as its letters.
    token_digest: Option<Vec<u8>>,
    pub(crate) signed: Option<Signed>,
}

/// A signature that a body must have.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) key: hmac::Key,
    pub(crate) header: HeaderName,
    /// May stand before it.
    pub(crate) prefix: String,
    pub(crate) encoding: Encoding,
    /// Header of the time of sending, and how many seconds it may be from ours.
    pub(crate) timestamp: Option<(HeaderName, u64)>,
}

impl Guard {
    pub(crate) fn take_token(&mut self, token: &str) {
        self.token_digest = Some(digest(&SHA256, token.as_bytes()).as_ref().to_vec());
    }

    /// Before a byte of the body is read.
    pub(crate) fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(expected) = &self.token_digest else { return Ok(()) };
        let given = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes).unwrap_or_default();
        let is_bearer = given.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        let token = if is_bearer { &given[7..] } else { b"" };
        let given = digest(&SHA256, token);
        let differing = expected.iter().zip(given.as_ref()).fold(0, |differing, (a, b)| differing | (a ^ b));
        if is_bearer && differing == 0 {
            Ok(())
        } else {
            Err(unauthorized("expected `Authorization: Bearer` with the right token"))
        }
    }

    /// Of the body as it was sent, before it is unfolded.
    pub(crate) fn check_signature(&self, headers: &HeaderMap, body: &[u8], now_seconds: u64) -> Result<(), Refusal> {
        self.signed.as_ref().map_or(Ok(()), |signed| signed.check(headers, body, now_seconds))
    }
}

impl Signed {
    fn check(&self, headers: &HeaderMap, body: &[u8], now_seconds: u64) -> Result<(), Refusal> {
        let wrong = || unauthorized(&format!("expected the right signature in the header `{}`", self.header));
        let given = headers.get(&self.header).and_then(|value| value.to_str().ok()).ok_or_else(wrong)?.trim();
        let tag = self.decode(given.strip_prefix(self.prefix.as_str()).unwrap_or(given)).ok_or_else(wrong)?;
        let Some((header, tolerance_seconds)) = &self.timestamp else {
            return hmac::verify(&self.key, body, &tag).map_err(|_| wrong());
        };
        let old = || {
            unauthorized(&format!(
                "expected the time of sending in the header `{header}`, in Unix seconds and not far from ours"
            ))
        };
        let text = headers.get(header).and_then(|value| value.to_str().ok()).ok_or_else(old)?;
        let sent_seconds: u64 = text.parse().map_err(|_| old())?;
        let signed = [text.as_bytes(), b".", body].concat();
        hmac::verify(&self.key, &signed, &tag).map_err(|_| wrong())?;
        if sent_seconds.abs_diff(now_seconds) <= *tolerance_seconds { Ok(()) } else { Err(old()) }
    }

    fn decode(&self, text: &str) -> Option<Vec<u8>> {
        match self.encoding {
            Encoding::Base64 => STANDARD.decode(text).ok(),
            Encoding::Hex if text.len().is_multiple_of(2) && text.is_ascii() => {
                (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
            }
            Encoding::Hex => None,
        }
    }
}

fn unauthorized(why: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_whole_token_is_right() {
        let mut guard = Guard::default();
        guard.check_token(&HeaderMap::new()).unwrap();
        guard.take_token("t0ken");
        guard.check_token(&headers(&[("authorization", "Bearer t0ken")])).unwrap();
        for wrong in ["", "t0ken", "Bearer", "Bearer ", "Bearer t0ke", "Bearer t0kens", "Basic t0ken"] {
            let refused = guard.check_token(&headers(&[("authorization", wrong)])).unwrap_err();
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{wrong:?}");
        }
    }

    #[test]
    fn a_signature_is_checked_with_and_without_its_prefix() {
        let signed = |encoding, timestamp| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
            let header = HeaderName::from_static("x-sig");
            Guard {
                token_digest: None,
                signed: Some(Signed { key, header, prefix: "sha256=".to_owned(), encoding, timestamp }),
            }
        };
        let body = b"what do ya want for nothing?";
        let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let guard = signed(Encoding::Hex, None);
        for right in [hex.to_owned(), format!("sha256={hex}"), hex.to_uppercase()] {
            guard.check_signature(&headers(&[("x-sig", &right)]), body, 0).unwrap();
        }
        for wrong in ["", "sha256=", "5b", "zz", &hex[2..], &hex.replace('5', "6")] {
            assert!(guard.check_signature(&headers(&[("x-sig", wrong)]), body, 0).is_err(), "{wrong}");
        }
        assert!(guard.check_signature(&headers(&[("x-sig", hex)]), b"other", 0).is_err());
        let base64 = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
        signed(Encoding::Base64, None).check_signature(&headers(&[("x-sig", base64)]), body, 0).unwrap();

        let guard = signed(Encoding::Base64, Some((HeaderName::from_static("x-time"), 300)));
        let tag = STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"Jefe"), b"1000.body"));
        let check =
            |time, now| guard.check_signature(&headers(&[("x-sig", &tag), ("x-time", time)]), b"body", now).is_ok();
        assert!(check("1000", 1300) && check("1000", 700));
        assert!(!check("1000", 1301) && !check("1001", 1001) && !check("", 1000) && !check("-1", 1000));
    }
}
