//! Apply: makes the tables fit the bindings, in one transaction that begins by comparing the fence.

use longshore_sdk::materialize::{ApplyRequest, Bound, Fence, Proposed, StateKey};
use longshore_sdk::{Error, Result};
use rusqlite::{Connection, TransactionBehavior};

use crate::config::{Config, Resource};
use crate::database::failed;
use crate::identifier::folded;
use crate::meta::{self, Registered};
use crate::shape::Shape;
use crate::table::{self, ExistingColumn};
use crate::{aside, columns};

/// Returns what was done, or with `dry_run` would be: then all of it is rolled back.
pub(crate) fn apply(connection: &mut Connection, request: &ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
    let doing = |error| failed("applying", error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(doing)?;
    meta::create(&transaction)?;
    let mut actions = own(&transaction, request)?;
    if request.remove && request.bindings.is_empty() {
        for table in meta::tables_of(&transaction, &request.owner.task)? {
            aside::give_up(&transaction, &table)?;
        }
        meta::remove_task(&transaction, &request.owner.task)?;
        actions.push(format!("forget the checkpoint of task {}; its tables stay", request.owner.task));
    }
    for (index, binding) in request.bindings.iter().enumerate() {
        actions.extend(fit(&transaction, request, binding).map_err(|error| error.at_binding(index))?);
    }
    match request.dry_run {
        true => transaction.rollback().map_err(doing)?,
        false => transaction.commit().map_err(doing)?,
    }
    Ok(actions)
}

/// Compares the fence, or writes it anew where the user says so.
fn own(connection: &Connection, request: &ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
    let owner = &request.owner;
    let Some(mut recorded) = meta::recorded(connection, &owner.task)? else { return Ok(Vec::new()) };
    let foreign = recorded.installation != owner.installation;
    if foreign && (request.take_over || request.all_fresh()) {
        // Just below the epoch that opens next.
        recorded = meta::beginning(owner.installation.clone(), owner.epoch.saturating_sub(1));
    } else {
        Fence::new(owner.clone()).may_alter(&recorded)?;
        if !request.take_over {
            return Ok(Vec::new());
        }
        recorded.checkpoint = Default::default();
    }
    meta::write_recorded(connection, &owner.task, &recorded)?;
    Ok(vec![format!(
        "write installation {} into the fence of task {}, at the beginning",
        owner.installation, owner.task
    )])
}

/// Makes one table fit its binding.
fn fit(
    connection: &Connection,
    request: &ApplyRequest<Config, Resource>,
    binding: &Bound<Resource>,
) -> Result<Vec<String>> {
    let name = binding.resource.table.as_str();
    let shape = Shape::of(&binding.collection, &binding.selection, binding.delta_updates)?;
    let ours = Registered {
        task: request.owner.task.clone(),
        state_key: binding.state_key.clone(),
        collection: binding.collection.name.clone(),
        key: binding.collection.key.clone(),
        delta: binding.delta_updates,
    };
    let registered = meta::registered(connection, name)?;
    let mut existing = table::columns(connection, name)?;
    let mut actions = Vec::new();
    table::refuse_taken(connection, name)?;
    if existing.is_some() {
        let has_rows = table::has_rows(connection, name)?;
        let again = request.is_fresh(binding)
            || !has_rows && !continues(registered.as_ref(), &ours, &shape, existing.as_deref());
        if again {
            table::drop_table(connection, name)?;
            actions.push(format!("drop table {name:?}"));
            existing = None;
        } else {
            may_keep(name, registered.as_ref(), &ours, has_rows, request.take_over)?;
        }
    }
    let is_same_life = registered.as_ref().is_some_and(|old| old.task == ours.task && old.state_key == ours.state_key);
    if existing.is_none() || !is_same_life || request.take_over {
        aside::give_up(connection, name)?;
    } else if let Some(aside) = aside::find(connection, name)? {
        let mut existing = table::columns(connection, &aside)?.unwrap_or_default();
        let known = columns::read(connection, name)?;
        columns::rename(connection, &aside, &shape, known, &mut existing, &mut actions)?;
        actions.extend(table::grow(connection, &aside, &shape, &existing)?);
    }
    match existing {
        None => {
            table::create(connection, name, &shape)?;
            actions.push(format!("create table {name:?} with {} columns", shape.columns.len()));
            columns::write(connection, name, &shape, Vec::new())?;
        }
        Some(mut existing) => {
            let known = columns::read(connection, name)?;
            let known = columns::rename(connection, name, &shape, known, &mut existing, &mut actions)?;
            has_its_key(name, &shape, &existing)?;
            actions.extend(table::grow(connection, name, &shape, &existing)?);
            columns::write(connection, name, &shape, known)?;
        }
    }
    if registered.as_ref() != Some(&ours) {
        meta::register(connection, name, &ours)?;
    }
    Ok(actions)
}

/// Rows are told apart by the primary key, which no column joins later.
fn has_its_key(table: &str, shape: &Shape, existing: &[ExistingColumn]) -> Result<()> {
    let is_there = |name: &str| existing.iter().any(|column| folded(&column.name) == folded(name));
    let missing = shape.key.iter().map(|&place| &shape.columns[place].name).find(|name| !is_there(name));
    let Some(name) = missing.filter(|_| !shape.delta) else { return Ok(()) };
    let message = format!("table {table:?}: expected the column {name:?}, a part of the key, got none");
    Err(Error::config("sqlite.table.key", message)
        .at_pointer("/table")
        .suggest("put the table back as it was, or drop its rows with `run --fresh`"))
}

/// The table is as this binding would make it but for columns that grow; what is not and is empty is made again.
fn continues(
    registered: Option<&Registered>,
    ours: &Registered,
    shape: &Shape,
    existing: Option<&[ExistingColumn]>,
) -> bool {
    let has = |name: &str| {
        existing
            .into_iter()
            .flatten()
            .any(|column| folded(&column.name) == folded(name) && column.column_type.is_some())
    };
    let keys_are_there = shape.key.iter().all(|&place| has(&shape.columns[place].name));
    registered.is_some_and(|old| old.task == ours.task && old.key == ours.key && old.delta == ours.delta)
        && keys_are_there
}

/// What Apply would refuse unless the binding starts over; that it may be an older life of the binding only Apply can know.
pub(crate) fn in_the_way(
    connection: &Connection,
    has_meta: bool,
    task: &str,
    binding: &Proposed<Resource>,
    shape: &Shape,
) -> Result<Option<String>> {
    let name = binding.resource.table.as_str();
    let Some(existing) = table::columns(connection, name)? else { return Ok(None) };
    let registered = if has_meta { meta::registered(connection, name)? } else { None };
    let ours = Registered {
        task: task.to_owned(),
        state_key: StateKey::new(&[name.to_owned()], 0),
        collection: binding.collection.name.clone(),
        key: binding.collection.key.clone(),
        delta: binding.delta_updates,
    };
    if !table::has_rows(connection, name)? && !continues(registered.as_ref(), &ours, shape, Some(&existing)) {
        return Ok(None);
    }
    if let Some(Misfit { expected, got, .. }) = misfit(registered.as_ref(), &ours) {
        return Ok(Some(format!("table {name:?}: expected {expected}, got {got}")));
    }
    let altered = existing.iter().find(|column| column.column_type.is_none());
    Ok(altered.map(|column| table::foreign_type(name, &column.name).message.clone()))
}

/// A table that a binding cannot go on with.
struct Misfit {
    code: &'static str,
    expected: String,
    got: String,
}

fn misfit(registered: Option<&Registered>, ours: &Registered) -> Option<Misfit> {
    let misfit = |code, expected: &str, got: String| Some(Misfit { code, expected: expected.to_owned(), got });
    let Some(old) = registered else {
        return misfit(
            "sqlite.table.foreign",
            "a table that this connector made, or an empty one",
            "one with rows of somebody else".to_owned(),
        );
    };
    if old.task != ours.task {
        return misfit(
            "sqlite.table.task",
            &format!("a table of task {}", ours.task),
            format!("one that task {} writes", old.task),
        );
    }
    if old.delta != ours.delta {
        let what = |delta| if delta { "a row for each document (delta)" } else { "a row for each key (standard)" };
        return misfit("sqlite.table.delta", what(ours.delta), what(old.delta).to_owned());
    }
    if old.key != ours.key {
        return misfit("sqlite.table.key", &format!("the key {}", ours.key.join(", ")), old.key.join(", "));
    }
    None
}

/// Whether the rows that are there may stay and grow. `--fresh` is the way out of everything else.
fn may_keep(
    table: &str,
    registered: Option<&Registered>,
    ours: &Registered,
    has_rows: bool,
    take_over: bool,
) -> Result<()> {
    let fresh = format!("drop its rows with `run --fresh {}/{}`, or name another table", ours.task, ours.collection);
    let refused = |code: &str, expected: &str, got: String| {
        Err(Error::config(code, format!("table {table:?}: expected {expected}, got {got}"))
            .at_pointer("/table")
            .suggest(fresh.clone()))
    };
    let old = match (misfit(registered, ours), registered) {
        (Some(misfit), _) => return refused(misfit.code, &misfit.expected, misfit.got),
        (None, Some(old)) => old,
        (None, None) => return Ok(()),
    };
    let (before, now) = (old.state_key.generation(), ours.state_key.generation());
    if now < before && !take_over {
        return refused(
            "sqlite.table.newer",
            &format!("generation {now} or an older one"),
            format!("generation {before}"),
        );
    }
    if ours.delta && has_rows && (now > before || take_over) {
        let expected = format!("no rows before generation {now}, as a delta binding would add all documents again");
        return refused("sqlite.table.older", &expected, format!("rows of generation {before}"));
    }
    Ok(())
}
