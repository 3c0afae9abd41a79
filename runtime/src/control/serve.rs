//! The runtime's side: listens, answers, and hands a stop to the run. It changes nothing else and waits for nobody for long.

#![allow(clippy::disallowed_methods, reason = "the status says for how long the runtime has been running")]

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use longshore_proto::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Answer, Ask, Note, PROTOCOL, REQUEST_MAX_BYTES, Request, RuntimeReport, TaskReport};
use crate::VERSION;
use crate::connector::SocketDirectory;
use crate::secret::Door;
use crate::supervise::Running;

/// Who asks without saying anything, or does not read, is let go after this.
const PATIENCE: Duration = Duration::from_secs(5);
/// Those that are answered at once; more wait.
const ASKERS_MAX: usize = 8;

/// What a runtime says of itself.
#[derive(Debug, Clone)]
pub struct About {
    /// The catalog it runs.
    pub catalog: PathBuf,
    /// The state directory it owns.
    pub state_directory: PathBuf,
    /// It ends when all is moved.
    pub until_caught_up: bool,
}

/// A socket on which a run answers. Gone, with its note, when this is dropped.
#[derive(Debug)]
pub struct Control {
    about: About,
    began: Instant,
    tasks: Vec<Running>,
    stop: CancellationToken,
    listener: UnixListener,
    note: PathBuf,
    // Behind the listener: its directory goes when nobody listens any more.
    _directory: SocketDirectory,
}

impl Control {
    /// Listens for the owner of a state directory. `stop` ends the run in order.
    ///
    /// # Errors
    /// `config`: there is no place for the socket or its note.
    pub fn open(about: About, tasks: Vec<Running>, stop: CancellationToken) -> Result<Self, Error> {
        let directory = SocketDirectory::create()?;
        let socket = directory.socket();
        let failed = |doing: &str, path: &Path, error: &io::Error| {
            Error::config("control.socket", format!("{doing} {}: {error}", path.display()))
        };
        let listener = UnixListener::bind(&socket).map_err(|error| failed("listening on", &socket, &error))?;
        let note = Note::path(&about.state_directory);
        let text = Note { protocol: PROTOCOL, version: VERSION.to_owned(), pid: std::process::id(), socket };
        place(&note, &text).map_err(|error| failed("writing", &note, &error))?;
        Ok(Self { about, began: Instant::now(), tasks, stop, listener, note, _directory: directory })
    }

    /// Answers until it is dropped with its future. Never ends by itself.
    pub async fn serve(&self) {
        let mut askers = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = askers.join_next() => {}
                asker = self.listener.accept(), if askers.len() < ASKERS_MAX => match asker {
                    Ok((stream, _)) => {
                        let (lines, stop) = (self.lines(), self.stop.clone());
                        askers.spawn(answer(stream, lines, stop));
                    }
                    // Out of descriptors, say: the next one may fare better, and waiting keeps us from spinning.
                    Err(error) => {
                        tracing::debug!(target: "longshore", %error, "cannot take who asks for the status");
                        tokio::time::sleep(PATIENCE).await;
                    }
                },
            }
        }
    }

    /// The status of this moment.
    fn lines(&self) -> Vec<Answer> {
        let runtime = RuntimeReport {
            pid: std::process::id(),
            version: VERSION.to_owned(),
            catalog: self.about.catalog.display().to_string(),
            state_directory: self.about.state_directory.display().to_string(),
            seconds: self.began.elapsed().as_secs(),
            until_caught_up: self.about.until_caught_up,
            stopping: self.stop.is_cancelled(),
        };
        let now = Instant::now();
        let tasks = self.tasks.iter().map(|task| Answer::Task(Box::new(TaskReport::of(task, now))));
        std::iter::once(Answer::Runtime(runtime)).chain(tasks).collect()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // A note that stays names a socket that is gone.
        std::fs::remove_file(&self.note).ok();
    }
}

/// Written aside and renamed in, so that nobody reads half of it; the state directory is private.
fn place(path: &Path, note: &Note) -> io::Result<()> {
    let aside = path.with_extension("json.new");
    let mut file = std::fs::File::create(&aside)?;
    writeln!(file, "{}", serde_json::to_string(note)?)?;
    std::fs::rename(aside, path)
}

/// One asker. Whoever breaks off has only their own answer to miss.
async fn answer(stream: UnixStream, status: Vec<Answer>, stop: CancellationToken) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut request = (&mut stream).take(REQUEST_MAX_BYTES);
    let Ok(Ok(1..)) = tokio::time::timeout(PATIENCE, request.read_line(&mut line)).await else { return };
    let request = serde_json::from_str::<Request>(&line);
    let refused = |message: String| vec![status[0].clone(), Answer::Refused { message }];
    let (lines, stops) = match request {
        Ok(Request { protocol: PROTOCOL, ask: Ask::Status }) => (status, false),
        Ok(Request { protocol: PROTOCOL, ask: Ask::Stop }) => (vec![status[0].clone(), Answer::Stopping], true),
        Ok(Request { protocol, .. }) => (refused(format!("expected protocol {PROTOCOL}, got {protocol}")), false),
        Err(error) => (refused(format!("expected a request of protocol {PROTOCOL}: {error}")), false),
    };
    if stops {
        tracing::info!(target: "longshore", "stopping: asked to by `longshore stop`; finishing the transactions under way");
        stop.cancel();
    }
    let mut text = String::new();
    for line in lines.iter().chain((!stops).then_some(&Answer::End)) {
        text.push_str(&serde_json::to_string(line).unwrap_or_default());
        text.push('\n');
    }
    let text = Door::Status.scrub_json(&text);
    let written = tokio::time::timeout(PATIENCE, stream.write_all(text.as_bytes())).await;
    if stops && matches!(written, Ok(Ok(()))) {
        // Its end tells whoever cannot see our process that we are gone.
        std::future::pending::<()>().await;
    }
}
