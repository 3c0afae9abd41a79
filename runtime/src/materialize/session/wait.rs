//! What the loop of a session waits for, each as one future that never comes where there is nothing to wait for. All but `blocking` may be
//! dropped and asked again.

use std::collections::BTreeMap;

use longshore_proto::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::NotedEnds;
use crate::blocking::Blocking;
use crate::journal::{CommittedEnd, JournalId};
use crate::materialize::gather::Source;
use crate::materialize::turns::Ends;

pub(super) async fn joined<T>(handle: Option<&mut JoinHandle<T>>) -> Result<T, Error> {
    match handle {
        Some(handle) => {
            handle.await.map_err(|panic| Error::internal("materialize.store", format!("the task store: {panic}")))
        }
        None => std::future::pending().await,
    }
}

pub(super) async fn noted(ends: Option<&mut (NotedEnds, BTreeMap<String, JournalId>)>) -> Ends {
    match ends {
        Some((ends, journals)) => {
            let noted = ends.await;
            journals.iter().filter_map(|(name, journal)| Some((*journal, *noted.get(name)?))).collect()
        }
        None => std::future::pending().await,
    }
}

/// A journal, and what we have seen of its growing.
pub(super) struct Watched {
    pub(super) source: Source,
    pub(super) committed: watch::Receiver<Option<CommittedEnd>>,
}

impl From<Source> for Watched {
    fn from(source: Source) -> Self {
        Self { committed: source.journal.committed(), source }
    }
}

impl Watched {
    pub(super) fn end(&self) -> Option<CommittedEnd> {
        *self.committed.borrow()
    }
}

/// Some journal has more than it had when it was last looked at.
pub(super) async fn more(sources: &mut [Watched]) {
    let mut changes: Vec<_> = sources.iter_mut().map(|watched| Box::pin(watched.committed.changed())).collect();
    // A journal that nobody can write any more has nothing more either.
    while !changes.is_empty() {
        let (changed, _, others) = futures_util::future::select_all(changes).await;
        if changed.is_ok() {
            return;
        }
        changes = others;
    }
    std::future::pending().await
}

pub(super) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    how: Blocking,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = how.start(work).await;
    done.unwrap_or_else(|panic| {
        Err(Error::internal("materialize.session", format!("a thread of the session ended: {panic}")))
    })
}
