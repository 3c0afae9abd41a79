//! What the user may set.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Files in a directory.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The directory, relative to the catalog; made if it is not there.
    #[schemars(length(min = 1))]
    pub(crate) path: PathBuf,
    /// How documents are written.
    #[serde(default)]
    pub(crate) format: Format,
    /// How files are compressed.
    #[serde(default)]
    pub(crate) compression: Compression,
}

/// How documents are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// One JSON document a line, as it is.
    #[default]
    Jsonl,
    /// A header and a record for each document.
    Csv,
}

/// How files are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    /// Not at all.
    #[default]
    None,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

impl Config {
    /// What the names of files end in, such as `jsonl.gz`.
    pub(crate) fn extension(&self) -> String {
        let format = match self.format {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
        };
        let compression = match self.compression {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        };
        format!("{format}{compression}")
    }
}
