//! Which positions of the log the checkpoints of a session cover, until the runtime says that they are durable.

use std::collections::VecDeque;

use crate::lsn::Lsn;

/// By number of the checkpoint, those that are not durable yet.
#[derive(Debug, Default)]
pub(crate) struct Covered(VecDeque<(u64, Lsn)>);

impl Covered {
    pub(crate) fn said(&mut self, checkpoint: u64, position: Lsn) {
        self.0.push_back((checkpoint, position));
    }

    /// So many checkpoints are durable. What of the log they cover, if that is news.
    pub(crate) fn hear(&mut self, acknowledged: u64) -> Option<Lsn> {
        let mut durable = None;
        while let Some((_, position)) = self.0.pop_front_if(|(checkpoint, _)| *checkpoint <= acknowledged) {
            durable = Some(position);
        }
        durable
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.0.back().map(|(checkpoint, _)| *checkpoint)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_acknowledged_is_not_told() {
        let mut covered = Covered::default();
        covered.said(1, Lsn(10));
        covered.said(2, Lsn(20));
        covered.said(3, Lsn(30));
        assert_eq!(covered.hear(0), None);
        assert_eq!(covered.hear(2), Some(Lsn(20)));
        assert_eq!(covered.hear(2), None);
        assert_eq!((covered.last(), covered.is_empty()), (Some(3), false));
    }
}
