//! The Docker Engine: where it is, what its errors mean, and the few things that are asked of it in more than one place.

use std::time::Duration;

use bollard::errors::Error as Refusal;
use bollard::query_parameters::{KillContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use bollard::{API_DEFAULT_VERSION, Docker};
use longshore_proto::{Error, ErrorKind};

const DEFAULT: &str = "unix:///var/run/docker.sock";
/// Within this time it begins to answer, or it is stuck.
const ANSWER: Duration = Duration::from_secs(60);

/// An Engine that answers.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    docker: Docker,
    host: String,
}

impl Engine {
    /// The one of `DOCKER_HOST`, else the usual one.
    pub(super) async fn connect() -> Result<Self, Error> {
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()).unwrap_or_else(|| DEFAULT.into());
        let Some(path) = host.strip_prefix("unix://") else {
            let message = format!("reaching the Docker Engine: expected DOCKER_HOST=unix:///path, got {host}");
            return Err(Error::config("engine.address", message)
                .suggest("connectors serve on Unix sockets of this machine, so the Engine must run on it"));
        };
        let unreachable = |error: Refusal| {
            let message = format!("reaching the Docker Engine at {host}: {error}");
            Error::unavailable("engine.unreachable", message)
                .suggest("start it, join its group (`docker`), or name another in DOCKER_HOST=unix:///path")
        };
        let docker = Docker::connect_with_unix(path, ANSWER.as_secs(), API_DEFAULT_VERSION).map_err(unreachable)?;
        let docker = docker.negotiate_version().await.map_err(unreachable)?;
        Ok(Self { docker, host })
    }

    /// Whether there could be one: without its socket nothing of it can be left behind.
    pub(super) fn may_be_there() -> bool {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| DEFAULT.into());
        host.strip_prefix("unix://").is_some_and(|path| std::path::Path::new(path).exists())
    }

    pub(super) fn api(&self) -> &Docker {
        &self.docker
    }

    /// What a refusal means: what was asked for cannot be, or the Engine cannot do it now.
    pub(super) fn refused(&self, doing: &str, error: Refusal) -> Error {
        let message = format!("the Docker Engine at {}, {doing}: {error}", self.host);
        match status(&error) {
            Some(400..=499) => Error::new(ErrorKind::Config, "engine.refused", message),
            Some(_) | None => Error::unavailable("engine.failed", message),
        }
    }

    /// Sends a signal; one that has ended needs none.
    pub(super) async fn kill(&self, id: &str, signal: &str) {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        if let Err(error) = self.docker.kill_container(id, Some(options)).await {
            tracing::debug!(target: "longshore", container = id, "cannot send {signal}: {error}");
        }
    }

    /// Kills it, also when it is paused: a signal waits until it goes on, so it gets that first and does nothing any more.
    pub(super) async fn end(&self, id: &str) {
        self.kill(id, "SIGKILL").await;
        // An error means that it was not paused.
        self.docker.unpause_container(id).await.ok();
        // Older Engines refuse to signal one that is paused.
        self.kill(id, "SIGKILL").await;
    }

    /// Removes it with its volumes, whatever it does.
    pub(super) async fn remove(&self, id: &str) {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.docker.remove_container(id, Some(options)).await {
            Ok(()) => {}
            Err(error) if is_not_found(&error) || status(&error) == Some(409) => {}
            Err(error) => {
                tracing::warn!(target: "longshore", container = id, "cannot remove the container, the next run will: {error}");
            }
        }
    }
}

pub(super) fn is_not_found(error: &Refusal) -> bool {
    status(error) == Some(404)
}

pub(super) fn status(error: &Refusal) -> Option<u16> {
    if let Refusal::DockerResponseServerError { status_code, .. } = error { Some(*status_code) } else { None }
}
