//! What the user may set, as it is written. What it comes to is in `settings`.

use std::time::Duration;

use longshore_sdk::Secret;
use longshore_sdk::time::Time;
use schemars::JsonSchema;
use serde::Deserialize;

/// Takes documents by HTTP.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_debug_implementations, reason = "it holds secrets")]
pub struct Config {
    /// Address and port to listen on. One that other machines can reach needs a `token` or a `signature`.
    #[serde(default = "listen")]
    pub(crate) listen: String,
    /// What senders must carry as `Authorization: Bearer …`.
    #[serde(default)]
    pub(crate) token: Option<Secret<String>>,
    /// How senders sign their bodies.
    #[serde(default)]
    pub(crate) signature: Option<Signature>,
    /// Most bytes of a body, as it is sent.
    #[serde(default = "body_bytes")]
    #[schemars(range(min = 1, max = 268_435_456))]
    pub(crate) body_bytes: u32,
    /// Most bytes that a compressed body may unfold to.
    #[serde(default = "unfolded_bytes")]
    #[schemars(range(min = 1, max = 268_435_456))]
    pub(crate) unfolded_bytes: u32,
    /// Most bytes that requests under way hold in memory, all of them together.
    #[serde(default = "memory_bytes")]
    #[schemars(range(min = 1))]
    pub(crate) memory_bytes: u32,
    /// Most requests under way.
    #[serde(default = "requests")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) requests: u32,
    /// How long a sender may take for a body, such as `30s`.
    #[serde(default = "half_a_minute")]
    pub(crate) read_timeout: Time,
    /// How long a request waits to become durable before it is told to come again, such as `30s`.
    #[serde(default = "half_a_minute")]
    pub(crate) commit_timeout: Time,
    /// How many idempotency keys are remembered for each binding.
    #[serde(default = "keys_kept")]
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) keys_kept: u32,
    /// How long an idempotency key is remembered, such as `24h`.
    #[serde(default = "keys_for")]
    pub(crate) keys_for: Time,
}

/// A path that takes documents.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Such as `/orders`, as senders write it.
    pub(crate) path: String,
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
    /// What may stand before it in the header.
    #[serde(default = "signature_prefix")]
    pub(crate) prefix: String,
    /// How it is written.
    #[serde(default)]
    pub(crate) encoding: Encoding,
    /// The time of sending is signed too, as `<time>.<body>`, and what is old is refused.
    #[serde(default)]
    pub(crate) timestamp: Option<Timestamp>,
}

/// When a request was sent.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timestamp {
    /// Header with the time in Unix seconds.
    pub(crate) header: String,
    /// How far it may be from ours, such as `5m`.
    #[serde(default = "tolerance")]
    pub(crate) tolerance: Time,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// Hex digits.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}

fn listen() -> String {
    "127.0.0.1:8080".to_owned()
}

fn body_bytes() -> u32 {
    16 << 20
}

fn unfolded_bytes() -> u32 {
    64 << 20
}

fn memory_bytes() -> u32 {
    256 << 20
}

fn requests() -> u32 {
    256
}

fn half_a_minute() -> Time {
    Time(Duration::from_secs(30))
}

fn keys_kept() -> u32 {
    10_000
}

fn keys_for() -> Time {
    Time(Duration::from_secs(24 * 3600))
}

fn signature_header() -> String {
    "X-Signature-256".to_owned()
}

fn signature_prefix() -> String {
    "sha256=".to_owned()
}

fn tolerance() -> Time {
    Time(Duration::from_secs(300))
}
