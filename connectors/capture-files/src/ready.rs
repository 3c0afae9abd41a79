//! Which files may be taken: those that their writer is done with, by a marker beside them or by having been left alone for a while. Without
//! either every file is, and only its last record is waited for.

#![allow(clippy::disallowed_methods, reason = "how long a file was left alone is told by the clock")]

use std::path::Path;
use std::time::Duration;

use crate::listing::Found;

/// When a file is ready; all that is said must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ready {
    /// Behind the file's name: the name of a file that says so.
    pub(crate) marker: Option<String>,
    /// It was not written for so long.
    pub(crate) after: Option<Duration>,
}

impl Ready {
    /// Leaves those of `files` that are ready. A file that was begun needs its marker no more.
    pub(crate) fn retain(&self, root: &Path, files: &mut Vec<Found>, begun: impl Fn(&str) -> bool) {
        if let Some(marker) = &self.marker {
            let marked = |name: &str| root.join(format!("{name}{marker}")).exists();
            files.retain(|found| !found.name.ends_with(marker) && (begun(&found.name) || marked(&found.name)));
        }
        if let Some(after) = self.after {
            let rests = |found: &Found| {
                let age = found.stamp.modified.and_then(|modified| modified.elapsed().ok());
                age.is_some_and(|age| age >= after)
            };
            files.retain(rests);
        }
    }

    /// What is waited for, for people.
    pub(crate) fn wanted(&self) -> String {
        let marker = self.marker.as_ref().map(|marker| format!("a file beside it whose name ends with {marker:?}"));
        let after = self.after.map(|after| format!("no change for {} s", after.as_secs_f64()));
        marker.into_iter().chain(after).collect::<Vec<_>>().join(" and ")
    }
}
