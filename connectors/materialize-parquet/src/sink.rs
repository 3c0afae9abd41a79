//! The materialization as the SDK sees it: a directory or a bucket, and columns for its files.

use std::sync::Arc;

use longshore_sdk::materialize::whole_files::{self, Directory, Plan, Resource, Session, Storage, leaves_out};
use longshore_sdk::materialize::{
    Accepts, Applied, ApplyRequest, ClosePolicy, Idempotent, Materialize, MaterializeSpec, Modes, OpenRequest, Opened,
    Staging, ValidateRequest, Validation,
};
use longshore_sdk::{Error, Result, blocking, finding};

use crate::config::{Config, Place};
use crate::connect;
use crate::file::Columns;

/// With so much a transaction ends earlier: bigger than what suits a table, as each makes a file.
const CLOSE_BYTES: u64 = 64 << 20;

/// Parquet files.
#[derive(Debug)]
pub(crate) struct Parquet;

impl Materialize for Parquet {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            resource_path_pointers: &["/name"],
            documentation_url: "",
            deletes: false,
            reserved_field_names: &[],
            identifier_max_bytes: None,
            // Parquet takes any two names, its readers do not.
            identifier_case_insensitive: true,
            identifier_forbidden_characters: "\0",
            keeps_meta: true,
            verifies: false,
        }
    }

    async fn validate(&self, request: ValidateRequest<Config, Resource>) -> Result<Validation> {
        blocking(|| validate(&request))
    }

    async fn apply(&self, request: ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
        blocking(|| whole_files::apply(storage(&request.config)?, &request))
    }
}

impl Idempotent for Parquet {
    type Plan = Plan;
    type Session = Session<Columns>;

    async fn open(&self, open: OpenRequest<Config, Resource>, staging: Staging) -> Result<Opened<Session<Columns>>> {
        blocking(|| {
            let columns = Columns::new(&open.config, &open.bindings);
            // Files are worth reading when they are large, so documents wait for each other.
            let greatest_age_ms = Some(open.config.max_age_ms()?);
            let least_bytes = Some(CLOSE_BYTES);
            let close_policy = ClosePolicy { least_bytes, greatest_age_ms, ..ClosePolicy::default() };
            whole_files::open(storage(&open.config)?, columns, staging, &open.bindings, close_policy)
        })
    }

    async fn drain(&self, request: &ApplyRequest<Config, Resource>, applied: Applied<Plan>) -> Result<()> {
        blocking(|| whole_files::drain(storage(&request.config)?, request, &applied))
    }
}

fn storage(config: &Config) -> Result<Arc<dyn Storage>> {
    #[cfg(test)]
    if let Some(storage) = crate::tests::storage(config) {
        return Ok(storage);
    }
    Ok(match config.place()? {
        Place::Directory(path) => Arc::new(Directory::new(path)),
        Place::Bucket { bucket, prefix } => Arc::new(connect::bucket(config, &bucket, &prefix)?),
    })
}

fn validate(request: &ValidateRequest<Config, Resource>) -> Result<Validation> {
    let faults = request.config.faults();
    let mut validation = match faults.is_empty() {
        true => whole_files::validate(storage(&request.config)?, request)?,
        false => Validation {
            bindings: vec![Accepts::new(Modes::DeltaOnly); request.bindings.len()],
            findings: faults.into_iter().map(finding::error).collect(),
            recorded: None,
        },
    };
    for (index, binding) in request.bindings.iter().enumerate() {
        let message = format!(
            "collection {} admits fields that its schema does not declare; they get no column and are not stored",
            binding.collection.name
        );
        let way = "declare them, close the schema with `additionalProperties: false`, or keep whole documents with `fields: { document: doc }`";
        if leaves_out(&binding.collection, &binding.selection) {
            let warning = Error::config("parquet.open_schema", message).suggest(way).at_binding(index);
            validation.findings.push(finding::warning(warning));
        }
    }
    Ok(validation)
}
