//! A scene: a temporary directory with a catalog, and the shipped `longshore` started in it as a user would.
//!
//! Every run has a time limit that ends its whole process group and shows what it printed. What is started here is ended here.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// No single run of the binary may take longer, where nothing else is said.
const RUN_LIMIT: Duration = Duration::from_secs(300);
/// How often a wait looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Where the binaries under test are: handed over by `cargo xtask test`, else beside the test itself.
#[must_use]
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("LONGSHORE_BIN_DIR") {
        return PathBuf::from(dir);
    }
    let test = std::env::current_exe().expect("the path of this test");
    let dir = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").to_path_buf();
    assert!(
        dir.join("longshore").is_file(),
        "{} holds no binaries: run `cargo build --workspace --bins` first, or use `cargo xtask test`",
        dir.display()
    );
    dir
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_path_buf()
}

/// A directory of its own that goes away with it.
#[derive(Debug)]
pub struct Scene {
    dir: tempfile::TempDir,
    bin_dir: PathBuf,
}

/// How a run ended and what it printed.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A run that goes on.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    started: Instant,
    limit: Duration,
}

impl Scene {
    /// An empty scene.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("longshore-scene-").tempdir().expect("a temporary directory");
        Self { dir, bin_dir: bin_dir() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path inside it.
    #[must_use]
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Writes a file, making the directories it needs.
    pub fn write(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.join(relative);
        std::fs::create_dir_all(path.parent().expect("a file has a directory")).expect("make a directory");
        std::fs::write(&path, content).expect("write a file");
        self
    }

    /// Appends to a file.
    pub fn append(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().append(true).open(self.join(relative)).expect("open a file");
        file.write_all(content.as_ref()).expect("append to a file");
        self
    }

    /// Runs `longshore` with these words to its end.
    pub fn longshore<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Finished {
        self.start(words).finish()
    }

    /// Starts `longshore` with these words.
    pub fn start<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Running {
        let mut command = Command::new(self.bin_dir.join("longshore"));
        command.args(words);
        self.start_command(command)
    }

    /// Starts a command in the scene, with the binaries under test first on PATH.
    pub fn start_command(&self, mut command: Command) -> Running {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(self.bin_dir.clone()).chain(std::env::split_paths(&path)))
            .expect("a search path");
        let mut child = command
            .current_dir(self.path())
            .env("PATH", path)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Running { child, stdout, stderr, started: Instant::now(), limit: RUN_LIMIT }
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

impl Finished {
    /// Asserts the exit code, showing everything that was printed otherwise.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "unexpected end\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// The lines of standard output that are JSON objects of this type.
    #[must_use]
    pub fn objects(&self, kind: &str) -> Vec<serde_json::Value> {
        self.stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|object| object["type"] == kind)
            .collect()
    }

    /// Rows moved by a task, by collection, from the summary of `run --json`.
    #[must_use]
    pub fn rows(&self, task: &str) -> Vec<(String, u64)> {
        let summary = self.objects("summary").pop().unwrap_or_else(|| panic!("no summary in\n{}", self.stdout));
        let tasks = summary["tasks"].as_array().expect("tasks of the summary").clone();
        let of_task = tasks.iter().find(|t| t["task"] == task).unwrap_or_else(|| panic!("no task {task} in {summary}"));
        let row = |b: &serde_json::Value| {
            (b["collection"].as_str().expect("collection").to_owned(), b["rows"].as_u64().expect("rows"))
        };
        of_task["bindings"].as_array().expect("bindings").iter().map(row).collect()
    }
}

impl Running {
    /// It may take so long, and no longer.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("look at a child").is_none()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended by itself just now.
        rustix::process::kill_process(Pid::from_child(&self.child), signal).ok();
    }

    /// Kills the process itself (not its group: connectors must notice by themselves) and waits.
    pub fn kill(mut self) -> Finished {
        self.signal(Signal::KILL);
        self.child.wait().expect("wait for a killed child");
        self.gather()
    }

    /// Waits until a condition holds or the process ends; tells which: true, the condition holds.
    pub fn wait_until(&mut self, mut condition: impl FnMut() -> bool) -> bool {
        while self.started.elapsed() < self.limit {
            if condition() {
                return true;
            }
            if !self.is_running() {
                return condition();
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
        false
    }

    /// Waits for its end, within the time limit.
    pub fn finish(mut self) -> Finished {
        while self.is_running() {
            if self.started.elapsed() > self.limit {
                self.end_group();
                let finished = self.gather();
                panic!(
                    "still running after {:?}\n--- stdout\n{}\n--- stderr\n{}",
                    self.limit, finished.stdout, finished.stderr
                );
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
        self.gather()
    }

    /// Process ids of its children (the connectors).
    #[must_use]
    pub fn children(&self) -> Vec<u32> {
        children_of(self.id())
    }

    fn end_group(&mut self) {
        for child in self.children() {
            if let Some(pid) = Pid::from_raw(child.cast_signed()) {
                rustix::process::kill_process(pid, Signal::KILL).ok();
            }
        }
        rustix::process::kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
        drop(self.child.wait());
    }

    fn gather(&mut self) -> Finished {
        let text = |reader: Option<JoinHandle<String>>| reader.map(|r| r.join().expect("a reader")).unwrap_or_default();
        let status = self.child.wait().expect("wait for a child");
        Finished { code: status.code(), stdout: text(self.stdout.take()), stderr: text(self.stderr.take()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end_group();
        }
    }
}

/// Children of a process, as the kernel lists them.
#[must_use]
pub fn children_of(process: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// The name of a running process, if it runs.
#[must_use]
pub fn process_name(process: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{process}/comm")).ok().map(|name| name.trim().to_owned())
}

/// Whether a process is a connector of ours. The kernel keeps 15 bytes of a name; a child that has not become one yet is none.
#[must_use]
pub fn is_connector(process: u32) -> bool {
    process_name(process).is_some_and(|name| name.starts_with("capture-") || name.starts_with("materialize"))
}

/// A catalog of one capture without a config, reached by `endpoint`, such as `command: [sh, -c, \"exit 7\"]`.
#[must_use]
pub fn one_capture(endpoint: &str) -> String {
    format!(
        "captures:
  source:
    {endpoint}
    config: {{}}
    bindings:
      - {{ resource: {{}}, collection: a/b }}
collections:
  a/b: {{ key: [/id] }}
"
    )
}

/// Whether a process still does anything: one that has ended and was not waited for by its parent does not.
#[must_use]
pub fn is_alive(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("State:"))
        .is_some_and(|state| !state.trim().starts_with(['Z', 'X']))
}

/// Waits until a condition holds; false if it did not within a limit.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > limit {
            return false;
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
    true
}

/// Reads a pipe to its end on a thread, so that the writer never waits. The thread ends with the last holder of the pipe.
fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
