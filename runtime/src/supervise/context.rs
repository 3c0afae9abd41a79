//! What all tasks of a run share: the catalog, the state directory, and how they hear of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_proto::Error;
use longshore_proto::name::StateKey;
use longshore_proto::session::{InstallationId, Owner};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Endpoint, Span};
use crate::connector::{Kind, Launch, Launched, Location};
use crate::journal::{Journal, JournalId};
use crate::materialize::gather::Source;
use crate::store::{Epoch, LetterIndex, TaskChanges, TaskRecord, TaskStore};

use super::claims::Claims;
use super::ends::Ends;
use super::prepare::{hold, location};
use super::problem::Problem;

/// Shared by all tasks of a run.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) catalog: Arc<Catalog>,
    pub(super) installation: InstallationId,
    pub(super) store: Arc<dyn TaskStore>,
    /// The index of dead letters beside it.
    pub(super) letters: LetterIndex,
    /// One for each capture of the catalog, and of those not in it any more whose journals are still read.
    pub(super) journals: BTreeMap<String, Arc<dyn Journal>>,
    pub(super) state_directory: PathBuf,
    pub(super) ends: Ends,
    /// Captures whose journals hold the bindings and schemas of this run.
    pub(super) ready: watch::Sender<BTreeSet<String>>,
    /// What the materializations of this run write, each alone.
    pub(super) claims: Claims,
    /// The last epoch of each task that this run took.
    pub(super) epochs: Mutex<BTreeMap<String, Epoch>>,
    /// Whoever reads all of a capture's letters, and whoever trims its journal: one after the other.
    pub(super) letters_turn: tokio::sync::Mutex<()>,
    /// The run ends when caught up.
    pub(super) until_caught_up: bool,
    /// Finish what is under way and end.
    pub(super) stop: CancellationToken,
}

impl Context {
    /// Starts a task's connector.
    pub(super) async fn launch(
        &self,
        task: &str,
        kind: Kind,
        (endpoint, span): (&Endpoint, Span),
    ) -> Result<Launched, Problem> {
        let located = |error| Problem::Error(error).located(&self.catalog, task, span);
        let location = location(&self.catalog, endpoint, Some(self.installation.as_str())).map_err(located)?;
        let launch = Launch {
            task: task.to_owned(),
            kind,
            location,
            hold: hold(endpoint),
            catalog_directory: self.catalog.directory.clone(),
            state_directory: Some(self.state_directory.clone()),
        };
        let start = Launched::start(&launch);
        tokio::select! {
            launched = start => launched.map_err(located),
            // One of ours serves at once or dies; one that somebody else runs may not be there for long.
            () = self.stop.cancelled(), if matches!(launch.location, Location::Address { .. }) => {
                let message = format!("task {task}: stopped before its connector served");
                Err(Error::unavailable("connector.not_serving", message).into())
            }
        }
    }

    /// Whom a call is made for.
    pub(super) fn owner(&self, task: &str, epoch: Epoch) -> Owner {
        Owner { task: task.to_owned(), installation: self.installation.clone(), epoch: epoch.0 }
    }

    /// A session's own epoch, durable, above `floor`.
    pub(super) async fn take_epoch(&self, task: &str, floor: Epoch) -> Result<Epoch, Problem> {
        let (store, of) = (Arc::clone(&self.store), task.to_owned());
        let epoch = blocking(move || store.take_epoch(&of, floor)).await?;
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).insert(task.to_owned(), epoch);
        Ok(epoch)
    }

    /// The last epoch of a task that this run took.
    pub(super) fn epoch(&self, task: &str) -> Option<Epoch> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).get(task).copied()
    }

    /// Whether the journal of one of these captures is trimmed.
    pub(super) fn trims<'a>(&self, captures: impl IntoIterator<Item = &'a String>) -> bool {
        let named = |name: &String| self.catalog.captures.iter().find(|task| task.name == *name);
        captures.into_iter().filter_map(named).any(|task| self.catalog.is_trimmed(task))
    }

    /// What the task store knows of a task; of one that never ran, nothing.
    pub(super) async fn record(&self, task: &str) -> Result<TaskRecord, Problem> {
        let (store, task) = (Arc::clone(&self.store), task.to_owned());
        Ok(blocking(move || store.load(&task)).await?.unwrap_or_default())
    }

    /// Makes changes of a session durable, if its epoch is still the task's own.
    pub(super) async fn commit(&self, task: &str, epoch: Epoch, changes: TaskChanges) -> Result<(), Problem> {
        let (store, task) = (Arc::clone(&self.store), task.to_owned());
        Ok(blocking(move || store.commit(&task, epoch, changes)).await?)
    }

    /// Waits until these captures' journals hold what this run needs of them; `None`: the run was stopped before.
    pub(super) async fn wait_ready(&self, captures: &[String]) -> Option<()> {
        let mut ready = self.ready.subscribe();
        let all = ready.wait_for(|ready| captures.iter().all(|capture| ready.contains(capture)));
        tokio::select! {
            () = self.stop.cancelled() => None,
            all = all => all.ok().map(|_| ()),
        }
    }

    /// The journals of these captures, which are ready, with the newest schemas they hold.
    pub(super) fn sources(&self, captures: &[String]) -> BTreeMap<String, Source> {
        let source = |capture: &String| {
            let journal = Arc::clone(self.journals.get(capture)?);
            let schemas = journal.known().schemas.clone();
            Some((capture.clone(), Source { journal, schemas }))
        };
        captures.iter().filter_map(source).collect()
    }

    /// The captures whose journals these are, as each remembers of its own.
    pub(super) async fn writers_of(&self, journals: &BTreeSet<JournalId>) -> Result<Vec<String>, Problem> {
        let mut writers = Vec::new();
        for capture in self.journals.keys() {
            if self.record(capture).await?.durable.iter().any(|length| journals.contains(&length.journal)) {
                writers.push(capture.clone());
            }
        }
        Ok(writers)
    }

    /// The captures that write these collections, each once.
    pub(super) fn writers<'a>(&self, collections: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let wanted: BTreeSet<&str> = collections.into_iter().collect();
        let writes =
            |task: &&crate::catalog::CaptureTask| task.bindings.iter().any(|b| wanted.contains(b.collection.as_str()));
        self.catalog.captures.iter().filter(writes).map(|task| task.name.clone()).collect()
    }
}

/// Which bindings of a task the user asked to start over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Fresh {
    /// None.
    #[default]
    No,
    /// The whole task.
    Task,
    /// Those with these collections or resource paths (joined with `/`).
    Bindings(BTreeSet<String>),
}

impl Fresh {
    /// Whether this binding is among them.
    pub(super) fn covers(&self, collection: &str, resource_path: &[String]) -> bool {
        match self {
            Self::No => false,
            Self::Task => true,
            Self::Bindings(names) => names.contains(collection) || names.contains(&resource_path.join("/")),
        }
    }
}

/// State keys of the bindings that start over.
pub(super) fn fresh_keys(keys: &[StateKey], fresh: &[bool]) -> Vec<StateKey> {
    keys.iter().zip(fresh).filter(|(_, fresh)| **fresh).map(|(key, _)| key.clone()).collect()
}

/// Runs what blocks on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down; nobody is left to take the answer.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The least time between two sessions of a task.
pub(super) const BETWEEN_SESSIONS: Duration = Duration::from_secs(1);
