//! The seam under the file journal: just what it needs of a file system, so that a simulated disk can lose, reorder and damage what a real
//! one may. [`FileStorage`] is the real one, [`sim::SimStorage`] the other.

mod file;
pub mod sim;

use std::fmt;
use std::io;
use std::path::Path;

pub use file::FileStorage;

/// A file system. Nothing is durable before its own sync: a file's bytes by [`StorageFile::sync_data`], its name by [`Storage::sync_dir`].
pub trait Storage: Send + Sync + fmt::Debug {
    /// Makes a directory and its missing parents, durably. No error if it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes an empty file; an error if the name is taken.
    fn create_new(&self, file: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file that is there, to read and to sync, not to append.
    fn open(&self, file: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Tells the names in a directory, in any order; none if it is not there.
    fn list(&self, dir: &Path, each: &mut dyn FnMut(&str)) -> io::Result<()>;

    /// Takes a file's name away. Whoever has it open reads on; no error if it is gone already.
    fn remove(&self, file: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub trait StorageFile: Send + fmt::Debug {
    /// Appends the parts, one after the other, in as few writes as the system allows.
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()>;

    /// Reads up to `into.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The same into a buffer of its own.
    fn read_to_vec(&self, bytes: usize, offset: u64) -> io::Result<Vec<u8>> {
        let mut into = vec![0; bytes];
        let read = self.read_at(&mut into, offset)?;
        into.truncate(read);
        Ok(into)
    }

    /// Makes durable what was written, by whomever.
    fn sync_data(&self) -> io::Result<()>;

    /// Its length in bytes.
    fn len_bytes(&self) -> io::Result<u64>;
}
