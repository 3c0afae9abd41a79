//! Trimming: whole segments go, and nothing that is needed; whatever ends in between, the journal is one or the other.

use super::*;
use crate::journal::storage::sim::Plan;
use crate::journal::{DurableLength, Trim};

const SEGMENT_BYTES: u64 = 700;

/// Transactions `1..=n` in small segments, and the end of each.
fn written(disk: &SimStorage, n: u64) -> (FileJournal, Box<dyn Writer>, Vec<Position>) {
    let journal = journal(disk, SEGMENT_BYTES);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    let ends = (1..=n).map(|n| write(&mut *writer, n).unwrap().end).collect();
    (journal, writer, ends)
}

/// As the next process is told of it.
fn again(disk: &SimStorage, trimmed: Option<Trim>, durable: Option<DurableLength>) -> FileJournal {
    let evidence = Evidence { durable, trimmed, ..Evidence::default() };
    FileJournal::over(Arc::new(disk.clone()), options(SEGMENT_BYTES, evidence))
}

fn durable(journal: &FileJournal) -> Option<DurableLength> {
    journal.committed().borrow().map(|end| end.durable)
}

fn names(disk: &SimStorage) -> Vec<String> {
    let mut names = Vec::new();
    super::super::storage::Storage::list(disk, &dir(), &mut |name| names.push(name.to_owned())).unwrap();
    names
}

fn files(disk: &SimStorage) -> usize {
    names(disk).len()
}

#[test]
fn what_all_have_passed_goes_and_the_rest_is_read_as_before() {
    let disk = SimStorage::default();
    let (journal, mut writer, ends) = written(&disk, 20);
    let before = read(&journal).unwrap();
    let all = files(&disk);
    assert!(all > 6, "only {all} segments");
    assert_eq!(journal.trimmable(0), None);
    assert_eq!(journal.trimmable(ends[0].offset - 1), None, "the first segment is needed");

    let low = ends[9];
    let trim = journal.trimmable(low.offset).expect("something");
    assert!(trim.offset <= low.offset && trim.offset > 0);
    // Somebody has read all of the segments that go, and stands at the end of the last one.
    let mut standing = journal.reader(Filter::All);
    while standing.position().offset < trim.offset {
        standing.next().unwrap();
    }
    let trimmed = journal.trim(&trim).unwrap();
    assert_eq!(trimmed.segments as usize, all - files(&disk));
    assert!(trimmed.segments > 0 && trimmed.bytes > SEGMENT_BYTES);
    assert_eq!((journal.begins_at(), journal.trimmable(low.offset)), (trim.offset, None), "no more");
    let kept: Vec<Seen> = before.iter().filter(|seen| seen.committed.end.offset > trim.offset).cloned().collect();
    assert_eq!(read(&journal).unwrap(), kept);
    assert_eq!(read_from(&mut *standing).unwrap(), kept, "it goes on");
    let from = |position: Position| journal.reader(Filter::All).seek(position);
    from(low).unwrap();
    let gone = from(ends[0]).unwrap_err();
    assert!(matches!(gone, JournalError::Trimmed { wanted, .. } if wanted == ends[0].offset), "{gone}");

    write(&mut *writer, 21).unwrap();
    let (known, witness) = (read(&journal).unwrap(), durable(&journal));
    drop(writer);
    let next = again(&disk, Some(trim), witness);
    let writer = next.acquire(Epoch(2)).unwrap();
    assert_eq!((writer.last_committed().transaction, read(&next).unwrap()), (21, known));
    assert_eq!(writer.state().task_json().map(|json| &json[..]), Some(&br#"{"at":21}"#[..]));
    let missing = again(&disk, None, witness).acquire(Epoch(3)).unwrap_err();
    assert!(matches!(missing, JournalError::Corrupt { .. }), "nobody said that it may be missing: {missing}");
}

#[test]
fn the_newest_segment_stays_and_so_does_one_that_a_crash_might_bring_back() {
    let disk = SimStorage::default();
    let (journal, mut writer, _) = written(&disk, 3);
    let trim = journal.trimmable(u64::MAX).expect("something");
    journal.trim(&trim).unwrap();
    assert!(files(&disk) >= 1 && journal.trimmable(u64::MAX).is_none());
    // A segment that was begun and in which nothing is committed yet.
    let local = writer.bind(&binding("orders")).unwrap();
    let mut n = 0;
    while files(&disk) < 3 {
        n += 1;
        assert!(n < 100, "no further segment");
        writer.documents(local, &batch(&[format!(r#"{{"open":{n},"body":"{}"}}"#, "x".repeat(200))])).unwrap();
    }
    let open = journal.trimmable(u64::MAX);
    assert_eq!(open, None, "a transaction that goes on needs the segment it began in");
}

#[test]
fn a_transaction_over_several_segments_is_trimmed_whole_or_not_at_all() {
    let disk = SimStorage::default();
    let (journal, mut writer, mut ends) = written(&disk, 2);
    let local = writer.bind(&binding("orders")).unwrap();
    for n in 0..20 {
        writer.documents(local, &batch(&[format!(r#"{{"large":{n},"body":"{}"}}"#, "x".repeat(200))])).unwrap();
    }
    ends.push(writer.commit(&patch(3)).unwrap().end);
    for n in 4..9 {
        ends.push(write(&mut *writer, n).unwrap().end);
    }
    for low in ends[1].offset..ends[2].offset {
        if let Some(trim) = journal.trimmable(low) {
            assert!(trim.offset <= ends[1].offset, "inside of it: {trim:?}");
        }
    }
    let trim = journal.trimmable(ends[2].offset + 1).expect("something");
    journal.trim(&trim).unwrap();
    assert!(trim.offset >= ends[2].offset || trim.offset <= ends[1].offset);
    assert!(read(&journal).unwrap().iter().all(|seen| seen.committed.end.offset > trim.offset));
}

#[test]
fn an_end_at_any_operation_of_trimming_changes_nothing_that_counts() {
    let mut ends_seen = 0;
    for power in [false, true] {
        for stop_at in 0.. {
            let disk = SimStorage::default();
            let (journal, writer, ends) = written(&disk, 12);
            let trim = journal.trimmable(ends[8].offset).expect("something");
            let (before, witness) = (read(&journal).unwrap(), durable(&journal));
            disk.plan(Plan { stop_at: Some(stop_at), ..Plan::default() });
            let trimmed = journal.trim(&trim);
            let was_stopped = disk.is_stopped();
            assert_eq!(trimmed.is_err(), was_stopped);
            drop((writer, journal));
            match power {
                true => disk.power_cut(&mut |below| (stop_at * 7 + 3) % below),
                false => disk.restart(),
            }
            let next = again(&disk, Some(trim), witness);
            let writer = next.acquire(Epoch(2)).unwrap();
            assert_eq!(writer.last_committed().transaction, 12);
            let kept: Vec<Seen> = before.into_iter().filter(|seen| seen.committed.end.offset > trim.offset).collect();
            assert_eq!(read(&next).unwrap(), kept, "stopped at {stop_at}, power cut: {power}");
            let left = names(&disk);
            let older = left.iter().filter_map(|name| SegmentName::parse(name)).filter(|name| *name < trim.first);
            assert_eq!(older.count(), 0, "what was left behind is swept");
            if !was_stopped {
                break;
            }
            ends_seen += 1;
        }
    }
    assert!(ends_seen > 4, "only {ends_seen} ends");
}

/// What is bound after the beginning, or captured again since, is there as a whole.
#[test]
fn whether_a_collection_is_whole_is_known_of_its_newest_generation() {
    let disk = SimStorage::default();
    let (journal, mut writer, _) = written(&disk, 8);
    let holds = |collection: &str| journal.holds_all_of(collection).unwrap();
    assert!(holds("shop/orders") && holds("shop/never"));
    journal.trim(&journal.trimmable(u64::MAX).expect("something")).unwrap();
    assert!(!holds("shop/orders"));
    let later = writer.bind(&binding("later")).unwrap();
    writer.documents(later, &batch(&["{}".to_owned()])).unwrap();
    writer.commit(&StatePatch::new()).unwrap();
    assert!(holds("shop/later") && !holds("shop/orders"));
    let state_key = StateKey::new(&["orders".to_owned()], 1);
    writer.bind(&NewBinding { state_key, ..binding("orders") }).unwrap();
    writer.commit(&StatePatch::new()).unwrap();
    assert!(holds("shop/orders"), "captured again");
    for n in 9..20 {
        write(&mut *writer, n).unwrap();
    }
    journal.trim(&journal.trimmable(u64::MAX).expect("something")).unwrap();
    assert!(!holds("shop/orders") && !holds("shop/later"));
}
