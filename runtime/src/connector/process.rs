//! Starts a connector's process and makes sure that it ends: the runtime's half of the launch contract in `base-image/README.md`.
//!
//! The process leads a group of its own, dies with us (parent-death signal and lifeline), and is watched by a keeper task that reaps it.
//! It may be bubblewrap with the connector inside ([`mod@super::confine`]), which dies with it.
//! Nothing here knows what a connector says: see [`super::dial`].

#![allow(clippy::disallowed_methods, reason = "a process's words and its end are watched for as long as it lives")]
#![allow(
    unsafe_code,
    reason = "`pre_exec` is the only way to ask for the parent-death signal, and a pidfd is waited for as a descriptor"
)]

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use super::confine::{self, Confined};
use super::ending::{Exit, Watch};
use super::stderr::{self, LastLines};

/// How long a connector may take to end in order before it is killed.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long its last words are waited for; a grandchild may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// Starts that wait for the spawning thread.
const SPAWN_QUEUE: usize = 16;

/// What a connector may see of our environment. Everything else may be somebody's secret.
pub(super) const ENVIRONMENT: [&str; 13] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUST_BACKTRACE",
    "LD_LIBRARY_PATH",
];

/// A running process. Dropped without [`Process::stop`], it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    wrapped: bool,
    stop: Option<oneshot::Sender<Duration>>,
    exit: Watch,
}

impl Process {
    /// Starts a command with the environment of the contract. Its standard error goes to the log as of `task` and `connector`.
    pub(crate) async fn start(
        confined: Confined,
        environment: &[(&str, &str)],
        task: &str,
        connector: &str,
    ) -> io::Result<Self> {
        let Confined { mut command, wrapped, .. } = confined;
        command.env_clear().envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command
            .env("LONGSHORE_LOG", log_level())
            .env("LONGSHORE_LOG_FORMAT", "json")
            .env("LONGSHORE_LIFELINE", "stdin");
        command.envs(environment.iter().copied()).envs(longshore_failpoints::passed_on());
        let mut group = spawn(command).await?;
        group.wrapped = wrapped;
        Self::keep(group, task, connector)
    }

    fn keep(mut group: Group, task: &str, connector: &str) -> io::Result<Self> {
        let (pid, wrapped) = (group.child.id(), group.wrapped);
        let ended = end_of(Pid::from_child(&group.child))?;
        let last = LastLines::default();
        let words = group.child.stderr.take().ok_or_else(|| io::Error::other("standard error is not a pipe"))?;
        let words = tokio::net::unix::pipe::Receiver::from_owned_fd(words.into())?;
        let words = tokio::spawn(stderr::read(task.to_owned(), connector.to_owned(), words, last.clone()));
        let (stop, stopped) = oneshot::channel();
        let (tell, exit) = Watch::channel();
        tokio::spawn(async move {
            let status = group.outlive(&ended, stopped).await;
            let abort = words.abort_handle();
            if tokio::time::timeout(LAST_WORDS, words).await.is_err() {
                abort.abort();
            }
            // `None`: the kernel would not tell; then the connection breaks and that is all that is said.
            if let Some(status) = status {
                let exit = match status.code() {
                    // bubblewrap says with a number above 128 which signal ended the one inside.
                    Some(code) if wrapped => Exit::of_container(Some(code.into()), None, last.text()),
                    Some(_) | None => Exit::of_process(status, last.text()),
                };
                tell.send_replace(Some(exit));
            }
        });
        Ok(Self { pid, wrapped, stop: Some(stop), exit })
    }

    /// The connector's; what holds it has another.
    pub(crate) fn pid(&self) -> u32 {
        if self.wrapped { confine::inside(self.pid) } else { self.pid }
    }

    pub(crate) fn watch(&self) -> Watch {
        self.exit.clone()
    }

    /// SIGTERM, the grace period, SIGKILL to the group. Returns when it is reaped, with how it ended if it was still there.
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

/// A child and its process group. Dropping it kills the group and reaps the child, so a runtime that shuts down leaves nothing.
#[derive(Debug)]
struct Group {
    child: Child,
    /// The child is what holds the connector.
    wrapped: bool,
    reaped: bool,
    _lifeline: Option<ChildStdin>,
}

impl Group {
    /// Waits for the end: its own, or the one that is asked for. The group is killed before its leader is reaped, as long as its number
    /// cannot belong to anybody else.
    async fn outlive(&mut self, ended: &AsyncFd<OwnedFd>, stopped: oneshot::Receiver<Duration>) -> Option<ExitStatus> {
        tokio::select! {
            _ = ended.readable() => {}
            grace = stopped => if let Ok(grace) = grace {
                self.terminate();
                tokio::time::timeout(grace, ended.readable()).await.ok();
            }
        }
        let connector = self.connector().filter(|_| self.wrapped).and_then(|connector| end_of(connector).ok());
        self.kill();
        drop(ended.readable().await.ok()?);
        if let Some(connector) = connector {
            // Killed with what holds it, it may still be on its way out when that is gone.
            tokio::time::timeout(LAST_WORDS, connector.readable()).await.ok();
        }
        self.reap()
    }

    /// What was started, or the connector inside it.
    fn connector(&self) -> Option<Pid> {
        let connector = if self.wrapped { confine::inside(self.child.id()) } else { self.child.id() };
        Pid::from_raw(connector.cast_signed())
    }

    /// To the connector itself: what holds it would end at once, and take it along.
    fn terminate(&self) {
        if let Some(connector) = self.connector() {
            // An error means that it has ended already.
            rustix::process::kill_process(connector, Signal::TERM).ok();
        }
    }

    fn kill(&self) {
        rustix::process::kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
    }

    fn reap(&mut self) -> Option<ExitStatus> {
        let status = self.child.wait().ok();
        self.reaped = true;
        status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            self.reap();
        }
    }
}

/// Readable when the process has ended.
fn end_of(process: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    let ended = rustix::process::pidfd_open(process, PidfdFlags::NONBLOCK)?;
    // SAFETY: the descriptor is owned by the `AsyncFd`, which closes it when it is dropped and lends it to nobody.
    Ok(unsafe { AsyncFd::register(ended) }?)
}

struct Start {
    command: Command,
    reply: oneshot::Sender<io::Result<Group>>,
}

/// The parent-death signal comes when the *thread* that spawned a child ends, so all are spawned by this one, which ends with us.
static SPAWNER: LazyLock<Option<mpsc::Sender<Start>>> = LazyLock::new(|| {
    let (sender, mut starts) = mpsc::channel::<Start>(SPAWN_QUEUE);
    let run = move || {
        while let Some(Start { command, reply }) = starts.blocking_recv() {
            // Who asked may be gone: then the group is dropped here, and killed.
            drop(reply.send(spawn_here(command)));
        }
    };
    std::thread::Builder::new().name("spawn-connectors".to_owned()).spawn(run).ok()?;
    Some(sender)
});

async fn spawn(command: Command) -> io::Result<Group> {
    let gone = || io::Error::other("the spawning thread is gone");
    let (reply, answer) = oneshot::channel();
    let spawner = SPAWNER.as_ref().ok_or_else(gone)?;
    spawner.send(Start { command, reply }).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

fn spawn_here(mut command: Command) -> io::Result<Group> {
    let parent = rustix::process::getpid();
    let open_files = confine::open_files();
    let die_with_parent = move || {
        confine::restrain(open_files)?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the call; then nobody would send the signal.
        match rustix::process::getppid() {
            Some(now) if now == parent => Ok(()),
            Some(_) | None => Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error())),
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; these are system calls and no allocation.
    unsafe { command.pre_exec(die_with_parent) };
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).spawn()?;
    let lifeline = child.stdin.take();
    Ok(Group { child, wrapped: false, reaped: false, _lifeline: lifeline })
}

pub(super) fn log_level() -> &'static str {
    use tracing::level_filters::LevelFilter;
    let level = LevelFilter::current();
    [
        (LevelFilter::TRACE, "trace"),
        (LevelFilter::DEBUG, "debug"),
        (LevelFilter::INFO, "info"),
        (LevelFilter::WARN, "warn"),
    ]
    .into_iter()
    .find_map(|(at, word)| (level >= at).then_some(word))
    .unwrap_or("error")
}
