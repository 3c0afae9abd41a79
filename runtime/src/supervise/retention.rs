//! Trims the journals whose collections all say `retention: consumed`, while a run goes on and at its end: segments that every reader has
//! passed go. What is needed is asked of the task store alone, in which each reader's checkpoint is never ahead of what its destination holds.
//!
//! A reader is a materialization that was ever applied with a binding of the journal, also one that fails, is not run now, or is not in the catalog
//! any more: `longshore journal release` is the way to say that it does not count. One of the catalog that was not applied yet holds
//! everything, and so do a collection that nobody reads, and letters that wait.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longshore_proto::session::InstallationId;

use crate::catalog::{CaptureTask, Catalog};
use crate::journal::{Journal, JournalId, Trimmed, journal_dir};
use crate::letters::scan::catch_up;
use crate::store::{Epoch, LetterIndex, TaskChanges, TaskStore};

use super::context::{Context, blocking};
use super::problem::Problem;
use super::readers::Readers;

/// How often a run looks for what can go.
const INTERVAL: Duration = Duration::from_secs(10);

/// Goes on as long as it is polled.
pub(super) async fn keep(context: &Arc<Context>) -> Infallible {
    if !context.catalog.captures.iter().any(|task| context.catalog.is_trimmed(task)) {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(INTERVAL).await;
        trim_all(context).await;
    }
}

/// Trims what can be. What cannot be trimmed now is tried again later, and costs nothing but space.
pub(super) async fn trim_all(context: &Arc<Context>) {
    for task in context.catalog.captures.iter().filter(|task| context.catalog.is_trimmed(task)) {
        let (Some(epoch), Some(journal)) = (context.epoch(&task.name), context.journals.get(&task.name)) else {
            continue;
        };
        let _turn = context.letters_turn.lock().await;
        let trim = Trimming {
            catalog: Arc::clone(&context.catalog),
            capture: task.clone(),
            journal: Arc::clone(journal),
            epoch,
            store: Arc::clone(&context.store),
            installation: context.installation.clone(),
            state_directory: context.state_directory.clone(),
            letters: context.letters.clone(),
        };
        match blocking(move || trim.run()).await {
            Ok(None) => {}
            Ok(Some((begins_at, Trimmed { segments, bytes }))) => tracing::info!(
                target: "longshore",
                task = task.name,
                "trimmed the journal: it begins at offset {begins_at} now, {segments} segments ({bytes} bytes) are gone"
            ),
            Err(problem) => tracing::warn!(target: "longshore", task = task.name, "cannot trim the journal: {problem}"),
        }
    }
}

/// All that trimming one journal needs.
struct Trimming {
    catalog: Arc<Catalog>,
    capture: CaptureTask,
    journal: Arc<dyn Journal>,
    /// Of the capture's session: nobody newer trims.
    epoch: Epoch,
    store: Arc<dyn TaskStore>,
    installation: InstallationId,
    state_directory: PathBuf,
    letters: LetterIndex,
}

impl Trimming {
    /// The low-water is durable before a file goes.
    fn run(&self) -> Result<Option<(u64, Trimmed)>, Problem> {
        let Some(journal) = self.journal.id() else { return Ok(None) };
        // What a later look would come to has less to do.
        if self.journal.trimmable(u64::MAX).is_none() {
            return Ok(None);
        }
        let Some(trim) = self.journal.trimmable(self.low_water(journal)?) else { return Ok(None) };
        // Its first segment has to be known as durable: what a crash undoes has a predecessor.
        let durable = self.journal.committed().borrow().map(|end| end.durable).into_iter().collect();
        let changes = TaskChanges { trimmed: Some(trim), durable, ..TaskChanges::default() };
        self.store.commit(&self.capture.name, self.epoch, changes)?;
        let trimmed = self.journal.trim(&trim)?;
        Ok((trimmed.segments > 0).then_some((trim.offset, trimmed)))
    }

    /// Everything before it has been passed by all that read it.
    fn low_water(&self, journal: JournalId) -> Result<u64, Problem> {
        catch_up(&self.letters, &self.capture.name, &*self.journal)?;
        let letter = self.letters.first_waiting(&self.capture.name)?;
        let of_catalog = |task: &str| {
            let captures = self.catalog.captures.iter().any(|capture| capture.name == task);
            let materializations = self.catalog.materializations.iter().any(|reader| reader.name == task);
            (captures, materializations)
        };
        // A capture that is not in the catalog any more has a journal, and reads none.
        let reads = |task: &String| match of_catalog(task) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => !journal_dir(&self.state_directory, task).is_dir(),
        };
        let names = self.store.tasks()?.into_iter().filter(reads).collect();
        let read = |task: &str| Ok((self.store.load(task)?.unwrap_or_default(), self.store.skips(task)?));
        let readers = Readers::of(self.installation.clone(), names, read)?;
        let held = readers.least(&self.catalog, &self.capture, journal)?;
        Ok(held.min(letter.unwrap_or(u64::MAX)))
    }
}
