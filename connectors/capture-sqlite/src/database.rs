//! Opening the database, and what its errors tell the runtime to do.
//!
//! It is somebody else's: journal mode and everything else that lasts stays as its owner set it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use longshore_sdk::{Error, Result, place};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::config::Settings;

/// Pages in memory, in KiB.
const CACHE_KIB: i64 = 16 << 10;
/// Statements that are kept prepared: a few for each binding.
const STATEMENTS: usize = 256;

/// For looking at it. Not opened read-only, where it can be written: who died while writing has left a journal that is played back before
/// anything is read, and a reader that may not write is refused until somebody else has done it.
pub(crate) fn open_to_read(settings: &Settings) -> Result<Connection> {
    let connection = open(settings)?;
    let at = |error| failed(&format!("opening {}", settings.path.display()), error).at_pointer("/path");
    connection.pragma_update(None, "query_only", true).map_err(at)?;
    Ok(connection)
}

/// For a session or Apply. It must be there.
pub(crate) fn open(settings: &Settings) -> Result<Connection> {
    let path = &settings.path;
    if !path.exists() {
        let message = format!("capture-sqlite opens {}: expected a database, got nothing there", path.display());
        return Err(Error::config("sqlite.path.missing", message)
            .at_pointer("/path")
            .suggest("correct `path`, which is relative to the catalog; it is not made here"));
    }
    if !path.is_file() {
        let message =
            format!("capture-sqlite opens {}: expected a database, got a directory or the like", path.display());
        return Err(Error::config("sqlite.path.no_file", message).at_pointer("/path").suggest("name the file in it"));
    }
    let at = |error| failed(&format!("opening {}", path.display()), error).at_pointer("/path");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(literal(path), flags).map_err(at)?;
    connection.busy_timeout(settings.busy_timeout).map_err(at)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(at)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // The first statement finds out whether it is a database at all.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(at)?;
    Ok(connection)
}

/// What stands in the way of triggers and a log in this file, if anything can be seen.
pub(crate) fn fault(settings: &Settings) -> Option<Error> {
    let got = place::fault_of_file(&settings.path)?;
    let message = format!("capture-sqlite opens its database: expected a file that may be written, got {got}");
    Some(
        Error::config("sqlite.path.unwritable", message)
            .at_pointer("/path")
            .suggest("changes are noted by triggers in the database itself, so it and its directory must be writable"),
    )
}

/// To SQLite some names are no files: the empty one, `:memory:`, and URIs where it is told so. Here all are files.
fn literal(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_path_buf() } else { Path::new(".").join(path) }
}

/// Which file this is, whatever its name; none: there is none.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// An error of SQLite, by what is to be done about it.
pub(crate) fn failed(doing: &str, error: rusqlite::Error) -> Error {
    let message = format!("capture-sqlite, {doing}: {error}");
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::unavailable("sqlite.locked", message)
            .suggest("another program keeps the database locked; end its transaction, or raise `busy_timeout`"),
        Some(ErrorCode::DiskFull) => Error::unavailable("sqlite.full", message).suggest("make room on the disk"),
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::SchemaChanged
            | ErrorCode::FileLockingProtocolFailed,
        ) => Error::unavailable("sqlite.io", message),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            Error::config("sqlite.open", message)
                .suggest("name a database that may be written, in a directory that may be written")
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Error::config("sqlite.not_a_database", message)
            .suggest("name another file, or restore this one from a backup"),
        Some(ErrorCode::TooBig) => Error::data("sqlite.too_big", message),
        Some(_) | None => Error::internal("sqlite.failed", message),
    }
}
