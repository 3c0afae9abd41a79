//! What arrived, read without any code of ours and compared with the source: SQLite tables and JSONL files against CSV.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};

/// How many rows there are and a checksum over all of them, sorted: equal for equal multisets of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Number of rows.
    pub rows: u64,
    /// SHA-256 over the sorted rows, in hex.
    pub checksum: String,
}

/// What a CSV file holds, each column typed by all of its values: integer, else number, else text; `NA` and empty are null.
///
/// # Panics
/// When the file cannot be read or quotes anything (the data of the tests does not).
#[must_use]
pub fn csv(path: &Path) -> Content {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    let (header, rows) = records(path, &text);
    let kinds = kinds(header.len(), &rows);
    let cell = |(column, field): (usize, &&str)| {
        let value = match kinds[column] {
            _ if is_null(field) => "null".to_owned(),
            'i' => format!("i{}", field.parse::<i64>().expect("an integer")),
            'r' => format!("r{:016x}", field.parse::<f64>().expect("a number").to_bits()),
            _ => format!("t{field}"),
        };
        (header[column].to_owned(), value)
    };
    digest(rows.iter().map(|row| row.iter().enumerate().map(cell).collect()))
}

fn records<'t>(path: &Path, text: &'t str) -> (Vec<&'t str>, Vec<Vec<&'t str>>) {
    assert!(!text.contains('"'), "{} quotes fields, this reader does not", path.display());
    let mut lines = text.lines();
    let header = lines.next().expect("a header").split(',').collect();
    (header, lines.map(|line| line.split(',').collect()).collect())
}

fn is_null(field: &str) -> bool {
    field.is_empty() || field == "NA"
}

/// Of each column: `i`nteger, `r`eal or `t`ext.
fn kinds(columns: usize, rows: &[Vec<&str>]) -> Vec<char> {
    let all = |column: usize, fits: fn(&str) -> bool| rows.iter().all(|row| is_null(row[column]) || fits(row[column]));
    let kind = |column| match () {
        () if all(column, |field| field.parse::<i64>().is_ok()) => 'i',
        () if all(column, |field| field.parse::<f64>().is_ok()) => 'r',
        () => 't',
    };
    (0..columns).map(kind).collect()
}

/// What a table holds, column by column under its name, with the type each value is stored as.
///
/// # Panics
/// When there is no such table.
#[must_use]
pub fn table(database: &Path, table: &str) -> Content {
    let connection = open(database);
    let mut select = connection.prepare(&format!("SELECT * FROM \"{table}\"")).expect("a table");
    let names: Vec<String> = select.column_names().map(str::to_owned).collect();
    let mut found = select.query([]).expect("rows");
    let mut rows = Vec::new();
    while let Some(row) = found.next().expect("a row") {
        let cell = |(column, name): (usize, &String)| {
            let value = match row.get_ref(column).expect("a column") {
                ValueRef::Null => "null".to_owned(),
                ValueRef::Integer(value) => format!("i{value}"),
                ValueRef::Real(value) => format!("r{:016x}", value.to_bits()),
                ValueRef::Text(value) => format!("t{}", String::from_utf8_lossy(value)),
                ValueRef::Blob(_) => panic!("{table}.{name} holds a blob"),
            };
            (name.clone(), value)
        };
        rows.push(names.iter().enumerate().map(cell).collect::<BTreeMap<_, _>>());
    }
    digest(rows.into_iter())
}

/// One value of a query.
///
/// # Panics
/// When the query fails.
#[must_use]
pub fn number(database: &Path, query: &str) -> i64 {
    open(database).query_row(query, [], |row| row.get(0)).unwrap_or_else(|e| panic!("{query}: {e}"))
}

/// The same for a text.
///
/// # Panics
/// When the query fails.
#[must_use]
pub fn text(database: &Path, query: &str) -> String {
    open(database).query_row(query, [], |row| row.get(0)).unwrap_or_else(|e| panic!("{query}: {e}"))
}

/// What the published JSONL files of a resource hold, all of them together, values typed as a CSV's are.
///
/// # Panics
/// When a line is not a flat JSON object.
#[must_use]
pub fn jsonl(directory: &Path) -> Content {
    lines(directory, &BTreeSet::new())
}

/// The same of rows that came from a CSV file: in a column of numbers there, `5` and `5.0` are one. What a document says of itself is left out.
///
/// # Panics
/// When a line is not a flat JSON object, or the file cannot be read.
#[must_use]
pub fn jsonl_of(directory: &Path, csv: &Path) -> Content {
    let text = std::fs::read_to_string(csv).unwrap_or_else(|e| panic!("cannot read {}: {e}", csv.display()));
    let (header, rows) = records(csv, &text);
    let kinds = kinds(header.len(), &rows);
    lines(directory, &header.iter().zip(kinds).filter(|(_, kind)| *kind == 'r').map(|(name, _)| *name).collect())
}

fn lines(directory: &Path, numbers: &BTreeSet<&str>) -> Content {
    digest(documents(directory).into_iter().map(|document| {
        let cell = |(name, value): (&String, &serde_json::Value)| {
            let value = match value {
                serde_json::Value::Null => "null".to_owned(),
                serde_json::Value::Number(n) => match n.as_i64().filter(|_| !numbers.contains(name.as_str())) {
                    Some(integer) => format!("i{integer}"),
                    None => format!("r{:016x}", n.as_f64().expect("a number").to_bits()),
                },
                serde_json::Value::String(text) => format!("t{text}"),
                serde_json::Value::Bool(_) | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                    panic!("{name} holds {value}")
                }
            };
            (name.clone(), value)
        };
        let fields = document.as_object().expect("an object").iter().filter(|(name, _)| *name != "_meta");
        fields.map(cell).collect()
    }))
}

/// Every document of the published JSONL files of a resource.
///
/// # Panics
/// When a line is not JSON.
#[must_use]
pub fn documents(directory: &Path) -> Vec<serde_json::Value> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let text = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("a published file");
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}"));
    files.iter().flat_map(|path| text(path).lines().map(parse).collect::<Vec<_>>()).collect()
}

fn open(database: &Path) -> Connection {
    Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .unwrap_or_else(|e| panic!("cannot open {}: {e}", database.display()))
}

pub(crate) fn digest(rows: impl Iterator<Item = BTreeMap<String, String>>) -> Content {
    let line = |row: BTreeMap<String, String>| {
        row.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\u{1f}")
    };
    let mut lines: Vec<String> = rows.map(line).collect();
    lines.sort_unstable();
    let mut hash = Sha256::new();
    for line in &lines {
        hash.update(line.as_bytes());
        hash.update(b"\n");
    }
    let checksum = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Content { rows: lines.len() as u64, checksum }
}
