//! What of a transaction is shown: its first documents, and a count of each binding's. Held until all of it is there, so that a transaction that
//! is not stored is not shown either.

use std::fmt;

use longshore_sdk::materialize::Row;

use crate::config::Config;

/// A transaction.
#[derive(Debug)]
pub(crate) struct Shown {
    limits: Config,
    pub(crate) lines: Vec<Line>,
    /// Of each binding.
    pub(crate) counts: Vec<Count>,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) binding: usize,
    pub(crate) is_delete: bool,
    pub(crate) text: String,
    /// What is not shown of it.
    pub(crate) cut_bytes: usize,
}

/// What there was of a binding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) documents: u64,
    pub(crate) deletes: u64,
    pub(crate) bytes: u64,
    pub(crate) shown: u64,
}

impl Shown {
    pub(crate) fn new(limits: Config, bindings: usize) -> Self {
        Self { limits, lines: Vec::new(), counts: vec![Count::default(); bindings] }
    }

    pub(crate) fn take(&mut self, binding: usize, row: &Row<'_>) {
        let count = &mut self.counts[binding];
        count.documents += 1;
        count.deletes += u64::from(row.delete);
        count.bytes += row.document.len() as u64;
        if self.lines.len() < self.limits.documents as usize {
            count.shown += 1;
            let text = String::from_utf8_lossy(row.document);
            let end = text.floor_char_boundary(self.limits.bytes as usize);
            let (text, cut_bytes) = (text[..end].to_owned(), text.len() - end);
            self.lines.push(Line { binding, is_delete: row.delete, text, cut_bytes });
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delete = if self.is_delete { "delete " } else { "" };
        write!(f, "{delete}{}", self.text)?;
        match self.cut_bytes {
            0 => Ok(()),
            more => write!(f, "… {more} bytes more"),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { documents, deletes, bytes, shown } = self;
        let plural = if *documents == 1 { "" } else { "s" };
        write!(f, "{documents} document{plural}, {bytes} bytes")?;
        if *deletes > 0 {
            write!(f, ", {deletes} of them deletes")?;
        }
        match documents - shown {
            0 => Ok(()),
            more => write!(f, ", {more} of them not shown"),
        }
    }
}
