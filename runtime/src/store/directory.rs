//! The state directory: private, versioned, with an identity of its own, and owned by one runtime at a time.
//!
//! ```text
//! .longshore/          0700
//!   .gitignore         keeps all of it out of a repository
//!   format             version of this layout
//!   installation       random id, made once
//!   lock               who owns it now
//!   state.db           the task store
//!   journals/TASK/     one journal a capture
//!   spill/             sorted runs of a transaction under way
//! ```

#![allow(clippy::disallowed_methods, reason = "installation ids are random")]

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_proto::session::InstallationId;

use super::lock::Lock;
use super::{LetterIndex, SqliteStore, StoreError, TaskStore};
use crate::journal::storage::FileStorage;
use crate::journal::{Evidence, FileJournal, Journal, JournalError, journal_dir, journal_names};

/// Version of the layout this version writes, and the highest it reads.
const FORMAT: u32 = 1;

/// A state directory that is ours until this is dropped.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    installation: InstallationId,
    store: Arc<SqliteStore>,
    _lock: Lock,
}

impl StateDirectory {
    /// Opens it, making it if it is not there. With `break_lock`, the process that holds it is killed.
    ///
    /// # Errors
    /// [`StoreError::Held`] if another runtime owns it, [`StoreError::Newer`] if a newer version wrote it.
    pub fn open(path: &Path, break_lock: bool) -> Result<Self, StoreError> {
        let absolute = std::path::absolute(path).map_err(|error| unreadable(path, "finding it", &error))?;
        let path = absolute.as_path();
        // Its parent is made too: `--state-dir` may name a place that is not there yet.
        let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
        made.map_err(|error| unreadable(path, "making it", &error))?;
        check_private(path)?;
        let lock = Lock::take(&path.join("lock"), break_lock)?;
        check_format(path)?;
        place(path, ".gitignore", "# Longshore's own state.\n*\n")?;
        let installation = installation(path)?;
        let store = Arc::new(SqliteStore::open(&path.join("state.db"))?);
        let spill = path.join("spill");
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&spill)
            .map_err(|error| unreadable(&spill, "making it", &error))?;
        Ok(Self { path: path.to_path_buf(), installation, store, _lock: lock })
    }

    /// Where it is, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its identity.
    #[must_use]
    pub fn installation(&self) -> &InstallationId {
        &self.installation
    }

    /// Its task store.
    #[must_use]
    pub fn store(&self) -> Arc<dyn TaskStore> {
        Arc::clone(&self.store) as Arc<dyn TaskStore>
    }

    /// The index of dead letters in the task store.
    #[must_use]
    pub fn letters(&self) -> LetterIndex {
        LetterIndex::new(Arc::clone(&self.store))
    }

    /// Names of the captures that have a journal, sorted.
    pub fn journals(&self) -> Result<Vec<String>, JournalError> {
        journal_names(&FileStorage, &self.path)
    }

    /// The journal of a capture, with what the task store remembers of it. `positions` are those of its readers' checkpoints.
    pub fn journal(&self, task: &str, evidence: Evidence) -> Result<Arc<dyn Journal>, JournalError> {
        Ok(Arc::new(FileJournal::open(journal_dir(&self.path, task), evidence)?))
    }

    /// Sockets and spilled runs of a runtime that was killed are of no use to anybody.
    #[must_use]
    pub fn spill_directory(&self) -> PathBuf {
        self.path.join("spill")
    }
}

/// Files that show that something is a state directory; for `state show` and `journal`, which change nothing.
#[must_use]
pub fn is_state_directory(path: &Path) -> bool {
    let wanted = BTreeSet::from(["format", "installation"]);
    wanted.iter().all(|file| path.join(file).is_file())
}

fn check_private(path: &Path) -> Result<(), StoreError> {
    let metadata = path.metadata().map_err(|error| unreadable(path, "looking at it", &error))?;
    if !metadata.is_dir() {
        return Err(StoreError::Unreadable {
            file: path.display().to_string(),
            reason: "it is not a directory".into(),
        });
    }
    // Documents lie in here. A directory that was there before is closed to others, not refused.
    if metadata.permissions().mode() & 0o077 != 0 {
        let closed = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700));
        closed.map_err(|error| unreadable(path, "closing it to others", &error))?;
    }
    Ok(())
}

pub(super) fn check_format(path: &Path) -> Result<(), StoreError> {
    let file = path.join("format");
    match std::fs::read_to_string(&file) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= FORMAT => Ok(()),
            Ok(found) => Err(StoreError::Newer { directory: path.display().to_string(), found, supported: FORMAT }),
            Err(_) => Err(StoreError::Unreadable {
                file: file.display().to_string(),
                reason: format!(
                    "expected a format version, found {:?}; put a copy of the state directory back",
                    text.trim()
                ),
            }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => place(path, "format", &format!("{FORMAT}\n")),
        Err(error) => Err(unreadable(&file, "reading it", &error)),
    }
}

/// The id that is there, else a new one: durable before anybody hears of it.
pub(super) fn installation(path: &Path) -> Result<InstallationId, StoreError> {
    let file = path.join("installation");
    match std::fs::read_to_string(&file) {
        Ok(text) => InstallationId::parse(text.trim()).ok_or_else(|| StoreError::Unreadable {
            file: file.display().to_string(),
            reason: "expected an installation id of 32 hex digits; put a copy of the state directory back".into(),
        }),
        // One that has tasks has had an id, and destinations know it: another one would disown them all.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.join("state.db").exists() => {
            Err(StoreError::Unreadable {
                file: file.display().to_string(),
                reason: "it is gone, and the task store is there; put a copy of the state directory back".into(),
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut random = [0; 16];
            getrandom::fill(&mut random)
                .map_err(|error| unreadable(&file, "drawing an id", &std::io::Error::other(error.to_string())))?;
            let id = InstallationId::from_bytes(random);
            place(path, "installation", &format!("{}\n", id.as_str()))?;
            Ok(id)
        }
        Err(error) => Err(unreadable(&file, "reading it", &error)),
    }
}

/// Makes a small file aside, syncs it and renames it in; one that is there already stays.
fn place(directory: &Path, name: &str, content: &str) -> Result<(), StoreError> {
    let path = directory.join(name);
    if path.exists() {
        return Ok(());
    }
    let aside = directory.join(format!("{name}.new"));
    let made = File::create(&aside).and_then(|mut file| {
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, &path)?;
        File::open(directory)?.sync_all()
    });
    made.map_err(|error| unreadable(&path, "making it", &error))
}

fn unreadable(path: &Path, doing: &str, error: &std::io::Error) -> StoreError {
    StoreError::Unreadable { file: path.display().to_string(), reason: format!("{doing}: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_ignored_by_git_and_keeps_its_identity() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("deep/.longshore");
        let first = StateDirectory::open(&path, false).expect("made");
        let id = first.installation().clone();
        assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o777, 0o700);
        assert!(std::fs::read_to_string(path.join(".gitignore")).expect("a file").ends_with("*\n"));
        drop(first);
        assert_eq!(*StateDirectory::open(&path, false).expect("opened").installation(), id);
    }

    #[test]
    fn a_newer_layout_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        drop(StateDirectory::open(directory.path(), false).expect("made"));
        std::fs::write(directory.path().join("format"), "7\n").expect("write");
        let refused = StateDirectory::open(directory.path(), false).expect_err("newer");
        assert!(matches!(refused, StoreError::Newer { found: 7, supported: FORMAT, .. }), "{refused}");
    }

    #[test]
    fn a_damaged_identity_is_not_made_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        drop(StateDirectory::open(directory.path(), false).expect("made"));
        std::fs::write(directory.path().join("installation"), "").expect("write");
        StateDirectory::open(directory.path(), false).expect_err("doubt stops");
        std::fs::remove_file(directory.path().join("installation")).expect("removed");
        StateDirectory::open(directory.path(), false).expect_err("doubt stops");
    }
}
