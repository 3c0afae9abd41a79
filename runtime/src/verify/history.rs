//! What a journal has of some keys: which of them it got documents of since a moment, and the last document of each.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::document::{Op, Scanned, Scanner};
use longshore_proto::key::KeyPointers;

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

/// Keys of a collection of which the journal has documents behind a position; `None`: it cannot be told, as some of that is trimmed, or as all rows
/// were taken away or captured again there.
///
/// # Errors
/// The journal's.
pub fn touched(
    reader: &mut dyn Reader,
    behind: Position,
    collection: &str,
    key: &KeyPointers,
) -> Result<Option<BTreeSet<Vec<u8>>>, Error> {
    match reader.seek(behind) {
        Ok(()) => {}
        Err(JournalError::Trimmed { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut keys = BTreeSet::new();
    let of_all = each(reader, collection, key, |_, scanned, _| {
        keys.insert(scanned.key_encoded.clone());
    })?;
    Ok((!of_all).then_some(keys))
}

/// The last that a journal says of each of these keys of a collection, from where it begins.
///
/// # Errors
/// The journal's.
pub fn last_of(
    reader: &mut dyn Reader,
    collection: &str,
    key: &KeyPointers,
    keys: &BTreeSet<Vec<u8>>,
) -> Result<BTreeMap<Vec<u8>, Said>, Error> {
    let mut last = BTreeMap::new();
    each(reader, collection, key, |offset, scanned, document| {
        if keys.contains(&scanned.key_encoded) {
            let said = Said { offset, op: scanned.op, document: Bytes::copy_from_slice(document) };
            last.insert(scanned.key_encoded.clone(), said);
        }
    })?;
    Ok(last)
}

/// Every document of a collection, from where the reader stands. Whether anything was said of all its rows at once.
fn each(
    reader: &mut dyn Reader,
    collection: &str,
    key: &KeyPointers,
    mut of_document: impl FnMut(u64, &Scanned, &[u8]),
) -> Result<bool, Error> {
    reader.set_filter(Filter::Collections(BTreeSet::from([collection.to_owned()])));
    let mut scanner = Scanner::new(key);
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
            Entry::Resent { offset, resent, .. } => {
                scanner.take(&resent.document, &mut scanned)?;
                of_document(offset, &scanned, &resent.document);
            }
            Entry::Control { .. } => of_all = true,
            Entry::Bindings(_)
            | Entry::Schema { .. }
            | Entry::Letter { .. }
            | Entry::Settled { .. }
            | Entry::Commit(_) => {}
        }
    }
    Ok(of_all)
}
