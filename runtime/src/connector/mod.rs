//! Connectors as the runtime sees them: find or dial one, keep its process, and talk to it through typed clients.
//!
//! [`Launched::start`] makes one that answers; [`Launched::capture`] and [`Launched::materialize`] give the clients, whose messages are
//! parsed and whose order is checked here and nowhere after. How a process is started and ended is in [`process`], what holds it in
//! [`mod@confine`], a container in [`container`], what either logs in [`stderr`], where its socket is in [`socket`]; the contract both sides
//! follow is `base-image/README.md`. What is said, and what it means, is not decided here: see [`crate::capture`] and
//! [`crate::materialize`].

#![allow(clippy::disallowed_methods, reason = "session tokens are random")]

mod address;
mod capture;
mod collections;
mod confine;
pub mod container;
mod dial;
mod ending;
mod find;
mod materialize;
mod process;
mod pull;
mod runs;
mod shortage;
mod socket;
mod stderr;
mod transact;
mod turn;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use longshore_proto::Error;
use longshore_proto::pb::capture::v1::capture_server;
use longshore_proto::pb::materialize::v1::materialize_server;
use longshore_proto::tls;
use tokio::io::{AsyncRead, AsyncWrite};

pub use address::Address;
pub use capture::CaptureClient;
pub use confine::Hold;
pub use find::{Bundled, SearchPath};
pub use materialize::MaterializeClient;
pub use process::GRACE;
pub use pull::{PullReceiver, PullSender};
pub use runs::{Part, Runs, Way};
pub use shortage::allow_open_files;
pub(crate) use socket::SocketDirectory;
pub use socket::forget_notes;
pub use transact::{TransactReceiver, TransactSender};
pub use verify::Verified;

use confine::{Confined, Places, confine};
use container::{Around, Container, Image, Pinned, Sandbox};
use dial::{Bearer, Connection};
use process::Process;
use socket::Held;

/// Which half of the protocol a connector speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Reads from a system.
    Capture,
    /// Writes to a system.
    Materialize,
}

impl Kind {
    /// The first word of the connector's name.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Materialize => "materialize",
        }
    }

    /// The gRPC service it serves.
    fn service(self) -> &'static str {
        match self {
            Self::Capture => capture_server::SERVICE_NAME,
            Self::Materialize => materialize_server::SERVICE_NAME,
        }
    }
}

/// Where a connector comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// By name, one of ours: see [`SearchPath`].
    Bundled(String),
    /// A program and its arguments; with a slash in it, the program is relative to the catalog's directory.
    Command(Vec<String>),
    /// Somebody else runs it there.
    Address {
        /// Where it serves.
        address: Address,
        /// The file (0600) with the token every call carries; relative to the catalog's directory.
        token_file: Option<PathBuf>,
        /// What the two ends show each other where it is `https://`; relative to the catalog's directory.
        tls: Option<tls::Files>,
    },
    /// A container of an image.
    Image {
        /// Which, and what it is given.
        image: Image,
        /// Which one it has to be, if that was written down.
        pinned: Option<Pinned>,
        /// Whose state the task belongs to; none for a question.
        installation: Option<String>,
    },
}

/// What is needed to start a connector.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The task it is started for, or whatever stands in for one in logs and errors.
    pub task: String,
    /// Which half it must speak.
    pub kind: Kind,
    /// Where it comes from.
    pub location: Location,
    /// What the catalog says of its sandbox, if it is a process.
    pub hold: Hold,
    /// Its working directory, absolute.
    pub catalog_directory: PathBuf,
    /// Where its socket is noted; none for a read-only command without state.
    pub state_directory: Option<PathBuf>,
}

/// A connector that answers. Dropped without [`Launched::stop`], its process or container is killed.
#[derive(Debug)]
pub struct Launched {
    connection: Connection,
    body: Body,
    // Behind the body, so that these go when nobody serves there any more.
    _held: Option<Held>,
    _socket: Option<SocketDirectory>,
}

/// What a connector lives in.
#[derive(Debug)]
enum Body {
    Process(Process, Vec<Part>),
    Container(Container),
    /// Somebody else's.
    Elsewhere,
}

impl Launched {
    /// Starts or dials it and waits until it serves.
    pub async fn start(launch: &Launch) -> Result<Self, Error> {
        let (command, bundled) = match &launch.location {
            Location::Bundled(name) => (Command::new(SearchPath::of_this_process().find(launch.kind, name)?), true),
            Location::Command(words) => (command(words, &launch.catalog_directory)?, false),
            Location::Address { address, token_file, tls } => {
                return Self::dial(launch, address, token_file.as_deref(), tls.as_ref()).await;
            }
            Location::Image { image, pinned, installation } => {
                return Self::contain(launch, image, pinned.as_ref(), installation.as_deref()).await;
            }
        };
        Self::spawn(launch, command, bundled).await
    }

    async fn spawn(launch: &Launch, command: Command, bundled: bool) -> Result<Self, Error> {
        let program = Path::new(command.get_program()).to_path_buf();
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let mut socket = SocketDirectory::create()?;
        let token = random_token()?;
        let path = socket.socket();
        let cannot_start = |error: std::io::Error| {
            let message = format!("starting {} in {}: {error}", program.display(), launch.catalog_directory.display());
            shortage::of(&error, &message).unwrap_or_else(|| {
                Error::config("connector.start", message).suggest("see that the program is there and can be executed")
            })
        };
        let found = confine::find(program.as_os_str(), &launch.catalog_directory).map_err(cannot_start)?;
        let places = Places {
            task: &launch.task,
            program: &found,
            catalog_directory: &launch.catalog_directory,
            state_directory: launch.state_directory.as_deref(),
            socket_directory: socket.path(),
            bundled,
        };
        let Confined { mut command, wrapped, parts } = confine(command, launch.hold, places).await?;
        command.current_dir(&launch.catalog_directory);
        let confined = Confined { command, wrapped, parts: Vec::new() };
        let listen = format!("unix:{}", path.display());
        let environment = [("LONGSHORE_LISTEN", listen.as_str()), ("LONGSHORE_TOKEN", token.as_str())];
        let process = Process::start(confined, &environment, &launch.task, &name).await.map_err(cannot_start)?;
        if let Some(state) = &launch.state_directory
            && let Err(error) = socket.note_in(state, &launch.task, &name, process.pid())
        {
            tracing::warn!(task = launch.task, %error, "cannot note the connector's socket in the state directory");
        }
        let channel = dial::channel(&Address::Unix(path), None)?;
        let connection = Connection::new(name, channel, Bearer::once(&token)?, Some(process.watch()));
        let launched = Self { connection, body: Body::Process(process, parts), _held: None, _socket: Some(socket) };
        launched.once_serving(launch.kind).await
    }

    async fn once_serving(self, kind: Kind) -> Result<Self, Error> {
        match self.connection.wait_until_serving(kind.service()).await {
            Ok(()) => Ok(self),
            Err(error) => {
                self.stop(Duration::ZERO).await;
                Err(error)
            }
        }
    }

    async fn contain(
        launch: &Launch,
        image: &Image,
        pinned: Option<&Pinned>,
        installation: Option<&str>,
    ) -> Result<Self, Error> {
        let socket = SocketDirectory::create()?;
        let token = random_token()?;
        let inner = socket.inner();
        let around = Around {
            task: &launch.task,
            kind: launch.kind,
            installation,
            catalog_directory: &launch.catalog_directory,
            state_directory: launch.state_directory.as_deref(),
            socket_directory: &inner,
            token: &token,
            pinned,
        };
        let container = Container::start(image, around).await?;
        let name = image.reference.clone();
        // What lies in a directory that the container can write to may be a link to somebody else's socket: it is held as it is.
        match dial::hold(&name, &inner.join("s"), container.watch()).await {
            Ok(held) => {
                let channel = dial::channel(&Address::Unix(held.path()), None)?;
                let connection = Connection::new(name, channel, Bearer::once(&token)?, Some(container.watch()));
                let body = Body::Container(container);
                let launched = Self { connection, body, _held: Some(held), _socket: Some(socket) };
                launched.once_serving(launch.kind).await
            }
            Err(error) => {
                container.stop(Duration::ZERO).await;
                Err(error)
            }
        }
    }

    async fn dial(
        launch: &Launch,
        address: &Address,
        token_file: Option<&Path>,
        tls: Option<&tls::Files>,
    ) -> Result<Self, Error> {
        let address = address.within(&launch.catalog_directory);
        let bearer = match token_file {
            Some(file) => Bearer::from_file(&launch.catalog_directory.join(file))?,
            None => Bearer::none(),
        };
        let tls = tls.map(|files| files.within(&launch.catalog_directory));
        let channel = dial::channel(&address, tls)?;
        let connection = Connection::new(address.to_string(), channel, bearer, None);
        connection.wait_until_serving(launch.kind.service()).await?;
        Ok(Self { connection, body: Body::Elsewhere, _held: None, _socket: None })
    }

    /// One that is reached in the caller's own way, as over a network that is simulated: `connect` is called for each connection.
    pub async fn over<C, F, I>(kind: Kind, name: String, token: &str, connect: C) -> Result<Self, Error>
    where
        C: Fn() -> F + Send + 'static,
        F: Future<Output = io::Result<I>> + Send + 'static,
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let connection = Connection::new(name, dial::over(connect)?, Bearer::lasting(token)?, None);
        connection.wait_until_serving(kind.service()).await?;
        Ok(Self { connection, body: Body::Elsewhere, _held: None, _socket: None })
    }

    /// What it is called in logs and errors: its program's name, or its address.
    #[must_use]
    pub fn name(&self) -> &str {
        self.connection.name()
    }

    /// Its process, if it is ours.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.body {
            Body::Process(process, _) => Some(process.pid()),
            Body::Container(_) | Body::Elsewhere => None,
        }
    }

    /// What it runs under, if it is a container.
    #[must_use]
    pub fn sandbox(&self) -> Option<&Sandbox> {
        match &self.body {
            Body::Container(container) => Some(container.sandbox()),
            Body::Process(..) | Body::Elsewhere => None,
        }
    }

    /// How it runs and what holds it, for the status.
    #[must_use]
    pub fn runs(&self) -> Runs {
        let name = self.name().to_owned();
        match &self.body {
            Body::Process(process, parts) => Runs::process(name, process.pid(), parts.clone()),
            Body::Container(container) => Runs::container(name, container.sandbox()),
            Body::Elsewhere => Runs::address(name),
        }
    }

    /// Talks to it as a capture. Call `spec` first: it spends the one-time token.
    #[must_use]
    pub fn capture(&self) -> CaptureClient {
        CaptureClient::new(self.connection.clone())
    }

    /// Talks to it as a materialization. Call `spec` first: it spends the one-time token.
    #[must_use]
    pub fn materialize(&self) -> MaterializeClient {
        MaterializeClient::new(self.connection.clone())
    }

    /// Ends it: SIGTERM, then after `grace` SIGKILL to all of it. Returns when it is reaped. A connector that somebody else runs is left
    /// alone.
    pub async fn stop(self, grace: Duration) {
        let exit = match self.body {
            Body::Process(process, _) => process.stop(grace).await,
            Body::Container(container) => container.stop(grace).await,
            Body::Elsewhere => None,
        };
        if let Some(exit) = exit.filter(|exit| !exit.success()) {
            tracing::warn!(connector = self.connection.name(), "did not end in order: {exit}");
        }
    }
}

fn command(words: &[String], directory: &Path) -> Result<Command, Error> {
    let Some((program, arguments)) = words.split_first().filter(|(program, _)| !program.is_empty()) else {
        return Err(Error::config("connector.command", "`command` is empty: expected a program and its arguments"));
    };
    // Left alone, a relative program would be looked for where *we* run.
    let mut command = if program.contains('/') { Command::new(directory.join(program)) } else { Command::new(program) };
    command.args(arguments);
    Ok(command)
}

fn random_token() -> Result<String, Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Error::internal("connector.token", format!("making a one-time token: {error}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
