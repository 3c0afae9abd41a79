//! What a row message of the log comes to, in documents: a pure module.

use longshore_sdk::{Error, Result};

use crate::layout::{Layout, Op};
use crate::pgoutput::Old;
use crate::rows::{Cell, Tuple};

/// A document to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) op: Op,
    /// Has its key.
    pub(crate) row: Tuple,
    /// Only the key of the row is known.
    pub(crate) keys_only: bool,
    /// The row had another key before, under which its large values were captured.
    pub(crate) has_moved: bool,
}

pub(crate) fn inserted(layout: &Layout, new: Tuple) -> Result<Change> {
    check(layout, &new)?;
    layout.check_key(new.row())?;
    Ok(Change { op: Op::Create, row: new, keys_only: false, has_moved: false })
}

pub(crate) fn deleted(layout: &Layout, old: Old) -> Result<Change> {
    check(layout, old.tuple())?;
    layout.check_key(old.tuple().row())?;
    Ok(match old {
        Old::Key(row) => Change { op: Op::Delete, row, keys_only: true, has_moved: false },
        Old::Row(row) => Change { op: Op::Delete, row, keys_only: false, has_moved: false },
    })
}

/// One document, or two where the key changed: the old one is gone, the new one is there.
pub(crate) fn updated(layout: &Layout, old: Option<Old>, mut new: Tuple) -> Result<(Option<Change>, Change)> {
    check(layout, &new)?;
    let Some(old) = old else {
        layout.check_key(new.row())?;
        return Ok((None, Change { op: Op::Update, row: new, keys_only: false, has_moved: false }));
    };
    check(layout, old.tuple())?;
    for place in new.unchanged() {
        let is_known = match &old {
            Old::Row(_) => true,
            Old::Key(_) => layout.key.contains(&place),
        };
        // A large value that did not change is not NULL: what says so is a row that came without it, of a partition whose identity is not full.
        if let Some(cell) = old.tuple().row().get(place).filter(|cell| is_known && *cell != Cell::Null) {
            new.set(place, cell);
        }
    }
    layout.check_key(new.row())?;
    layout.check_key(old.tuple().row())?;
    if layout.is_same_key(old.tuple().row(), new.row()) {
        return Ok((None, Change { op: Op::Update, row: new, keys_only: false, has_moved: false }));
    }
    let created = Change { op: Op::Create, row: new, keys_only: false, has_moved: true };
    Ok((Some(deleted(layout, old)?), created))
}

fn check(layout: &Layout, row: &Tuple) -> Result<()> {
    if row.row().len() == layout.columns.len() {
        return Ok(());
    }
    let message = format!(
        "capture-postgres reads the stream of changes: expected {} values in a row, got {}",
        layout.columns.len(),
        row.row().len()
    );
    Err(Error::internal("postgres.stream.row", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;
    use crate::value::Form;

    fn layout() -> Layout {
        let ty = || Type { form: Form::Text, format: None };
        Layout::for_tests(["v", "id"].into_iter().map(|name| (name, ty(), true)), &["id"])
    }

    fn row(cells: [&str; 2]) -> Tuple {
        let cells = cells.into_iter().map(|text| match text {
            "~" => Cell::Null,
            "u" => Cell::Unchanged,
            text => Cell::Text(text),
        });
        cells.collect()
    }

    type Said<'a> = (Op, [&'a str; 2], bool);

    #[track_caller]
    fn check_update(old: Option<Old>, new: [&str; 2], first: Option<Said<'_>>, second: Said<'_>) {
        let (gone, there) = updated(&layout(), old, row(new)).unwrap();
        let wanted = |(op, cells, keys_only): Said<'_>| (op, row(cells), keys_only);
        assert_eq!(gone.map(|change| (change.op, change.row, change.keys_only)), first.map(wanted));
        assert_eq!((there.op, there.row, there.keys_only), wanted(second));
        assert_eq!(there.has_moved, first.is_some());
    }

    #[test]
    fn an_update_is_one_document_or_a_deletion_and_a_creation() {
        check_update(None, ["u", "1"], None, (Op::Update, ["u", "1"], false));
        check_update(Some(Old::Key(row(["~", "1"]))), ["u", "u"], None, (Op::Update, ["u", "1"], false));
        check_update(Some(Old::Row(row(["a", "1"]))), ["u", "1"], None, (Op::Update, ["a", "1"], false));
        let gone = Some((Op::Delete, ["~", "1"], true));
        check_update(Some(Old::Key(row(["~", "1"]))), ["u", "2"], gone, (Op::Create, ["u", "2"], false));
        let gone = Some((Op::Delete, ["a", "1"], false));
        check_update(Some(Old::Row(row(["a", "1"]))), ["u", "2"], gone, (Op::Create, ["a", "2"], false));
        let gone = Some((Op::Delete, ["~", "1"], false));
        check_update(Some(Old::Row(row(["~", "1"]))), ["u", "2"], gone, (Op::Create, ["u", "2"], false));
    }

    #[test]
    fn a_row_without_its_key_or_of_another_width_is_refused() {
        assert!(inserted(&layout(), row(["a", "~"])).is_err());
        assert!(deleted(&layout(), Old::Key([Cell::Null].into_iter().collect())).is_err());
        assert!(updated(&layout(), None, row(["a", "u"])).is_err());
    }
}
