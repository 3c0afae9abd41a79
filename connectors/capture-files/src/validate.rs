//! Whether what the user wrote will work, found out by looking and changing nothing.

use std::collections::BTreeSet;

use longshore_sdk::binding::Proposed;
use longshore_sdk::finding::{self, Finding};
use longshore_sdk::{Error, Result};

use crate::binding::key_columns;
use crate::config::{Config, Format, Resource, Settings};
use crate::faults::of_binding;
use crate::listing::{Found, Pattern};
use crate::nearby::{best, check_root, no_match};
use crate::open::{Opened, read_header};
use crate::wanted;

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
    wanted::check(resource)?;
    let mut files = Pattern::of(resource)?.list(&settings.root)?;
    settings.ready.retain(&settings.root, &mut files, |_| false);
    if files.is_empty() {
        // Files may come later, so this is no mistake by itself.
        return Ok(vec![no_match(settings, resource)]);
    }
    let columns = key_columns(&binding.collection.key);
    let mut headers = Headers::default();
    for found in files.iter().take(HEADERS_MAX) {
        match header(settings, found)? {
            Some(names) => {
                check_key(found, &names, &columns)?;
                headers.names.extend(names);
            }
            None => headers.some_unknown = true,
        }
    }
    headers.some_unknown |= files.len() > HEADERS_MAX;
    headers.check_wanted(settings, resource)
}

/// The columns of the files that were looked at.
#[derive(Default)]
struct Headers {
    names: BTreeSet<String>,
    /// Others may have more.
    some_unknown: bool,
}

impl Headers {
    /// A column that no file has may come, but is more often misspelt: where all files are known, it is a mistake.
    fn check_wanted(&self, settings: &Settings, resource: &Resource) -> Result<Vec<Error>> {
        let wanted = resource.columns.iter().flatten().enumerate();
        let Some((at, missing)) = wanted.into_iter().find(|(_, name)| !self.names.contains(*name)) else {
            return Ok(Vec::new());
        };
        if self.some_unknown {
            return Ok(Vec::new());
        }
        let root = settings.root.display();
        let message = format!(
            "capture-files reads {root}: expected a column {missing:?} in a file that matches {:?}, got {}",
            resource.glob,
            self.names.iter().cloned().collect::<Vec<_>>().join(", ")
        );
        let near = best(missing, self.names.iter().map(String::as_str));
        let suggestion = match near.first() {
            Some(near) => format!("did you mean {near}?"),
            None => "name a column that a file has".to_owned(),
        };
        Err(Error::config("files.columns.unknown", message).at_pointer(format!("/columns/{at}")).suggest(suggestion))
    }
}

/// The columns of a file; none: only its records tell, or it has no whole header yet.
fn header(settings: &Settings, found: &Found) -> Result<Option<Vec<String>>> {
    let Some(opened) = Opened::open(settings, &found.name)? else { return Ok(None) };
    if opened.format == Format::Jsonl {
        return Ok(None);
    }
    let mut records = opened.records(&found.name, &opened.fresh_state(), &settings.dialect)?;
    read_header(&mut records, &found.name, &settings.dialect)
}

fn check_key(found: &Found, names: &[String], key: &[String]) -> Result<()> {
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
