//! The materialization as the SDK sees it.

use longshore_sdk::Result;
use longshore_sdk::materialize::{
    Accepts, ApplyRequest, AtLeastOnce, AtLeastOnceSession, Materialize, MaterializeSpec, Modes, Next, OpenRequest,
    Stored, Stores, ValidateRequest, Validation,
};

use crate::config::{Config, Resource};
use crate::shown::Shown;

/// Shows.
#[derive(Debug)]
pub(crate) struct Log;

impl Materialize for Log {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> MaterializeSpec {
        let name = MaterializeSpec::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), &["/name"]);
        MaterializeSpec { keeps_meta: true, ..name }
    }

    async fn validate(&self, request: ValidateRequest<Config, Resource>) -> Result<Validation> {
        let bindings = vec![Accepts::new(Modes::Both); request.bindings.len()];
        Ok(Validation { bindings, ..Validation::default() })
    }

    async fn apply(&self, _: ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl AtLeastOnce for Log {
    type Session = Session;

    async fn open(&self, open: OpenRequest<Config, Resource>) -> Result<Session> {
        let names: Vec<String> = open.bindings.into_iter().map(|bound| bound.resource.name).collect();
        Ok(Session { shown: Shown::new(open.config, names.len()), config: open.config, names })
    }
}

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    config: Config,
    /// Of the bindings.
    names: Vec<String>,
    shown: Shown,
}

impl AtLeastOnceSession for Session {
    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        self.shown = Shown::new(self.config, self.names.len());
        loop {
            match stores.next().await? {
                Next::Batch(batch) => batch.rows().for_each(|row| self.shown.take(batch.binding(), &row)),
                Next::End(stored) => return Ok(stored),
            }
        }
    }

    async fn flush(&mut self, stored: Stored) -> Result<()> {
        for line in &self.shown.lines {
            tracing::info!("{}: {line}", self.names[line.binding]);
        }
        let counted = self.names.iter().zip(&self.shown.counts).filter(|(_, count)| count.documents > 0);
        for (name, count) in counted {
            tracing::info!("{name}: transaction {}: {count}", stored.transaction());
        }
        Ok(())
    }
}
