//! Starts a connector's container and makes sure that it ends: the runtime's half of the launch contract in `base-image/README.md`.
//!
//! What a container may do is decided in [`profile`] and shown by [`sandbox`], whom it runs as is decided in [`user`]; all are pure but for
//! looking at files. [`engine`] knows the Docker Engine, [`image`] gets and checks the image, [`network`] makes what it may reach, [`living`]
//! keeps it until it has ended, [`leftovers`] removes what killed runtimes left. What a connector says is not known here: see [`super::dial`].

mod engine;
mod image;
mod leftovers;
mod living;
mod network;
mod profile;
mod sandbox;
mod user;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::query_parameters::CreateContainerOptionsBuilder;
use longshore_proto::Error;
use longshore_relay::Pair;

use super::Kind;
use super::ending::{Exit, Watch};
use super::process::log_level;

pub use image::{Pinned, Pins, look_up};
pub use leftovers::sweep;
pub use sandbox::{Limits, Sandbox, ShownMount};

pub(crate) use image::Reference;
pub(crate) use network::HOSTS_MAX;
pub(crate) use profile::SOCKETS_IN_CONTAINER;

use engine::Engine;
use image::{Resolved, resolve};
use leftovers::Labels;
use living::{Bound, Kept, Living};
use network::{For, Network, Seat};
use profile::{Given, SOCKET_IN_CONTAINER};
use user::User;

/// An image to be run, as the catalog asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `name:tag`, `name@sha256:…`, or the id of an image.
    pub reference: String,
    /// What it may see of the host.
    pub mounts: Vec<Mount>,
    /// What it may use of the machine.
    pub limits: Limits,
    /// What it may reach; nothing, if it is empty.
    pub allow: Vec<Pair>,
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
    kept: Kept,
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
        let unique = unique(around.socket_directory);
        let of = For {
            task: around.task,
            allow: &image.allow,
            name: &container_name(around.task, unique),
            labels: &Labels::new(around.task, around.installation),
            unique: u32::from_str_radix(unique, 16).unwrap_or_default(),
        };
        let (network, seat) = Network::make(&engine, of).await?;
        let sandbox = profile::sandbox(&given, image, &resolved);
        let body = body(&sandbox, &given, &resolved, around, of, seat.as_ref());
        let options = CreateContainerOptionsBuilder::default().name(of.name).build();
        let id = match engine.api().create_container(Some(options), body).await {
            Ok(made) => made.id,
            Err(error) => {
                network.remove().await;
                return Err(engine.refused(&format!("making a container of {}", image.reference), error));
            }
        };
        let living = Living::new(engine, id, image.limits.memory_bytes);
        match living.start().await {
            Ok(attached) => {
                let socket_directory = Some(around.socket_directory.to_path_buf());
                let bound = Bound { network: Some(network), socket_directory };
                let kept = living.keep(attached, around.task, &image.reference, bound);
                Ok(Self { kept, sandbox })
            }
            Err(error) => {
                living.remove().await;
                network.remove().await;
                Err(error)
            }
        }
    }

    pub(crate) fn watch(&self) -> Watch {
        self.kept.watch()
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// SIGTERM, the grace period, SIGKILL; one that is paused goes on first. Returns when it is removed, with how it ended if it was still
    /// there.
    pub(crate) async fn stop(self, grace: Duration) -> Option<Exit> {
        self.kept.stop(grace).await
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

/// Everything the connector's container is made of.
fn body(
    sandbox: &Sandbox,
    given: &Given,
    resolved: &Resolved,
    around: Around<'_>,
    of: For<'_>,
    seat: Option<&Seat>,
) -> bollard::models::ContainerCreateBody {
    let environment = [
        format!("LONGSHORE_LISTEN=unix:{SOCKET_IN_CONTAINER}"),
        format!("LONGSHORE_TOKEN={}", around.token),
        format!("LONGSHORE_LOG={}", log_level()),
        "LONGSHORE_LOG_FORMAT=json".to_owned(),
        "LONGSHORE_LIFELINE=stdin".to_owned(),
    ];
    let zone = std::env::var("TZ").ok().map(|zone| format!("TZ={zone}"));
    profile::create(profile::Create {
        sandbox,
        given,
        image_id: &resolved.id,
        volumes: &resolved.volumes,
        socket_directory: around.socket_directory,
        seat,
        environment: environment.into_iter().chain(zone).collect(),
        labels: of.labels.of_connector(),
    })
}

/// What its socket directory is called, which no other has.
fn unique(socket_directory: &Path) -> &str {
    socket_directory.parent().and_then(Path::file_name).and_then(std::ffi::OsStr::to_str).unwrap_or_default()
}

/// For people who look at `docker ps`.
fn container_name(task: &str, unique: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    let task: String = task.chars().map(plain).take(60).collect();
    format!("longshore-{task}-{unique}")
}
