//! Trimming: whole segments at the beginning that nobody needs any more are unlinked. Who needs what is [`crate::supervise`]'s to say; what is
//! trimmed is durable in the task store before a file goes, so that a file that is missing is told from one that was lost.

use std::sync::Arc;

use super::acquire::replay_opening;
use super::chain::Link;
use super::file::Engine;
use super::replica::Replica;
use super::segment::{SegmentFile, io_error};
use super::{JournalError, JournalId, Known, LocalId, SegmentName};

/// Where a journal begins since it was trimmed. Whatever stood before is gone, and nothing counts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    /// The journal.
    pub journal: JournalId,
    /// Its first segment.
    pub first: SegmentName,
    /// The offset of the first entry in it.
    pub offset: u64,
}

/// What trimming gave back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Files.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Engine {
    /// The first offset that is there.
    pub(super) fn begins_at(&self) -> u64 {
        self.links().first().map_or(0, |link| link.position.offset)
    }

    /// How much can go when everything before `low_water` was passed by all: up to a segment that begins between two transactions, and of which
    /// something is known durable. One that a crash might undo has a predecessor that is still needed.
    pub(super) fn trimmable(&self, low_water: u64) -> Option<Trim> {
        let (links, end) = (self.links(), self.committed_end()?);
        let durable = links.iter().position(|link| link.name == end.durable.segment)?;
        let begins = |link: &&Link| link.position.offset <= low_water && !link.continues;
        let first = links[1..].iter().take(durable).rev().find(begins)?;
        Some(Trim { journal: end.durable.journal, first: first.name, offset: first.position.offset })
    }

    /// Unlinks what stands before. The trim is durable in the task store.
    pub(super) fn trim(&self, trim: &Trim) -> Result<Trimmed, JournalError> {
        let dropped = self.begin_at(trim);
        self.unlink_before(trim.first, &dropped)
    }

    /// Whatever a crash left behind of what was trimmed before.
    pub(super) fn sweep(&self) -> Result<(), JournalError> {
        match self.trimmed() {
            Some(trim) if Some(trim.journal) == self.id() => self.unlink_before(trim.first, &[]).map(drop),
            Some(_) | None => Ok(()),
        }
    }

    /// What is older than the first segment counts for nothing, also what never did.
    fn unlink_before(&self, first: SegmentName, dropped: &[SegmentName]) -> Result<Trimmed, JournalError> {
        let mut trimmed = Trimmed::default();
        let age = |name: &SegmentName| (name.epoch, name.number);
        for name in self.segments()? {
            if age(&name) >= age(&first) && !dropped.contains(&name) {
                continue;
            }
            let path = self.path(name);
            let bytes = self.storage.open(&path).and_then(|file| file.len_bytes()).unwrap_or(0);
            self.storage.remove(&path).map_err(|source| io_error(&path, "removing", source))?;
            trimmed = Trimmed { segments: trimmed.segments + 1, bytes: trimmed.bytes + bytes };
        }
        if trimmed.segments > 0 {
            self.storage.sync_dir(self.dir()).map_err(|source| io_error(self.dir(), "syncing", source))?;
        }
        Ok(trimmed)
    }

    /// Whether all documents are there that any binding wrote to a collection in its newest generation.
    pub(super) fn holds_all_of(self: &Arc<Self>, collection: &str, known: &Known) -> Result<bool, JournalError> {
        let links = self.links();
        let Some(first) = links.first().filter(|link| link.position.offset > 0) else { return Ok(true) };
        let (mut segment, head) = SegmentFile::open_with_head(&*self.storage, self.dir(), first.name)?;
        let head = head.map_err(|why| segment.corrupt(0, why))?;
        let mut opened = Replica::at_head(&head, false);
        replay_opening(&mut segment, &mut opened, &head)?;
        let of_it = |(_, row): &(LocalId, &super::NewBinding)| row.collection == collection;
        let is_newest = |row: &super::NewBinding| {
            let same = |other: &super::NewBinding| other.state_key.resource_path() == row.state_key.resource_path();
            let newer = |(_, other): (LocalId, &super::NewBinding)| {
                same(other) && other.state_key.generation() > row.state_key.generation()
            };
            !known.bindings.iter().any(newer)
        };
        // What was bound before the first segment may have written what is gone.
        let mut newest = known.bindings.iter().filter(of_it).filter(|(_, row)| is_newest(row));
        Ok(newest.all(|(local, _)| opened.bindings.row(local).is_none()))
    }
}
