//! What the store keeps of a task, and what one commit may change.

use bytes::Bytes;

use super::Epoch;
use crate::journal::{DurableLength, JournalId, Trim};
use longshore_proto::name::StateKey;
use longshore_proto::state::State;

/// All that is known of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskRecord {
    /// Of its last session.
    pub epoch: Epoch,
    /// Materializations: the last commit.
    pub checkpoint: Checkpoint,
    /// Materializations: the connector's state.
    pub state: State,
    /// What the transaction under way covers.
    pub extent: Option<Extent>,
    /// What was last applied.
    pub spec: Option<SpecVersion>,
    /// Committed, not acknowledged.
    pub pending: Option<Pending>,
    /// Of every journal that the task wrote or read.
    pub durable: Vec<DurableLength>,
    /// Every resource it ever had, by resource path.
    pub remembered: Vec<RememberedBinding>,
    /// Captures: where the journal was trimmed to.
    pub trimmed: Option<Trim>,
    /// Materializations: it holds no journal back. It does again from its next Apply on.
    pub released: bool,
}

/// Where a materialization is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of the last committed transaction; 0: none.
    pub transaction: u64,
    /// Canonical bytes of the engine's own; empty: none.
    pub bytes: Bytes,
}

/// What a transaction covers, durable before its first Store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Its number.
    pub transaction: u64,
    /// The spec it was begun under.
    pub spec_version: u64,
    /// From and to of each group: canonical bytes of the engine's own.
    pub bytes: Bytes,
}

/// A spec as it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecVersion {
    /// From 1.
    pub version: u64,
    /// JSON of the engine's own.
    pub spec_json: Bytes,
}

/// A committed transaction whose acknowledgement has not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its number.
    pub transaction: u64,
    /// What is to be applied; empty where the door needs none.
    pub plan: Bytes,
}

/// A resource that a task has or had. Its generation only grows, also when the binding is taken out and added back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedBinding {
    /// Its identity.
    pub resource_path: Vec<String>,
    /// The highest ever used.
    pub generation: u32,
    /// What it was last joined to.
    pub collection: String,
    /// The collection's key then.
    pub key: Vec<String>,
    /// Materializations: whether it took every document.
    pub delta_updates: bool,
    /// Whether the catalog has it now.
    pub active: bool,
}

/// The newest of what all tasks remember of the journal that `capture` writes; which journal that is, the capture itself remembers.
pub fn newest_witness<'a>(
    capture: &str,
    records: impl Iterator<Item = (&'a str, &'a TaskRecord)> + Clone,
) -> Option<DurableLength> {
    let own = own_witness(capture, records.clone())?;
    let of_this = records.flat_map(|(_, record)| &record.durable).filter(|witness| witness.journal == own.journal);
    Some(of_this.copied().fold(own, DurableLength::newer_of))
}

/// What a capture remembers of the journal it writes. Its name may have been a materialization's before, and that one remembers the journals it
/// read: taken for the capture's own, they would make a journal that never was look lost.
fn own_witness<'a>(
    capture: &str,
    records: impl Iterator<Item = (&'a str, &'a TaskRecord)> + Clone,
) -> Option<DurableLength> {
    let has_read = |record: &TaskRecord| record.checkpoint.transaction > 0 || record.extent.is_some();
    let (_, own) = records.clone().find(|(task, _)| *task == capture)?;
    let is_anothers = |witness: &DurableLength| {
        let mut others = records.clone().filter(|(task, record)| *task != capture && !has_read(record));
        others.any(|(_, record)| record.durable.iter().any(|known| known.journal == witness.journal))
    };
    own.durable.iter().find(|witness| !has_read(own) || !is_anothers(witness)).copied()
}

/// A document that the destination of a materialization refused: it is passed over where it is read, and a dead letter once the checkpoint has
/// passed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// Where it stands, and for whom it is passed over.
    pub at: SkipId,
    /// The collection it belongs to.
    pub collection: String,
    /// Its key, as a JSON array.
    pub key_json: Bytes,
    /// The code of the error.
    pub code: String,
    /// Why it is passed over.
    pub reason: String,
    /// Its length.
    pub bytes: u64,
    /// Where in the journal it stands again, for this binding alone: it waits until the checkpoint has passed that too.
    pub replayed_at: Option<u64>,
    /// Nobody wants it any more.
    pub dropped: bool,
}

/// Names a document that one binding passes over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SkipId {
    /// The journal.
    pub journal: JournalId,
    /// The binding.
    pub binding: StateKey,
    /// Its offset there.
    pub offset: u64,
}

/// What one commit changes; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskChanges {
    /// A new checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// The whole new state.
    pub state: Option<State>,
    /// The extent of the transaction under way.
    pub extent: Change<Extent>,
    /// What was applied.
    pub spec: Option<SpecVersion>,
    /// What waits for its acknowledgement.
    pub pending: Change<Pending>,
    /// Witnesses of journals; each replaces the one of the same journal.
    pub durable: Vec<DurableLength>,
    /// Each replaces the one of the same resource path; a lower generation than the remembered one is refused.
    pub remember: Vec<RememberedBinding>,
    /// Documents that are passed over from now on. One that is known stays as it is.
    pub skips: Vec<Skip>,
    /// Where they stand again.
    pub replayed: Vec<(SkipId, u64)>,
    /// Nobody wants these any more.
    pub dropped: Vec<SkipId>,
    /// Where the journal is trimmed to.
    pub trimmed: Option<Trim>,
    /// Whether it holds journals back.
    pub released: Option<bool>,
}

/// What becomes of something that may be there or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// Stays as it is.
    #[default]
    Keep,
    /// Is gone.
    Clear,
    /// Is this.
    Set(T),
}

impl TaskRecord {
    /// Takes the changes in, all or none. `Err`: a rule they break.
    pub(super) fn apply(&mut self, changes: TaskChanges) -> Result<(), String> {
        // Skips are no part of the record.
        let TaskChanges { checkpoint, state, extent, spec, pending, durable, remember, trimmed, released, .. } =
            changes;
        for binding in &remember {
            let known = self.remembered.iter().find(|known| known.resource_path == binding.resource_path);
            if known.is_some_and(|known| known.generation > binding.generation) {
                return Err(generation_went_back(binding));
            }
        }
        self.checkpoint = checkpoint.unwrap_or_else(|| std::mem::take(&mut self.checkpoint));
        self.state = state.unwrap_or_else(|| std::mem::take(&mut self.state));
        self.spec = spec.or(self.spec.take());
        self.trimmed = trimmed.or(self.trimmed);
        self.released = released.unwrap_or(self.released);
        extent.apply_to(&mut self.extent);
        pending.apply_to(&mut self.pending);
        for witness in durable {
            self.durable.retain(|known| known.journal != witness.journal);
            self.durable.push(witness);
        }
        self.durable.sort_unstable_by_key(|witness| witness.journal);
        for binding in remember {
            self.remembered.retain(|known| known.resource_path != binding.resource_path);
            self.remembered.push(binding);
        }
        self.remembered.sort_unstable_by(|a, b| a.resource_path.cmp(&b.resource_path));
        Ok(())
    }
}

impl<T> Change<T> {
    fn apply_to(self, slot: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *slot = None,
            Self::Set(value) => *slot = Some(value),
        }
    }
}

pub(super) fn generation_went_back(binding: &RememberedBinding) -> String {
    let path = binding.resource_path.join("/");
    format!("the generation of {path} would go back to {}", binding.generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::SegmentName;

    fn witness(journal: u8, length_bytes: u64) -> DurableLength {
        let segment = SegmentName { number: 1, epoch: Epoch(1) };
        DurableLength { journal: JournalId([journal; 16]), segment, length_bytes, transaction: 4 }
    }

    fn capture(durable: &[DurableLength]) -> TaskRecord {
        TaskRecord { durable: durable.to_vec(), ..TaskRecord::default() }
    }

    fn materialization(durable: &[DurableLength]) -> TaskRecord {
        let checkpoint = Checkpoint { transaction: 2, bytes: Bytes::new() };
        TaskRecord { checkpoint, ..capture(durable) }
    }

    #[track_caller]
    fn check(what: &str, records: &[(&str, TaskRecord)], expected: Option<DurableLength>) {
        assert_eq!(newest_witness("shop", records.iter().map(|(task, record)| (*task, record))), expected, "{what}");
    }

    #[test]
    fn of_all_that_remember_a_journal_the_one_that_saw_most_is_the_witness() {
        let records = |of_reader| {
            [("lake", materialization(&[witness(1, 900), of_reader])), ("shop", capture(&[witness(2, 50)]))]
        };
        check("the reader has seen more", &records(witness(2, 70)), Some(witness(2, 70)));
        check("the capture has seen more", &records(witness(2, 30)), Some(witness(2, 50)));
        check("it never wrote one", &[("lake", materialization(&[witness(1, 900)]))], None);
    }

    #[test]
    fn the_journals_that_a_materialization_of_that_name_read_are_not_its_own() {
        let mill = ("mill", capture(&[witness(1, 900)]));
        let before = ("shop", materialization(&[witness(1, 800)]));
        check("it has not written yet", &[mill.clone(), before], None);
        let since = ("shop", materialization(&[witness(1, 800), witness(2, 50)]));
        check("it has", &[mill, since], Some(witness(2, 50)));
    }
}
