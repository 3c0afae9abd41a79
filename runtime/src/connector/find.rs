//! Finds the executable of a bundled connector: `capture-NAME` or `materialize-NAME`.
//!
//! Looked for beside the runtime's own binary, then in the directories of `LONGSHORE_CONNECTORS`, then on PATH; the first one found is
//! it. Does not start anything: see [`super::process`].

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use longshore_proto::Error;

use super::Kind;

/// An executable that looks like a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundled {
    /// Which half of the protocol it speaks, by its file name.
    pub kind: Kind,
    /// The name a catalog uses: `files` for `capture-files`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Directories in the order they are looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPath {
    directories: Vec<PathBuf>,
}

impl SearchPath {
    /// Of this process: beside its binary, `LONGSHORE_CONNECTORS`, PATH.
    #[must_use]
    pub fn of_this_process() -> Self {
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
        let variable = |name| std::env::var_os(name).unwrap_or_default();
        let listed = variable("LONGSHORE_CONNECTORS");
        let path = variable("PATH");
        let directories = beside.into_iter().chain(std::env::split_paths(&listed)).chain(std::env::split_paths(&path));
        Self::new(directories)
    }

    /// These directories, without doubles and empty words.
    pub fn new(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut unique: Vec<PathBuf> = Vec::new();
        for directory in directories {
            if !directory.as_os_str().is_empty() && !unique.contains(&directory) {
                unique.push(directory);
            }
        }
        Self { directories: unique }
    }

    /// The executable of a bundled connector, or an error that lists where it was looked for and what was meant perhaps.
    pub fn find(&self, kind: Kind, name: &str) -> Result<PathBuf, Error> {
        let well_formed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(well_formed) {
            let message = format!("connector name {name:?}: expected lower-case letters, digits, '-' and '_'");
            return Err(Error::config("connector.name", message)
                .suggest("`connector` takes the name of a bundled connector; for a program of your own use `command: [./program]`"));
        }
        let file = format!("{}-{name}", kind.prefix());
        match self.directories.iter().map(|directory| directory.join(&file)).find(|path| is_executable(path)) {
            Some(path) => Ok(path),
            None => Err(self.not_found(kind, name, &file)),
        }
    }

    /// All connectors that would be found, by kind and name.
    #[must_use]
    pub fn list(&self) -> Vec<Bundled> {
        let mut found = BTreeMap::new();
        for directory in &self.directories {
            let Ok(entries) = std::fs::read_dir(directory) else { continue };
            for entry in entries.flatten() {
                let file = entry.file_name();
                let Some((kind, name)) = file.to_str().and_then(parse_file_name) else { continue };
                let path = entry.path();
                if is_executable(&path) {
                    found.entry((kind, name.to_owned())).or_insert(path);
                }
            }
        }
        found.into_iter().map(|((kind, name), path)| Bundled { kind, name, path }).collect()
    }

    fn not_found(&self, kind: Kind, name: &str, file: &str) -> Error {
        let looked: Vec<String> = self.directories.iter().map(|d| d.display().to_string()).collect();
        let message = format!("connector {name:?}: no executable {file} found; looked in {}", looked.join(", "));
        let known: Vec<String> = self.list().into_iter().filter(|b| b.kind == kind).map(|b| b.name).collect();
        let near = known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, name), known))
            .filter(|(distance, known)| *distance <= 2.max(known.len() / 3))
            .min();
        let suggestion = match near {
            Some((_, near)) => format!("did you mean {near:?}?"),
            None if known.is_empty() => {
                "put the connector's directory into LONGSHORE_CONNECTORS, or build the workspace with --workspace"
                    .to_owned()
            }
            None => format!("there are: {}", known.join(", ")),
        };
        Error::config("connector.unknown", message).suggest(suggestion)
    }
}

fn parse_file_name(file: &str) -> Option<(Kind, &str)> {
    let (kind, name) = [Kind::Capture, Kind::Materialize]
        .into_iter()
        .find_map(|kind| Some((kind, file.strip_prefix(kind.prefix())?.strip_prefix('-')?)))?;
    // Build leftovers (`capture-files.d`, hashed test binaries below `deps`) and other tools have dots or look different.
    (!name.is_empty() && !name.contains('.')).then_some((kind, name))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executable(directory: &Path, file: &str) {
        let path = directory.join(file);
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_first_directory_wins() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        executable(second.path(), "capture-files");
        let search = SearchPath::new([first.path().to_path_buf(), second.path().to_path_buf()]);
        assert_eq!(search.find(Kind::Capture, "files").unwrap(), second.path().join("capture-files"));
        executable(first.path(), "capture-files");
        assert_eq!(search.find(Kind::Capture, "files").unwrap(), first.path().join("capture-files"));
        assert_eq!(search.list().len(), 1, "one name, one connector");
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_not_a_connector() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("capture-files"), "").unwrap();
        assert!(SearchPath::new([directory.path().to_path_buf()]).find(Kind::Capture, "files").is_err());
    }

    #[test]
    fn an_unknown_name_is_told_where_it_was_looked_for_and_what_is_near() {
        let directory = tempfile::tempdir().unwrap();
        executable(directory.path(), "materialize-sqlite");
        executable(directory.path(), "capture-sqlit");
        let search = SearchPath::new([directory.path().to_path_buf()]);
        let error = search.find(Kind::Materialize, "sqllite").unwrap_err();
        assert!(error.message.contains("materialize-sqllite"), "{}", error.message);
        assert!(error.message.contains(&directory.path().display().to_string()), "{}", error.message);
        assert_eq!(error.suggestion, "did you mean \"sqlite\"?");
    }

    #[test]
    fn a_name_never_leaves_the_directories() {
        let search = SearchPath::new([PathBuf::from("/")]);
        for name in ["", "../evil", "a/b", "A", "x y"] {
            assert_eq!(search.find(Kind::Capture, name).unwrap_err().code, "connector.name", "{name}");
        }
    }
}
