//! Looking into a state directory that somebody else may own: no lock, no epoch, nothing is changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_proto::session::InstallationId;
use rusqlite::{Connection, OpenFlags};

use super::{Skip, StoreError, TaskRecord, directory, is_state_directory, letters, newest_witness, rows, skips};
use crate::journal::storage::FileStorage;
use crate::journal::{Evidence, Inspection, JournalError, journal_dir, journal_names};
use crate::letters::{Listed, ReadTo};

/// How long a writer may hold the database.
const BUSY: Duration = Duration::from_secs(10);

/// A state directory as it is now.
#[derive(Debug)]
pub struct StateLook {
    path: PathBuf,
    installation: InstallationId,
    tasks: Mutex<Connection>,
}

impl StateLook {
    /// Looks into it; `None`: there is none.
    pub fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let database = path.join("state.db");
        if !is_state_directory(path) || !database.is_file() {
            return Ok(None);
        }
        directory::check_format(path)?;
        let installation = directory::installation(path)?;
        let tasks = Mutex::new(open_to_read(&database)?);
        Ok(Some(Self { path: path.to_path_buf(), installation, tasks }))
    }

    /// Its identity.
    #[must_use]
    pub fn installation(&self) -> &InstallationId {
        &self.installation
    }

    /// Names of all tasks ever seen, sorted.
    pub fn tasks(&self) -> Result<Vec<String>, StoreError> {
        rows::tasks(&self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All that is known of a task, all of one moment.
    pub fn task(&self, task: &str) -> Result<Option<TaskRecord>, StoreError> {
        let mut connection = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = connection.transaction().map_err(rows::reading)?;
        rows::load(&moment, task)
    }

    /// The documents that a materialization passes over, and those it once did.
    pub fn skips(&self, task: &str) -> Result<Vec<Skip>, StoreError> {
        skips::of(&self.tasks.lock().unwrap_or_else(PoisonError::into_inner), task)
    }

    /// The index of a capture's dead letters, and how far into its journal it goes; `None`: there is none.
    pub fn letters(&self, task: &str) -> Result<Option<(ReadTo, Vec<Listed>)>, StoreError> {
        let mut connection = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = connection.transaction().map_err(rows::reading)?;
        if !letters::has_tables(&moment)? {
            return Ok(None);
        }
        letters::read_to(&moment, task)?.map(|end| Ok((end, letters::all(&moment, task)?))).transpose()
    }

    /// The tasks that have a journal, sorted.
    pub fn journals(&self) -> Result<Vec<String>, JournalError> {
        journal_names(&FileStorage, &self.path)
    }

    /// The newest of what all tasks remember of the journal that `task` writes.
    pub fn evidence(&self, task: &str) -> Result<Evidence, StoreError> {
        let names = self.tasks()?;
        let records = names.into_iter().map(|name| Ok((self.task(&name)?.unwrap_or_default(), name)));
        let records = records.collect::<Result<Vec<_>, StoreError>>()?;
        let durable = newest_witness(task, records.iter().map(|(record, name)| (name.as_str(), record)));
        let trimmed = records.iter().find(|(_, name)| name == task).and_then(|(record, _)| record.trimmed);
        Ok(Evidence { durable, trimmed, positions: Vec::new() })
    }

    /// The journal of a task as it is found, held against what the store remembers of it; `None`: there is none.
    pub fn journal(&self, task: &str, evidence: Evidence) -> Result<Option<Inspection>, JournalError> {
        Inspection::open(Arc::new(FileStorage), journal_dir(&self.path, task), evidence)
    }
}

fn open_to_read(file: &Path) -> Result<Connection, StoreError> {
    let failed =
        |error: rusqlite::Error| StoreError::Unreadable { file: file.display().to_string(), reason: error.to_string() };
    // Not read-only to SQLite, which may have to make the shared memory of the WAL; `query_only` keeps it from more.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    connection.pragma_update(None, "query_only", true).map_err(failed)?;
    rows::check_version(&connection, &file.display().to_string())?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Filter;
    use crate::store::{Epoch, StateDirectory, TaskChanges};
    use longshore_proto::state::StatePatch;

    #[test]
    fn a_look_shows_tasks_and_journals_while_somebody_runs() {
        let parent = tempfile::tempdir().expect("a directory");
        assert!(StateLook::open(parent.path()).expect("nothing there").is_none());
        let state = StateDirectory::open(parent.path(), false).expect("made");
        let epoch = state.store().take_epoch("shop", Epoch(0)).expect("an epoch");
        let journal = state.journal("shop", Evidence::default()).expect("a journal");
        let mut writer = journal.acquire(epoch).expect("acquired");
        let patch = StatePatch::new().with_task(br#"{"at":1}"#).expect("a patch");
        writer.commit(&patch).expect("committed");
        let durable = vec![writer.last_committed().durable];
        let witness = TaskChanges { durable: durable.clone(), ..TaskChanges::default() };
        state.store().commit("shop", epoch, witness).expect("remembered");

        let look = StateLook::open(parent.path()).expect("to look").expect("a state directory");
        assert_eq!(look.installation(), state.installation());
        assert_eq!(
            (look.tasks().expect("tasks"), look.journals().expect("journals")),
            (vec!["shop".to_owned()], vec!["shop".to_owned()])
        );
        assert_eq!(look.task("shop").expect("a record").map(|record| record.durable), Some(durable));
        let evidence = look.evidence("shop").expect("evidence");
        let found = look.journal("shop", evidence.clone()).expect("readable").expect("there");
        assert_eq!(found.check().expect("whole").transactions, 1);
        assert!(found.reader(Filter::All).next().expect("readable").is_some());
        assert!(look.journal("other", Evidence::default()).expect("no error").is_none());

        // Deleted, it is told from one that never was.
        std::fs::remove_dir_all(parent.path().join("journals")).expect("removed");
        let begun_anew = state.journal("shop", evidence).expect("opened").acquire(Epoch(9));
        assert!(begun_anew.is_err_and(|error| error.to_string().contains("found no journal")));
    }
}
