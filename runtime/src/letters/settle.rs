//! Replays and drops letters: one journal transaction holds the documents and the mark that says so, so each is replayed once, whatever ends
//! in between.
//!
//! The journal alone says which letters wait; the index is not asked.

use std::collections::{BTreeMap, BTreeSet};

use longshore_proto::batch::BatchBuilder;
use longshore_proto::name::StateKey;
use longshore_proto::state::StatePatch;
use longshore_proto::{Error, ErrorKind};

use crate::journal::{Entry, Filter, Journal, JournalError, LocalId, Mark, Writer};

/// Documents are handed to the journal so many bytes at a time.
const BATCH_BYTES: usize = 1 << 20;

/// Which letters are meant; what is not named does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// State keys, resource paths or collections.
    pub bindings: BTreeSet<String>,
    /// Offsets.
    pub positions: BTreeSet<u64>,
}

/// What became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// So many do not wait any more.
    pub settled: u64,
    /// So many still do, for they still are not admitted.
    pub kept: u64,
}

/// Says of a letter's document whether it is admitted now. A version of the schema that it needs, or that was not told yet, comes along.
pub type Admit<'a> = dyn FnMut(LocalId, &[u8]) -> Result<Option<(u64, Vec<u8>)>, Error> + 'a;

impl Selection {
    /// Whether a letter is meant.
    #[must_use]
    pub fn wants(&self, offset: u64, state_key: &StateKey, collection: &str) -> bool {
        let (key, path) = (state_key.as_str(), state_key.as_str().rsplit_once(".v").map_or("", |(path, _)| path));
        let named = [key, path, collection].iter().any(|name| self.bindings.contains(*name));
        (self.bindings.is_empty() || named) && (self.positions.is_empty() || self.positions.contains(&offset))
    }
}

/// Replays the letters that wait and are meant. `told` hears of each that is still not admitted, and why.
///
/// # Errors
/// The journal's; then nothing was replayed.
pub fn replay(
    journal: &dyn Journal,
    writer: &mut dyn Writer,
    selection: &Selection,
    admit: &mut Admit<'_>,
    told: &mut dyn FnMut(u64, &Error),
) -> Result<Settled, Error> {
    let mut waiting = waiting(journal, selection)?;
    let mut replay = Replay { writer, batch: None, replayed: BTreeMap::new() };
    let mut kept = 0;
    let mut reader = journal.reader(Filter::Letters);
    while !waiting.is_empty()
        && let Some(entry) = reader.next()?
    {
        let Entry::Letter { local, offset, letter } = entry else { continue };
        if waiting.remove(&offset).is_none() {
            continue;
        }
        match admit(local, &letter.document) {
            Ok(schema) => replay.document(local, offset, &letter.document, schema)?,
            Err(error) if error.kind == ErrorKind::Data => {
                kept += 1;
                told(offset, &error);
            }
            Err(error) => return Err(error),
        }
    }
    let settled = replay.end()?;
    Ok(Settled { settled, kept })
}

/// Marks the letters that wait and are meant as dropped.
///
/// # Errors
/// The journal's; then nothing was dropped.
pub fn drop_letters(journal: &dyn Journal, writer: &mut dyn Writer, selection: &Selection) -> Result<Settled, Error> {
    let mut dropped: BTreeMap<LocalId, Vec<u64>> = BTreeMap::new();
    for (offset, local) in waiting(journal, selection)? {
        dropped.entry(local).or_default().push(offset);
    }
    let settled = settle(writer, Mark::Dropped, &dropped)?;
    Ok(Settled { settled, kept: 0 })
}

/// The letters that wait and are meant.
fn waiting(journal: &dyn Journal, selection: &Selection) -> Result<BTreeMap<u64, LocalId>, JournalError> {
    let mut waiting = BTreeMap::new();
    let mut reader = journal.reader(Filter::Letters);
    while let Some(entry) = reader.next()? {
        match entry {
            Entry::Letter { local, offset, .. } => {
                let row = reader.bindings().row(local);
                if row.is_some_and(|row| selection.wants(offset, &row.state_key, &row.collection)) {
                    waiting.insert(offset, local);
                }
            }
            Entry::Settled { letters, .. } => {
                for offset in letters {
                    waiting.remove(&offset);
                }
            }
            Entry::Bindings(_)
            | Entry::Schema { .. }
            | Entry::Documents { .. }
            | Entry::Control { .. }
            | Entry::Resent { .. }
            | Entry::Commit(_) => {}
        }
    }
    Ok(waiting)
}

/// The transaction that is written.
struct Replay<'w> {
    writer: &'w mut dyn Writer,
    batch: Option<(LocalId, BatchBuilder, usize)>,
    replayed: BTreeMap<LocalId, Vec<u64>>,
}

impl Replay<'_> {
    fn document(
        &mut self,
        local: LocalId,
        offset: u64,
        document: &[u8],
        schema: Option<(u64, Vec<u8>)>,
    ) -> Result<(), JournalError> {
        let goes_on =
            |batch: &(LocalId, BatchBuilder, usize)| batch.0 == local && batch.2 + document.len() <= BATCH_BYTES;
        if schema.is_some() || !self.batch.as_ref().is_some_and(goes_on) {
            self.flush()?;
        }
        if let Some((version, schema_json)) = schema {
            self.writer.schema(local, version, &schema_json)?;
        }
        let (_, batch, bytes) = self.batch.get_or_insert_with(|| (local, BatchBuilder::new(0), 0));
        batch.push(document);
        *bytes += document.len();
        self.replayed.entry(local).or_default().push(offset);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        match self.batch.take() {
            Some((local, mut batch, _)) => {
                batch.finish().map_or(Ok(()), |documents| self.writer.documents(local, &documents))
            }
            None => Ok(()),
        }
    }

    fn end(mut self) -> Result<u64, JournalError> {
        self.flush()?;
        settle(self.writer, Mark::Replayed, &self.replayed)
    }
}

/// Marks them and commits, with what the transaction holds by now.
fn settle(writer: &mut dyn Writer, mark: Mark, letters: &BTreeMap<LocalId, Vec<u64>>) -> Result<u64, JournalError> {
    if letters.is_empty() {
        return Ok(0);
    }
    for (local, offsets) in letters {
        writer.settle(*local, mark, offsets)?;
    }
    let _durable = writer.commit(&StatePatch::new())?;
    Ok(letters.values().map(|offsets| offsets.len() as u64).sum())
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
