//! The machine against a model: a table, its log, snapshots that see late, walks that begin again.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::rows::Cell;
use crate::types::Type;
use crate::value::Form;

#[test]
fn a_snapshot_shows_what_has_ended_before_it() {
    let snapshot = Snapshot::parse("10:15:10,12").unwrap();
    for (xid, shown) in [(9, true), (10, false), (11, true), (12, false), (14, true), (15, false), (20, false)] {
        assert_eq!(snapshot.shows(xid), shown, "{xid}");
    }
    assert_eq!(Snapshot::parse("7:7:").map(|snapshot| snapshot.shows(6)), Some(true));
    for text in ["", "1:2", "a:2:", "1:2:x"] {
        assert_eq!(Snapshot::parse(text), None, "{text}");
    }
}

#[test]
fn numbers_of_transactions_go_round() {
    let snapshot = Snapshot::parse("8589934600:8589934602:").unwrap();
    assert_eq!(snapshot.whole(9), 8_589_934_601);
    assert_eq!(snapshot.whole(u32::MAX), 8_589_934_591, "of the round before");
    assert!(snapshot.shows(u32::MAX) && snapshot.shows(9) && !snapshot.shows(10));
}

fn cell(text: &str) -> Cell<'_> {
    Cell::Text(text)
}

fn tuple<const N: usize>(cells: [Cell<'_>; N]) -> Tuple {
    cells.into_iter().collect()
}

fn rows<const N: usize>(lines: impl Iterator<Item = [String; N]>) -> Rows {
    let mut rows = Rows::new(N).unread();
    lines.for_each(|line| rows.line(format!("{}\n", line.join("\t")).as_bytes(), N).unwrap());
    rows.rows(N).unwrap()
}

fn layout(names: &[&str]) -> Layout {
    let ty = || Type { form: Form::Text, format: None };
    Layout::for_tests(names.iter().map(|name| (*name, ty(), true)), &["id"])
}

fn chunk(lines: &[[&str; 2]]) -> Chunk {
    let rows = rows(lines.iter().map(|line| line.map(str::to_owned)));
    Chunk::new(0, Arc::new(layout(&["id", "v"])), rows, false, Lsn(50)).unwrap()
}

#[test]
fn rows_that_change_leave_the_chunk_and_lend_it_what_the_log_leaves_out() {
    let mut window = Window::default();
    window.keep(chunk(&[["1", "a"], ["2", "b"], ["3", "c"]]));
    let key = |id: &str| vec![id.to_owned()];
    assert!(window.holds(0) && !window.holds(1));
    let now = layout(&["id", "v"]);
    assert_eq!(window.changed(1, &key("1"), None), Met::Nothing, "of another table");
    let mut whole = tuple([cell("1"), cell("new")]);
    assert_eq!(window.changed(0, &key("1"), Some((&now, &mut whole))), Met::Nothing);
    let mut part = tuple([cell("2"), Cell::Unchanged]);
    assert_eq!(window.changed(0, &key("2"), Some((&now, &mut part))), Met::Filled);
    assert_eq!(part, tuple([cell("2"), cell("b")]));
    let mut again = tuple([cell("2"), Cell::Unchanged]);
    assert_eq!(window.changed(0, &key("2"), Some((&now, &mut again))), Met::Nothing, "it was emitted by now");
    assert!(window.take_due(Lsn(49)).is_none());
    let due = window.take_due(Lsn(50)).unwrap();
    assert_eq!(due.rest().collect::<Vec<_>>(), [tuple([cell("3"), cell("c")]).row()]);
    assert_eq!((due.len(), due.last()), (3, Some(key("3"))));
}

#[test]
fn a_chunk_of_other_columns_is_read_again() {
    let mut window = Window::default();
    window.keep(chunk(&[["1", "a"]]));
    let renamed = layout(&["id", "w"]);
    let mut part = tuple([cell("1"), Cell::Unchanged]);
    assert_eq!(window.changed(0, &vec!["1".to_owned()], Some((&renamed, &mut part))), Met::Dropped);
    assert!(window.first().is_none());
}

#[test]
fn chunks_that_are_read_ahead_give_way_to_changes_and_go_with_the_one_before_them() {
    let chunks = || {
        let mut window = Window::default();
        [[["1", "a"]], [["2", "b"]], [["3", "c"]]].iter().for_each(|lines| window.keep(chunk(lines)));
        window
    };
    let (now, key) = (layout(&["id", "v"]), |id: &str| vec![id.to_owned()]);
    let mut window = chunks();
    assert!(!window.has_room());
    let mut part = tuple([cell("3"), Cell::Unchanged]);
    assert_eq!(window.changed(0, &key("3"), Some((&now, &mut part))), Met::Filled);
    assert_eq!(part, tuple([cell("3"), cell("c")]));
    assert_eq!(window.last_of(0).and_then(Chunk::last), Some(key("3")), "read up to there all the same");
    let left = |window: &mut Window| -> Vec<usize> {
        std::iter::from_fn(|| window.take_due(Lsn(50))).map(|chunk| chunk.rest().count()).collect()
    };
    assert_eq!(left(&mut window), [1, 1, 0]);
    let mut window = chunks();
    window.emptied(0);
    assert_eq!(left(&mut window), [0, 0, 0]);
    let mut window = chunks();
    let mut part = tuple([cell("2"), Cell::Unchanged]);
    let renamed = layout(&["id", "w"]);
    assert_eq!(window.changed(0, &key("2"), Some((&renamed, &mut part))), Met::Dropped);
    assert_eq!(window.last_of(0).and_then(Chunk::last), Some(key("1")), "from there on it is read again");
}

/// A step of the model.
#[derive(Debug, Clone)]
enum Step {
    /// Commit a change of a key; whether it is seen by snapshots at once.
    Write { key: u8, gone: bool, partial: bool, seen: bool },
    /// Transactions that were not seen are seen now.
    See,
    /// Read the log on by so many transactions.
    Read(u8),
    /// Read a chunk, if there is room for one.
    Walk(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..8, prop::bool::weighted(0.25), any::<bool>(), prop::bool::weighted(0.7))
            .prop_map(|(key, gone, partial, seen)| Step::Write { key, gone, partial, seen }),
        1 => Just(Step::See),
        4 => (1u8..4).prop_map(Step::Read),
        3 => (1u8..5).prop_map(Step::Walk),
    ]
}

/// A row is a version and a large value, which is the version it was last set in.
type Versions = (u64, u64);

#[derive(Debug, Clone)]
struct Committed {
    key: u8,
    row: Option<Versions>,
    /// The large value stayed as it was.
    partial: bool,
    is_seen: bool,
}

#[derive(Default)]
struct Model {
    log: Vec<Committed>,
    read: usize,
    after: Option<u8>,
    walked: bool,
    window: Window,
    /// What the documents come to.
    fold: BTreeMap<u8, Versions>,
    /// By key: the newest version that was emitted.
    newest: BTreeMap<u8, u64>,
}

impl Model {
    fn rows(&self, seen_only: bool) -> BTreeMap<u8, Versions> {
        let mut rows = BTreeMap::new();
        for committed in self.log.iter().filter(|committed| committed.is_seen || !seen_only) {
            match committed.row {
                Some(row) => drop(rows.insert(committed.key, row)),
                None => drop(rows.remove(&committed.key)),
            }
        }
        rows
    }

    fn write(&mut self, key: u8, gone: bool, partial: bool, seen: bool) {
        // Writers of a key wait for each other: who follows an unseen one comes after it has left.
        for committed in self.log.iter_mut().filter(|committed| committed.key == key) {
            committed.is_seen = true;
        }
        let before = self.rows(false).get(&key).copied();
        let version = self.log.len() as u64 + 1;
        let row = match (gone, before) {
            (true, _) => None,
            (false, Some((_, large))) if partial => Some((version, large)),
            (false, _) => Some((version, version)),
        };
        let partial = partial && before.is_some() && row.is_some();
        self.log.push(Committed { key, row, partial, is_seen: seen });
    }

    fn snapshot(&self) -> Snapshot {
        let running = (1u64..).zip(&self.log).filter(|(_, committed)| !committed.is_seen).map(|(xid, _)| xid);
        let running: Vec<u64> = running.collect();
        let xmax = self.log.len() as u64 + 1;
        Snapshot { xmin: running.first().copied().unwrap_or(xmax), xmax, running }
    }

    fn emit(&mut self, key: u8, version: u64, row: Option<(u64, Option<u64>)>) {
        let newest = self.newest.entry(key).or_default();
        assert!(version >= *newest, "key {key} goes back from {newest} to {version}");
        *newest = version;
        match row {
            None => drop(self.fold.remove(&key)),
            Some((version, large)) => {
                // Merged: what is absent stays as it was.
                let large = large.or(self.fold.get(&key).map(|row| row.1));
                self.fold.insert(key, (version, large.unwrap_or(u64::MAX)));
            }
        }
    }

    fn read(&mut self) {
        let Some(committed) = self.log.get(self.read).cloned() else { return };
        self.read += 1;
        let xid = self.read as u64;
        let key = vec![committed.key.to_string()];
        match committed.row {
            None => {
                self.window.changed(0, &key, None);
                self.emit(committed.key, xid, None);
            }
            Some((version, large)) => {
                let (written, large) = (version.to_string(), large.to_string());
                let large = if committed.partial { Cell::Unchanged } else { cell(&large) };
                let mut row = tuple([cell("k"), cell(&written), large]);
                self.window.changed(0, &key, Some((&layout(&["id", "v", "large"]), &mut row)));
                let large = match row.row().get(2) {
                    Some(Cell::Text(text)) => text.parse().ok(),
                    Some(Cell::Null | Cell::Unchanged) | None => None,
                };
                self.emit(committed.key, xid, Some((version, large)));
            }
        }
        self.window.emitted(u32::try_from(xid).unwrap());
        self.close();
    }

    fn close(&mut self) {
        while let Some(due) = self.window.take_due(Lsn(self.read as u64)) {
            for row in due.rest() {
                let number = |place| match row.get(place) {
                    Some(Cell::Text(text)) => text.parse::<u64>().unwrap(),
                    other => panic!("rows that are read are whole: {other:?}"),
                };
                self.emit(u8::try_from(number(0)).unwrap(), number(1), Some((number(1), Some(number(2)))));
            }
            self.after = due.last().map(|key| key[0].parse().unwrap());
            self.walked = due.is_end;
        }
    }

    fn walk(&mut self, most: u8) {
        let snapshot = self.snapshot();
        let kept = self.window.last_of(0);
        if self.walked || kept.is_some_and(|chunk| chunk.is_end) || !self.window.has_room() {
            return;
        }
        let after = kept.and_then(Chunk::last).map(|key| key[0].parse().unwrap()).or(self.after);
        if !self.window.judge(&snapshot) {
            return;
        }
        let all = self.rows(true);
        let left: Vec<_> = all.into_iter().filter(|(key, _)| after.is_none_or(|after| *key > after)).collect();
        let is_end = left.len() <= usize::from(most);
        let line = |(key, (version, large)): (u8, Versions)| [key.to_string(), version.to_string(), large.to_string()];
        let layout = Arc::new(layout(&["id", "v", "large"]));
        let rows = rows(left.into_iter().take(most.into()).map(line));
        self.window.keep(Chunk::new(0, layout, rows, is_end, Lsn(self.log.len() as u64)).unwrap());
        self.close();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_no_key_goes_back_and_in_the_end_all_is_there(steps in prop::collection::vec(step(), 0..60)) {
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Write { key, gone, partial, seen } => model.write(key, gone, partial, seen),
                Step::See => model.log.iter_mut().for_each(|committed| committed.is_seen = true),
                Step::Read(count) => (0..count).for_each(|_| model.read()),
                Step::Walk(rows) => model.walk(rows),
            }
        }
        model.log.iter_mut().for_each(|committed| committed.is_seen = true);
        while model.read < model.log.len() || !model.walked {
            model.read();
            model.walk(3);
        }
        prop_assert_eq!(&model.fold, &model.rows(false));
        let keys: HashSet<_> = model.fold.keys().collect();
        prop_assert_eq!(keys.len(), model.fold.len());
    }
}
