//! What comes out of a transaction is the same whatever fitted into memory while it was read.

use longshore_proto::name::StateKey;
use longshore_proto::session::Collection;
use longshore_proto::state::StatePatch;

use super::super::turns::Turn;
use super::*;
use crate::journal::{Evidence, FileJournal, NewBinding};
use crate::store::Epoch;

/// A journal with transactions of these sizes in documents, each of about 100 bytes.
fn journal(directory: &std::path::Path, collection: &str, transactions: &[usize]) -> Arc<dyn Journal> {
    let journal = FileJournal::open(directory.join(collection), Evidence::default()).expect("a journal");
    let mut writer = journal.acquire(Epoch(1)).expect("the right to write");
    let binding = binding(collection, 0);
    let key = binding.collection.key.clone();
    let local = writer
        .bind(&NewBinding { state_key: binding.state_key, collection: collection.to_owned(), key })
        .expect("a binding");
    let mut id = 0;
    for documents in transactions {
        let mut builder = longshore_proto::batch::BatchBuilder::new(0);
        for _ in 0..*documents {
            builder.push(format!(r#"{{"id":{id},"from":"{collection}","body":"{:060}"}}"#, id).as_bytes());
            id += 1;
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

/// The Stores of one transaction over all there is, and how many bytes were kept.
fn stored(journals: &[(&str, Arc<dyn Journal>)], budget_bytes: usize) -> (Vec<ToConnector>, Tally) {
    let spill = tempfile::tempdir().expect("a directory");
    let schemas = Schemas::default();
    let sources =
        journals.iter().map(|(_, journal)| Source { journal: Arc::clone(journal), schemas: schemas.clone() }).collect();
    let targets = journals.iter().enumerate().map(|(n, (collection, journal))| Target {
        binding: binding(collection, n as u64),
        journal: journal.id().expect("acquired"),
        wants_existence: false,
        takes_deletes: false,
    });
    let mut gatherer =
        Gatherer::new(sources, targets.collect(), budget_bytes, spill.path().to_owned()).expect("a gatherer");
    let places = gatherer.targets.iter().map(|planned| (planned.place.clone(), Position::BEGINNING)).collect();
    gatherer.begin(Selection::of(&places, Turn::Leaders, &Ends::new()));
    let abandon = AtomicBool::new(false);
    while gatherer.advance(&Ends::new(), &abandon).expect("read").then == Then::More {}
    let mut messages = Vec::new();
    let mut outlet = |message| {
        messages.push(message);
        Ok(())
    };
    let tally = gatherer.stores(&mut outlet).expect("stored");
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
