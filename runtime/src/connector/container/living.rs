//! A container from its start to its removal: attached, watched by a keeper task, ended, told of, removed.
//!
//! The same for a connector and a relay; what one is made of is decided in [`super::profile`].

#![allow(clippy::disallowed_methods, reason = "a container's words and its end are watched for as long as it lives")]

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bollard::container::AttachContainerResults;
use bollard::query_parameters::{AttachContainerOptionsBuilder, WaitContainerOptionsBuilder};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use longshore_proto::Error;
use tokio::io::AsyncWrite;
use tokio::sync::oneshot;
use tokio_util::io::StreamReader;

use super::engine::{self, Engine};
use super::network::Network;
use crate::connector::ending::{Exit, Watch};
use crate::connector::stderr::{self, LastLines};

/// How long its last words are waited for, and its removal.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Between two looks into its socket directory.
const LOOK: Duration = Duration::from_millis(500);
/// What may lie there.
const FILES_MAX: usize = 64;
const BYTES_MAX: u64 = 1 << 20;

/// One that is watched. Dropped without [`Kept::stop`], it is killed.
#[derive(Debug)]
pub(super) struct Kept {
    stop: Option<oneshot::Sender<Duration>>,
    exit: Watch,
}

impl Kept {
    pub(super) fn watch(&self) -> Watch {
        self.exit.clone()
    }

    /// SIGTERM, the grace period, SIGKILL; one that is paused goes on first. Returns when it is removed, with how it ended if it was still
    /// there.
    pub(super) async fn stop(mut self, grace: Duration) -> Option<Exit> {
        if self.exit.has_ended() {
            return None;
        }
        if let Some(stop) = self.stop.take() {
            // An error means that it has ended by itself.
            stop.send(grace).ok();
        }
        self.exit.ended().await
    }
}

/// Its standard input, which is the lifeline, and what it says.
pub(super) struct Attached(AttachContainerResults);

impl Attached {
    /// Waits until it says something, which stays to be read; whether it did.
    pub(super) async fn first_word(&mut self, limit: Duration) -> bool {
        let Ok(Some(Ok(word))) = tokio::time::timeout(limit, self.0.output.next()).await else { return false };
        let rest = std::mem::replace(&mut self.0.output, Box::pin(stream::empty()));
        self.0.output = Box::pin(stream::once(async { Ok(word) }).chain(rest));
        true
    }
}

/// What a container cannot be without.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// Removed behind it.
    pub(super) network: Option<Network>,
    /// Where it makes its socket and nothing else. It lies on a disk of this host, without a quota.
    pub(super) socket_directory: Option<PathBuf>,
}

impl Bound {
    /// Waits until one of these cannot be relied on any more.
    async fn broken(&self) -> String {
        let fallen = async {
            match &self.network {
                Some(network) => network.fallen().await,
                None => std::future::pending().await,
            }
        };
        let filled = async {
            match &self.socket_directory {
                Some(directory) => filled(directory).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            how = fallen => how,
            how = filled => how,
        }
    }
}

/// Waits until more lies in a socket directory than a socket and what somebody may keep beside it.
async fn filled(directory: &Path) -> String {
    loop {
        tokio::time::sleep(LOOK).await;
        let (files, bytes) = contents(directory);
        if files > FILES_MAX || bytes > BYTES_MAX {
            return format!(
                "it filled its socket directory ({files} files, {bytes} bytes; {FILES_MAX} and {BYTES_MAX} are allowed), and was killed"
            );
        }
    }
}

/// How many files there are and what they take; counting ends where there are too many.
fn contents(directory: &Path) -> (usize, u64) {
    let (mut files, mut bytes) = (0, 0);
    let mut left = vec![directory.to_path_buf()];
    while let Some(directory) = left.pop() {
        // What cannot be read is gone, or was closed by its owner and counts as one.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            files += 1;
            let Ok(meta) = entry.metadata() else { continue };
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                left.push(entry.path());
            }
            if files > FILES_MAX {
                return (files, bytes);
            }
        }
    }
    (files, bytes)
}

/// A container that somebody has to remove.
pub(super) struct Living {
    engine: Engine,
    id: String,
    memory_bytes: u64,
}

impl Living {
    pub(super) fn new(engine: Engine, id: String, memory_bytes: u64) -> Self {
        Self { engine, id, memory_bytes }
    }

    /// Attached before it is started, so that no word is lost.
    pub(super) async fn start(&self) -> Result<Attached, Error> {
        let failed = |error| self.engine.refused("starting a container", error);
        let options = AttachContainerOptionsBuilder::default().stdin(true).stderr(true).stream(true).build();
        let attached = self.engine.api().attach_container(&self.id, Some(options)).await.map_err(failed)?;
        self.engine.api().start_container(&self.id, None).await.map_err(failed)?;
        Ok(Attached(attached))
    }

    /// Watches it until it has ended, and removes it with what it is bound to.
    pub(super) fn keep(self, attached: Attached, task: &str, name: &str, bound: Bound) -> Kept {
        let AttachContainerResults { output, input } = attached.0;
        let last = LastLines::default();
        let words = StreamReader::new(output.map_ok(|piece| piece.into_bytes()).map_err(io::Error::other));
        let words = tokio::spawn(stderr::read(task.to_owned(), name.to_owned(), words, last.clone()));
        let (stop, stopped) = oneshot::channel();
        let (tell, exit) = Watch::channel();
        tokio::spawn(async move {
            let broken = self.outlive(input, stopped, &bound).await;
            let abort = words.abort_handle();
            if tokio::time::timeout(LAST_WORDS, words).await.is_err() {
                abort.abort();
            }
            let exit = self.ended(broken.unwrap_or_else(|| last.text())).await;
            self.remove().await;
            if let Some(network) = bound.network {
                network.remove().await;
            }
            tell.send_replace(Some(exit));
        });
        Kept { stop: Some(stop), exit }
    }

    /// Waits for the end: its own, or the one that is asked for, or that of what it is bound to; says how that broke. `_lifeline` is its
    /// standard input, open until then.
    async fn outlive(
        &self,
        _lifeline: Pin<Box<dyn AsyncWrite + Send>>,
        stopped: oneshot::Receiver<Duration>,
        bound: &Bound,
    ) -> Option<String> {
        let ended = self.wait_for_end();
        tokio::pin!(ended);
        let mut broken = None;
        tokio::select! {
            () = &mut ended => return None,
            how = bound.broken() => broken = Some(how),
            grace = stopped => if let Ok(grace) = grace {
                // An error means that it is not paused, or has ended already.
                self.engine.api().unpause_container(&self.id).await.ok();
                self.engine.kill(&self.id, "SIGTERM").await;
                if tokio::time::timeout(grace, &mut ended).await.is_ok() {
                    return None;
                }
            }
        }
        self.engine.end(&self.id).await;
        tokio::time::timeout(LAST_WORDS, ended).await.ok();
        broken
    }

    /// Asks again when the Engine goes away meanwhile; one that it knows no more has ended.
    async fn wait_for_end(&self) {
        const AGAIN: Duration = Duration::from_secs(1);
        loop {
            let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
            let mut waiting = self.engine.api().wait_container(&self.id, Some(options));
            match waiting.next().await {
                // An exit code above 0 is told as an error.
                Some(Ok(_)) | Some(Err(bollard::errors::Error::DockerContainerWaitError { .. })) => return,
                Some(Err(error)) if engine::is_not_found(&error) => return,
                Some(Err(_)) | None => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    async fn ended(&self, last_lines: String) -> Exit {
        let state = self.engine.api().inspect_container(&self.id, None).await.ok().and_then(|seen| seen.state);
        let ran_out = state.as_ref().and_then(|state| state.oom_killed) == Some(true);
        let code = state.and_then(|state| state.exit_code);
        // A memory limit that killed a child of it which it did not need is no reason for its own end.
        let ran_out = ran_out && code != Some(0);
        Exit::of_container(code, ran_out.then_some(self.memory_bytes), last_lines)
    }

    pub(super) async fn remove(&self) {
        self.engine.remove(&self.id).await;
    }
}
