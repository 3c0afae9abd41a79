//! What is written is read back in order, across segments, filters, positions and abandoned transactions.

use super::*;
use crate::journal::{Control, Durable, Letter, Mark, Resent};

#[test]
fn a_new_journal_is_empty_and_knows_its_id() {
    let journal = journal(&SimStorage::default(), 1 << 20);
    assert_eq!(journal.id(), None);
    assert!(read(&journal).unwrap().is_empty());
    let writer = journal.acquire(Epoch(1)).unwrap();
    assert_eq!((journal.id(), writer.next_offset()), (Some(JournalId([7; 16])), 0));
    assert_eq!(writer.last_committed().position, Position::BEGINNING);
}

#[test]
fn what_is_committed_is_read_back_and_what_is_not_is_not() {
    let journal = journal(&SimStorage::default(), 1 << 20);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    for n in 1..=5 {
        write(&mut *writer, n).unwrap();
    }
    let local = first_local(&journal);
    writer.documents(local, &batch(&documents(6))).unwrap();
    let seen = read(&journal).unwrap();
    assert_eq!(seen.len(), 5);
    check_whole(&seen);
    assert_eq!(writer.state().task_json().unwrap(), r#"{"at":5}"#);
}

#[test]
fn the_journal_goes_on_where_it_was_with_state_bindings_and_schemas() {
    let disk = SimStorage::default();
    let mut writer = journal(&disk, 1 << 20).acquire(Epoch(1)).unwrap();
    let local = writer.bind(&binding("orders")).unwrap();
    writer.schema(local, 1, br#"{"type":"object"}"#).unwrap();
    writer.commit(&StatePatch::new()).unwrap();
    for n in 2..=4 {
        write(&mut *writer, n).unwrap();
    }
    drop(writer);
    let again = journal(&disk, 1 << 20);
    let mut writer = again.acquire(Epoch(9)).unwrap();
    assert_eq!(writer.last_committed().transaction, 4);
    assert_eq!(writer.state().task_json().unwrap(), r#"{"at":4}"#);
    assert_eq!(writer.bind(&binding("orders")).unwrap(), local);
    assert_eq!(writer.schemas()[&local].version, 1);
    assert_ne!(writer.bind(&binding("lines")).unwrap(), local);
    assert!(again.known().bindings.iter().count() == 1, "a binding counts with its commit");
}

#[test]
fn a_transaction_spans_segments_and_readers_begin_anywhere() {
    for segment_bytes in [700, 1500, 4000] {
        let disk = SimStorage::default();
        let journal = journal(&disk, segment_bytes);
        let mut writer = journal.acquire(Epoch(1)).unwrap();
        for n in 1..=30 {
            write(&mut *writer, n).unwrap();
        }
        let seen = read(&journal).unwrap();
        check_whole(&seen);
        assert_eq!(seen.len(), 30);
        let mut follower = journal.reader(Filter::All);
        assert_eq!(read_from(&mut *follower).unwrap(), seen);
        for i in 0..seen.len() {
            let mut reader = journal.reader(Filter::All);
            reader.seek(seen[i].committed.end).unwrap();
            assert_eq!(reader.bindings().iter().count(), 1);
            assert_eq!(read_from(&mut *reader).unwrap(), seen[i + 1..]);
        }
        // Another process finds the same, and a follower of this one goes on over a new writer.
        drop(writer);
        let mut writer = journal.acquire(Epoch(2)).unwrap();
        write(&mut *writer, 31).unwrap();
        assert_eq!(read_from(&mut *follower).unwrap().len(), 1);
        check_whole(&read(&journal).unwrap());
        let other = super::journal(&disk, segment_bytes);
        other.acquire(Epoch(3)).unwrap();
        let seen = read(&other).unwrap();
        check_whole(&seen);
        assert_eq!(seen.len(), 31);
    }
}

#[test]
fn an_abandoned_transaction_leaves_nothing_wherever_it_stood() {
    for segment_bytes in [600, 1 << 20] {
        let disk = SimStorage::default();
        let journal = journal(&disk, segment_bytes);
        let mut writer = journal.acquire(Epoch(1)).unwrap();
        for n in 1..=12 {
            let orders = writer.bind(&binding("orders")).unwrap();
            let big = format!(r#"{{"never":"{}"}}"#, "y".repeat(300_000 * (n as usize % 2)));
            writer.documents(orders, &batch(&[big])).unwrap();
            writer.bind(&binding("never")).unwrap();
            writer.schema(orders, 99, b"{}").unwrap();
            writer.abandon();
            assert!(writer.schemas().is_empty());
            assert_eq!(writer.open_bytes(), 0);
            write(&mut *writer, n).unwrap();
        }
        let seen = read(&journal).unwrap();
        check_whole(&seen);
        assert_eq!((seen.len(), journal.known().bindings.iter().count()), (12, 1));
        drop(writer);
        let other = super::journal(&disk, segment_bytes);
        other.acquire(Epoch(2)).unwrap();
        assert_eq!(read(&other).unwrap(), seen);
    }
}

#[test]
fn a_commit_without_documents_counts_and_keeps_the_position() {
    let journal = journal(&SimStorage::default(), 600);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    let first = write(&mut *writer, 1).unwrap();
    for n in 2..40 {
        let committed: Durable<Committed> = writer.commit(&patch(n)).unwrap();
        assert_eq!((committed.transaction, committed.end), (n, first.end));
    }
    let mut reader = journal.reader(Filter::All);
    reader.seek(first.end).unwrap();
    drop(writer);
    let writer = journal.acquire(Epoch(2)).unwrap();
    assert_eq!(writer.state().task_json().unwrap(), r#"{"at":39}"#);
    // Empty transactions have no place of their own: some of them may be passed by a seek.
    read_from(&mut *reader).unwrap();
    assert_eq!(reader.position(), first.end);
}

#[test]
fn a_filter_lets_through_its_collections_and_every_commit() {
    let journal = journal(&SimStorage::default(), 900);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    for n in 1..=20 {
        let name = if n % 2 == 0 { "orders" } else { "lines" };
        let local = writer.bind(&binding(name)).unwrap();
        writer.documents(local, &batch(&[format!(r#"{{"n":{n}}}"#)])).unwrap();
        writer.control(local, Control::Truncated).unwrap();
        writer.commit(&StatePatch::new()).unwrap();
    }
    let filter = Filter::Collections(["shop/orders".to_owned()].into());
    let mut reader = journal.reader(filter);
    let (mut documents, mut controls, mut commits) = (Vec::new(), Vec::new(), 0);
    while let Some(entry) = reader.next().unwrap() {
        match entry {
            Entry::Documents { first_offset, .. } => documents.push(first_offset),
            Entry::Control { offset, control, .. } => controls.push((offset, control)),
            Entry::Commit(_) => commits += 1,
            Entry::Bindings(_)
            | Entry::Schema { .. }
            | Entry::Letter { .. }
            | Entry::Settled { .. }
            | Entry::Resent { .. } => {}
        }
    }
    assert_eq!(documents, (0..10).map(|i| i * 4 + 2).collect::<Vec<_>>());
    assert_eq!(controls, (0..10).map(|i| (i * 4 + 3, Control::Truncated)).collect::<Vec<_>>());
    assert_eq!(commits, 20);
}

#[test]
fn a_position_of_another_history_is_refused() {
    let (disk, other) = (SimStorage::default(), SimStorage::default());
    let journal = journal(&disk, 1 << 20);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    let ends: Vec<_> = (1..=4).map(|n| write(&mut *writer, n).unwrap().end).collect();
    assert!(ends.iter().all(|end| beginning_to(*end)));
    let refuse = |position: Position, word: &str| {
        let error = journal.reader(Filter::All).seek(position).unwrap_err();
        assert!(matches!(error, JournalError::UnknownPosition { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    };
    refuse(Position { chain_crc: ends[1].chain_crc ^ 1, ..ends[1] }, "there");
    refuse(Position { offset: ends[1].offset + 1, ..ends[1] }, "there");
    refuse(Position { offset: 0, chain_crc: 3 }, "another history");
    refuse(Position { offset: 1000, chain_crc: 3 }, "ends at");
    // The same journal, copied before transaction 3 and gone another way.
    let copy = super::journal(&other, 1 << 20);
    let mut grown = copy.acquire(Epoch(1)).unwrap();
    write(&mut *grown, 1).unwrap();
    write(&mut *grown, 2).unwrap();
    grown.bind(&binding("lines")).unwrap();
    let other_end = write(&mut *grown, 3).unwrap().end;
    assert_eq!(other_end.offset, ends[2].offset);
    refuse(other_end, "there");
    journal.reader(Filter::All).seek(ends[2]).unwrap();
}

#[test]
fn a_large_batch_is_cut_and_a_large_document_is_not() {
    let journal = journal(&SimStorage::default(), 64 << 20);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    let local = writer.bind(&binding("orders")).unwrap();
    let text = |bytes: usize| format!(r#"{{"b":"{}"}}"#, "z".repeat(bytes - 8));
    let small: Vec<_> = (0..7).map(|_| text(1_198_370)).collect();
    writer.documents(local, &batch(&small)).unwrap();
    writer.documents(local, &batch(&[text(16 << 20)])).unwrap();
    writer.commit(&StatePatch::new()).unwrap();
    let mut reader = journal.reader(Filter::All);
    let mut frames = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        if let Entry::Documents { documents, first_offset, .. } = entry {
            frames.push((first_offset, documents.len(), documents.byte_len()));
        }
    }
    assert_eq!(frames, [(0, 6, 6 * 1_198_370), (6, 1, 1_198_370), (7, 1, 16 << 20)]);
}

#[test]
fn a_transaction_over_the_limit_is_a_typed_stop_and_can_be_abandoned() {
    let disk = SimStorage::default();
    let small = FileJournalOptions { transaction_max_bytes: 2000, ..options(600, Evidence::default()) };
    let journal = FileJournal::over(Arc::new(disk), small);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    let local = writer.bind(&binding("orders")).unwrap();
    let error = (0..100).find_map(|_| writer.documents(local, &batch(&documents(2))).err()).unwrap();
    assert!(matches!(error, JournalError::TransactionTooLarge { transaction: 1, limit_bytes: 2000, .. }), "{error}");
    writer.abandon();
    write(&mut *writer, 1).unwrap();
    check_whole(&read(&journal).unwrap());
}

#[test]
fn what_breaks_a_rule_is_refused_and_the_writer_goes_on() {
    let journal = journal(&SimStorage::default(), 1 << 20);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    let local = writer.bind(&binding("orders")).unwrap();
    writer.schema(local, 3, b"{}").unwrap();
    let other_key = NewBinding { key: vec!["/other".to_owned()], ..binding("orders") };
    for error in [
        writer.schema(local, 3, b"{}").unwrap_err(),
        writer.bind(&other_key).unwrap_err(),
        writer.documents(LocalId(77), &batch(&documents(1))).unwrap_err(),
    ] {
        assert!(matches!(error, JournalError::Refused { .. }), "{error}");
    }
    writer.commit(&StatePatch::new()).unwrap();
}

#[test]
fn the_committed_end_wakes_who_waits() {
    let journal = journal(&SimStorage::default(), 1 << 20);
    let mut committed = journal.committed();
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    assert!(committed.has_changed().unwrap());
    let before = committed.borrow_and_update().unwrap();
    let done = write(&mut *writer, 1).unwrap();
    let after = committed.borrow_and_update().unwrap();
    assert_eq!((before.transaction, after.transaction, after.position), (0, 1, done.end));
    assert!(after.durable.length_bytes > before.durable.length_bytes);
}

/// More than one frame holds.
const LARGE: usize = 20_000_000;

#[test]
fn letters_take_offsets_and_only_who_asks_for_them_sees_them() {
    let journal = journal(&SimStorage::default(), 700);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    let local = writer.bind(&binding("orders")).unwrap();
    let letter = |document: &[u8]| Letter {
        code: "document.schema".into(),
        message: "it does not fit".into(),
        document: document.to_vec().into(),
    };
    writer.documents(local, &batch(&documents(1))).unwrap();
    let at = writer.next_offset();
    writer.letter(local, &letter(b"\xff not even text")).unwrap();
    writer.commit(&StatePatch::new()).unwrap();
    writer.letter(local, &letter(&vec![b'x'; LARGE])).unwrap();
    writer.documents(local, &batch(&documents(2))).unwrap();
    writer.commit(&StatePatch::new()).unwrap();
    // Dropped with its transaction.
    writer.letter(local, &letter(b"{}")).unwrap();
    writer.abandon();
    writer.settle(local, Mark::Dropped, &[at, at + 1]).unwrap();
    let state_key = StateKey::new(&["lake".to_owned()], 2);
    let resent = Resent { task: "lake".into(), binding: state_key, letter: 7, document: "{\"id\":7}".into() };
    writer.resend(local, &resent).unwrap();
    let too_large = Resent { document: vec![b' '; (16 << 20) + 1].into(), ..resent.clone() };
    assert!(writer.resend(local, &too_large).is_err());
    assert_eq!(writer.commit(&StatePatch::new()).unwrap().documents, 0);
    assert_eq!(writer.next_offset(), at + 2 + documents(2).len() as u64 + 2);

    let seen = |filter: Filter| {
        let (mut reader, mut seen) = (journal.reader(filter), Vec::new());
        while let Some(entry) = reader.next().unwrap() {
            seen.push(match entry {
                Entry::Letter { offset, letter, .. } => format!("letter {} of {}", offset - at, letter.document.len()),
                Entry::Settled { mark, letters, .. } => format!("{} {}", mark.word(), letters.len()),
                Entry::Documents { .. } => "documents".to_owned(),
                Entry::Resent { offset, resent: found, .. } => {
                    assert_eq!((offset, &found), (writer.next_offset() - 1, &resent));
                    "resent".to_owned()
                }
                Entry::Bindings(_) | Entry::Schema { .. } | Entry::Control { .. } => continue,
                Entry::Commit(_) => "commit".to_owned(),
            });
        }
        seen
    };
    let letters = ["letter 0 of 15", "commit", "letter 1 of 20000000", "commit", "dropped 2", "resent", "commit"];
    assert_eq!(seen(Filter::Letters), letters);
    let all = ["documents", letters[0], "commit", letters[2], "documents", "commit", "dropped 2", "resent", "commit"];
    assert_eq!(seen(Filter::All), all);
    let documents = ["documents", "commit", "documents", "commit", "resent", "commit"];
    assert_eq!(seen(Filter::Collections(["shop/orders".to_owned()].into())), documents);
}
