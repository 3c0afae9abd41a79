//! An idempotent sink: every document, in order, in one JSON file. A transaction is staged aside in it and published by its plan.
use longshore_sdk::{Error, Result, durable, materialize::*, serve_materialize};

/// As config: the file. As resource: whose documents they are.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    name: String,
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Book {
    record: Record,
    staged: std::collections::BTreeMap<String, Vec<serde_json::Value>>,
    documents: Vec<serde_json::Value>,
}

/// Publishes once, however often it is asked to: the mark in the record and the documents change in one step.
fn publish(file: &str, applied: &Applied<String>) -> Result<()> {
    durable::update(file, |book: &mut Book| {
        if book.record.publish(applied) {
            let lost = || Error::internal("hello.staged", "publishing: expected what was staged, got nothing");
            book.documents.append(&mut book.staged.remove(&applied.plan).ok_or_else(lost)?);
            book.staged.clear();
        }
        Ok(())
    })
}

pub(crate) struct Hello;
pub(crate) struct Session(String, Staging, Vec<serde_json::Value>);

impl Materialize for Hello {
    type Config = Named;
    type Resource = Named;
    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec::new("materialize-hello", env!("CARGO_PKG_VERSION"), &["/name"])
    }
    async fn validate(&self, request: ValidateRequest<Named, Named>) -> Result<Validation> {
        Ok(Validation::good(Modes::DeltaOnly, request.bindings.len(), None))
    }
    async fn apply(&self, request: ApplyRequest<Named, Named>) -> Result<Vec<String>> {
        durable::update(&request.config.name, |book: &mut Book| {
            book.documents.retain(|_| request.dry_run || !request.all_fresh());
            book.record.alter(&request).map(|()| Vec::new())
        })
    }
}

impl Idempotent for Hello {
    type Plan = String;
    type Session = Session;
    async fn open(&self, open: OpenRequest<Named, Named>, staging: Staging) -> Result<Opened<Session>> {
        let recorded = durable::update(&open.config.name, |book: &mut Book| book.record.resume(&staging))?;
        Ok(Opened::new(Session(open.config.name, staging, Vec::new()), recorded))
    }
    async fn drain(&self, request: &ApplyRequest<Named, Named>, applied: Applied<String>) -> Result<()> {
        publish(&request.config.name, &applied)
    }
}

impl IdempotentSession for Session {
    type Plan = String;
    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        stores.each(|_, row| row.parse().map(|document| self.2.push(document))).await
    }
    async fn plan(&mut self, stored: Stored) -> Result<String> {
        let name = format!("{}-{}", self.1.owner.epoch, stored.transaction());
        durable::update(&self.0, |book: &mut Book| Ok(book.staged.insert(name.clone(), self.2.split_off(0))))?;
        Ok(name)
    }
    async fn apply(&mut self, applied: Applied<String>) -> Result<()> {
        publish(&self.0, &applied)
    }
}

fn main() -> std::process::ExitCode {
    serve_materialize(idempotent(Hello))
}
