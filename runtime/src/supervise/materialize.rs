//! One materialization task through its sessions: wait for the journals it reads, start the connector, prepare, apply, transact; again when
//! a schema has grown or a session failed.

#![allow(clippy::disallowed_methods, reason = "sessions are timed, and tasks started, here")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use longshore_proto::materialize::message::{Apply, Open, Pending};
use longshore_proto::session::{Binding, Owner};
use longshore_proto::state::StatePatch;

use crate::catalog::MaterializationTask;
use crate::connector::{GRACE, Kind, MaterializeClient};
use crate::materialize::gather::Source;
use crate::materialize::session::{self, End, MaterializeSession};
use crate::progress::{Phase, Progress};
use crate::store::{Change, Epoch, TaskChanges, TaskRecord};

use super::context::{BETWEEN_SESSIONS, Context, Fresh, collections, fresh_keys};
use super::generation::{self, Wanted};
use super::prepare::{self, Collections, MaterializationPlan};
use super::problem::Problem;
use super::spec;
use super::task::{self, Next, Sessions};

/// A materialization task of this run.
#[derive(Debug)]
pub(super) struct MaterializeRunner {
    pub(super) context: Arc<Context>,
    pub(super) task: MaterializationTask,
    pub(super) fresh: Fresh,
    pub(super) take_over: bool,
    pub(super) progress: Arc<Progress>,
    /// What the last Apply of this run made.
    pub(super) applied: Option<Applied>,
    /// Epochs must be above this: what a refusal told us.
    pub(super) floor: Epoch,
    /// When the last session began.
    pub(super) begun: Option<Instant>,
}

/// What was applied, and for which schemas.
#[derive(Debug, Clone)]
pub(super) struct Applied {
    collections: Collections,
    plan: MaterializationPlan,
    bindings: Vec<Binding>,
}

/// Runs the task to its end; gives its name back with how it ended.
pub(super) async fn live(mut runner: MaterializeRunner) -> (String, Result<(), Problem>) {
    let (context, progress) = (Arc::clone(&runner.context), Arc::clone(&runner.progress));
    let name = runner.task.name.clone();
    let ended = task::live(&name, &context, &progress, &mut runner).await;
    (name, ended)
}

impl Sessions for MaterializeRunner {
    async fn session(&mut self) -> Result<Next, Problem> {
        let captures = self.captures();
        if self.context.wait_ready(&captures).await.is_none() {
            return Ok(Next::Done);
        }
        self.progress.enter(Phase::Starting);
        let begun = self.begun.insert(Instant::now()).to_owned();
        let launched = self.context.launch(&self.task.name, Kind::Materialize, &self.task.endpoint).await?;
        let client = launched.materialize();
        let end = self.session_with(&client, &captures).await;
        drop(client);
        launched.stop(GRACE).await;
        Ok(match end? {
            End::Stopped | End::Drained => Next::Done,
            // No failure; but a source that widens with every row must not make us spin.
            End::SchemaGrew => Next::After(BETWEEN_SESSIONS.saturating_sub(begun.elapsed())),
        })
    }

    fn raise_floor(&mut self, above: Epoch) {
        self.floor = above;
    }
}

impl MaterializeRunner {
    /// The captures whose journals it reads.
    fn captures(&self) -> Vec<String> {
        self.context.writers(self.task.bindings.iter().map(|binding| binding.collection.as_str()))
    }

    async fn session_with(&mut self, client: &MaterializeClient, captures: &[String]) -> Result<End, Problem> {
        let (context, task) = (Arc::clone(&self.context), self.task.name.clone());
        let mut sources: BTreeMap<String, Source> = BTreeMap::new();
        let mut now = Collections::new();
        for capture in captures {
            let journal = Arc::clone(&context.journals[capture]);
            let known = journal.known();
            now.extend(collections(&known)?);
            sources.insert(capture.clone(), Source { journal, schemas: known.schemas });
        }
        let epoch = context.take_epoch(&task, self.floor).await?;
        let owner = context.owner(&task, epoch);
        match &self.applied {
            Some(applied) if applied.collections == now => {
                client.spec().await?;
            }
            _ => self.applied = Some(self.apply(client, &owner, epoch, now).await?),
        }
        let applied = self.applied.clone().ok_or_else(|| bug("a session without an applied spec"))?;
        let record = self.context.record(&self.task.name).await?;
        let (waits, of) = (Arc::clone(&context), captures.to_vec());
        let ends = async move {
            match waits.until_caught_up {
                true => waits.ends.of(&of).await,
                false => std::future::pending().await,
            }
        };
        let session = MaterializeSession {
            client,
            open: Open {
                owner,
                config_json: applied.plan.config_json.clone(),
                bindings: applied.bindings.clone(),
                state: record.state.clone(),
                transaction: record.checkpoint.transaction,
                plan: record.pending.as_ref().map(|pending| pending.plan.clone()).unwrap_or_default(),
            },
            guarantee: applied.plan.spec.guarantee,
            takes_deletes: applied.plan.spec.deletes,
            wants_existence: applied.plan.validated.iter().map(|binding| binding.wants_existence).collect(),
            record,
            sources,
            store: Arc::clone(&context.store),
            spill_directory: context.state_directory.join("spill"),
            stop: context.stop.clone(),
            progress: Arc::clone(&self.progress),
            ends: Box::pin(ends),
        };
        Ok(session::run(session).await?)
    }

    /// Validate, then Apply until the destination fits: a pending plan is drained first, in a call of its own.
    async fn apply(
        &mut self,
        client: &MaterializeClient,
        owner: &Owner,
        epoch: Epoch,
        now: Collections,
    ) -> Result<Applied, Problem> {
        let context = &self.context;
        let plan = prepare::materialization(&context.catalog, &self.task, client, owner.clone(), &now).await?;
        let mut record = self.context.record(&self.task.name).await?;
        let fresh: Vec<bool> =
            plan.bindings.iter().map(|b| self.fresh.covers(&b.collection.name, &b.resource_path)).collect();
        let wanted: Vec<Wanted<'_>> = plan
            .bindings
            .iter()
            .zip(&fresh)
            .map(|(binding, fresh)| Wanted {
                path: &binding.resource_path,
                collection: &binding.collection.name,
                key: &binding.collection.key,
                delta_updates: binding.delta_updates,
                // Taken over, it begins at checkpoint 0 under the next generation; only its rows stay.
                fresh: *fresh || self.take_over,
            })
            .collect();
        let assigned = generation::assign(&self.task.name, &record.remembered, &wanted)?;
        let bindings: Vec<Binding> =
            plan.bindings.iter().zip(assigned.state_keys).map(|(planned, key)| planned.named(key)).collect();
        self.context
            .commit(&self.task.name, epoch, TaskChanges { remember: assigned.remember, ..TaskChanges::default() })
            .await?;

        let keys: Vec<_> = bindings.iter().map(|binding| binding.state_key.clone()).collect();
        loop {
            let apply = Apply {
                owner: owner.clone(),
                config_json: plan.config_json.clone(),
                bindings: bindings.clone(),
                previous: spec::parse(record.spec.as_ref())?,
                state: record.state.clone(),
                pending: record.pending.as_ref().map(|p| Pending { transaction: p.transaction, plan: p.plan.clone() }),
                fresh: fresh_keys(&keys, &fresh),
                take_over: self.take_over,
                dry_run: false,
                remove: false,
            };
            let done = client.apply(apply).await?;
            for action in &done.actions {
                tracing::info!(target: "longshore", task = self.task.name, "{action}");
            }
            let mut patch = done.state_patch;
            for (gone, _) in record.state.parts().filter(|(key, _)| !keys.contains(key)) {
                patch = patch.with_dropped(gone.clone());
            }
            let changes = self.after_apply(&mut record, patch, done.drained, &bindings)?;
            self.context.commit(&self.task.name, epoch, changes).await?;
            if !done.drained {
                break;
            }
        }
        (self.fresh, self.take_over) = (Fresh::No, false);
        Ok(Applied { collections: now, plan, bindings })
    }

    /// What is durable after an Apply: the state it returned, and either the drained plan is gone or the spec is applied.
    fn after_apply(
        &self,
        record: &mut TaskRecord,
        patch: StatePatch,
        drained: bool,
        bindings: &[Binding],
    ) -> Result<TaskChanges, Problem> {
        record.state.apply(&patch)?;
        let mut changes = TaskChanges { state: Some(record.state.clone()), ..TaskChanges::default() };
        if drained {
            record.pending = None;
            changes.pending = Change::Clear;
        } else {
            let spec = spec::next(record.spec.as_ref(), bindings)?;
            record.spec = Some(spec.clone());
            changes.spec = Some(spec);
        }
        Ok(changes)
    }
}

fn bug(what: &str) -> Problem {
    Problem::Error(longshore_proto::Error::internal("supervise", what.to_owned()))
}
