//! A limit of memory for a run and all that it starts: a cgroup of its own where this user may make one, else a limit of each process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::scene::bin_dir;

/// Of the limits of this process.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// See the module. A cgroup goes away with it.
#[derive(Debug)]
pub struct MemoryLimit {
    bytes: u64,
    cgroup: Option<Cgroup>,
}

#[derive(Debug)]
struct Cgroup {
    directory: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy)]
enum Version {
    One,
    Two,
}

impl MemoryLimit {
    /// Of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("longshore-test-{}-{number}", std::process::id());
        let two = Cgroup::make(&root.join(&name), Version::Two, bytes);
        Self { bytes, cgroup: two.or_else(|| Cgroup::make(&root.join("memory").join(&name), Version::One, bytes)) }
    }

    /// What holds: `cgroup` (all processes together) or `rlimit` (each alone).
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.cgroup.is_some() { "cgroup" } else { "rlimit" }
    }

    /// How often the kernel killed a process because of it; where there is no cgroup, an allocation fails instead.
    #[must_use]
    pub fn kills(&self) -> u64 {
        let Some(cgroup) = &self.cgroup else { return 0 };
        let events = match cgroup.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(cgroup.directory.join(events)).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.and_then(|kills| kills.trim().parse().ok()).unwrap_or(0)
    }

    /// `longshore` with these words under the limit; the process that is started becomes it.
    #[must_use]
    pub fn longshore(&self, words: &[&str]) -> Command {
        let mut command = match &self.cgroup {
            Some(cgroup) => {
                let mut command = Command::new("sh");
                command.args(["-c", "echo $$ > \"$1\" && shift && exec \"$@\"", "sh"]);
                command.arg(cgroup.directory.join("cgroup.procs"));
                command
            }
            None => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--data={}", self.bytes));
                command
            }
        };
        command.arg(bin_dir().join("longshore")).args(words);
        command
    }
}

impl Cgroup {
    /// None: this user may not, or there is no such hierarchy.
    fn make(directory: &Path, version: Version, bytes: u64) -> Option<Self> {
        // In a directory that is no hierarchy of cgroups this file is not there, and is not to be made.
        let limit = match version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        let above = directory.parent()?.join("cgroup.procs");
        if !above.exists() || fs::create_dir(directory).is_err() {
            return None;
        }
        let made = Self { directory: directory.to_path_buf(), version };
        let set = |name: &str, value: u64| {
            let file = fs::OpenOptions::new().write(true).open(directory.join(name));
            file.and_then(|mut file| std::io::Write::write_all(&mut file, value.to_string().as_bytes())).is_ok()
        };
        // Dropped, it goes away again.
        set(limit, bytes).then_some(made)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It is empty: all that was started has ended.
        fs::remove_dir(&self.directory).ok();
    }
}
