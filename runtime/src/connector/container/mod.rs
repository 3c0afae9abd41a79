//! Starts a connector's container and makes sure that it ends: the runtime's half of the launch contract in `base-image/README.md`.
//!
//! What a container may do is decided in [`profile`], whom it runs as in [`user`]; both are pure but for looking at files. [`engine`] knows
//! the Docker Engine, [`image`] gets and checks the image, [`leftovers`] removes what killed runtimes left. A [`Container`] is watched by a
//! keeper task that removes it when it has ended. What a connector says is not known here: see [`super::dial`].

#![allow(clippy::disallowed_methods, reason = "a container's words and its end are watched for as long as it lives")]

mod engine;
mod image;
mod leftovers;
mod profile;
mod user;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bollard::container::AttachContainerResults;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use longshore_proto::Error;
use tokio::io::AsyncWrite;
use tokio::sync::oneshot;
use tokio_util::io::StreamReader;

use super::Kind;
use super::ending::{Exit, Watch};
use super::process::log_level;
use super::stderr::{self, LastLines};

pub use image::{Pinned, Pins, look_up};
pub use leftovers::sweep;
pub use profile::{Limits, Sandbox, ShownMount};

pub(crate) use image::Reference;
pub(crate) use profile::SOCKETS_IN_CONTAINER;

use engine::Engine;
use image::{Resolved, resolve};
use leftovers::Labels;
use profile::{Given, SOCKET_IN_CONTAINER};
use user::User;

/// How long its last words are waited for, and its removal.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// An image to be run, as the catalog asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `name:tag`, `name@sha256:…`, or the id of an image.
    pub reference: String,
    /// What it may see of the host.
    pub mounts: Vec<Mount>,
    /// What it may use of the machine.
    pub limits: Limits,
}

/// A part of the host that a container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// On the host; relative to the catalog.
    pub path: PathBuf,
    /// In the container; absolute.
    pub at: PathBuf,
    /// It can be read and not changed.
    pub read_only: bool,
}

/// What is needed beside the image to start a container of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) task: &'a str,
    pub(crate) kind: Kind,
    /// Whose state the task belongs to, for the sweep.
    pub(crate) installation: Option<&'a str>,
    pub(crate) catalog_directory: &'a Path,
    pub(crate) state_directory: Option<&'a Path>,
    /// Of this container alone: the directory in which it serves.
    pub(crate) socket_directory: &'a Path,
    pub(crate) token: &'a str,
    /// What it has to be, if that was written down.
    pub(crate) pinned: Option<&'a Pinned>,
}

/// A running container. Dropped without [`Container::stop`], it is killed.
#[derive(Debug)]
pub(crate) struct Container {
    stop: Option<oneshot::Sender<Duration>>,
    exit: Watch,
    sandbox: Sandbox,
}

impl Container {
    /// Gets the image if it is not there, makes the container and starts it.
    pub(crate) async fn start(image: &Image, around: Around<'_>) -> Result<Self, Error> {
        let given = Given::of_host(image, around.catalog_directory, around.state_directory)?;
        let engine = Engine::connect().await?;
        let resolved = resolve(&engine, &image.reference, around.kind, around.pinned).await?;
        if let Some(installation) = around.installation {
            leftovers::remove_of(&engine, installation, around.task).await?;
        }
        let user = given.user;
        make_socket_directory(around.socket_directory, user)?;
        let sandbox = profile::sandbox(&given, &image.limits, &resolved);
        let labels = Labels::new(around.task, around.installation);
        let environment = [
            format!("LONGSHORE_LISTEN=unix:{SOCKET_IN_CONTAINER}"),
            format!("LONGSHORE_TOKEN={}", around.token),
            format!("LONGSHORE_LOG={}", log_level()),
            "LONGSHORE_LOG_FORMAT=json".to_owned(),
            "LONGSHORE_LIFELINE=stdin".to_owned(),
        ];
        let zone = std::env::var("TZ").ok().map(|zone| format!("TZ={zone}"));
        let body = profile::create(profile::Create {
            sandbox: &sandbox,
            given: &given,
            image_id: &resolved.id,
            volumes: &resolved.volumes,
            socket_directory: around.socket_directory,
            environment: environment.into_iter().chain(zone).collect(),
            labels: labels.map(),
        });
        let name = container_name(around.task, around.socket_directory);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let made = engine.api().create_container(Some(options), body).await;
        let id = made.map_err(|error| engine.refused(&format!("making a container of {}", image.reference), error))?.id;
        let living = Living { engine, id, memory_bytes: image.limits.memory_bytes };
        match living.start().await {
            Ok(attached) => Ok(living.keep(attached, around.task, &image.reference, sandbox)),
            Err(error) => {
                living.remove().await;
                Err(error)
            }
        }
    }

    pub(crate) fn watch(&self) -> Watch {
        self.exit.clone()
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// SIGTERM, the grace period, SIGKILL; one that is paused goes on first. Returns when it is removed, with how it ended if it was still
    /// there.
    pub(crate) async fn stop(mut self, grace: Duration) -> Option<Exit> {
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

/// A container that somebody has to remove.
struct Living {
    engine: Engine,
    id: String,
    memory_bytes: u64,
}

impl Living {
    /// Attached before it is started, so that no word is lost.
    async fn start(&self) -> Result<AttachContainerResults, Error> {
        let failed = |error| self.engine.refused("starting a container", error);
        let options = AttachContainerOptionsBuilder::default().stdin(true).stderr(true).stream(true).build();
        let attached = self.engine.api().attach_container(&self.id, Some(options)).await.map_err(failed)?;
        self.engine.api().start_container(&self.id, None).await.map_err(failed)?;
        Ok(attached)
    }

    fn keep(self, attached: AttachContainerResults, task: &str, image: &str, sandbox: Sandbox) -> Container {
        let AttachContainerResults { output, input } = attached;
        let last = LastLines::default();
        let words = StreamReader::new(output.map_ok(|piece| piece.into_bytes()).map_err(io::Error::other));
        let words = tokio::spawn(stderr::read(task.to_owned(), image.to_owned(), words, last.clone()));
        let (stop, stopped) = oneshot::channel();
        let (tell, exit) = Watch::channel();
        tokio::spawn(async move {
            self.outlive(input, stopped).await;
            let abort = words.abort_handle();
            if tokio::time::timeout(LAST_WORDS, words).await.is_err() {
                abort.abort();
            }
            let exit = self.ended(last.text()).await;
            self.remove().await;
            tell.send_replace(Some(exit));
        });
        Container { stop: Some(stop), exit, sandbox }
    }

    /// Waits for the end: its own, or the one that is asked for. `_lifeline` is its standard input, open until then.
    async fn outlive(&self, _lifeline: Pin<Box<dyn AsyncWrite + Send>>, stopped: oneshot::Receiver<Duration>) {
        let ended = self.wait_for_end();
        tokio::pin!(ended);
        tokio::select! {
            () = &mut ended => return,
            grace = stopped => if let Ok(grace) = grace {
                // An error means that it is not paused, or has ended already.
                self.engine.api().unpause_container(&self.id).await.ok();
                self.engine.kill(&self.id, "SIGTERM").await;
                if tokio::time::timeout(grace, &mut ended).await.is_ok() {
                    return;
                }
            }
        }
        self.engine.end(&self.id).await;
        tokio::time::timeout(LAST_WORDS, ended).await.ok();
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

    async fn remove(&self) {
        self.engine.remove(&self.id).await;
    }
}

/// The directory that the container sees, its user's alone. The lock beside it stays out of reach.
fn make_socket_directory(path: &Path, user: User) -> Result<(), Error> {
    let made = std::fs::create_dir(path).and_then(|()| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
    });
    made.map_err(|error| {
        Error::internal("container.socket", format!("making the socket directory {}: {error}", path.display()))
    })
}

/// For people who look at `docker ps`; unique, as the socket's directory is.
fn container_name(task: &str, socket_directory: &Path) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    let task: String = task.chars().map(plain).take(60).collect();
    let unique = socket_directory.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    format!("longshore-{task}-{unique}")
}
