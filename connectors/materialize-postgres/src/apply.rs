//! Apply: makes the tables fit the bindings, in one transaction that begins by comparing the fence.

use longshore_postgres::Client;
use longshore_sdk::materialize::{ApplyRequest, Bound, Fence, Proposed, StateKey};
use longshore_sdk::{Error, Result};

use crate::config::{Config, Resource};
use crate::meta::{self, Registered};
use crate::shape::Shape;
use crate::table::{self, ExistingColumn, TableName};
use crate::{aside, columns, deleted};

/// Returns what was done, or with `dry_run` would be: then all of it is rolled back.
pub(crate) async fn apply(client: &Client, request: &ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
    client.run("applying", meta::BEGIN).await?;
    meta::create(client).await?;
    let mut actions = own(client, request).await?;
    if request.remove && request.bindings.is_empty() {
        for table in meta::tables_of(client, &request.owner.task).await? {
            aside::give_up(client, &table, &mut actions).await?;
        }
        meta::remove_task(client, &request.owner.task).await?;
        actions.push(format!("forget the checkpoint of task {}; its tables stay", request.owner.task));
    }
    for (index, binding) in request.bindings.iter().enumerate() {
        fit(client, request, binding, &mut actions).await.map_err(|error| error.at_binding(index))?;
    }
    client.run("applying", if request.dry_run { "ROLLBACK" } else { "COMMIT" }).await?;
    Ok(actions)
}

/// Compares the fence, or writes it anew where the user says so.
async fn own(client: &Client, request: &ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
    let owner = &request.owner;
    let Some(mut recorded) = meta::recorded(client, &owner.task, true).await? else { return Ok(Vec::new()) };
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
    meta::write_recorded(client, &owner.task, &recorded).await?;
    Ok(vec![format!(
        "write installation {} into the fence of task {}, at the beginning",
        owner.installation, owner.task
    )])
}

/// Makes one table fit its binding.
async fn fit(
    client: &Client,
    request: &ApplyRequest<Config, Resource>,
    binding: &Bound<Resource>,
    actions: &mut Vec<String>,
) -> Result<()> {
    let name = TableName::of(&binding.resource);
    let shape = Shape::of(&binding.collection, &binding.selection, binding.delta_updates, binding.resource.deletes)?;
    let ours = Registered {
        task: request.owner.task.clone(),
        state_key: binding.state_key.clone(),
        collection: binding.collection.name.clone(),
        key: binding.collection.key.clone(),
        delta: binding.delta_updates,
    };
    let registered = meta::registered(client, &name).await?;
    table::create_schema(client, &name.schema, actions).await?;
    let mut existing = table::columns(client, &name).await?;
    if let Some(columns) = &existing {
        let has_rows = table::has_rows(client, &name).await?;
        // An empty table of ours that was made for something else is made again; one of somebody else is used as it is, or not at all.
        let is_left_over = registered.is_some() && !has_rows && !continues(registered.as_ref(), &ours, &shape, columns);
        if request.is_fresh(binding) || is_left_over {
            table::drop_table(client, &name, actions).await?;
            existing = None;
        } else if registered.is_none() && !has_rows {
            if let Some(fault) = table::misfit_of_foreign(client, &name, &shape, columns).await? {
                return Err(foreign_misfit(&name, &fault));
            }
            actions.push(format!("use the empty table {name} as it is"));
        } else {
            may_keep(&name, registered.as_ref(), &ours, has_rows, request.take_over)?;
        }
    }
    let is_same_life = registered.as_ref().is_some_and(|old| old.task == ours.task && old.state_key == ours.state_key);
    if existing.is_none() || !is_same_life || request.take_over {
        aside::give_up(client, &name, actions).await?;
    } else if let Some(aside) = aside::find(client, &name).await? {
        let mut existing = table::columns(client, &aside).await?.unwrap_or_default();
        columns::rename(client, (&name, &aside), &shape, &mut existing, actions).await?;
        table::grow(client, &aside, &shape, &existing, actions).await?;
    }
    let known = match &mut existing {
        None => {
            table::create(client, &name, &shape, actions).await?;
            deleted::made(&shape)
        }
        Some(existing) => {
            deleted::give_up(client, &name, &shape, existing, actions).await?;
            let mut known = columns::rename(client, (&name, &name), &shape, existing, actions).await?;
            has_its_key(client, &name, &shape, existing).await?;
            table::grow(client, &name, &shape, existing, actions).await?;
            deleted::ensure(client, &name, &shape, (&mut known, existing), actions).await?;
            known
        }
    };
    columns::write(client, &name, &shape, &known).await?;
    if registered.as_ref() != Some(&ours) {
        meta::register(client, &name, &ours).await?;
    }
    Ok(())
}

/// Rows are told apart by a unique index on the key, which no column joins later.
async fn has_its_key(client: &Client, name: &TableName, shape: &Shape, existing: &[ExistingColumn]) -> Result<()> {
    if shape.delta {
        return Ok(());
    }
    let is_there = |name: &&str| existing.iter().any(|column| column.name == *name);
    let fault = match shape.key_names().into_iter().find(|name| !is_there(name)) {
        Some(missing) => format!("the column {missing:?}, a part of the key, got none"),
        None if !table::has_key(client, name, shape).await? => {
            format!(
                "a primary key or unique constraint on exactly the key ({}), got none",
                shape.key_names().join(", ")
            )
        }
        None => return Ok(()),
    };
    Err(Error::config("postgres.table.key", format!("table {name}: expected {fault}"))
        .at_pointer("/table")
        .suggest("put the table back as it was, or drop its rows with `run --fresh`"))
}

/// The table is as this binding would make it but for columns that grow.
fn continues(registered: Option<&Registered>, ours: &Registered, shape: &Shape, existing: &[ExistingColumn]) -> bool {
    let has = |name: &str| existing.iter().any(|column| column.name == name && column.sql_type.is_some());
    registered.is_some_and(|old| old.task == ours.task && old.key == ours.key && old.delta == ours.delta)
        && shape.key_names().into_iter().all(has)
}

/// What Apply would refuse unless the binding starts over; that it may be an older life of the binding only Apply can know.
pub(crate) async fn in_the_way(
    client: &Client,
    has_meta: bool,
    task: &str,
    binding: &Proposed<Resource>,
    shape: &Shape,
) -> Result<Option<String>> {
    let name = TableName::of(&binding.resource);
    let Some(existing) = table::columns(client, &name).await? else { return Ok(None) };
    let registered = if has_meta { meta::registered(client, &name).await? } else { None };
    let ours = Registered {
        task: task.to_owned(),
        state_key: StateKey::new(&binding.resource_path, 0),
        collection: binding.collection.name.clone(),
        key: binding.collection.key.clone(),
        delta: binding.delta_updates,
    };
    let has_rows = table::has_rows(client, &name).await?;
    if !has_rows && registered.is_none() {
        let fault = table::misfit_of_foreign(client, &name, shape, &existing).await?;
        return Ok(fault.map(|fault| foreign_misfit(&name, &fault).message.clone()));
    }
    if !has_rows && !continues(registered.as_ref(), &ours, shape, &existing) {
        return Ok(None);
    }
    if let Some(Misfit { expected, got, .. }) = misfit(registered.as_ref(), &ours) {
        return Ok(Some(format!("table {name}: expected {expected}, got {got}")));
    }
    let is_ours = |column: &&ExistingColumn| shape.columns.iter().any(|one| one.name == column.name);
    let altered = existing.iter().filter(is_ours).find(|column| column.sql_type.is_none());
    Ok(altered.map(|column| table::foreign_type(&name, &column.name).message.clone()))
}

fn foreign_misfit(name: &TableName, fault: &str) -> Error {
    let message = format!("table {name}, empty and made by somebody else: expected {fault}");
    Error::config("postgres.table.foreign", message)
        .at_pointer("/table")
        .suggest("alter the table so that it fits, drop it and have it made, or name another")
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
            "postgres.table.foreign",
            "a table that this connector made, or an empty one",
            "one with rows of somebody else".to_owned(),
        );
    };
    if old.task != ours.task {
        return misfit(
            "postgres.table.task",
            &format!("a table of task {}", ours.task),
            format!("one that task {} writes", old.task),
        );
    }
    if old.delta != ours.delta {
        let what = |delta| if delta { "a row for each document (delta)" } else { "a row for each key (standard)" };
        return misfit("postgres.table.delta", what(ours.delta), what(old.delta).to_owned());
    }
    if old.key != ours.key {
        return misfit("postgres.table.key", &format!("the key {}", ours.key.join(", ")), old.key.join(", "));
    }
    None
}

/// Whether the rows that are there may stay and grow. `--fresh` is the way out of everything else.
fn may_keep(
    table: &TableName,
    registered: Option<&Registered>,
    ours: &Registered,
    has_rows: bool,
    take_over: bool,
) -> Result<()> {
    let fresh = format!("drop its rows with `run --fresh {}/{}`, or name another table", ours.task, ours.collection);
    let refused = |code: &str, expected: &str, got: String| {
        Err(Error::config(code, format!("table {table}: expected {expected}, got {got}"))
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
            "postgres.table.newer",
            &format!("generation {now} or an older one"),
            format!("generation {before}"),
        );
    }
    if ours.delta && has_rows && (now > before || take_over) {
        let expected = format!("no rows before generation {now}, as a delta binding would add all documents again");
        return refused("postgres.table.older", &expected, format!("rows of generation {before}"));
    }
    Ok(())
}
