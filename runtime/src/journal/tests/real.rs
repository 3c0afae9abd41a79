//! The same journal on the real file system.

use super::*;
use crate::journal::storage::FileStorage;
use crate::journal::{Inspection, journal_dir, journal_names};

#[test]
fn real_files_hold_what_was_committed() {
    let state_dir = tempfile::tempdir().unwrap();
    let dir = journal_dir(state_dir.path(), "shop/nightly");
    let open = |id: u8| {
        let options = FileJournalOptions::new(dir.clone(), JournalId([id; 16]), Evidence::default());
        FileJournal::over(Arc::new(FileStorage), FileJournalOptions { segment_bytes: 2 << 20, ..options })
    };
    let journal = open(1);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    let local = writer.bind(&binding("orders")).unwrap();
    let big: Vec<_> = (0..700).map(|i| format!(r#"{{"id":{i},"body":"{}"}}"#, "b".repeat(1000))).collect();
    for _ in 0..8 {
        writer.documents(local, &batch(&big)).unwrap();
        writer.commit(&StatePatch::new()).unwrap();
    }
    drop(writer);
    let again = open(2);
    let writer = again.acquire(Epoch(2)).unwrap();
    assert_eq!((writer.last_committed().transaction, writer.next_offset()), (8, 5600));
    assert_eq!(writer.journal(), JournalId([1; 16]));
    let seen = read(&again).unwrap();
    assert_eq!(seen.len(), 8);
    assert!(seen.iter().all(|s| s.documents.iter().map(|(_, text)| text).eq(big.iter())));
    assert_eq!(journal_names(&FileStorage, state_dir.path()).unwrap(), ["shop/nightly"]);
    let look = Inspection::open(Arc::new(FileStorage), dir.clone(), Evidence::default()).unwrap().unwrap();
    assert_eq!(look.check().unwrap().documents, 5600);
}

#[test]
fn the_directory_of_a_long_name_is_a_short_one() {
    let name = journal_dir(Path::new("s"), &"long/".repeat(40));
    assert_eq!(name.file_name().unwrap().len(), 16);
    assert_eq!(journal_dir(Path::new("s"), "a/b"), Path::new("s/journals/a%2Fb"));
}
