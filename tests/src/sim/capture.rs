//! Feeds the shipped capture machine and does what it says, as its session does: the journal's writes wait in a queue, because there they
//! happen on a thread of their own.

use std::collections::VecDeque;

use longshore::capture::patches::Patches;
use longshore::capture::transaction::{Action, End, Event, Limits, Transaction};
use longshore::journal::{Committed, Control, Durable, Journal, JournalError, Letter, LocalId, NewBinding, Writer};
use longshore::store::Epoch;
use longshore_proto::Error;
use longshore_proto::batch::{Batch, BatchBuilder};
use longshore_proto::capture::message::{ToConnector, ToRuntime};
use longshore_proto::name::StateKey;
use longshore_proto::state::StatePatch;

use super::source::{Connector, Source, is_bad};
use super::{Mistake, Violation};

/// The collection of the model.
pub const COLLECTION: &str = "model/rows";
/// Its key.
pub const KEY: &str = "/id";

/// One session.
#[derive(Debug)]
pub struct CaptureTask {
    machine: Transaction,
    writer: Box<dyn Writer>,
    local: LocalId,
    patches: Patches,
    /// What the journal's thread has not done yet.
    queue: VecDeque<Write>,
    /// What the session was told by it, and has not heard yet.
    news: VecDeque<Event>,
    connector: Connector,
    age: bool,
    stopping: bool,
    idle_told: bool,
    mistake: Mistake,
    /// Letters that a mistake holds back.
    late: Vec<Letter>,
    schema_version: u64,
    /// Where the journal ended when the session had caught up.
    pub caught_up: Option<Committed>,
}

#[derive(Debug)]
enum Write {
    Documents { pieces: Vec<Piece>, bytes: u64 },
    Schema(Vec<u8>),
    Control(Control),
    Commit(StatePatch),
    Abandon,
}

#[derive(Debug)]
enum Piece {
    Documents(Batch),
    Letter(Letter),
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Step {
    SourceSpeaks,
    Hears,
    Writes,
    News,
    Idle,
    Age,
    Quiet,
}

/// How a step went wrong.
#[derive(Debug)]
pub enum Broken {
    /// The session is over, as it may be.
    Session(Error),
    /// A rule is broken.
    Rule(Violation),
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        Self::Rule(violation)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

/// What is admitted and what is not, in the order of the batch.
fn sorted(batch: Batch) -> Vec<Piece> {
    if !is_bad(batch.arena()) {
        return vec![Piece::Documents(batch)];
    }
    let (mut pieces, mut admitted) = (Vec::new(), BatchBuilder::new(0));
    for document in batch.documents() {
        if !is_bad(document) {
            admitted.push(document);
            continue;
        }
        pieces.extend(admitted.finish().map(Piece::Documents));
        let (code, message) = ("document.schema".to_owned(), "it is bad".to_owned());
        pieces.push(Piece::Letter(Letter { code, message, document: document.to_vec().into() }));
    }
    pieces.extend(admitted.finish().map(Piece::Documents));
    pieces
}

impl CaptureTask {
    /// Acquires the journal and opens the source.
    pub fn start(journal: &dyn Journal, epoch: Epoch, source: &mut Source, mistake: Mistake) -> Result<Self, Broken> {
        let mut writer = journal.acquire(epoch).map_err(Error::from)?;
        let binding = NewBinding {
            state_key: StateKey::new(&["rows".to_owned()], 0),
            collection: COLLECTION.to_owned(),
            key: vec![KEY.to_owned()],
        };
        let local = writer.bind(&binding).map_err(Error::from)?;
        let connector = source.open(writer.state())?;
        let limits = Limits { close_bytes: 600, close_documents: 5, ..Limits::default() };
        let schema_version = writer.schemas().get(&local).map_or(0, |schema| schema.version);
        let mut task = Self {
            machine: Transaction::new(limits),
            patches: Patches::new(writer.state().clone()),
            writer,
            local,
            queue: VecDeque::new(),
            news: VecDeque::new(),
            connector,
            age: false,
            stopping: false,
            idle_told: false,
            mistake,
            late: Vec::new(),
            schema_version,
            caught_up: None,
        };
        let open = longshore_proto::capture::message::Open {
            owner: super::world::owner("capture", epoch),
            config_json: bytes::Bytes::from_static(b"{}"),
            bindings: Vec::new(),
            state: task.writer.state().clone(),
        };
        task.connector.order.runtime(&ToConnector::Open(Box::new(open)))?;
        Ok(task)
    }

    /// Tells what may happen next.
    pub fn each_due(&self, mut each: impl FnMut(Step)) {
        let hears = !self.connector.to_runtime.is_empty() && self.machine.wants_input();
        let idle = self.connector.to_runtime.is_empty() && self.machine.wants_input() && !self.idle_told;
        let steps = [
            (Step::SourceSpeaks, self.connector.wants_to_speak()),
            (Step::Hears, hears),
            (Step::Writes, !self.queue.is_empty()),
            (Step::News, !self.news.is_empty()),
            (Step::Idle, idle),
            (Step::Age, self.age),
            (Step::Quiet, self.stopping && self.connector.to_runtime.is_empty()),
        ];
        steps.iter().filter(|(_, is_due)| *is_due).for_each(|(step, _)| each(*step));
    }

    /// Lets it happen.
    pub fn step(&mut self, step: Step, source: &mut Source) -> Result<Option<End>, Broken> {
        match step {
            Step::SourceSpeaks => {
                self.connector.speak(source);
                Ok(None)
            }
            Step::Hears => self.hear(source),
            Step::Writes => self.write(),
            Step::News => match self.news.pop_front() {
                Some(event) => self.event(event, None, source),
                None => Ok(None),
            },
            Step::Idle => {
                self.idle_told = true;
                self.event(Event::InputIdle, None, source)
            }
            Step::Age => {
                self.age = false;
                self.event(Event::AgeElapsed, None, source)
            }
            Step::Quiet => self.event(Event::Quiet, None, source),
        }
    }

    /// Asks it to end in order.
    pub fn stop(&mut self, source: &mut Source) -> Result<Option<End>, Broken> {
        self.event(Event::StopRequested, None, source)
    }

    fn hear(&mut self, source: &mut Source) -> Result<Option<End>, Broken> {
        let Some(message) = self.connector.to_runtime.pop_front() else { return Ok(None) };
        self.connector.order.connector(&message)?;
        self.idle_told = false;
        match message {
            ToRuntime::Opened => self.event(Event::Opened, None, source),
            ToRuntime::Captured(batch) => {
                let event = Event::Documents { count: batch.len() as u64, bytes: batch.byte_len() as u64 };
                let (bytes, pieces) = (batch.byte_len() as u64, sorted(batch));
                self.event(event, Some(Write::Documents { pieces, bytes }), source)
            }
            ToRuntime::SourcedSchema { schema_json, .. } => {
                let event = Event::WiderSchema { bytes: schema_json.len() as u64 };
                self.event(event, Some(Write::Schema(schema_json.to_vec())), source)
            }
            ToRuntime::Checkpoint(checkpoint) => {
                let changes_state = !checkpoint.state_patch.is_empty();
                self.patches.add(checkpoint.state_patch)?;
                let event =
                    Event::Checkpoint { changes_state, caught_up: checkpoint.caught_up, partial: checkpoint.partial };
                self.event(event, None, source)
            }
            ToRuntime::Progress(_) => Ok(None),
            ToRuntime::BackfillBegin { .. } => self.control(Control::BackfillBegin, source),
            ToRuntime::BackfillComplete { .. } => self.control(Control::BackfillComplete, source),
            ToRuntime::Truncated { .. } => self.control(Control::Truncated, source),
            ToRuntime::TooLarge { .. } => Err(Broken::Rule("the model source sends nothing too large".to_owned())),
        }
    }

    fn control(&mut self, control: Control, source: &mut Source) -> Result<Option<End>, Broken> {
        self.event(Event::Control, Some(Write::Control(control)), source)
    }

    /// The journal's thread does the next thing.
    fn write(&mut self) -> Result<Option<End>, Broken> {
        let Some(write) = self.queue.pop_front() else { return Ok(None) };
        match write {
            Write::Documents { pieces, bytes } => {
                for piece in pieces {
                    self.piece(piece).map_err(Error::from)?;
                }
                if self.mistake == Mistake::CommitHalfATransaction {
                    let _durable = self.writer.commit(&StatePatch::new()).map_err(Error::from)?;
                }
                self.news.push_back(Event::Written { bytes });
            }
            Write::Schema(json) => {
                self.schema_version += 1;
                self.writer.schema(self.local, self.schema_version, &json).map_err(Error::from)?;
                self.news.push_back(Event::Written { bytes: json.len() as u64 });
            }
            Write::Control(control) => {
                self.writer.control(self.local, control).map_err(Error::from)?;
                self.news.push_back(Event::Written { bytes: 0 });
            }
            Write::Commit(patch) => {
                let proof: Durable<Committed> = self.writer.commit(&patch).map_err(Error::from)?;
                self.news.push_back(Event::Committed(proof));
                if !self.late.is_empty() {
                    for letter in std::mem::take(&mut self.late) {
                        self.writer.letter(self.local, &letter).map_err(Error::from)?;
                    }
                    let _durable = self.writer.commit(&StatePatch::new()).map_err(Error::from)?;
                }
            }
            Write::Abandon => self.writer.abandon(),
        }
        Ok(None)
    }

    fn piece(&mut self, piece: Piece) -> Result<(), JournalError> {
        match piece {
            Piece::Documents(batch) => self.writer.documents(self.local, &batch),
            Piece::Letter(letter) if self.mistake == Mistake::CheckpointBeforeItsLetter => {
                self.late.push(letter);
                Ok(())
            }
            Piece::Letter(_) if self.mistake == Mistake::LoseALetter => Ok(()),
            Piece::Letter(letter) => {
                self.writer.letter(self.local, &letter)?;
                if self.mistake == Mistake::LetterBeforeItsCheckpoint {
                    let _durable = self.writer.commit(&StatePatch::new())?;
                }
                Ok(())
            }
        }
    }

    fn event(&mut self, event: Event, mut entry: Option<Write>, source: &mut Source) -> Result<Option<End>, Broken> {
        let mut end = None;
        for action in self.machine.step(event)? {
            match action {
                Action::Append => self.queue.extend(entry.take()),
                Action::StartAge => self.age = true,
                Action::Commit { .. } => {
                    self.age = false;
                    let patch = self.patches.take()?;
                    let patch = match self.mistake == Mistake::CheckpointWithoutState {
                        true => StatePatch::new(),
                        false => patch,
                    };
                    self.queue.push_back(Write::Commit(patch));
                    if self.mistake == Mistake::AcknowledgeBeforeSync {
                        self.connector.acknowledged(1, source)?;
                    }
                }
                Action::Acknowledge { .. } if self.mistake == Mistake::AcknowledgeBeforeSync => {}
                Action::Acknowledge { checkpoints, proof: _ } => {
                    let next = u32::from(self.mistake == Mistake::AcknowledgeWhatComesNext);
                    let checkpoints = checkpoints + next;
                    self.connector.order.runtime(&ToConnector::Acknowledge { checkpoints })?;
                    self.connector.acknowledged(checkpoints, source)?;
                }
                Action::CaughtUp(proof) => self.caught_up = Some(*proof),
                Action::SendStop => {
                    self.stopping = true;
                    self.connector.order.runtime(&ToConnector::Stop)?;
                    self.connector.stop();
                }
                Action::Abandon => self.queue.push_back(Write::Abandon),
                // What the connector does then, it does at once.
                Action::HalfClose => end = Some(End::Stopped),
                Action::Finish(how) => end = Some(how),
            }
        }
        Ok(end)
    }
}
