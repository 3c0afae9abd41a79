//! A directory of a local file system as a [`Storage`]: staged files are renamed without replacing, and a lock file keeps two writers apart.

use std::any::Any;
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::disk::{self, Renamed};
use super::publish::{PlannedFile, Upload};
use super::storage::{Content, Found, Storage, StoredBytes};
use crate::{Error, Result, place};

const BUFFER_BYTES: usize = 256 << 10;

/// See the module.
#[derive(Debug, Clone)]
pub struct Directory {
    target: PathBuf,
}

impl Directory {
    /// The config's setting for it is called `path`.
    pub fn new(target: impl Into<PathBuf>) -> Self {
        Self { target: target.into() }
    }

    fn at(&self, key: &str) -> PathBuf {
        if key.is_empty() { self.target.clone() } else { self.target.join(key) }
    }

    /// Both ends of a rename.
    fn ends(&self, file: &PlannedFile) -> (PathBuf, PathBuf) {
        (self.at(&file.staged), self.at(&file.published))
    }
}

impl Storage for Directory {
    fn shown(&self) -> String {
        self.target.display().to_string()
    }

    fn pointer(&self) -> &'static str {
        "/path"
    }

    /// The nearest thing that is there must be a directory.
    fn fault(&self, directory: &str) -> Option<Error> {
        let fault = place::fault_of_directory(self.at(directory))?;
        let message = format!("expected a directory to write to, got {fault}");
        Some(
            Error::config("files.path", message)
                .at_pointer("/path")
                .suggest("name a directory; it is made if it is not there"),
        )
    }

    fn claim(&self, directory: &str) -> String {
        place::one_name(self.at(directory))
    }

    fn lock(&self, key: &str) -> Result<Box<dyn Any + Send>> {
        let path = self.at(key);
        disk::make_directory(disk::directory_of(&path))?;
        Ok(Box::new(disk::lock(&path)?))
    }

    fn read(&self, key: &str) -> Result<Option<Content>> {
        let path = self.at(key);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(Content { bytes, version: None })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk::failed("reading", &path, &error)),
        }
    }

    /// The lock keeps others away meanwhile.
    fn replace(&self, key: &str, bytes: &[u8], _over: Option<&Content>) -> Result<bool> {
        let path = self.at(key);
        let mut aside = path.clone().into_os_string();
        aside.push(".new");
        disk::write_whole(&path, Path::new(&aside), bytes)?;
        Ok(true)
    }

    fn mark(&self, key: &str) -> Result<()> {
        let path = self.at(key);
        disk::make_directory(disk::directory_of(&path))?;
        File::create(&path)
            .and_then(|file| file.sync_all())
            .map_err(|error| disk::failed("writing the mark", &path, &error))?;
        disk::sync_directory(disk::directory_of(&path))
    }

    fn has(&self, key: &str) -> Result<bool> {
        let path = self.at(key);
        path.try_exists().map_err(|error| disk::failed("looking at", &path, &error))
    }

    fn names(&self, directory: &str) -> Result<Vec<String>> {
        disk::names_in(&self.at(directory))
    }

    fn make(&self, directory: &str) -> Result<()> {
        disk::make_directory(&self.at(directory))
    }

    fn has_directory(&self, directory: &str) -> bool {
        self.at(directory).is_dir()
    }

    fn remove(&self, directory: &str, names: &[String]) -> Result<()> {
        let directory = self.at(directory);
        names.iter().try_for_each(|name| disk::remove(&directory.join(name)))?;
        disk::sync_directory(&directory)
    }

    fn stage(&self, staged: &str, _published: &str) -> Result<Box<dyn StoredBytes>> {
        let path = self.at(staged);
        let file = File::create_new(&path).map_err(|error| disk::failed("staging", &path, &error))?;
        Ok(Box::new(Bytes { path, file: BufWriter::with_capacity(BUFFER_BYTES, file) }))
    }

    fn settle_staged(&self, directory: &str) -> Result<()> {
        disk::sync_directory(&self.at(directory))
    }

    fn publish(&self, file: &PlannedFile) -> Result<Found> {
        let (staged, published) = self.ends(file);
        match fs::metadata(&staged) {
            Ok(found) if found.len() != file.size => {
                return Ok(Found::Other(format!("a staged file of {} bytes, not {}", found.len(), file.size)));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(disk::failed("looking at", &staged, &error)),
        }
        disk::make_directory(disk::directory_of(&published))?;
        match disk::rename_without_replace(&staged, &published)? {
            Renamed::Done => Ok(Found::Published),
            Renamed::Gone if published.exists() => Ok(Found::Published),
            Renamed::Gone => Ok(Found::Nothing),
            Renamed::Taken if disk::checksum(&published)?.as_ref() == Some(&file.checksum) => {
                disk::remove(&staged)?;
                Ok(Found::Published)
            }
            Renamed::Taken => Ok(Found::Other("another file of that name".to_owned())),
        }
    }

    /// Both ends of every rename.
    fn settle_published(&self, files: &[PlannedFile]) -> Result<()> {
        let ends = files.iter().flat_map(|file| <[PathBuf; 2]>::from(self.ends(file)));
        let mut directories: Vec<PathBuf> = ends.map(|path| disk::directory_of(&path).to_owned()).collect();
        directories.sort();
        directories.dedup();
        directories.iter().try_for_each(|directory| disk::sync_directory(directory))
    }

    fn discard(&self, staged: &str) -> Result<()> {
        disk::remove(&self.at(staged))
    }
}

/// A staged file while it is written.
struct Bytes {
    path: PathBuf,
    file: BufWriter<File>,
}

impl StoredBytes for Bytes {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| disk::failed("staging", &self.path, &error))
    }

    /// Its name is durable when its directory is synced.
    fn finish(mut self: Box<Self>) -> Result<Option<Upload>> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(|error| disk::failed("staging", &self.path, &error))?;
        Ok(None)
    }
}
