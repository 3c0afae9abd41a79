//! Damage: a torn tail is cut, corruption stops with file and offset, and a witness is what tells them apart.

use super::*;
use crate::journal::frame::{FORMAT_VERSION, HEADER_BYTES, Header, Parsed, Seal};
use crate::journal::storage::Storage;
use crate::journal::{DurableLength, Inspection};

/// Six transactions in one segment; where each ends in the file, and what the task store would remember then.
pub(super) fn six() -> (SimStorage, Vec<DurableLength>, Vec<Position>) {
    let disk = SimStorage::default();
    let mut writer = journal(&disk, 1 << 20).acquire(Epoch(1)).unwrap();
    let (mut ends, mut positions) = (vec![writer.last_committed().durable], vec![Position::BEGINNING]);
    for n in 1..=6 {
        write(&mut *writer, n).unwrap();
        ends.push(writer.last_committed().durable);
        positions.push(writer.last_committed().position);
    }
    (disk, ends, positions)
}

fn byte(end: &DurableLength) -> usize {
    end.length_bytes as usize
}

/// Recovers; the journal then holds transactions 1 to `expected` and goes on.
fn check_recovers(disk: &SimStorage, evidence: Evidence, expected: u64) {
    let journal = remembering(disk, evidence);
    let mut writer = journal.acquire(Epoch(2)).unwrap();
    assert_eq!(writer.last_committed().transaction, expected);
    write(&mut *writer, expected + 1).unwrap();
    let seen = read(&journal).unwrap();
    check_whole(&seen);
    assert_eq!(seen.len() as u64, expected + 1);
}

#[track_caller]
fn check_stops(disk: &SimStorage, evidence: Evidence, at: Option<u64>) {
    match remembering(disk, evidence).acquire(Epoch(2)) {
        Err(JournalError::Corrupt { file, offset, .. }) => {
            assert_eq!(file, file_name(&segment(1, 1)));
            assert!(at.is_none_or(|at| at == offset), "stopped at {offset}, expected {at:?}");
        }
        other => panic!("expected a typed stop, got {other:?}"),
    }
}

#[test]
fn a_tail_torn_at_any_byte_without_a_witness_recovers_to_the_last_whole_transaction() {
    let (disk, ends, _) = six();
    for cut in byte(&ends[3])..byte(&ends[6]) {
        let whole = ends.iter().rposition(|end| byte(end) <= cut).unwrap() as u64;
        let shorter = disk.copy();
        shorter.damage(&segment(1, 1), |bytes| bytes.truncate(cut));
        check_recovers(&shorter, Evidence::default(), whole);
        let zeros = disk.copy();
        zeros.damage(&segment(1, 1), |bytes| bytes[cut..].fill(0));
        // A byte that was zero anyway is not damage.
        let bytes = disk.bytes(&segment(1, 1)).unwrap();
        let first_changed = bytes[cut..].iter().position(|b| *b != 0).map_or(bytes.len(), |i| i + cut);
        let whole = ends.iter().rposition(|end| byte(end) <= first_changed).unwrap() as u64;
        check_recovers(&zeros, Evidence::default(), whole);
    }
}

#[test]
fn the_same_cut_before_a_witness_is_a_typed_stop() {
    let (disk, ends, positions) = six();
    for cut in byte(&ends[3])..byte(&ends[6]) {
        let torn = disk.copy();
        torn.damage(&segment(1, 1), |bytes| bytes.truncate(cut));
        let remembered = Evidence { durable: Some(ends[6]), ..Evidence::default() };
        check_stops(&torn.copy(), remembered, None);
        let reader = Evidence { durable: None, positions: vec![(JournalId([7; 16]), positions[6])], trimmed: None };
        check_stops(&torn, reader, None);
    }
    // A frame that is found behind the hole says what its writer knew durable.
    for hole in byte(&ends[3])..byte(&ends[5]) {
        let holed = disk.copy();
        holed.damage(&segment(1, 1), |bytes| bytes[hole] ^= 0x10);
        check_stops(&holed, Evidence::default(), None);
    }
    // The very last transaction has no witness in the file: that much is said in the docs.
    let holed = disk.copy();
    holed.damage(&segment(1, 1), |bytes| bytes[byte(&ends[5])] ^= 0x10);
    check_recovers(&holed, Evidence::default(), 5);
}

/// All eight bits of all 65,536 bytes and more.
#[test]
fn one_flipped_bit_anywhere_in_a_sealed_segment_stops_with_file_and_offset() {
    let disk = SimStorage::default();
    let journal = journal(&disk, 64 << 10);
    let mut writer = journal.acquire(Epoch(1)).unwrap();
    let local = writer.bind(&binding("orders")).unwrap();
    let mut roll = dice(11);
    let mut begins = vec![(0, Position::BEGINNING)];
    while disk.bytes(&segment(2, 1)).is_none() {
        let body: String = (0..16_000).map(|_| char::from(b'a' + roll(26) as u8)).collect();
        writer.documents(local, &batch(&[format!(r#"{{"body":"{body}"}}"#)])).unwrap();
        writer.commit(&patch(1)).unwrap();
        let committed = writer.last_committed();
        if committed.durable.segment.number == 1 {
            begins.push((byte(&committed.durable), committed.position));
        }
    }
    write(&mut *writer, 2).unwrap();
    let sealed = segment(1, 1);
    let len = disk.bytes(&sealed).unwrap().len();
    assert!(len >= 64 << 10);
    assert!(begins.len() > 3 && begins.is_sorted());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let flipped: usize = std::thread::scope(|scope| {
        let part = |n: usize| n * len / threads..(n + 1) * len / threads;
        let workers: Vec<_> = (0..threads)
            .map(|n| {
                let (disk, begins) = (disk.copy(), &begins);
                scope.spawn(move || check_flips(&disk, begins, part(n)))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(flipped, len * 8);
}

/// Flips each bit of these bytes; each time somebody reads the transaction that holds it, and now and then somebody everything.
fn check_flips(disk: &SimStorage, begins: &[(usize, Position)], bytes: std::ops::Range<usize>) -> usize {
    let sealed = segment(1, 1);
    let (storage, file): (Arc<dyn Storage>, _) = (Arc::new(disk.clone()), file_name(&sealed));
    let look = Inspection::open(storage, dir(), Evidence::default()).unwrap().unwrap();
    let read_from = |position: Position| {
        let mut reader = look.reader(Filter::All);
        reader.seek(position)?;
        while reader.next()?.is_some() {}
        Ok(())
    };
    assert!(begins.iter().all(|(_, position)| read_from(*position).is_ok()) && look.check().is_ok());
    let mut flipped = 0;
    for byte in bytes {
        let (_, position) = begins[begins.partition_point(|(begin, _)| *begin <= byte) - 1];
        for bit in 0..8 {
            let stops = |found: Result<(), JournalError>| match found {
                Err(JournalError::Corrupt { file: at, offset, .. }) => {
                    let near = offset <= byte as u64 && byte as u64 - offset < 20_000;
                    assert!(at == file && near, "bit {bit} of byte {byte}: stopped in {at} at {offset}");
                }
                other => panic!("bit {bit} of byte {byte}: expected a typed stop, got {other:?}"),
            };
            disk.flip_bit(&sealed, byte, bit);
            stops(read_from(position));
            if byte % 499 == 0 {
                stops(read_from(Position::BEGINNING));
                stops(look.check().map(drop));
            }
            disk.flip_bit(&sealed, byte, bit);
            flipped += 1;
        }
    }
    flipped
}

#[test]
fn a_reader_stops_at_a_flipped_bit_and_never_skips() {
    let (disk, ends, _) = six();
    let journal = journal(&disk, 1 << 20);
    let _writer = journal.acquire(Epoch(2)).unwrap();
    for byte in 0..byte(&ends[5]) {
        disk.flip_bit(&segment(1, 1), byte, 3);
        match read(&journal) {
            Err(JournalError::Corrupt { file, offset, .. }) => {
                assert_eq!(file, file_name(&segment(1, 1)));
                assert!(offset <= byte as u64);
            }
            other => panic!("byte {byte}: expected a typed stop, got {other:?}"),
        }
        disk.flip_bit(&segment(1, 1), byte, 3);
    }
}

#[test]
fn a_head_that_is_damaged_after_it_counted_is_corruption() {
    let (disk, ends, _) = six();
    for byte in 0..byte(&ends[0]) {
        let damaged = disk.copy();
        damaged.flip_bit(&segment(1, 1), byte, 6);
        match remembering(&damaged, Evidence { durable: Some(ends[1]), ..Evidence::default() }).acquire(Epoch(2)) {
            Err(JournalError::Corrupt { offset, .. }) => assert!(offset <= byte as u64),
            other => panic!("byte {byte}: expected a typed stop, got {other:?}"),
        }
    }
    // Also without a task store, as long as the journal's id can be read somewhere.
    journal(&disk, 1 << 20).acquire(Epoch(2)).unwrap();
    let mut writer = journal(&disk, 1 << 20).acquire(Epoch(3)).unwrap();
    write(&mut *writer, 7).unwrap();
    disk.flip_bit(&segment(3, 3), 20, 1);
    let error = journal(&disk, 1 << 20).acquire(Epoch(4)).unwrap_err();
    assert!(matches!(error, JournalError::Corrupt { .. }), "{error}");
}

#[test]
fn a_missing_or_shortened_sealed_segment_is_corruption() {
    let disk = SimStorage::default();
    let mut writer = journal(&disk, 500).acquire(Epoch(1)).unwrap();
    (1..=9).for_each(|n| assert!(write(&mut *writer, n).is_ok()));
    for change in [
        |disk: &SimStorage| disk.lose(&segment(2, 1)),
        |disk: &SimStorage| {
            disk.damage(&segment(2, 1), |bytes| bytes.truncate(bytes.len() - 1));
        },
    ] {
        let copy = disk.copy();
        change(&copy);
        match journal(&copy, 500).acquire(Epoch(2)) {
            Err(JournalError::Corrupt { file, .. }) => assert_eq!(file, file_name(&segment(2, 1))),
            other => panic!("expected a typed stop, got {other:?}"),
        }
    }
}

#[test]
fn a_journal_that_is_gone_or_another_is_told_from_the_remembered_one() {
    let (disk, ends, _) = six();
    let remembered = |durable| Evidence { durable: Some(durable), ..Evidence::default() };
    let gone = remembering(&SimStorage::default(), remembered(ends[6])).acquire(Epoch(2)).unwrap_err();
    assert!(matches!(gone, JournalError::OtherJournal { .. }), "{gone}");
    let other = DurableLength { journal: JournalId([8; 16]), ..ends[6] };
    let error = remembering(&disk, remembered(other)).acquire(Epoch(2)).unwrap_err();
    assert!(matches!(error, JournalError::OtherJournal { .. }), "{error}");
    // An older copy: the segments the store remembers were never in it.
    let newer = DurableLength { segment: SegmentName { number: 9, epoch: Epoch(9) }, transaction: 9, ..ends[6] };
    let error = remembering(&disk, remembered(newer)).acquire(Epoch(12)).unwrap_err();
    assert!(error.to_string().contains("transaction 9 was durable once"), "{error}");
}

#[test]
fn what_a_newer_version_wrote_is_refused() {
    let (disk, ends, _) = six();
    let at = byte(&ends[6]);
    let seal = Seal::new(JournalId([7; 16]), ends[6].segment);
    let last = disk.bytes(&segment(1, 1)).unwrap();
    let header: &[u8; HEADER_BYTES] = last[byte(&ends[5])..].first_chunk().unwrap();
    let Parsed::Header(header) = Header::parse(header, seal, ends[5].length_bytes) else { panic!("no header") };
    for (field, value, word) in
        [(6, 99, "frame kind 99"), (6, 9, "frame kind 9"), (4, FORMAT_VERSION as u8 + 1, "version 2")]
    {
        let newer = disk.copy();
        newer.damage(&segment(1, 1), |bytes| {
            let mut frame = header.encode(seal, at as u64);
            frame[field] = value;
            seal.reseal(&mut frame, at as u64);
            bytes.extend_from_slice(&frame);
        });
        let error = remembering(&newer, Evidence::default()).acquire(Epoch(2)).unwrap_err();
        assert!(matches!(error, JournalError::NewerVersion { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}
