//! Cuts a body into documents, as its content type says. What each document is worth is seen in `document`.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::reply::Refusal;

/// Most documents of one request.
const DOCUMENTS_MAX: usize = 100_000;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// One object, or an array of objects.
    Json,
    /// An object a line.
    Lines,
    /// One CloudEvent.
    Event,
    /// An array of CloudEvents.
    Events,
}

/// Source and id of a CloudEvent: together they are its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EventName {
    pub(crate) source: String,
    pub(crate) id: String,
}

impl Media {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Self::Json) };
        let text = value.to_str().unwrap_or("?");
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "" | "application/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Ok(Self::Lines)
            }
            "application/cloudevents+json" => Ok(Self::Event),
            "application/cloudevents-batch+json" => Ok(Self::Events),
            other if other.starts_with("application/") && other.ends_with("+json") => Ok(Self::Json),
            _ => Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "expected Content-Type application/json, application/x-ndjson, application/cloudevents+json or \
                     application/cloudevents-batch+json, got {text:?}"
                ),
            )),
        }
    }

    pub(crate) fn is_event(self) -> bool {
        match self {
            Self::Event | Self::Events => true,
            Self::Json | Self::Lines => false,
        }
    }
}

/// The documents as they lie in the body.
pub(crate) fn cut(media: Media, body: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let is_list = body.trim_ascii_start().first() == Some(&b'[');
    let documents = match media {
        Media::Lines => {
            body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect()
        }
        Media::Json if is_list => elements(body)?,
        Media::Events if is_list => elements(body)?,
        Media::Events => {
            return Err(Refusal::bad("reading the body: expected a JSON array of events, got something else"));
        }
        Media::Json | Media::Event => vec![body.trim_ascii()],
    };
    match documents.len() {
        0..=DOCUMENTS_MAX => Ok(documents),
        more => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("expected at most {DOCUMENTS_MAX} documents in one request, got {more}"),
        )),
    }
}

/// Elements of a JSON array.
fn elements(body: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let elements: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("reading the body: expected a JSON array, got {error}")))?;
    Ok(elements.into_iter().map(|element| element.get().as_bytes()).collect())
}

/// Checks that a document is an event, and tells its name.
pub(crate) fn event_name(number: usize, document: &[u8]) -> Result<EventName, Refusal> {
    #[derive(Deserialize)]
    struct Event<'d> {
        #[serde(borrow)]
        specversion: Cow<'d, str>,
        #[serde(borrow)]
        id: Cow<'d, str>,
        #[serde(borrow)]
        source: Cow<'d, str>,
        #[serde(borrow, rename = "type")]
        kind: Cow<'d, str>,
    }
    let wrong = |got: String| Refusal::bad(format!("reading event {number}: expected a CloudEvent 1.0, got {got}"));
    let event: Event<'_> = serde_json::from_slice(document).map_err(|error| wrong(error.to_string()))?;
    if event.specversion != "1.0" {
        return Err(wrong(format!("specversion {:?}", event.specversion)));
    }
    if [&event.id, &event.source, &event.kind].iter().any(|text| text.is_empty()) {
        return Err(wrong("an empty `id`, `source` or `type`".to_owned()));
    }
    Ok(EventName { source: event.source.into_owned(), id: event.id.into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(content_type: &str) -> Result<Media, StatusCode> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
        Media::of(&headers).map_err(|refusal| refusal.status)
    }

    #[test]
    fn a_content_type_says_how_a_body_is_read() {
        assert_eq!(Media::of(&HeaderMap::new()), Ok(Media::Json));
        assert_eq!(media("Application/JSON; charset=utf-8"), Ok(Media::Json));
        assert_eq!(media("application/vnd.api+json"), Ok(Media::Json));
        assert_eq!(media("application/x-ndjson"), Ok(Media::Lines));
        assert_eq!(media("application/cloudevents+json; charset=utf-8"), Ok(Media::Event));
        assert_eq!(media("application/cloudevents-batch+json"), Ok(Media::Events));
        for other in ["text/plain", "application/xml", "application/x-www-form-urlencoded", "image/svg+json"] {
            assert_eq!(media(other), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{other}");
        }
    }

    #[test]
    fn bodies_are_cut_into_documents() {
        let texts = |media, body: &'static str| {
            cut(media, body.as_bytes())
                .map(|all| all.into_iter().map(|one| std::str::from_utf8(one).unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(texts(Media::Json, " {\"a\":\n1} \n").unwrap(), ["{\"a\":\n1}"]);
        assert_eq!(texts(Media::Json, " [ {\"a\":[1]} ,{} ]\n").unwrap(), ["{\"a\":[1]}", "{}"]);
        assert_eq!(texts(Media::Json, "[]").unwrap(), Vec::<&str>::new());
        assert_eq!(texts(Media::Lines, "{\"a\":1}\r\n\n{\"b\":2}").unwrap(), ["{\"a\":1}", "{\"b\":2}"]);
        assert!(texts(Media::Json, "[{}").unwrap_err().why.contains("line 1 column 3"));
        assert_eq!(texts(Media::Events, "{}").unwrap_err().status, StatusCode::BAD_REQUEST);
        let many = format!("[{}0]", "0,".repeat(DOCUMENTS_MAX));
        assert_eq!(cut(Media::Json, many.as_bytes()).unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn an_event_has_a_name() {
        let event = br#"{"specversion":"1.0","id":"7","source":"/s","type":"t","data":{}}"#;
        assert_eq!(event_name(1, event).unwrap(), EventName { source: "/s".to_owned(), id: "7".to_owned() });
        for wrong in [
            r#"{"specversion":"0.3","id":"7","source":"/s","type":"t"}"#,
            r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#,
            r#"{"specversion":"1.0","id":7,"source":"/s","type":"t"}"#,
            r#"{"specversion":"1.0","id":"7","type":"t"}"#,
            "[]",
        ] {
            assert!(event_name(3, wrong.as_bytes()).unwrap_err().why.contains("event 3"), "{wrong}");
        }
    }
}
