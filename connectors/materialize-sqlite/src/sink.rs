//! The materialization as the SDK sees it.

use std::collections::HashMap;
use std::path::Path;

use longshore_sdk::materialize::{
    Accepts, ApplyRequest, ClosePolicy, Constraint, Fence, FieldConstraint, Finding, Materialize, MaterializeSpec,
    Modes, OpenRequest, Opened, Proposed, Transactional, ValidateRequest, Validation,
};
use longshore_sdk::verify::{Tally, Verify};
use longshore_sdk::{Error, Result, blocking, finding, place};
use rusqlite::{Connection, TransactionBehavior};

use crate::apply::{apply, in_the_way};
use crate::config::{Config, Resource};
use crate::database::{self, failed};
use crate::identifier::{NAME_MAX_BYTES, RESERVED, fault_in_table, folded};
use crate::load::loads;
use crate::meta;
use crate::session::Session;
use crate::shape::Shape;
use crate::table;
use crate::verify::verify;

/// A commit is one sync of a file: rows need not wait for each other longer than this.
const CLOSE_POLICY: ClosePolicy = ClosePolicy { least_bytes: None, greatest_age_ms: Some(100), when_idle: false };

/// Tables of a SQLite database.
#[derive(Debug)]
pub(crate) struct Sqlite;

impl Materialize for Sqlite {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            resource_path_pointers: &["/table"],
            documentation_url: "",
            deletes: true,
            reserved_field_names: RESERVED,
            identifier_max_bytes: Some(NAME_MAX_BYTES),
            identifier_case_insensitive: true,
            identifier_forbidden_characters: "\0",
            keeps_meta: true,
            verifies: true,
        }
    }

    async fn validate(&self, request: ValidateRequest<Config, Resource>) -> Result<Validation> {
        blocking(|| validate(&request))
    }

    async fn apply(&self, request: ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
        blocking(|| {
            let path = &request.config.path;
            let nothing_yet = request.dry_run && !path.exists();
            let mut connection = if nothing_yet { database::open_in_memory()? } else { database::open(path)? };
            apply(&mut connection, &request)
        })
    }

    async fn verify(&self, asked: Verify<Config, Resource>, tally: &mut Tally) -> Result<()> {
        blocking(|| verify(&asked, tally))
    }
}

impl Transactional for Sqlite {
    type Session = Session;

    async fn open(&self, open: OpenRequest<Config, Resource>, fence: Fence) -> Result<Opened<Session>> {
        blocking(|| {
            let doing = |error| failed("raising the fence", error);
            let mut connection = database::open(&open.config.path)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(doing)?;
            meta::create(&transaction)?;
            let recorded = meta::raise(&transaction, &fence)?;
            transaction.commit().map_err(doing)?;
            let session = Session::new(connection, fence, &open.bindings)?;
            Ok(Opened { session, recorded, close_policy: CLOSE_POLICY })
        })
    }
}

fn validate(request: &ValidateRequest<Config, Resource>) -> Result<Validation> {
    let mut findings = Vec::new();
    let connection = match readable(&request.config.path) {
        Ok(connection) => connection,
        Err(error) => {
            findings.push(finding::mistake(error)?);
            None
        }
    };
    let has_meta = connection.as_ref().map(meta::exists).transpose()?.unwrap_or(false);
    let recorded = match connection.as_ref().filter(|_| has_meta) {
        Some(connection) => meta::recorded(connection, &request.owner.task)?,
        None => None,
    };
    let mut tables = HashMap::new();
    let mut bindings = Vec::with_capacity(request.bindings.len());
    for (index, binding) in request.bindings.iter().enumerate() {
        let name = &binding.resource.table;
        let fault = fault_in_table(name).map(|fault| table_error(format!("expected a name for a table, got {fault}")));
        let twice = tables.insert(folded(name), name).filter(|other| *other != name).map(|other| {
            table_error(format!("expected tables that differ in more than case, got {other:?} and {name:?}"))
        });
        findings.extend(fault.into_iter().chain(twice).map(|error| finding::error(error.at_binding(index))));
        let claim = format!("{} {}", place::one_name(&request.config.path), folded(name));
        let mut accepts = Accepts { fields: required(binding), claim, ..Accepts::new(Modes::Both) };
        match Shape::of(&binding.collection, &binding.selection, binding.delta_updates) {
            Ok(shape) => {
                findings.extend(warnings(index, binding, &shape));
                (accepts.loads, accepts.loads_reason) = loads(&shape);
                (accepts.truncates, accepts.backfills) = (true, true);
                if let Some(connection) = &connection {
                    if let Err(error) = table::refuse_taken(connection, name) {
                        findings.push(finding::mistake(error.at_binding(index))?);
                    }
                    let what = in_the_way(connection, has_meta, &request.owner.task, binding, &shape)?;
                    accepts = what.into_iter().fold(accepts, Accepts::only_fresh);
                }
            }
            Err(error) => findings.push(finding::error(error.at_binding(index))),
        }
        bindings.push(accepts);
    }
    Ok(Validation { bindings, findings, recorded })
}

fn table_error(message: String) -> Error {
    Error::config("sqlite.table.name", message).at_pointer("/table").suggest("name another table")
}

/// None: there is no database yet, and one can be made.
fn readable(path: &Path) -> Result<Option<Connection>> {
    if let Some(fault) = place::fault_of_file(path) {
        let message = format!("opening {}: expected a file that is there or can be made, got {fault}", path.display());
        return Err(Error::config("sqlite.open", message).at_pointer("/path").suggest(
            "name a file in a directory that is there and can be written; paths are relative to the catalog",
        ));
    }
    database::open_to_read(path)
}

/// The key is needed; what else there is, is the user's choice.
fn required(binding: &Proposed<Resource>) -> Vec<FieldConstraint> {
    let required = |pointer: &String| FieldConstraint {
        pointer: pointer.clone(),
        constraint: Constraint::Required,
        reason: "a part of the key".to_owned(),
    };
    binding.collection.key.iter().map(required).collect()
}

/// What will not be stored.
fn warnings(index: usize, binding: &Proposed<Resource>, shape: &Shape) -> Option<Finding> {
    let message = format!(
        "collection {} admits fields that its schema does not declare; they get no column and are not stored",
        binding.collection.name
    );
    let warning = Error::config("sqlite.open_schema", message)
        .suggest(
            "declare them, close the schema with `additionalProperties: false`, or keep whole documents with `fields: { document: doc }`",
        );
    shape.leaves_out.then(|| finding::warning(warning.at_binding(index)))
}
