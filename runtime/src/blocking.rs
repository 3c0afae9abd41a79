//! Where work that blocks is done: on threads that may block, or, where a whole runtime runs on one thread and a clock of its own, in place.

#![allow(
    clippy::disallowed_methods,
    reason = "threads and tasks of a session begin here; whoever gets the handle waits for them"
)]

use std::future::ready;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Which of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Blocking {
    /// On threads beside those of the runtime.
    #[default]
    OnThreads,
    /// At once, and nothing else happens meanwhile. For a simulated network: a thread would take real time, and the simulated clock would not know.
    InPlace,
}

impl Blocking {
    /// Does it.
    pub(crate) fn start<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        match self {
            Self::OnThreads => tokio::task::spawn_blocking(work),
            Self::InPlace => tokio::spawn(ready(work())),
        }
    }

    /// Does what blocks whenever it has something to do, and waits for that in between.
    pub(crate) fn drive<T: Send + 'static>(self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        match self {
            Self::OnThreads => {
                let runtime = Handle::current();
                tokio::task::spawn_blocking(move || runtime.block_on(work))
            }
            Self::InPlace => tokio::spawn(work),
        }
    }

    /// Whether whoever does it may wait for others meanwhile.
    pub(crate) fn may_wait(self) -> bool {
        match self {
            Self::OnThreads => true,
            Self::InPlace => false,
        }
    }
}
