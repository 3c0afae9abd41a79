//! The journal on a simulated disk: what is durable stays, what is not is never half there, and doubt stops.

mod crash;
mod damage;
mod fence;
mod fuzz;
mod inspect;
mod order;
mod real;
mod trim;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_proto::batch::{Batch, BatchBuilder};
use longshore_proto::name::StateKey;
use longshore_proto::state::StatePatch;

use super::storage::sim::SimStorage;
use super::{
    Committed, Entry, Evidence, FileJournal, FileJournalOptions, Filter, Journal, JournalError, JournalId, LocalId,
    NewBinding, Position, Reader, SegmentName, Writer,
};
use crate::store::Epoch;

/// A transaction as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    documents: Vec<(u64, String)>,
    committed: Committed,
}

fn dir() -> PathBuf {
    PathBuf::from("journals/shop")
}

fn options(segment_bytes: u64, evidence: Evidence) -> FileJournalOptions {
    FileJournalOptions { segment_bytes, ..FileJournalOptions::new(dir(), JournalId([7; 16]), evidence) }
}

/// A process's view of the journal on a disk.
fn journal(disk: &SimStorage, segment_bytes: u64) -> FileJournal {
    FileJournal::over(Arc::new(disk.clone()), options(segment_bytes, Evidence::default()))
}

fn remembering(disk: &SimStorage, evidence: Evidence) -> FileJournal {
    FileJournal::over(Arc::new(disk.clone()), options(1 << 20, evidence))
}

fn binding(name: &str) -> NewBinding {
    NewBinding {
        state_key: StateKey::new(&[name.to_owned()], 0),
        collection: format!("shop/{name}"),
        key: vec!["/id".to_owned()],
    }
}

fn batch(documents: &[String]) -> Batch {
    let mut builder = BatchBuilder::new(0);
    documents.iter().for_each(|document| builder.push(document.as_bytes()));
    builder.finish().unwrap()
}

/// The documents of transaction `n`: as many as it likes, in one or two batches.
fn documents(n: u64) -> Vec<String> {
    (0..1 + n % 3)
        .map(|i| format!(r#"{{"id":{i},"transaction":{n},"body":"{}"}}"#, "x".repeat(40 * n as usize % 90)))
        .collect()
}

fn patch(n: u64) -> StatePatch {
    StatePatch::new().with_task(format!(r#"{{"at":{n}}}"#).as_bytes()).unwrap()
}

/// Writes transaction `n` as the rule above says, and commits it.
fn write(writer: &mut dyn Writer, n: u64) -> Result<Committed, JournalError> {
    let local = writer.bind(&binding("orders"))?;
    for document in documents(n) {
        writer.documents(local, &batch(&[document]))?;
    }
    writer.commit(&patch(n)).map(super::Durable::into_inner)
}

/// Everything a reader of everything sees.
fn read(journal: &dyn Journal) -> Result<Vec<Seen>, JournalError> {
    read_from(&mut *journal.reader(Filter::All))
}

fn read_from(reader: &mut dyn Reader) -> Result<Vec<Seen>, JournalError> {
    let (mut seen, mut documents) = (Vec::new(), Vec::new());
    while let Some(entry) = reader.next()? {
        match entry {
            Entry::Documents { first_offset, documents: batch, .. } => {
                let texts = batch.documents().map(|d| String::from_utf8(d.to_vec()).unwrap());
                documents.extend(texts.enumerate().map(|(i, text)| (first_offset + i as u64, text)));
            }
            Entry::Commit(committed) => {
                assert_eq!(committed.end, reader.position());
                seen.push(Seen { documents: std::mem::take(&mut documents), committed });
            }
            Entry::Bindings(_)
            | Entry::Schema { .. }
            | Entry::Control { .. }
            | Entry::Letter { .. }
            | Entry::Settled { .. }
            | Entry::Resent { .. } => {}
        }
    }
    assert!(documents.is_empty(), "documents without their commit");
    Ok(seen)
}

/// Transactions 1 to n, dense, whole, with the documents that were written, at dense offsets.
fn check_whole(seen: &[Seen]) {
    let mut offset = 0;
    for (i, transaction) in seen.iter().enumerate() {
        let n = i as u64 + 1;
        let expected: Vec<_> = documents(n).into_iter().zip(offset..).map(|(text, at)| (at, text)).collect();
        assert_eq!(transaction.documents, expected, "transaction {n}");
        assert_eq!(transaction.committed.transaction, n);
        offset += expected.len() as u64;
        assert_eq!(transaction.committed.end.offset, offset);
        assert_eq!(transaction.committed.documents, expected.len() as u64);
    }
}

fn segment(number: u64, epoch: u64) -> PathBuf {
    dir().join(SegmentName { number, epoch: Epoch(epoch) }.to_string())
}

/// Small, seeded, good enough to decide what a power cut keeps.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) % below
    }
}

fn file_name(path: &Path) -> String {
    path.display().to_string()
}

fn first_local(journal: &dyn Journal) -> LocalId {
    journal.known().bindings.iter().next().unwrap().0
}

fn beginning_to(end: Position) -> bool {
    end.offset > 0 && end != Position::BEGINNING
}
