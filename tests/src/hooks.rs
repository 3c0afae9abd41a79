//! Two runtimes in a row: one posts the rows of a file, the other takes them into SQLite. Nothing joins them but requests over loopback.

use std::net::TcpListener;
use std::path::PathBuf;

use crate::destination;
use crate::scene::Scene;

/// To the end of what there is.
pub const RUN: [&str; 3] = ["run", "--until", "caught-up"];
/// Without end.
pub const RUN_ON: [&str; 1] = ["run"];

/// Who posts, and who takes it.
#[derive(Debug)]
pub struct Hooks {
    /// `files` into `webhook`.
    pub sender: Scene,
    /// `webhook` into `sqlite`.
    pub receiver: Scene,
    rows: u64,
}

impl Hooks {
    /// With so many rows, to be sent as this.
    #[must_use]
    pub fn new(rows: u64, batch_documents: u64, format: &str) -> Self {
        let (sender, receiver, port) = (Scene::new(), Scene::new(), free_port());
        let line = |id: u64| format!("{{\"id\":{id},\"body\":\"{:060}\"}}\n", id * 3);
        sender.write("data/rows.jsonl", (0..rows).map(line).collect::<String>());
        sender.write("longshore.yaml", sending(port, &format!("batch_documents: {batch_documents}, format: {format}")));
        receiver.write(
            "longshore.yaml",
            format!(
                "captures:
  hooks:
    connector: webhook
    config: {{ listen: '127.0.0.1:{port}', token: fairly-secret }}
    bindings: [{{ resource: {{ path: /in/rows }}, collection: t/rows }}]
collections:
  t/rows: {{ key: [/id] }}
materializations:
  out:
    connector: sqlite
    config: {{ path: ./out.db }}
    bindings:
      - {{ collection: t/rows, resource: {{ table: rows }} }}
      - {{ collection: t/rows, resource: {{ table: log }}, delta_updates: true }}
"
            ),
        );
        Self { sender, receiver, rows }
    }

    /// Asserts that every row of the file is there, as it was, and came once.
    ///
    /// # Panics
    /// When one is missing, came twice, or is another.
    #[track_caller]
    pub fn assert_everything_once(&self) {
        let database: PathBuf = self.receiver.join("out.db");
        let number = |query: &str| destination::number(&database, query).cast_unsigned();
        assert_eq!(number("SELECT count(DISTINCT id) FROM log"), self.rows, "rows that came");
        assert_eq!(number("SELECT count(*) FROM log"), self.rows, "and each of them once");
        assert_eq!(number("SELECT count(*) FROM rows"), self.rows, "in the table");
        assert_eq!(number("SELECT count(*) FROM rows WHERE CAST(body AS INTEGER) = id * 3"), self.rows, "as they were");
    }
}

/// A catalog that posts what lies in `data/` to this port, with more of the config.
#[must_use]
pub fn sending(port: u16, config: &str) -> String {
    format!(
        "captures:
  in:
    connector: files
    config: {{ path: ./data, format: jsonl }}
    bindings: [{{ resource: {{ glob: rows.jsonl }}, collection: t/rows }}]
collections:
  t/rows: {{ key: [/id] }}
materializations:
  hooks:
    connector: webhook
    config: {{ url: 'http://127.0.0.1:{port}/in', token: fairly-secret, retry_for: 3s, {config} }}
    bindings: [{{ collection: t/rows, resource: {{ path: /rows }}, delta_updates: true }}]
"
    )
}

/// One that nobody listens on.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
