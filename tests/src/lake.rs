//! Lakes of Parquet files: read by DuckDB and pyarrow, in a directory or in a bucket of an S3 server that the test starts. The programs of others
//! are in a place of their own (`LONGSHORE_PEERS`, else `target/peers`), which `cargo xtask test` makes.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::scene::{Scene, bin_dir, holds_within, repository};

/// The server imports much before it listens.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A program of the peers.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn peer(name: &str) -> PathBuf {
    let beside = || bin_dir().parent().expect("binaries lie in a target directory").join("peers");
    let peers = std::env::var_os("LONGSHORE_PEERS").map_or_else(beside, PathBuf::from);
    let program = peers.join("bin").join(name);
    assert!(program.is_file(), "no {}: `cargo xtask test` makes it, as would `cargo xtask peers`", program.display());
    program
}

/// Where a connector writes, and its readers look.
#[derive(Debug)]
pub enum Lake {
    /// A directory `lake` of the scene.
    Directory(PathBuf),
    /// A bucket of a server of its own.
    Bucket(Server),
}

impl Lake {
    /// In a scene.
    #[must_use]
    pub fn directory(scene: &Scene) -> Self {
        Self::Directory(scene.join("lake"))
    }

    /// On a new server.
    #[must_use]
    pub fn bucket() -> Self {
        Self::Bucket(Server::start())
    }

    /// What a catalog says of it, the rest of the config behind it.
    #[must_use]
    pub fn config(&self, rest: &str) -> String {
        match self {
            Self::Directory(_) => format!("{{ path: ./lake, {rest} }}"),
            Self::Bucket(server) => format!(
                "{{ url: s3://lake/part, endpoint: \"{}\", allow_http: true, access_key_id: testing, secret_access_key: testing, {rest} }}",
                server.url()
            ),
        }
    }

    /// As the readers call it, perhaps a directory of it.
    #[must_use]
    pub fn name(&self, directory: &str) -> String {
        match self {
            Self::Directory(path) => path.join(directory).display().to_string(),
            Self::Bucket(_) => format!("s3://lake/part/{directory}"),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = lake_py(words);
        if let Self::Bucket(server) = self {
            command.env("S3_ENDPOINT", server.url());
        }
        command
    }

    /// What `lake.py` says to a command about a directory of the lake.
    #[must_use]
    pub fn ask(&self, words: &[&str], directory: &str) -> Value {
        let name = self.name(directory);
        answer(self.command(&[words, &[&name]].concat()))
    }

    /// Looks at every file all the time, until it is asked what it saw.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let mut command = self.command(&["watch", &self.name("")]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start a reader");
        Watch { stdin: child.stdin.take(), child }
    }

    /// Uploads that nobody completed or aborted; none in a directory.
    #[must_use]
    pub fn uploads(&self) -> Value {
        match self {
            Self::Directory(_) => Value::Array(Vec::new()),
            Self::Bucket(server) => answer(lake_py(&["uploads", "lake", &server.url()])),
        }
    }
}

fn lake_py(words: &[&str]) -> Command {
    let mut command = Command::new(peer("python"));
    command.arg(repository().join("tests/peers/lake.py")).args(words);
    command
}

fn answer(mut command: Command) -> Value {
    let output = command.output().expect("start a reader");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}\n{said}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{command:?}: {error}\n{said}"))
}

/// A reader that looks at every file all the time.
#[derive(Debug)]
pub struct Watch {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Watch {
    /// Asserts that every file it ever saw was whole, stayed, and stayed as it was; and that it did see some.
    ///
    /// # Panics
    /// Otherwise.
    pub fn assert_all_was_whole(mut self) {
        drop(self.stdin.take());
        let mut text = String::new();
        let mut stdout = self.child.stdout.take().expect("a pipe");
        stdout.read_to_string(&mut text).expect("what it saw");
        self.child.wait().expect("the end of a reader");
        let saw: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(saw["wrong"], serde_json::json!([]), "{saw}");
        assert!(saw["files"].as_u64() > Some(0) && saw["looks"].as_u64() > Some(1), "{saw}");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
}

/// An S3 server on loopback, in memory, with a bucket `lake`.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let child = Command::new(peer("python"))
            // Not its script, which names the place where the peers were made.
            .args(["-m", "moto.server"])
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start an S3 server");
        let server = Self { child, port };
        let answers = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(holds_within(START_LIMIT, answers), "the S3 server does not listen on port {port}");
        answer(lake_py(&["make", "lake", &server.url()]));
        server
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
}
