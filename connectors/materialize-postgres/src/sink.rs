//! The materialization as the SDK sees it.

use longshore_postgres::{Client, fault_in_name};
use longshore_sdk::materialize::{
    Accepts, ApplyRequest, ClosePolicy, Constraint, Fence, FieldConstraint, Finding, Materialize, MaterializeSpec,
    Modes, OpenRequest, Opened, Proposed, Transactional, ValidateRequest, Validation,
};
use longshore_sdk::verify::{Tally, Verify};
use longshore_sdk::{Error, Result, finding};

use crate::apply::{apply, in_the_way};
use crate::config::{Config, Resource};
use crate::load::loads;
use crate::meta;
use crate::session::Session;
use crate::shape::{RESERVED, Shape};
use crate::table::{self, TableName};
use crate::verify::verify;

/// What a session sets beside what every client sets. Whoever sits in a transaction for so long is stopped somewhere, and must not keep its
/// successor from the fence for ever; a commit that was told is on the disk, whatever the database is set to. Its statements are
/// long, and none of them gains by being compiled.
const SETTINGS: &str = "SET standard_conforming_strings = on; SET jit = off; SET idle_in_transaction_session_timeout = '5min'; \
                        SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Tables of a PostgreSQL database.
#[derive(Debug)]
pub(crate) struct Postgres;

/// A lone change waits for nothing; what comes while it is committed goes into the next transaction together.
const CLOSE_POLICY: ClosePolicy = ClosePolicy { least_bytes: None, greatest_age_ms: None, when_idle: true };

impl Materialize for Postgres {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            resource_path_pointers: &["/schema", "/table"],
            documentation_url: "",
            deletes: true,
            reserved_field_names: RESERVED,
            identifier_max_bytes: Some(63),
            identifier_case_insensitive: false,
            identifier_forbidden_characters: "\0",
            keeps_meta: true,
            verifies: true,
        }
    }

    async fn validate(&self, request: ValidateRequest<Config, Resource>) -> Result<Validation> {
        let mut findings = Vec::new();
        let client = match connect(&request.config).await {
            Ok(client) => Some(client),
            Err(error) => {
                findings.push(finding::mistake(error)?);
                None
            }
        };
        validate(client.as_ref(), &request, findings).await
    }

    async fn apply(&self, request: ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
        apply(&connect(&request.config).await?, &request).await
    }

    async fn verify(&self, asked: Verify<Config, Resource>, tally: &mut Tally) -> Result<()> {
        verify(&connect(&asked.config).await?, &asked, tally).await
    }
}

impl Transactional for Postgres {
    type Session = Session;

    async fn open(&self, open: OpenRequest<Config, Resource>, fence: Fence) -> Result<Opened<Session>> {
        let client = connect(&open.config).await?;
        client.run("raising the fence", meta::BEGIN).await?;
        meta::create(&client).await?;
        let recorded = meta::raise(&client, &fence).await?;
        client.run("raising the fence", "COMMIT").await?;
        let session = Session::new(client, fence, &open.bindings).await?;
        Ok(Opened { session, recorded, close_policy: CLOSE_POLICY })
    }
}

async fn connect(config: &Config) -> Result<Client> {
    let client = Client::connect(&config.endpoint()).await?;
    client.run("preparing the session", SETTINGS).await?;
    if cfg!(test) {
        client.run("preparing the session", "SET lock_timeout = '3s'").await?;
    }
    Ok(client)
}

/// Without a client: what can be said without the database.
async fn validate(
    client: Option<&Client>,
    request: &ValidateRequest<Config, Resource>,
    mut findings: Vec<Finding>,
) -> Result<Validation> {
    let has_meta = match client {
        Some(client) => meta::exists(client).await?,
        None => false,
    };
    let recorded = match client.filter(|_| has_meta) {
        Some(client) => meta::recorded(client, &request.owner.task, false).await?,
        None => None,
    };
    let database = request.config.endpoint().name();
    let mut bindings = Vec::with_capacity(request.bindings.len());
    for (index, binding) in request.bindings.iter().enumerate() {
        let name = TableName::of(&binding.resource);
        let faults = faults_of_name(&name);
        // Of a name that it would cut, the server says nothing.
        let client = client.filter(|_| faults.is_empty());
        findings.extend(faults.into_iter().map(|error| finding::error(error.at_binding(index))));
        let claim = format!("{database} {}", name.sql());
        let mut accepts = Accepts { fields: required(binding), claim, ..Accepts::new(Modes::Both) };
        match Shape::of(&binding.collection, &binding.selection, binding.delta_updates, binding.resource.deletes) {
            Ok(shape) => {
                findings.extend(warnings(index, binding, &shape));
                (accepts.loads, accepts.loads_reason) = loads(&shape);
                accepts.partial_updates = shape.document().is_none();
                (accepts.truncates, accepts.backfills) = (true, true);
                if let Some(client) = client {
                    match table::columns(client, &name).await {
                        Ok(_) => {
                            let what = in_the_way(client, has_meta, &request.owner.task, binding, &shape).await?;
                            accepts = what.into_iter().fold(accepts, Accepts::only_fresh);
                        }
                        Err(error) => findings.push(finding::mistake(error.at_binding(index))?),
                    }
                }
            }
            Err(error) => findings.push(finding::error(error.at_binding(index))),
        }
        bindings.push(accepts);
    }
    Ok(Validation { bindings, findings, recorded })
}

fn faults_of_name(name: &TableName) -> Vec<Error> {
    let of_ours = |schema: &str| {
        let is_ours = schema == meta::SCHEMA || schema.starts_with("pg_") || schema == "information_schema";
        is_ours.then(|| format!("{schema:?}, which is the connector's or the server's own"))
    };
    let wrong = |what: &str, pointer: &str, fault: String| {
        Error::config("postgres.table.name", format!("expected a name for a {what}, got {fault}"))
            .at_pointer(pointer)
            .suggest(format!("name another {what}"))
    };
    let schema =
        fault_in_name(&name.schema).or_else(|| of_ours(&name.schema)).map(|fault| wrong("schema", "/schema", fault));
    let table = fault_in_name(&name.table).map(|fault| wrong("table", "/table", fault));
    schema.into_iter().chain(table).collect()
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
    let warning = Error::config("postgres.open_schema", message).suggest(
        "declare them, close the schema with `additionalProperties: false`, or keep whole documents with `fields: { document: doc }`",
    );
    shape.leaves_out.then(|| finding::warning(warning.at_binding(index)))
}
