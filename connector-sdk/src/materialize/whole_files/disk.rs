//! How files and directories become durable, are locked, compared and renamed. Errors say what was done to which path.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// How often, and how long apart, a lock is tried: 10 s together.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What an error of the file system asks for.
pub(super) fn failed(doing: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("{doing} {}: {error}", path.display());
    let of_the_path =
        [ErrorKind::PermissionDenied, ErrorKind::NotADirectory, ErrorKind::IsADirectory, ErrorKind::ReadOnlyFilesystem];
    if of_the_path.contains(&error.kind()) {
        return Error::config("files.path", message)
            .at_pointer("/path")
            .suggest("name a directory that can be written");
    }
    if error.kind() == ErrorKind::StorageFull {
        return Error::unavailable("files.full", message).suggest("make room on the disk");
    }
    Error::unavailable("files.io", message)
}

/// Makes a directory and those above it, each durable in the one above.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = directory_of(path);
    if above != path {
        make_directory(above)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(failed("making the directory", path, &error)),
    }
    sync_directory(above)
}

/// The directory that a file is in.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if above != Path::new("") => above,
        Some(_) | None => Path::new("."),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| failed("syncing the directory", path, &error))
}

/// Replaces a file as a whole: what is there afterwards is the old one or the new one.
pub(super) fn write_whole(path: &Path, aside: &Path, content: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(aside, path)
    };
    write().map_err(|error| failed("writing", path, &error))?;
    sync_directory(directory_of(path))
}

/// Holds a lock file until it is dropped. Somebody who holds it too long makes this `unavailable`, not a dead-lock.
pub(super) fn lock(path: &Path) -> Result<File> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| failed("opening the lock file", path, &error))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(failed("locking", path, &error)),
        }
    }
    let message = format!(
        "locking {}: expected it within {} s, got none: another session holds it",
        path.display(),
        (LOCK_PAUSE * LOCK_TRIES).as_secs()
    );
    Err(Error::unavailable("files.locked", message).suggest("end the other runtime or connector that writes there"))
}

/// How a rename without replacing ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Renamed {
    Done,
    /// There was nothing to rename.
    Gone,
    /// The other name is taken.
    Taken,
}

/// Never replaces a file, also not in a race.
pub(super) fn rename_without_replace(from: &Path, to: &Path) -> Result<Renamed> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(Renamed::Done),
        Err(Errno::NOENT) => Ok(Renamed::Gone),
        Err(Errno::EXIST) => Ok(Renamed::Taken),
        Err(Errno::INVAL | Errno::NOSYS) => {
            let message = format!(
                "publishing {}: expected a file system that renames without replacing, got one that cannot",
                to.display()
            );
            Err(Error::config("files.file_system", message)
                .at_pointer("/path")
                .suggest("name a directory on a local file system"))
        }
        Err(error) => Err(failed("publishing", to, &error.into())),
    }
}

/// SHA-256 of a file, as hexadecimal digits; none: there is no such file.
pub(super) fn checksum(path: &Path) -> Result<Option<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("reading", path, &error)),
    };
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).map_err(|error| failed("reading", path, &error))? {
            0 => return Ok(Some(hex(&sha.finalize()))),
            read => sha.update(&buffer[..read]),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Names in a directory; none if it is not there.
pub(super) fn names_in(path: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("listing", path, &error)),
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<io::Result<_>>().map_err(|error| failed("listing", path, &error))
}

/// Removes a file; gone is as good.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("removing", path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
