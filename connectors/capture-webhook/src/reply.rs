//! What a sender is told: a status, a line of JSON, and when to come again.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

/// Says that the answer is that of an earlier request with the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) why: String,
}

/// What a request comes to.
pub(crate) type Reply = Response<Full<Bytes>>;

impl Refusal {
    pub(crate) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    /// What was sent is not what is taken here.
    pub(crate) fn bad(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    /// Nothing is said of the documents: they may be stored, or not. The same again, under the same key, is right in both cases.
    pub(crate) fn later(why: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, why)
    }

    pub(crate) fn reply(&self) -> Reply {
        let mut reply = with(self.status, &json!({ "error": self.why }));
        let headers = reply.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            StatusCode::METHOD_NOT_ALLOWED => drop(headers.insert(ALLOW, HeaderValue::from_static("POST, PUT"))),
            _ => {}
        }
        reply
    }
}

/// So many documents are durable; `is_replayed`: since an earlier request.
pub(crate) fn stored(documents: usize, is_replayed: bool) -> Reply {
    let mut reply = with(StatusCode::OK, &json!({ "documents": documents }));
    if is_replayed {
        reply.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    reply
}

/// Requests are taken.
pub(crate) fn healthy() -> Reply {
    with(StatusCode::OK, &json!({ "status": "ok" }))
}

fn with(status: StatusCode, body: &serde_json::Value) -> Reply {
    let mut reply = Response::new(Full::from(format!("{body}\n")));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}
