//! Whether what the user wrote will work, found out by looking and changing nothing.

use longshore_sdk::binding::Proposed;
use longshore_sdk::finding::{self, Finding};
use longshore_sdk::{Error, Result};

use crate::binding::key_columns;
use crate::config::{Config, Format, Resource, Settings};
use crate::faults::of_binding;
use crate::listing::{Found, Pattern};
use crate::nearby::{best, check_root, no_match};
use crate::open::{Opened, read_header};

/// Files of one binding whose headers are looked at.
const HEADERS_MAX: usize = 100;

/// All that is wrong, or worth knowing.
pub(crate) fn validate(config: Config, bindings: &[Proposed<Resource>]) -> Vec<Finding> {
    let settings = match Settings::new(config) {
        Ok(settings) => settings,
        Err(error) => return vec![finding::error(error)],
    };
    if let Err(error) = check_root(&settings) {
        return vec![finding::error(error)];
    }
    let mut findings = Vec::new();
    for (index, binding) in bindings.iter().enumerate() {
        match check_binding(&settings, binding) {
            Ok(warnings) => {
                findings.extend(warnings.into_iter().map(|error| finding::warning(of_binding(error, index))))
            }
            Err(error) => findings.push(finding::error(of_binding(error, index))),
        }
    }
    findings
}

/// What stops it is the error, what does not are the warnings.
fn check_binding(settings: &Settings, binding: &Proposed<Resource>) -> Result<Vec<Error>> {
    let resource = &binding.resource;
    let files = Pattern::of(resource)?.list(&settings.root)?;
    if files.is_empty() {
        // Files may come later, so this is no mistake by itself.
        return Ok(vec![no_match(settings, resource)]);
    }
    let columns = key_columns(&binding.collection.key);
    for found in files.iter().take(HEADERS_MAX) {
        check_file(settings, found, &columns)?;
    }
    Ok(Vec::new())
}

fn check_file(settings: &Settings, found: &Found, key: &[String]) -> Result<()> {
    let Some(opened) = Opened::open(settings, &found.name)? else { return Ok(()) };
    if opened.format == Format::Jsonl {
        return Ok(());
    }
    let mut records = opened.records(&found.name, &opened.fresh_state(), &settings.dialect)?;
    let Some(names) = read_header(&mut records, &found.name, &settings.dialect)? else { return Ok(()) };
    let Some(missing) = key.iter().find(|column| !names.contains(column)) else { return Ok(()) };
    let message =
        format!("capture-files reads {}: the collection's key needs the column {missing:?}, got {names:?}", found.name);
    let near = best(missing, names.iter().map(String::as_str));
    let suggestion = match near.first() {
        Some(near) => format!("did you mean /{near} in the collection's key?"),
        None => "correct the collection's key, or leave this file out of `glob`".to_owned(),
    };
    Err(Error::config("files.key.missing", message).at_pointer("/glob").suggest(suggestion))
}
