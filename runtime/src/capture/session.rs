//! One session of one capture: waits for an event, steps the machine, does what it says, until it ends.
//!
//! It decides nothing: when to commit, acknowledge and stop is in [`super::transaction`]. Documents are checked in [`super::intake`] before
//! the machine hears of them; the journal is written by [`super::scribe`] on a thread of its own. Nothing it starts outlives it.

#![allow(clippy::disallowed_methods, reason = "the loop around the machine tells it that time has passed")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_failpoints::{Plant, Step, is_planted, reached};
use longshore_proto::Error;
use longshore_proto::capture::message::{Checkpoint, Open, ToRuntime};
use longshore_proto::session::Owner;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::intake::{Entries, Intake, Intended};
use super::patches::Patches;
use super::scribe::{Command, News, Scribe};
use super::tally::Tally;
use super::transaction::{Action, End, Event, Limits, Transaction};
use crate::blocking::Blocking;
use crate::connector::{CaptureClient, PullReceiver, PullSender};
use crate::journal::{Committed, Control, Writer};
use crate::progress::{Phase, Progress};

/// A transaction does not get older than this if a checkpoint allows.
const CLOSE_AGE: Duration = Duration::from_millis(100);
/// After Stop: nothing for so long means that nothing is under way.
const QUIET: Duration = Duration::from_millis(50);

/// All that a session needs. The epoch is the owner's, taken before; the writer was acquired for this session and what Apply returned is
/// committed.
pub struct CaptureSession {
    /// A connector that has answered Spec.
    pub client: CaptureClient,
    /// Whose session it is.
    pub owner: Owner,
    /// The task's config.
    pub config_json: Bytes,
    /// The bindings, in the order of the session.
    pub bindings: Vec<Intended>,
    /// The right to append to the task's journal.
    pub writer: Box<dyn Writer>,
    /// Bounds and close policy.
    pub limits: Limits,
    /// How long the connector may take to end what is under way after Stop.
    pub grace: Duration,
    /// Cancelled when the session shall end in order.
    pub stop: CancellationToken,
    /// Told once, when all that existed at Open is durable and acknowledged.
    pub caught_up: Box<dyn Fn(Committed) + Send>,
    /// What people look at.
    pub progress: Arc<Progress>,
    /// Where the journal is written.
    pub blocking: Blocking,
}

/// Runs it to its end. After an error nothing that was not acknowledged is lost: the next session begins at the journal's last commit.
pub async fn run(session: CaptureSession) -> Result<End, Error> {
    let CaptureSession {
        client,
        owner,
        config_json,
        bindings,
        mut writer,
        limits,
        grace,
        stop,
        caught_up,
        progress,
        blocking,
    } = session;
    progress.enter(Phase::Starting);
    let state = writer.state().clone();
    let intake = Intake::new(client.name(), &bindings, &mut *writer)?;
    let bindings = intake.as_known(bindings.into_iter().map(|intended| intended.binding));
    let task = owner.task.clone();
    let open = Open { owner, config_json, bindings, state: state.clone() };
    let (sender, receiver) = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(End::Stopped),
        opened = client.pull(open) => opened?,
    };
    let scribe = Scribe::start(writer, &limits, blocking);
    let mut running = Running {
        task,
        machine: Transaction::new(limits),
        sender: Some(sender),
        receiver,
        intake,
        patches: Patches::new(state),
        scribe,
        tally: Tally::default(),
        timers: Timers { grace, ..Timers::default() },
        stop,
        stop_heard: false,
        idle_told: false,
        large_state_told: false,
        caught_up,
        progress,
    };
    let end = running.run().await;
    // Whatever happened: the journal's thread ends with the session, and a failure of its own is the better reason.
    match (end, running.scribe.finish().await) {
        (Ok(end), Ok(())) => Ok(end),
        (_, Err(journal)) => Err(journal),
        (Err(error), Ok(())) => Err(error),
    }
}

struct Running {
    task: String,
    machine: Transaction,
    /// Gone after the half-close.
    sender: Option<PullSender>,
    receiver: PullReceiver,
    intake: Intake,
    patches: Patches,
    scribe: Scribe,
    tally: Tally,
    timers: Timers,
    stop: CancellationToken,
    stop_heard: bool,
    idle_told: bool,
    large_state_told: bool,
    caught_up: Box<dyn Fn(Committed) + Send>,
    progress: Arc<Progress>,
}

/// What the loop woke up for.
enum Woken {
    News(News),
    Message(Option<ToRuntime>),
    Event(Event),
}

impl Running {
    async fn run(&mut self) -> Result<End, Error> {
        loop {
            let end = match self.wait().await? {
                Woken::News(News::Written { bytes }) => self.step(Event::Written { bytes }, None)?,
                Woken::News(News::Committed(proof)) => {
                    self.tally.committed(&self.progress);
                    self.step(Event::Committed(proof), None)?
                }
                Woken::Event(event) => self.step(event, None)?,
                Woken::Message(message) => {
                    self.idle_told = false;
                    self.timers.heard();
                    self.take(message)?
                }
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    async fn wait(&mut self) -> Result<Woken, Error> {
        let wants_input = self.machine.wants_input();
        tokio::select! {
            biased;
            news = self.scribe.news() => news.map(Woken::News),
            () = self.stop.cancelled(), if !self.stop_heard => {
                self.stop_heard = true;
                Ok(Woken::Event(Event::StopRequested))
            }
            event = self.timers.next() => Ok(Woken::Event(event)),
            message = self.receiver.recv(), if wants_input => message.map(Woken::Message),
            // The branches above are looked at first: nothing is there to be read.
            () = std::future::ready(()), if wants_input && !self.idle_told => {
                self.idle_told = true;
                Ok(Woken::Event(Event::InputIdle))
            }
        }
    }

    /// Checks what came, then lets the machine hear of it.
    fn take(&mut self, message: Option<ToRuntime>) -> Result<Option<End>, Error> {
        match message {
            None => self.step(Event::StreamEnded, None),
            Some(ToRuntime::Opened) => {
                reached(Step::CaptureOpened);
                self.progress.enter(Phase::Loading);
                self.step(Event::Opened, None)
            }
            Some(ToRuntime::Captured(batch)) => {
                let entries = self.intake.documents(batch)?;
                self.append(entries)
            }
            Some(ToRuntime::TooLarge { binding, document }) => {
                let entries = self.intake.too_large(binding, document)?;
                self.append(entries)
            }
            Some(ToRuntime::SourcedSchema { binding, schema_json }) => {
                let entries = self.intake.schema(binding, &schema_json)?;
                self.append(entries)
            }
            Some(ToRuntime::Checkpoint(checkpoint)) => self.checkpoint(checkpoint),
            Some(ToRuntime::Progress(progress)) => {
                self.progress.doing(&progress.doing);
                self.progress.behind_source(progress.lag, Instant::now().into_std());
                Ok(None)
            }
            Some(ToRuntime::BackfillBegin { binding }) => self.control(binding, Control::BackfillBegin),
            Some(ToRuntime::BackfillComplete { binding }) => self.control(binding, Control::BackfillComplete),
            Some(ToRuntime::Truncated { binding }) => self.control(binding, Control::Truncated),
        }
    }

    fn control(&mut self, binding: usize, control: Control) -> Result<Option<End>, Error> {
        let entries = self.intake.control(binding, control)?;
        self.append(entries)
    }

    /// Few at a time: the queue to the journal has room for them whenever a message may be read.
    fn append(&mut self, entries: Entries) -> Result<Option<End>, Error> {
        for (event, entry) in entries {
            if let Some(end) = self.step(event, Some(entry))? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) -> Result<Option<End>, Error> {
        let Checkpoint { state_patch, caught_up, partial } = checkpoint;
        if is_planted(Plant::AcknowledgedBeforeDurable)
            && let Some(sender) = &self.sender
        {
            sender.acknowledge(1)?;
        }
        let changes_state = !state_patch.is_empty();
        self.patches.add(state_patch)?;
        self.step(Event::Checkpoint { changes_state, caught_up, partial }, None)
    }

    fn step(&mut self, event: Event, mut entry: Option<Command>) -> Result<Option<End>, Error> {
        let mut end = None;
        for action in self.machine.step(event)? {
            match action {
                Action::Append => {
                    let entry = entry.take().ok_or_else(|| Error::internal("capture.session", "nothing to append"))?;
                    self.tally.add(&entry);
                    self.scribe.tell(entry)?;
                }
                Action::StartAge => self.timers.age = Some(Instant::now() + CLOSE_AGE),
                Action::Commit { splits } => self.commit(splits)?,
                Action::Acknowledge { checkpoints, proof: _ } => {
                    if let Some(sender) = self.sender.as_ref().filter(|_| !is_planted(Plant::AcknowledgedBeforeDurable))
                    {
                        reached(Step::CaptureAcknowledging);
                        sender.acknowledge(checkpoints)?;
                        reached(Step::CaptureAcknowledged);
                    }
                }
                Action::CaughtUp(proof) => (self.caught_up)(*proof),
                Action::SendStop => {
                    self.progress.enter(Phase::Stopping);
                    self.timers.stopped();
                    if let Some(sender) = &self.sender {
                        sender.stop()?;
                    }
                }
                Action::Abandon => {
                    self.tally.abandon();
                    self.scribe.tell(Command::Abandon)?;
                }
                Action::HalfClose => {
                    if let Some(sender) = self.sender.take() {
                        sender.half_close()?;
                    }
                }
                Action::Finish(how) => end = Some(how),
            }
        }
        Ok(end)
    }

    fn commit(&mut self, splits: bool) -> Result<(), Error> {
        if splits {
            tracing::warn!(
                task = self.task,
                "a transaction of the source is too large to stay whole: it is committed in parts"
            );
        }
        self.timers.age = None;
        self.tally.commit();
        let patch = self.patches.take()?;
        if self.patches.is_large() && !self.large_state_told {
            self.large_state_told = true;
            tracing::warn!(task = self.task, "the connector's state is over 1 MiB; over 16 MiB it is refused");
        }
        self.scribe.tell(Command::Commit(patch))
    }
}

/// Deadlines, each an event of the machine.
#[derive(Debug, Default)]
struct Timers {
    age: Option<Instant>,
    quiet: Option<Instant>,
    overdue: Option<Instant>,
    grace: Duration,
}

impl Timers {
    fn stopped(&mut self) {
        let now = Instant::now();
        (self.quiet, self.overdue) = (Some(now + QUIET), Some(now + self.grace));
    }

    /// Something came: what is quiet begins anew.
    fn heard(&mut self) {
        if self.quiet.is_some() || self.overdue.is_some() {
            self.quiet = Some(Instant::now() + QUIET);
        }
    }

    /// The next one that is over. Cancel-safe: a deadline is only forgotten when it is told.
    async fn next(&mut self) -> Event {
        let all = [
            (&mut self.age, Event::AgeElapsed),
            (&mut self.quiet, Event::Quiet),
            (&mut self.overdue, Event::StopOverdue),
        ];
        let first = all
            .into_iter()
            .filter_map(|(deadline, event)| Some(((*deadline)?, deadline, event)))
            .min_by_key(|(at, ..)| *at);
        match first {
            Some((at, deadline, event)) => {
                tokio::time::sleep_until(at).await;
                *deadline = None;
                event
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
