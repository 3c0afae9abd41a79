//! The materialization as the SDK sees it.

use longshore_sdk::materialize::{
    Accepts, ApplyRequest, AtLeastOnce, Materialize, MaterializeSpec, Modes, OpenRequest, ValidateRequest, Validation,
};
use longshore_sdk::{Error, Result, blocking, finding};

use crate::config::{Config, Resource};
use crate::session::Session;
use crate::settings::Settings;

/// Posts.
#[derive(Debug)]
pub(crate) struct Webhook;

impl Materialize for Webhook {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec {
            deletes: false,
            keeps_meta: true,
            verifies: false,
            ..MaterializeSpec::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), &["/path"])
        }
    }

    /// Sends nothing: a server may take any request for a document.
    async fn validate(&self, request: ValidateRequest<Config, Resource>) -> Result<Validation> {
        let mut findings = Vec::new();
        match blocking(|| Settings::new(&request.config)) {
            Ok(settings) => findings.extend(settings.tells_secrets().then(|| finding::warning(told_on_the_wire()))),
            Err(faults) => findings.extend(faults.into_iter().map(finding::error)),
        }
        for (index, binding) in request.bindings.iter().enumerate() {
            findings.extend(binding.resource.fault().map(|fault| finding::error(fault.at_binding(index))));
        }
        let bindings = vec![Accepts::new(Modes::DeltaOnly); request.bindings.len()];
        Ok(Validation { bindings, findings, recorded: None })
    }

    /// A server has nothing to prepare.
    async fn apply(&self, _: ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl AtLeastOnce for Webhook {
    type Session = Session;

    async fn open(&self, open: OpenRequest<Config, Resource>) -> Result<Session> {
        blocking(|| Session::new(open))
    }
}

fn told_on_the_wire() -> Error {
    Error::config("webhook.plain", "token, headers and documents go unencrypted over http")
        .at_pointer("/url")
        .suggest("write `https://`, if the server speaks it")
}
