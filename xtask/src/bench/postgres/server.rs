//! A PostgreSQL server for the time of a benchmark: durable as the default has it, on a disk, with memory for a million rows, on a free port of
//! 127.0.0.1. It ends with us, whatever ends us.
//!
//! The tests have servers of their own (`longshore-postgres`, feature `testing`), which need not be durable. What builds and measures the
//! project depends on none of its crates, so that it runs when one of them does not compile.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::{fdatasync_us, scratch};
use super::processes;
use crate::Problem;

const SUPERUSER: &str = "postgres";
const UP_WITHIN: Duration = Duration::from_secs(60);
/// Of checkpoints and of autovacuum some turns would have more than others: the benchmarks ask for them where they belong.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'
wal_level = logical
max_wal_senders = 20
max_replication_slots = 20
max_connections = 100
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
fsync = on
synchronous_commit = on
log_min_messages = warning
";

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    process: Child,
    directory: PathBuf,
    port: u16,
}

impl Server {
    /// One with more lines for `postgresql.conf`.
    pub(super) fn start(settings: &str) -> Result<Self, Problem> {
        let found = Command::new(program("initdb")).arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return Err(Problem("PostgreSQL is missing: apt-get install -y postgresql".into()));
        }
        let directory = home()?;
        let failed = |error: std::io::Error| Problem(format!("cannot use {}: {error}", directory.display()));
        println!("PostgreSQL in {}, fdatasync p50 there {:.0} µs", directory.display(), fdatasync_us(&directory)?);
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(failed)?.port();
        if is_root() {
            crate::run(Command::new("chown").arg(SUPERUSER).arg(&directory))?;
        }
        let data = directory.join("data");
        let mut init = as_user(&program("initdb"), &directory);
        init.args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-locale", "-D"]).arg(&data).stdout(Stdio::null());
        crate::run(&mut init)?;
        let file = data.join("postgresql.conf");
        let lines = fs::read_to_string(&file).map_err(failed)?
            + SETTINGS
            + &format!("port = {port}\nunix_socket_directories = '{}'\n{settings}\n", directory.display());
        fs::write(&file, lines).map_err(failed)?;
        let log = fs::File::create(directory.join("server.log")).map_err(failed)?;
        let mut command = as_user(&program("postgres"), &directory);
        command.arg("-D").arg(&data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().map_err(|error| Problem(format!("cannot start {command:?}: {error}")))?;
        let server = Self { process, directory, port };
        server.wait_until_it_answers()?;
        Ok(server)
    }

    pub(super) fn process(&self) -> u32 {
        self.process.id()
    }

    /// URL of a database on it, for its superuser.
    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }

    /// `psql` with its words up to the statements; rows unaligned, `|` between columns.
    pub(super) fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(program("psql"));
        command.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database)]).stdin(Stdio::null());
        command
    }

    /// Another of PostgreSQL's clients.
    pub(super) fn client(&self, name: &str, database: &str) -> Command {
        let mut command = Command::new(program(name));
        command.args(["-d", &self.url(database)]);
        command
    }

    /// Runs statements, each in a transaction of its own, and returns what they print.
    pub(super) fn run<const N: usize>(&self, database: &str, statements: [&str; N]) -> Result<String, Problem> {
        let mut command = self.psql(database);
        for statement in statements {
            command.args(["-c", statement]);
        }
        let output = command.output().map_err(|error| Problem(format!("cannot start {command:?}: {error}")))?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            return Err(Problem(format!("psql in {database}: {}", told.trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// CPU seconds of the server and all its sessions so far.
    pub(super) fn cpu_s(&self) -> f64 {
        processes::cpu_s(self.process())
    }

    fn wait_until_it_answers(&self) -> Result<(), Problem> {
        let begun = Instant::now();
        let ready = || {
            let port = self.port.to_string();
            let mut command = Command::new(program("pg_isready"));
            // In its directory: at its port somebody else could answer.
            command.arg("-q").arg("-h").arg(&self.directory).args(["-p", &port]);
            command.status().is_ok_and(|status| status.success())
        };
        while !ready() {
            if begun.elapsed() > UP_WITHIN {
                let log = fs::read_to_string(self.directory.join("server.log")).unwrap_or_default();
                return Err(Problem(format!("PostgreSQL does not answer; its log:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT: it ends its sessions and writes what it has. What cannot be ended or removed is told by what is left.
        Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().ok();
        self.process.wait().ok();
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// Where the target directory lies, as other benchmarks; but root's is closed to the user that the server runs as.
fn home() -> Result<PathBuf, Problem> {
    if !is_root() {
        return scratch();
    }
    let directory = Path::new("/var/tmp").join(format!("longshore-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).map_err(|error| Problem(format!("cannot make {}: {error}", directory.display())))?;
    Ok(directory)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// PostgreSQL refuses to run as root. SIGINT for it when we are gone.
fn as_user(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid", SUPERUSER, "--regid", SUPERUSER, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "INT", "--"]).arg(program).current_dir(directory);
    command
}

/// The newest that is installed; else whatever the shell would find.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest =
        versions.map(|entry| entry.path()).filter(|path| path.join("bin").join(name).exists()).max_by_key(version);
    newest.map_or_else(|| PathBuf::from(name), |path| path.join("bin").join(name))
}
