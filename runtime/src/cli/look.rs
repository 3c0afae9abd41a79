//! Looking into a state directory that a running `longshore` may own, for `journal` and `state`. Nothing is locked, nothing is written, and
//! the catalog is not read here: it only says where the state is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::Global;
use super::output::Failure;
use super::run::state_directory;
use crate::journal::{Evidence, Inspection, JournalError, journal_dir};
use crate::materialize::checkpoint::Checkpoint;
use crate::store::StateLook;

/// A state directory as it is now.
pub(super) struct Look {
    path: PathBuf,
    state: StateLook,
}

impl Look {
    /// The one that belongs to a catalog.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(super) fn open(global: &Global, catalog: &Path) -> Result<Self, Failure> {
        let path = place(global, catalog);
        match StateLook::open(&path)? {
            Some(state) => Ok(Self { path, state }),
            None => Err(no_state(&path)),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the task store has.
    pub(super) fn state(&self) -> &StateLook {
        &self.state
    }

    /// The captures that have a journal, or the one asked for.
    ///
    /// # Errors
    /// The one asked for has none.
    pub(super) fn captures(&self, only: Option<&str>) -> Result<Vec<String>, Failure> {
        let by_directory: BTreeMap<PathBuf, String> =
            self.state.tasks()?.into_iter().map(|task| (journal_dir(&self.path, &task), task)).collect();
        let named = |found: String| by_directory.get(&journal_dir(&self.path, &found)).cloned().unwrap_or(found);
        let captures: Vec<String> = self.state.journals().map_err(damaged)?.into_iter().map(named).collect();
        match only {
            None => Ok(captures),
            Some(only) if captures.iter().any(|capture| capture == only) => Ok(vec![only.to_owned()]),
            Some(only) => Err(no_such("a capture that has a journal", only, &captures)),
        }
    }

    /// The journal of a capture, held against all that is remembered of it. `None`: nothing was ever committed to it.
    pub(super) fn journal(&self, capture: &str) -> Result<Option<Inspection>, Unreadable> {
        let mut evidence: Evidence = self.state.evidence(capture)?;
        for task in self.state.tasks()? {
            let Some(record) = self.state.task(&task)?.filter(|record| !record.checkpoint.bytes.is_empty()) else {
                continue;
            };
            let places = Checkpoint::parse(&record.checkpoint.bytes).map_err(Failure::from)?.places;
            evidence.positions.extend(places.into_iter().map(|(place, position)| (place.journal, position)));
        }
        Ok(self.state.journal(capture, evidence)?)
    }
}

/// Where the state of a catalog is, or would be.
pub(super) fn place(global: &Global, catalog: &Path) -> PathBuf {
    state_directory(global, catalog.parent().unwrap_or(Path::new("")))
}

/// Nothing ever ran there.
pub(super) fn no_state(path: &Path) -> Failure {
    Failure::configuration(format!("expected a state directory at {}, found none", path.display())).help(
        "name the catalog that was run (it comes last), or the directory with --state-dir; `longshore run` makes one",
    )
}

/// Why a journal cannot be looked at.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The journal itself: others may be well.
    Journal(JournalError),
    /// The task store.
    Store(Failure),
}

impl From<JournalError> for Unreadable {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<Failure> for Unreadable {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

impl From<crate::store::StoreError> for Unreadable {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Store(error.into())
    }
}

impl From<Unreadable> for Failure {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Journal(error) => damaged(error),
            Unreadable::Store(failure) => failure,
        }
    }
}

/// A journal that is not as it should be is nothing the catalog can mend: exit code 1.
pub(super) fn damaged(error: JournalError) -> Failure {
    Failure::running(error.to_string())
}

/// What was asked for is not there.
pub(super) fn no_such(what: &str, name: &str, known: &[String]) -> Failure {
    let help = if known.is_empty() { "there is none yet".to_owned() } else { format!("there is {}", known.join(", ")) };
    Failure::configuration(format!("expected the name of {what}, got `{name}`")).help(help)
}
