//! What a user may write, and the settings it resolves to.
//!
//! The schema shown by `connector spec` is made from these types. Files are looked at in `listing.rs` and `validate.rs`, not here.

use std::path::PathBuf;
use std::time::Duration;

use longshore_sdk::{Error, Result, time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ready::Ready;

/// Captures CSV, TSV and JSONL files below one directory.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Directory that holds the files, relative to the catalog.
    pub path: String,
    /// How the files are written. Without it the extension tells: .csv, .tsv, .tab, .jsonl, .ndjson, each also followed by .gz or .zst.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Format")]
    pub format: Option<Format>,
    /// How the files are compressed; `auto` goes by the extension, then by the first bytes.
    #[serde(default)]
    pub compression: Compression,
    /// Fields that mean "no value" and become null.
    #[serde(default = "default_null_values")]
    pub null_values: Vec<String>,
    /// Whether the first record names the columns. Default: true, or false where `columns` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub header: Option<bool>,
    /// Names of the columns, in order. With `header: true` they replace the names in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub columns: Option<Vec<String>>,
    /// The byte between fields. Default: a comma for csv, a tab for tsv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 1))]
    pub delimiter: Option<String>,
    /// Whether fields may be put in double quotes.
    #[serde(default = "default_quoting")]
    pub quoting: bool,
    /// What to do when a file that was captured has become another one.
    #[serde(default)]
    pub on_replaced: OnReplaced,
    /// How often to look for new and grown files, with a unit: 500ms, 1s, 5m.
    #[serde(default = "default_poll_interval")]
    pub poll_interval: String,
    /// Takes a file only when there is another with the same name and this behind it, such as `.done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub ready_marker: Option<String>,
    /// Takes a file, and what it grew by, only when nobody has written to it for so long, with a unit: 30s, 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub ready_after: Option<String>,
}

/// Which files make up one binding.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// File name or pattern below `path`: `*` and `?` stay within a folder, `**` crosses folders, `{a,b}` is one of several.
    pub glob: String,
    /// The columns that are wanted, beside those of the collection's key; without it all of them are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub columns: Option<Vec<String>>,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Csv,
    Tsv,
    Jsonl,
}

/// What the user says about compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    #[default]
    Auto,
    None,
    Gzip,
    Zstd,
}

/// A file's actual compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoded {
    Plain,
    Gzip,
    Zstd,
}

/// What to do when a file that was captured has become shorter or begins differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnReplaced {
    /// Stop and name the file.
    #[default]
    Stop,
}

/// A config that was found sound.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) root: PathBuf,
    pub(crate) format: Option<Format>,
    pub(crate) compression: Compression,
    pub(crate) dialect: Dialect,
    pub(crate) poll_interval: Duration,
    pub(crate) ready: Ready,
}

/// How delimited records are to be read.
#[derive(Debug, Clone)]
pub(crate) struct Dialect {
    pub(crate) null_values: Vec<Vec<u8>>,
    pub(crate) header: bool,
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) delimiter: Option<u8>,
    pub(crate) quoting: bool,
}

impl Settings {
    /// Checks what a schema cannot.
    pub(crate) fn new(config: Config) -> Result<Settings> {
        let header = config.header.unwrap_or(config.columns.is_none());
        match &config.columns {
            Some(columns) => check_names(columns).map_err(|what| {
                let message =
                    format!("capture-files reads its config: `columns` must name each column once, but {what}");
                Error::config("files.columns.invalid", message).at_pointer("/columns")
            })?,
            None if !header => {
                let message = "capture-files reads its config: with `header: false` nothing names the columns";
                return Err(Error::config("files.columns.missing", message)
                    .at_pointer("/header")
                    .suggest("list the columns: `columns: [id, name]`"));
            }
            None => {}
        }
        Ok(Settings {
            root: PathBuf::from(&config.path),
            format: config.format,
            compression: config.compression,
            dialect: Dialect {
                null_values: config.null_values.into_iter().map(String::into_bytes).collect(),
                header,
                columns: config.columns,
                delimiter: config.delimiter.as_deref().map(parse_delimiter).transpose()?,
                quoting: config.quoting,
            },
            poll_interval: parse_time("poll_interval", &config.poll_interval)?,
            ready: Ready {
                marker: config.ready_marker.as_deref().map(parse_marker).transpose()?,
                after: config.ready_after.as_deref().map(|text| parse_time("ready_after", text)).transpose()?,
            },
        })
    }

    /// How the records of the file `name` are written; none: nothing tells.
    pub(crate) fn format_of(&self, name: &str) -> Option<Format> {
        let extension = strip_compression(name).0.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        self.format.or(match extension.as_deref() {
            Some("csv") => Some(Format::Csv),
            Some("tsv" | "tab") => Some(Format::Tsv),
            Some("jsonl" | "ndjson") => Some(Format::Jsonl),
            Some(_) | None => None,
        })
    }

    /// How the file `name`, which begins with `head`, is compressed.
    pub(crate) fn encoding_of(&self, name: &str, head: &[u8]) -> Encoded {
        match (self.compression, strip_compression(name).1) {
            (Compression::None, _) => Encoded::Plain,
            (Compression::Gzip, _) => Encoded::Gzip,
            (Compression::Zstd, _) => Encoded::Zstd,
            (Compression::Auto, Some(encoded)) => encoded,
            (Compression::Auto, None) if head.starts_with(&[0x1f, 0x8b]) => Encoded::Gzip,
            (Compression::Auto, None) if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) => Encoded::Zstd,
            (Compression::Auto, None) => Encoded::Plain,
        }
    }
}

/// A file's name without the extension of its compression, and which that is.
pub(crate) fn strip_compression(name: &str) -> (&str, Option<Encoded>) {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    match extension.to_ascii_lowercase().as_str() {
        "gz" | "gzip" => (stem, Some(Encoded::Gzip)),
        "zst" | "zstd" => (stem, Some(Encoded::Zstd)),
        _ => (name, None),
    }
}

/// Column names must be there, once each, and leave `_meta` alone; otherwise says what is wrong.
pub(crate) fn check_names<S: AsRef<str>>(names: &[S]) -> std::result::Result<(), String> {
    let mut seen = std::collections::HashMap::new();
    for (place, name) in names.iter().map(AsRef::as_ref).enumerate() {
        let number = place + 1;
        if name.is_empty() {
            return Err(format!("column {number} of {} has no name", names.len()));
        }
        if name == "_meta" {
            return Err(format!("column {number} is named _meta, which is kept for where a document comes from"));
        }
        if let Some(first) = seen.insert(name, number) {
            return Err(format!("columns {first} and {number} are both named {name:?}"));
        }
    }
    if names.is_empty() { Err("it names none".to_owned()) } else { Ok(()) }
}

fn parse_delimiter(text: &str) -> Result<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(*byte),
        _ => {
            let message =
                format!("capture-files reads its config: `delimiter` must be one ASCII character, not {text:?}");
            Err(Error::config("files.delimiter.invalid", message)
                .at_pointer("/delimiter")
                .suggest("such as \";\" or \"|\"; a tab is `format: tsv`"))
        }
    }
}

/// Part of a file's name.
fn parse_marker(text: &str) -> Result<String> {
    if !text.is_empty() && !text.contains(['/', '\0']) {
        return Ok(text.to_owned());
    }
    let message =
        format!("capture-files reads its config: `ready_marker` must be the end of a file name, not {text:?}");
    Err(Error::config("files.ready_marker.invalid", message)
        .at_pointer("/ready_marker")
        .suggest("such as .done: flights.csv is taken when there is flights.csv.done"))
}

fn parse_time(key: &str, text: &str) -> Result<Duration> {
    match time::parse(text).filter(|time| !time.is_zero()) {
        Some(time) => Ok(time),
        None => {
            let message =
                format!("capture-files reads its config: `{key}` must be a time with a unit above 0, not {text:?}");
            Err(Error::config(format!("files.{key}.invalid"), message)
                .at_pointer(format!("/{key}"))
                .suggest("such as 500ms, 1s or 5m"))
        }
    }
}

fn default_null_values() -> Vec<String> {
    vec![String::new()]
}

fn default_quoting() -> bool {
    true
}

fn default_poll_interval() -> String {
    "1s".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: serde_json::Value) -> Result<Settings> {
        Settings::new(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn the_extension_tells_format_and_compression_unless_the_config_does() {
        let auto = settings(serde_json::json!({ "path": "." })).unwrap();
        assert_eq!(auto.format_of("a/b.CSV.zst"), Some(Format::Csv));
        assert_eq!(auto.format_of("b.ndjson.gz"), Some(Format::Jsonl));
        assert_eq!(auto.format_of("b.tab"), Some(Format::Tsv));
        assert_eq!(auto.format_of("README"), None);
        assert_eq!(auto.encoding_of("b.csv.gz", b""), Encoded::Gzip);
        assert_eq!(auto.encoding_of("b.csv", &[0x1f, 0x8b, 8]), Encoded::Gzip);
        assert_eq!(auto.encoding_of("b.csv", b"a,b"), Encoded::Plain);
        let told = settings(serde_json::json!({ "path": ".", "format": "tsv", "compression": "none" })).unwrap();
        assert_eq!(told.format_of("b.csv"), Some(Format::Tsv));
        assert_eq!(told.encoding_of("b.csv.gz", b""), Encoded::Plain);
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_pointer() {
        for (json, code) in [
            (serde_json::json!({ "path": ".", "header": false }), "files.columns.missing"),
            (serde_json::json!({ "path": ".", "columns": ["a", "a"] }), "files.columns.invalid"),
            (serde_json::json!({ "path": ".", "columns": ["a", ""] }), "files.columns.invalid"),
            (serde_json::json!({ "path": ".", "columns": [] }), "files.columns.invalid"),
            (serde_json::json!({ "path": ".", "delimiter": "ü" }), "files.delimiter.invalid"),
            (serde_json::json!({ "path": ".", "poll_interval": "1" }), "files.poll_interval.invalid"),
            (serde_json::json!({ "path": ".", "poll_interval": "0s" }), "files.poll_interval.invalid"),
            (serde_json::json!({ "path": ".", "ready_after": "5" }), "files.ready_after.invalid"),
            (serde_json::json!({ "path": ".", "ready_marker": "" }), "files.ready_marker.invalid"),
            (serde_json::json!({ "path": ".", "ready_marker": "done/" }), "files.ready_marker.invalid"),
        ] {
            let error = settings(json).unwrap_err();
            assert_eq!(error.code, code);
            assert!(!error.pointer.is_empty());
        }
    }
}
