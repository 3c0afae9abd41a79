//! Whatever happens to bindings as a whole, and wherever transactions of the destination end: it has what it would have document by document.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use longshore_proto::batch::BatchBuilder;
use longshore_proto::materialize::message::{Exists, Loaded, Store};
use longshore_proto::name::StateKey;
use longshore_proto::session::{Binding, Collection};
use longshore_proto::state::StatePatch;
use proptest::prelude::*;

use super::super::super::target::Handling;
use super::super::super::turns::{Ends, Selection, Turn};
use super::super::{Source, Then};
use super::*;
use crate::journal::{Entry, Evidence, FileJournal, Filter, Journal, LocalId, NewBinding, Position, Schemas, Writer};
use crate::materialize::reduce::Budget;
use crate::materialize::skips::Skips;
use crate::store::Epoch;

const SUMS: &str =
    r#"{"reduce":{"strategy":"merge"},"properties":{"n":{"type":"integer","reduce":{"strategy":"sum"}}}}"#;

/// What comes, of collection `a` or `b`.
#[derive(Debug, Clone)]
enum Said {
    Document(usize, u8, bool),
    Control(usize, Control),
}

/// Documents with a sum by key; and those stored aside, if it is backfilled.
#[derive(Debug, Clone, Default, PartialEq)]
struct Table {
    rows: BTreeMap<String, i64>,
    aside: Option<BTreeMap<String, i64>>,
}

impl Table {
    fn current(&mut self) -> &mut BTreeMap<String, i64> {
        self.aside.as_mut().unwrap_or(&mut self.rows)
    }

    fn complete(&mut self) {
        self.rows = self.aside.take().unwrap_or_else(|| std::mem::take(&mut self.rows));
    }
}

fn said() -> impl Strategy<Value = Vec<Vec<Said>>> {
    let control = prop_oneof![Just(Control::Truncated), Just(Control::BackfillBegin), Just(Control::BackfillComplete)];
    let one = prop_oneof![
        12 => (0..2usize, 0..6u8, proptest::bool::weighted(0.2)).prop_map(|(of, key, delete)| Said::Document(of, key, delete)),
        2 => (0..2usize, control).prop_map(|(of, control)| Said::Control(of, control)),
    ];
    proptest::collection::vec(proptest::collection::vec(one, 1..6), 1..12)
}

fn binding(name: &str) -> Binding {
    let path = vec![name.to_owned()];
    let collection = Collection {
        name: format!("t/{name}"),
        key: vec!["/id".to_owned()],
        schema_json: SUMS.into(),
        schema_version: 1,
    };
    Binding {
        state_key: StateKey::new(&path, 0),
        resource_path: path,
        resource_json: "{}".into(),
        collection,
        delta_updates: false,
        selection: Default::default(),
    }
}

fn write(writer: &mut dyn Writer, locals: &[LocalId], transactions: &[Vec<Said>]) {
    for (n, transaction) in transactions.iter().enumerate() {
        for (i, said) in transaction.iter().enumerate() {
            match said {
                Said::Control(of, control) => writer.control(locals[*of], *control).expect("written"),
                Said::Document(of, key, delete) => {
                    let mut batch = BatchBuilder::new(0);
                    batch.push(document(*key, n * 10 + i, *delete).as_bytes());
                    writer.documents(locals[*of], &batch.finish().expect("one")).expect("written");
                }
            }
        }
        let _durable = writer.commit(&StatePatch::new()).expect("committed");
    }
}

fn document(key: u8, n: usize, delete: bool) -> String {
    match delete {
        true => format!(r#"{{"id":{key},"_meta":{{"op":"d"}}}}"#),
        false => format!(r#"{{"id":{key},"n":{n},"body":"{:200}"}}"#, ""),
    }
}

/// As whoever knows nothing of transactions would.
fn one_by_one(transactions: &[Vec<Said>]) -> [Table; 2] {
    let mut tables = [Table::default(), Table::default()];
    for (n, transaction) in transactions.iter().enumerate() {
        for (i, said) in transaction.iter().enumerate() {
            match said {
                Said::Document(of, key, true) => drop(tables[*of].current().remove(&format!("[{key}]"))),
                Said::Document(of, key, false) => {
                    *tables[*of].current().entry(format!("[{key}]")).or_default() += (n * 10 + i) as i64;
                }
                Said::Control(of, Control::Truncated) => tables[*of].current().clear(),
                Said::Control(of, Control::BackfillBegin) => tables[*of].aside = Some(BTreeMap::new()),
                Said::Control(of, Control::BackfillComplete) => tables[*of].complete(),
            }
        }
    }
    tables
}

/// The next transaction, until so many documents were read; false: there is nothing more.
fn transact(
    gatherer: &mut Gatherer,
    places: &mut BTreeMap<super::super::Place, Position>,
    tables: &mut [Table; 2],
    documents: u64,
) -> bool {
    gatherer.begin(Selection::of(places, Turn::Leaders, &Ends::new()));
    let journal = places.keys().next().expect("a place").journal;
    let mut read = 0;
    while read < documents {
        let end = gatherer.reached[0].offset + 1;
        let advanced = gatherer.advance(&Ends::from([(journal, end)]), &AtomicBool::new(false)).expect("read");
        read += advanced.documents;
        let stands = advanced.positions[0].1;
        if advanced.then == Then::Nothing && stands.offset < end {
            break;
        }
    }
    if read == 0 {
        return false;
    }
    let (mut loads, mut stores) = (Vec::new(), Vec::new());
    let mut asked = |message| {
        loads.push(message);
        Ok(())
    };
    gatherer.loads(&mut asked).expect("asked");
    for message in loads {
        let ToConnector::Load(load) = message else { panic!("a Load, got {message:?}") };
        let (mut keys, mut rows) = (longshore_proto::batch::KeysBuilder::new(), BatchBuilder::new(load.binding));
        for key in load.keys.keys() {
            let text = String::from_utf8_lossy(key).into_owned();
            if let Some(n) = tables[load.binding].current().get(&text) {
                keys.push(key);
                rows.push(format!(r#"{{"id":{},"n":{n}}}"#, text.trim_matches(['[', ']'])).as_bytes());
            }
        }
        if let (Some(keys), Some(documents)) = (keys.finish(), rows.finish()) {
            gatherer.present().lock().expect("whole").loaded(&Loaded { keys, documents }).expect("taken");
        }
    }
    let mut told = |message| {
        stores.push(message);
        Ok(())
    };
    gatherer.stores(&mut told).expect("stored");
    let mut completes = Vec::new();
    for message in stores {
        match message {
            ToConnector::Truncate { binding } => tables[binding].current().clear(),
            ToConnector::Backfill(Backfill { binding, begins, completes: ends }) => {
                if begins {
                    tables[binding].aside = Some(BTreeMap::new());
                }
                completes.extend(ends.then_some(binding));
            }
            ToConnector::Store(store) => take(&mut tables[store.documents.binding()], &store),
            ToConnector::Open(_)
            | ToConnector::Acknowledge { .. }
            | ToConnector::Load(_)
            | ToConnector::Flush { .. }
            | ToConnector::Commit { .. } => panic!("a Store, got {message:?}"),
        }
    }
    completes.into_iter().for_each(|binding| tables[binding].complete());
    places.values_mut().for_each(|at| *at = gatherer.reached[0]);
    true
}

fn take(table: &mut Table, store: &Store) {
    let keys = store.keys.as_ref().expect("a standard binding").keys();
    for (i, (key, document)) in keys.zip(store.documents.documents()).enumerate() {
        let key = String::from_utf8_lossy(key).into_owned();
        let there = table.current().contains_key(&key);
        let said = store.exists.get(i).copied().unwrap_or(Exists::Unknown);
        assert_eq!(said, if there { Exists::Present } else { Exists::Absent }, "{key}");
        if store.deletes.get(i) == Some(&true) {
            table.current().remove(&key);
            continue;
        }
        let document: serde_json::Value = serde_json::from_slice(document).expect("JSON");
        table.current().insert(key, document["n"].as_i64().expect("a sum"));
    }
}

/// Where the transactions of a journal end.
fn ends_of(journal: &FileJournal) -> Vec<Position> {
    let mut reader = journal.reader(Filter::Collections(Default::default()));
    let mut ends = Vec::new();
    while let Some(entry) = reader.next().expect("readable") {
        if let Entry::Commit(committed) = entry {
            ends.push(committed.end);
        }
    }
    ends
}

/// Where nothing but what others write comes, a task goes on without a commit; where a renewal begins or is complete it must not.
#[test]
fn a_renewal_begins_and_is_complete_with_a_commit_though_no_document_comes() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = FileJournal::open(directory.path().join("journal"), Evidence::default()).expect("a journal");
    let mut writer = journal.acquire(Epoch(1)).expect("the right to write");
    let bindings = ["a", "b"].map(binding);
    let bind = |binding: &Binding, writer: &mut dyn Writer| {
        let Collection { name, key, .. } = binding.collection.clone();
        writer.bind(&NewBinding { state_key: binding.state_key.clone(), collection: name, key }).expect("bound")
    };
    let locals = bindings.each_ref().map(|binding| bind(binding, &mut *writer));
    let of_another = || vec![Said::Document(1, 1, false)];
    write(&mut *writer, &locals, &[of_another(), of_another(), vec![Said::Document(0, 1, false)], of_another()]);
    let (id, ends) = (journal.id().expect("acquired"), ends_of(&journal));
    let [renewed, _] = bindings;
    let target = Target {
        binding: renewed,
        journal: id,
        handling: Handling { truncates: true, backfills: true, ..Handling::default() },
        takes_deletes: true,
        on_truncate: OnTruncate::Truncate,
        renews_until: Some(ends[3]),
    };
    let sources = vec![Source { journal: Arc::new(journal), schemas: Schemas::default() }];
    let budget = Budget { bytes: 10_000, spill_dir: directory.path().to_owned() };
    let mut gatherer = Gatherer::new(sources, vec![target], ("t", Skips::default()), budget).expect("a gatherer");
    let place = gatherer.targets[0].place.clone();
    let mut counted = Vec::new();
    for (from, to) in [(Position::BEGINNING, ends[0]), (ends[0], ends[1]), (ends[1], ends[2]), (ends[2], ends[3])] {
        gatherer.begin(Selection::of(&[(place.clone(), from)].into(), Turn::Leaders, &Ends::new()));
        let limit = Ends::from([(id, to.offset)]);
        counted.push(gatherer.advance(&limit, &AtomicBool::new(false)).expect("read").documents);
    }
    assert_eq!(counted, [1, 0, 1, 1], "it begins, nothing, a document, it is complete");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn it_comes_to_the_same_in_however_many_transactions(
        said in said(),
        documents in 1..30u64,
        budget_bytes in prop_oneof![Just(1usize), 1_000..20_000usize],
        // An older life of `a` has read so many transactions, and its rows are there.
        older in prop_oneof![Just(None), proptest::option::of(0..12usize)],
    ) {
        let directory = tempfile::tempdir().expect("a directory");
        let journal = FileJournal::open(directory.path().join("journal"), Evidence::default()).expect("a journal");
        let mut writer = journal.acquire(Epoch(1)).expect("the right to write");
        let bindings = ["a", "b"].map(binding);
        let locals: Vec<LocalId> = bindings.iter().map(|binding| {
            let Collection { name, key, .. } = binding.collection.clone();
            writer.bind(&NewBinding { state_key: binding.state_key.clone(), collection: name, key }).expect("bound")
        }).collect();
        write(&mut *writer, &locals, &said);
        let id = journal.id().expect("acquired");
        let ends = ends_of(&journal);
        let older = older.map(|older| older.min(ends.len()));
        let until = older.map(|older| older.checked_sub(1).map_or(Position::BEGINNING, |last| ends[last]));
        let handling = Handling { wants_existence: true, truncates: true, backfills: true, ..Handling::default() };
        let target = |binding: &Binding| Target {
            binding: binding.clone(), journal: id, handling, takes_deletes: true, on_truncate: OnTruncate::Truncate,
            renews_until: until.filter(|_| binding.collection.name == "t/a"),
        };
        let sources = vec![Source { journal: Arc::new(journal), schemas: Schemas::default() }];
        let budget = Budget { bytes: budget_bytes, spill_dir: directory.path().to_owned() };
        let targets = bindings.iter().map(target).collect();
        let mut gatherer = Gatherer::new(sources, targets, ("t", Skips::default()), budget).expect("a gatherer");
        let mut places = gatherer.targets.iter().map(|planned| (planned.place.clone(), Position::BEGINNING)).collect();
        let mut tables = [Table::default(), Table::default()];
        if let Some(older) = older {
            tables[0].rows = one_by_one(&said[..older])[0].rows.clone();
        }
        let before = tables[0].rows.clone();
        while transact(&mut gatherer, &mut places, &mut tables, documents) {
            let at = places.values().next().expect("a place").offset;
            if until.is_some_and(|until| at < until.offset) {
                prop_assert_eq!(&tables[0].rows, &before, "rows of the past, or half of them, are seen at {}", at);
            }
        }
        let expected = one_by_one(&said);
        for (table, expected) in tables.iter_mut().zip(&expected) {
            // Rows that are to be replaced stay as they were at the end of some transaction.
            prop_assert_eq!(&table.aside, &expected.aside);
            if expected.aside.is_none() {
                prop_assert_eq!(&table.rows, &expected.rows);
            }
        }
    }
}
