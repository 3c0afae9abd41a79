//! What comes out of a transaction is the same whatever fitted into memory while it was read.

use longshore_proto::name::StateKey;
use longshore_proto::session::{Binding, Collection};
use longshore_proto::state::StatePatch;

use super::super::target::Handling;
use super::super::turns::Turn;
use super::*;
use crate::catalog::OnTruncate;
use crate::journal::{Evidence, FileJournal, NewBinding};
use crate::store::Epoch;

/// A journal with transactions of these sizes in documents, each of about 100 bytes.
fn journal(directory: &std::path::Path, collection: &str, transactions: &[usize]) -> Arc<dyn Journal> {
    let mut ids = 0_usize..;
    let document = |id| format!(r#"{{"id":{id},"from":"{collection}","body":"{id:060}"}}"#);
    let transactions: Vec<Vec<String>> =
        transactions.iter().map(|documents| ids.by_ref().take(*documents).map(document).collect()).collect();
    journal_of(directory, collection, &transactions)
}

fn journal_of(directory: &std::path::Path, collection: &str, transactions: &[Vec<String>]) -> Arc<dyn Journal> {
    let journal = FileJournal::open(directory.join(collection), Evidence::default()).expect("a journal");
    let mut writer = journal.acquire(Epoch(1)).expect("the right to write");
    let binding = binding(collection, 0);
    let key = binding.collection.key.clone();
    let local = writer
        .bind(&NewBinding { state_key: binding.state_key, collection: collection.to_owned(), key })
        .expect("a binding");
    for documents in transactions {
        let mut builder = longshore_proto::batch::BatchBuilder::new(0);
        for document in documents {
            builder.push(document.as_bytes());
        }
        writer.documents(local, &builder.finish().expect("documents")).expect("written");
        writer.commit(&StatePatch::new()).expect("committed");
    }
    Arc::new(journal)
}

fn binding(collection: &str, number: u64) -> Binding {
    let path = vec![collection.to_owned(), number.to_string()];
    Binding {
        state_key: StateKey::new(&path, 0),
        resource_path: path,
        resource_json: "{}".into(),
        collection: Collection {
            name: collection.to_owned(),
            key: vec!["/id".to_owned()],
            schema_json: "{}".into(),
            schema_version: 1,
        },
        delta_updates: true,
        selection: Default::default(),
    }
}

/// Loads and Stores of one transaction over all that these journals have, each for one delta binding, and how many bytes were kept.
fn stored(journals: &[(&str, Arc<dyn Journal>)], budget_bytes: usize) -> (Vec<ToConnector>, Tally) {
    let target = |(n, (collection, journal)): (usize, &(&str, Arc<dyn Journal>))| Target {
        binding: binding(collection, n as u64),
        journal: journal.id().expect("acquired"),
        handling: Handling::default(),
        takes_deletes: false,
        on_truncate: OnTruncate::default(),
        renews_until: None,
    };
    sent(journals, journals.iter().enumerate().map(target).collect(), budget_bytes)
}

fn sent(journals: &[(&str, Arc<dyn Journal>)], targets: Vec<Target>, budget_bytes: usize) -> (Vec<ToConnector>, Tally) {
    let spill = tempfile::tempdir().expect("a directory");
    let schemas = Schemas::default();
    let sources =
        journals.iter().map(|(_, journal)| Source { journal: Arc::clone(journal), schemas: schemas.clone() }).collect();
    let budget = Budget { bytes: budget_bytes, spill_dir: spill.path().to_owned() };
    let mut gatherer = Gatherer::new(sources, targets, ("lake", Skips::default()), budget).expect("a gatherer");
    let places = gatherer.targets.iter().map(|planned| (planned.place.clone(), Position::BEGINNING)).collect();
    gatherer.begin(Selection::of(&places, Turn::Leaders, &Ends::new()));
    let abandon = AtomicBool::new(false);
    while gatherer.advance(&Ends::new(), &abandon).expect("read").then == Then::More {}
    let mut messages = Vec::new();
    let mut outlet = |message| {
        messages.push(message);
        Ok(())
    };
    gatherer.loads(&mut outlet).expect("asked");
    let tally = gatherer.stores(&mut outlet).expect("stored").rows;
    // The next one begins where this one ended, whatever was read twice.
    let places = gatherer.targets.iter().map(|planned| {
        let i = gatherer.selection.readings.iter().position(|reading| reading.journal == planned.target.journal);
        (planned.place.clone(), gatherer.reached[i.expect("it was read")])
    });
    let selection = Selection::of(&places.collect(), Turn::Leaders, &Ends::new());
    gatherer.begin(selection);
    let more = gatherer.advance(&Ends::new(), &abandon).expect("read");
    assert_eq!((more.documents, more.then), (0, Then::Nothing), "everything was read");
    (messages, tally)
}

#[test]
fn delta_documents_are_the_same_whatever_fits_the_budget() {
    let directory = tempfile::tempdir().expect("a directory");
    let journals = [
        ("shop/orders", journal(directory.path(), "shop/orders", &[10, 3_000, 40, 4_000, 1])),
        ("shop/returns", journal(directory.path(), "shop/returns", &[2_000, 7, 6_000])),
    ];
    let (all, tally) = stored(&journals, 64 << 20);
    assert_eq!(tally.iter().map(|(_, rows, _)| *rows).collect::<Vec<_>>(), [7_051, 8_007]);
    let bytes: u64 = tally.iter().map(|(.., bytes)| *bytes).sum();
    for budget in [0, 1, 900, 1_000, 300_000, 320_000, 700_000, 1_000_000, 1_300_000] {
        assert!(budget < bytes as usize, "the budget is passed");
        assert!(stored(&journals, budget) == (all.clone(), tally.clone()), "a budget of {budget} bytes");
    }
}

/// What the destination refuses is found by its keys, wherever it stands in the extent; and what it never got is a mistake of it.
#[test]
fn m_16_documents_of_rejected_keys_are_found_and_a_key_that_was_not_stored_is_refused() {
    use longshore_proto::batch::KeysBuilder;
    use longshore_proto::materialize::message::Rejected;

    use crate::materialize::checkpoint::Span;

    let directory = tempfile::tempdir().expect("a directory");
    let journal = journal(directory.path(), "shop/orders", &[3, 4, 300]);
    let target = Target {
        binding: binding("shop/orders", 0),
        journal: journal.id().expect("acquired"),
        handling: Handling::default(),
        takes_deletes: false,
        on_truncate: OnTruncate::default(),
        renews_until: None,
    };
    let sources = vec![Source { journal: Arc::clone(&journal), schemas: Schemas::default() }];
    let budget = Budget { bytes: 1 << 20, spill_dir: directory.path().to_owned() };
    let mut gatherer = Gatherer::new(sources, vec![target], ("lake", Skips::default()), budget).expect("a gatherer");
    let place = gatherer.targets[0].place.clone();
    let places = [(place.clone(), Position::BEGINNING)].into();
    gatherer.begin(Selection::of(&places, Turn::Leaders, &Ends::from([(place.journal, 7)])));
    let advanced = gatherer.advance(&Ends::from([(place.journal, 7)]), &AtomicBool::new(false)).expect("read");
    let span = Span { from: Position::BEGINNING, to: advanced.positions[0].1 };
    assert_eq!(span.to.offset, 7);
    let spans = BTreeMap::from([(place, span)]);
    let mut refuse = |keys: &[String]| {
        let mut builder = KeysBuilder::new();
        keys.iter().for_each(|key| builder.push(key.as_bytes()));
        let keys = builder.finish().expect("keys");
        let (code, reason) = ("x".to_owned(), "no".to_owned());
        gatherer.rejected(&spans, &Rejected { binding: 0, keys, code, reason, reasons: Vec::new() })
    };
    let found = refuse(&["[5.0]".to_owned(), "[1]".to_owned()]).expect("they were stored");
    assert_eq!(found.iter().map(|skip| skip.at.offset).collect::<Vec<_>>(), [1, 5]);
    assert_eq!((found[1].key_json.as_ref(), found[1].reason.as_str()), (&b"[5]"[..], "no"), "as the document has it");
    let error = refuse(&["[1]".to_owned(), "[8]".to_owned()]).expect_err("it is not in the extent");
    assert!(error.code == "M-16" && error.message.contains("[8]"), "{error}");
    let many: Vec<String> = (0..101).map(|key| format!("[{key}]")).collect();
    assert_eq!(refuse(&many).expect_err("too many").code, "materialize.too_many_letters");
}

/// Documents of one collection that is merged, as a destination gets them that takes partial updates, or one that does not.
#[track_caller]
fn merged(schema: &str, document: Option<&str>, handling: Handling) -> Vec<String> {
    let transactions = [
        vec![r#"{"id":1,"a":1,"b":1}"#, r#"{"id":2,"a":1}"#, r#"{"id":3,"a":1}"#],
        vec![r#"{"id":1,"a":2}"#, r#"{"id":2,"_meta":{"op":"d"}}"#, r#"{"id":2,"b":5}"#],
        vec![r#"{"id":3,"_meta":{"op":"d"}}"#, r#"{"id":4,"a":4}"#],
    ];
    let transactions = transactions.map(|documents| documents.into_iter().map(str::to_owned).collect());
    let directory = tempfile::tempdir().expect("a directory");
    let journal = journal_of(directory.path(), "shop/orders", &transactions);
    let mut binding = binding("shop/orders", 0);
    binding.delta_updates = false;
    binding.collection.schema_json = schema.to_owned().into();
    binding.selection.document = document.map(str::to_owned);
    let id = journal.id().expect("acquired");
    let target = Target {
        binding,
        journal: id,
        handling,
        takes_deletes: true,
        on_truncate: OnTruncate::default(),
        renews_until: None,
    };
    let (messages, _) = sent(&[("shop/orders", journal)], vec![target], 1 << 20);
    let mut told = Vec::new();
    for message in &messages {
        match message {
            ToConnector::Load(load) => told.push(format!("load {} keys_only={}", load.keys.len(), load.keys_only)),
            ToConnector::Open(_)
            | ToConnector::Acknowledge { .. }
            | ToConnector::Flush { .. }
            | ToConnector::Truncate { .. }
            | ToConnector::Backfill(_)
            | ToConnector::Commit { .. } => panic!("a Load or Store, got {message:?}"),
            ToConnector::Store(store) => {
                let has = |flags: &[bool], i: usize, word| if flags.get(i) == Some(&true) { word } else { "" };
                told.extend(store.documents.documents().enumerate().map(|(i, document)| {
                    let said =
                        [(&store.deletes, " gone"), (&store.replaces, " new"), (&store.partial_updates, " part")];
                    let said: String = said.iter().map(|(flags, word)| has(flags, i, word)).collect();
                    format!("{}{said}", String::from_utf8_lossy(document))
                }));
            }
        }
    }
    told
}

#[test]
fn m_17_what_is_merged_is_stored_in_part_where_the_destination_takes_it_and_loaded_where_not() {
    let merge = r#"{"reduce":{"strategy":"merge"}}"#;
    let parts = Handling { partial_updates: true, ..Handling::default() };
    let stored_in_part = [
        r#"{"id":1,"a":2,"b":1} part"#,
        r#"{"id":2,"b":5} new"#,
        r#"{"id":3,"_meta":{"op":"d"}} gone"#,
        r#"{"id":4,"a":4} part"#,
    ];
    assert_eq!(merged(merge, None, parts), stored_in_part);
    let with_existence = merged(merge, None, Handling { wants_existence: true, ..parts });
    assert_eq!(with_existence[0], "load 4 keys_only=true");
    assert_eq!(with_existence[1..], stored_in_part);
    let whole = stored_in_part.map(|told| told.trim_end_matches(" part").to_owned());
    let sums =
        r#"{"reduce":{"strategy":"merge"},"properties":{"a":{"type":"integer","reduce":{"strategy":"maximize"}}}}"#;
    for (schema, document, handling) in
        [(merge, None, Handling::default()), (merge, Some("doc"), parts), (sums, None, parts)]
    {
        let told = merged(schema, document, handling);
        assert_eq!(told[0], "load 4 keys_only=false", "{schema} {document:?}");
        assert_eq!(told[1..], whole, "nothing was loaded, so it is the whole document");
    }
    let last = merged("{}", None, parts);
    assert_eq!(last[0], r#"{"id":1,"a":2}"#, "the last document is a whole one");
}
