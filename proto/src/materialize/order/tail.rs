//! The tail: which transaction was committed last, whether it is acknowledged, and so which number may come next.

use crate::error::Error;
use crate::rules::{self, Rule};

/// Where the last transaction is while the next one loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing is acknowledged in this session yet; the first Acknowledge names the checkpoint that the runtime adopted.
    Unknown,
    /// Committed and not acknowledged.
    Owed {
        /// Its number.
        transaction: u64,
    },
    /// Acknowledge is sent and not answered.
    Asked {
        /// Its number; 0: there is none yet.
        transaction: u64,
    },
    /// Acknowledged.
    Settled {
        /// Its number; 0: there is none yet.
        transaction: u64,
    },
    /// The next one is between Flush and Committed.
    Underway {
        /// The number of that next one.
        transaction: u64,
    },
}

impl Tail {
    /// M-3: the number is that of the Commit before.
    pub(super) fn acknowledge(self, transaction: u64) -> Result<Self, Error> {
        match self {
            Tail::Owed { transaction: owed } if owed != transaction => Err(wrong(
                rules::ACKNOWLEDGE_NUMBER,
                "Acknowledge",
                format!("{owed}, which was committed last"),
                transaction,
            )),
            Tail::Unknown | Tail::Owed { .. } | Tail::Asked { .. } | Tail::Settled { .. } | Tail::Underway { .. } => {
                Ok(Tail::Asked { transaction })
            }
        }
    }

    pub(super) fn acknowledged(self) -> Self {
        match self {
            Tail::Asked { transaction } => Tail::Settled { transaction },
            Tail::Unknown | Tail::Owed { .. } | Tail::Settled { .. } | Tail::Underway { .. } => self,
        }
    }

    /// M-6: a number above all before.
    pub(super) fn flush(self, transaction: u64) -> Result<Self, Error> {
        match self {
            Tail::Settled { transaction: last } if transaction <= last => {
                Err(wrong(rules::FLUSH_NUMBER, "Flush", format!("a number above {last}"), transaction))
            }
            Tail::Unknown | Tail::Owed { .. } | Tail::Asked { .. } | Tail::Settled { .. } | Tail::Underway { .. } => {
                Ok(Tail::Underway { transaction })
            }
        }
    }

    /// M-6: the number of the Flush.
    pub(super) fn commit(self, transaction: u64) -> Result<Self, Error> {
        match self {
            Tail::Underway { transaction: flushed } if flushed != transaction => {
                Err(wrong(rules::FLUSH_NUMBER, "Commit", format!("{flushed}, as its Flush said"), transaction))
            }
            Tail::Unknown | Tail::Owed { .. } | Tail::Asked { .. } | Tail::Settled { .. } | Tail::Underway { .. } => {
                Ok(self)
            }
        }
    }

    pub(super) fn committed(self) -> Self {
        match self {
            Tail::Underway { transaction } => Tail::Owed { transaction },
            Tail::Unknown | Tail::Owed { .. } | Tail::Asked { .. } | Tail::Settled { .. } => self,
        }
    }
}

fn wrong(rule: Rule, message: &str, expected: String, got: u64) -> Error {
    Error::protocol(rule, format!("the runtime sent {message} of transaction {got}: expected {expected}"))
        .suggest("report this to the authors of the runtime")
}
