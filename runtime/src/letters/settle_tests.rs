//! Wherever it ends, a letter is replayed once or waits.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::journal::storage::sim::{Plan, SimStorage};
use crate::journal::{Evidence, FileJournal, FileJournalOptions, JournalId, Letter, NewBinding};
use crate::store::Epoch;

fn journal(disk: &SimStorage) -> FileJournal {
    let options = FileJournalOptions::new(PathBuf::from("journals/shop"), JournalId([7; 16]), Evidence::default());
    FileJournal::over(Arc::new(disk.clone()), FileJournalOptions { segment_bytes: 900, ..options })
}

/// Three letters of two bindings.
fn letters(disk: &SimStorage) -> SimStorage {
    let journal = journal(disk);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    for (name, id) in [("orders", 1), ("lines", 2), ("orders", 3)] {
        let state_key = StateKey::new(&[name.to_owned()], 0);
        let binding = NewBinding { state_key, collection: format!("shop/{name}"), key: vec!["/id".to_owned()] };
        let local = writer.bind(&binding).unwrap();
        let document = format!("{{\"id\":{id}}}").into();
        let letter = Letter { code: "document.schema".into(), message: "it does not fit".into(), document };
        writer.letter(local, &letter).unwrap();
        writer.commit(&StatePatch::new()).unwrap();
    }
    disk.clone()
}

/// Documents as they stand in the journal, and the letters that wait.
fn found(journal: &FileJournal) -> (Vec<String>, Vec<u64>) {
    let (mut reader, mut documents) = (journal.reader(Filter::All), Vec::new());
    while let Some(entry) = reader.next().unwrap() {
        if let Entry::Documents { documents: batch, .. } = entry {
            documents.extend(batch.documents().map(|document| String::from_utf8(document.to_vec()).unwrap()));
        }
    }
    let all = Selection::default();
    (documents, waiting(journal, &all).unwrap().into_keys().collect())
}

fn everything(journal: &FileJournal, writer: &mut dyn Writer) -> Result<Settled, Error> {
    replay(journal, writer, &Selection::default(), &mut |_, _| Ok(None), &mut |_, _| {})
}

#[test]
fn a_replay_that_ends_anywhere_and_is_done_again_replays_each_letter_once() {
    let mut ends = 0;
    for power in [false, true] {
        for stop_at in 0.. {
            let disk = letters(&SimStorage::default());
            disk.plan(Plan { stop_at: Some(stop_at), ..Plan::default() });
            let ended = (|| {
                let journal = journal(&disk);
                let mut writer = journal.acquire(Epoch(2))?;
                everything(&journal, &mut *writer)
            })();
            let was_stopped = disk.is_stopped();
            assert_eq!(ended.is_err(), was_stopped, "{ended:?}");
            match power {
                true => disk.power_cut(&mut |below| (stop_at * 7 + 3) % below),
                false => disk.restart(),
            }
            let journal = journal(&disk);
            let mut writer = journal.acquire(Epoch(3)).unwrap();
            let (documents, waiting) = found(&journal);
            assert_eq!(documents.len() + waiting.len(), 3, "at {stop_at}: {documents:?}, {waiting:?} wait");
            everything(&journal, &mut *writer).unwrap();
            let documents = found(&journal).0;
            assert_eq!(documents, [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#], "stopped at operation {stop_at}");
            if !was_stopped {
                break;
            }
            ends += 1;
        }
    }
    assert!(ends > 10, "only {ends} ends");
}

#[test]
fn what_is_still_not_admitted_stays_and_what_was_settled_does_not_come_back() {
    let disk = letters(&SimStorage::default());
    let journal = journal(&disk);
    let mut writer = journal.acquire(Epoch(2)).unwrap();
    let second = waiting(&journal, &Selection::default()).unwrap().into_keys().nth(1).unwrap();
    let at = |positions: &[u64]| Selection { positions: positions.iter().copied().collect(), ..Selection::default() };
    let dropped = drop_letters(&journal, &mut *writer, &at(&[second])).unwrap();
    assert_eq!(dropped, Settled { settled: 1, kept: 0 });
    let mut told = Vec::new();
    let refuse = &mut |_, document: &[u8]| match document {
        br#"{"id":1}"# => Err(Error::data("document.schema", "still not")),
        _ => Ok(Some((5, b"{}".to_vec()))),
    };
    let replayed = replay(&journal, &mut *writer, &Selection::default(), refuse, &mut |at, _| told.push(at)).unwrap();
    assert_eq!(replayed, Settled { settled: 1, kept: 1 });
    assert_eq!(found(&journal), (vec![r#"{"id":3}"#.to_owned()], told));
    assert_eq!(journal.known().schemas.values().map(|schema| schema.version).collect::<Vec<_>>(), [5]);
    assert_eq!(drop_letters(&journal, &mut *writer, &at(&[second])).unwrap().settled, 0, "it was dropped before");
}

#[test]
fn a_selection_knows_a_binding_by_each_of_its_names() {
    let key = StateKey::new(&["orders".to_owned()], 3);
    let wants = |name: &str| {
        Selection { bindings: [name.to_owned()].into(), ..Selection::default() }.wants(9, &key, "shop/orders")
    };
    assert!(["orders.v3", "orders", "shop/orders"].into_iter().all(wants) && !wants("lines"));
}
