//! Which connector a file, a folder or a URL belongs to: one table. Whether that connector is installed is asked when it is started, and
//! what it takes is said by its own schema.

use std::io::Read as _;
use std::path::Path;

use crate::connector::Kind;

/// How one connector is told.
struct Known {
    kind: Kind,
    connector: &'static str,
    /// Behind the last dot of a file's name, in lower case.
    extensions: &'static [&'static str],
    /// What such a file begins with.
    begins: Option<&'static [u8]>,
    /// In front of `://`.
    schemes: &'static [&'static str],
}

const KNOWN: [Known; 9] = [
    Known { extensions: &["csv", "tsv", "tab", "jsonl", "ndjson"], ..capture(FILES) },
    Known { extensions: &["db", "sqlite", "sqlite3", "db3"], begins: Some(b"SQLite format 3\0"), ..capture("sqlite") },
    Known { schemes: &["postgres", "postgresql"], ..capture("postgres") },
    Known { schemes: &["mysql", "mariadb"], ..capture("mysql") },
    Known { schemes: &["s3"], ..capture("s3") },
    Known { schemes: &["https", "http"], ..capture("http") },
    Known { schemes: &["postgres", "postgresql"], ..materialize("postgres") },
    Known { schemes: &["s3"], ..materialize("parquet") },
    Known { schemes: &["https", "http"], ..materialize("webhook") },
];

/// The connector of whole folders, and of files that hold records.
pub(super) const FILES: &str = "files";
/// Where rows go when nobody says.
pub(super) const BY_DEFAULT: &str = "sqlite";
/// Extensions of a compressed file, in front of which another one stands.
const COMPRESSED: [&str; 4] = ["gz", "gzip", "zst", "zstd"];
/// Destinations that keep every document and no row a key: their bindings are `delta_updates`.
const DELTA_ONLY: [&str; 3] = ["files", "parquet", "webhook"];

const fn capture(connector: &'static str) -> Known {
    Known { kind: Kind::Capture, connector, extensions: &[], begins: None, schemes: &[] }
}

const fn materialize(connector: &'static str) -> Known {
    Known { kind: Kind::Materialize, connector, extensions: &[], begins: None, schemes: &[] }
}

/// The connector that a scheme is for.
pub(super) fn of_scheme(kind: Kind, scheme: &str) -> Option<&'static str> {
    let scheme = scheme.to_ascii_lowercase();
    KNOWN.iter().find(|one| one.kind == kind && one.schemes.contains(&scheme.as_str())).map(|one| one.connector)
}

/// The connector that reads a file: by its first bytes, else by its name.
pub(super) fn of_file(path: &Path) -> Option<&'static str> {
    let captures = || KNOWN.iter().filter(|one| one.kind == Kind::Capture);
    let mut head = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // A file that cannot be read is the connector's to tell of.
        drop(file.take(64).read_to_end(&mut head));
    }
    let by_content = captures().find(|one| one.begins.is_some_and(|begins| head.starts_with(begins)));
    let extension = extension(path);
    let by_name = || captures().find(|one| one.extensions.contains(&extension.as_str()));
    by_content.or_else(by_name).map(|one| one.connector)
}

/// Whether its bindings have to be `delta_updates`.
pub(super) fn is_delta_only(connector: &str) -> bool {
    DELTA_ONLY.contains(&connector)
}

/// What can be told without a flag, for a help line.
pub(super) fn told(kind: Kind) -> String {
    let of_kind = || KNOWN.iter().filter(|one| one.kind == kind);
    let extensions = of_kind().flat_map(|one| one.extensions).map(|extension| format!(".{extension}"));
    let schemes = of_kind().flat_map(|one| one.schemes).map(|scheme| format!("{scheme}://"));
    extensions.chain(schemes).collect::<Vec<_>>().join(", ")
}

/// In lower case; of a compressed file the one in front.
fn extension(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let mut parts = name.rsplit('.').map(str::to_owned);
    match parts.next() {
        Some(last) if COMPRESSED.contains(&last.as_str()) => parts.next().unwrap_or_default(),
        Some(last) => last,
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_first_bytes_and_then_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let told = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            of_file(&path)
        };
        assert_eq!(told("a.csv", b"id\n1\n"), Some("files"));
        assert_eq!(told("a.JSONL.gz", b""), Some("files"));
        assert_eq!(told("shop.db", b"SQLite format 3\0 and more"), Some("sqlite"));
        assert_eq!(told("shop.data", b"SQLite format 3\0"), Some("sqlite"));
        assert_eq!(told("new.sqlite", b""), Some("sqlite"));
        assert_eq!(told("picture.png", b"\x89PNG"), None);
        assert_eq!(told("csv.gz", b""), Some("files"), "a name without more in front");
    }

    #[test]
    fn a_scheme_means_another_connector_where_it_is_written_to() {
        assert_eq!(of_scheme(Kind::Capture, "HTTPS"), Some("http"));
        assert_eq!(of_scheme(Kind::Materialize, "https"), Some("webhook"));
        assert_eq!(of_scheme(Kind::Capture, "gopher"), None);
    }
}
