//! Real servers for tests: private ones, each with its data in a temporary directory and on a free port of 127.0.0.1, run as an ordinary user
//! and ended with whoever started them, also when that is killed: the shell that watches over a server reads from a pipe that nobody else holds.
//!
//! Tests that change nothing of the server itself share one, and have a [`Database`] each.

#![allow(clippy::disallowed_methods, reason = "a server has a limited time to come up")]

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::Endpoint;

/// The server's superuser.
pub const SUPERUSER: &str = "postgres";
const UP_WITHIN: Duration = Duration::from_secs(60);
/// A server whose clients are gone needs far less.
const FAST_WITHIN: Duration = Duration::from_secs(3);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// What a test may need of a server, and no more memory than that.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nwal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\n\
                        max_connections = 100\nshared_buffers = 32MB\nwal_sender_timeout = 0\nfsync = off\nlog_min_messages = warning\n";
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static DATABASES: AtomicU64 = AtomicU64::new(0);

/// A running server.
#[derive(Debug)]
pub struct Server {
    directory: tempfile::TempDir,
    port: u16,
    watcher: Option<Child>,
}

/// A database of its own on a server.
#[derive(Debug)]
pub struct Database {
    server: Arc<Server>,
    name: String,
}

impl Server {
    /// The one that tests of this process share; it ends with the last of them.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start; what to do is said.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start(""));
        *shared = Arc::downgrade(&server);
        server
    }

    /// One of its own, with more lines for `postgresql.conf`.
    ///
    /// # Panics
    /// As [`Server::shared`].
    pub fn start(settings: &str) -> Self {
        Self::start_at(free_port(), settings)
    }

    /// One that gets this port, if nobody has taken it by then.
    pub(crate) fn start_at(port: u16, settings: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("longshore-pg-").tempdir().expect("a temporary directory");
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            let owned = Command::new("chown").arg(SUPERUSER).arg(directory.path()).status();
            assert!(owned.is_ok_and(|status| status.success()), "no user {SUPERUSER}: apt-get install -y postgresql");
        }
        let mut server = Self { directory, port, watcher: None };
        let data = server.data();
        let mut init = server.as_user(&program("initdb"));
        init.args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"]).arg(&data);
        let output = init.output().expect("initdb is there");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let sockets = server.directory.path().display();
        server.configure(&format!("{SETTINGS}unix_socket_directories = '{sockets}'\n{settings}\nport = {port}\n"));
        while !server.comes_up() {
            server.down();
            server.port = free_port();
            server.configure(&format!("port = {}\n", server.port));
        }
        server
    }

    /// Adds lines to `postgresql.conf`; they count from the next start.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn configure(&self, settings: &str) {
        let file = self.data().join("postgresql.conf");
        let before = fs::read_to_string(&file).expect("postgresql.conf");
        fs::write(&file, before + settings).expect("postgresql.conf");
    }

    /// Starts it again after [`Server::down`].
    ///
    /// # Panics
    /// When it does not answer in time, or its port is somebody else's now; with its log.
    pub fn up(&mut self) {
        assert!(self.comes_up(), "port {} is taken; the server's log:\n{}", self.port, self.log());
    }

    /// False when its port is taken: between the look for a free one and the bind, another server's look can have found the same.
    fn comes_up(&mut self) -> bool {
        assert!(self.watcher.is_none(), "it runs already");
        let postgres = program("postgres");
        let before = self.refusals();
        // Ends the server, fast, when nobody holds the other end of its standard input any more.
        let watch =
            "\"$0\" -D \"$1\" >>\"$2\" 2>&1 </dev/null & server=$!; cat >/dev/null; kill -INT $server; wait $server";
        let mut command = self.as_user(Path::new("bash"));
        command.arg("-c").arg(watch).arg(&postgres).arg(self.data()).arg(self.log_file());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.watcher = Some(command.spawn().expect("bash is there"));
        let since = Instant::now();
        while !self.answers() {
            if self.refusals() > before {
                return false;
            }
            assert!(since.elapsed() < UP_WITHIN, "the server does not answer; its log:\n{}", self.log());
            std::thread::park_timeout(LOOK_INTERVAL);
        }
        true
    }

    /// Ends it as an operator would who is in a hurry (`fast`), and if it waits for who reads its log, as one who has none left; what was
    /// committed stays.
    pub fn down(&mut self) {
        let Some(mut watcher) = self.watcher.take() else { return };
        let process = self.postmaster().and_then(rustix::process::Pid::from_raw);
        drop(watcher.stdin.take());
        for harder in [Signal::QUIT, Signal::KILL] {
            if ends_within(&mut watcher, FAST_WITHIN) {
                return;
            }
            // Its number is its own as long as the watcher has not seen it end.
            if let Some(process) = process {
                rustix::process::kill_process(process, harder).ok();
            }
        }
        watcher.wait().ok();
    }

    /// Process id of the server itself.
    ///
    /// # Panics
    /// When it does not run.
    pub fn process(&self) -> u32 {
        self.postmaster().expect("it runs").unsigned_abs()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Directory of its Unix socket.
    pub fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = fs::File::open(self.log_file()) {
            file.read_to_string(&mut text).ok();
        }
        text
    }

    /// URL of a database on it, for its superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements with `psql`, as [`Database::run`] does.
    ///
    /// # Panics
    /// When one of them fails.
    pub fn run(&self, database: &str, statements: &str) -> String {
        psql(&self.url(database), statements)
    }

    fn postmaster(&self) -> Option<i32> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// It itself: at its port somebody else could answer, in its directory nobody.
    fn answers(&self) -> bool {
        let mut ready = Command::new(program("pg_isready"));
        ready.arg("-q").arg("-h").arg(self.socket_directory()).args(["-p", &self.port.to_string()]);
        ready.status().is_ok_and(|status| status.success())
    }

    /// How often it ended at once because it got no port.
    fn refusals(&self) -> usize {
        self.log().matches("could not create any TCP/IP sockets").count()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    /// PostgreSQL refuses to run as root.
    fn as_user(&self, program: &Path) -> Command {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", SUPERUSER, "--regid", SUPERUSER, "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.directory.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

impl Database {
    /// An empty one on the shared server.
    ///
    /// # Panics
    /// As [`Server::shared`].
    pub fn new() -> Self {
        Self::on(&Server::shared())
    }

    /// An empty one on this server.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn on(server: &Arc<Server>) -> Self {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let database = Self { server: Arc::clone(server), name };
        server.run("postgres", &format!("CREATE DATABASE {}", database.name));
        database
    }

    /// Its URL, for the superuser.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server it is on.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The way to it, as a connector gets it.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { url: self.url(), password: None, sslrootcert: None }
    }

    /// Runs statements with `psql` and returns what it prints: unaligned rows, `|` between columns, `~` for NULL.
    ///
    /// # Panics
    /// When one of them fails.
    pub fn run(&self, statements: &str) -> String {
        self.server.run(&self.name, statements)
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        Command::new(program("psql")).args(["-Xq", &self.server.url("postgres"), "-c", &drop]).output().ok();
    }
}

fn ends_within(process: &mut Child, time: Duration) -> bool {
    let since = Instant::now();
    while since.elapsed() < time {
        // It cannot be asked: nothing is gained by waiting.
        if !matches!(process.try_wait(), Ok(None)) {
            return true;
        }
        std::thread::park_timeout(LOOK_INTERVAL);
    }
    false
}

fn psql(url: &str, statements: &str) -> String {
    let output = Command::new(program("psql"))
        .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-P", "null=~", url, "-c", statements])
        .output()
        .expect("psql is there");
    assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// One of its programs: of the newest version that is installed, else whatever the shell would find.
pub fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest =
        versions.map(|entry| entry.path()).filter(|path| path.join("bin").join(name).exists()).max_by_key(version);
    newest.map_or_else(|| PathBuf::from(name), |path| path.join("bin").join(name))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("a free port").port()
}
