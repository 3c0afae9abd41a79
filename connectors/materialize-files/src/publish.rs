//! The plan of a transaction, and what publishes it: any number of times, by whoever owns the target now, with the same result.

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use longshore_sdk::materialize::{Applied, Fence, Recorded};
use longshore_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::disk::{self, Renamed, step};
use crate::owner::{Places, beginning};

/// Marks that are kept.
const MARKS_KEPT: usize = 1000;

/// What a transaction publishes. It says everything: neither schema nor config is asked when it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// The installation and task whose files these are, in full.
    pub(crate) installation: String,
    pub(crate) task: String,
    pub(crate) files: Vec<PlannedFile>,
}

/// One file. Paths are relative to the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlannedFile {
    pub(crate) state_key: String,
    pub(crate) staged: String,
    pub(crate) published: String,
    pub(crate) size: u64,
    /// SHA-256, hexadecimal.
    pub(crate) checksum: String,
}

/// Who publishes: a session, which holds the owner record's epoch, or an Apply, which is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    Session,
    Apply,
}

/// Publishes a committed plan, marks it, and records it.
pub(crate) fn publish(places: &Places, fence: &Fence, who: As, applied: &Applied<Plan>) -> Result<()> {
    let _lock = places.locked()?;
    let recorded = places.read()?;
    let recorded = match (&recorded, who) {
        (Some(recorded), As::Session)
            if recorded.epoch != fence.owner.epoch || recorded.installation != fence.owner.installation =>
        {
            return Err(fence.lost_to(recorded.clone()));
        }
        (Some(recorded), _) => {
            fence.may_alter(recorded)?;
            recorded.clone()
        }
        (None, _) => return Err(lost(places, applied.transaction)),
    };
    let mark = places.applied().join(format!("{}-{}", applied.epoch, applied.transaction));
    if !mark.exists() {
        for file in &applied.plan.files {
            publish_file(&places.target, file, applied.transaction)?;
        }
        sync_directories(places, &applied.plan)?;
        step(&places.target, "renamed")?;
        disk::make_directory(&places.applied())?;
        write_mark(&mark)?;
        step(&places.target, "marked")?;
    }
    if recorded.transaction < applied.transaction {
        let Recorded { installation, epoch, .. } = recorded;
        let marker = applied.marker.clone();
        places.write(&fence.owner.task, &marker.recorded(installation, epoch, applied.transaction))?;
        step(&places.target, "recorded")?;
    }
    Ok(())
}

fn publish_file(target: &Path, file: &PlannedFile, transaction: u64) -> Result<()> {
    let (staged, published) = (target.join(&file.staged), target.join(&file.published));
    match fs::metadata(&staged) {
        Ok(found) if found.len() != file.size => {
            return Err(stop(file, transaction, format!("a staged file of {} bytes, not {}", found.len(), file.size)));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(disk::failed("looking at", &staged, &error)),
    }
    disk::make_directory(disk::directory_of(&published))?;
    let renamed = disk::rename_without_replace(&staged, &published)?;
    step(target, "renaming")?;
    match renamed {
        Renamed::Done => Ok(()),
        Renamed::Gone if published.exists() => Ok(()),
        Renamed::Gone => Err(stop(
            file,
            transaction,
            "neither the staged nor the published file, nor the mark that it was published".to_owned(),
        )),
        Renamed::Taken if disk::checksum(&published)?.as_ref() == Some(&file.checksum) => disk::remove(&staged),
        Renamed::Taken => Err(stop(file, transaction, "another file of that name".to_owned())),
    }
}

/// Both ends of every rename are durable before the mark says so.
fn sync_directories(places: &Places, plan: &Plan) -> Result<()> {
    let mut directories: Vec<PathBuf> =
        plan.files.iter().map(|file| disk::directory_of(&places.target.join(&file.published)).to_owned()).collect();
    if !plan.files.is_empty() {
        directories.push(places.staged());
    }
    directories.sort();
    directories.dedup();
    directories.iter().try_for_each(|directory| disk::sync_directory(directory))
}

fn write_mark(mark: &Path) -> Result<()> {
    fs::File::create(mark)
        .and_then(|file| file.sync_all())
        .map_err(|error| disk::failed("writing the mark", mark, &error))?;
    disk::sync_directory(disk::directory_of(mark))
}

fn stop(file: &PlannedFile, transaction: u64, got: String) -> Error {
    let message = format!(
        "publishing {} of transaction {transaction}: expected the file that was staged for it, got {got}",
        file.published
    );
    Error::config("state.plan_lost", message)
        .suggest("put the directory back as it was, or write all documents again with `run --fresh`")
}

fn lost(places: &Places, transaction: u64) -> Error {
    let target = places.target.display();
    let message = format!("publishing transaction {transaction} in {target}: expected an owner record, got none");
    Error::config("state.destination_lost", message)
        .suggest("put the directory back, or write all documents again with `run --fresh`")
}

/// The marks of a session's directory, oldest first: the last ones are kept.
#[derive(Debug)]
pub(crate) struct Marks {
    names: VecDeque<(u64, u64)>,
}

impl Marks {
    pub(crate) fn read(places: &Places) -> Result<Self> {
        let parse = |name: String| {
            let (epoch, transaction) = name.split_once('-')?;
            Some((transaction.parse().ok()?, epoch.parse().ok()?))
        };
        let mut names: Vec<(u64, u64)> = disk::names_in(&places.applied())?.into_iter().filter_map(parse).collect();
        names.sort_unstable();
        Ok(Self { names: names.into() })
    }

    /// One more; the oldest beyond those that are kept goes.
    pub(crate) fn add(&mut self, places: &Places, epoch: u64, transaction: u64) -> Result<()> {
        if self.names.back() != Some(&(transaction, epoch)) {
            self.names.push_back((transaction, epoch));
        }
        while self.names.len() > MARKS_KEPT {
            if let Some((transaction, epoch)) = self.names.pop_front() {
                disk::remove(&places.applied().join(format!("{epoch}-{transaction}")))?;
            }
        }
        Ok(())
    }
}

/// What a `--fresh` of everything leaves in the owner record, or a take-over.
pub(crate) fn begin_again(places: &Places, fence: &Fence) -> Result<()> {
    let epoch = places
        .read()?
        .filter(|recorded| recorded.installation == fence.owner.installation)
        .map(|recorded| recorded.epoch);
    places.make_own()?;
    // Just below the epoch that opens next, unless our own is recorded.
    let epoch = epoch.unwrap_or(fence.owner.epoch.saturating_sub(1));
    places.write(&fence.owner.task, &beginning(&fence.owner, epoch))
}
