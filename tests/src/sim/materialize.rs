//! Feeds the shipped materialize machine and does what it says, as its session does, with the shipped reader and comparison. What happens
//! there on other threads waits here until the dice choose it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use longshore::catalog::OnTruncate;
use longshore::journal::{CommittedEnd, Journal, JournalId, Position, Schemas};
use longshore::materialize::checkpoint::{Checkpoint, Extent, Place};
use longshore::materialize::gather::{Gatherer, Source};
use longshore::materialize::reduce::Budget;
use longshore::materialize::resume::{self, Remembered, Resume, Standing};
use longshore::materialize::skips::Skips;
use longshore::materialize::target::{Handling, Target};
use longshore::materialize::transaction::{Action, Beginning, End, Event, Limits, Transaction};
use longshore::materialize::turns::{Ends, Selection};
use longshore::store::{Epoch, MemoryStore, TaskChanges, TaskRecord, TaskStore};
use longshore_proto::materialize::message::{Guarantee, Open, Opened, Rejected, ToConnector, ToRuntime};
use longshore_proto::session::{Binding, Recorded};
use longshore_proto::{Error, Side};
use tokio::sync::watch;

use super::Mistake;
use super::capture::{Broken, COLLECTION};
use super::destination::{Connector, Destination};
use super::world::{installation, owner};

/// The task's name.
pub const TASK: &str = "lake";

/// The spec of a session: what Apply made durable, in the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// From 1.
    pub version: u64,
    /// The bindings.
    pub bindings: Vec<Binding>,
    /// The schemas it was made of.
    pub schemas: Schemas,
}

/// One session.
#[derive(Debug)]
pub struct MaterializeTask {
    machine: Transaction,
    gatherer: Gatherer,
    /// The stream to the destination's connector.
    pub connector: Connector,
    journal: Arc<dyn Journal>,
    committed: watch::Receiver<Option<CommittedEnd>>,
    epoch: Epoch,
    spec_version: u64,
    guarantee: Guarantee,
    places: Vec<Place>,
    ours: Checkpoint,
    /// What was begun and not committed when the session began.
    extent: Option<Extent>,
    record: TaskRecord,
    write: Option<TaskChanges>,
    work: Option<Work>,
    rejected: Option<Rejected>,
    age: bool,
    seen: Option<CommittedEnd>,
    mistake: Mistake,
    /// How the session went on.
    pub resumed: Option<&'static str>,
}

#[derive(Debug)]
enum Work {
    Advance(Option<Selection>, Ends),
    Loads,
    Stores,
    FindRejected(Box<Extent>),
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Step {
    ConnectorHears,
    Hears,
    Writes,
    Works,
    Age,
    More,
}

/// What a session begins with.
#[derive(Debug)]
pub struct Begin {
    /// The journal it reads; it was acquired.
    pub journal: Arc<dyn Journal>,
    /// Its own epoch.
    pub epoch: Epoch,
    /// What was begun and not committed.
    pub extent: Option<Extent>,
    /// The spec it runs under.
    pub spec: Spec,
    /// Only for what must be run again.
    pub only_rerun: bool,
    /// What the connector promises.
    pub guarantee: Guarantee,
    /// Documents in memory.
    pub budget_bytes: usize,
    /// Where others go.
    pub spill_dir: PathBuf,
    /// A mistake it makes.
    pub mistake: Mistake,
}

impl MaterializeTask {
    /// Opens a session.
    pub fn start(begin: Begin, store: &MemoryStore) -> Result<Self, Broken> {
        let Begin { journal, epoch, extent, spec, only_rerun, guarantee, budget_bytes, spill_dir, mistake } = begin;
        let id = journal.id().ok_or_else(|| Broken::Rule("the journal was not acquired".to_owned()))?;
        let mut record = store.load(TASK).map_err(Error::from)?.unwrap_or_default();
        if mistake == Mistake::OlderCheckpoint {
            record.checkpoint = longshore::store::Checkpoint::default();
        } else if mistake == Mistake::ForgetThePlan {
            record.pending = None;
        }
        let ours = match &record.checkpoint.bytes {
            none if none.is_empty() => Checkpoint::beginning(installation()),
            bytes => Checkpoint::parse(bytes)?,
        };
        let extent = extent.filter(|_| mistake != Mistake::LoseTheExtent);
        let is_database = guarantee == Guarantee::Transactional;
        let target = |binding: &Binding| Target {
            binding: binding.clone(),
            journal: id,
            handling: match binding.delta_updates {
                true => Handling::default(),
                false => Handling {
                    wants_existence: true,
                    truncates: is_database,
                    backfills: is_database,
                    ..Handling::default()
                },
            },
            takes_deletes: true,
            on_truncate: match is_database && !binding.delta_updates {
                true => OnTruncate::Truncate,
                false => OnTruncate::Ignore,
            },
            renews_until: None,
        };
        let targets: Vec<_> = spec.bindings.iter().map(target).collect();
        let places: Vec<_> =
            spec.bindings.iter().map(|b| Place { journal: id, binding: b.state_key.clone() }).collect();
        let sources = vec![Source { journal: Arc::clone(&journal), schemas: spec.schemas.clone() }];
        let mut remembered = store.skips(TASK).map_err(Error::from)?;
        if mistake == Mistake::ForgetWhatWasRefused {
            remembered.clear();
        }
        let skips = Skips::new(&remembered)?;
        let budget = Budget { bytes: budget_bytes, spill_dir };
        let gatherer = Gatherer::new(sources, targets, (TASK, skips), budget)?;
        let begun = extent.as_ref().map_or(0, |extent| extent.transaction);
        let beginning = Beginning {
            guarantee,
            spec_version: spec.version,
            places: places.clone(),
            state: record.state.clone(),
            last_number: record.checkpoint.transaction.max(begun),
            is_pending: record.pending.is_some(),
            only_rerun,
            commits_skipped: true,
            limits: Limits {
                close_bytes: 4_000,
                close_documents: 12,
                close_age_ms: 1,
                skipped_age_ms: 9,
                ..Limits::default()
            },
        };
        let open = Open {
            owner: owner(TASK, epoch),
            config_json: Bytes::from_static(b"{}"),
            bindings: spec.bindings,
            state: record.state.clone(),
            transaction: record.checkpoint.transaction,
            plan: record.pending.as_ref().map(|pending| pending.plan.clone()).unwrap_or_default(),
        };
        let connector = Connector::open(open)?;
        Ok(Self {
            machine: Transaction::new(beginning, ours.clone()),
            gatherer,
            connector,
            committed: journal.committed(),
            journal,
            epoch,
            spec_version: spec.version,
            guarantee,
            places,
            ours,
            extent,
            record,
            write: None,
            work: None,
            rejected: None,
            age: false,
            seen: None,
            mistake,
            resumed: None,
        })
    }

    /// Tells what may happen next.
    pub fn each_due(&self, mut each: impl FnMut(Step)) {
        let end = *self.committed.borrow();
        let steps = [
            (Step::ConnectorHears, self.connector.is_due()),
            (Step::Hears, !self.connector.to_runtime.is_empty()),
            (Step::Writes, self.write.is_some()),
            (Step::Works, self.work.is_some()),
            (Step::Age, self.age),
            (Step::More, self.work.is_none() && end != self.seen),
        ];
        steps.iter().filter(|(_, is_due)| *is_due).for_each(|(step, _)| each(*step));
    }

    /// Lets it happen.
    pub fn step(
        &mut self,
        step: Step,
        store: &MemoryStore,
        destination: &mut Destination,
    ) -> Result<Option<End>, Broken> {
        match step {
            Step::ConnectorHears => {
                self.connector.hear(destination)?;
                Ok(None)
            }
            Step::Hears => self.hear(),
            Step::Writes => {
                if let Some(changes) = self.write.take() {
                    store.commit(TASK, self.epoch, changes).map_err(Error::from)?;
                }
                self.event(Event::Persisted)
            }
            Step::Works => self.works(),
            Step::Age => {
                self.age = false;
                self.event(Event::AgeElapsed)
            }
            Step::More => {
                self.seen = *self.committed.borrow();
                self.event(Event::MoreToRead)
            }
        }
    }

    /// Asks it to end in order.
    pub fn stop(&mut self) -> Result<Option<End>, Broken> {
        self.event(Event::StopRequested)
    }

    /// Tells it where to end.
    pub fn ends(&mut self, journal: JournalId, offset: u64) -> Result<Option<End>, Broken> {
        self.event(Event::EndsNoted(Ends::from([(journal, offset)])))
    }

    fn hear(&mut self) -> Result<Option<End>, Broken> {
        let Some(message) = self.connector.to_runtime.pop_front() else { return Ok(None) };
        match message? {
            None => {
                self.connector.order.end(Side::Connector)?;
                self.event(Event::StreamEnded)
            }
            Some(message) => {
                self.connector.order.connector(&message)?;
                match message {
                    ToRuntime::Opened(opened) => {
                        let event = self.opened(opened)?;
                        self.event(event)
                    }
                    ToRuntime::Acknowledged { state_patch } => self.event(Event::Acknowledged { state_patch }),
                    ToRuntime::Flushed { state_patch } => self.event(Event::Flushed { state_patch }),
                    ToRuntime::Committed(committed) => {
                        self.event(Event::Committed { state_patch: committed.state_patch, plan: committed.plan })
                    }
                    ToRuntime::Loaded(loaded) => {
                        let present = self.gatherer.present();
                        let mut present = present.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        present.loaded(&loaded)?;
                        Ok(None)
                    }
                    ToRuntime::Rejected(rejected) => {
                        self.rejected = Some(rejected);
                        self.event(Event::Rejected)
                    }
                    ToRuntime::Progress(_) => Ok(None),
                }
            }
        }
    }

    fn opened(&mut self, opened: Opened) -> Result<Event, Broken> {
        let Opened { recorded, close_policy } = opened;
        let mut resume = if self.mistake == Mistake::IgnoreTheDestinationsCheckpoint {
            let acknowledge = recorded.as_ref().map_or(0, |recorded| recorded.transaction);
            Resume::GoOn { checkpoint: self.ours.clone(), acknowledge }
        } else {
            self.compare(recorded.as_ref())?
        };
        if let (Resume::GoOn { checkpoint, .. }, Mistake::SkipOneOnResume) = (&mut resume, self.mistake) {
            checkpoint.places.values_mut().for_each(|position| position.offset += 1);
        }
        self.resumed = Some(match &resume {
            Resume::GoOn { .. } => "go on",
            Resume::Promote { .. } => "promote",
            Resume::Replay { .. } => "replay",
            Resume::Rerun { .. } => "rerun",
        });
        let recorded_transaction = recorded.map_or(0, |recorded| recorded.transaction);
        Ok(Event::Opened { resume, recorded_transaction, close_policy })
    }

    fn compare(&self, recorded: Option<&Recorded>) -> Result<Resume, Broken> {
        let journal = &self.journal;
        // Of the same position the answer is the same, and most places are at one.
        let known = RefCell::new(Vec::<(Position, Standing)>::new());
        let standing = |_: &Place, position: Position| {
            let answer = known.borrow().iter().find(|(of, _)| *of == position).map(|(_, answer)| *answer);
            answer.unwrap_or_else(|| {
                let answer = Gatherer::standing(&**journal, position, COLLECTION).unwrap_or(Standing::Differs);
                known.borrow_mut().push((position, answer));
                answer
            })
        };
        let remembered = Remembered {
            task: TASK,
            guarantee: self.guarantee,
            places: &self.places,
            has_delta: true,
            spec_version: self.spec_version,
            ours: &self.ours,
            extent: self.extent.as_ref(),
            pending: self.record.pending.as_ref().map(|pending| pending.transaction),
            recorded,
            standing: &standing,
        };
        Ok(resume::decide(&remembered)?)
    }

    fn works(&mut self) -> Result<Option<End>, Broken> {
        let Some(work) = self.work.take() else { return Ok(None) };
        let mut said = Vec::new();
        let mut outlet = |message: ToConnector| {
            said.push(message);
            Ok(())
        };
        let event = match work {
            Work::Advance(selection, ends) => {
                self.seen = *self.committed.borrow();
                if let Some(selection) = selection {
                    self.gatherer.begin(selection);
                }
                Event::Advanced(self.gatherer.advance(&ends, &AtomicBool::new(false))?)
            }
            Work::Loads => {
                self.gatherer.loads(&mut outlet)?;
                Event::LoadsSent
            }
            Work::Stores => {
                self.gatherer.stores(&mut outlet)?;
                Event::StoresSent
            }
            Work::FindRejected(extent) => {
                let rejected = self.rejected.take().ok_or_else(|| Broken::Rule("nothing was rejected".to_owned()))?;
                let mut skips = self.gatherer.rejected(&extent.spans, &rejected)?;
                if self.mistake == Mistake::SkipOneOfAKey {
                    skips.truncate(1);
                }
                Event::RejectedFound { skips }
            }
        };
        for message in said {
            self.say(message)?;
        }
        self.event(event)
    }

    fn say(&mut self, message: ToConnector) -> Result<(), Broken> {
        self.connector.order.runtime(&message)?;
        self.connector.from_runtime.push_back(message);
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<Option<End>, Broken> {
        let (mut end, mut selection) = (None, None);
        for action in self.machine.step(event)? {
            match action {
                Action::Persist(mut changes) => {
                    let committed = *self.committed.borrow();
                    changes.durable = committed.map(|end| end.durable).into_iter().collect();
                    self.write = Some(*changes);
                }
                Action::Acknowledge { transaction } => self.say(ToConnector::Acknowledge { transaction })?,
                Action::Read(read) => {
                    self.age = false;
                    selection = Some(read);
                }
                Action::Advance { ends } => self.work = Some(Work::Advance(selection.take(), ends)),
                Action::StartAge { .. } => self.age = true,
                Action::SendLoads => self.work = Some(Work::Loads),
                Action::Flush { transaction } => self.say(ToConnector::Flush { transaction })?,
                Action::SendStores => self.work = Some(Work::Stores),
                Action::FindRejected { extent } => self.work = Some(Work::FindRejected(extent)),
                Action::Commit { transaction, checkpoint } => {
                    self.say(ToConnector::Commit { transaction, checkpoint })?
                }
                Action::Published { .. } => {}
                Action::HalfClose => {
                    self.work = None;
                    self.connector.order.end(Side::Runtime)?;
                    self.connector.half_closed = true;
                }
                Action::Finish(how) => end = Some(how),
            }
        }
        Ok(end)
    }
}

/// Specs by version, so that what was begun under one can be finished under it.
pub type Specs = BTreeMap<u64, Spec>;
