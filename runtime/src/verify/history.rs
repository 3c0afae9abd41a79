//! What a journal has of some keys: which of them it got documents of since a moment, and the last document of each. Where a source cannot tell
//! what it has, all last documents are in its place ([`rows`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::document::{Op, Scanned, Scanner};
use longshore_proto::key::KeyPointers;
use longshore_proto::verify::range_of;

use super::subject::Subject;
use crate::journal::{Entry, Filter, JournalError, Position, Reader};

/// The last that a journal says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Where.
    pub offset: u64,
    /// What has happened.
    pub op: Op,
    /// The document.
    pub document: Bytes,
}

/// Keys of which the journal has documents for a binding behind a position; `None`: it cannot be told, as some of that is trimmed, or as all
/// rows were taken away or captured again there.
///
/// # Errors
/// The journal's.
pub fn touched(
    reader: &mut dyn Reader,
    behind: Position,
    subject: &Subject,
) -> Result<Option<BTreeSet<Vec<u8>>>, Error> {
    match reader.seek(behind) {
        Ok(()) => {}
        Err(JournalError::Trimmed { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut keys = BTreeSet::new();
    let of_all = each(reader, subject, |_, scanned, _| {
        keys.insert(scanned.key_encoded.clone());
    })?;
    Ok((!of_all).then_some(keys))
}

/// The last that a journal says of each of these keys, from where it begins.
///
/// # Errors
/// The journal's.
pub fn last_of(
    reader: &mut dyn Reader,
    subject: &Subject,
    keys: &BTreeSet<Vec<u8>>,
) -> Result<BTreeMap<Vec<u8>, Said>, Error> {
    let mut last = BTreeMap::new();
    each(reader, subject, |offset, scanned, document| {
        if keys.contains(&scanned.key_encoded) {
            let said = Said { offset, op: scanned.op, document: Bytes::copy_from_slice(document) };
            last.insert(scanned.key_encoded.clone(), said);
        }
    })?;
    Ok(last)
}

/// What stands for each key whose range is wanted, made of its last document; without those that were deleted. `None`: all rows were
/// taken away or captured again somewhere, so it is not that simple.
///
/// # Errors
/// The journal's, or that of `make`.
pub fn rows<T>(
    reader: &mut dyn Reader,
    subject: &Subject,
    wants: impl Fn(usize) -> bool,
    mut make: impl FnMut(&str) -> Result<T, Error>,
) -> Result<Option<HashMap<Vec<u8>, T>>, Error> {
    let mut rows = HashMap::new();
    let mut fault = None;
    let of_all = each(reader, subject, |_, scanned, document| {
        if fault.is_some() || !wants(range_of(&scanned.key_encoded)) {
            return;
        }
        match (scanned.op, make(&String::from_utf8_lossy(document))) {
            (Op::Delete, _) => drop(rows.remove(&scanned.key_encoded)),
            (Op::Create | Op::Update, Ok(made)) => drop(rows.insert(scanned.key_encoded.clone(), made)),
            (Op::Create | Op::Update, Err(error)) => fault = Some(error),
        }
    })?;
    match fault {
        Some(error) => Err(error),
        None => Ok((!of_all).then_some(rows)),
    }
}

/// Every document that comes to a binding, from where the reader stands. Whether anything was said of all its rows at once.
fn each(
    reader: &mut dyn Reader,
    subject: &Subject,
    mut of_document: impl FnMut(u64, &Scanned, &[u8]),
) -> Result<bool, Error> {
    reader.set_filter(Filter::Collections(BTreeSet::from([subject.collection().to_owned()])));
    let mut scanner = Scanner::new(&KeyPointers::compile(&subject.destination.collection.key)?);
    let mut scanned = Scanned::default();
    let mut of_all = false;
    while let Some(entry) = reader.next()? {
        match entry {
            Entry::Documents { first_offset, documents, .. } => {
                for (offset, document) in (first_offset..).zip(documents.documents()) {
                    scanner.take(document, &mut scanned)?;
                    of_document(offset, &scanned, document);
                }
            }
            // To one binding alone, and most are to another.
            Entry::Resent { offset, resent, .. }
                if resent.task == subject.task && resent.binding == subject.destination.state_key =>
            {
                scanner.take(&resent.document, &mut scanned)?;
                of_document(offset, &scanned, &resent.document);
            }
            Entry::Control { .. } => of_all = true,
            Entry::Bindings(_)
            | Entry::Resent { .. }
            | Entry::Schema { .. }
            | Entry::Letter { .. }
            | Entry::Settled { .. }
            | Entry::Commit(_) => {}
        }
    }
    Ok(of_all)
}
