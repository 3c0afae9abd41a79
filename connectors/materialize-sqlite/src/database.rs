//! Opening the database, and what its errors tell the runtime to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore_sdk::{Error, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// How long to wait for another writer.
const BUSY_TIMEOUT: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(10) };
/// Pages in memory, in KiB.
const CACHE_KIB: i64 = 32 << 10;

/// For writing; made if it is not there.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let at = |error| failed(&format!("opening {}", path.display()), error).at_pointer("/path");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(literal(path), flags).map_err(at)?;
    prepare(&connection).map_err(at)?;
    Ok(connection)
}

/// Without a file: to say what would be done where there is no database yet.
pub(crate) fn open_in_memory() -> Result<Connection> {
    let connection = Connection::open_in_memory().map_err(|error| failed("opening a database in memory", error))?;
    prepare(&connection).map_err(|error| failed("opening a database in memory", error))?;
    Ok(connection)
}

/// For reading; none: there is no file. Not opened read-only, where it can be written: who died while writing has left a journal that is
/// played back before anything is read, and a reader that may not write is refused until somebody else has done it.
pub(crate) fn open_to_read(path: &Path) -> Result<Option<Connection>> {
    if !path.exists() {
        return Ok(None);
    }
    let at = |error| failed(&format!("opening {}", path.display()), error).at_pointer("/path");
    let connection = Connection::open_with_flags(literal(path), OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(at)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(at)?;
    connection.pragma_update(None, "query_only", true).map_err(at)?;
    // The first statement finds out whether it is a database at all.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(at)?;
    Ok(Some(connection))
}

/// To SQLite some names are no files: the empty one, `:memory:`, and URIs where it is told so. Here all are files.
fn literal(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_path_buf() } else { Path::new(".").join(path) }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(())
}

/// An error of SQLite, by what is to be done about it.
pub(crate) fn failed(doing: &str, error: rusqlite::Error) -> Error {
    let message = format!("{doing}: {error}");
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::unavailable("sqlite.locked", message)
            .suggest("another program writes to the database; end it or wait"),
        Some(ErrorCode::DiskFull) => Error::unavailable("sqlite.full", message).suggest("make room on the disk"),
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted) => {
            Error::unavailable("sqlite.io", message)
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            Error::config("sqlite.open", message).suggest(
                "name a file in a directory that is there and can be written; paths are relative to the catalog",
            )
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Error::config("sqlite.not_a_database", message)
            .suggest("name another file, or restore this one from a backup"),
        Some(ErrorCode::SchemaChanged) => Error::unavailable("sqlite.schema", message),
        Some(ErrorCode::TooBig) => Error::data("sqlite.too_big", message),
        Some(_) | None => Error::internal("sqlite.failed", message),
    }
}
