//! How another process asks a running `longshore run` how it is doing, and tells it to stop.
//!
//! The run serves a Unix socket in a private directory of its own ([`serve`]); `control.json` in the state directory names it, because a
//! socket's path holds 107 bytes and a state directory may lie deeper than that. Whoever asks ([`ask`]) sends one [`Request`] as a line of
//! JSON and gets [`Answer`]s, one a line, the same objects that `--json` prints. The socket's directory (0700) lets in its user and root.
//!
//! The words may change between versions: both sides say their [`PROTOCOL`], and another one is told as such instead of being guessed at.

mod ask;
mod report;
mod serve;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use ask::{NotAsked, Stopping, status, stop};
pub use report::{Binding, Lag, LastError, RuntimeReport, TaskReport};
pub use serve::{About, Control};

/// Version of requests and answers. Raise it when an older side would misread a newer one.
pub const PROTOCOL: u32 = 1;
/// Longer requests are nobody's we know, in bytes.
const REQUEST_MAX_BYTES: u64 = 4 << 10;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    protocol: u32,
    ask: Ask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Ask {
    /// Each task as it is now.
    Status,
    /// End in order; the connection stays open as long as the runtime lives.
    Stop,
}

/// What is answered, a line each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Answer {
    /// The first line, always.
    Runtime(RuntimeReport),
    /// One task.
    Task(Box<TaskReport>),
    /// It has been told to stop.
    Stopping,
    /// The request was not understood.
    Refused { message: String },
    /// Nothing follows.
    End,
}

/// Where a runtime serves: what `control.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    protocol: u32,
    version: String,
    pid: u32,
    socket: PathBuf,
}

impl Note {
    fn path(state_directory: &Path) -> PathBuf {
        state_directory.join("control.json")
    }
}
