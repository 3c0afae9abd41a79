//! The asker's side: finds who runs in a state directory, asks, and after a stop waits until that process is gone.

#![allow(clippy::disallowed_methods, reason = "waits for a process no longer than asked to")]

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;

use super::{Answer, Ask, Note, PROTOCOL, Request, RuntimeReport, TaskReport};
use crate::store::holder;

/// A runtime answers at once, however busy it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// Nobody owns the state directory.
    #[error("no runtime runs")]
    NobodyRuns,
    /// Somebody owns it and does not answer.
    #[error("process {pid} owns the state directory and does not answer{why}")]
    Silent {
        /// Who.
        pid: u32,
        /// What was tried; may be empty.
        why: String,
    },
    /// It speaks another protocol.
    #[error(
        "the runtime (process {pid}) is longshore {theirs}, this is longshore {}: they do not understand each other",
        crate::VERSION
    )]
    OtherVersion {
        /// Who.
        pid: u32,
        /// Its version.
        theirs: String,
    },
}

/// Asks the runtime of a state directory how it is doing.
///
/// # Errors
/// Nobody to ask, or nobody who answers.
pub async fn status(state_directory: &Path) -> Result<(RuntimeReport, Vec<TaskReport>), NotAsked> {
    let (runtime, mut answers) = ask(state_directory, Ask::Status).await?;
    let mut tasks = Vec::new();
    loop {
        match answers.next().await? {
            Answer::Task(task) => tasks.push(*task),
            Answer::End => return Ok((runtime, tasks)),
            Answer::Runtime(_) | Answer::Stopping | Answer::Refused { .. } => return Err(answers.other_version()),
        }
    }
}

/// Tells the runtime of a state directory to stop in order. It is on its way when this returns.
///
/// # Errors
/// Nobody to tell, or nobody who answers.
pub async fn stop(state_directory: &Path) -> Result<Stopping, NotAsked> {
    let (runtime, mut answers) = ask(state_directory, Ask::Stop).await?;
    match answers.next().await? {
        Answer::Stopping => Ok(Stopping { runtime, answers }),
        Answer::Runtime(_) | Answer::Task(_) | Answer::Refused { .. } | Answer::End => Err(answers.other_version()),
    }
}

/// A runtime that has been told to stop.
#[derive(Debug)]
pub struct Stopping {
    /// Who.
    pub runtime: RuntimeReport,
    answers: Answers,
}

impl Stopping {
    /// Waits until its process is gone, and with it its hold on the state directory. False: the time was over first.
    pub async fn gone(mut self, limit: Duration) -> bool {
        match self.answers.process.take() {
            Some(process) => tokio::task::spawn_blocking(move || ends_within(&process, limit)).await.unwrap_or(false),
            // In another namespace of processes: the connection ends with it.
            None => tokio::time::timeout(limit, self.answers.lines.next_line()).await.is_ok(),
        }
    }
}

/// Sends a request and gives the first answer, who it is, with what follows.
async fn ask(state_directory: &Path, ask: Ask) -> Result<(RuntimeReport, Answers), NotAsked> {
    let note: Option<Note> =
        std::fs::read_to_string(Note::path(state_directory)).ok().and_then(|text| serde_json::from_str(&text).ok());
    let stream = match &note {
        Some(note) => UnixStream::connect(&note.socket).await.map_err(|error| error.to_string()),
        None => Err("it is just starting or ending, or of a version that has no status".to_owned()),
    };
    let (note, stream) = match (note, stream) {
        (Some(note), Ok(stream)) => (note, stream),
        (_, failed) => {
            let why = failed.err().map(|why| format!(": {why}")).unwrap_or_default();
            return Err(holder(state_directory).map_or(NotAsked::NobodyRuns, |pid| NotAsked::Silent { pid, why }));
        }
    };
    if note.protocol != PROTOCOL {
        return Err(NotAsked::OtherVersion { pid: note.pid, theirs: note.version });
    }
    // Of the peer itself, before it can have ended: the number cannot belong to anybody else.
    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid()).and_then(Pid::from_raw);
    let process = peer.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let mut stream = BufReader::new(stream);
    let request = Request { protocol: PROTOCOL, ask };
    let request = serde_json::to_string(&request).unwrap_or_default() + "\n";
    let sent = tokio::time::timeout(PATIENCE, stream.write_all(request.as_bytes())).await;
    let mut answers = Answers { lines: stream.lines(), process, note };
    if !matches!(sent, Ok(Ok(()))) {
        return Err(answers.silent("it does not take the question"));
    }
    match answers.next().await? {
        // A note of a killed runtime may name what is another one's now.
        Answer::Runtime(runtime) if runtime.pid != answers.note.pid => Err(NotAsked::NobodyRuns),
        Answer::Runtime(runtime) => Ok((runtime, answers)),
        Answer::Task(_) | Answer::Stopping | Answer::Refused { .. } | Answer::End => Err(answers.other_version()),
    }
}

/// What comes back.
#[derive(Debug)]
struct Answers {
    lines: Lines<BufReader<UnixStream>>,
    /// The one who answers; `None`: it is in another namespace.
    process: Option<OwnedFd>,
    note: Note,
}

impl Answers {
    async fn next(&mut self) -> Result<Answer, NotAsked> {
        match tokio::time::timeout(PATIENCE, self.lines.next_line()).await {
            Ok(Ok(Some(line))) => serde_json::from_str(&line).map_err(|_| self.other_version()),
            Ok(Ok(None)) => Err(self.silent("it broke off")),
            Ok(Err(error)) => Err(self.silent(&error.to_string())),
            Err(_) => Err(self.silent("it says nothing")),
        }
    }

    fn silent(&self, why: &str) -> NotAsked {
        NotAsked::Silent { pid: self.note.pid, why: format!(": {why}") }
    }

    fn other_version(&self) -> NotAsked {
        NotAsked::OtherVersion { pid: self.note.pid, theirs: self.note.version.clone() }
    }
}

/// Blocks until a process has ended, or the time is over.
fn ends_within(process: &OwnedFd, limit: Duration) -> bool {
    let begun = Instant::now();
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        let left =
            Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
            Ok(ended) => return ended > 0,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
