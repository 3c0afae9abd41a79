//! One capture task through its sessions: start the connector, prepare, take an epoch, acquire the journal, apply, pull; again when it ends.
//! With a schedule a session ends when it has caught up, and its connector with it, until the next one is due.

#![allow(clippy::disallowed_methods, reason = "a schedule is kept here")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use longshore_failpoints::{Step, reached};
use longshore_proto::capture::message::Apply;
use longshore_proto::name::StateKey;
use longshore_proto::session::Binding;
use longshore_proto::state::{State, StatePatch};

use crate::blocking::Blocking;
use crate::capture::intake::Intended;
use crate::capture::session::{self, CaptureSession};
use crate::capture::transaction::{End, Limits};
use crate::catalog::{CaptureBinding, CaptureTask};
use crate::connector::{CaptureClient, GRACE, Kind};
use crate::journal::{Journal, NewBinding, Writer};
use crate::letters::scan::catch_up;
use crate::progress::{Phase, Progress};
use crate::store::{Epoch, TaskChanges};

use super::context::{Context, Fresh, blocking};
use super::generation::{self, Wanted};
use super::known::collections;
use super::policy;
use super::prepare::{self, CapturePlan};
use super::problem::Problem;
use super::spec::{self, SpecBinding};
use super::task::{self, Next, Sessions};

/// Between two sessions of a capture that ended by itself, in a run that goes on, where the user says nothing of it.
const SCHEDULE: Duration = Duration::from_secs(30);

/// A capture task of this run.
#[derive(Debug)]
pub(super) struct CaptureRunner {
    pub(super) context: Arc<Context>,
    pub(super) task: CaptureTask,
    pub(super) fresh: Fresh,
    pub(super) progress: Arc<Progress>,
    /// What the first session prepared.
    pub(super) applied: Option<Applied>,
    /// Epochs must be above this: what a refusal told us.
    pub(super) floor: Epoch,
}

/// What this run's first session found out and applied; later ones go on with it.
#[derive(Debug, Clone)]
pub(super) struct Applied {
    plan: CapturePlan,
    bindings: Vec<Binding>,
}

/// Runs the task to its end; gives its name back with how it ended.
pub(super) async fn live(mut runner: CaptureRunner) -> (String, Result<(), Problem>) {
    let (context, progress) = (Arc::clone(&runner.context), Arc::clone(&runner.progress));
    let name = runner.task.name.clone();
    let ended = task::live(&name, &context, &progress, &mut runner).await;
    (name, ended)
}

impl Sessions for CaptureRunner {
    async fn session(&mut self) -> Result<Next, Problem> {
        self.progress.enter(Phase::Starting);
        let begun = Instant::now();
        let launched =
            self.context.launch(&self.task.name, Kind::Capture, (&self.task.endpoint, self.task.endpoint_span)).await?;
        self.progress.runs(Some(launched.runs()));
        let client = launched.capture();
        let end = self.session_with(&client).await;
        drop(client);
        launched.stop(GRACE).await;
        self.progress.runs(None);
        Ok(match end.map_err(|problem| problem.located(&self.context.catalog, &self.task.name, self.task.span))? {
            End::Stopped if self.context.stop.is_cancelled() => Next::Done,
            End::Stopped | End::EndedCaughtUp if self.context.until_caught_up => Next::AfterStop,
            End::EndedNotCaughtUp if self.context.until_caught_up => Next::After(Duration::ZERO),
            End::Stopped | End::EndedCaughtUp | End::EndedNotCaughtUp => Next::After(self.until_next(begun)),
        })
    }

    fn raise_floor(&mut self, above: Epoch) {
        self.floor = above;
    }
}

impl CaptureRunner {
    /// How long until the next session is due, and says so.
    fn until_next(&self, begun: Instant) -> Duration {
        let Some(schedule) = &self.task.schedule else { return SCHEDULE };
        let now = Timestamp::now();
        let wait = schedule.wait(begun.elapsed(), now);
        let due = now.checked_add(wait).unwrap_or(now);
        self.progress.doing(&format!("waiting for its schedule, until {due:.0}"));
        wait
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.context.journals[&self.task.name])
    }

    async fn session_with(&mut self, client: &CaptureClient) -> Result<End, Problem> {
        let (context, task) = (Arc::clone(&self.context), self.task.name.clone());
        let epoch = context.take_epoch(&task, self.floor).await?;
        reached(Step::CaptureEpochTaken);
        let journal = self.journal();
        let mut writer = {
            let journal = Arc::clone(&journal);
            blocking(move || journal.acquire(epoch)).await?
        };
        reached(Step::CaptureAcquired);
        let applied = match self.applied.take() {
            Some(applied) => {
                client.spec().await?;
                applied
            }
            None => {
                let (applied, back) = self.apply(client, epoch, writer).await?;
                writer = back;
                applied
            }
        };
        self.applied = Some(applied.clone());
        context.ready.send_if_modified(|ready| ready.insert(task.clone()));
        let noted = Arc::clone(&context);
        // Ends with the run or, where there is a schedule, when there is nothing more to do until it comes round again.
        let stop = context.stop.child_token();
        let done = self.task.schedule.is_some().then(|| stop.clone());
        let intended = |(binding, written): (Binding, &CaptureBinding)| Intended {
            policy: policy::of(context.catalog.collections.get(&binding.collection.name)),
            on_violation: written.on_violation,
            binding,
        };
        let session = CaptureSession {
            client: client.clone(),
            owner: context.owner(&task, epoch),
            config_json: applied.plan.config_json,
            bindings: applied.bindings.into_iter().zip(&self.task.bindings).map(intended).collect(),
            writer,
            limits: Limits::default(),
            grace: GRACE,
            stop,
            caught_up: Box::new(move |committed| {
                noted.ends.note(&task, committed.end.offset);
                if let Some(done) = &done {
                    done.cancel();
                }
            }),
            progress: Arc::clone(&self.progress),
            blocking: Blocking::default(),
        };
        self.index_letters().await?;
        let end = session::run(session).await;
        // A witness of what was durable, for the day the journal is found damaged. Without it less is known, and nothing is lost.
        if let Err(problem) = self.remember_length(epoch).await {
            tracing::debug!(target: "longshore", task = self.task.name, "cannot note the journal's length: {problem}");
        }
        if let Err(problem) = self.index_letters().await {
            tracing::debug!(target: "longshore", task = self.task.name, "cannot index dead letters: {problem}");
        }
        Ok(end?)
    }

    /// What the journal has of dead letters that the index does not know: after a crash, or of the last session.
    async fn index_letters(&self) -> Result<(), Problem> {
        let _turn = self.context.letters_turn.lock().await;
        let (journal, index, task) = (self.journal(), self.context.letters.clone(), self.task.name.clone());
        let waiting = blocking(move || {
            catch_up(&index, &task, &*journal)?;
            Ok::<_, Problem>(index.waiting(&task)?)
        });
        self.progress.letters_wait(waiting.await?.values().sum());
        Ok(())
    }

    async fn remember_length(&self, epoch: Epoch) -> Result<(), Problem> {
        let durable = self.journal().committed().borrow().map(|end| end.durable);
        self.context
            .commit(
                &self.task.name,
                epoch,
                TaskChanges { durable: durable.into_iter().collect(), ..TaskChanges::default() },
            )
            .await
    }

    /// The first session of a run: prepare, name the bindings, put them and their schemas into the journal, apply.
    async fn apply(
        &self,
        client: &CaptureClient,
        epoch: Epoch,
        writer: Box<dyn Writer>,
    ) -> Result<(Applied, Box<dyn Writer>), Problem> {
        let context = &self.context;
        let known = collections(&self.journal().known())?;
        let owner = context.owner(&self.task.name, epoch);
        let plan = prepare::capture(&context.catalog, &self.task, client, owner.clone(), &known).await?;
        let record = self.context.record(&self.task.name).await?;
        let wanted: Vec<Wanted<'_>> = plan
            .bindings
            .iter()
            .map(|binding| Wanted {
                path: &binding.resource_path,
                collection: &binding.collection.name,
                key: &binding.collection.key,
                delta_updates: false,
                accumulates: false,
                renews: false,
                fresh: self.fresh.covers(&binding.collection.name, &binding.resource_path),
                taken_over: false,
            })
            .collect();
        let assigned = generation::assign(&self.task.name, &record.remembered, &wanted)?;
        let mut bindings: Vec<Binding> =
            plan.bindings.iter().zip(assigned.state_keys).map(|(planned, key)| planned.named(key)).collect();
        let remember = TaskChanges { remember: assigned.remember, ..TaskChanges::default() };
        self.context.commit(&self.task.name, epoch, remember).await?;
        let writer = write_bindings(writer, &mut bindings).await?;
        reached(Step::CaptureBound);

        let apply = Apply {
            owner,
            config_json: plan.config_json.clone(),
            bindings: bindings.clone(),
            previous: spec::parse(record.spec.as_ref())?,
            state: of_bindings(writer.state(), &bindings),
            dry_run: false,
            remove: false,
        };
        let done = client.apply(apply).await?;
        reached(Step::CaptureApplied);
        for action in &done.actions {
            tracing::info!(target: "longshore", task = self.task.name, "{action}");
        }
        let mut patch = done.state_patch;
        let stay: BTreeSet<&StateKey> = bindings.iter().map(|binding| &binding.state_key).collect();
        for (gone, _) in writer.state().parts().filter(|(key, _)| !stay.contains(*key)) {
            patch = patch.with_dropped(gone.clone());
        }
        let writer = commit_patch(writer, patch).await?;
        self.remember_length(epoch).await?;
        let spec = TaskChanges {
            spec: Some(spec::next(
                record.spec.as_ref(),
                &bindings.iter().cloned().map(SpecBinding::from).collect::<Vec<_>>(),
            )?),
            ..TaskChanges::default()
        };
        self.context.commit(&self.task.name, epoch, spec).await?;
        reached(Step::CapturePrepared);
        Ok((Applied { plan, bindings }, writer))
    }
}

/// What a session may know of the state: the task's part, and the parts of its own bindings.
fn of_bindings(state: &State, bindings: &[Binding]) -> State {
    let own: BTreeSet<&StateKey> = bindings.iter().map(|binding| &binding.state_key).collect();
    state.clone().retain(|key: &StateKey| own.contains(key))
}

/// Puts what is new about the bindings into the journal and gives each the version of its schema.
async fn write_bindings(mut writer: Box<dyn Writer>, bindings: &mut [Binding]) -> Result<Box<dyn Writer>, Problem> {
    let mut named = bindings.to_vec();
    let (writer, versions) = blocking(move || {
        let mut changed = false;
        let mut versions = Vec::with_capacity(named.len());
        for binding in &mut named {
            let is_new = writer.bindings().local(&binding.state_key).is_none();
            let local = writer.bind(&NewBinding {
                state_key: binding.state_key.clone(),
                collection: binding.collection.name.clone(),
                key: binding.collection.key.clone(),
            })?;
            let newest = writer.schemas().get(&local).cloned();
            let version = match newest {
                Some(newest) if newest.schema_json == binding.collection.schema_json => newest.version,
                newest => {
                    let version = newest.map_or(1, |newest| newest.version + 1);
                    writer.schema(local, version, &binding.collection.schema_json)?;
                    changed = true;
                    version
                }
            };
            changed |= is_new;
            versions.push(version);
        }
        if changed {
            // Durable before any materialization validates against it.
            let _durable = writer.commit(&StatePatch::default())?;
        }
        Ok::<_, Problem>((writer, versions))
    })
    .await?;
    for (binding, version) in bindings.iter_mut().zip(versions) {
        binding.collection.schema_version = version;
    }
    Ok(writer)
}

async fn commit_patch(mut writer: Box<dyn Writer>, patch: StatePatch) -> Result<Box<dyn Writer>, Problem> {
    if patch.is_empty() {
        return Ok(writer);
    }
    Ok(blocking(move || writer.commit(&patch).map(|_durable| writer)).await?)
}
