//! A destination that can only promise at-least-once and keeps a diary: one JSON line for each Apply, Open and batch, in the order in which
//! they came. Of a transaction that is begun, lost and begun again, the diary tells whether it was the same.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use longshore_sdk::materialize::{
    Accepts, ApplyRequest, AtLeastOnce, AtLeastOnceSession, Load, Materialize, MaterializeSpec, Modes, Next,
    OpenRequest, Rows, Stored, Stores, ValidateRequest, Validation, at_least_once, serve_materialize,
};
use longshore_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Where to write.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The diary.
    path: PathBuf,
    /// After so many batches of a session it hangs, until it is killed.
    #[serde(default)]
    hang_after: Option<u64>,
    /// It asks of every key whether it is there; nothing ever is.
    #[serde(default)]
    asks: bool,
}

/// What is stored.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resource {
    /// Any name.
    name: String,
}

struct Diary;

struct Writing {
    config: Config,
    names: Vec<String>,
    batches: u64,
}

impl Config {
    fn write(&self, line: &Value) -> Result<()> {
        let written = OpenOptions::new().append(true).create(true).open(&self.path);
        let written = written.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        written.map_err(|error| Error::unavailable("diary.io", format!("writing {}: {error}", self.path.display())))
    }
}

impl Materialize for Diary {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec::new("diary", env!("CARGO_PKG_VERSION"), &["/name"])
    }

    async fn validate(&self, request: ValidateRequest<Config, Resource>) -> Result<Validation> {
        let accepts = Accepts { wants_existence: request.config.asks, ..Accepts::new(Modes::Both) };
        let bindings = vec![accepts; request.bindings.len()];
        Ok(Validation { bindings, ..Validation::default() })
    }

    async fn apply(&self, request: ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
        let names: Vec<_> = request.bindings.iter().map(|binding| &binding.resource.name).collect();
        request.config.write(&json!({ "apply": names }))?;
        Ok(Vec::new())
    }
}

impl AtLeastOnce for Diary {
    type Session = Writing;

    async fn open(&self, open: OpenRequest<Config, Resource>) -> Result<Writing> {
        let of = |binding: &longshore_sdk::materialize::Bound<Resource>| {
            json!([binding.resource.name, binding.collection.schema_version])
        };
        open.config.write(&json!({ "open": open.bindings.iter().map(of).collect::<Vec<_>>() }))?;
        let names = open.bindings.into_iter().map(|binding| binding.resource.name).collect();
        Ok(Writing { config: open.config, names, batches: 0 })
    }
}

impl AtLeastOnceSession for Writing {
    async fn load(&mut self, _: Load, _: &mut Rows<'_>) -> Result<()> {
        Ok(())
    }

    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        let transaction = stores.transaction();
        loop {
            let batch = match stores.next().await? {
                Next::Batch(batch) => batch,
                Next::End(stored) => return Ok(stored),
            };
            let (mut hash, mut ids) = (Sha256::new(), Vec::new());
            for row in batch.rows() {
                hash.update(row.document);
                hash.update(format!("{:?} {}\n", row.exists, row.key_text()));
                ids.push(row.parse::<Value>()?["id"].clone());
            }
            let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            let name = &self.names[batch.binding()];
            self.config.write(&json!({ "batch": name, "transaction": transaction, "ids": ids, "hash": hash }))?;
            self.batches += 1;
            if self.config.hang_after.is_some_and(|after| self.batches >= after) {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn flush(&mut self, _: Stored) -> Result<()> {
        Ok(())
    }
}

fn main() -> ExitCode {
    serve_materialize(at_least_once(Diary))
}
