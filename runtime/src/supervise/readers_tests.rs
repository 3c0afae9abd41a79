//! Who holds a journal back, as a table.

use bytes::Bytes;
use longshore_proto::name::StateKey;
use longshore_proto::session::{Binding, Collection};

use super::*;
use crate::journal::Position;
use crate::store;
use crate::supervise::spec::SpecBinding;

const JOURNAL: JournalId = JournalId([1; 16]);

fn installation() -> InstallationId {
    InstallationId::from_bytes([9; 16])
}

fn state_key(table: &str) -> StateKey {
    StateKey::new(&[table.to_owned()], 0)
}

/// A materialization with these bindings (table, collection, offset); an offset of 0: it has committed nothing of it.
fn reader(bindings: &[(&str, &str, u64)]) -> TaskRecord {
    let binding = |(table, collection, _): &(&str, &str, u64)| {
        let collection = Collection {
            name: (*collection).to_owned(),
            key: vec!["/id".to_owned()],
            schema_json: "{}".into(),
            schema_version: 1,
        };
        SpecBinding::from(Binding {
            state_key: state_key(table),
            resource_path: vec![(*table).to_owned()],
            resource_json: Bytes::from_static(b"{}"),
            collection,
            delta_updates: false,
            selection: Default::default(),
        })
    };
    let spec = spec::next(None, &bindings.iter().map(binding).collect::<Vec<_>>()).expect("a spec");
    let committed = bindings.iter().filter(|(.., offset)| *offset > 0);
    let places = committed.map(|(table, _, offset)| {
        let place = Place { journal: JOURNAL, binding: state_key(table) };
        (place, Position { offset: *offset, chain_crc: 1 })
    });
    let checkpoint = Checkpoint { installation: installation(), transaction: 3, places: places.collect() };
    let checkpoint = store::Checkpoint { transaction: 3, bytes: checkpoint.encode() };
    TaskRecord { checkpoint, spec: Some(spec), ..TaskRecord::default() }
}

fn skip(table: &str, offset: u64, replayed_at: Option<u64>) -> Skip {
    Skip {
        at: store::SkipId { journal: JOURNAL, binding: state_key(table), offset },
        collection: "t/a".to_owned(),
        key_json: "[1]".into(),
        code: "x".to_owned(),
        reason: "no".to_owned(),
        bytes: 1,
        replayed_at,
        dropped: false,
    }
}

/// A catalog with these materializations of the collections a and b.
fn catalog(materializations: &[(&str, &[&str])]) -> Catalog {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("longshore.yaml");
    let task = |(name, collections): &(&str, &[&str])| {
        let binding = |name: &&str| format!("{{ collection: t/{name}, resource: {{ table: {name} }} }}");
        let bindings: Vec<String> = collections.iter().map(binding).collect();
        format!("  {name}: {{ connector: sqlite, config: {{ path: x.db }}, bindings: [{}] }}\n", bindings.join(", "))
    };
    let tasks: String = materializations.iter().map(task).collect();
    let text = format!(
        "captures:\n  in:\n    connector: files\n    config: {{ path: . }}\n    bindings: [{{ resource: {{ glob: a }}, collection: t/a }}, \
         {{ resource: {{ glob: b }}, collection: t/b }}]\ncollections:\n  t/a: {{ key: [/id], retention: consumed }}\n  \
         t/b: {{ key: [/id], retention: consumed }}\nmaterializations:\n{tasks}"
    );
    std::fs::write(&path, text).expect("written");
    let values = crate::catalog::Values::new(std::sync::Arc::new(|_: &str| None));
    crate::catalog::load(&path, values).expect("a catalog")
}

#[track_caller]
fn check(what: &str, readers: &[(&str, TaskRecord, Vec<Skip>)], materializations: &[(&str, &[&str])], expected: u64) {
    let tasks = readers.iter().map(|(name, record, skips)| ((*name).to_owned(), (record.clone(), skips.clone())));
    let readers = Readers { installation: installation(), tasks: tasks.collect() };
    let catalog = catalog(materializations);
    assert_eq!(readers.least(&catalog, &catalog.captures[0], JOURNAL).expect("readable"), expected, "{what}");
}

#[test]
fn whoever_is_farthest_behind_holds_a_journal_back() {
    const LAKE: &[(&str, &[&str])] = &[("lake", &["a", "b"])];
    let both = |a, b| reader(&[("a", "t/a", a), ("b", "t/b", b)]);
    let one = |skips: Vec<Skip>| vec![("lake", both(40, 50), skips)];
    check("the least of its bindings", &one(vec![]), LAKE, 40);
    check("a letter that waits", &one(vec![skip("a", 12, None)]), LAKE, 12);
    check("a letter that was sent again and has arrived", &one(vec![skip("a", 12, Some(30))]), LAKE, 40);
    check("one that is still on its way", &one(vec![skip("a", 12, Some(45))]), LAKE, 12);
    check("a letter of a binding that is no more", &one(vec![skip("gone", 12, None)]), LAKE, 40);
    check("nothing committed yet", &[("lake", both(0, 50), vec![])], LAKE, 0);
    check("nobody", &[], LAKE, 0);

    let slow = || ("slow", reader(&[("x", "t/b", 7)]), vec![]);
    let two = |slow| [("lake", both(40, 50), vec![]), slow];
    check("one that is not in the catalog any more", &two(slow()), LAKE, 7);
    let released = TaskRecord { released: true, ..slow().1 };
    check("and was let go", &two(("slow", released.clone(), vec![])), LAKE, 40);
    check(
        "nobody else reads b",
        &[("lake", reader(&[("a", "t/a", 40)]), vec![]), ("slow", released, vec![])],
        &[("lake", &["a"])],
        0,
    );
    check("of the catalog and never applied", &one(vec![]), &[("lake", &["a", "b"]), ("new", &["a"])], 0);
    let only_a = [("lake", reader(&[("a", "t/a", 40)]), vec![]), slow()];
    check("a binding that was not applied yet", &only_a, LAKE, 0);
    check("a collection that nobody reads", &only_a[..1], &[("lake", &["a"])], 0);
    check("each by another", &only_a, &[("lake", &["a"])], 7);
}
