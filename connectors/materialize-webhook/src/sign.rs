//! The signature of a body, as the receiver makes it again to compare.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

use crate::config::Encoding;

/// Signs with one key.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) key: hmac::Key,
    pub(crate) header: HeaderName,
    pub(crate) prefix: String,
    pub(crate) encoding: Encoding,
    pub(crate) timestamp_header: Option<HeaderName>,
}

impl Signer {
    /// Adds the signature of the body, made at this time, to its headers.
    pub(crate) fn sign(&self, body: &[u8], now_seconds: u64, headers: &mut HeaderMap) {
        let mut context = hmac::Context::with_key(&self.key);
        if let Some(header) = &self.timestamp_header {
            context.update(format!("{now_seconds}.").as_bytes());
            headers.insert(header, HeaderValue::from(now_seconds));
        }
        context.update(body);
        let tag = context.sign();
        let text = match self.encoding {
            Encoding::Hex => hex(tag.as_ref()),
            Encoding::Base64 => STANDARD.encode(tag.as_ref()),
        };
        // The prefix was looked at with the settings.
        if let Ok(value) = HeaderValue::from_str(&format!("{}{text}", self.prefix)) {
            headers.insert(&self.header, value);
        }
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(encoding: Encoding, timestamp_header: Option<HeaderName>) -> Signer {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        Signer {
            key,
            header: HeaderName::from_static("x-sig"),
            prefix: "sha256=".to_owned(),
            encoding,
            timestamp_header,
        }
    }

    #[test]
    fn a_signature_is_that_of_rfc_4231() {
        let mut headers = HeaderMap::new();
        signer(Encoding::Hex, None).sign(b"what do ya want for nothing?", 7, &mut headers);
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(headers["x-sig"], expected);
        signer(Encoding::Base64, None).sign(b"what do ya want for nothing?", 7, &mut headers);
        assert_eq!(headers["x-sig"], "sha256=W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    }

    #[test]
    fn with_a_timestamp_it_is_signed_too() {
        let signer = signer(Encoding::Hex, Some(HeaderName::from_static("x-time")));
        let (mut first, mut second, mut bare) = (HeaderMap::new(), HeaderMap::new(), HeaderMap::new());
        signer.sign(b"body", 7, &mut first);
        signer.sign(b"body", 8, &mut second);
        assert_eq!(first["x-time"], "7");
        assert_ne!(first["x-sig"], second["x-sig"]);
        Signer { timestamp_header: None, ..signer }.sign(b"7.body", 0, &mut bare);
        assert_eq!(first["x-sig"], bare["x-sig"]);
    }
}
