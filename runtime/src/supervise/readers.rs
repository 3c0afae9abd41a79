//! Who reads a journal, and how far each is: what retention goes by, and what `longshore journal readers` shows. Pure, but for what is read of
//! the task store before.

use std::collections::{BTreeMap, BTreeSet};

use longshore_proto::session::InstallationId;

use crate::catalog::{CaptureTask, Catalog};
use crate::journal::JournalId;
use crate::letters::refused;
use crate::materialize::checkpoint::{Checkpoint, Place};
use crate::store::{Skip, StoreError, TaskRecord};

use super::problem::Problem;
use super::spec;

/// What is known of everybody who may read a journal.
#[derive(Debug)]
pub struct Readers {
    installation: InstallationId,
    tasks: BTreeMap<String, (TaskRecord, Vec<Skip>)>,
}

/// How far one binding of a reader is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The materialization.
    pub task: String,
    /// Its binding.
    pub place: Place,
    /// What it reads.
    pub collection: String,
    /// Everything before this offset it has, and its letters do not wait there.
    pub offset: u64,
    /// It holds nothing back: the user said so.
    pub released: bool,
}

impl Readers {
    /// All tasks that are known, as they are read one by one.
    pub fn of(
        installation: InstallationId,
        names: Vec<String>,
        read: impl Fn(&str) -> Result<(TaskRecord, Vec<Skip>), StoreError>,
    ) -> Result<Self, Problem> {
        let tasks = names.into_iter().map(|task| Ok((task.clone(), read(&task)?)));
        Ok(Self { installation, tasks: tasks.collect::<Result<_, StoreError>>()? })
    }

    /// The bindings that read collections of this journal, as they were last applied.
    ///
    /// # Errors
    /// What the task store has cannot be read.
    pub fn readings(&self, journal: JournalId, collections: &BTreeSet<&str>) -> Result<Vec<Reading>, Problem> {
        let mut readings = Vec::new();
        for (task, (record, skips)) in &self.tasks {
            let checkpoint = Checkpoint::of_record(record, &self.installation)?;
            for reading in of_beginning(task, record, journal, collections)? {
                let waiting = skips.iter().filter(|skip| {
                    let is_here = skip.at.journal == journal && skip.at.binding == reading.place.binding;
                    is_here && refused::mark(skip, &checkpoint).is_none()
                });
                let first = waiting.map(|skip| skip.at.offset).min().unwrap_or(u64::MAX);
                let offset = checkpoint.position(&reading.place).offset.min(first);
                readings.push(Reading { offset, ..reading });
            }
        }
        Ok(readings)
    }

    /// The least that is needed of a journal.
    pub(super) fn least(&self, catalog: &Catalog, capture: &CaptureTask, journal: JournalId) -> Result<u64, Problem> {
        let collections: BTreeSet<&str> = capture.bindings.iter().map(|binding| binding.collection.as_str()).collect();
        let readings = self.readings(journal, &collections)?;
        let applied = |task: &str, collection: &str| {
            readings.iter().filter(|reading| reading.task == task && reading.collection == collection).count()
        };
        // What is in the catalog and was not applied yet begins at the beginning.
        for task in &catalog.materializations {
            for collection in &collections {
                let wanted = task.bindings.iter().filter(|binding| binding.collection == *collection).count();
                if wanted > applied(&task.name, collection) {
                    return Ok(0);
                }
            }
        }
        let counting = || readings.iter().filter(|reading| !reading.released);
        if collections.iter().any(|collection| counting().all(|reading| reading.collection != *collection)) {
            return Ok(0);
        }
        Ok(counting().map(|reading| reading.offset).min().unwrap_or(0))
    }
}

/// Its bindings of this journal, as if it had committed nothing yet.
fn of_beginning(
    task: &str,
    record: &TaskRecord,
    journal: JournalId,
    collections: &BTreeSet<&str>,
) -> Result<Vec<Reading>, Problem> {
    let bindings = spec::parse(record.spec.as_ref())?.into_iter();
    let of_journal = bindings.filter(|binding| collections.contains(binding.collection.name.as_str()));
    let reading = of_journal.map(|binding| Reading {
        task: task.to_owned(),
        place: Place { journal, binding: binding.state_key },
        collection: binding.collection.name,
        offset: 0,
        released: record.released,
    });
    Ok(reading.collect())
}

#[cfg(test)]
#[path = "readers_tests.rs"]
mod tests;
