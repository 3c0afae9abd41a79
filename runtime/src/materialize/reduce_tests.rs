//! Spilled or not, a reduction comes to the same as the plainest one there is; and what is loaded of a destination may come in between
//! anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_proto::batch::BatchBuilder;
use longshore_proto::key::encode_json_key;
use proptest::prelude::*;

use super::super::fold::Rule;
use super::*;
use crate::document::reduce::Reducer;

type Row = (u32, Vec<u8>, Vec<u8>, Vec<u8>, bool);

#[derive(Debug, Clone)]
enum Step {
    /// Binding, key, length, whether it deletes.
    Document(u32, u16, u8, bool),
    /// What came of a binding is forgotten.
    Forget(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let document = (0..3u32, 0..40u16, any::<u8>(), any::<bool>());
    let document = document.prop_map(|(binding, key, body, delete)| Step::Document(binding, key, body, delete));
    proptest::collection::vec(prop_oneof![30 => document, 1 => (0..3u32).prop_map(Step::Forget)], 0..200)
}

fn reduce(steps: &[Step], budget_bytes: usize) -> (Vec<Row>, usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut reduction =
        Reduction::new(Budget { bytes: budget_bytes, spill_dir: dir.path().to_owned() }, Rules::default());
    for chunk in steps.chunks(3) {
        let mut batch = BatchBuilder::new(0);
        for step in chunk {
            if let Step::Document(_, key, body, _) = step {
                batch.push(document(*key, *body).as_bytes());
            }
        }
        let held = batch.finish().map(|batch| reduction.hold(&batch).expect("hold"));
        let mut documents = 0..;
        for step in chunk {
            match step {
                Step::Forget(binding) => reduction.forget(*binding),
                Step::Document(binding, key, _, delete) => {
                    let json = format!("[{key}]");
                    let encoded = encode_json_key(json.as_bytes()).expect("key");
                    let key = Key { encoded: &encoded, json: json.as_bytes() };
                    let (held, i) = (held.expect("a batch"), documents.next().expect("a number"));
                    reduction.push(held, i, *binding, key, *delete);
                }
            }
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
        let Record { binding, key_encoded, key_json, part } = record;
        rows.push((binding, key_encoded.to_vec(), key_json.to_vec(), part.document.to_vec(), part.delete));
    }
    rows
}

fn document(key: u16, body: u8) -> String {
    format!(r#"{{"id":{key},"body":"{}"}}"#, "x".repeat(usize::from(body)))
}

fn plainest(steps: &[Step]) -> Vec<Row> {
    let mut rows = BTreeMap::new();
    for step in steps {
        match step {
            Step::Forget(binding) => rows.retain(|(of, _), _| of != binding),
            Step::Document(binding, key, body, delete) => {
                let json = format!("[{key}]").into_bytes();
                let encoded = encode_json_key(&json).expect("key");
                rows.insert((*binding, encoded), (json, document(*key, *body).into_bytes(), *delete));
            }
        }
    }
    rows.into_iter()
        .map(|((binding, encoded), (json, document, delete))| (binding, encoded, json, document, delete))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn m_7_spilled_or_not_the_last_document_of_each_key_comes_out_once_and_in_order(
        steps in steps(),
        budget_bytes in 200..20_000usize,
    ) {
        let expected = plainest(&steps);
        prop_assert_eq!(&reduce(&steps, usize::MAX).0, &expected);
        prop_assert_eq!(&reduce(&steps, budget_bytes).0, &expected);
    }
}

#[test]
fn past_its_budget_it_goes_to_disk() {
    let documents: Vec<_> = (0..1000u16).map(|key| Step::Document(0, key % 300, 100, key % 7 == 0)).collect();
    let (rows, runs) = reduce(&documents, 16 << 10);
    assert!(runs > 4, "{runs} runs");
    assert_eq!(rows, plainest(&documents));
    assert_eq!(reduce(&documents, 16 << 20).1, 0);
}

/// What one document of a reduced collection says: a key, a number, and whether it deletes.
type Said = (u8, i32, bool);

/// Sums, and whatever else the last one said.
fn rules() -> Rules {
    let schema = br#"{"reduce":{"strategy":"merge"},"properties":{"n":{"type":"integer","reduce":{"strategy":"sum"}},"all":{"type":"array","reduce":{"strategy":"append"}}}}"#;
    let reducer = Reducer::compile(schema).expect("a schema").expect("annotations");
    Rules::new(vec![Some(Rule { reducer: Arc::new(reducer), collection: "model/sums".to_owned() })])
}

fn said((key, n, delete): &Said) -> String {
    match delete {
        true => format!(r#"{{"id":{key},"_meta":{{"op":"d"}}}}"#),
        false => format!(r#"{{"id":{key},"n":{n},"all":[{n}]}}"#),
    }
}

/// One transaction of these, onto rows: each key's reduced form onto what was there.
fn transact(rows: &mut BTreeMap<Vec<u8>, Vec<u8>>, documents: &[Said], budget_bytes: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let rules = rules();
    let mut reduction = Reduction::new(Budget { bytes: budget_bytes, spill_dir: dir.path().to_owned() }, rules.clone());
    for chunk in documents.chunks(3) {
        let mut batch = BatchBuilder::new(0);
        chunk.iter().for_each(|one| batch.push(said(one).as_bytes()));
        let held = reduction.hold(&batch.finish().expect("documents")).expect("hold");
        for (i, (key, _, delete)) in chunk.iter().enumerate() {
            let json = format!("[{key}]");
            let encoded = encode_json_key(json.as_bytes()).expect("key");
            reduction.push(held, i, 0, Key { encoded: &encoded, json: json.as_bytes() }, *delete);
        }
    }
    let mut sorted = reduction.sorted().expect("sorted");
    let mut made = Vec::new();
    while let Some(record) = sorted.next_record().expect("next") {
        let key = record.key_encoded.to_vec();
        let part = match rows.get(&key) {
            Some(row) => {
                let rule = rules.of(0).expect("a rule");
                rule.fold(&[Part::read(row, false), record.part], record.key_json, &mut made).expect("reduced")
            }
            None => record.part,
        };
        match part.delete {
            true => drop(rows.remove(&key)),
            false => drop(rows.insert(key, part.document.to_vec())),
        }
    }
}

/// Document by document, as whoever knows nothing of transactions would.
fn one_by_one(documents: &[Said]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut rows: BTreeMap<u8, (i64, Vec<i32>)> = BTreeMap::new();
    for (key, n, delete) in documents {
        if *delete {
            rows.remove(key);
        } else {
            let (sum, all) = rows.entry(*key).or_default();
            *sum += i64::from(*n);
            all.push(*n);
        }
    }
    let encoded = |key: u8| encode_json_key(format!("[{key}]").as_bytes()).expect("key");
    let json = |key, n, all| format!(r#"{{"id":{key},"n":{n},"all":{}}}"#, serde_json::json!(all));
    rows.into_iter().map(|(key, (n, all))| (encoded(key), json(key, n, all).into_bytes())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn in_however_many_transactions_and_runs_sums_come_to_the_same(
        documents in proptest::collection::vec((0..6u8, -50..50i32, proptest::bool::weighted(0.2)), 0..120),
        transactions in 1..8usize,
        budget_bytes in 200..20_000usize,
    ) {
        let mut rows = BTreeMap::new();
        for part in documents.chunks(documents.len().div_ceil(transactions).max(1)) {
            transact(&mut rows, part, budget_bytes);
        }
        prop_assert_eq!(rows, one_by_one(&documents));
    }
}

#[test]
fn a_million_keys_in_one_transaction_stay_within_the_budget() {
    const KEYS: u32 = 1_000_000;
    const BUDGET_BYTES: usize = 4 << 20;
    let dir = tempfile::tempdir().expect("a directory");
    let budget = Budget { bytes: BUDGET_BYTES, spill_dir: dir.path().to_owned() };
    let mut reduction = Reduction::new(budget, rules());
    let mut most_bytes = 0;
    // Each key twice, far from each other.
    for round in 0..2 {
        for from in (0..KEYS).step_by(1_000) {
            let mut batch = BatchBuilder::new(0);
            (from..from + 1_000)
                .for_each(|key| batch.push(format!(r#"{{"id":{key},"n":{key},"all":[{round}]}}"#).as_bytes()));
            let held = reduction.hold(&batch.finish().expect("documents")).expect("hold");
            for (i, key) in (from..from + 1_000).enumerate() {
                let json = format!("[{key}]");
                let encoded = encode_json_key(json.as_bytes()).expect("key");
                reduction.push(held, i, 0, Key { encoded: &encoded, json: json.as_bytes() }, false);
            }
            most_bytes = most_bytes.max(reduction.held_bytes);
        }
    }
    // A batch that was held brings its keys along: no more than that is above.
    assert!(most_bytes < BUDGET_BYTES + (1 << 20), "{most_bytes} bytes were held");
    assert!(reduction.runs() > 20, "{} runs", reduction.runs());
    let (mut keys, mut sorted) = (0u32, reduction.sorted().expect("sorted"));
    while let Some(record) = sorted.next_record().expect("next") {
        let expected = format!(r#"{{"id":{keys},"n":{},"all":[0,1]}}"#, 2 * keys);
        assert_eq!(record.part.document, expected.as_bytes());
        keys += 1;
    }
    assert_eq!(keys, KEYS);
}
