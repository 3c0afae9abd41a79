//! Where whole files lie, as far as publishing them needs to know: a few operations, each of which happens or does not.
//!
//! Keys are relative to the destination, with `/` between their parts. All of it blocks its thread. What each operation promises after a
//! crash in its middle is said at it; the order of them is kept in [`super::owner`] and [`super::publish`].

use std::any::Any;
use std::fmt::Debug;

use super::publish::{PlannedFile, Upload};
use crate::{Error, Result};

/// A place that can stage and publish files: a directory, a bucket.
pub trait Storage: Debug + Send + Sync + 'static {
    /// For people, such as `out` or `s3://bucket/prefix`.
    fn shown(&self) -> String;

    /// The setting of the config that names it, such as `/path`.
    fn pointer(&self) -> &'static str;

    /// What stands in the way of a directory of it, or with an empty key of all, as far as looking tells.
    fn fault(&self, directory: &str) -> Option<Error>;

    /// A name of a directory of it that is the same however a config spells it.
    fn claim(&self, directory: &str) -> String;

    /// Keeps others from changing this until it is dropped. A storage whose [`Storage::replace`] compares needs no lock.
    fn lock(&self, key: &str) -> Result<Box<dyn Any + Send>>;

    /// A small file, whole; `None`: there is none.
    fn read(&self, key: &str) -> Result<Option<Content>>;

    /// Replaces a small file as a whole, durably, if it is still what was read before (`None`: it was not there). False: it is not, and nothing
    /// has happened.
    fn replace(&self, key: &str, bytes: &[u8], over: Option<&Content>) -> Result<bool>;

    /// An empty file, durable with its name. One that is there is as good.
    fn mark(&self, key: &str) -> Result<()>;

    /// Whether there is such a file.
    fn has(&self, key: &str) -> Result<bool>;

    /// Names of the files in a directory; none if it is not there.
    fn names(&self, directory: &str) -> Result<Vec<String>>;

    /// Makes a directory, durably, where there are directories.
    fn make(&self, directory: &str) -> Result<()>;

    /// Whether a directory is there. True where there are none.
    fn has_directory(&self, directory: &str) -> bool;

    /// Removes files from a directory; gone is as good.
    fn remove(&self, directory: &str, names: &[String]) -> Result<()>;

    /// Begins a new file that nobody sees. A key that is taken is an error. `published` is where it will be.
    fn stage(&self, staged: &str, published: &str) -> Result<Box<dyn StoredBytes>>;

    /// The names of finished staged files in this directory are durable now.
    fn settle_staged(&self, directory: &str) -> Result<()>;

    /// Publishes a staged file, never over another one. Repeated it finds it published. Durable after [`Storage::settle_published`].
    fn publish(&self, file: &PlannedFile) -> Result<Found>;

    /// What was published is durable now.
    fn settle_published(&self, files: &[PlannedFile]) -> Result<()>;

    /// A staged file that nobody will publish goes away.
    fn discard(&self, staged: &str) -> Result<()>;
}

/// Bytes on their way into a staged file.
pub trait StoredBytes: Send {
    /// More of them, in order.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// That was all: they are durable. Returns what publishing them will need beside the keys.
    fn finish(self: Box<Self>) -> Result<Option<Upload>>;
}

/// A small file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// All of it.
    pub bytes: Vec<u8>,
    /// What tells it from what others write in its place, where the storage compares.
    pub version: Option<String>,
}

/// What was found when a file was to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is published, now or before.
    Published,
    /// Neither the staged nor the published file.
    Nothing,
    /// Another file than the plan's, described.
    Other(String),
}
