//! What could be captured: the columns of the files a resource means, or, asked for all, one suggestion for each file.

use longshore_sdk::capture::Discovered;
use longshore_sdk::{Error, Result};

use crate::config::{Resource, Settings, strip_compression};
use crate::faults::of_binding;
use crate::listing::{Found, Pattern};
use crate::nearby::{check_root, no_match};
use crate::sample::Sample;
use crate::shape::schema_of;

/// Suggestions are made for at most so many files.
const SUGGESTIONS_MAX: usize = 1_000;

/// What is always there: which file, and which record of it.
pub(crate) const FALLBACK_KEY: [&str; 2] = ["/_meta/source/file", "/_meta/source/record"];

/// Describes exactly these resources.
pub(crate) fn describe(settings: &Settings, resources: &[Resource]) -> Result<Vec<Discovered>> {
    check_root(settings)?;
    let describe = |(index, resource): (usize, &Resource)| {
        let at = |error: Error| of_binding(error, index);
        let mut files = Pattern::of(resource).and_then(|pattern| pattern.list(&settings.root)).map_err(at)?;
        settings.ready.retain(&settings.root, &mut files, |_| false);
        if files.is_empty() {
            return Err(at(no_match(settings, resource)));
        }
        // The user has chosen a key, or will: what only the fallback key needs is stated when the session opens.
        described(settings, resource, &files, false).map_err(at)
    };
    resources.iter().enumerate().map(describe).collect()
}

/// One suggestion for each file below the root whose format is known.
pub(crate) fn list(settings: &Settings) -> Result<Vec<Discovered>> {
    check_root(settings)?;
    let everything = Pattern::compile("**/*").map_err(|why| Error::internal("files.glob", why))?;
    let mut files = everything.list(&settings.root)?;
    settings.ready.retain(&settings.root, &mut files, |_| false);
    files.retain(|found| settings.format_of(&found.name).is_some());
    if files.len() > SUGGESTIONS_MAX {
        tracing::warn!(files = files.len(), "suggesting the first {SUGGESTIONS_MAX} files only");
        files.truncate(SUGGESTIONS_MAX);
    }
    // One file that cannot be read does not hide the others.
    let suggest = |found: &Found| {
        let resource = Resource { glob: globset::escape(&found.name), columns: None };
        described(settings, &resource, std::slice::from_ref(found), true)
            .map_err(|error| tracing::warn!(file = %found.name, %error, "no suggestion for this file"))
            .ok()
    };
    Ok(files.iter().filter_map(suggest).collect())
}

fn described(settings: &Settings, resource: &Resource, files: &[Found], source: bool) -> Result<Discovered> {
    let sample = Sample::take(settings, files)?;
    let schema = schema_of(sample.columns(), source);
    let json = serde_json::json!({ "glob": resource.glob });
    Ok(Discovered::new(collection_name(&resource.glob), json, schema)
        .fallback_key(FALLBACK_KEY)
        .note(note(files, &sample)))
}

fn note(files: &[Found], sample: &Sample) -> String {
    let bytes: u64 = files.iter().map(|found| found.stamp.size_bytes).sum();
    let of = match files {
        [_] => format!("{bytes} bytes"),
        files => format!("{} files, {bytes} bytes", files.len()),
    };
    let looked = if sample.cut { "types from the first" } else { "types from all" };
    format!("{of}; {looked} {} records", sample.records)
}

/// A name for the collection from the plain beginning of a glob: `2013/flights-*.csv.gz` is `2013/flights`.
fn collection_name(glob: &str) -> String {
    let plain = glob.split(['*', '?', '[', '{', '\\']).next().unwrap_or_default();
    let stem = if plain.len() == glob.len() {
        let (name, _) = strip_compression(glob);
        match name.rsplit_once('.') {
            Some((stem, extension)) if !extension.contains('/') => stem,
            Some(_) | None => name,
        }
    } else {
        plain
    };
    let fit = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '_' | '-' | '/') => letter,
        _ => '_',
    };
    let name: String = stem.chars().map(fit).take(200).collect();
    match name.trim_matches(['_', '-', '/']) {
        "" => "files".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_is_named_after_the_plain_part_of_the_glob() {
        for (glob, name) in [
            ("flights.csv", "flights"),
            ("flights.csv.zst", "flights"),
            ("2013/Flights-*.csv.gz", "2013/flights"),
            ("a b.csv", "a_b"),
            ("*.csv", "files"),
            ("v1.2/data", "v1_2/data"),
        ] {
            assert_eq!(collection_name(glob), name, "{glob}");
        }
    }
}
