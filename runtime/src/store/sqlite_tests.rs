//! The task store over a real database: what is committed is there after opening again, and a fenced session writes nothing.

use bytes::Bytes;
use longshore_proto::name::StateKey;
use longshore_proto::state::State;

use super::*;
use crate::journal::{DurableLength, JournalId, SegmentName};

fn open(directory: &tempfile::TempDir) -> SqliteStore {
    SqliteStore::open(&directory.path().join("state.db")).expect("a store")
}

fn everything() -> TaskChanges {
    let key = StateKey::new(&["flights".to_owned()], 0);
    let state =
        State::from_parts(Some(Bytes::from(r#"{"a":1}"#)), [(key, Bytes::from(r#"{"b":2}"#))]).expect("a state");
    TaskChanges {
        checkpoint: Some(Checkpoint { transaction: 7, bytes: Bytes::from("checkpoint") }),
        state: Some(state),
        extent: Change::Set(Extent { transaction: 8, spec_version: 2, bytes: Bytes::from("extent") }),
        spec: Some(SpecVersion { version: 2, spec_json: Bytes::from("[]") }),
        pending: Change::Set(Pending { transaction: 7, plan: Bytes::from("plan") }),
        durable: vec![DurableLength {
            journal: JournalId([7; 16]),
            segment: SegmentName { number: 1, epoch: Epoch(3) },
            length_bytes: 4096,
            transaction: 7,
        }],
        remember: vec![RememberedBinding {
            resource_path: vec!["public".into(), "flights".into()],
            generation: 1,
            collection: "nyc/flights".into(),
            key: vec!["/id".into()],
            delta_updates: true,
            active: true,
        }],
        ..TaskChanges::default()
    }
}

#[test]
fn what_is_committed_is_there_after_opening_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let epoch = {
        let store = open(&directory);
        let epoch = store.take_epoch("lake", Epoch(0)).expect("an epoch");
        store.commit("lake", epoch, everything()).expect("committed");
        epoch
    };
    let record = open(&directory).load("lake").expect("loaded").expect("known");
    let changes = everything();
    assert_eq!(record.epoch, epoch);
    assert_eq!(Some(record.checkpoint), changes.checkpoint);
    assert_eq!(Some(record.state), changes.state);
    assert_eq!(Change::Set(record.extent.expect("an extent")), changes.extent);
    assert_eq!(record.spec, changes.spec);
    assert_eq!(Change::Set(record.pending.expect("pending")), changes.pending);
    assert_eq!((record.durable, record.remembered), (changes.durable, changes.remember));
}

#[test]
fn what_is_not_named_stays_and_what_is_cleared_goes() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    let epoch = store.take_epoch("lake", Epoch(0)).expect("an epoch");
    store.commit("lake", epoch, everything()).expect("committed");
    let clear = TaskChanges { extent: Change::Clear, pending: Change::Clear, ..TaskChanges::default() };
    store.commit("lake", epoch, clear).expect("committed");
    let record = store.load("lake").expect("loaded").expect("known");
    assert_eq!((record.extent, record.pending), (None, None));
    assert_eq!(record.checkpoint.transaction, 7);
}

#[test]
fn epochs_only_grow_and_stay_above_the_floor() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    let taken: Vec<u64> =
        [0, 0, 10, 3].map(|floor| store.take_epoch("lake", Epoch(floor)).expect("an epoch").0).to_vec();
    assert_eq!(taken, [1, 2, 11, 12]);
    assert_eq!(store.take_epoch("other", Epoch(0)).expect("an epoch"), Epoch(1), "one counter a task");
}

#[test]
fn a_fenced_session_writes_nothing_and_fails_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    let old = store.take_epoch("lake", Epoch(0)).expect("an epoch");
    let new = store.take_epoch("lake", Epoch(0)).expect("an epoch");
    let refused = store.commit("lake", old, everything()).expect_err("fenced");
    assert!(matches!(refused, StoreError::Fenced { mine, newer, .. } if (mine, newer) == (old, new)), "{refused}");
    assert_eq!(store.load("lake").expect("loaded").expect("known").checkpoint, Checkpoint::default());
    store.commit("lake", new, everything()).expect("the newer one goes on");
}

#[test]
fn a_generation_never_goes_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    let epoch = store.take_epoch("lake", Epoch(0)).expect("an epoch");
    store.commit("lake", epoch, everything()).expect("committed");
    let mut lower = everything();
    lower.remember[0].generation = 0;
    lower.checkpoint = Some(Checkpoint { transaction: 99, bytes: Bytes::new() });
    store.commit("lake", epoch, lower).expect_err("refused");
    assert_eq!(store.load("lake").expect("loaded").expect("known").checkpoint.transaction, 7, "all or none");
}

#[test]
fn tasks_that_commit_at_the_same_time_all_get_through() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    std::thread::scope(|scope| {
        for task in ["a", "b", "c", "d"] {
            let store = &store;
            scope.spawn(move || {
                let epoch = store.take_epoch(task, Epoch(0)).expect("an epoch");
                for _ in 0..20 {
                    store.commit(task, epoch, everything()).expect("committed");
                }
            });
        }
    });
    assert_eq!(store.tasks().expect("tasks"), ["a", "b", "c", "d"]);
}

#[test]
fn without_room_it_changes_nothing_and_goes_on_when_there_is_some() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    let epoch = store.take_epoch("lake", Epoch(0)).expect("an epoch");
    store.commit("lake", epoch, everything()).expect("committed");
    let before = store.load("lake").expect("loaded");
    let pages = |count: u32| {
        let of_database = move |connection: &rusqlite::Connection| {
            connection.pragma_update(None, "max_page_count", count).map_err(super::rows::writing)
        };
        store.ask(of_database).expect("a limit");
    };
    pages(1);
    let large = TaskChanges {
        checkpoint: Some(Checkpoint { transaction: 8, bytes: Bytes::from(vec![b'x'; 1 << 20]) }),
        ..TaskChanges::default()
    };
    for _ in 0..2 {
        let error = store.commit("lake", epoch, large.clone()).expect_err("no room");
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        let error = longshore_proto::Error::from(error);
        assert_eq!((error.kind, error.code.as_str()), (longshore_proto::ErrorKind::Unavailable, "store.full"));
        assert_eq!(store.load("lake").expect("loaded"), before);
    }
    pages(1 << 20);
    store.commit("lake", epoch, large).expect("there is room");
    assert_eq!(store.load("lake").expect("loaded").expect("known").checkpoint.transaction, 8);
}
