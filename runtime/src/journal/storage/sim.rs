//! A disk in memory that does what real ones do on a bad day: a page cache that is lost or written back in any order at a power cut, torn
//! sectors, names that were never synced, a sync that fails and leaves pages clean but not on disk, bits that flip.
//!
//! It draws no randomness: whoever cuts the power passes the dice. Every fault counts how often it struck, because a simulation in which a
//! fault never fired has not tested it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Storage, StorageFile};

/// Gives a number below its argument, which is at least 1.
pub type Dice<'a> = &'a mut dyn FnMut(u64) -> u64;

/// What a disk writes at once; a power cut may tear even that.
const SECTOR_BYTES: usize = 512;

/// Shared by all that use the disk; clones see the same one.
#[derive(Debug, Clone, Default)]
pub struct SimStorage {
    disk: Arc<Mutex<Disk>>,
}

/// How often each fault struck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Strikes {
    /// The power was cut.
    pub power_cuts: u64,
    /// The process of a plan ended at its operation.
    pub stops: u64,
    /// A sector that was written and not synced did not survive.
    pub sectors_lost: u64,
    /// One survived though an earlier one of the same file did not.
    pub sectors_reordered: u64,
    /// One survived in part.
    pub sectors_torn: u64,
    /// A name that was not synced did not survive.
    pub names_lost: u64,
    /// A name that was taken away, and not synced, is there again.
    pub names_back: u64,
    /// A sync failed.
    pub sync_errors: u64,
    /// A write was cut short by a full disk.
    pub short_writes: u64,
    /// A bit was flipped.
    pub bits_flipped: u64,
}

/// What is to go wrong, counted in operations that change something, from the plan's start; each strikes once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    /// This operation and all after it fail without effect, until [`SimStorage::power_cut`] or [`SimStorage::restart`].
    pub stop_at: Option<u64>,
    /// This operation, if it is a sync (else the next sync), fails; what it should have made durable never will be.
    pub sync_error_at: Option<u64>,
    /// This operation, if it is an append (else the next append), writes a part and fails.
    pub short_write_at: Option<u64>,
}

#[derive(Debug, Default)]
struct Disk {
    files: Vec<SimFile>,
    /// By path, taken as a text.
    dirs: BTreeMap<String, SimDir>,
    /// Handles of an earlier boot are dead.
    boot: u64,
    operations: u64,
    stopped: bool,
    plan: Plan,
    strikes: Strikes,
}

#[derive(Debug, Default)]
struct SimFile {
    /// What everybody reads.
    cache: Vec<u8>,
    /// What a power cut leaves for sure.
    durable: Vec<u8>,
    /// Written, not synced, in order.
    dirty: Vec<Range<usize>>,
}

/// Names to indexes of files.
#[derive(Debug, Default)]
struct SimDir {
    cache: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
}

impl SimStorage {
    /// Sets what is to go wrong from here on.
    pub fn plan(&self, plan: Plan) {
        let mut disk = self.lock();
        disk.operations = 0;
        disk.plan = plan;
    }

    /// Operations since the plan was set.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// How often each fault struck so far.
    #[must_use]
    pub fn strikes(&self) -> Strikes {
        self.lock().strikes
    }

    /// Whether the plan's stop has struck and nothing works any more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Everything loses power: what was not synced survives sector by sector as the dice say. Open handles are dead, the plan is done.
    pub fn power_cut(&self, dice: Dice<'_>) {
        let mut disk = self.lock();
        let mut strikes = disk.strikes;
        strikes.power_cuts += 1;
        for dir in disk.dirs.values_mut() {
            dir.power_cut(dice, &mut strikes);
        }
        for file in &mut disk.files {
            file.power_cut(dice, &mut strikes);
        }
        disk.strikes = strikes;
        disk.reboot();
    }

    /// All processes end, the machine goes on: the page cache survives. Open handles are dead, the plan is done.
    pub fn restart(&self) {
        self.lock().reboot();
    }

    /// Flips one bit, on disk and in the cache.
    pub fn flip_bit(&self, file: &Path, byte: usize, bit: u8) {
        self.damage(file, |bytes| bytes[byte] ^= 1 << bit);
        self.lock().strikes.bits_flipped += 1;
    }

    /// Changes a file's bytes, on disk and in the cache, as nobody should.
    pub fn damage(&self, file: &Path, change: impl Fn(&mut Vec<u8>)) {
        let mut disk = self.lock();
        if let Some(index) = disk.index(file) {
            let file = &mut disk.files[index];
            change(&mut file.cache);
            change(&mut file.durable);
        }
    }

    /// A file's bytes as everybody reads them.
    #[must_use]
    pub fn bytes(&self, file: &Path) -> Option<Vec<u8>> {
        let disk = self.lock();
        disk.index(file).map(|index| disk.files[index].cache.clone())
    }

    /// A disk of its own with the same content, all of it durable.
    #[must_use]
    pub fn copy(&self) -> Self {
        let disk = self.lock();
        let files =
            disk.files.iter().map(|f| SimFile { cache: f.cache.clone(), durable: f.cache.clone(), dirty: Vec::new() });
        let dirs = disk
            .dirs
            .iter()
            .map(|(path, d)| (path.clone(), SimDir { cache: d.cache.clone(), durable: d.cache.clone() }));
        let copy = Disk { files: files.collect(), dirs: dirs.collect(), ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(copy)) }
    }

    /// Takes a name away, durably, as nobody should.
    pub fn lose(&self, file: &Path) {
        let mut disk = self.lock();
        if let (Some(dir), Some(name)) = (file.parent(), file.file_name().and_then(|n| n.to_str()))
            && let Some(dir) = dir.to_str().and_then(|dir| disk.dirs.get_mut(dir))
        {
            dir.cache.remove(name);
            dir.durable.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, boot: u64, index: usize) -> Box<dyn StorageFile> {
        Box::new(Handle { disk: Arc::clone(&self.disk), boot, index })
    }
}

impl Storage for SimStorage {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        disk.operation()?;
        disk.dirs.entry(text(dir)?.to_owned()).or_default();
        Ok(())
    }

    fn create_new(&self, file: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut disk = self.lock();
        disk.operation()?;
        if disk.index(file).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let index = disk.files.len();
        disk.files.push(SimFile::default());
        let (dir, name) = split(file)?;
        disk.dirs.get_mut(dir).ok_or(io::ErrorKind::NotFound)?.cache.insert(name.to_owned(), index);
        Ok(self.handle(disk.boot, index))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn StorageFile>> {
        let disk = self.lock();
        disk.alive()?;
        let index = disk.index(file).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(disk.boot, index))
    }

    fn list(&self, dir: &Path, each: &mut dyn FnMut(&str)) -> io::Result<()> {
        let disk = self.lock();
        disk.alive()?;
        let dir = disk.dirs.get(text(dir)?);
        dir.into_iter().flat_map(|dir| dir.cache.keys()).for_each(|name| each(name));
        Ok(())
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        disk.operation()?;
        let (dir, name) = split(file)?;
        disk.dirs.get_mut(dir).ok_or(io::ErrorKind::NotFound)?.cache.remove(name);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        disk.operation()?;
        let failed = disk.sync_fails();
        let dir = disk.dirs.get_mut(text(dir)?).ok_or(io::ErrorKind::NotFound)?;
        if failed {
            return Err(no_medium());
        }
        dir.durable = dir.cache.clone();
        Ok(())
    }
}

#[derive(Debug)]
struct Handle {
    disk: Arc<Mutex<Disk>>,
    boot: u64,
    index: usize,
}

impl Handle {
    fn lock(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.alive()?;
        if disk.boot == self.boot { Ok(disk) } else { Err(stopped()) }
    }
}

impl StorageFile for Handle {
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut disk = self.lock()?;
        disk.operation()?;
        let short = disk.write_is_short();
        let file = &mut disk.files[self.index];
        let start = file.cache.len();
        parts.iter().for_each(|part| file.cache.extend_from_slice(part));
        if short {
            file.cache.truncate(start + (file.cache.len() - start) / 2);
        }
        file.dirty.push(start..file.cache.len());
        if short { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.lock()?;
        let cache = &disk.files[self.index].cache;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(cache.len());
        let len = into.len().min(cache.len() - start);
        into[..len].copy_from_slice(&cache[start..start + len]);
        Ok(len)
    }

    fn read_to_vec(&self, bytes: usize, offset: u64) -> io::Result<Vec<u8>> {
        let disk = self.lock()?;
        let cache = &disk.files[self.index].cache;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(cache.len());
        Ok(cache[start..cache.len().min(start + bytes)].to_vec())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.lock()?;
        disk.operation()?;
        let failed = disk.sync_fails();
        let file = &mut disk.files[self.index];
        let dirty = std::mem::take(&mut file.dirty);
        if failed {
            // The pages are clean now: readers see them, no later sync writes them.
            return Err(no_medium());
        }
        for range in dirty {
            file.persist(range);
        }
        Ok(())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.lock()?.files[self.index].cache.len() as u64)
    }
}

impl Disk {
    fn alive(&self) -> io::Result<()> {
        if self.stopped { Err(stopped()) } else { Ok(()) }
    }

    /// Counts an operation that changes something, or ends here.
    fn operation(&mut self) -> io::Result<()> {
        self.alive()?;
        if self.plan.stop_at == Some(self.operations) {
            self.stopped = true;
            self.strikes.stops += 1;
            return Err(stopped());
        }
        self.operations += 1;
        Ok(())
    }

    fn sync_fails(&mut self) -> bool {
        let due = self.plan.sync_error_at.is_some_and(|at| at < self.operations);
        if due {
            self.plan.sync_error_at = None;
            self.strikes.sync_errors += 1;
        }
        due
    }

    fn write_is_short(&mut self) -> bool {
        let due = self.plan.short_write_at.is_some_and(|at| at < self.operations);
        if due {
            self.plan.short_write_at = None;
            self.strikes.short_writes += 1;
        }
        due
    }

    fn index(&self, file: &Path) -> Option<usize> {
        let (dir, name) = split(file).ok()?;
        self.dirs.get(dir)?.cache.get(name).copied()
    }

    fn reboot(&mut self) {
        self.boot += 1;
        self.operations = 0;
        self.stopped = false;
        self.plan = Plan::default();
    }
}

impl SimFile {
    fn persist(&mut self, range: Range<usize>) {
        if self.durable.len() < range.end {
            self.durable.resize(range.end, 0);
        }
        self.durable[range.clone()].copy_from_slice(&self.cache[range]);
    }

    fn power_cut(&mut self, dice: Dice<'_>, strikes: &mut Strikes) {
        let mut lost = false;
        for range in std::mem::take(&mut self.dirty) {
            let mut start = range.start;
            while start < range.end {
                let end = range.end.min((start / SECTOR_BYTES + 1) * SECTOR_BYTES);
                match dice(8) {
                    0..=3 => {
                        self.persist(start..end);
                        strikes.sectors_reordered += u64::from(lost);
                    }
                    4 => {
                        let torn = start + usize::try_from(dice((end - start) as u64)).unwrap_or(0);
                        self.persist(start..torn);
                        strikes.sectors_torn += 1;
                        lost = true;
                    }
                    _ => {
                        strikes.sectors_lost += 1;
                        lost = true;
                    }
                }
                start = end;
            }
        }
        self.cache.clone_from(&self.durable);
    }
}

impl SimDir {
    fn power_cut(&mut self, dice: Dice<'_>, strikes: &mut Strikes) {
        let unsynced: Vec<_> = self.cache.iter().filter(|(name, _)| !self.durable.contains_key(*name)).collect();
        let mut kept = Vec::new();
        for (name, index) in unsynced {
            if dice(2) == 0 {
                kept.push((name.clone(), *index));
            } else {
                strikes.names_lost += 1;
            }
        }
        self.durable.extend(kept);
        // One that was taken away is there again, or not.
        let removed: Vec<_> = self.durable.keys().filter(|name| !self.cache.contains_key(*name)).cloned().collect();
        for name in removed {
            if dice(2) == 0 {
                self.durable.remove(&name);
            } else {
                strikes.names_back += 1;
            }
        }
        self.cache = self.durable.clone();
    }
}

/// Directory and name.
fn split(file: &Path) -> io::Result<(&str, &str)> {
    let path = text(file)?;
    let at = path.bytes().rposition(|byte| byte == b'/').ok_or(io::ErrorKind::InvalidInput)?;
    Ok((&path[..at], &path[at + 1..]))
}

fn text(path: &Path) -> io::Result<&str> {
    Ok(path.to_str().ok_or(io::ErrorKind::InvalidInput)?)
}

fn stopped() -> io::Error {
    io::Error::other("the simulated process has ended")
}

fn no_medium() -> io::Error {
    io::Error::other("simulated input/output error")
}
