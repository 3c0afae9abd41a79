//! What was read on is what would have been read; what was guessed wrong leaves no trace.

use longshore_proto::batch::BatchBuilder;
use longshore_proto::materialize::message::ToConnector;
use longshore_proto::name::StateKey;
use longshore_proto::session::{Binding, Collection};
use longshore_proto::state::StatePatch;

use super::*;
use crate::catalog::OnTruncate;
use crate::journal::{Evidence, FileJournal, Journal, NewBinding, Position, Schemas};
use crate::materialize::checkpoint::Place;
use crate::materialize::gather::Source;
use crate::materialize::reduce::Budget;
use crate::materialize::skips::Skips;
use crate::materialize::target::{Handling, Target};
use crate::materialize::turns::Turn;
use crate::store::Epoch;

/// Seven transactions of 1,500 documents of about 1 kB.
const TRANSACTIONS: u64 = 7;
const DOCUMENTS: u64 = 1_500;

fn binding() -> Binding {
    let path = vec!["p".to_owned()];
    let key = vec!["/id".to_owned()];
    let collection = Collection { name: "t/a".to_owned(), key, schema_json: "{}".into(), schema_version: 1 };
    Binding {
        state_key: StateKey::new(&path, 0),
        resource_path: path,
        resource_json: "{}".into(),
        collection,
        delta_updates: false,
        selection: Default::default(),
    }
}

fn journal(directory: &std::path::Path) -> Arc<dyn Journal> {
    let journal = FileJournal::open(directory.join("journal"), Evidence::default()).expect("a journal");
    let mut writer = journal.acquire(Epoch(1)).expect("the right to write");
    let key = vec!["/id".to_owned()];
    let new = NewBinding { state_key: StateKey::new(&["in".to_owned()], 0), collection: "t/a".to_owned(), key };
    let local = writer.bind(&new).expect("a binding");
    for transaction in 0..TRANSACTIONS {
        let mut batch = BatchBuilder::new(0);
        for i in 0..DOCUMENTS {
            let id = transaction * 1_000 + i;
            batch.push(format!(r#"{{"id":{id},"of":{transaction},"body":"{}"}}"#, "x".repeat(1_000)).as_bytes());
        }
        writer.documents(local, &batch.finish().expect("documents")).expect("written");
        writer.commit(&StatePatch::new()).expect("committed");
    }
    Arc::new(journal)
}

fn recipe(journal: &Arc<dyn Journal>, directory: &std::path::Path) -> Recipe {
    let (journal, spill_dir) = (Arc::clone(journal), directory.to_owned());
    Arc::new(move || {
        let target = Target {
            binding: binding(),
            journal: journal.id().expect("acquired"),
            handling: Handling::default(),
            takes_deletes: true,
            on_truncate: OnTruncate::default(),
            renews_until: None,
        };
        let source = Source { journal: Arc::clone(&journal), schemas: Schemas::default() };
        let budget = Budget { bytes: 64 << 20, spill_dir: spill_dir.clone() };
        Gatherer::new(vec![source], vec![target], ("t", Skips::default()), budget)
    })
}

fn selection(journal: &Arc<dyn Journal>) -> Selection {
    let place = Place { journal: journal.id().expect("acquired"), binding: binding().state_key };
    Selection::of(&[(place, Position::BEGINNING)].into(), Turn::Leaders, &Ends::new())
}

/// Reads to the end, behind what was read already, and says what is stored.
fn rest(gatherer: &mut Gatherer, mut read: Advanced) -> (u64, Vec<ToConnector>) {
    while read.then == Then::More {
        let step = gatherer.advance(&Ends::new(), &AtomicBool::new(false)).expect("read");
        read = Advanced { documents: read.documents + step.documents, ..step };
    }
    let mut messages = Vec::new();
    let said = |message| {
        messages.push(message);
        Ok(())
    };
    gatherer.stores(&mut { said }).expect("stored");
    (read.documents, messages)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_on_is_what_would_have_been_read_however_far_it_came() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = journal(directory.path());
    let (recipe, selection) = (recipe(&journal, directory.path()), selection(&journal));
    let mut direct = recipe().expect("a gatherer");
    direct.begin(selection.clone());
    let expected = rest(&mut direct, Advanced { then: Then::More, ..Advanced::default() });
    assert_eq!(expected.0, TRANSACTIONS * DOCUMENTS);
    for (close_bytes, is_done) in [(1, true), (3 << 20, true), (u64::MAX, true), (u64::MAX, false)] {
        let mut work = Work::Home(Box::new(recipe().expect("a gatherer")));
        let Work::Home(gatherer) = &work else { unreachable!() };
        let mut present = gatherer.present();
        let mut ahead = Ahead::Recipe(Arc::clone(&recipe));
        let guess =
            Foreseen { selection: selection.clone(), ends: Ends::new(), close_bytes, close_documents: u64::MAX };
        ahead.begin(Blocking::OnThreads, WORTH_BYTES - 1, Some(guess.clone())).await.expect("nothing done");
        assert!(matches!(ahead, Ahead::Recipe(_)), "too little is stored");
        ahead.begin(Blocking::OnThreads, WORTH_BYTES, Some(guess)).await.expect("begun");
        while is_done && !matches!(&ahead, Ahead::Out(reading) if reading.handle.is_finished()) {
            tokio::task::yield_now().await;
        }
        assert!(ahead.take_over((&selection, &Ends::new()), &mut work, &mut present));
        assert!(matches!(ahead, Ahead::Home(_)), "who read before is free now");
        let Done::Advanced(read) = work.back().await.expect("it comes") else { panic!("it read") };
        assert!(!is_done || read.bytes >= close_bytes.min(9 << 20), "{read:?}");
        let Work::Home(gatherer) = &mut work else { panic!("at home") };
        assert!(Arc::ptr_eq(&present, &gatherer.present()), "answers to Loads go to who asks");
        assert!(rest(gatherer, read) == expected, "closes with {close_bytes}, done: {is_done}");
        ahead.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_guess_is_dropped_and_the_next_one_may_be_right() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = journal(directory.path());
    let (recipe, selection) = (recipe(&journal, directory.path()), selection(&journal));
    let mut work = Work::Home(Box::new(recipe().expect("a gatherer")));
    let Work::Home(gatherer) = &work else { unreachable!() };
    let mut present = gatherer.present();
    let mut ahead = Ahead::Recipe(recipe);
    let ends = Ends::from([(journal.id().expect("acquired"), DOCUMENTS)]);
    let of = |ends: &Ends| Foreseen {
        selection: selection.clone(),
        ends: ends.clone(),
        close_bytes: u64::MAX,
        close_documents: u64::MAX,
    };
    ahead.begin(Blocking::OnThreads, WORTH_BYTES, Some(of(&Ends::new()))).await.expect("begun");
    assert!(!ahead.take_over((&selection, &ends), &mut work, &mut present), "an end was noted meanwhile");
    assert!(matches!(work, Work::Home(_)));
    while !matches!(&ahead, Ahead::Out(reading) if reading.guess.ends == ends) {
        ahead.begin(Blocking::OnThreads, WORTH_BYTES, Some(of(&ends))).await.expect("begun when it is free");
        tokio::task::yield_now().await;
    }
    assert!(ahead.take_over((&selection, &ends), &mut work, &mut present));
    let Done::Advanced(read) = work.back().await.expect("it comes") else { panic!("it read") };
    let Work::Home(mut gatherer) = work else { panic!("at home") };
    let mut documents = read.documents;
    while documents < DOCUMENTS {
        documents += gatherer.advance(&ends, &AtomicBool::new(false)).expect("read").documents;
    }
    assert_eq!(documents, DOCUMENTS);
}
