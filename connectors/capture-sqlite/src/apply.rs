//! Apply: makes the log and the triggers, in one transaction. Repeated, it finds them there; what is there and not as it was left is a doubt
//! where rows were captured already, and made anew where none were.

use longshore_sdk::capture::{Applied, Apply};
use longshore_sdk::{Error, Result};
use rusqlite::{Connection, TransactionBehavior};

use crate::config::{Config, Resource, Settings};
use crate::database::{self, failed};
use crate::faults::Whose;
use crate::log::{self, About, Names};
use crate::plan::Plan;
use crate::state::{self, Part, TaskState};
use crate::triggers::{self, Standing, Triggers};
use crate::watched::{Bound, Looked};

/// Prepares the database, or with `remove` leaves it as it was before.
pub(crate) fn apply(apply: &Apply<Config, Resource>) -> Result<Applied> {
    let settings = Settings::new(&apply.config)?;
    let mut connection = database::open(&settings)?;
    let doing = |error| failed("applying", error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(doing)?;
    let names = Names::of(apply.owner.installation.as_str(), &apply.owner.task);
    let actions = match apply.remove && apply.bindings.is_empty() {
        true => remove(&transaction, &names)?,
        false => prepare(&transaction, &names, apply)?,
    };
    match apply.dry_run {
        true => transaction.rollback().map_err(doing)?,
        false => transaction.commit().map_err(doing)?,
    }
    Ok(Applied { actions, ..Applied::default() })
}

fn remove(connection: &Connection, names: &Names) -> Result<Vec<String>> {
    let tables = triggers::drop_others(connection, names, &[])?;
    let mut actions: Vec<String> = tables.iter().map(|table| format!("drop the triggers on {table:?}")).collect();
    if log::about(connection, names)?.is_some() {
        actions.push(format!("drop the log {:?}", names.log));
    }
    log::remove(connection, names)?;
    Ok(actions)
}

fn prepare(connection: &Connection, names: &Names, apply: &Apply<Config, Resource>) -> Result<Vec<String>> {
    let mut actions = Vec::new();
    let mut bounds: Vec<(Bound, Option<Part>)> = Vec::new();
    for (index, binding) in apply.bindings.iter().enumerate() {
        let part = apply.state.part(&binding.state_key).map(|json| state::read::<Part>(json)).transpose()?;
        bounds.push((Bound::of(index, binding), part));
    }
    let remembered = match bounds.iter().any(|(_, part)| part.is_some()) {
        true => apply.state.task_json().map(|json| state::read::<TaskState>(json)).transpose()?,
        false => None,
    };
    let whose = Whose { task: apply.owner.task.clone() };
    let about = find_log(connection, names, &whose, apply, remembered.as_ref(), &mut actions)?;
    let after = remembered.map_or(0, |state| state.cursor.seq);
    let widest = bounds.iter().map(|(bound, _)| bound.key.len()).max().unwrap_or(0);
    log::fit_key(connection, names, widest)?;
    for (bound, part) in &bounds {
        let fitted = match part {
            Some(part) => keep(connection, names, &whose, &about, bound, part, after),
            None => begin(connection, names, bound),
        };
        let at = |error: Error| if error.pointer == "/path" { error } else { error.at_binding(bound.index) };
        actions.extend(fitted.map_err(at)?);
    }
    let tables: Vec<&str> = bounds.iter().map(|(bound, _)| bound.resource.table.as_str()).collect();
    let dropped = triggers::drop_others(connection, names, &tables)?;
    actions.extend(dropped.iter().map(|table| format!("drop the triggers on {table:?}")));
    Ok(actions)
}

/// The log that the state remembers; where nothing is remembered, the one that is there, or a new one.
fn find_log(
    connection: &Connection,
    names: &Names,
    whose: &Whose,
    apply: &Apply<Config, Resource>,
    remembered: Option<&TaskState>,
    actions: &mut Vec<String>,
) -> Result<About> {
    let about = match remembered {
        Some(state) => Some(log::check(connection, names, whose, state)?),
        None => log::about(connection, names)?.filter(|_| log::end(connection, names).is_ok_and(|end| end.is_some())),
    };
    let about = match about {
        Some(about) => about,
        None => {
            triggers::drop_others(connection, names, &[])?;
            log::create(connection, names, (apply.owner.installation.as_str(), &apply.owner.task))?;
            actions.push(format!("make the log {:?}", names.log));
            let made = log::about(connection, names)?;
            made.ok_or_else(|| {
                Error::internal("sqlite.log", "capture-sqlite made a log: expected to find it, got none")
            })?
        }
    };
    if !about.has_moved {
        return Ok(about);
    }
    log::count_renumbering(connection, names)?;
    Ok(About { renumbered: about.renumbered + 1, has_moved: false, ..about })
}

/// A table that was begun: its triggers must be as they were.
fn keep(
    connection: &Connection,
    names: &Names,
    whose: &Whose,
    about: &About,
    bound: &Bound,
    part: &Part,
    after: i64,
) -> Result<Option<String>> {
    match bound.look(connection, names, whose, about, Some(part), after)? {
        Looked::Fit(_) => Ok(None),
        Looked::Late(plan, watch) => {
            triggers::drop_from(connection, names, &plan.table.name)?;
            Triggers::of(names, watch, &plan).create(connection)?;
            Ok(Some(format!("make the triggers on {:?} again, as something in it became unique", plan.table.name)))
        }
    }
}

/// A table that was not begun yet.
fn begin(connection: &Connection, names: &Names, bound: &Bound) -> Result<Option<String>> {
    let plan = Plan::of(connection, &bound.resource, &bound.key)?;
    if let Standing::Whole { .. } = triggers::standing(connection, names, &plan)? {
        return Ok(None);
    }
    triggers::drop_from(connection, names, &plan.table.name)?;
    let watch = log::next_watch(connection, names)?;
    Triggers::of(names, watch, &plan).create(connection)?;
    Ok(Some(format!("make triggers on {:?}", plan.table.name)))
}
