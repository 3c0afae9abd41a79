//! The resource of a binding: a directory of files, by name.

use std::path::{Component, Path};

use schemars::JsonSchema;
use serde::Deserialize;

/// A directory of files below what the config names.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its name, such as `flights`; may have several parts.
    #[schemars(length(min = 1))]
    pub name: String,
}

impl Resource {
    /// What is wrong with the name, if anything: files stay below the destination, and hidden names are ours.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let parts = Path::new(&self.name).components().collect::<Vec<_>>();
        if self.name.is_empty() {
            return Some("an empty one");
        }
        if self.name.contains(['\0', '\n', '\\']) {
            return Some("one with a NUL, a line break or a backslash");
        }
        if !parts.iter().all(|part| matches!(part, Component::Normal(_))) {
            return Some("one that leads out of the destination");
        }
        if self.name.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.len() > 255) {
            return Some("one with an empty, a hidden or an overlong part");
        }
        None
    }
}
