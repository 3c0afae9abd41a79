//! Whether what the user wrote will work, found out by looking and changing nothing.

use longshore_sdk::Result;
use longshore_sdk::binding::Proposed;
use longshore_sdk::finding::{self, Finding};

use crate::config::{Config, Resource, Settings};
use crate::database;
use crate::plan::Plan;

/// All that is wrong. A database that is locked just now is nobody's mistake.
pub(crate) fn validate(config: Config, bindings: &[Proposed<Resource>]) -> Result<Vec<Finding>> {
    let opened = Settings::new(&config).and_then(|settings| Ok((database::open_to_read(&settings)?, settings)));
    let (connection, settings) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ok(vec![finding::mistake(error)?]),
    };
    let mut findings: Vec<Finding> = database::fault(&settings).map(finding::error).into_iter().collect();
    for (index, binding) in bindings.iter().enumerate() {
        if let Err(error) = Plan::of(&connection, &binding.resource, &binding.collection.key) {
            findings.push(finding::mistake(error.at_binding(index))?);
        }
    }
    Ok(findings)
}
