//! Reads what a journal says of letters, page by page: frames of documents are passed over by their headers.

use super::{Listed, Page, ReadTo};
use crate::journal::{Entry, Filter, Journal, JournalError, JournalId, Position, Reader};
use crate::store::{LetterIndex, StoreError};
use longshore_proto::Error;

/// Letters and marks in a page, about.
const PAGE_ENTRIES: usize = 1000;

/// Hands over page by page what stands behind the reader's position, each with the end of the last transaction that is whole in what was
/// handed over so far. Nothing is handed over if nothing has come.
pub fn scan<E: From<JournalError>>(
    reader: &mut dyn Reader,
    mut each: impl FnMut(Page, Position) -> Result<(), E>,
) -> Result<(), E> {
    let (mut page, from) = (Page::default(), reader.position());
    let mut whole = from;
    while let Some(entry) = reader.next()? {
        match entry {
            Entry::Letter { local, offset, letter } => {
                let row = reader.bindings().row(local);
                let (binding, collection) = row
                    .map_or_else(Default::default, |row| (row.state_key.as_str().to_owned(), row.collection.clone()));
                let bytes = letter.document.len() as u64;
                let (code, message) = (letter.code, letter.message);
                page.letters.push(Listed { offset, binding, collection, code, message, bytes, mark: None });
            }
            Entry::Settled { mark, letters, .. } => page.settled.extend(letters.into_iter().map(|at| (at, mark))),
            Entry::Commit(committed) => whole = committed.end,
            Entry::Bindings(_)
            | Entry::Schema { .. }
            | Entry::Documents { .. }
            | Entry::Control { .. }
            | Entry::Resent { .. } => {}
        }
        if page.letters.len() + page.settled.len() >= PAGE_ENTRIES {
            each(std::mem::take(&mut page), whole)?;
        }
    }
    if whole == from && page == Page::default() { Ok(()) } else { each(page, whole) }
}

/// A reader of letters that stands where an index ends; `None`: the index is of another journal, or of another history of it, and has to be
/// made anew from the beginning.
pub fn behind(
    make: impl Fn() -> Box<dyn Reader>,
    journal: JournalId,
    index: Option<ReadTo>,
) -> Result<Option<Box<dyn Reader>>, JournalError> {
    let Some(index) = index.filter(|index| index.journal == journal) else { return Ok(None) };
    let mut reader = make();
    match reader.seek(index.position) {
        Ok(()) => Ok(Some(reader)),
        Err(JournalError::UnknownPosition { .. } | JournalError::Trimmed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Brings the index of a capture's letters to the end of its journal.
///
/// # Errors
/// The journal's, or the store's.
pub fn catch_up(index: &LetterIndex, task: &str, journal: &dyn Journal) -> Result<(), Error> {
    let Some(id) = journal.id() else { return Ok(()) };
    let make = || journal.reader(Filter::Letters);
    let reader = behind(make, id, index.read_to(task)?)?;
    let mut anew = reader.is_none();
    let mut reader = reader.unwrap_or_else(make);
    scan(&mut *reader, |page, position| {
        let page = (page, ReadTo { journal: id, position });
        index.add(task, page, std::mem::take(&mut anew)).map_err(Failed::Store)
    })?;
    Ok(())
}

/// The one or the other.
#[derive(Debug)]
enum Failed {
    Journal(JournalError),
    Store(StoreError),
}

impl From<JournalError> for Failed {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Journal(error) => error.into(),
            Failed::Store(error) => error.into(),
        }
    }
}
