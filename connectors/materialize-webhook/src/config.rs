//! What the user may set, as it is written. What it comes to is in [`crate::settings`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use longshore_sdk::Secret;
use longshore_sdk::time::Time;
use schemars::JsonSchema;
use serde::Deserialize;

/// Posts batches of documents to a server.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where to, such as `https://example.com/hooks`; a binding's `path` is put behind its path. A secret, because many carry a token.
    pub(crate) url: Secret<String>,
    /// How.
    #[serde(default)]
    pub(crate) method: Method,
    /// What a batch of documents is written as.
    #[serde(default)]
    pub(crate) format: Format,
    /// Headers of every request. The values are secrets.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Secret<String>>,
    /// Sent as `Authorization: Bearer …`.
    #[serde(default)]
    pub(crate) token: Option<Secret<String>>,
    /// Signs every body.
    #[serde(default)]
    pub(crate) signature: Option<Signature>,
    /// Most documents in one request.
    #[serde(default = "batch_documents")]
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) batch_documents: u32,
    /// Most bytes of documents in one request; a larger document goes alone.
    #[serde(default = "batch_bytes")]
    #[schemars(range(min = 1, max = 8_388_608))]
    pub(crate) batch_bytes: u32,
    /// For one request, from connecting to the end of the answer, such as `30s`.
    #[serde(default = "timeout")]
    pub(crate) timeout: Time,
    /// How long one request is repeated before the transaction is given up and begun again, such as `60s`.
    #[serde(default = "retry_for")]
    pub(crate) retry_for: Time,
    /// File with the certificates (PEM) of authorities to trust instead of the system's, relative to the catalog.
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
    /// `source` of events, with format `cloudevents`; without it made of installation and task.
    #[serde(default)]
    pub(crate) event_source: Option<String>,
    /// `type` of events, with format `cloudevents`.
    #[serde(default = "event_type")]
    pub(crate) event_type: String,
}

/// One place that documents go to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// Put behind the path of the config's `url`, such as `/orders`; `/` is the url as it is.
    pub(crate) path: String,
}

/// How it is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    /// POST.
    #[default]
    Post,
    /// PUT.
    Put,
}

/// What a batch is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// A JSON array (`application/json`).
    #[default]
    Json,
    /// One document a line (`application/x-ndjson`).
    Jsonl,
    /// CloudEvents 1.0 in batch mode (`application/cloudevents-batch+json`).
    Cloudevents,
}

/// HMAC-SHA256 of a body, in a header.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signature {
    /// The key that both sides know.
    pub(crate) secret: Secret<String>,
    /// The header.
    #[serde(default = "signature_header")]
    pub(crate) header: String,
    /// What stands before it in the header.
    #[serde(default = "signature_prefix")]
    pub(crate) prefix: String,
    /// How it is written.
    #[serde(default)]
    pub(crate) encoding: Encoding,
    /// Header for the time of sending (Unix seconds). With it `<time>.<body>` is signed, so that what was sent can be told to be old.
    #[serde(default)]
    pub(crate) timestamp_header: Option<String>,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// Lower-case hex digits.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}

fn batch_documents() -> u32 {
    1000
}

fn batch_bytes() -> u32 {
    1 << 20
}

fn timeout() -> Time {
    Time(Duration::from_secs(30))
}

fn retry_for() -> Time {
    Time(Duration::from_secs(60))
}

fn event_type() -> String {
    "longshore.document".to_owned()
}

fn signature_header() -> String {
    "X-Signature-256".to_owned()
}

fn signature_prefix() -> String {
    "sha256=".to_owned()
}
