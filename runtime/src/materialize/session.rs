//! One session of one materialization: waits for an event, steps the machine, does what it says, until it ends.
//!
//! It decides nothing: that is [`super::transaction`]'s part, and at Opened [`super::resume`]'s. Journals are read and Stores are made on
//! threads that may block; what is said and what is heard go their own ways ([`super::speech`]), so that neither waits for the other.
//! Nothing it starts outlives it.

#![allow(clippy::disallowed_methods, reason = "the loop around the machine tells it that time has passed")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longshore_failpoints::{Plant, Step, is_planted, reached};
use longshore_proto::Error;
use longshore_proto::materialize::message::{Guarantee, Open, Opened, ToConnector, ToRuntime};
use longshore_proto::session::Binding;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::checkpoint::{Checkpoint, Extent, Place};
use super::existing::{self, Present};
use super::gather::{Gatherer, Source, Stored};
use super::reduce::Budget;
use super::resume::Resume;
use super::skips::Skips;
use super::speech::{OVER, Speech, Spoken};
use super::target::{Handling, Target};
use super::transaction::{Action, Beginning, Event, Limits, Then, Transaction};
use super::turns::{Ends, Selection};
use crate::blocking::Blocking;
use crate::catalog::OnTruncate;
use crate::connector::{MaterializeClient, TransactReceiver};
use crate::journal::JournalId;
use crate::letters::refused;
use crate::progress::{Phase, Progress};
use crate::store::{Epoch, Skip, StoreError, TaskChanges, TaskRecord, TaskStore};

mod ahead;
mod compare;
mod refusal;
mod wait;
mod work;

pub use super::transaction::End;
use ahead::{Ahead, Recipe};
use compare::compare;
use refusal::{Rejection, explanation, refusal};
use wait::{Watched, blocking, joined, more, noted, sleep_until};
use work::{Done, Work};

/// Documents in memory, of one task, with their keys and what goes with each. More than a transaction closes with, so that one of that size is
/// not spilled but where documents are very small.
const BUDGET_BYTES: usize = 96 << 20;
/// After a stop, what is under way may take so long to be finished.
const GRACE: Duration = Duration::from_secs(30);

/// Gives the ends at which the session is over, by the names of [`MaterializeSession::sources`]; never, if it goes on.
pub type NotedEnds = Pin<Box<dyn Future<Output = BTreeMap<String, u64>> + Send>>;

/// All that a session needs. The epoch in `open` was taken before, and what the connector was told in Apply is durable.
pub struct MaterializeSession<'a> {
    /// A connector that has answered Spec.
    pub client: &'a MaterializeClient,
    /// The message that opens it; its state, transaction and plan are those of `record`.
    pub open: Open,
    /// What the connector promises.
    pub guarantee: Guarantee,
    /// The destination takes deletes in standard bindings.
    pub takes_deletes: bool,
    /// What is to be known of each binding of `open`.
    pub joined: Vec<Joined>,
    /// The bindings are those of an older spec, opened for the transaction of `record` that was begun under it and for nothing else.
    pub only_rerun: bool,
    /// A journal it reads is trimmed up to what is committed: what it only passes by is committed too.
    pub commits_skipped: bool,
    /// Documents wait so long for a commit, if the user has said so.
    pub every: Option<Duration>,
    /// What the task store knows of the task.
    pub record: TaskRecord,
    /// The journals it reads, by the capture that writes them.
    pub sources: BTreeMap<String, Source>,
    /// Where everything durable of the task is.
    pub store: Arc<dyn TaskStore>,
    /// A directory for what does not fit into memory; made if it is missing.
    pub spill_directory: PathBuf,
    /// Cancelled when the session shall end in order.
    pub stop: CancellationToken,
    /// What people look at.
    pub progress: Arc<Progress>,
    /// See there.
    pub ends: NotedEnds,
    /// Where journals are read, and Stores made.
    pub blocking: Blocking,
}

/// A binding of the session, beyond what the connector is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// The journal it reads.
    pub journal: JournalId,
    /// How the destination has it.
    pub handling: Handling,
    /// Rows of an older life of it are there, and are seen until it has read again what that one had.
    pub renews: bool,
    /// Which of the task's counters its rows go to; `None`: the catalog does not have it any more.
    pub counted_as: Option<usize>,
    /// Documents that the destination refuses become dead letters; else the task stops.
    pub sets_aside: bool,
    /// What is done where the source emptied the collection.
    pub on_truncate: OnTruncate,
}

/// Runs it to its end. After an error nothing is lost: the next session compares what both sides have and goes on from there.
pub async fn run(mut session: MaterializeSession<'_>) -> Result<End, Error> {
    session.progress.enter(Phase::Starting);
    let (stop, facts, gatherer, ahead) = prepare(&mut session).await?;
    let MaterializeSession { client, open, record, store, progress, ends, sources, .. } = session;
    let (sender, receiver) = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(End::Stopped),
        stream = client.transact(open) => stream?,
    };
    let (speech, spoken) = Speech::over(sender, facts.blocking);
    let machine = facts.machine(&record);
    let present = gatherer.present();
    let mut running = Running {
        machine,
        receiver,
        speech,
        spoken,
        work: Work::Home(Box::new(gatherer)),
        ahead,
        read_bytes: 0,
        may_read_on: false,
        write: None,
        present,
        abandon: Arc::default(),
        stored: Stored::default(),
        rejection: Rejection::None,
        is_gone: false,
        age: None,
        overdue: None,
        stop,
        ends: Some((ends, sources.iter().filter_map(|(name, s)| Some((name.clone(), s.journal.id()?))).collect())),
        sources: sources.into_values().map(Watched::from).collect(),
        record: Arc::new(record),
        store,
        facts: Arc::new(facts),
        progress,
    };
    let end = running.run().await;
    running.leave().await;
    end
}

/// What does not change in a session.
#[derive(Debug, Clone)]
struct Facts {
    task: String,
    epoch: Epoch,
    guarantee: Guarantee,
    places: Vec<Place>,
    /// What each of them reads.
    collections: Vec<String>,
    has_delta: bool,
    spec_version: u64,
    ours: Checkpoint,
    extent: Option<Extent>,
    only_rerun: bool,
    commits_skipped: bool,
    every: Option<Duration>,
    joined: Vec<Joined>,
    blocking: Blocking,
}

async fn prepare(session: &mut MaterializeSession<'_>) -> Result<(CancellationToken, Facts, Gatherer, Ahead), Error> {
    let ours = Checkpoint::of_record(&session.record, &session.open.owner.installation)?;
    let lives = ours.lives();
    let target = |(binding, joined): (&Binding, &Joined)| {
        let handling = if binding.delta_updates { Handling::default() } else { joined.handling };
        let renews = joined.renews && handling.backfills;
        Target {
            binding: binding.clone(),
            journal: joined.journal,
            handling,
            takes_deletes: session.takes_deletes,
            on_truncate: joined.on_truncate,
            renews_until: renews.then(|| lives.older_life(joined.journal, &binding.state_key)).flatten(),
        }
    };
    let targets: Vec<Target> = session.open.bindings.iter().zip(&session.joined).map(target).collect();
    let facts = Facts::of(session, &targets, ours)?;
    let (sources, directory) = (session.sources.values().cloned().collect::<Vec<_>>(), session.spill_directory.clone());
    let (store, task) = (Arc::clone(&session.store), facts.task.clone());
    let (progress, ours) = (Arc::clone(&session.progress), facts.ours.clone());
    let (gatherer, ahead) = blocking(session.blocking, move || {
        std::fs::create_dir_all(&directory).map_err(|error| {
            Error::unavailable("materialize.spill", format!("making the directory {}: {error}", directory.display()))
        })?;
        let skips = store.skips(&task)?;
        progress.letters_wait(skips.iter().filter(|skip| refused::waits(skip, &ours)).count() as u64);
        let passes_over = !skips.is_empty();
        let make = move |skips: &[Skip]| {
            let (sources, targets, spill_dir) = (sources.clone(), targets.clone(), directory.clone());
            Gatherer::new(sources, targets, (&task, Skips::new(skips)?), Budget { bytes: BUDGET_BYTES, spill_dir })
        };
        let gatherer = make(&skips)?;
        let again: Recipe = Arc::new(move || make(&[]));
        Ok((gatherer, if passes_over { Ahead::Never } else { Ahead::Recipe(again) }))
    })
    .await?;
    Ok((session.stop.clone(), facts, gatherer, ahead))
}

impl Facts {
    fn of(session: &MaterializeSession<'_>, targets: &[Target], ours: Checkpoint) -> Result<Self, Error> {
        let (owner, record) = (&session.open.owner, &session.record);
        let place = |t: &Target| Place { journal: t.journal, binding: t.binding.state_key.clone() };
        Ok(Self {
            task: owner.task.clone(),
            epoch: Epoch(owner.epoch),
            guarantee: session.guarantee,
            places: targets.iter().map(place).collect(),
            collections: targets.iter().map(|target| target.binding.collection.name.clone()).collect(),
            has_delta: targets.iter().any(|target| target.binding.delta_updates),
            spec_version: record.spec.as_ref().map_or(0, |spec| spec.version),
            ours,
            extent: Extent::of_record(record)?,
            only_rerun: session.only_rerun,
            commits_skipped: session.commits_skipped,
            every: session.every,
            joined: session.joined.clone(),
            blocking: session.blocking,
        })
    }

    fn machine(&self, record: &TaskRecord) -> Transaction {
        let begun = self.extent.as_ref().map_or(0, |extent| extent.transaction);
        let beginning = Beginning {
            guarantee: self.guarantee,
            spec_version: self.spec_version,
            places: self.places.clone(),
            state: record.state.clone(),
            last_number: record.checkpoint.transaction.max(begun),
            is_pending: record.pending.is_some(),
            only_rerun: self.only_rerun,
            commits_skipped: self.commits_skipped,
            limits: Limits::default().every(self.every),
        };
        Transaction::new(beginning, self.ours.clone())
    }
}

struct Running {
    machine: Transaction,
    receiver: TransactReceiver,
    speech: Speech,
    spoken: Spoken,
    work: Work,
    ahead: Ahead,
    /// Of the documents of the transaction that is being made.
    read_bytes: u64,
    /// Its Stores go out just now.
    may_read_on: bool,
    write: Option<JoinHandle<Result<(), StoreError>>>,
    present: Present,
    /// Tells whoever reads or sends that the session is over.
    abandon: Arc<AtomicBool>,
    /// What the transaction under way has stored.
    stored: Stored,
    rejection: Rejection,
    /// The connector has ended its half.
    is_gone: bool,
    age: Option<Instant>,
    overdue: Option<Instant>,
    stop: CancellationToken,
    ends: Option<(NotedEnds, BTreeMap<String, JournalId>)>,
    sources: Vec<Watched>,
    record: Arc<TaskRecord>,
    store: Arc<dyn TaskStore>,
    facts: Arc<Facts>,
    progress: Arc<Progress>,
}

/// What the loop woke up for.
enum Woken {
    Message(Option<ToRuntime>),
    Done(Result<Done, Error>),
    Event(Event),
    Overdue,
}

impl Running {
    async fn run(&mut self) -> Result<End, Error> {
        loop {
            let event = match self.wait().await? {
                Woken::Message(message) => match self.heard(message).await? {
                    Some(event) => event,
                    None => continue,
                },
                Woken::Done(done) => match std::mem::replace(&mut self.rejection, Rejection::Sought) {
                    Rejection::Waiting(rejected, extent) => {
                        self.find_rejected(rejected, extent)?;
                        continue;
                    }
                    other @ (Rejection::None | Rejection::Told(_) | Rejection::Sought) => {
                        self.rejection = other;
                        match done {
                            // Nobody listens any more: the stream tells why.
                            Err(error) if error.code == OVER => continue,
                            done => self.done(done?),
                        }
                    }
                },
                Woken::Event(event) => event,
                Woken::Overdue => {
                    let waited = GRACE.as_secs();
                    tracing::warn!(
                        task = self.facts.task,
                        "the transaction under way was not finished within {waited} s of the stop"
                    );
                    return Ok(End::Stopped);
                }
            };
            if let Some(end) = self.step(event)? {
                return Ok(end);
            }
            if std::mem::take(&mut self.may_read_on) {
                self.ahead.begin(self.facts.blocking, self.read_bytes, self.machine.foresees()).await?;
            }
        }
    }

    async fn wait(&mut self) -> Result<Woken, Error> {
        if is_planted(Plant::SpeaksBeforeItListens) {
            self.speech.all_said(&mut self.spoken).await?;
        }
        let Self { receiver, spoken, work, write, stop, ends, overdue, age, sources, rejection, is_gone, .. } = self;
        let is_home = matches!(work, Work::Home(_));
        let is_refused = !matches!(rejection, Rejection::None);
        let is_there = !*is_gone;
        tokio::select! {
            biased;
            () = stop.cancelled(), if overdue.is_none() => {
                *overdue = Some(Instant::now() + GRACE);
                Ok(Woken::Event(Event::StopRequested))
            }
            written = joined(write.as_mut()), if write.is_some() => {
                *write = None;
                written?.map_err(Error::from)?;
                Ok(Woken::Event(Event::Persisted))
            }
            done = work.back(), if !is_home => Ok(Woken::Done(done)),
            message = receiver.recv(), if is_there => match message {
                Err(_) if is_refused => Ok(Woken::Message(None)),
                message => message.map(Woken::Message),
            },
            broken = spoken.broken(), if is_there => match is_refused {
                true => Ok(Woken::Message(None)),
                false => explanation(receiver, broken).await.map(|said| Woken::Message(Some(said))),
            },
            () = sleep_until(*age), if age.is_some() => {
                *age = None;
                Ok(Woken::Event(Event::AgeElapsed))
            }
            noted = noted(ends.as_mut()), if ends.is_some() => {
                *ends = None;
                Ok(Woken::Event(Event::EndsNoted(noted)))
            }
            // Not while it reads: what comes then is seen when it is back.
            () = more(sources), if is_home => Ok(Woken::Event(Event::MoreToRead)),
            () = sleep_until(*overdue), if overdue.is_some() => Ok(Woken::Overdue),
        }
    }

    /// What the machine has to know of a message.
    async fn heard(&mut self, message: Option<ToRuntime>) -> Result<Option<Event>, Error> {
        Ok(match message {
            None => {
                self.is_gone = true;
                Some(Event::StreamEnded)
            }
            Some(ToRuntime::Opened(opened)) => Some(self.opened(opened).await?),
            Some(ToRuntime::Acknowledged { state_patch }) => {
                reached(Step::MaterializeAcknowledged);
                Some(Event::Acknowledged { state_patch })
            }
            Some(ToRuntime::Flushed { state_patch }) => Some(Event::Flushed { state_patch }),
            Some(ToRuntime::Committed(committed)) => {
                reached(Step::MaterializeCommitted);
                Some(Event::Committed { state_patch: committed.state_patch, plan: committed.plan })
            }
            Some(ToRuntime::Loaded(loaded)) => {
                let present = Arc::clone(&self.present);
                // It may go to disk. We never stop listening to these, whatever our own sending waits for.
                blocking(self.facts.blocking, move || existing::lock(&present).loaded(&loaded)).await?;
                None
            }
            Some(ToRuntime::Rejected(rejected)) => {
                if !self.facts.joined.get(rejected.binding).is_some_and(|joined| joined.sets_aside) {
                    return Err(refusal(&self.facts.task, &rejected));
                }
                self.rejection = Rejection::Told(Box::new(rejected));
                Some(Event::Rejected)
            }
            Some(ToRuntime::Progress(progress)) => {
                self.progress.doing(&progress.doing);
                None
            }
        })
    }

    async fn opened(&mut self, opened: Opened) -> Result<Event, Error> {
        let Opened { recorded, close_policy } = opened;
        let recorded_transaction = recorded.as_ref().map_or(0, |recorded| recorded.transaction);
        let facts = Arc::clone(&self.facts);
        let sources: Vec<_> = self.sources.iter().map(|watched| watched.source.clone()).collect();
        let pending = self.record.pending.as_ref().map(|pending| pending.transaction);
        let resume =
            blocking(self.facts.blocking, move || compare(&facts, &sources, pending, recorded.as_ref())).await?;
        if let Resume::Replay { warning, .. } = &resume {
            tracing::warn!(task = self.facts.task, "{warning}");
        }
        reached(Step::MaterializeOpened);
        Ok(Event::Opened { resume, recorded_transaction, close_policy })
    }

    fn done(&mut self, done: Done) -> Event {
        match done {
            Done::Advanced(advanced) => {
                // For more documents, or for the time of those that there are.
                if advanced.then == Then::Nothing {
                    self.progress.enter(Phase::Waiting);
                }
                self.read_bytes += advanced.bytes;
                Event::Advanced(advanced)
            }
            Done::LoadsSent => Event::LoadsSent,
            Done::StoresSent(stored) => {
                reached(Step::MaterializeStored);
                self.stored = stored;
                Event::StoresSent
            }
            Done::RejectedFound(skips) => {
                self.say_rejected(&skips);
                Event::RejectedFound { skips }
            }
        }
    }

    fn step(&mut self, event: Event) -> Result<Option<End>, Error> {
        let mut end = None;
        let mut selection = None;
        for action in self.machine.step(event)? {
            match action {
                Action::Persist(changes) => self.persist(*changes),
                Action::Acknowledge { transaction } => {
                    self.progress.enter(Phase::Acknowledging);
                    reached(Step::MaterializeAcknowledging);
                    self.speech.say(ToConnector::Acknowledge { transaction })?;
                }
                Action::Read(read) => {
                    self.age = None;
                    self.progress.enter(Phase::Loading);
                    selection = Some(read);
                }
                Action::Advance { ends } => self.advance(selection.take(), ends)?,
                Action::StartAge { ms } => self.age = Some(Instant::now() + Duration::from_millis(ms)),
                Action::SendLoads => {
                    reached(Step::MaterializeLoading);
                    self.send(|gatherer, outlet| gatherer.loads(outlet).map(|()| Done::LoadsSent))?;
                }
                Action::Flush { transaction } => {
                    self.progress.enter(Phase::Flushing);
                    reached(Step::MaterializeFlushing);
                    self.speech.say(ToConnector::Flush { transaction })?;
                }
                Action::SendStores => {
                    self.progress.enter(Phase::Storing);
                    reached(Step::MaterializeStoring);
                    self.may_read_on = true;
                    self.send(|gatherer, outlet| gatherer.stores(outlet).map(Done::StoresSent))?;
                }
                Action::FindRejected { extent } => self.seek_rejected(extent)?,
                Action::Commit { transaction, checkpoint } => {
                    self.progress.enter(Phase::Committing);
                    reached(Step::MaterializeCommitting);
                    self.speech.say(ToConnector::Commit { transaction, checkpoint })?;
                }
                Action::Published { transaction: _ } => self.published(),
                Action::HalfClose => {
                    self.progress.enter(Phase::Stopping);
                    self.abandon.store(true, Ordering::Relaxed);
                    self.speech.half_close()?;
                }
                Action::Finish(how) => end = Some(how),
            }
        }
        self.say_what_is_reached();
        Ok(end)
    }

    fn persist(&mut self, mut changes: TaskChanges) {
        changes.durable = self.sources.iter().filter_map(Watched::end).map(|end| end.durable).collect();
        let (store, facts) = (Arc::clone(&self.store), Arc::clone(&self.facts));
        self.write = Some(self.facts.blocking.start(move || {
            reached(Step::MaterializePersisting);
            store.commit(&facts.task, facts.epoch, changes)?;
            reached(Step::MaterializePersisted);
            Ok(())
        }));
    }

    fn advance(&mut self, selection: Option<Selection>, ends: Ends) -> Result<(), Error> {
        if let Some(selection) = &selection {
            self.read_bytes = 0;
            if self.ahead.take_over((selection, &ends), &mut self.work, &mut self.present) {
                return Ok(());
            }
        }
        let abandon = Arc::clone(&self.abandon);
        for watched in &mut self.sources {
            watched.committed.mark_unchanged();
        }
        self.work.give(self.facts.blocking, move |gatherer| {
            if let Some(selection) = selection {
                gatherer.begin(selection);
            }
            gatherer.advance(&ends, &abandon).map(Done::Advanced)
        })
    }

    fn send(
        &mut self,
        cut: impl FnOnce(&mut Gatherer, &mut super::gather::Sink<'_>) -> Result<Done, Error> + Send + 'static,
    ) -> Result<(), Error> {
        let (mut outlet, abandon) = (self.speech.outlet(), Arc::clone(&self.abandon));
        self.work.give(self.facts.blocking, move |gatherer| {
            let mut sink = |message| match abandon.load(Ordering::Relaxed) {
                true => Err(Error::unavailable(OVER, "the session is over")),
                false => outlet.say(message),
            };
            cut(gatherer, &mut sink)
        })
    }

    fn published(&mut self) {
        let Stored { rows, passed_over, replayed } = std::mem::take(&mut self.stored);
        for (binding, rows, bytes) in rows {
            if let Some(Joined { counted_as: Some(counter), .. }) = self.facts.joined.get(binding) {
                self.progress.committed(*counter, rows, bytes);
                self.progress.dead_lettered(*counter, passed_over.get(binding).copied().unwrap_or(0));
            }
        }
        self.progress.letters_replayed(replayed);
        self.progress.transaction();
    }

    fn say_what_is_reached(&self) {
        let reached = |watched: &Watched| {
            let journal = watched.source.journal.id()?;
            let committed = &self.machine.committed().places;
            let places = self.facts.places.iter().filter(|place| place.journal == journal);
            let least = places.filter_map(|place| committed.get(place)).map(|at| at.offset).min();
            Some((watched.committed.clone(), least.unwrap_or(0)))
        };
        self.progress.reads(self.sources.iter().filter_map(reached).collect());
    }

    /// Whatever happened: nothing that was started outlives the session.
    async fn leave(self) {
        self.abandon.store(true, Ordering::Relaxed);
        drop((self.spoken, self.speech, self.receiver));
        self.ahead.leave().await;
        if let Work::Out(handle) = self.work {
            drop(handle.await);
        }
        if let Some(write) = self.write {
            drop(write.await);
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
