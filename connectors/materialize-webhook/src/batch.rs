//! Gathers documents and says when a batch is full: by its documents and the config alone, so that a transaction that comes again is cut at the
//! same places. No clock and no memory pressure has a say.

use std::ops::Range;

/// Documents of one binding, as they came.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// How large a batch may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) documents: usize,
    pub(crate) bytes: usize,
}

impl Batch {
    /// Whether a document of so many bytes goes into it. Into an empty one everything goes.
    pub(crate) fn takes(&self, document_bytes: usize, limits: Limits) -> bool {
        self.is_empty() || (self.len() < limits.documents && self.bytes.len() + document_bytes <= limits.bytes)
    }

    /// Nothing more goes into it, whatever it is.
    pub(crate) fn is_full(&self, limits: Limits) -> bool {
        self.len() >= limits.documents || self.bytes.len() >= limits.bytes
    }

    pub(crate) fn push(&mut self, document: &[u8]) {
        self.bytes.extend_from_slice(document);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn document(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    pub(crate) fn documents(&self, of: Range<usize>) -> impl Iterator<Item = &[u8]> {
        of.map(|at| self.document(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many documents each batch gets.
    fn cut(sizes: &[usize], limits: Limits) -> Vec<usize> {
        let (mut cut, mut batch) = (Vec::new(), Batch::default());
        for &size in sizes {
            if !batch.takes(size, limits) {
                cut.push(std::mem::take(&mut batch).len());
            }
            batch.push(&vec![b' '; size]);
            if batch.is_full(limits) {
                cut.push(std::mem::take(&mut batch).len());
            }
        }
        cut.extend(Some(batch.len()).filter(|len| *len > 0));
        cut
    }

    #[test]
    fn a_batch_is_cut_at_its_documents_and_bytes() {
        let limits = Limits { documents: 3, bytes: 10 };
        assert_eq!(cut(&[1; 7], limits), [3, 3, 1]);
        assert_eq!(cut(&[4, 4, 4, 4], limits), [2, 2]);
        assert_eq!(cut(&[5, 5, 1], limits), [2, 1]);
        assert_eq!(cut(&[1, 50, 1], limits), [1, 1, 1], "one that is too large goes alone");
    }

    #[test]
    fn documents_come_out_as_they_went_in() {
        let mut batch = Batch::default();
        ["{}", r#"{"a":1}"#, r#"{"b":2}"#].iter().for_each(|document| batch.push(document.as_bytes()));
        assert_eq!(batch.documents(1..3).collect::<Vec<_>>(), [br#"{"a":1}"#, br#"{"b":2}"#]);
        assert_eq!((batch.len(), batch.byte_len()), (3, 16));
    }
}
