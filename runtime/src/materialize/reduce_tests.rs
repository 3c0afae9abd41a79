//! Spilled or not, a reduction comes to the same as the plainest one there is.

use std::collections::BTreeMap;

use longshore_proto::batch::BatchBuilder;
use longshore_proto::key::encode_json_key;
use proptest::prelude::*;

use super::*;

type Row = (u32, Vec<u8>, Vec<u8>, Vec<u8>, bool);

fn reduce(documents: &[(u32, u16, u8, bool)], budget_bytes: usize) -> (Vec<Row>, usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut reduction = Reduction::new(Budget { bytes: budget_bytes, spill_dir: dir.path().to_owned() });
    for chunk in documents.chunks(3) {
        let mut batch = BatchBuilder::new(0);
        for (_, key, body, _) in chunk {
            batch.push(document(*key, *body).as_bytes());
        }
        let batch = batch.finish().expect("documents");
        let held = reduction.hold(&batch).expect("hold");
        for (i, (binding, key, _, delete)) in chunk.iter().enumerate() {
            let json = format!("[{key}]");
            let encoded = encode_json_key(json.as_bytes()).expect("key");
            reduction.push(held, i, *binding, Key { encoded: &encoded, json: json.as_bytes() }, *delete);
        }
    }
    let once = walk(&mut reduction);
    assert_eq!(walk(&mut reduction), once, "a second walk is the same");
    let runs = reduction.runs();
    reduction.clear();
    assert!(walk(&mut reduction).is_empty());
    (once, runs)
}

fn walk(reduction: &mut Reduction) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut sorted = reduction.sorted().expect("sorted");
    while let Some(record) = sorted.next_record().expect("next") {
        let Record { binding, key_encoded, key_json, document, delete } = record;
        rows.push((binding, key_encoded.to_vec(), key_json.to_vec(), document.to_vec(), delete));
    }
    rows
}

fn document(key: u16, body: u8) -> String {
    format!(r#"{{"id":{key},"body":"{}"}}"#, "x".repeat(usize::from(body)))
}

fn plainest(documents: &[(u32, u16, u8, bool)]) -> Vec<Row> {
    let mut rows = BTreeMap::new();
    for (binding, key, body, delete) in documents {
        let json = format!("[{key}]").into_bytes();
        let encoded = encode_json_key(&json).expect("key");
        rows.insert((*binding, encoded), (json, document(*key, *body).into_bytes(), *delete));
    }
    rows.into_iter()
        .map(|((binding, encoded), (json, document, delete))| (binding, encoded, json, document, delete))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn m_7_spilled_or_not_the_last_document_of_each_key_comes_out_once_and_in_order(
        documents in proptest::collection::vec((0..3u32, 0..40u16, any::<u8>(), any::<bool>()), 0..200),
        budget_bytes in 200..20_000usize,
    ) {
        let expected = plainest(&documents);
        prop_assert_eq!(&reduce(&documents, usize::MAX).0, &expected);
        prop_assert_eq!(&reduce(&documents, budget_bytes).0, &expected);
    }
}

#[test]
fn past_its_budget_it_goes_to_disk() {
    let documents: Vec<_> = (0..1000u16).map(|key| (0, key % 300, 100, key % 7 == 0)).collect();
    let (rows, runs) = reduce(&documents, 16 << 10);
    assert!(runs > 4, "{runs} runs");
    assert_eq!(rows, plainest(&documents));
    assert_eq!(reduce(&documents, 16 << 20).1, 0);
}
