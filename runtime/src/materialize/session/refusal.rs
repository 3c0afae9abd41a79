//! What the destination refuses: said by the connector, looked for in the journal by the gatherer, and noted by the machine; or the end of the
//! session, where the user wants to be asked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_proto::Error;
use longshore_proto::materialize::message::{Rejected, ToRuntime};

use super::Running;
use super::work::{Done, Work};
use crate::connector::TransactReceiver;
use crate::materialize::checkpoint::Extent;
use crate::store::Skip;

/// A stream that broke while we spoke explains itself to who listens, within this.
const EXPLANATION: Duration = Duration::from_secs(5);

/// What the destination refuses of the transaction under way, and how far we are with that.
pub(super) enum Rejection {
    None,
    Told(Box<Rejected>),
    /// It is looked for as soon as the gatherer is home: whatever that still does is for nothing.
    Waiting(Box<Rejected>, Box<Extent>),
    /// It is being looked for, or was found.
    Sought,
}

impl Running {
    /// Once the gatherer is home: what it still sends would be dropped.
    pub(super) fn seek_rejected(&mut self, extent: Box<Extent>) -> Result<(), Error> {
        let Rejection::Told(rejected) = std::mem::replace(&mut self.rejection, Rejection::Sought) else {
            return Err(Error::internal("materialize.session", "asked for what was rejected, and nothing was"));
        };
        self.abandon.store(true, Ordering::Relaxed);
        self.speech.no_more_room();
        match self.work {
            Work::Home(_) => self.find_rejected(rejected, extent),
            Work::Out(_) | Work::Lost => {
                self.rejection = Rejection::Waiting(rejected, extent);
                Ok(())
            }
        }
    }

    pub(super) fn find_rejected(&mut self, rejected: Box<Rejected>, extent: Box<Extent>) -> Result<(), Error> {
        self.work.give(self.facts.blocking, move |gatherer| {
            gatherer.rejected(&extent.spans, &rejected).map(Done::RejectedFound)
        })
    }

    pub(super) fn say_rejected(&self, skips: &[Skip]) {
        if let Some(first) = skips.first() {
            tracing::warn!(
                target: "longshore",
                task = self.facts.task,
                "the destination refuses {} documents of {}, which become dead letters; the first, at position {}: {}",
                skips.len(),
                first.collection,
                first.at.offset,
                first.reason
            );
        }
    }
}

/// A connector that broke the stream says why to who listens: with an error, or with what it refuses.
pub(super) async fn explanation(receiver: &mut TransactReceiver, broken: Error) -> Result<ToRuntime, Error> {
    let last_words = async {
        loop {
            match receiver.recv().await {
                Err(error) => return Err(error),
                Ok(Some(said @ ToRuntime::Rejected(_))) => return Ok(said),
                Ok(Some(_)) => {}
                Ok(None) => std::future::pending().await,
            }
        }
    };
    tokio::time::timeout(EXPLANATION, last_words).await.unwrap_or(Err(broken))
}

pub(super) fn refusal(task: &str, rejected: &Rejected) -> Error {
    const SHOWN: usize = 10;
    let Rejected { binding, keys, code, reason, reasons: _ } = rejected;
    let shown: Vec<_> = keys.keys().take(SHOWN).map(String::from_utf8_lossy).collect();
    let more = if keys.len() > SHOWN { format!(" and {} more", keys.len() - SHOWN) } else { String::new() };
    let message =
        format!("task {task}: the destination cannot store the documents of key {}{more}: {reason}", shown.join(", "));
    Error::data(code.clone(), message)
        .at_binding(*binding)
        .suggest(
            "mend them at the source, change the destination so that it takes them, or set them aside as dead letters: `on_conflict: dead_letter` \
             on the binding",
        )
}
