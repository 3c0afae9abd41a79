//! Which files a pattern means, in an order that is always the same. It looks at names and sizes only and opens no file.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use globset::{GlobBuilder, GlobMatcher};
use longshore_sdk::{Error, Result};

use crate::config::Resource;

/// A resource's glob, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    matcher: GlobMatcher,
    /// Folders below the root that may hold a match.
    depth_max: usize,
    literal: bool,
    hidden: bool,
}

/// A file, as it was when it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Below the root, with `/` between folders. This is the file's identity.
    pub(crate) name: String,
    pub(crate) stamp: Stamp,
}

/// What changes when a file does, as far as one can tell without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size_bytes: u64,
    pub(crate) modified: Option<SystemTime>,
    pub(crate) inode: u64,
}

/// Folders are not followed deeper than this, whatever `**` says.
const DEPTH_MAX: usize = 64;

impl Pattern {
    /// The pattern of a resource.
    pub(crate) fn of(resource: &Resource) -> Result<Pattern> {
        Pattern::compile(&resource.glob).map_err(|why| {
            let message = format!("capture-files reads a resource: the glob {:?} does not work: {why}", resource.glob);
            Error::config("files.glob.invalid", message)
                .at_pointer("/glob")
                .suggest("such as flights.csv, *.csv or 2013/**/*.csv.gz")
        })
    }

    /// Compiles a glob; the error says what is wrong with it.
    pub(crate) fn compile(glob: &str) -> std::result::Result<Pattern, String> {
        let text = glob.strip_prefix("./").unwrap_or(glob);
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        if text.starts_with('/') || text.split('/').any(|part| part == "..") {
            return Err("it must stay below `path`".to_owned());
        }
        let built = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
        let matcher = built.map_err(|error| error.kind().to_string())?.compile_matcher();
        let crosses = text.contains("**") || text.contains('{');
        Ok(Pattern {
            matcher,
            depth_max: if crosses { DEPTH_MAX } else { text.matches('/').count() },
            literal: !text.contains(['*', '?', '[', ']', '{', '}', '\\']),
            hidden: text.split('/').any(|part| part.starts_with('.')),
            text: text.to_owned(),
        })
    }

    /// The glob as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The files below `root` that match, by name. Hidden files and folders count only where the pattern names one; links to files are
    /// followed, links to folders are not.
    pub(crate) fn list(&self, root: &Path) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        if self.literal {
            match std::fs::metadata(root.join(&self.text)) {
                Ok(metadata) if metadata.is_file() => found.push(Found::new(self.text.clone(), &metadata)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&root.join(&self.text), &error)),
            }
            // Told apart from a missing file, which is no error: it may come.
            std::fs::metadata(root).map_err(|error| unreadable(root, &error))?;
        } else {
            self.walk(root, "", 0, &mut found)?;
            found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(found)
    }

    fn walk(&self, root: &Path, below: &str, depth: usize, found: &mut Vec<Found>) -> Result<()> {
        let folder = root.join(below);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if depth > 0 && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unreadable(&folder, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            if shown.starts_with('.') && !self.hidden {
                continue;
            }
            let path = if below.is_empty() { shown.into_owned() } else { format!("{below}/{shown}") };
            let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), &error))?;
            if kind.is_dir() {
                if depth < self.depth_max {
                    self.walk(root, &path, depth + 1, found)?;
                }
            } else if self.matcher.is_match(&path) {
                if name.to_str().is_none() {
                    let message =
                        format!("capture-files lists {}: the file name {path:?} is not UTF-8", root.display());
                    return Err(Error::config("files.name.encoding", message).suggest("rename the file"));
                }
                match std::fs::metadata(entry.path()) {
                    Ok(metadata) if metadata.is_file() => found.push(Found::new(path, &metadata)),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(unreadable(&entry.path(), &error)),
                }
            }
        }
        Ok(())
    }
}

impl Found {
    fn new(name: String, metadata: &Metadata) -> Found {
        Found { name, stamp: Stamp::of(metadata) }
    }
}

impl Stamp {
    /// The stamp of an open file, or of one just looked up.
    pub(crate) fn of(metadata: &Metadata) -> Stamp {
        Stamp { size_bytes: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino() }
    }
}

/// Somebody else's disk said no.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Error {
    let message = format!("capture-files reads {}: {error}", path.display());
    let is = |kind| error.kind() == kind;
    if is(io::ErrorKind::PermissionDenied) {
        Error::config("files.read.denied", message)
            .suggest("let the user who runs the connector read the file and its folders")
    } else if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::InvalidFilename]
        .into_iter()
        .any(is)
    {
        Error::config("files.path.missing", message)
            .at_pointer("/path")
            .suggest("paths are relative to the catalog; create the directory or correct `path`")
    } else {
        Error::unavailable("files.read.failed", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path, glob: &str) -> Vec<String> {
        Pattern::compile(glob).unwrap().list(root).unwrap().into_iter().map(|found| found.name).collect()
    }

    #[test]
    fn a_pattern_lists_its_files_by_name_and_leaves_hidden_ones_alone() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", "note.txt", "deep/er/c.csv", "deep/d.csv", ".hidden/e.csv", ".f.csv"] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        std::os::unix::fs::symlink("a.csv", root.path().join("link.csv")).unwrap();
        std::os::unix::fs::symlink("deep", root.path().join("round")).unwrap();
        let root = root.path();
        assert_eq!(names(root, "*.csv"), ["a.csv", "b.csv", "link.csv"]);
        assert_eq!(names(root, "deep/*.csv"), ["deep/d.csv"]);
        assert_eq!(names(root, "**/*.csv"), ["a.csv", "b.csv", "deep/d.csv", "deep/er/c.csv", "link.csv"]);
        assert_eq!(names(root, "{a,note}.{csv,txt}"), ["a.csv", "note.txt"]);
        assert_eq!(names(root, "./a.csv"), ["a.csv"]);
        assert_eq!(names(root, ".hidden/*.csv"), [".hidden/e.csv"]);
        assert_eq!(names(root, "missing.csv"), Vec::<String>::new());
        assert_eq!(names(root, "missing/*.csv"), Vec::<String>::new());
    }

    #[test]
    fn a_pattern_that_leaves_the_root_or_does_not_parse_is_refused() {
        for glob in ["", "/etc/*.csv", "../x.csv", "a/../../x", "[a", "{a"] {
            assert!(Pattern::compile(glob).is_err(), "{glob:?}");
        }
    }

    #[test]
    fn a_root_that_is_not_there_is_a_config_error() {
        let root = tempfile::tempdir().unwrap();
        for glob in ["a.csv", "*.csv"] {
            let error = Pattern::compile(glob).unwrap().list(&root.path().join("gone")).unwrap_err();
            assert_eq!(error.code, "files.path.missing");
        }
    }
}
