//! One runtime owns a state directory: a lock of the kernel's, and beside it who holds it, since when, and how to stop it.
//!
//! The lock itself is `flock`, which ends with its process however that ends; what is written in the file only tells people.

#![allow(clippy::disallowed_methods, reason = "the lock says since when it is held")]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::StoreError;

/// How long a killed holder may take to let go.
const LET_GO: Duration = Duration::from_secs(5);

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    /// Start time of the process in clock ticks since boot: with the pid it names one process, for ever.
    started: u64,
    host: String,
    /// Seconds since 1970.
    since: u64,
}

impl Lock {
    /// Takes the lock. With `break_it`, the process that holds it is killed first.
    pub(super) fn take(path: &Path, break_it: bool) -> Result<Self, StoreError> {
        let failed = |doing: &'static str, error: &std::io::Error| StoreError::Unreadable {
            file: path.display().to_string(),
            reason: format!("{doing}: {error}"),
        };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|error| failed("opening the lock", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(|error| failed("reading the lock", &error))?;
                let holder = serde_json::from_str(&text).ok();
                if !break_it {
                    return Err(held(path, holder.as_ref()));
                }
                kill(path, holder.as_ref())?;
                wait_for(&file, path, holder.as_ref())?;
            }
            Err(TryLockError::Error(error)) => return Err(failed("locking", &error)),
        }
        let me =
            serde_json::to_string(&Holder::this_process()).map_err(|error| failed("describing us", &error.into()))?;
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{me}"));
        written.map_err(|error| failed("writing the lock", &error))?;
        Ok(Self { _file: file })
    }
}

/// The process that holds the lock of a state directory, as far as this host can tell. Nothing is locked.
#[must_use]
pub fn holder(state_directory: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(state_directory.join("lock")).ok()?;
    let holder: Holder = serde_json::from_str(&text).ok()?;
    (started(holder.pid) == Some(holder.started)).then_some(holder.pid)
}

impl Holder {
    fn this_process() -> Self {
        let pid = std::process::id();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { pid, started: started(pid).unwrap_or(0), host, since }
    }
}

/// Field 22 of `/proc/PID/stat`; `None`: there is no such process.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything; count behind it.
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}

fn held(path: &Path, holder: Option<&Holder>) -> StoreError {
    let directory = path.parent().unwrap_or(path).display().to_string();
    let (who, how) = match holder {
        Some(holder) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let minutes = now.saturating_sub(holder.since) / 60;
            let who = format!("process {} on {}, for {minutes} min", holder.pid, holder.host);
            (
                who,
                format!(
                    "stop it with `longshore stop` or `kill {}`, or start with --break-lock, which kills it",
                    holder.pid
                ),
            )
        }
        None => ("another process".to_owned(), "stop the other `longshore run` of this directory".to_owned()),
    };
    StoreError::Held { directory, who, how }
}

/// Kills the holder, if it is still the process that wrote the file.
fn kill(path: &Path, holder: Option<&Holder>) -> Result<(), StoreError> {
    let Some(holder) = holder.filter(|holder| started(holder.pid) == Some(holder.started)) else {
        return Err(held(path, holder));
    };
    let pid = i32::try_from(holder.pid).ok().and_then(Pid::from_raw).ok_or_else(|| held(path, Some(holder)))?;
    tracing::warn!(target: "longshore", pid = holder.pid, "killing the runtime that holds the state directory");
    rustix::process::kill_process(pid, Signal::KILL).map_err(|error| StoreError::Unreadable {
        file: path.display().to_string(),
        reason: format!("killing process {}: {error}", holder.pid),
    })
}

fn wait_for(file: &File, path: &Path, holder: Option<&Holder>) -> Result<(), StoreError> {
    let begun = Instant::now();
    while file.try_lock().is_err() {
        if begun.elapsed() > LET_GO {
            return Err(held(path, holder));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_says_who_holds_it_and_how_to_stop_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let first = Lock::take(&path, false).expect("the first one gets it");
        let refused = Lock::take(&path, false).expect_err("the second one does not").to_string();
        let pid = std::process::id().to_string();
        assert!(refused.contains(&pid) && refused.contains("--break-lock"), "{refused}");
        drop(first);
        Lock::take(&path, false).expect("it ends with its holder");
    }

    #[test]
    fn a_process_that_only_has_the_same_pid_is_not_killed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let _held = Lock::take(&path, false).expect("the first one gets it");
        let other = Holder { started: 1, ..Holder::this_process() };
        std::fs::write(&path, serde_json::to_string(&other).expect("JSON")).expect("write");
        Lock::take(&path, true).expect_err("that process is another one");
    }
}
