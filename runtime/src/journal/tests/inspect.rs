//! Looking at a journal takes no epoch, disturbs nobody, and finds what is wrong.

use super::*;
use crate::journal::storage::Storage;
use crate::journal::{Inspection, journal_names};

fn open(disk: &SimStorage) -> Inspection {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    Inspection::open(storage, dir(), Evidence::default()).unwrap().unwrap()
}

#[test]
fn a_look_shows_segments_state_and_entries_and_changes_nothing() {
    let disk = SimStorage::default();
    let journal = journal(&disk, 700);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    (1..=10).for_each(|n| assert!(write(&mut *writer, n).is_ok()));
    let before = disk.bytes(&segment(1, 1));
    let look = open(&disk);
    assert_eq!((look.id(), look.end().transaction), (writer.journal(), 10));
    assert_eq!(look.state().task_json().unwrap(), r#"{"at":10}"#);
    let seen = read_from(&mut *look.reader(Filter::All)).unwrap();
    check_whole(&seen);
    let segments = look.segments().unwrap();
    assert!(segments.len() > 2);
    assert_eq!(segments[0].after, Some((0, Position::BEGINNING)));
    assert!(segments.iter().all(|s| s.counted_bytes == Some(s.file_bytes)));
    let checked = look.check().unwrap();
    assert_eq!((checked.transactions, checked.torn), (10, None));
    assert_eq!(checked.documents, seen.iter().map(|s| s.documents.len() as u64).sum::<u64>());
    // The writer goes on as if nobody had looked.
    assert_eq!(disk.bytes(&segment(1, 1)), before);
    write(&mut *writer, 11).unwrap();
    assert_eq!(read_from(&mut *open(&disk).reader(Filter::All)).unwrap().len(), 11);
    assert_eq!(journal_names(&disk, Path::new("")).unwrap(), Vec::<String>::new());
}

#[test]
fn a_torn_tail_and_what_does_not_count_are_shown() {
    let disk = SimStorage::default();
    let mut writer = journal(&disk, 1 << 20).acquire(Epoch(1)).unwrap();
    (1..=3).for_each(|n| assert!(write(&mut *writer, n).is_ok()));
    disk.damage(&segment(1, 1), |bytes| bytes.extend_from_slice(b"garbage"));
    let torn = open(&disk).check().unwrap().torn.unwrap();
    assert_eq!(torn.from_byte + 7, torn.file_bytes);
    // A successor that never finished its opening does not exist.
    disk.create_new(&segment(2, 2)).unwrap();
    let look = open(&disk);
    assert_eq!(look.end().transaction, 3);
    assert_eq!(look.segments().unwrap()[1].counted_bytes, None);
}

#[test]
fn nothing_to_look_at_is_no_error() {
    let storage: Arc<dyn Storage> = Arc::new(SimStorage::default());
    assert!(Inspection::open(storage, dir(), Evidence::default()).unwrap().is_none());
}
