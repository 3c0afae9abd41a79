//! What is known of collections: as their journals have them, and as they will be once a capture's plan is in its journal.

use std::collections::BTreeSet;

use longshore_proto::Error;
use longshore_proto::name::StateKey;
use longshore_proto::session::Collection;

use crate::journal::Known;

use super::prepare::{Collections, Planned, union};

/// The collections a journal knows, each with the newest schema of all bindings that write it.
///
/// # Errors
/// `config` when a schema is none.
pub fn collections(known: &Known) -> Result<Collections, Error> {
    merged(rows(known).map(|(_, collection)| collection))
}

/// The collections a journal will know when this plan of its capture, with these durable names, is in it.
///
/// # Errors
/// `config` when a schema is none.
pub fn after(known: &Known, planned: &[Planned], state_keys: &[StateKey]) -> Result<Collections, Error> {
    let own: BTreeSet<&StateKey> = state_keys.iter().collect();
    let others = rows(known).filter(|(key, _)| !own.contains(key)).map(|(_, collection)| collection);
    let mut will = merged(others.chain(planned.iter().map(|one| one.collection.clone())))?;
    // What nothing writes any more is read by nobody.
    let written: BTreeSet<&str> = planned.iter().map(|one| one.collection.name.as_str()).collect();
    will.retain(|name, _| written.contains(name.as_str()));
    Ok(will)
}

fn rows(known: &Known) -> impl Iterator<Item = (StateKey, Collection)> {
    known.bindings.iter().filter_map(|(local, row)| {
        let schema = known.schemas.get(&local)?;
        let collection = Collection {
            name: row.collection.clone(),
            key: row.key.clone(),
            schema_json: schema.schema_json.clone(),
            schema_version: schema.version,
        };
        Some((row.state_key.clone(), collection))
    })
}

/// Several bindings, or generations of one, may write a collection: its schema admits what any of them may have written.
fn merged(all: impl Iterator<Item = Collection>) -> Result<Collections, Error> {
    let mut collections = Collections::new();
    for collection in all {
        let merged = match collections.remove(&collection.name) {
            Some(other) => Collection {
                // What the newer one says of its fields counts: how they are reduced, say.
                schema_json: union(&collection.schema_json, &other.schema_json)?,
                schema_version: other.schema_version + collection.schema_version,
                ..collection
            },
            None => collection,
        };
        collections.insert(merged.name.clone(), merged);
    }
    Ok(collections)
}
