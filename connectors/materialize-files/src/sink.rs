//! The materialization as the SDK sees it: a directory, and lines of text for its files.

use std::sync::Arc;

use longshore_sdk::materialize::whole_files::{self, Directory, Plan, Resource, Session, Storage, leaves_out};
use longshore_sdk::materialize::{
    Applied, ApplyRequest, Finding, Idempotent, Materialize, MaterializeSpec, OpenRequest, Opened, Proposed, Staging,
    ValidateRequest, Validation,
};
use longshore_sdk::{Error, Result, blocking, finding};

use crate::config::{Config, Format};
use crate::text::Text;

/// Files in directories.
#[derive(Debug)]
pub(crate) struct Files;

impl Materialize for Files {
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
            identifier_case_insensitive: false,
            identifier_forbidden_characters: "",
            keeps_meta: false,
            verifies: false,
        }
    }

    async fn validate(&self, request: ValidateRequest<Config, Resource>) -> Result<Validation> {
        blocking(|| {
            let mut validation = whole_files::validate(storage(&request.config), &request)?;
            for (index, binding) in request.bindings.iter().enumerate() {
                validation.findings.extend(without_a_column(request.config.format, index, binding));
            }
            Ok(validation)
        })
    }

    async fn apply(&self, request: ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
        blocking(|| whole_files::apply(storage(&request.config), &request))
    }
}

impl Idempotent for Files {
    type Plan = Plan;
    type Session = Session<Text>;

    async fn open(&self, open: OpenRequest<Config, Resource>, staging: Staging) -> Result<Opened<Session<Text>>> {
        blocking(|| {
            let text = Text::new(&open.config, &open.bindings);
            whole_files::open(storage(&open.config), text, staging, &open.bindings, Default::default())
        })
    }

    async fn drain(&self, request: &ApplyRequest<Config, Resource>, applied: Applied<Plan>) -> Result<()> {
        blocking(|| whole_files::drain(storage(&request.config), request, &applied))
    }
}

fn storage(config: &Config) -> Arc<dyn Storage> {
    let directory = Arc::new(Directory::new(&config.path));
    #[cfg(test)]
    return crate::tests::under_test(&config.path, directory);
    #[cfg(not(test))]
    directory
}

/// What will not be stored where nobody chose: a record has a place for declared fields only.
fn without_a_column(format: Format, index: usize, binding: &Proposed<Resource>) -> Option<Finding> {
    let Proposed { collection, selection, .. } = binding;
    let message = format!(
        "collection {} admits fields that its schema does not declare; they get no column and are not stored",
        collection.name
    );
    let way = "declare them, close the schema with `additionalProperties: false`, keep whole documents with `fields: { document: doc }`, or take `format: jsonl`";
    let warning = Error::config("files.csv.open_schema", message).suggest(way).at_binding(index);
    (format == Format::Csv && leaves_out(collection, selection)).then(|| finding::warning(warning))
}
