//! What the user may set.

use std::path::{Component, Path, PathBuf};

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

/// A directory of files below the config's `path`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// Its name, such as `flights`; may have several parts.
    #[schemars(length(min = 1))]
    pub(crate) name: String,
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

impl Resource {
    /// What is wrong with the name, if anything: files stay below the config's `path`, and hidden names are ours.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let parts = Path::new(&self.name).components().collect::<Vec<_>>();
        if self.name.is_empty() {
            return Some("an empty one");
        }
        if self.name.contains(['\0', '\n', '\\']) {
            return Some("one with a NUL, a line break or a backslash");
        }
        if !parts.iter().all(|part| matches!(part, Component::Normal(_))) {
            return Some("one that leads out of the config's path");
        }
        if self.name.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.len() > 255) {
            return Some("one with an empty, a hidden or an overlong part");
        }
        None
    }
}
