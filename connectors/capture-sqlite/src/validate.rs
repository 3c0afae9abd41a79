//! Whether what the user wrote will work, found out by looking and changing nothing.

use longshore_sdk::binding::Proposed;
use longshore_sdk::finding::{self, Finding};

use crate::config::{Config, Resource, Settings};
use crate::database;
use crate::plan::Plan;

/// All that is wrong.
pub(crate) fn validate(config: Config, bindings: &[Proposed<Resource>]) -> Vec<Finding> {
    let settings = match Settings::new(&config) {
        Ok(settings) => settings,
        Err(error) => return vec![finding::error(error)],
    };
    let connection = match database::open_to_read(&settings) {
        Ok(connection) => connection,
        Err(error) => return vec![finding::error(error)],
    };
    let mut findings: Vec<Finding> = database::fault(&settings).map(finding::error).into_iter().collect();
    for (index, binding) in bindings.iter().enumerate() {
        if let Err(error) = Plan::of(&connection, &binding.resource, &binding.collection.key) {
            findings.push(finding::error(error.at_binding(index)));
        }
    }
    findings
}
