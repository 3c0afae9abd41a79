//! A capture behind a URL and a password, as databases are: what `longshore init` must find its way to without writing the password down. It
//! tells its one order to whoever knows the password.

use std::process::ExitCode;

use longshore_sdk::capture::{Capture, CaptureSpec, Checkpoint, Discovered, Emitter, PullOpen};
use longshore_sdk::{Error, Result, Secret};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// What the tests know, with letters that a URL has to escape.
const PASSWORD: &str = "pw@4711/x";
const URL: &str = "mysql://ada@db.example:3306/shop";

fn main() -> ExitCode {
    longshore_sdk::serve_capture(Vault)
}

struct Vault;

/// A database that is not there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Where it is.
    url: String,
    /// Of the user in the URL.
    password: Secret<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resource {
    /// Its name.
    table: String,
}

impl Config {
    fn enter(&self) -> Result<()> {
        if self.url != URL || self.password.expose() != PASSWORD {
            return Err(Error::config("vault.closed", format!("expected {URL} and its password, got {}", self.url)));
        }
        Ok(())
    }
}

impl Capture for Vault {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("capture-vault", env!("CARGO_PKG_VERSION")).resource_path(["/table"])
    }

    async fn discover(&self, config: Config, asked: Vec<Resource>) -> Result<Vec<Discovered>> {
        config.enter()?;
        let tables: Vec<String> = match asked.is_empty() {
            true => vec!["Orders of 2013".to_owned()],
            false => asked.into_iter().map(|resource| resource.table).collect(),
        };
        let schema = json!({ "type": "object", "properties": { "id": { "type": "integer" } }, "required": ["id"] });
        let found = |table: String| Discovered::new("orders", json!({ "table": table }), schema.clone()).key(["/id"]);
        Ok(tables.into_iter().map(found).collect())
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, mut emitter: Emitter) -> Result<()> {
        open.config.enter()?;
        if open.binding_state::<Value>(0)?.is_none() {
            emitter.document(0, &json!({ "id": 7 })).await?;
            emitter.checkpoint(Checkpoint::new().binding(0, &json!({ "told": true }))).await?;
        }
        emitter.checkpoint(Checkpoint::new().caught_up()).await?;
        Ok(())
    }
}
