//! Apply: makes the publication and the slot, in this order, as a slot knows only publications that are older. Repeated, it finds them there.
//!
//! A slot that a state counts on is never made again: what lies between would be gone, and nobody would know.

use longshore_postgres::Client;
use longshore_sdk::capture::{Applied, Apply};
use longshore_sdk::{Error, Result};

use crate::config::{Config, Resource, Settings};
use crate::faults;
use crate::server::{Publication, Slot};
use crate::state::{self, Part, TaskState};
use crate::table::Table;
use crate::types::Types;
use crate::validate::server_faults;
use crate::watched;

/// Prepares the server, or with `remove` leaves it as it was before.
pub(crate) async fn apply(apply: &Apply<Config, Resource>) -> Result<Applied> {
    let settings = Settings::new(&apply.config, &apply.owner.task)?;
    let client = Client::connect(&settings.endpoint).await?;
    let actions = match apply.remove && apply.bindings.is_empty() {
        true => remove(&client, &settings, apply.dry_run).await?,
        false => prepare(&client, &settings, apply).await?,
    };
    Ok(Applied { actions, ..Applied::default() })
}

async fn remove(client: &Client, settings: &Settings, dry_run: bool) -> Result<Vec<String>> {
    let mut actions = Vec::new();
    let Settings { slot, publication, .. } = settings;
    if let Some(found) = Slot::find(client, slot).await? {
        found.check_ours(slot)?;
        actions.push(format!("drop replication slot {slot}"));
        if !dry_run {
            Slot::drop_it(client, slot).await?;
        }
    }
    if Publication::find(client, publication).await?.is_some() {
        actions.push(format!("drop publication {publication}"));
        if !dry_run {
            let drop = format!("DROP PUBLICATION {}", longshore_postgres::quoted(publication));
            client.run("dropping the publication", &drop).await?;
        }
    }
    Ok(actions)
}

async fn prepare(client: &Client, settings: &Settings, apply: &Apply<Config, Resource>) -> Result<Vec<String>> {
    if let Some(fault) = server_faults(client).await?.into_iter().next() {
        return Err(fault);
    }
    let mut types = Types::default();
    let mut tables = Vec::new();
    let mut has_begun = false;
    for (index, binding) in apply.bindings.iter().enumerate() {
        let at = |error: Error| error.at_binding(index);
        let table = Table::find(client, &mut types, &binding.resource).await.map_err(at)?;
        // What only this can tell the user must be told before it reaches the publication: there it would refuse their own writes.
        table.check_for(&binding.collection.key).map_err(at)?;
        tables.push(table);
        has_begun |= apply.state.part(&binding.state_key).map(|json| state::read::<Part>(json)).transpose()?.is_some();
    }
    watched::check_apart(tables.iter())?;
    let remembered = match has_begun {
        true => apply.state.task_json().map(|json| state::read::<TaskState>(json)).transpose()?,
        false => None,
    };
    let mut actions = Vec::new();
    let publication = Publication::find(client, &settings.publication).await?;
    if !publication.as_ref().is_some_and(|publication| publication.is_of(&tables)) {
        let statements = Publication::statements(publication.as_ref(), &settings.publication, &tables);
        let verb = if publication.is_some() { "alter" } else { "create" };
        actions.push(format!("{verb} publication {} for {} tables", settings.publication, tables.len()));
        if !apply.dry_run {
            let all = format!("BEGIN; {}; COMMIT", statements.join("; "));
            client.run("preparing the publication", &all).await.map_err(|error| no_right(error, &statements))?;
        }
    }
    actions.extend(slot(client, settings, apply, remembered.as_ref()).await?);
    Ok(actions)
}

async fn slot(
    client: &Client,
    settings: &Settings,
    apply: &Apply<Config, Resource>,
    remembered: Option<&TaskState>,
) -> Result<Vec<String>> {
    let name = &settings.slot;
    let task = &apply.owner.task;
    let found = Slot::find(client, name).await?;
    if let Some(found) = &found {
        found.check_ours(name)?;
    }
    let mut actions = Vec::new();
    match (&found, remembered) {
        (Some(found), Some(_)) if found.wal_status == "lost" => return Err(lost(task, name)),
        (Some(found), None) if found.wal_status == "lost" => {
            actions.push(format!("drop replication slot {name}, whose log is gone"));
            if !apply.dry_run {
                Slot::drop_it(client, name).await?;
            }
        }
        (Some(_), _) => return Ok(actions),
        (None, Some(_)) => return Err(missing(task, name)),
        (None, None) => {}
    }
    actions.push(format!("create replication slot {name}"));
    if !apply.dry_run {
        Slot::create(client, name).await?;
    }
    Ok(actions)
}

pub(crate) fn missing(task: &str, slot: &str) -> Error {
    faults::gone(task, "postgres.slot.missing", &format!("replication slot {slot}"), "none of this name")
}

pub(crate) fn lost(task: &str, slot: &str) -> Error {
    let got = "one whose log was removed, as it fell behind by more than `max_slot_wal_keep_size`";
    faults::gone(task, "postgres.slot.lost", &format!("replication slot {slot} with all of its log"), got)
}

/// Who owns the tables can do it for us.
fn no_right(error: Error, statements: &[String]) -> Error {
    match error.code.as_str() {
        "postgres.permission" => error.suggest(format!(
            "let the owner of the tables, or a superuser, run: {}; it is left alone when it is right",
            statements.join("; ")
        )),
        _ => error,
    }
}
