//! Runs tasks: the only place that spawns them, starts them again, and ends them in order.
//!
//! [`Run`] owns the state directory for as long as it lasts. Each task is a loop of sessions ([`task`]); what a session needs is found out in
//! [`prepare`], which `check` uses too; how long to wait after a failure is decided in [`retry`]; when a run that ends by itself has got
//! there is noted in [`ends`].

#![allow(clippy::disallowed_methods, reason = "sessions are timed, and tasks started, here")]

pub mod backfill;
mod backoff;
mod capture;
pub mod claims;
mod context;
mod ends;
mod fit;
mod generation;
mod keys;
pub mod known;
pub mod letters;
mod materialize;
mod policy;
pub mod prepare;
mod problem;
pub mod readers;
mod reducing;
pub mod removal;
mod rerun;
mod retention;
mod retry;
mod selecting;
pub mod spec;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use longshore_proto::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::connector::container;
use crate::journal::{Evidence, Journal, JournalId, Position};
use crate::materialize::checkpoint::Checkpoint;
use crate::progress::Progress;
use crate::store::{Epoch, StateDirectory, TaskRecord, TaskStore, newest_witness};

pub use problem::{Problem, is_about_state};

use capture::CaptureRunner;
use claims::Claims;
use context::{Context, Fresh, blocking};
use ends::Ends;
use materialize::MaterializeRunner;

/// What a task is, in a word.
const CAPTURE: &str = "capture";
const MATERIALIZATION: &str = "materialization";

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// End when all that existed at the sources at the start is published everywhere.
    pub until_caught_up: bool,
    /// One task alone.
    pub only: Option<String>,
    /// `TASK` or `TASK/BINDING`: start over.
    pub fresh: Vec<String>,
    /// Tasks whose destinations this installation takes over.
    pub take_over: Vec<String>,
}

/// A task of a run, to be watched while it runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its name.
    pub task: String,
    /// `capture` or `materialization`.
    pub kind: &'static str,
    /// How it is doing.
    pub progress: Arc<Progress>,
}

/// How one task of a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The task.
    pub task: Running,
    /// How long it ran.
    pub lasted: Duration,
    /// Why it could not go on; `None`: it ended in order.
    pub problem: Option<Problem>,
}

/// A run that is about to begin.
#[derive(Debug)]
pub struct Run {
    context: Arc<Context>,
    // Held until everything has ended: one runtime owns a state directory.
    _state: StateDirectory,
    captures: Vec<CaptureRunner>,
    materializations: Vec<MaterializeRunner>,
    tasks: Vec<Running>,
    /// Captures that do not run themselves, but whose journals are read: not chosen, or not in the catalog any more.
    idle: Vec<String>,
}

impl Run {
    /// Looks at what is to run; starts nothing yet.
    ///
    /// # Errors
    /// `config` when an option names what the catalog does not have.
    pub fn new(
        catalog: Catalog,
        state: StateDirectory,
        options: &Options,
        stop: CancellationToken,
    ) -> Result<Self, Problem> {
        let chosen = Chosen::new(&catalog, options)?;
        // We own the state directory: what a killed runtime noted there names processes that died with it.
        crate::connector::forget_notes(state.path());
        let mut journals: BTreeMap<String, Arc<dyn Journal>> = BTreeMap::new();
        let witnesses = Witnesses::of(&*state.store())?;
        for task in &catalog.captures {
            journals.insert(task.name.clone(), state.journal(&task.name, witnesses.evidence(&task.name))?);
        }
        let running = catalog.materializations.iter().map(|task| task.name.as_str()).filter(|task| chosen.runs(task));
        let mut idle = rerun::forgotten_captures(&catalog, &state, running)?;
        for capture in &idle {
            journals.insert(capture.clone(), state.journal(capture, witnesses.evidence(capture))?);
        }
        idle.extend(catalog.captures.iter().map(|task| task.name.clone()).filter(|task| !chosen.runs(task)));
        let context = Arc::new(Context {
            catalog: Arc::new(catalog),
            installation: state.installation().clone(),
            store: state.store(),
            letters: state.letters(),
            journals,
            state_directory: state.path().to_path_buf(),
            ends: Ends::new(),
            ready: watch::Sender::new(BTreeSet::new()),
            claims: Claims::default(),
            epochs: Mutex::default(),
            letters_turn: tokio::sync::Mutex::default(),
            until_caught_up: options.until_caught_up,
            stop,
        });
        let mut run = Self {
            context: Arc::clone(&context),
            _state: state,
            captures: vec![],
            materializations: vec![],
            tasks: vec![],
            idle,
        };
        for task in context.catalog.captures.iter().filter(|task| chosen.runs(&task.name)).cloned() {
            let progress = Arc::new(Progress::new(task.bindings.iter().map(|b| b.collection.clone())));
            run.tasks.push(Running { task: task.name.clone(), kind: CAPTURE, progress: Arc::clone(&progress) });
            let fresh = chosen.fresh(&task.name);
            let context = Arc::clone(&context);
            run.captures.push(CaptureRunner { context, task, fresh, progress, applied: None, floor: Epoch(0) });
        }
        for task in context.catalog.materializations.iter().filter(|task| chosen.runs(&task.name)).cloned() {
            let progress = Arc::new(Progress::new(task.bindings.iter().map(|b| b.collection.clone())));
            run.tasks.push(Running { task: task.name.clone(), kind: MATERIALIZATION, progress: Arc::clone(&progress) });
            run.materializations.push(MaterializeRunner {
                context: Arc::clone(&context),
                fresh: chosen.fresh(&task.name),
                take_over: options.take_over.contains(&task.name),
                task,
                progress,
                applied: None,
                floor: Epoch(0),
                begun: None,
            });
        }
        Ok(run)
    }

    /// The tasks that will run, to be watched.
    #[must_use]
    pub fn tasks(&self) -> &[Running] {
        &self.tasks
    }

    /// Runs until every task has ended: by itself, because the run was stopped, or because it could not go on. `told` hears of each task that
    /// could not go on at once.
    pub async fn to_the_end(self, told: impl Fn(&Running, &Problem)) -> Result<Vec<Ended>, Problem> {
        let Self { context, _state, captures, materializations, tasks, idle } = self;
        // We hold the state directory: whatever container serves its tasks belongs to a runtime that is gone.
        container::sweep(Some(context.installation.as_str())).await;
        for capture in &idle {
            context.acquire_idle(capture).await?;
        }
        let writers: Vec<String> = captures.iter().map(|runner| runner.task.name.clone()).collect();
        let mut reading = materializations.len();
        let mut running = JoinSet::new();
        for runner in captures {
            running.spawn(capture::live(runner));
        }
        for runner in materializations {
            running.spawn(materialize::live(runner));
        }
        let begun = Instant::now();
        let mut ended = Vec::new();
        let mut noted = false;
        let caught_up = context.ends.of(&writers);
        let trimming = retention::keep(&context);
        tokio::pin!(caught_up, trimming);
        loop {
            tokio::select! {
                never = &mut trimming => match never {},
                _ = &mut caught_up, if context.until_caught_up && !noted => noted = true,
                joined = running.join_next() => {
                    let Some(joined) = joined else { break };
                    let (name, result) =
                        joined.map_err(|error| Error::internal("task.panic", format!("a task panicked: {error}")))?;
                    let task = tasks.iter().find(|t| t.task == name).expect("only these were spawned").clone();
                    reading -= usize::from(task.kind == MATERIALIZATION);
                    let problem = result.err();
                    if let Some(problem) = &problem {
                        told(&task, problem);
                        // A run that ends by itself cannot get there without this task; one that goes on leaves the others alone.
                        if context.until_caught_up {
                            context.stop.cancel();
                        }
                    }
                    ended.push(Ended { task, lasted: begun.elapsed(), problem });
                }
            }
            if context.until_caught_up && noted && reading == 0 {
                context.stop.cancel();
            }
        }
        // What the last transactions passed can go too.
        retention::trim_all(&context).await;
        ended.sort_by_key(|e| tasks.iter().position(|t| t.task == e.task.task));
        Ok(ended)
    }
}

impl Context {
    /// A journal whose capture does not run is acquired once and let go: only that tells which of its commits are durable.
    async fn acquire_idle(&self, capture: &str) -> Result<(), Problem> {
        let epoch = self.take_epoch(capture, Epoch(0)).await?;
        let journal = Arc::clone(&self.journals[capture]);
        blocking(move || journal.acquire(epoch).map(drop)).await?;
        if let Some(end) = *self.journals[capture].committed().borrow() {
            self.ends.note(capture, end.position.offset);
        }
        self.ready.send_if_modified(|ready| ready.insert(capture.to_owned()));
        Ok(())
    }
}

/// All that the task store has, read once for all journals.
struct Witnesses {
    records: Vec<(String, TaskRecord)>,
    /// Of each journal, the greatest that any reader has been at.
    positions: BTreeMap<JournalId, Position>,
}

impl Witnesses {
    fn of(store: &dyn TaskStore) -> Result<Self, Problem> {
        let names = store.tasks()?.into_iter();
        let records = names.map(|name| Ok((name.clone(), store.load(&name)?.unwrap_or_default())));
        let records = records.collect::<Result<Vec<(String, TaskRecord)>, Problem>>()?;
        let mut positions = BTreeMap::<_, Position>::new();
        for (_, record) in records.iter().filter(|(_, record)| !record.checkpoint.bytes.is_empty()) {
            for (place, position) in Checkpoint::parse(&record.checkpoint.bytes)?.places {
                let greatest = positions.entry(place.journal).or_insert(position);
                if position.offset > greatest.offset {
                    *greatest = position;
                }
            }
        }
        Ok(Self { records, positions })
    }

    /// What it remembers of a capture's journal, and how far it was read.
    fn evidence(&self, capture: &str) -> Evidence {
        let durable = newest_witness(capture, self.records.iter().map(|(name, record)| (name.as_str(), record)));
        let trimmed = self.records.iter().find(|(name, _)| name == capture).and_then(|(_, record)| record.trimmed);
        // Of one that nobody noted, nobody knows which it is: then all are held against what is found.
        let is_it = |journal: &JournalId| durable.is_none_or(|durable| durable.journal == *journal);
        let positions = self.positions.iter().filter(|(journal, _)| is_it(journal));
        Evidence { durable, positions: positions.map(|(journal, position)| (*journal, *position)).collect(), trimmed }
    }
}

/// What the options say of each task.
struct Chosen<'a> {
    only: Option<&'a str>,
    fresh: BTreeMap<String, Fresh>,
}

impl<'a> Chosen<'a> {
    fn new(catalog: &Catalog, options: &'a Options) -> Result<Self, Problem> {
        let captures = catalog.captures.iter().map(|task| task.name.as_str());
        let materializations: Vec<&str> = catalog.materializations.iter().map(|task| task.name.as_str()).collect();
        let names: Vec<&str> = captures.chain(materializations.iter().copied()).collect();
        if let Some(only) = options.only.as_deref().filter(|only| !names.contains(only)) {
            return Err(no_task("--only", only, &names).into());
        }
        if let Some(other) = options.take_over.iter().find(|task| !materializations.contains(&task.as_str())) {
            return Err(no_task("--take-over", other, &materializations).into());
        }
        let mut fresh: BTreeMap<String, Fresh> = BTreeMap::new();
        for word in &options.fresh {
            // A task's name may hold a slash: the longest name that fits is meant.
            let fits =
                |name: &&&str| word == **name || word.strip_prefix(**name).is_some_and(|rest| rest.starts_with('/'));
            let Some(task) = names.iter().filter(fits).max_by_key(|name| name.len()) else {
                return Err(no_task("--fresh", word, &names).into());
            };
            let binding = word[task.len()..].trim_start_matches('/');
            let entry = fresh.entry((*task).to_owned()).or_insert_with(|| Fresh::Bindings(BTreeSet::new()));
            match entry {
                _ if binding.is_empty() => *entry = Fresh::Task,
                Fresh::Bindings(bindings) => drop(bindings.insert(binding.to_owned())),
                Fresh::Task | Fresh::No => {}
            }
        }
        Ok(Self { only: options.only.as_deref(), fresh })
    }

    fn runs(&self, task: &str) -> bool {
        self.only.is_none_or(|only| only == task)
    }

    fn fresh(&self, task: &str) -> Fresh {
        self.fresh.get(task).cloned().unwrap_or_default()
    }
}

fn no_task(option: &str, name: &str, names: &[&str]) -> Error {
    let message = format!("{option} {name}: the catalog has no such task");
    Error::config("run.task", message).suggest(format!("it has: {}", names.join(", ")))
}
