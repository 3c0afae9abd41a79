//! One materialization task through its sessions: wait for the journals it reads, start the connector, prepare, apply, transact; again when
//! a schema has grown or a session failed. What was begun under another spec is finished under that one first ([`super::rerun`]).

#![allow(clippy::disallowed_methods, reason = "sessions are timed, and tasks started, here")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_failpoints::{Step, reached};
use longshore_proto::Error;
use longshore_proto::materialize::message::{Apply, Open, Pending, Spec, ValidatedBinding};
use longshore_proto::name::StateKey;
use longshore_proto::session::{Binding, Owner};
use longshore_proto::state::StatePatch;

use crate::blocking::Blocking;
use crate::catalog::{MaterializationTask, OnConflict, OnTruncate};
use crate::connector::{GRACE, Kind, MaterializeClient};
use crate::journal::Known;
use crate::materialize::checkpoint::{Checkpoint, Extent};
use crate::materialize::gather::Source;
use crate::materialize::resume;
use crate::materialize::session::{self, End, Joined, MaterializeSession, NotedEnds};
use crate::materialize::target::Handling;
use crate::progress::{Phase, Progress};
use crate::store::{Change, Epoch, RememberedBinding, SpecVersion, TaskChanges, TaskRecord};

use super::context::{BETWEEN_SESSIONS, Context, Fresh, fresh_keys};
use super::generation::{self, Wanted};
use super::known::collections;
use super::prepare::{self, Asking, Collections, MaterializationPlan, Planned};
use super::problem::Problem;
use super::rerun::{self, Older};
use super::spec::{self, SpecBinding};
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
    /// By binding: see [`Joined`].
    renews: Vec<bool>,
}

/// What is to be applied: the catalog of now, as Validate let it pass.
#[derive(Debug)]
struct Prepared {
    plan: MaterializationPlan,
    bindings: Vec<Binding>,
    /// By binding: see [`Joined`].
    renews: Vec<bool>,
    /// By binding: it starts over.
    fresh: Vec<bool>,
    remember: Vec<RememberedBinding>,
    /// The version that Apply makes durable; that of before, if nothing changed.
    spec: SpecVersion,
}

/// What a session is opened with.
struct Opening {
    owner: Owner,
    record: TaskRecord,
    spec: Spec,
    config_json: Bytes,
    bindings: Vec<Binding>,
    joined: Vec<Joined>,
    sources: BTreeMap<String, Source>,
    ends: NotedEnds,
    only_rerun: bool,
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
        self.begun = Some(Instant::now());
        let launched = self
            .context
            .launch(&self.task.name, Kind::Materialize, (&self.task.endpoint, self.task.endpoint_span))
            .await?;
        self.progress.runs(Some(launched.runs()));
        let client = launched.materialize();
        let next = self.session_with(&client, captures).await;
        drop(client);
        launched.stop(GRACE).await;
        self.progress.runs(None);
        next.map_err(|problem| problem.located(&self.context.catalog, &self.task.name, self.task.span))
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

    /// The newest spec, unless something that was begun under another one has to be finished first.
    async fn session_with(&mut self, client: &MaterializeClient, captures: Vec<String>) -> Result<Next, Problem> {
        let (context, task) = (Arc::clone(&self.context), self.task.name.clone());
        let sources = context.sources(&captures);
        let mut now = Collections::new();
        for source in sources.values() {
            let known = Known { schemas: source.schemas.clone(), bindings: source.journal.known().bindings.clone() };
            now.extend(collections(&known)?);
        }
        let epoch = context.take_epoch(&task, self.floor).await?;
        reached(Step::MaterializeEpochTaken);
        let owner = context.owner(&task, epoch);
        let spec = client.spec().await?;
        if self.applied.as_ref().is_none_or(|applied| applied.collections != now) {
            let record = context.record(&task).await?;
            let prepared = self.prepare(client, &owner, &record, &now).await;
            if let Some(extent) = self.unfinished(&record, &spec)? {
                let is_of_this_spec = |p: &Prepared| p.spec.version == extent.spec_version;
                if !prepared.as_ref().is_ok_and(is_of_this_spec) {
                    if let Err(problem) = prepared {
                        tracing::debug!(target: "longshore", task, "told again after what is finished first: {problem}");
                    }
                    return self.finish(client, spec, owner, record, &extent, captures).await;
                }
            }
            let prepared = prepared?;
            // Before Apply: what starts over loses its rows there.
            self.begins_where_the_journals_do(&prepared, &record, &sources)?;
            self.applied = Some(self.apply(client, &owner, epoch, now, record, prepared).await?);
        }
        let applied = self.applied.clone().ok_or_else(|| bug("a session without an applied spec"))?;
        let joined = self.joined(&applied, &sources)?;
        let waits = Arc::clone(&context);
        let ends = async move {
            match waits.until_caught_up {
                true => waits.ends.of(&captures).await,
                false => std::future::pending().await,
            }
        };
        let opening = Opening {
            owner,
            record: context.record(&task).await?,
            spec,
            config_json: applied.plan.config_json,
            bindings: applied.bindings,
            joined,
            sources,
            ends: Box::pin(ends),
            only_rerun: false,
        };
        Ok(match self.transact(client, opening).await? {
            End::Stopped | End::Drained => Next::Done,
            End::Rejected => Next::After(Duration::ZERO),
            // No failure; but a source that widens with every row must not make us spin.
            End::SchemaGrew => {
                let elapsed = self.begun.map_or(BETWEEN_SESSIONS, |begun| begun.elapsed());
                Next::After(BETWEEN_SESSIONS.saturating_sub(elapsed))
            }
        })
    }

    /// What was begun and must be run to its end, whatever the catalog says now; started over, there is nothing to be finished.
    fn unfinished(&self, record: &TaskRecord, spec: &Spec) -> Result<Option<Extent>, Problem> {
        match self.starts_over() {
            true => Ok(None),
            false => Ok(Extent::of_record(record)?.filter(|extent| extent.must_be_finished(spec.guarantee))),
        }
    }

    fn starts_over(&self) -> bool {
        self.take_over || self.fresh == Fresh::Task
    }

    /// A session under the spec that was last applied, for what was begun under it. Nothing is applied: the destination fits that spec still.
    async fn finish(
        &mut self,
        client: &MaterializeClient,
        spec: Spec,
        owner: Owner,
        record: TaskRecord,
        extent: &Extent,
        mut captures: Vec<String>,
    ) -> Result<Next, Problem> {
        let (context, task) = (Arc::clone(&self.context), self.task.name.as_str());
        let what =
            format!("transaction {}, begun under version {} of the task", extent.transaction, extent.spec_version);
        tracing::info!(target: "longshore", task, "finishing {what}, before the catalog of now is applied");
        captures.extend(context.writers_of(&rerun::journals_of(extent)).await?);
        if context.wait_ready(&captures).await.is_none() {
            return Ok(Next::Done);
        }
        let sources = context.sources(&captures);
        let holds = |source: &Source| {
            let known = source.journal.known();
            Some((source.journal.id()?, known.bindings.iter().map(|(_, row)| row.collection.clone()).collect()))
        };
        let ours = Checkpoint::of_record(&record, &context.installation)?;
        let older = Older {
            extent,
            ours: &ours,
            journals: &sources.values().filter_map(holds).collect(),
            collections: self.task.bindings.iter().map(|binding| binding.collection.as_str()).collect(),
        };
        let (bindings, mut joined) = older.bindings(spec::of_materialization(record.spec.as_ref())?);
        joined.iter_mut().for_each(|joined| self.as_wished(joined));
        let config_json = prepare::config_of(&context.catalog, &self.task, &spec)?;
        let ends = Box::pin(std::future::pending());
        let opening = Opening { owner, record, spec, config_json, bindings, joined, sources, ends, only_rerun: true };
        let end =
            self.transact(client, opening).await.map_err(|error| error.while_doing(format!("finishing {what}")))?;
        Ok(match end {
            End::Stopped | End::Drained => Next::Done,
            End::SchemaGrew | End::Rejected => Next::After(Duration::ZERO),
        })
    }

    async fn transact(&self, client: &MaterializeClient, opening: Opening) -> Result<End, Error> {
        let Opening { owner, record, spec, config_json, bindings, joined, sources, ends, only_rerun } = opening;
        let context = &self.context;
        let open = Open {
            owner,
            config_json,
            bindings,
            state: record.state.clone(),
            transaction: record.checkpoint.transaction,
            plan: record.pending.as_ref().map(|pending| pending.plan.clone()).unwrap_or_default(),
        };
        let session = MaterializeSession {
            client,
            open,
            guarantee: spec.guarantee,
            takes_deletes: spec.deletes,
            joined,
            only_rerun,
            commits_skipped: context.trims(sources.keys()),
            every: self.task.every,
            record,
            sources,
            store: Arc::clone(&context.store),
            spill_directory: context.state_directory.join("spill"),
            stop: context.stop.clone(),
            progress: Arc::clone(&self.progress),
            blocking: Blocking::default(),
            ends,
        };
        session::run(session).await
    }

    /// The journal of each binding of the catalog, and what Validated said of it.
    fn joined(&self, applied: &Applied, sources: &BTreeMap<String, Source>) -> Result<Vec<Joined>, Error> {
        let mut holders = HashMap::new();
        for source in sources.values() {
            let Some(journal) = source.journal.id() else { continue };
            for (_, row) in source.journal.known().bindings.iter() {
                holders.entry(row.collection.clone()).or_insert(journal);
            }
        }
        let joined = |(index, binding): (usize, &Binding)| {
            let name = &binding.collection.name;
            let journal = holders.get(name).copied().ok_or_else(|| {
                let message = format!("task {}: no journal holds collection {name}", self.task.name);
                Error::config("materialize.collection", message)
                    .at_binding(index)
                    .suggest("run the capture that writes it first")
            })?;
            let handling = applied.plan.validated.get(index).map(Handling::from).unwrap_or_default();
            let mut joined = Joined {
                journal,
                handling,
                renews: applied.renews.get(index).copied().unwrap_or_default(),
                counted_as: Some(index),
                sets_aside: false,
                on_truncate: OnTruncate::default(),
            };
            self.as_wished(&mut joined);
            Ok(joined)
        };
        applied.bindings.iter().enumerate().map(joined).collect()
    }

    /// A binding that is new, or starts over, reads from the beginning, which a trimmed journal does not have any more.
    fn begins_where_the_journals_do(
        &self,
        prepared: &Prepared,
        record: &TaskRecord,
        sources: &BTreeMap<String, Source>,
    ) -> Result<(), Error> {
        let ours = Checkpoint::of_record(record, &self.context.installation)?;
        let named = prepared.bindings.iter().map(|binding| (&binding.state_key, binding.collection.name.as_str()));
        let holds = |collection: &str| {
            let mut all = sources.values().map(|source| source.journal.holds_all_of(collection));
            Ok(all.try_fold(true, |all, one| one.map(|one| all && one))?)
        };
        resume::at_beginning(&self.task.name, &ours, named, &holds)
    }

    /// What is to be done with documents that the destination refuses, and where the source emptied a collection, is the catalog's of now to
    /// say, under whichever spec they are sent.
    fn as_wished(&self, joined: &mut Joined) {
        let Some(binding) = joined.counted_as.and_then(|index| self.task.bindings.get(index)) else { return };
        joined.sets_aside = binding.on_conflict == OnConflict::DeadLetter;
        joined.on_truncate = binding.on_truncate;
    }

    /// Validate, and what the bindings are called from now on. Changes nothing yet.
    async fn prepare(
        &self,
        client: &MaterializeClient,
        owner: &Owner,
        record: &TaskRecord,
        now: &Collections,
    ) -> Result<Prepared, Problem> {
        let context = &self.context;
        // Taken over, it keeps its rows.
        let starts_over = |collection: &str, path: &[String]| self.fresh.covers(collection, path);
        let (before, ours) =
            (spec::of_materialization(record.spec.as_ref())?, Checkpoint::of_record(record, &context.installation)?);
        let asking = Asking {
            owner: owner.clone(),
            collections: now,
            before: &before,
            ours: &ours,
            starts_over: &starts_over,
            claims: &context.claims,
        };
        let plan = prepare::materialization(&context.catalog, &self.task, client, asking).await?;
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
                accumulates: binding.accumulates,
                renews: binding.renews,
                fresh: *fresh,
                // It begins at checkpoint 0 under the next generation; only its rows stay.
                taken_over: self.take_over,
            })
            .collect();
        let assigned = generation::assign(&self.task.name, &record.remembered, &wanted)?;
        let bindings: Vec<Binding> =
            plan.bindings.iter().zip(assigned.state_keys).map(|(planned, key)| planned.named(key)).collect();
        let renewing = spec::begins_or_goes_on_renewing(&before);
        let of_spec = |(binding, (planned, said)): (&Binding, (&Planned, &ValidatedBinding))| {
            let keeps_rows = !self.take_over && !self.fresh.covers(&binding.collection.name, &binding.resource_path);
            SpecBinding {
                binding: binding.clone(),
                handling: said.into(),
                renews: planned.renews && keeps_rows && renewing(&binding.state_key),
                given: planned.given.clone(),
            }
        };
        let of_spec: Vec<_> = bindings.iter().zip(plan.bindings.iter().zip(&plan.validated)).map(of_spec).collect();
        let renews = of_spec.iter().map(|one| one.renews).collect();
        let spec = spec::next(record.spec.as_ref(), &of_spec)?;
        Ok(Prepared { plan, bindings, renews, fresh, remember: assigned.remember, spec })
    }

    /// Apply until the destination fits: a pending plan is drained first, in a call of its own.
    async fn apply(
        &mut self,
        client: &MaterializeClient,
        owner: &Owner,
        epoch: Epoch,
        now: Collections,
        mut record: TaskRecord,
        prepared: Prepared,
    ) -> Result<Applied, Problem> {
        let Prepared { plan, bindings, renews, fresh, remember, spec } = prepared;
        let remembers = TaskChanges { remember, ..TaskChanges::default() };
        self.context.commit(&self.task.name, epoch, remembers).await?;
        let keys: Vec<_> = bindings.iter().map(|binding| binding.state_key.clone()).collect();
        loop {
            let apply = Apply {
                owner: owner.clone(),
                config_json: plan.config_json.clone(),
                bindings: bindings.clone(),
                previous: spec::of_materialization(record.spec.as_ref())?.into_iter().map(|one| one.binding).collect(),
                state: record.state.clone(),
                pending: record.pending.as_ref().map(|p| Pending { transaction: p.transaction, plan: p.plan.clone() }),
                fresh: fresh_keys(&keys, &fresh),
                take_over: self.take_over,
                dry_run: false,
                remove: false,
            };
            let done = client.apply(apply).await?;
            reached(Step::MaterializeApplied);
            for action in &done.actions {
                tracing::info!(target: "longshore", task = self.task.name, "{action}");
            }
            let mut patch = done.state_patch;
            let stay: BTreeSet<&StateKey> = keys.iter().collect();
            for (gone, _) in record.state.parts().filter(|(key, _)| !stay.contains(key)) {
                patch = patch.with_dropped(gone.clone());
            }
            let changes = self.after_apply(&mut record, &patch, (!done.drained).then_some(&spec))?;
            self.context.commit(&self.task.name, epoch, changes).await?;
            reached(Step::MaterializePrepared);
            if !done.drained {
                break;
            }
        }
        (self.fresh, self.take_over) = (Fresh::No, false);
        Ok(Applied { collections: now, plan, bindings, renews })
    }

    /// What is durable after an Apply: the state it returned, and either the drained plan is gone or the spec is applied.
    fn after_apply(
        &self,
        record: &mut TaskRecord,
        patch: &StatePatch,
        applied: Option<&SpecVersion>,
    ) -> Result<TaskChanges, Problem> {
        record.state.apply(patch)?;
        let mut changes = TaskChanges { state: Some(record.state.clone()), ..TaskChanges::default() };
        match applied {
            None => {
                record.pending = None;
                changes.pending = Change::Clear;
            }
            Some(spec) => {
                changes.spec = Some(spec.clone());
                // From now on it holds journals back, whatever the user said before.
                changes.released = Some(false);
                // The destination begins anew; what was on its way to it before must not be taken for unfinished.
                if let Some(extent) = Extent::of_record(record)?.filter(|_| self.starts_over()) {
                    changes.extent = Change::Set(extent.given_up().stored());
                }
            }
        }
        Ok(changes)
    }
}

fn bug(what: &str) -> Problem {
    Problem::Error(Error::internal("supervise", what.to_owned()))
}
