//! Killed at every checkpoint and started again: each record once, from every format and compression.

use std::io::Write;

use capture_files::Files;
use longshore_sdk::testing::CaptureTask;
use serde_json::{Value, json};

use crate::folder::{Dice, Folder, catch_up, check_failure, documents, failure};

const RECORDS: usize = 33_000;

/// Records with quoted newlines, so that a byte offset is not a line number.
fn record(number: usize) -> String {
    let text = if number.is_multiple_of(7) { "\"two\nlines, \"\"quoted\"\"\"" } else { "plain" };
    format!("{number},{text},{}\n", number as f64 + 0.5)
}

fn document(number: usize) -> Value {
    let text = if number.is_multiple_of(7) { "two\nlines, \"quoted\"" } else { "plain" };
    json!({ "id": number, "text": text, "share": number as f64 + 0.5 })
}

fn csv(numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.map(record).collect::<String>().into_bytes()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// The same records in members that end where no record does.
fn in_members(compress: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let text = [b"id,text,share\n".to_vec(), csv(0..RECORDS)].concat();
    text.chunks(100_001).flat_map(compress).collect()
}

/// Ends the session after `kept` transactions became durable, then captures the rest in another. Returns all documents, or none if
/// there were fewer transactions.
async fn killed_after(kept: usize, task: &mut CaptureTask<Files>) -> Option<Vec<Value>> {
    let mut transactions = Vec::new();
    let mut session = task.open().await.unwrap();
    for _ in 0..kept {
        let transaction = session.next().await.unwrap().unwrap();
        let last = transaction.caught_up;
        transactions.push(transaction);
        if last {
            return None;
        }
    }
    session.commit().unwrap();
    drop(session);
    let mut all = documents(&transactions);
    all.extend(catch_up(task).await);
    Some(all)
}

async fn check_every_kill(folder: &Folder, glob: &str) {
    let expected: Vec<Value> = (0..RECORDS).map(document).collect();
    let mut kept = 0;
    loop {
        let mut task = folder.discovered(json!({}), glob, &["/id"]).await;
        match killed_after(kept, &mut task).await {
            Some(all) => assert!(all == expected, "{} records after a kill at {kept}", all.len()),
            None => break,
        }
        kept += 1;
    }
    assert!(kept >= 3, "only {kept} checkpoints: too few to say anything");
}

#[tokio::test]
async fn plain_files_resume_at_every_checkpoint() {
    let folder = Folder::new();
    folder.write("1.csv", [b"id,text,share\n".to_vec(), csv(0..20_000)].concat());
    folder.write("2.csv", [b"\xef\xbb\xbfid,text,share\r\n".to_vec(), csv(20_000..RECORDS)].concat());
    check_every_kill(&folder, "*.csv").await;
}

#[tokio::test]
async fn gzip_files_of_several_members_resume_at_every_checkpoint() {
    let folder = Folder::new();
    folder.write("f.csv.gz", in_members(gzip));
    check_every_kill(&folder, "f.csv.gz").await;
}

#[tokio::test]
async fn zstd_files_of_several_frames_resume_at_every_checkpoint() {
    let folder = Folder::new();
    folder.write("f.csv.zst", in_members(|text| zstd::encode_all(text, 1).unwrap()));
    check_every_kill(&folder, "f.csv.zst").await;
}

#[tokio::test]
async fn one_frame_resumes_by_reading_it_again() {
    let folder = Folder::new();
    folder
        .write("f.csv.zst", zstd::encode_all(&[b"id,text,share\n".to_vec(), csv(0..RECORDS)].concat()[..], 1).unwrap());
    check_every_kill(&folder, "*.zst").await;
}

#[tokio::test]
async fn lines_resume_at_every_checkpoint_and_keep_their_numbers() {
    let folder = Folder::new();
    let lines: String = (0..RECORDS).map(|number| format!("{}\n", document(number))).collect();
    folder.write("f.jsonl", lines);
    check_every_kill(&folder, "f.jsonl").await;
    let mut task = folder.discovered(json!({}), "f.jsonl", &["/_meta/source/file", "/_meta/source/record"]).await;
    let all = killed_after(2, &mut task).await.unwrap();
    assert_eq!(all.len(), RECORDS);
    for (index, document) in all.iter().enumerate() {
        assert_eq!(document["_meta"], json!({ "source": { "file": "f.jsonl", "record": index + 1 } }));
        assert_eq!(document["id"], index);
    }
}

#[tokio::test]
async fn a_compressed_file_that_grows_by_a_member_goes_on_there() {
    for compress in [gzip as fn(&[u8]) -> Vec<u8>, |text| zstd::encode_all(text, 1).unwrap()] {
        let folder = Folder::new();
        folder.write("f.csv", compress(b"id\n1\n2\n"));
        let mut task = folder.discovered(json!({}), "f.csv", &["/id"]).await;
        assert_eq!(catch_up(&mut task).await, [json!({ "id": 1 }), json!({ "id": 2 })]);
        folder.append("f.csv", compress(b"3\n"));
        let mut session = task.open().await.unwrap();
        assert_eq!(documents(&session.until_caught_up().await.unwrap()), [json!({ "id": 3 })]);
        // Half of a member has no record to give; the whole one has.
        let member = compress(b"4\n5\n");
        let (head, tail) = member.split_at(member.len() / 2);
        folder.append("f.csv", head);
        folder.append("f.csv", tail);
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.extend(documents(&[session.next().await.unwrap().unwrap()]));
        }
        assert_eq!(seen, [json!({ "id": 4 }), json!({ "id": 5 })]);
        session.stop().await.unwrap();
        // Half of a member that nobody finishes is told, and told again.
        folder.append("f.csv", head);
        for _ in 0..2 {
            let mut session = task.open().await.unwrap();
            check_failure(failure(&mut session).await, "files.compression.cut", &["f.csv", "record 6"]);
        }
    }
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_file_loses_nothing() {
    let folder = Folder::new();
    folder.write("f.csv", [b"id,text,share\n".to_vec(), csv(0..RECORDS)].concat());
    let mut task = folder.discovered(json!({}), "f.csv", &["/id"]).await;
    let mut session = task.open().await.unwrap();
    let first = session.next().await.unwrap().unwrap();
    session.stop().await.unwrap();
    let mut all = documents(&[first]);
    all.extend(catch_up(&mut task).await);
    assert!(all == (0..RECORDS).map(document).collect::<Vec<_>>(), "{} records", all.len());
}

#[tokio::test]
async fn many_small_files_are_captured_once_with_few_checkpoints() {
    let folder = Folder::new();
    for number in 0..600 {
        folder.write(&format!("{number:03}.csv"), format!("id\n{number}\n"));
    }
    let mut task = folder.discovered(json!({}), "*.csv", &["/id"]).await;
    let mut session = task.open().await.unwrap();
    let transactions = session.until_caught_up().await.unwrap();
    assert_eq!(transactions.len(), 3, "256 files a checkpoint");
    assert_eq!(documents(&transactions), (0..600).map(|number| json!({ "id": number })).collect::<Vec<_>>());
    session.stop().await.unwrap();
    assert!(task.state().byte_len() < 600 * 250, "{} bytes of state", task.state().byte_len());
    assert!(catch_up(&mut task).await.is_empty());
}

/// Appends `text` in pieces cut anywhere; after each that ends a record, a session captures what is whole, and is killed.
async fn grow_and_kill(name: &str, text: &str, ends: &[usize], seed: u64) -> Vec<Value> {
    let folder = Folder::new();
    folder.write(name, "");
    // Nothing rests for ten seconds here, so no session takes half a record for a whole one.
    let mut task = folder.task(json!({ "poll_interval": "10s" })).binding(json!({ "glob": name }), "c", &["/id"]);
    let mut dice = Dice::new(seed);
    let (mut written, mut all) = (0, Vec::new());
    while written < text.len() {
        let piece = (1 + dice.below(9) * dice.below(40)).min(text.len() - written);
        folder.append(name, &text.as_bytes()[written..written + piece]);
        written += piece;
        let whole = ends.iter().filter(|end| **end <= written).count();
        if whole > all.len() {
            let mut session = task.open().await.unwrap();
            let transaction = session.next().await.unwrap().unwrap();
            session.commit().unwrap();
            all.extend(documents(&[transaction]));
            assert_eq!(all.len(), whole, "seed {seed}: at byte {written}");
        }
    }
    all
}

#[tokio::test]
async fn files_that_grow_in_pieces_under_kills_are_captured_once() {
    for seed in 0..12 {
        let expected: Vec<Value> = (0..120).map(document).collect();
        let (mut rows, mut row_ends) = ("id,text,share\n".to_owned(), Vec::new());
        let (mut lines, mut line_ends) = (String::new(), Vec::new());
        for (number, document) in expected.iter().enumerate() {
            rows += &record(number);
            row_ends.push(rows.len());
            lines += &format!("{document}\n");
            line_ends.push(lines.len());
        }
        assert_eq!(grow_and_kill("f.csv", &rows, &row_ends, seed).await, expected, "seed {seed}");
        assert_eq!(grow_and_kill("f.jsonl", &lines, &line_ends, seed).await, expected, "seed {seed}");
    }
}
