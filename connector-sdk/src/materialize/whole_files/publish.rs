//! The plan of a transaction, and what publishes it: any number of times, by whoever owns the destination now, with the same result.

use std::collections::VecDeque;

use longshore_failpoints::{Step, reached};
use serde::{Deserialize, Serialize};

use super::owner::Places;
use super::storage::Found;
use crate::materialize::{Applied, Fence, Recorded};
use crate::{Error, Result};

/// Marks that are kept.
const MARKS_KEPT: usize = 1000;

/// What a transaction publishes. It says everything: neither schema nor config is asked when it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The installation whose files these are, in full.
    pub installation: String,
    /// Their task.
    pub task: String,
    /// Each of them.
    pub files: Vec<PlannedFile>,
}

/// One file. Keys are relative to the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedFile {
    /// Of its binding.
    pub state_key: String,
    /// Where it is until then.
    pub staged: String,
    /// Where it will be.
    pub published: String,
    /// In bytes.
    pub size: u64,
    /// SHA-256, hexadecimal.
    pub checksum: String,
    /// Where staging is an upload that is not completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
}

/// An upload in parts that is complete but for being completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// As the store calls it.
    pub id: String,
    /// The store's name of each part, in order.
    pub parts: Vec<String>,
}

/// Who publishes: a session, which holds the owner record's epoch, or an Apply, which is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    Session,
    Apply,
}

/// Publishes a committed plan, marks it, and records it. Where there is no lock, a session may be fenced off after it looked: what it then still
/// publishes is committed, under names that nobody else uses, and the record refuses it.
pub(super) fn publish(places: &Places, fence: &Fence, who: As, applied: &Applied<Plan>) -> Result<()> {
    let publish_as = |recorded: Option<&Recorded>| {
        let Some(recorded) = recorded else { return Err(lost(places, applied.transaction)) };
        let holds = recorded.epoch == fence.owner.epoch && recorded.installation == fence.owner.installation;
        if who == As::Session && !holds {
            return Err(fence.lost_to(recorded.clone()));
        }
        fence.may_alter(recorded)?;
        publish_files(places, applied)?;
        if recorded.transaction >= applied.transaction {
            return Ok(None);
        }
        let Recorded { installation, epoch, .. } = recorded.clone();
        Ok(Some(applied.marker.clone().recorded(installation, epoch, applied.transaction)))
    };
    places.change(publish_as).map(drop)
}

fn publish_files(places: &Places, applied: &Applied<Plan>) -> Result<()> {
    let storage = &places.storage;
    let mark = format!("{}/{}-{}", places.applied(), applied.epoch, applied.transaction);
    if storage.has(&mark)? {
        return Ok(());
    }
    for file in &applied.plan.files {
        let got = match storage.publish(file)? {
            Found::Published => {
                reached(Step::DestinationPublished);
                continue;
            }
            Found::Nothing => {
                "neither the staged nor the published file, nor the mark that it was published".to_owned()
            }
            Found::Other(what) => what,
        };
        return Err(stop(file, applied.transaction, &got));
    }
    // Durable before the mark says so.
    storage.settle_published(&applied.plan.files)?;
    storage.mark(&mark)
}

/// The directory is not what the plan left, and nothing tells that it was applied.
fn stop(file: &PlannedFile, transaction: u64, got: &str) -> Error {
    let message = format!(
        "publishing {} of transaction {transaction}: expected the file that was staged for it, got {got}",
        file.published
    );
    Error::config("state.plan_lost", message)
        .suggest("put the destination back as it was, or write all documents again with `run --fresh`")
}

fn lost(places: &Places, transaction: u64) -> Error {
    let target = places.storage.shown();
    let message = format!("publishing transaction {transaction} in {target}: expected an owner record, got none");
    Error::config("state.destination_lost", message)
        .suggest("put the destination back, or write all documents again with `run --fresh`")
}

/// The marks of a session's destination, oldest first: the last ones are kept.
#[derive(Debug)]
pub(super) struct Marks {
    names: VecDeque<(u64, u64)>,
}

impl Marks {
    pub(super) fn read(places: &Places) -> Result<Self> {
        let parse = |name: String| {
            let (epoch, transaction) = name.split_once('-')?;
            Some((transaction.parse().ok()?, epoch.parse().ok()?))
        };
        let mut names: Vec<(u64, u64)> =
            places.storage.names(&places.applied())?.into_iter().filter_map(parse).collect();
        names.sort_unstable();
        Ok(Self { names: names.into() })
    }

    /// One more; the oldest beyond those that are kept goes.
    pub(super) fn add(&mut self, places: &Places, epoch: u64, transaction: u64) -> Result<()> {
        if self.names.back() != Some(&(transaction, epoch)) {
            self.names.push_back((transaction, epoch));
        }
        let beyond = self.names.len().saturating_sub(MARKS_KEPT);
        let old: Vec<String> =
            self.names.drain(..beyond).map(|(transaction, epoch)| format!("{epoch}-{transaction}")).collect();
        if old.is_empty() { Ok(()) } else { places.storage.remove(&places.applied(), &old) }
    }
}
