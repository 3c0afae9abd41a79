//! What an installed connector says of itself, as far as catalogs and editors need it.

use longshore_proto::Error;
use serde_json::Value;

use super::visit::start;
use crate::connector::{GRACE, Hold, Kind, Location};

/// A connector's settings.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) kind: Kind,
    /// Without its first word: as a catalog names it.
    pub(super) name: String,
    /// JSON Schema of its config.
    pub(super) config: Value,
    /// JSON Schema of a resource.
    pub(super) resource: Value,
    /// What of a resource makes its path.
    pub(super) path_pointers: Vec<String>,
    /// It never catches up.
    pub(super) endless: bool,
}

/// Starts the connector, asks and stops it.
pub(super) async fn describe(kind: Kind, name: &str) -> Result<Described, Error> {
    let directory = std::env::current_dir()
        .map_err(|error| Error::config("directory", format!("this directory is gone: {error}")))?;
    let from = (Location::Bundled(name.to_owned()), Hold::default());
    let launched = start(name, kind, from, &directory).await?;
    let spec = match kind {
        Kind::Capture => launched.capture().spec().await.map(|spec| {
            let schemas = (spec.config_schema_json, spec.resource_schema_json);
            (schemas, spec.resource_path_pointers, spec.endless)
        }),
        Kind::Materialize => launched.materialize().spec().await.map(|spec| {
            let schemas = (spec.config_schema_json, spec.resource_schema_json);
            (schemas, spec.resource_path_pointers, false)
        }),
    };
    launched.stop(GRACE).await;
    let ((config, resource), path_pointers, endless) = spec?;
    let json = |schema: &[u8]| {
        serde_json::from_slice(schema)
            .map_err(|error| Error::protocol("SPEC", format!("a schema of the spec is no JSON: {error}")))
    };
    let (config, resource) = (json(&config)?, json(&resource)?);
    Ok(Described { kind, name: name.to_owned(), config, resource, path_pointers, endless })
}
