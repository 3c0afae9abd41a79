//! `longshore remove`: a connector takes away what it made for its task outside, a replication slot or a checkpoint row, and the task forgets
//! where it was. What it captured and stored stays.
//!
//! To the task store it is as if all bindings had been taken out of the catalog (semantics §1): put back and run, each begins under its next
//! generation. A destination that has forgotten the task takes what is there for somebody else's, and asks for `--fresh`. Outside comes first: after a crash in between, removing it again finds nothing there and goes on.

use bytes::Bytes;
use longshore_proto::capture::message as capture;
use longshore_proto::materialize::message as materialize;
use longshore_proto::session::Owner;
use longshore_proto::state::{State, StatePatch};

use super::context::blocking;
use super::problem::Problem;
use super::{Witnesses, spec};
use crate::connector::{CaptureClient, MaterializeClient};
use crate::materialize::checkpoint::Extent;
use crate::store::{Change, Epoch, RememberedBinding, StateDirectory, TaskChanges, TaskRecord};

/// A task whose connector runs and is asked to take everything away.
#[derive(Debug, Clone, Copy)]
pub struct Removal<'a> {
    /// Ours for as long as it takes.
    pub state: &'a StateDirectory,
    /// Name of the task.
    pub task: &'a str,
    /// Only say what would be done.
    pub dry_run: bool,
}

impl Removal<'_> {
    /// Of a capture; what was done, for people. Its journal stays, and whoever reads it goes on.
    ///
    /// # Errors
    /// The connector's, or those of the state directory.
    pub async fn capture(self, client: &CaptureClient, config_json: Bytes) -> Result<Vec<String>, Problem> {
        let (epoch, record) = self.begin().await?;
        let journal = self.state.journal(self.task, Witnesses::of(&*self.state.store())?.evidence(self.task))?;
        let mut writer = blocking(move || journal.acquire(epoch)).await?;
        let apply = capture::Apply {
            owner: self.owner(epoch),
            config_json,
            bindings: Vec::new(),
            previous: spec::parse(record.spec.as_ref())?,
            state: writer.state().clone(),
            dry_run: self.dry_run,
            remove: true,
        };
        let done = client.apply(apply).await?;
        if self.dry_run {
            return Ok(done.actions);
        }
        let parts = writer.state().parts().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        let forget = parts.into_iter().fold(StatePatch::new(), StatePatch::with_dropped).with_task(b"null")?;
        blocking(move || writer.commit(&forget).map(drop)).await?;
        self.forget(epoch, &record, TaskChanges::default()).await?;
        Ok(done.actions)
    }

    /// Of a materialization; what was done, for people. What it stored stays, and it holds no journal back any more.
    ///
    /// # Errors
    /// As [`Removal::capture`].
    pub async fn materialization(self, client: &MaterializeClient, config_json: Bytes) -> Result<Vec<String>, Problem> {
        let (epoch, mut record) = self.begin().await?;
        let mut actions = Vec::new();
        loop {
            let pending = record.pending.as_ref();
            let apply = materialize::Apply {
                owner: self.owner(epoch),
                config_json: config_json.clone(),
                bindings: Vec::new(),
                previous: spec::parse(record.spec.as_ref())?,
                state: record.state.clone(),
                pending: pending
                    .map(|one| materialize::Pending { transaction: one.transaction, plan: one.plan.clone() }),
                fresh: Vec::new(),
                take_over: false,
                dry_run: self.dry_run,
                remove: true,
            };
            let done = client.apply(apply).await?;
            actions.extend(done.actions);
            if self.dry_run {
                return Ok(actions);
            }
            record.state.apply(&done.state_patch)?;
            if !done.drained {
                break;
            }
            // What was committed is published first; then the same again.
            record.pending = None;
            let changes =
                TaskChanges { state: Some(record.state.clone()), pending: Change::Clear, ..TaskChanges::default() };
            self.commit(epoch, changes).await?;
        }
        let extent = Extent::of_record(&record)?.map(|extent| extent.given_up().stored());
        let changes = TaskChanges {
            state: Some(State::new()),
            pending: Change::Clear,
            extent: extent.map_or(Change::Keep, Change::Set),
            released: Some(true),
            ..TaskChanges::default()
        };
        self.forget(epoch, &record, changes).await?;
        Ok(actions)
    }

    async fn begin(&self) -> Result<(Epoch, TaskRecord), Problem> {
        let (store, task) = (self.state.store(), self.task.to_owned());
        blocking(move || {
            let epoch = store.take_epoch(&task, Epoch(0))?;
            Ok((epoch, store.load(&task)?.unwrap_or_default()))
        })
        .await
    }

    fn owner(&self, epoch: Epoch) -> Owner {
        Owner { task: self.task.to_owned(), installation: self.state.installation().clone(), epoch: epoch.0 }
    }

    /// No binding is left, and none of them is forgotten.
    async fn forget(&self, epoch: Epoch, record: &TaskRecord, changes: TaskChanges) -> Result<(), Problem> {
        let gone = |before: &RememberedBinding| RememberedBinding { active: false, ..before.clone() };
        let remember = record.remembered.iter().map(gone).collect();
        let spec = record.spec.as_ref().map(|before| spec::next(Some(before), &[])).transpose()?;
        self.commit(epoch, TaskChanges { remember, spec, ..changes }).await
    }

    async fn commit(&self, epoch: Epoch, changes: TaskChanges) -> Result<(), Problem> {
        let (store, task) = (self.state.store(), self.task.to_owned());
        Ok(blocking(move || store.commit(&task, epoch, changes)).await?)
    }
}
