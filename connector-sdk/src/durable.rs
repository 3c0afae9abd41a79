//! A small JSON file that changes in one step: for destinations and sources that are files, and for what is kept beside them.
//!
//! A reader sees the old or the new content, a crash leaves one of them, and two writers wait for each other. Not for large files: the
//! whole content is written each time.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Reads a file, or the default if there is none, lets `change` change it, and replaces it durably, with nobody in between. If `change`
/// fails, nothing has happened. Blocks its thread.
pub fn update<T, R>(path: impl AsRef<Path>, change: impl FnOnce(&mut T) -> Result<R>) -> Result<R>
where
    T: Default + Serialize + DeserializeOwned,
{
    let path = path.as_ref();
    let lock = File::create(beside(path, ".lock")).and_then(|lock| lock.lock().map(|()| lock));
    let _lock = lock.map_err(|error| failed("locking", path, &error))?;
    let mut content = read(path)?.unwrap_or_default();
    let result = change(&mut content)?;
    replace(path, &content).map_err(|error| failed("replacing", path, &error))?;
    Ok(result)
}

/// Reads a file; `None` if there is none.
pub fn read<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Option<T>> {
    let path = path.as_ref();
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("reading", path, &error)),
        Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| {
            let message = format!("reading {}: expected a file this connector wrote, got {error}", path.display());
            Error::config("sdk.file.foreign", message).suggest("name another file, or move that one away")
        }),
    }
}

/// Written aside, synced and renamed; the name is durable when its directory is synced.
fn replace<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let aside = beside(path, ".new");
    let mut file = File::create(&aside)?;
    file.write_all(&serde_json::to_vec(content)?)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("{doing} {}: {error}", path.display());
    let of_the_path =
        [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::NotADirectory, ErrorKind::IsADirectory];
    match of_the_path.contains(&error.kind()) {
        true => Error::config("sdk.file.path", message).suggest("name a file in a directory that can be written"),
        false => Error::unavailable("sdk.file.io", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_fails_has_not_happened() -> Result<()> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("numbers");
        update(&path, |numbers: &mut Vec<u32>| {
            numbers.push(1);
            Ok(())
        })?;
        let refused = update(&path, |numbers: &mut Vec<u32>| {
            numbers.push(2);
            Err::<(), _>(Error::data("no", "no"))
        });
        assert!(refused.is_err());
        assert_eq!(read::<Vec<u32>>(&path)?, Some(vec![1]));
        Ok(())
    }

    fn add_one(count: &mut u32) -> Result<()> {
        *count += 1;
        Ok(())
    }

    #[test]
    fn writers_wait_for_each_other() -> Result<()> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("count");
        let count = |_| {
            let path = path.clone();
            std::thread::spawn(move || (0..25).try_for_each(|_| update(&path, add_one)))
        };
        for writer in (0..4).map(count).collect::<Vec<_>>() {
            writer.join().expect("a writer")?;
        }
        assert_eq!(read::<u32>(&path)?, Some(100));
        Ok(())
    }

    #[test]
    fn a_file_of_somebody_else_is_not_overwritten() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("letter");
        fs::write(&path, "Dear Sir").expect("a file");
        let error = update(&path, |_: &mut Vec<u32>| Ok(())).expect_err("no list of numbers");
        assert_eq!(error.code, "sdk.file.foreign");
        assert_eq!(fs::read_to_string(&path).expect("the file"), "Dear Sir");
    }
}
