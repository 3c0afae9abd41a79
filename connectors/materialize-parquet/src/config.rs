//! What the user may set, and what of it cannot be.

use std::path::PathBuf;

use longshore_sdk::{Error, Result, Secret, time};
use schemars::JsonSchema;
use serde::Deserialize;

/// Less makes no file worth opening.
const FILE_BYTES_MIN: u64 = 4 << 10;
/// More does not fit into the parts of an upload with certainty.
const FILE_BYTES_MAX: u64 = 16 << 30;
/// The runtime waits no longer with a transaction.
const MAX_AGE_MS: u64 = 600_000;

/// Parquet files in a directory (`path`) or an S3-compatible bucket (`url`).
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// A directory, relative to the catalog; made if it is not there. This or `url`.
    #[schemars(length(min = 1))]
    pub(crate) path: Option<PathBuf>,
    /// A bucket, `s3://bucket`, or a part of it, `s3://bucket/prefix`. This or `path`.
    #[schemars(length(min = 1))]
    pub(crate) url: Option<String>,
    /// Where the S3 service is, such as `https://s3.example:9000`; AWS unless given.
    pub(crate) endpoint: Option<String>,
    /// The bucket's region.
    #[serde(default = "region")]
    pub(crate) region: String,
    /// Whose key it is; with `url`.
    pub(crate) access_key_id: Option<Secret<String>>,
    /// The key; with `url`.
    pub(crate) secret_access_key: Option<Secret<String>>,
    /// The endpoint may be reached without TLS.
    #[serde(default)]
    pub(crate) allow_http: bool,
    /// How pages are compressed.
    #[serde(default)]
    pub(crate) compression: Compression,
    /// What a column of numbers is.
    #[serde(default)]
    pub(crate) numbers: Numbers,
    /// A file that has so many bytes takes no more.
    #[serde(default = "file_bytes")]
    pub(crate) file_bytes: u64,
    /// How long documents may wait for more to be in a file with them, with a unit: 500ms, 60s, 10m.
    #[serde(default = "max_age")]
    pub(crate) max_age: String,
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    /// Small and quick.
    #[default]
    Zstd,
    /// Quick; what old readers know.
    Snappy,
    /// Not at all.
    None,
}

/// What a column of numbers is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Numbers {
    /// DOUBLE. A number with more digits than a double gives back is refused.
    #[default]
    Double,
    /// Text with all digits, as they were written.
    Text,
}

/// Where files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Directory(PathBuf),
    /// A bucket, and a prefix without slashes around it; may be empty.
    Bucket {
        bucket: String,
        prefix: String,
    },
}

impl Config {
    /// Everything that is wrong with it by itself.
    pub(crate) fn faults(&self) -> Vec<Error> {
        let mut faults: Vec<Error> = [self.place().err(), self.max_age_ms().err()].into_iter().flatten().collect();
        if !(FILE_BYTES_MIN..=FILE_BYTES_MAX).contains(&self.file_bytes) {
            let message =
                format!("expected files of {FILE_BYTES_MIN} to {FILE_BYTES_MAX} bytes, got {}", self.file_bytes);
            faults.push(
                Error::config("parquet.file_bytes", message)
                    .at_pointer("/file_bytes")
                    .suggest("such as 134217728, which is the default"),
            );
        }
        if self.url.is_some() {
            faults.extend(self.faults_of_bucket());
        } else if self.path.is_some() {
            let stray = [
                ("/endpoint", self.endpoint.is_some()),
                ("/access_key_id", self.access_key_id.is_some()),
                ("/secret_access_key", self.secret_access_key.is_some()),
            ];
            faults.extend(stray.into_iter().filter(|(_, is_there)| *is_there).map(|(pointer, _)| {
                let message = "expected settings of a bucket only with `url`, got one beside `path`";
                Error::config("parquet.setting", message)
                    .at_pointer(pointer)
                    .suggest("take it out, or name a bucket with `url`")
            }));
        }
        faults
    }

    fn faults_of_bucket(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        for (pointer, key) in [("/access_key_id", &self.access_key_id), ("/secret_access_key", &self.secret_access_key)]
        {
            if key.as_ref().is_none_or(|key| key.expose().is_empty()) {
                let message = "expected a key for the bucket, got none";
                faults.push(
                    Error::config("parquet.key", message).at_pointer(pointer).suggest("such as \"${S3_KEY:?set it}\""),
                );
            }
        }
        let Some(endpoint) = &self.endpoint else { return faults };
        let fault = |message: String, way: &str| {
            Error::config("parquet.endpoint", message).at_pointer("/endpoint").suggest(way)
        };
        match endpoint.split_once("://") {
            Some(("https", host)) if is_host(host) => {}
            Some(("http", host)) if is_host(host) && self.allow_http => {}
            Some(("http", host)) if is_host(host) => {
                faults.push(fault(
                    format!("expected an endpoint with TLS, got {endpoint}"),
                    "say https://, or set `allow_http: true`",
                ));
            }
            Some(_) | None => {
                faults.push(fault(
                    format!("expected a URL of a host, got {endpoint:?}"),
                    "such as https://s3.example:9000",
                ));
            }
        }
        faults
    }

    /// Where files go: exactly one of `path` and `url` says so.
    pub(crate) fn place(&self) -> Result<Place> {
        match (&self.path, &self.url) {
            (Some(path), None) => Ok(Place::Directory(path.clone())),
            (None, Some(url)) => parse_url(url),
            (None, None) => Err(Error::config("parquet.place", "expected `path` or `url`, got neither")
                .suggest("`path: ./lake` for a directory, `url: s3://bucket/prefix` for a bucket")),
            (Some(_), Some(_)) => Err(Error::config("parquet.place", "expected `path` or `url`, got both")
                .at_pointer("/url")
                .suggest("take one of them out")),
        }
    }

    /// How long a transaction may wait for more.
    pub(crate) fn max_age_ms(&self) -> Result<u64> {
        let text = &self.max_age;
        let age_ms = time::parse(text).and_then(|age| u64::try_from(age.as_millis()).ok());
        age_ms.filter(|ms| (1..=MAX_AGE_MS).contains(ms)).ok_or_else(|| {
            let message =
                format!("expected a time with a unit, above 0 and at most {}m, got {text:?}", MAX_AGE_MS / 60_000);
            Error::config("parquet.max_age", message).at_pointer("/max_age").suggest("such as 500ms, 60s or 10m")
        })
    }
}

fn is_host(text: &str) -> bool {
    let host = text.strip_suffix('/').unwrap_or(text);
    !host.is_empty() && !host.contains(['/', '?', '#', '@', ' '])
}

fn parse_url(url: &str) -> Result<Place> {
    let fault = |what: &str| {
        let message = format!("expected a bucket, perhaps with a prefix, got {what}: {url:?}");
        Error::config("parquet.url", message).at_pointer("/url").suggest("such as s3://bucket/prefix")
    };
    let Some(rest) = url.strip_prefix("s3://") else { return Err(fault("another URL")) };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_bucket =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if bucket.is_empty() || !is_bucket(bucket) {
        return Err(fault("a bucket's name that is none"));
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_bad =
        |part: &str| part.is_empty() || part.starts_with('.') || part.contains(|letter: char| letter.is_control());
    if !prefix.is_empty() && prefix.split('/').any(is_bad) {
        return Err(fault("a prefix with an empty or hidden part"));
    }
    Ok(Place::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

fn region() -> String {
    "us-east-1".to_owned()
}

fn file_bytes() -> u64 {
    128 << 20
}

fn max_age() -> String {
    "60s".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(config: Value, pointers: &[&str]) {
        let parsed: Config = serde_json::from_value(config.clone()).unwrap();
        let found: Vec<String> = parsed.faults().into_iter().map(|fault| fault.pointer.clone()).collect();
        assert_eq!(found, pointers, "{config}");
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        check(json!({ "path": "./lake" }), &[]);
        let keys = |mut config: Value| {
            config["access_key_id"] = json!("id");
            config["secret_access_key"] = json!("key");
            config
        };
        check(keys(json!({ "url": "s3://bucket" })), &[]);
        check(keys(json!({ "url": "s3://bucket/a/b/", "endpoint": "https://s3.example:9000" })), &[]);
        check(keys(json!({ "url": "s3://b", "endpoint": "http://[::1]:9", "allow_http": true })), &[]);
        check(json!({}), &[""]);
        check(keys(json!({ "url": "s3://bucket", "path": "x" })), &["/url"]);
        for url in ["s3://", "s3:///x", "https://bucket", "s3://b/a//b", "s3://b/.hidden", "s3://a b"] {
            check(keys(json!({ "url": url })), &["/url"]);
        }
        check(json!({ "url": "s3://bucket" }), &["/access_key_id", "/secret_access_key"]);
        check(json!({ "path": "x", "access_key_id": "x" }), &["/access_key_id"]);
        for endpoint in ["http://plain", "s3.example", "https://", "https://a/b", "ftp://x"] {
            check(keys(json!({ "url": "s3://bucket", "endpoint": endpoint })), &["/endpoint"]);
        }
        for bytes in [0, u64::MAX] {
            check(json!({ "path": "x", "file_bytes": bytes }), &["/file_bytes"]);
        }
        for age in ["0s", "5", "11m", "99999999999999999999m", "s", "1h"] {
            check(json!({ "path": "x", "max_age": age }), &["/max_age"]);
        }
    }
}
