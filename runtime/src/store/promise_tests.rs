//! What every task store promises, shown for each of them.

use bytes::Bytes;
use longshore_proto::name::StateKey;
use longshore_proto::state::State;

use super::*;
use crate::journal::{DurableLength, JournalId, SegmentName};

fn state(n: u64) -> State {
    let part =
        (StateKey::new(&["orders".to_owned()], 1), Bytes::from(format!(r#"{{"row":{n},"big":18446744073709551615}}"#)));
    State::from_parts(Some(Bytes::from(format!(r#"{{"at":{n}}}"#))), [part]).unwrap()
}

fn durable(journal: u8, length_bytes: u64) -> DurableLength {
    let segment = SegmentName { number: 2, epoch: Epoch(3) };
    DurableLength { journal: JournalId([journal; 16]), segment, length_bytes, transaction: length_bytes / 10 }
}

fn remembered(path: &str, generation: u32) -> RememberedBinding {
    RememberedBinding {
        resource_path: vec!["main".to_owned(), path.to_owned()],
        generation,
        collection: "shop/orders".to_owned(),
        key: vec!["/id".to_owned()],
        delta_updates: true,
        active: true,
    }
}

fn checkpoint(transaction: u64) -> TaskChanges {
    let checkpoint = Checkpoint { transaction, bytes: Bytes::from(vec![transaction as u8; 3]) };
    TaskChanges { checkpoint: Some(checkpoint), ..TaskChanges::default() }
}

/// Runs a story against each kind of store.
fn check(story: impl Fn(&dyn TaskStore)) {
    story(&MemoryStore::default());
    let dir = tempfile::tempdir().unwrap();
    story(&SqliteStore::open(&dir.path().join("state.db")).unwrap());
}

fn everything() -> TaskChanges {
    TaskChanges {
        checkpoint: Some(Checkpoint { transaction: 7, bytes: Bytes::from_static(b"\0\xffcheckpoint") }),
        state: Some(state(7)),
        extent: Change::Set(Extent { transaction: 8, spec_version: 2, bytes: Bytes::from_static(b"extent") }),
        spec: Some(SpecVersion { version: 2, spec_json: Bytes::from_static(br#"{"bindings":[]}"#) }),
        pending: Change::Set(Pending { transaction: 7, plan: Bytes::from_static(b"plan") }),
        durable: vec![durable(1, 100), durable(2, 200)],
        remember: vec![remembered("orders", 3), remembered("lines", 0)],
        ..TaskChanges::default()
    }
}

fn skip(offset: u64) -> Skip {
    let at = SkipId { journal: JournalId([1; 16]), binding: StateKey::new(&["orders".to_owned()], 1), offset };
    let (key_json, bytes) = (Bytes::from_static(b"[1,\"x\"]"), 40 + offset);
    let (code, reason) = ("sqlite.value".to_owned(), "no".to_owned());
    Skip { at, collection: "shop/orders".to_owned(), key_json, code, reason, bytes, replayed_at: None, dropped: false }
}

#[test]
fn what_a_destination_refused_is_remembered_once_and_only_by_who_may_write() {
    check(|store| {
        assert!(store.skips("lake").unwrap().is_empty());
        let old = store.take_epoch("lake", Epoch(0)).unwrap();
        let epoch = store.take_epoch("lake", Epoch(0)).unwrap();
        let skips = TaskChanges { skips: vec![skip(9), skip(4)], ..TaskChanges::default() };
        store.commit("lake", old, skips.clone()).unwrap_err();
        assert!(store.skips("lake").unwrap().is_empty());
        store.commit("lake", epoch, skips.clone()).unwrap();
        let marks = TaskChanges { replayed: vec![(skip(4).at, 12)], dropped: vec![skip(9).at], ..skips.clone() };
        store.commit("lake", epoch, marks).unwrap();
        store.commit("lake", epoch, skips).unwrap();
        let expected = [Skip { replayed_at: Some(12), ..skip(4) }, Skip { dropped: true, ..skip(9) }];
        assert_eq!(store.skips("lake").unwrap(), expected, "told again, they stay what they are");
        assert!(store.skips("archive").unwrap().is_empty());
    });
}

#[test]
fn an_epoch_is_never_given_twice() {
    check(|store| {
        assert_eq!(store.load("lake").unwrap(), None);
        assert_eq!(store.take_epoch("lake", Epoch(0)).unwrap(), Epoch(1));
        assert_eq!(store.take_epoch("lake", Epoch(0)).unwrap(), Epoch(2));
        assert_eq!(store.take_epoch("lake", Epoch(40)).unwrap(), Epoch(41));
        assert_eq!(store.take_epoch("lake", Epoch(7)).unwrap(), Epoch(42));
        assert_eq!(store.take_epoch("archive", Epoch(0)).unwrap(), Epoch(1));
        assert_eq!(store.tasks().unwrap(), ["archive", "lake"]);
    });
}

#[test]
fn what_was_committed_is_loaded_and_what_was_not_named_stays() {
    check(|store| {
        let epoch = store.take_epoch("lake", Epoch(0)).unwrap();
        store.commit("lake", epoch, everything()).unwrap();
        let mut expected = TaskRecord { epoch, ..TaskRecord::default() };
        expected.apply(everything()).unwrap();
        assert_eq!(store.load("lake").unwrap().unwrap(), expected);
        let next = TaskChanges { extent: Change::Clear, durable: vec![durable(2, 300)], ..checkpoint(8) };
        store.commit("lake", epoch, next.clone()).unwrap();
        expected.apply(next).unwrap();
        assert_eq!(store.load("lake").unwrap().unwrap(), expected);
        assert_eq!((expected.extent, expected.durable.len(), expected.pending.unwrap().transaction), (None, 2, 7));
        let pending = TaskChanges { pending: Change::Clear, ..TaskChanges::default() };
        store.commit("lake", epoch, pending).unwrap();
        assert_eq!(store.load("lake").unwrap().unwrap().pending, None);
    });
}

#[test]
fn where_a_journal_was_trimmed_to_and_who_holds_none_back_is_remembered() {
    check(|store| {
        let epoch = store.take_epoch("shop", Epoch(0)).unwrap();
        let trim = |number, offset| {
            let first = SegmentName { number, epoch: Epoch(number) };
            TaskChanges {
                trimmed: Some(crate::journal::Trim { journal: JournalId([1; 16]), first, offset }),
                ..TaskChanges::default()
            }
        };
        let record = || store.load("shop").unwrap().unwrap();
        assert_eq!((record().trimmed, record().released), (None, false));
        store.commit("shop", epoch, trim(2, 40)).unwrap();
        store.commit("shop", epoch, trim(7, 90)).unwrap();
        store.commit("shop", Epoch(99), trim(9, 120)).unwrap_err();
        store.commit("shop", epoch, TaskChanges { released: Some(true), ..TaskChanges::default() }).unwrap();
        store.commit("shop", epoch, checkpoint(1)).unwrap();
        assert_eq!((record().trimmed, record().released), (trim(7, 90).trimmed, true), "what is not named stays");
        store.commit("shop", epoch, TaskChanges { released: Some(false), ..TaskChanges::default() }).unwrap();
        assert!(!record().released);
    });
}

#[test]
fn an_older_epoch_changes_nothing() {
    check(|store| {
        let old = store.take_epoch("lake", Epoch(0)).unwrap();
        store.commit("lake", old, checkpoint(1)).unwrap();
        let new = store.take_epoch("lake", Epoch(0)).unwrap();
        for fenced in [old, Epoch(99)] {
            let error = store.commit("lake", fenced, everything()).unwrap_err();
            assert!(matches!(error, StoreError::Fenced { newer, .. } if newer == new), "{error}");
        }
        let record = store.load("lake").unwrap().unwrap();
        assert_eq!((record.checkpoint.transaction, record.extent), (1, None));
        let error = store.commit("nobody", Epoch(1), checkpoint(1)).unwrap_err();
        assert!(matches!(error, StoreError::Fenced { newer: Epoch(0), .. }), "{error}");
    });
}

#[test]
fn a_generation_never_goes_back_and_nothing_of_that_commit_stays() {
    check(|store| {
        let epoch = store.take_epoch("lake", Epoch(0)).unwrap();
        store.commit("lake", epoch, everything()).unwrap();
        let back = TaskChanges { remember: vec![remembered("lines", 5), remembered("orders", 2)], ..checkpoint(9) };
        let error = store.commit("lake", epoch, back).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        let record = store.load("lake").unwrap().unwrap();
        assert_eq!((record.checkpoint.transaction, record.remembered[0].generation), (7, 0));
        let out = RememberedBinding { active: false, ..remembered("orders", 3) };
        store.commit("lake", epoch, TaskChanges { remember: vec![out.clone()], ..TaskChanges::default() }).unwrap();
        assert_eq!(store.load("lake").unwrap().unwrap().remembered[1], out);
    });
}

#[test]
fn many_tasks_commit_at_once_and_a_fenced_one_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("state.db")).unwrap();
    std::thread::scope(|scope| {
        for task in 0..8 {
            let store = &store;
            scope.spawn(move || {
                let name = format!("task-{task}");
                let old = store.take_epoch(&name, Epoch(0)).unwrap();
                let epoch = store.take_epoch(&name, Epoch(0)).unwrap();
                for n in 1..=20 {
                    store.commit(&name, epoch, checkpoint(n)).unwrap();
                    assert!(matches!(store.commit(&name, old, checkpoint(99)), Err(StoreError::Fenced { .. })));
                    assert_eq!(store.load(&name).unwrap().unwrap().checkpoint.transaction, n);
                }
            });
        }
    });
}

#[test]
fn a_store_that_is_opened_again_knows_everything_and_a_newer_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.db");
    let store = SqliteStore::open(&file).unwrap();
    let epoch = store.take_epoch("lake", Epoch(0)).unwrap();
    store.commit("lake", epoch, everything()).unwrap();
    let before = store.load("lake").unwrap();
    drop(store);
    let store = SqliteStore::open(&file).unwrap();
    assert_eq!(store.load("lake").unwrap(), before);
    assert_eq!(store.take_epoch("lake", Epoch(0)).unwrap(), Epoch(2));
    drop(store);
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    let error = SqliteStore::open(&file).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn after_a_failed_write_the_store_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.db");
    let store = SqliteStore::open(&file).unwrap();
    let epoch = store.take_epoch("lake", Epoch(0)).unwrap();
    rusqlite::Connection::open(&file).unwrap().execute_batch("DROP TABLE remembered_binding").unwrap();
    for _ in 0..2 {
        let error = store.commit("lake", epoch, everything()).unwrap_err();
        assert!(matches!(error, StoreError::Unknown { .. }), "{error}");
    }
    assert!(matches!(store.take_epoch("lake", Epoch(0)), Err(StoreError::Unknown { .. })));
}

#[test]
fn the_store_in_memory_stops_on_demand_and_what_was_in_flight_is_there_or_not() {
    for survives in [false, true] {
        let store = MemoryStore::default();
        let epoch = store.take_epoch("lake", Epoch(0)).unwrap();
        store.stop_at(Some(1));
        store.commit("lake", epoch, checkpoint(1)).unwrap();
        assert!(matches!(store.commit("lake", epoch, checkpoint(2)), Err(StoreError::Unknown { .. })));
        assert!(store.is_stopped() && store.load("lake").is_err());
        store.restart(survives);
        let found = store.load("lake").unwrap().unwrap().checkpoint.transaction;
        assert_eq!(found, if survives { 2 } else { 1 });
        store.commit("lake", epoch, checkpoint(3)).unwrap();
        assert_eq!((store.operations(), store.copy().load("lake").unwrap()), (1, store.load("lake").unwrap()));
    }
}
