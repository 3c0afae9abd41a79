//! A transactional sink: the last document of each key in one JSON file, replaced in one step together with fence and checkpoint.
use longshore_sdk::{Result, durable, materialize::*, serve_materialize};
use std::collections::BTreeMap;

/// As config: the file. As resource: the name of its rows there.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    name: String,
}

/// What the file holds; a row that was deleted is null.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Book {
    record: Record,
    rows: BTreeMap<String, BTreeMap<String, Option<serde_json::Value>>>,
}

pub(crate) struct Hello;

pub(crate) struct Session {
    open: OpenRequest<Named, Named>,
    fence: Fence,
    changes: BTreeMap<String, BTreeMap<String, Option<serde_json::Value>>>,
}

impl Materialize for Hello {
    type Config = Named;
    type Resource = Named;

    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec::new("materialize-hello", env!("CARGO_PKG_VERSION"), &["/name"])
    }

    async fn validate(&self, request: ValidateRequest<Named, Named>) -> Result<Validation> {
        Ok(Validation::good(Modes::Standard, request.bindings.len(), None))
    }

    async fn apply(&self, request: ApplyRequest<Named, Named>) -> Result<Vec<String>> {
        durable::update(&request.config.name, |book: &mut Book| {
            book.record.alter(&request)?;
            let fresh = |name: &str| request.bindings.iter().any(|b| request.is_fresh(b) && b.resource.name == name);
            book.rows.retain(|name, _| request.dry_run || !fresh(name));
            Ok(Vec::new())
        })
    }
}

impl Transactional for Hello {
    type Session = Session;
    async fn open(&self, open: OpenRequest<Named, Named>, fence: Fence) -> Result<Opened<Session>> {
        let recorded = durable::update(&open.config.name, |book: &mut Book| book.record.raise(&fence))?;
        Ok(Opened::new(Session { open, fence, changes: BTreeMap::new() }, recorded))
    }
}

impl TransactionalSession for Session {
    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        let take = |binding: usize, row: Row<'_>| {
            let rows = self.changes.entry(self.open.bindings[binding].resource.name.clone()).or_default();
            rows.insert(row.key_text().into_owned(), (!row.delete).then(|| row.parse()).transpose()?);
            Ok(())
        };
        stores.each(take).await
    }

    async fn commit(&mut self, stored: Stored, checkpoint: Checkpoint) -> Result<()> {
        durable::update(&self.open.config.name, |book: &mut Book| {
            for (name, rows) in std::mem::take(&mut self.changes) {
                book.rows.entry(name).or_default().extend(rows);
            }
            book.record.commit(&self.fence, stored.transaction(), checkpoint.as_bytes())
        })
    }
}

fn main() -> std::process::ExitCode {
    serve_materialize(transactional(Hello))
}
