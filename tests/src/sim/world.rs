//! What happens next, and what fails: one runtime, its two tasks, the systems at both ends, and whoever outlived a session.

mod faults;
mod noted;
mod options;
mod upkeep;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use longshore::capture::transaction::End as CaptureEnd;
use longshore::journal::storage::sim::{Plan, SimStorage};
use longshore::journal::{Evidence, FileJournal, FileJournalOptions, Journal, JournalId};
use longshore::materialize::checkpoint::Extent;
use longshore::materialize::transaction::End;
use longshore::store::{Epoch, MemoryStore, TaskRecord, TaskStore};
use longshore_proto::materialize::message::Guarantee;
use longshore_proto::name::{InstallationId, StateKey};
use longshore_proto::session::{Binding, Collection, Owner};
use longshore_proto::{Error, ErrorKind};

use super::capture::{self, Broken, CaptureTask};
use super::destination::{Connector, Destination};
use super::dice::{Dice, hash};
use super::materialize::{self, Begin, MaterializeTask, Spec, Specs, TASK};
use super::source::{REDUCED, Source};
use super::{Mistake, Violation, letters, oracle};
use noted::Noted;

pub use faults::{Fault, Faults};
pub use options::{Failure, Options, Report};

/// No run needs more steps than this, and none may: after the last fault it comes to rest.
const STEPS_MAX: u64 = 12_000;
/// A run has at least so many transactions of its source, unless it is asked for fewer.
const TRANSACTIONS_MIN: u64 = 20;
/// And so many sessions, of both tasks together, before it may calm down.
const SESSIONS_MIN: u64 = 3;
/// So many of the last things that happened are shown with a failure.
const RECENT: usize = 40;
/// So many backups are kept.
const BACKUPS: usize = 3;

/// Runs the world of a seed to its end.
pub fn run(seed: u64, options: &Options) -> Result<Report, Box<Failure>> {
    let mut world = World::new(seed, options.clone());
    match world.run() {
        Ok(()) => Ok(world.report),
        Err(violation) => Err(Box::new(world.failure(violation))),
    }
}

/// Whose state directory it is.
#[must_use]
pub fn installation() -> InstallationId {
    static INSTALLATION: LazyLock<InstallationId> = LazyLock::new(|| InstallationId::from_bytes([7; 16]));
    INSTALLATION.clone()
}

/// On whose behalf a session is opened.
#[must_use]
pub fn owner(task: &str, epoch: Epoch) -> Owner {
    Owner { task: task.to_owned(), installation: installation(), epoch: epoch.0 }
}

/// Where what does not fit into memory goes: into memory too, where the system has such a place.
fn spill_dir() -> PathBuf {
    static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
        let memory = PathBuf::from("/dev/shm");
        if memory.is_dir() { memory } else { std::env::temp_dir() }
    });
    DIR.clone()
}

/// What the user asks for.
fn bindings(reduces: bool, has_late: bool) -> Vec<Binding> {
    let binding = |name: &str, delta_updates| Binding {
        state_key: StateKey::new(&[name.to_owned()], 0),
        resource_path: vec![name.to_owned()],
        resource_json: bytes::Bytes::from_static(b"{}"),
        collection: Collection {
            name: capture::COLLECTION.to_owned(),
            key: vec![capture::KEY.to_owned()],
            schema_json: bytes::Bytes::from_static(if reduces { REDUCED } else { "{}" }.as_bytes()),
            schema_version: 0,
        },
        delta_updates,
        selection: Default::default(),
    };
    // Added above the others: indexes move, names do not.
    let late = has_late.then(|| [binding("late", false), binding("late-log", true)]);
    late.into_iter().flatten().chain([binding("table", false), binding("log", true)]).collect()
}

struct World {
    seed: u64,
    options: Options,
    /// What happens next.
    dice: Dice,
    /// What fails, apart from the others: a fault less changes nothing of what happens before it.
    chance: Dice,
    /// What may fail in this run: some faults show only where others are rare.
    swarm: Vec<Fault>,
    /// A fault strikes once in so many steps.
    rarely: u64,
    struck: Vec<(u64, Fault)>,
    disk: SimStorage,
    store: MemoryStore,
    source: Source,
    destination: Destination,
    runtime: Option<Runtime>,
    zombies: Vec<Connector>,
    backups: Vec<Destination>,
    specs: Specs,
    has_late: bool,
    /// As the user has them now.
    bindings: Vec<Binding>,
    /// The collection is reduced by more than the last write.
    reduces: bool,
    budget_bytes: usize,
    /// The journal is trimmed, and what it held before.
    trims: bool,
    archive: letters::Found,
    /// A letter that was found waiting: it does until somebody replays, and the journal is not trimmed behind it.
    waits: Option<u64>,
    starts: u64,
    /// Faults are over from this step on, if enough has happened.
    calm_from: u64,
    /// They are over, from this step on.
    calm_since: Option<u64>,
    is_over: bool,
    /// What may happen next, while it is chosen.
    due: Vec<Step>,
    report: Report,
    /// What happened last, for who reads a failure.
    recent: VecDeque<Noted>,
}

/// One process.
struct Runtime {
    journal: Arc<FileJournal>,
    capture: Option<CaptureTask>,
    materialization: Option<MaterializeTask>,
    ends_told: bool,
}

#[derive(Debug, Clone, Copy, Hash)]
enum Step {
    StartRuntime,
    StartCapture,
    /// Somebody replays the dead letters, while no capture runs.
    Replay,
    /// Somebody sends the destination again what it refused, perhaps mended, while nothing runs.
    Resend,
    StartMaterialization,
    Capture(capture::Step),
    Materialize(materialize::Step),
    TellEnds,
    Zombie(usize),
    Trim,
    Backup,
    /// Time passes, and the next fault comes nearer.
    Nothing,
}

impl World {
    fn new(seed: u64, options: Options) -> Self {
        let (mut dice, mut chance) = (Dice::new(seed), Dice::new(hash(&[seed, 1])));
        let transactions = TRANSACTIONS_MIN + dice.below(2);
        let transactions = options.transactions.unwrap_or(transactions);
        let flushes_state = dice.once_in(6);
        let budget_bytes = if dice.once_in(8) { 3_000 } else { 1 << 20 };
        let dice_trims = dice.once_in(2);
        // What may store a transaction twice would count twice.
        let reduces = options.guarantee != Guarantee::AtLeastOnce && dice.once_in(2);
        // Many short days find more than a few long ones, but some things take long.
        let days = if chance.once_in(16) { 900 } else { 150 };
        let calm_from = match &options.faults {
            Faults::None | Faults::At(..) | Faults::Disk(..) => 0,
            Faults::Random => chance.below(days),
            Faults::These { calm_from, .. } => *calm_from,
        };
        let destination = Destination::new(options.guarantee, options.mistake, flushes_state);
        let swarm = Fault::swarm(&mut chance);
        if options.schedule != 0 {
            dice = Dice::new(hash(&[seed, 2, options.schedule]));
        }
        let rarely = 10 + chance.below(50);
        let disk = SimStorage::default();
        if let Faults::Disk(operation, _) = options.faults {
            disk.plan(Plan { stop_at: Some(operation), ..Plan::default() });
        }
        Self {
            seed,
            options,
            dice,
            chance,
            swarm,
            rarely,
            struck: Vec::new(),
            disk,
            store: MemoryStore::default(),
            source: Source::new(seed, transactions),
            destination,
            runtime: None,
            zombies: Vec::new(),
            backups: Vec::new(),
            specs: Specs::new(),
            has_late: false,
            bindings: bindings(reduces, false),
            reduces,
            budget_bytes,
            trims: dice_trims,
            archive: letters::Found::default(),
            waits: None,
            starts: 0,
            calm_from,
            calm_since: None,
            is_over: false,
            due: Vec::new(),
            report: Report::default(),
            recent: VecDeque::new(),
        }
    }

    fn run(&mut self) -> Result<(), Violation> {
        self.report.transactions = self.source.transactions;
        while !self.is_over {
            self.turn()?;
            if self.report.steps > STEPS_MAX {
                return Err("it does not come to rest".to_owned());
            }
        }
        let (standard, delta) = self.names();
        let skips = self.skips();
        self.find_all()?;
        let (source, journal) = (&self.source, &self.archive);
        let all = oracle::All { source, journal, destination: &self.destination, skips: &skips };
        oracle::verify(&all, &standard, &delta, self.reduces)?;
        if skips.iter().any(|skip| skip.code == longshore::materialize::skips::JOINED) {
            self.count("joined");
        }
        self.is_a_whole_day()?;
        self.report.operations = self.disk.operations();
        self.report.strikes = self.disk.strikes();
        Ok(())
    }

    /// Enough happened for the run to count, unless it was asked for less.
    fn is_a_whole_day(&self) -> Result<(), Violation> {
        let Report { transactions, sessions, fired, .. } = &self.report;
        let is_whole = *transactions >= TRANSACTIONS_MIN && *sessions >= SESSIONS_MIN && !fired.is_empty();
        let is_asked = matches!(self.options.faults, Faults::Random) && self.options.transactions.is_none();
        match is_asked && !is_whole {
            true => Err(format!("too little happened: {transactions} transactions, {sessions} sessions, {fired:?}")),
            false => Ok(()),
        }
    }

    /// A fault, perhaps, and then one of the things that may happen.
    fn turn(&mut self) -> Result<(), Violation> {
        self.report.steps += 1;
        self.calm_down();
        for fault in self.due_faults() {
            self.struck.push((self.report.steps, fault));
            self.strike(fault)?;
        }
        if self.store.is_stopped() {
            // Nobody knows what is in it: the process ends.
            self.runtime_over(false);
            let survives = self.dice.once_in(2);
            self.store.restart(survives);
        }
        let mut due = std::mem::take(&mut self.due);
        due.clear();
        self.find_due(&mut due);
        if due.is_empty() {
            return Err("nothing can happen any more".to_owned());
        }
        let step = due[self.dice.below(due.len() as u64) as usize];
        self.due = due;
        self.note(Noted::Step(step));
        self.happen(step)
    }

    fn find_due(&self, due: &mut Vec<Step>) {
        let Some(runtime) = &self.runtime else { return due.push(Step::StartRuntime) };
        match &runtime.capture {
            None if runtime.journal.id().is_some() && !runtime.ends_told => {
                due.extend([Step::StartCapture, Step::Replay])
            }
            None => due.push(Step::StartCapture),
            Some(task) => task.each_due(|step| due.push(Step::Capture(step))),
        }
        match &runtime.materialization {
            None if runtime.journal.id().is_some() => {
                due.push(Step::StartMaterialization);
                if runtime.capture.is_none() && !runtime.ends_told {
                    due.push(Step::Resend);
                }
            }
            None => {}
            Some(task) => task.each_due(|step| due.push(Step::Materialize(step))),
        }
        let caught_up = runtime.capture.as_ref().is_some_and(|task| task.caught_up.is_some());
        let is_calm = self.calm_since.is_some();
        if is_calm && caught_up && runtime.materialization.is_some() && !runtime.ends_told {
            due.push(Step::TellEnds);
        }
        due.extend((0..self.zombies.len()).map(Step::Zombie));
        if self.trims && self.report.steps.is_multiple_of(8) && runtime.journal.trimmable(u64::MAX).is_some() {
            due.push(Step::Trim);
        }
        if !is_calm {
            due.push(if self.may_be_backed_up() { Step::Backup } else { Step::Nothing });
        }
    }

    fn happen(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::StartRuntime => self.start_runtime(),
            Step::StartCapture => {
                let Some(runtime) = &mut self.runtime else { return Ok(()) };
                let Ok(epoch) = self.store.take_epoch("capture", Epoch(0)) else { return Ok(()) };
                match CaptureTask::start(&*runtime.journal, epoch, &mut self.source, self.options.mistake) {
                    Ok(task) => {
                        runtime.capture = Some(task);
                        self.report.sessions += 1;
                        Ok(())
                    }
                    Err(broken) => self.session_ended(broken, false),
                }
            }
            Step::Replay => self.replay(),
            Step::Resend => self.resend(),
            Step::StartMaterialization => self.start_materialization(),
            Step::Capture(step) => {
                let task = self.runtime.as_mut().and_then(|runtime| runtime.capture.as_mut());
                match task.map_or(Ok(None), |task| task.step(step, &mut self.source)) {
                    Ok(None) => Ok(()),
                    Ok(Some(end)) => {
                        self.capture_ended(end);
                        Ok(())
                    }
                    Err(broken) => self.session_ended(broken, false),
                }
            }
            Step::Materialize(step) => {
                let task = self.runtime.as_mut().and_then(|runtime| runtime.materialization.as_mut());
                let done = task.map_or(Ok(None), |task| task.step(step, &self.store, &mut self.destination));
                self.materialized(done)
            }
            Step::TellEnds => self.tell_ends(),
            Step::Zombie(i) => {
                let zombie = &mut self.zombies[i];
                if zombie.is_due() {
                    // What it finds wrong is not ours: it is fenced off when it comes to committing.
                    drop(zombie.hear(&mut self.destination));
                } else {
                    self.zombies.remove(i);
                }
                Ok(())
            }
            Step::Trim => match self.trim() {
                Ok(done) => {
                    if done {
                        self.count("trimmed");
                    }
                    Ok(())
                }
                Err(broken) => self.session_ended(broken, false),
            },
            Step::Backup => {
                self.backups.push(self.destination.backup());
                if self.backups.len() > BACKUPS {
                    self.backups.remove(0);
                }
                Ok(())
            }
            Step::Nothing => Ok(()),
        }
    }

    /// What the journal holds now joins what it held before it was trimmed.
    fn find_all(&mut self) -> Result<(), Violation> {
        let runtime = self.runtime.as_ref().ok_or("no runtime at the end")?;
        self.archive.add(letters::find(&*runtime.journal).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn start_runtime(&mut self) -> Result<(), Violation> {
        self.starts += 1;
        let id = hash(&[self.seed, self.starts]).to_le_bytes();
        let mut fresh = [0; 16];
        fresh[..8].copy_from_slice(&id);
        let of_capture = self.store.load("capture").ok().flatten().unwrap_or_default();
        let witnesses = self.record().durable.into_iter().chain(of_capture.durable);
        let durable = witnesses.reduce(|a, b| a.newer_of(b));
        let evidence = Evidence { durable, trimmed: of_capture.trimmed, positions: Vec::new() };
        let options = FileJournalOptions {
            segment_bytes: 2_500,
            ..FileJournalOptions::new(PathBuf::from("journals/capture"), JournalId(fresh), evidence)
        };
        let journal = Arc::new(FileJournal::over(Arc::new(self.disk.clone()), options));
        self.runtime = Some(Runtime { journal, capture: None, materialization: None, ends_told: false });
        Ok(())
    }

    fn start_materialization(&mut self) -> Result<(), Violation> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let journal: Arc<dyn Journal> = Arc::clone(&runtime.journal) as Arc<dyn Journal>;
        let newest = self.newest_spec(&*journal);
        let record = self.record();
        let extent = match Extent::of_record(&record) {
            Ok(extent) => extent,
            Err(error) => return self.session_ended(Broken::Session(error), true),
        };
        // These mistakes are the runtime's own: it does not know that there is something to be finished.
        let ignores = matches!(self.options.mistake, Mistake::LoseTheExtent | Mistake::IgnoreTheDestinationsCheckpoint);
        let is_at_least_once = self.options.guarantee == Guarantee::AtLeastOnce;
        let must_finish = |e: &&Extent| !ignores && (is_at_least_once || e.flushed_state);
        let version = extent.as_ref().filter(must_finish).map_or(newest, |extent| extent.spec_version);
        let spec = self.specs.get(&version).cloned().ok_or("an extent names a spec that never was")?;
        let keeps = self.options.mistake == Mistake::EpochNotRaised && record.epoch.0 > 0;
        let epoch = if keeps { Ok(record.epoch) } else { self.store.take_epoch(TASK, Epoch(0)) };
        let Ok(epoch) = epoch else { return Ok(()) };
        let begin = Begin {
            journal,
            epoch,
            extent,
            spec,
            only_rerun: version != newest,
            guarantee: self.options.guarantee,
            budget_bytes: self.budget_bytes,
            spill_dir: spill_dir(),
            mistake: self.options.mistake,
        };
        match MaterializeTask::start(begin, &self.store) {
            Ok(task) => {
                if let Some(runtime) = &mut self.runtime {
                    (runtime.materialization, runtime.ends_told) = (Some(task), false);
                    self.report.sessions += 1;
                }
                Ok(())
            }
            Err(broken) => self.session_ended(broken, true),
        }
    }

    /// What Validate and Apply come to, in the model.
    fn newest_spec(&mut self, journal: &dyn Journal) -> u64 {
        let schemas = journal.known().schemas.clone();
        let version = self.specs.last_key_value().map_or(0, |(version, _)| *version);
        match self.specs.get(&version) {
            Some(spec) if spec.schemas == schemas && spec.bindings == self.bindings => version,
            Some(_) | None => {
                let version = version + 1;
                self.specs.insert(version, Spec { version, bindings: self.bindings.clone(), schemas });
                version
            }
        }
    }

    /// Nothing of a store that has stopped: the process ends before the next step.
    fn record(&self) -> TaskRecord {
        self.store.load(TASK).ok().flatten().unwrap_or_default()
    }

    fn names(&self) -> (Vec<String>, Vec<String>) {
        let (delta, standard): (Vec<_>, Vec<_>) = self.bindings.iter().partition(|binding| binding.delta_updates);
        let names = |bindings: Vec<&Binding>| bindings.iter().map(|b| b.state_key.as_str().to_owned()).collect();
        (names(standard), names(delta))
    }

    fn tell_ends(&mut self) -> Result<(), Violation> {
        let Some(runtime) = &mut self.runtime else { return Ok(()) };
        let end = runtime.capture.as_ref().and_then(|task| task.caught_up).map(|committed| committed.end.offset);
        let (Some(end), Some(id), Some(task)) = (end, runtime.journal.id(), runtime.materialization.as_mut()) else {
            return Ok(());
        };
        runtime.ends_told = true;
        let done = task.ends(id, end);
        self.materialized(done)
    }

    fn materialized(&mut self, done: Result<Option<End>, Broken>) -> Result<(), Violation> {
        match done {
            Ok(None) => {}
            Ok(Some(end)) => {
                self.materialization_over();
                match end {
                    End::Drained => {
                        self.count("drained");
                        self.is_over = true;
                    }
                    End::SchemaGrew => self.count("schema grew"),
                    End::Rejected => {
                        self.count("rejected");
                        // Sometimes somebody stops everything and looks after it.
                        if self.dice.once_in(3) {
                            self.capture_over();
                            self.resend()?;
                        }
                    }
                    End::Stopped => self.count("stopped"),
                }
            }
            Err(broken) => self.session_ended(broken, true)?,
        }
        Ok(())
    }

    fn capture_ended(&mut self, end: CaptureEnd) {
        self.note(Noted::CaptureEnded(end));
        self.capture_over();
    }

    fn capture_over(&mut self) {
        if let Some(runtime) = &mut self.runtime {
            runtime.capture = None;
        }
    }

    fn materialization_over(&mut self) -> Option<Connector> {
        let task = self.runtime.as_mut()?.materialization.take()?;
        if let Some(how) = task.resumed {
            self.count(how);
        }
        Some(task.connector)
    }

    /// A session failed: what may fail is begun again, what may not is a violation.
    fn session_ended(&mut self, broken: Broken, is_materialization: bool) -> Result<(), Violation> {
        let error: Error = match broken {
            Broken::Rule(violation) => return Err(violation),
            Broken::Session(error) => error,
        };
        self.note(Noted::Failed(error.code.clone()));
        if self.disk.is_stopped() {
            self.end_of_process();
            return Ok(());
        }
        if self.store.is_stopped() {
            return Ok(());
        }
        match error.kind {
            ErrorKind::Unavailable | ErrorKind::Fenced => {
                if is_materialization {
                    self.materialization_over();
                } else if let Some(runtime) = &mut self.runtime {
                    runtime.capture = None;
                }
                Ok(())
            }
            ErrorKind::Config | ErrorKind::Protocol | ErrorKind::Data | ErrorKind::Internal => Err(error.to_string()),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.report.seen.entry(what).or_default() += 1;
    }

    fn note(&mut self, what: Noted) {
        self.report.trace = hash(&[self.report.trace, what.number()]);
        self.recent.push_back(what);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }
}
