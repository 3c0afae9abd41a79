//! Names that a misspelt one may have meant, and what to say of a directory that is not there or a glob that matches nothing.

use std::path::Path;

use longshore_sdk::{Error, Result};

use crate::config::{Resource, Settings};
use crate::listing::{Pattern, unreadable};

/// So many names are compared at most.
const COMPARED_MAX: usize = 1_000;
/// And so many are told.
const TOLD_MAX: usize = 3;
/// Less alike than this (0 to 1) is something else.
const ALIKE: f64 = 0.7;

/// The directory of the config is there and is one.
pub(crate) fn check_root(settings: &Settings) -> Result<()> {
    let root = &settings.root;
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match std::fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => {
            let message = format!("capture-files reads {}: expected a directory, got a file", root.display());
            let parent = parent.display();
            Err(Error::config("files.path.not_a_directory", message).at_pointer("/path").suggest(format!(
                "`path` is the directory ({parent}), and the resource's `glob` names the file ({name})"
            )))
        }
        Err(error) => {
            let missing = unreadable(root, &error);
            let beside = std::fs::read_dir(parent).into_iter().flatten().flatten();
            let folders = beside.filter(|entry| entry.path().is_dir()).take(COMPARED_MAX);
            let names: Vec<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            Err(match best(&name, names.iter().map(String::as_str)).first() {
                Some(near) if missing.pointer == "/path" => missing.suggest(format!(
                    "did you mean {}? Paths are relative to the catalog",
                    parent.join(near).display()
                )),
                Some(_) | None => missing,
            })
        }
    }
}

/// What to say where a glob matches nothing.
pub(crate) fn no_match(settings: &Settings, resource: &Resource) -> Error {
    let root = settings.root.display();
    let waiting = Pattern::of(resource).and_then(|pattern| pattern.list(&settings.root)).map_or(0, |files| files.len());
    if waiting > 0 {
        let wanted = settings.ready.wanted();
        let message =
            format!("capture-files lists {root}: {waiting} files match {:?}, and none of them is ready", resource.glob);
        return Error::config("files.glob.not_ready", message)
            .at_pointer("/glob")
            .suggest(format!("a file is ready with {wanted}"));
    }
    let message = format!("capture-files lists {root}: expected files that match {:?}, got none", resource.glob);
    let near = like(settings, &resource.glob);
    let suggestion = match near.as_slice() {
        [] => "put the files there, or correct `glob` or `path`".to_owned(),
        names => format!("did you mean {}?", names.join(" or ")),
    };
    Error::config("files.glob.empty", message).at_pointer("/glob").suggest(suggestion)
}

/// Files below the root whose names are like `wanted`, the best first.
fn like(settings: &Settings, wanted: &str) -> Vec<String> {
    let files = Pattern::compile("**/*").ok().and_then(|all| all.list(&settings.root).ok()).unwrap_or_default();
    best(wanted, files.iter().take(COMPARED_MAX).map(|found| found.name.as_str()))
}

/// Those of `names` that are like `wanted`, the best first.
pub(crate) fn best<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(TOLD_MAX).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_alike_come_first_and_strangers_not_at_all() {
        let names = ["flights.csv", "weather.csv", "flight.tsv", "README"];
        assert_eq!(best("Flihgts.csv", names.into_iter())[0], "flights.csv");
        assert_eq!(best("zzz", names.into_iter()), Vec::<String>::new());
    }
}
