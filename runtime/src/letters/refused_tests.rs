//! Wherever it ends, a letter is sent again once or waits; and what came since is not lost to it.

use std::path::PathBuf;
use std::sync::Arc;

use longshore_proto::batch::BatchBuilder;

use super::*;
use crate::journal::storage::sim::{Plan, SimStorage};
use crate::journal::{Evidence, FileJournal, FileJournalOptions, NewBinding};
use crate::store::Epoch;

const JOURNAL: JournalId = JournalId([7; 16]);

fn journal(disk: &SimStorage) -> FileJournal {
    let options = FileJournalOptions::new(PathBuf::from("journals/shop"), JOURNAL, Evidence::default());
    FileJournal::over(Arc::new(disk.clone()), FileJournalOptions { segment_bytes: 900, ..options })
}

/// Documents of these keys, each in a transaction of its own; the first takes offset 0.
fn written(ids: &[u64]) -> SimStorage {
    let disk = SimStorage::default();
    let journal = journal(&disk);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    let state_key = StateKey::new(&["orders".to_owned()], 0);
    let binding = NewBinding { state_key, collection: "shop/orders".to_owned(), key: vec!["/id".to_owned()] };
    let local = writer.bind(&binding).unwrap();
    for (n, id) in ids.iter().enumerate() {
        let mut batch = BatchBuilder::new(0);
        batch.push(format!(r#"{{"id":{id},"n":{n},"body":"{:0100}"}}"#, n).as_bytes());
        writer.documents(local, &batch.finish().unwrap()).unwrap();
        writer.commit(&StatePatch::new()).unwrap();
    }
    disk
}

fn table() -> StateKey {
    StateKey::new(&["table".to_owned()], 2)
}

fn skip(offset: u64, id: u64) -> Skip {
    Skip {
        at: SkipId { journal: JOURNAL, binding: table(), offset },
        collection: "shop/orders".to_owned(),
        key_json: format!("[{id}]").into(),
        code: "t.value".to_owned(),
        reason: "no".to_owned(),
        bytes: 10,
        replayed_at: None,
        dropped: false,
    }
}

/// Sends what is meant; the positions of the letters that stay, and why.
fn send(
    disk: &SimStorage,
    epoch: u64,
    (skips, meant): (&[Skip], &[u64]),
    (keeps, force): (Keeps, bool),
) -> Result<(Settled, Vec<(u64, String)>), Error> {
    let journal = journal(disk);
    let mut writer = journal.acquire(Epoch(epoch))?;
    let meant = skips.iter().map(|skip| skip.at.clone()).filter(|at| meant.contains(&at.offset)).collect();
    let receivers = [(table(), Receiver { keeps, key: vec!["/id".to_owned()] })].into();
    let order = Order { task: "lake", skips, meant: &meant, receivers: &receivers, force };
    let mut kept = Vec::new();
    let settled =
        replay(&journal, &mut *writer, &order, &mut |skip, why| kept.push((skip.at.offset, why.code.clone())))?;
    Ok((settled, kept))
}

/// What stands in the journal again: where it stood, and its document's number.
fn again(disk: &SimStorage) -> Vec<(u64, String)> {
    let journal = journal(&disk.copy());
    let _writer = journal.acquire(Epoch(99)).unwrap();
    let (mut reader, mut found) = (journal.reader(Filter::All), Vec::new());
    while let Some(entry) = reader.next().unwrap() {
        if let Entry::Resent { resent, .. } = entry {
            assert_eq!((resent.task.as_str(), &resent.binding), ("lake", &table()));
            let document = String::from_utf8(resent.document.to_vec()).unwrap();
            let n = document.split_once(r#""n":"#).unwrap().1.split(',').next().unwrap().to_owned();
            found.push((resent.letter, n));
        }
    }
    found
}

#[test]
fn letters_are_sent_again_once_wherever_it_ends() {
    let skips = [skip(1, 1), skip(3, 3), skip(4, 4)];
    let mut ends = 0;
    for power in [false, true] {
        for stop_at in 0.. {
            let disk = written(&[0, 1, 2, 3, 4]).copy();
            disk.plan(Plan { stop_at: Some(stop_at), ..Plan::default() });
            let ended = send(&disk, 2, (&skips, &[1, 3, 4]), (Keeps::Every, false));
            let was_stopped = disk.is_stopped();
            assert_eq!(ended.is_err(), was_stopped);
            match power {
                true => disk.power_cut(&mut |below| (stop_at * 7 + 3) % below),
                false => disk.restart(),
            }
            send(&disk, 3, (&skips, &[1, 3, 4]), (Keeps::Every, false)).unwrap();
            let expected = [(1, "1"), (3, "3"), (4, "4")].map(|(at, n)| (at, n.to_owned()));
            assert_eq!(again(&disk), expected, "stopped at operation {stop_at}, power cut: {power}");
            if !was_stopped {
                break;
            }
            ends += 1;
        }
    }
    assert!(ends > 10, "only {ends} ends");
}

#[test]
fn where_the_last_document_counts_a_letter_never_takes_the_place_of_a_newer_one_unasked() {
    // Of key 1 a newer one was stored, of key 2 one that waits too, of key 3 none.
    let disk = written(&[1, 2, 3, 1, 2]).copy();
    let skips = [skip(0, 1), skip(1, 2), skip(2, 3), skip(4, 2)];
    let (settled, kept) = send(&disk, 2, (&skips, &[0, 1, 2]), (Keeps::Last, false)).unwrap();
    assert_eq!((settled, kept), (Settled { settled: 2, kept: 1 }, vec![(0, "letters.newer".to_owned())]));
    assert_eq!(again(&disk).iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2]);
    let (settled, _) = send(&disk, 3, (&skips, &[0, 1]), (Keeps::Last, true)).unwrap();
    assert_eq!(settled.settled, 1, "the user said so; the other one was sent already");
    // What was sent again is newer than what stood before it.
    let (settled, kept) = send(&disk, 4, (&[skip(3, 1)], &[3]), (Keeps::Last, false)).unwrap();
    assert_eq!((settled.settled, kept), (0, vec![(3, "letters.newer".to_owned())]));
}

#[test]
fn where_documents_are_reduced_letters_of_a_key_keep_their_order() {
    let disk = written(&[1, 2, 1, 1]).copy();
    let skips = [skip(0, 1), skip(2, 1), Skip { dropped: true, ..skip(3, 1) }];
    let (settled, kept) = send(&disk, 2, (&skips, &[2]), (Keeps::Reduced, false)).unwrap();
    assert_eq!((settled.settled, kept), (0, vec![(2, "letters.order".to_owned())]));
    send(&disk, 3, (&skips, &[0]), (Keeps::Reduced, false)).unwrap();
    let (settled, _) = send(&disk, 4, (&skips, &[2]), (Keeps::Reduced, false)).unwrap();
    assert_eq!(settled.settled, 1, "the one before it is on its way");
    assert_eq!(again(&disk).iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn a_binding_that_is_gone_takes_nothing() {
    let disk = written(&[1]).copy();
    let other = Skip { at: SkipId { binding: StateKey::new(&["old".to_owned()], 0), ..skip(0, 1).at }, ..skip(0, 1) };
    let (settled, kept) = send(&disk, 2, (&[other], &[0]), (Keeps::Every, true)).unwrap();
    assert_eq!((settled.settled, kept), (0, vec![(0, "letters.binding".to_owned())]));
}
