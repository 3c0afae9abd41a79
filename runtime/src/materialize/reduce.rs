//! Reduction: brings all documents of a key to one. Collects them within a budget of bytes, past it in sorted runs on disk, and gives them
//! back sorted by binding and key, each key once.
//!
//! What they come to is said in [`super::fold`]. In memory a document is not copied, unless several are reduced to another: the batch it
//! came in is held. The runs are in [`super::spill`]. What is read and stored when is not decided here.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;

use longshore_proto::Error;
use longshore_proto::batch::Batch;

use super::fold::{Part, Rules};
use super::spill::{Merge, Run, RunWriter};

/// What an entry costs beside its key and document.
const ENTRY_BYTES: usize = size_of::<Entry>();

/// Bytes that may be held in memory, and where to go past them.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Of documents, keys and what goes with them.
    pub bytes: usize,
    /// A directory for runs, on a disk.
    pub spill_dir: PathBuf,
}

/// What stands for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The binding, by its rank in the order in which they are stored.
    pub binding: u32,
    /// The key in key encoding version 1.
    pub key_encoded: &'a [u8],
    /// The key as a JSON array.
    pub key_json: &'a [u8],
    /// What its documents came to; empty where only keys are collected.
    pub part: Part<'a>,
}

/// Names a document of a batch that is held.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    batch: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Reduction {
    budget: Budget,
    rules: Rules,
    entries: Vec<Entry>,
    next_sequence: u32,
    /// Encoded keys and their JSON, back to back.
    keys: Vec<u8>,
    batches: Vec<Batch>,
    held_bytes: usize,
    is_sorted: bool,
    runs: Vec<Run>,
    /// By binding: runs before this one have nothing of it that counts.
    first_runs: BTreeMap<u32, usize>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    binding: u32,
    /// Among equals the last one counts.
    sequence: u32,
    /// The first bytes of the key: most comparisons need no more.
    prefix: u64,
    key_at: usize,
    encoded_len: u32,
    json_len: u32,
    batch: u32,
    document: u32,
    delete: bool,
}

/// No document goes with it.
const KEY_ONLY: u32 = u32::MAX;

impl Reduction {
    /// An empty one; `rules` say by binding what several documents come to.
    #[must_use]
    pub fn new(budget: Budget, rules: Rules) -> Self {
        Self {
            budget,
            rules,
            entries: Vec::new(),
            next_sequence: 0,
            keys: Vec::new(),
            batches: Vec::new(),
            held_bytes: 0,
            is_sorted: true,
            runs: Vec::new(),
            first_runs: BTreeMap::new(),
        }
    }

    /// Nothing was pushed since it was made or cleared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.runs.is_empty()
    }

    /// Runs on disk so far.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.forget_memory();
        self.runs.clear();
        self.first_runs.clear();
    }

    /// Forgets what came of one binding. Batches stay held, as others may have documents in them.
    pub fn forget(&mut self, binding: u32) {
        self.entries.retain(|entry| entry.binding != binding);
        if !self.runs.is_empty() {
            self.first_runs.insert(binding, self.runs.len());
        }
    }

    /// Holds a batch whose documents follow. Spills first if the budget is used up.
    pub fn hold(&mut self, batch: &Batch) -> Result<Held, Error> {
        let bytes = batch.byte_len() + size_of_val(batch.ends());
        self.make_room(bytes)?;
        self.held_bytes += bytes;
        self.batches.push(batch.clone());
        Ok(Held { batch: index(self.batches.len() - 1) })
    }

    /// Takes a document of the batch held last.
    pub fn push(&mut self, held: Held, document: usize, binding: u32, key: Key<'_>, delete: bool) {
        self.add(binding, key, held.batch, index(document), delete);
    }

    /// Takes a key alone.
    pub fn push_key(&mut self, binding: u32, key: Key<'_>) -> Result<(), Error> {
        self.make_room(key.encoded.len() + key.json.len() + ENTRY_BYTES)?;
        self.add(binding, key, KEY_ONLY, 0, false);
        Ok(())
    }

    /// All keys, sorted, each with what came last. May be asked for again.
    pub fn sorted(&mut self) -> Result<Sorted<'_>, Error> {
        if self.runs.is_empty() {
            self.sort();
            return Ok(Sorted::Memory(Groups::of(self)));
        }
        if !self.entries.is_empty() {
            self.spill()?;
        }
        Ok(Sorted::Runs(Merge::of(&self.runs, &self.first_runs, &self.rules)?))
    }

    fn add(&mut self, binding: u32, key: Key<'_>, batch: u32, document: u32, delete: bool) {
        let key_at = self.keys.len();
        self.keys.extend_from_slice(key.encoded);
        self.keys.extend_from_slice(key.json);
        self.held_bytes += key.encoded.len() + key.json.len() + ENTRY_BYTES;
        self.is_sorted = false;
        self.entries.push(Entry {
            binding,
            sequence: self.next_sequence,
            prefix: prefix(key.encoded),
            key_at,
            encoded_len: index(key.encoded.len()),
            json_len: index(key.json.len()),
            batch,
            document,
            delete,
        });
        self.next_sequence += 1;
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        let full = self.held_bytes + bytes > self.budget.bytes;
        if full && !self.entries.is_empty() { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), Error> {
        self.sort();
        let mut run = RunWriter::create(&self.budget.spill_dir)?;
        let mut groups = Groups::of(self);
        while let Some(record) = groups.next_record()? {
            run.push(&record)?;
        }
        self.runs.push(run.finish()?);
        self.forget_memory();
        Ok(())
    }

    fn forget_memory(&mut self) {
        self.entries.clear();
        self.next_sequence = 0;
        self.keys.clear();
        self.batches.clear();
        self.held_bytes = 0;
        self.is_sorted = true;
    }

    /// Sorts, and keeps of equal keys the last one, where that is all that counts.
    fn sort(&mut self) {
        if std::mem::replace(&mut self.is_sorted, true) {
            return;
        }
        let (keys, rules) = (&self.keys, &self.rules);
        self.entries.sort_unstable_by(|a, b| compare(keys, a, b).then(a.sequence.cmp(&b.sequence)));
        self.entries.dedup_by(|later, kept| {
            let same = compare(keys, later, kept) == Ordering::Equal && rules.of(kept.binding).is_none();
            if same {
                *kept = *later;
            }
            same
        });
    }

    fn part(&self, entry: &Entry) -> Part<'_> {
        let document = match entry.batch {
            KEY_ONLY => &[][..],
            batch => self.batches[batch as usize].document(entry.document as usize).unwrap_or_default(),
        };
        Part::read(document, entry.delete)
    }
}

/// A key in both forms.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// In key encoding version 1.
    pub encoded: &'a [u8],
    /// As a JSON array.
    pub json: &'a [u8],
}

/// What [`Reduction::sorted`] walks over.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Sorted<'a> {
    /// It all fits.
    Memory(Groups<'a>),
    /// Of several runs.
    Runs(Merge<'a>),
}

impl Sorted<'_> {
    /// The next key.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Error> {
        match self {
            Self::Memory(groups) => groups.next_record(),
            Self::Runs(merge) => merge.next_record(),
        }
    }

    /// The next key, for whom what its documents come to is of no interest: in memory they are not brought to one.
    pub fn next_key(&mut self) -> Result<Option<Record<'_>>, Error> {
        match self {
            Self::Memory(groups) => Ok(groups.next_key()),
            Self::Runs(merge) => merge.next_record(),
        }
    }
}

/// Walks over what is in memory, sorted: of each key all that came.
#[derive(Debug)]
pub struct Groups<'a> {
    reduction: &'a Reduction,
    next: usize,
    /// The document of the last record, if it was made.
    made: Vec<u8>,
}

impl<'a> Groups<'a> {
    fn of(reduction: &'a Reduction) -> Self {
        Self { reduction, next: 0, made: Vec::new() }
    }

    fn next_record(&mut self) -> Result<Option<Record<'_>>, Error> {
        let Reduction { keys, rules, .. } = self.reduction;
        let Some((first, rest)) = self.next_group() else { return Ok(None) };
        let (key_encoded, key_json) = key_of(keys, first);
        let part = match rules.of(first.binding) {
            None => self.reduction.part(first),
            Some(rule) => {
                let all = std::iter::once(first).chain(rest);
                let parts: Vec<Part<'_>> = all.map(|entry| self.reduction.part(entry)).collect();
                rule.fold(&parts, key_json, &mut self.made)?
            }
        };
        Ok(Some(Record { binding: first.binding, key_encoded, key_json, part }))
    }

    fn next_key(&mut self) -> Option<Record<'_>> {
        let (first, _) = self.next_group()?;
        let (key_encoded, key_json) = key_of(&self.reduction.keys, first);
        Some(Record { binding: first.binding, key_encoded, key_json, part: Part::read(b"", false) })
    }

    /// The entries of the next key; one alone where the last one is all that counts.
    fn next_group(&mut self) -> Option<(&'a Entry, &'a [Entry])> {
        let Reduction { entries, keys, rules, .. } = self.reduction;
        let (first, rest) = entries.get(self.next..)?.split_first()?;
        let more = match rules.of(first.binding) {
            None => 0,
            Some(_) => rest.iter().take_while(|entry| compare(keys, entry, first) == Ordering::Equal).count(),
        };
        self.next += 1 + more;
        Some((first, &rest[..more]))
    }
}

fn compare(keys: &[u8], a: &Entry, b: &Entry) -> Ordering {
    let by_prefix = a.binding.cmp(&b.binding).then(a.prefix.cmp(&b.prefix));
    by_prefix.then_with(|| key_of(keys, a).0.cmp(key_of(keys, b).0))
}

fn key_of<'a>(keys: &'a [u8], entry: &Entry) -> (&'a [u8], &'a [u8]) {
    keys[entry.key_at..][..entry.encoded_len as usize + entry.json_len as usize].split_at(entry.encoded_len as usize)
}

/// Padded with zeros, which compare as less than any byte a longer key has there, or equal.
fn prefix(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = key.len().min(8);
    first[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(first)
}

/// The budget keeps all of these far below 2^32.
fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "reduce_tests.rs"]
mod tests;
