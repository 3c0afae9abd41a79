//! Whoever is told that a commit is durable is right, whatever successor appears at whichever moment.

use std::io;
use std::sync::Mutex;

use super::*;
use crate::journal::storage::{Storage, StorageFile};

#[test]
fn a_zombie_is_fenced_and_its_commit_is_not_there() {
    let disk = SimStorage::default();
    let old = journal(&disk, 1 << 20);
    let mut zombie = old.acquire(Epoch(1)).unwrap();
    write(&mut *zombie, 1).unwrap();
    let new = journal(&disk, 1 << 20);
    let mut writer = new.acquire(Epoch(2)).unwrap();
    let error = write(&mut *zombie, 2).unwrap_err();
    assert!(matches!(error, JournalError::Fenced { mine: Epoch(1), newer: Epoch(2), .. }), "{error}");
    assert!(write(&mut *zombie, 2).is_err(), "it stays out");
    assert_eq!(read(&old).unwrap().len(), 1, "its own readers do not see it either");
    write(&mut *writer, 2).unwrap();
    check_whole(&read(&new).unwrap());
}

#[test]
fn an_epoch_is_used_once() {
    let disk = SimStorage::default();
    let first = journal(&disk, 1 << 20);
    first.acquire(Epoch(5)).unwrap();
    for epoch in [4, 5] {
        let error = journal(&disk, 1 << 20).acquire(Epoch(epoch)).unwrap_err();
        assert!(matches!(error, JournalError::Fenced { newer: Epoch(5), .. }), "{error}");
    }
    journal(&disk, 1 << 20).acquire(Epoch(6)).unwrap();
}

#[test]
fn a_zombie_in_the_same_process_is_fenced() {
    let journal = journal(&SimStorage::default(), 500);
    let mut zombie = journal.acquire(Epoch(1)).unwrap();
    write(&mut *zombie, 1).unwrap();
    let mut writer = journal.acquire(Epoch(2)).unwrap();
    for _ in 0..3 {
        assert!(write(&mut *zombie, 2).is_err());
    }
    write(&mut *writer, 2).unwrap();
    check_whole(&read(&journal).unwrap());
}

/// For each operation of a commit, a rotation included: the successor takes over right before it.
#[test]
fn a_takeover_at_any_moment_of_a_commit_loses_nothing_acknowledged() {
    for segment_bytes in [400, 1 << 20] {
        let mut at = 0;
        loop {
            let hooked = Hooked::default();
            let old = hooked.journal(segment_bytes);
            let mut zombie = old.acquire(Epoch(1)).unwrap();
            write(&mut *zombie, 1).unwrap();
            let new = journal(&hooked.disk, segment_bytes);
            let taken = Arc::new(Mutex::new(None));
            let (successor, slot) = (new.clone(), Arc::clone(&taken));
            hooked.before(at, move || *slot.lock().unwrap() = Some(successor.acquire(Epoch(2)).unwrap()));
            let acknowledged = write(&mut *zombie, 2).is_ok();
            if !hooked.struck() {
                assert!(at >= 3 && acknowledged);
                break;
            }
            let mut writer = taken.lock().unwrap().take().unwrap();
            let found = writer.last_committed().transaction;
            assert!(found == 2 || !acknowledged, "before operation {at}: an acknowledged commit is gone");
            assert!(write(&mut *zombie, 3).is_err());
            write(&mut *writer, found + 1).unwrap();
            check_whole(&read(&new).unwrap());
            check_whole(&read(&old).unwrap());
            at += 1;
        }
    }
}

/// For each operation of an acquire: the old writer commits right before it.
#[test]
fn a_commit_at_any_moment_of_a_takeover_is_found_or_fenced() {
    for segment_bytes in [400, 1 << 20] {
        let mut at = 0;
        loop {
            let hooked = Hooked::default();
            let old = journal(&hooked.disk, segment_bytes);
            let mut zombie = old.acquire(Epoch(1)).unwrap();
            write(&mut *zombie, 1).unwrap();
            let acknowledged = Arc::new(Mutex::new(false));
            let slot = Arc::clone(&acknowledged);
            hooked.before(at, move || *slot.lock().unwrap() = write(&mut *zombie, 2).is_ok());
            let new = hooked.journal(segment_bytes);
            let mut writer = new.acquire(Epoch(2)).unwrap();
            if !hooked.struck() {
                assert!(at > 6);
                break;
            }
            let found = writer.last_committed().transaction;
            assert!(
                found == 2 || !*acknowledged.lock().unwrap(),
                "before operation {at}: an acknowledged commit is gone"
            );
            write(&mut *writer, found + 1).unwrap();
            check_whole(&read(&new).unwrap());
            at += 1;
        }
    }
}

/// For each operation of an acquire: another one of a higher epoch happens right before it. One of them wins, nothing is lost.
#[test]
fn of_two_takeovers_the_higher_wins() {
    let mut at = 0;
    loop {
        let hooked = Hooked::default();
        let mut first = journal(&hooked.disk, 1 << 20).acquire(Epoch(1)).unwrap();
        write(&mut *first, 1).unwrap();
        let winner = Arc::new(Mutex::new(None));
        let (slot, disk) = (Arc::clone(&winner), hooked.disk.clone());
        hooked.before(at, move || *slot.lock().unwrap() = Some(journal(&disk, 1 << 20).acquire(Epoch(3)).unwrap()));
        let loser = hooked.journal(1 << 20).acquire(Epoch(2));
        if !hooked.struck() {
            break;
        }
        let mut winner = winner.lock().unwrap().take().unwrap();
        let fenced = loser.and_then(|mut loser| write(&mut *loser, 2)).unwrap_err();
        assert!(matches!(fenced, JournalError::Fenced { newer: Epoch(3), .. }), "before operation {at}: {fenced}");
        write(&mut *winner, 2).unwrap();
        at += 1;
    }
}

type Hook = Box<dyn FnOnce() + Send>;

/// A disk on which something else happens right before the nth operation.
#[derive(Clone, Default)]
struct Hooked {
    disk: SimStorage,
    hook: Arc<Mutex<Option<(u64, Hook)>>>,
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

impl Hooked {
    fn journal(&self, segment_bytes: u64) -> FileJournal {
        FileJournal::over(Arc::new(self.clone()), options(segment_bytes, Evidence::default()))
    }

    fn before(&self, operation: u64, hook: impl FnOnce() + Send + 'static) {
        *self.hook.lock().unwrap() = Some((operation, Box::new(hook)));
    }

    fn struck(&self) -> bool {
        self.hook.lock().unwrap().take().is_none()
    }

    fn tick(&self) {
        let mut hook = self.hook.lock().unwrap();
        match hook.take() {
            Some((0, due)) => {
                drop(hook);
                due();
            }
            Some((n, later)) => *hook = Some((n - 1, later)),
            None => {}
        }
    }

    fn wrap(&self, file: io::Result<Box<dyn StorageFile>>) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(HookedFile { hooked: self.clone(), file: file? }))
    }
}

impl Storage for Hooked {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.tick();
        self.disk.create_dir(dir)
    }

    fn create_new(&self, file: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.tick();
        self.wrap(self.disk.create_new(file))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.tick();
        self.wrap(self.disk.open(file))
    }

    fn list(&self, dir: &Path, each: &mut dyn FnMut(&str)) -> io::Result<()> {
        self.tick();
        self.disk.list(dir, each)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.tick();
        self.disk.remove(file)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.tick();
        self.disk.sync_dir(dir)
    }
}

#[derive(Debug)]
struct HookedFile {
    hooked: Hooked,
    file: Box<dyn StorageFile>,
}

impl StorageFile for HookedFile {
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.hooked.tick();
        self.file.append(parts)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.hooked.tick();
        self.file.read_at(into, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.hooked.tick();
        self.file.sync_data()
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }
}
