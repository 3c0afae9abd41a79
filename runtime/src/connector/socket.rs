//! Private directories for sockets: short paths that do not depend on where the catalog is.
//!
//! A Unix socket's path holds 107 bytes, a catalog can be deeper than that. So each connector gets a directory of its own (0700) under
//! `$XDG_RUNTIME_DIR/longshore` or `/tmp/longshore-UID`, and a file in the state directory says which one. A directory is held by a lock on
//! a file inside; what a killed runtime left behind is nobody's, and the next start removes it.

#![allow(clippy::disallowed_methods, reason = "names of socket directories are random")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Once;

use longshore_proto::Error;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags};

use super::shortage;

/// Greatest length of a Unix socket's path, in bytes.
const SOCKET_PATH_MAX_BYTES: usize = 107;
/// How often another name is tried before the directory above is called unusable.
const ATTEMPTS: usize = 16;

/// A directory that only this runtime uses, removed when dropped.
#[derive(Debug)]
pub(crate) struct SocketDirectory {
    path: PathBuf,
    note: Option<PathBuf>,
    _lock: File,
}

impl SocketDirectory {
    /// Makes one, below the first of the usual places that can be used.
    pub(crate) fn create() -> Result<Self, Error> {
        let shared = PathBuf::from(format!("/tmp/longshore-{}", rustix::process::getuid().as_raw()));
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(|directory| Path::new(&directory).join("longshore"));
        let too_long = |base: &Path| base.as_os_str().len() + "/12345678/s".len() > SOCKET_PATH_MAX_BYTES;
        if let Some(own) = own.filter(|base| base.is_absolute() && !too_long(base))
            && let Ok(made) = Self::create_in(&own)
        {
            return Ok(made);
        }
        Self::create_in(&shared).map_err(|error| {
            let message = format!("making a private directory for sockets below {}: {error}", shared.display());
            shortage::of(&error, &message).unwrap_or_else(|| {
                Error::config("socket.directory", message)
                    .suggest("set XDG_RUNTIME_DIR to a directory of your own (0700), or remove what stands in the way")
            })
        })
    }

    fn create_in(base: &Path) -> io::Result<Self> {
        make_private(base)?;
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| sweep(base));
        for _ in 0..ATTEMPTS {
            let mut random = [0; 4];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            let path = base.join(format!("{:08x}", u32::from_ne_bytes(random)));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            if let Some(lock) = hold(&path)? {
                return Ok(Self { path, note: None, _lock: lock });
            }
        }
        Err(io::Error::other("every name tried was taken or swept away"))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the connector shall serve.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("s")
    }

    /// A directory in it for somebody who must not reach the lock; not made here.
    pub(crate) fn inner(&self) -> PathBuf {
        self.path.join("c")
    }

    /// Names the socket in the state directory, for people and tools that look for it. Gone when this is dropped.
    pub(crate) fn note_in(&mut self, state_directory: &Path, task: &str, connector: &str, pid: u32) -> io::Result<()> {
        let notes = state_directory.join("sockets");
        DirBuilder::new().mode(0o700).recursive(true).create(&notes)?;
        let note = notes.join(format!("{pid}.json"));
        let text = serde_json::json!({ "task": task, "connector": connector, "pid": pid, "socket": self.socket() });
        std::fs::write(&note, format!("{text}\n"))?;
        self.note = Some(note);
        Ok(())
    }
}

/// A socket that is meant and no other, whatever its directory holds by now: an open descriptor of it.
#[derive(Debug)]
pub(crate) struct Held(OwnedFd);

impl Held {
    /// Takes hold of the socket at a path, if there is one. A link, a file, anything else there is refused.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&descriptor)?.st_mode);
        if kind != FileType::Socket {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is no socket but {kind:?}")));
        }
        Ok(Self(descriptor))
    }

    /// A path that leads to it as long as it is held.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

impl Drop for SocketDirectory {
    fn drop(&mut self) {
        // Leaving something behind is harmless: the next start sweeps the directory, and a note names a process that is gone.
        if let Some(note) = &self.note {
            std::fs::remove_file(note).ok();
        }
        std::fs::remove_dir_all(&self.path).ok();
    }
}

/// Removes the notes that a killed runtime left in its state directory. Only the owner of the state directory may call this.
pub fn forget_notes(state_directory: &Path) {
    std::fs::remove_dir_all(state_directory.join("sockets")).ok();
}

/// Makes `base` if it is not there, and refuses one that others could write to or that is not ours: they could replace our sockets.
fn make_private(base: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(base) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let meta = base.symlink_metadata()?;
    let ours = meta.is_dir() && meta.uid() == rustix::process::getuid().as_raw() && meta.mode() & 0o077 == 0;
    if ours { Ok(()) } else { Err(io::Error::other("it is not a directory that belongs to this user alone (0700)")) }
}

/// Takes the lock in a new directory; `None` if a sweeper was faster and removed it.
fn hold(directory: &Path) -> io::Result<Option<File>> {
    let path = directory.join("lock");
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let lock = match OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path) {
        Ok(lock) => lock,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    match path.metadata() {
        Ok(meta) => Ok((meta.ino() == lock.metadata()?.ino()).then_some(lock)),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the directories that nobody holds any more.
fn sweep(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for directory in entries.flatten().map(|entry| entry.path()) {
        let Ok(lock) = File::open(directory.join("lock")) else { continue };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            std::fs::remove_dir_all(&directory).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_private_short_and_gone_afterwards() {
        let directory = SocketDirectory::create().unwrap();
        assert_eq!(directory.path.metadata().unwrap().mode() & 0o777, 0o700);
        assert!(directory.socket().as_os_str().len() <= SOCKET_PATH_MAX_BYTES);
        let path = directory.path.clone();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_runtime_left_is_swept_and_what_is_held_is_not() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().join("b");
        let held = SocketDirectory::create_in(&base).unwrap();
        let left = base.join("deadbeef");
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("lock"), "").unwrap();
        sweep(&base);
        assert!(!left.exists());
        assert!(held.path.exists());
    }

    #[test]
    fn a_base_that_others_can_write_to_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let open = base.path().join("open");
        DirBuilder::new().mode(0o755).create(&open).unwrap();
        assert!(SocketDirectory::create_in(&open).is_err());
    }

    #[test]
    fn a_socket_is_held_and_a_link_to_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (socket, link) = (directory.path().join("s"), directory.path().join("l"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        assert!(Held::of(&link).is_err());
        assert_eq!(Held::of(&directory.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        let held = Held::of(&socket).unwrap();
        std::fs::rename(&link, &socket).unwrap();
        std::os::unix::net::UnixStream::connect(held.path()).expect("the one that is held, not what is there by now");
    }

    #[test]
    fn the_note_names_the_socket_and_goes_with_it() {
        let state = tempfile::tempdir().unwrap();
        let mut directory = SocketDirectory::create().unwrap();
        directory.note_in(state.path(), "shop", "capture-x", 77).unwrap();
        let note = state.path().join("sockets/77.json");
        assert!(std::fs::read_to_string(&note).unwrap().contains(&directory.socket().display().to_string()));
        drop(directory);
        assert!(!note.exists());
    }
}
