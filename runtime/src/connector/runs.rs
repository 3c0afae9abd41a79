//! How a connector runs, told to whoever asks for the status: who started it, and which parts of a sandbox hold it.
//!
//! Whoever launches one another way (an image, a process in a namespace) makes a [`Runs`] with its own [`Way`] and hands over its list of
//! [`Part`]s: a part that the system does not offer is in the list too, with `applied: false`. Nothing else has to know about it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::container::Sandbox;

/// One connector that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// Its program's name, its address, or its image.
    pub name: String,
    /// How it runs.
    #[serde(flatten)]
    pub way: Way,
    /// What it is held by, and what it is not.
    pub sandbox: Vec<Part>,
}

/// How a connector runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "lowercase")]
pub enum Way {
    /// A child of the runtime.
    Process {
        /// Its process id.
        pid: u32,
    },
    /// In a container of its own.
    Container {
        /// The image it was made from, as the catalog names it.
        image: String,
        /// Which one that is.
        image_id: String,
    },
    /// Somebody else runs it.
    Address {
        /// Where it serves.
        address: String,
    },
}

/// One part of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// One or two words, such as `network` or `read-only root`.
    pub name: String,
    /// Whether it holds this connector.
    pub applied: bool,
    /// What it means here, such as a limit with its unit, or why it is not applied; may be empty.
    pub detail: String,
}

impl Part {
    /// A part that holds.
    #[must_use]
    pub fn applied(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), applied: true, detail: detail.into() }
    }

    /// A part that does not.
    #[must_use]
    pub fn missing(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), applied: false, detail: detail.into() }
    }
}

impl Runs {
    /// A child of the runtime.
    pub(super) fn process(name: String, pid: u32, sandbox: Vec<Part>) -> Self {
        Self { name, way: Way::Process { pid }, sandbox }
    }

    /// In a container: all of its sandbox holds, or it would not have been started.
    pub(super) fn container(name: String, sandbox: &Sandbox) -> Self {
        let Sandbox { image, image_id, user, capabilities, root, limits, .. } = sandbox;
        let mut parts = vec![
            Part::applied("user", user),
            Part::applied("network", sandbox.network()),
            Part::applied("capabilities", *capabilities),
            Part::applied("root", *root),
            Part::applied(
                "memory",
                format!("{} bytes, its /tmp of {} bytes included", limits.memory_bytes, limits.tmpfs_bytes),
            ),
            Part::applied("processors", format!("{} thousandths", limits.cpu_millis)),
            Part::applied("processes", limits.pids.to_string()),
        ];
        parts.extend(sandbox.mounts.iter().map(|mount| {
            let how = if mount.read_only { "read only" } else { "it can write there" };
            Part::applied("mount", format!("{} at {}, {how}", mount.path, mount.at))
        }));
        let way = Way::Container { image: image.clone(), image_id: image_id.clone() };
        Self { name, way, sandbox: parts }
    }

    /// Somebody else's: nothing is known of what holds it.
    pub(super) fn address(address: String) -> Self {
        Self { name: address.clone(), way: Way::Address { address }, sandbox: Vec::new() }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid } => write!(f, "process {pid}"),
            Self::Container { image, image_id } => write!(f, "a container of {image} ({image_id})"),
            Self::Address { address } => write!(f, "run by somebody else at {address}"),
        }
    }
}
