//! What a task has on the server: a publication, which says what of the log is sent, and a slot, which keeps the log until it is covered.

use longshore_postgres::{Client, failed, quoted};
use longshore_sdk::{Error, Result};

use crate::lsn::Lsn;
use crate::table::Table;

/// A replication slot.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) plugin: String,
    pub(crate) is_here: bool,
    /// It sends transactions when they are prepared, whatever becomes of them.
    is_two_phase: bool,
    /// Process of the server that reads from it.
    pub(crate) reader: Option<i32>,
    pub(crate) wal_status: String,
    /// All before this is gone from it.
    pub(crate) confirmed: Lsn,
}

/// A publication.
#[derive(Debug)]
pub(crate) struct Publication {
    has_all_tables: bool,
    has_all_operations: bool,
    via_root: bool,
    has_filters: bool,
    tables: Vec<u32>,
}

impl Slot {
    pub(crate) async fn find(client: &Client, name: &str) -> Result<Option<Slot>> {
        let ask = "SELECT coalesce(plugin, 'none')::text, coalesce(database = current_database(), false), active_pid, \
                   coalesce(wal_status, 'lost'), coalesce(confirmed_flush_lsn, '0/0')::text, two_phase FROM pg_replication_slots WHERE slot_name = $1";
        let found =
            client.query_opt(ask, &[&name]).await.map_err(|error| failed("looking at the replication slot", &error))?;
        found
            .map(|row| {
                let confirmed: String = row.get(4);
                let confirmed = confirmed.parse().map_err(|fault: String| Error::internal("postgres.lsn", fault))?;
                Ok(Slot {
                    plugin: row.get(0),
                    is_here: row.get(1),
                    is_two_phase: row.get(5),
                    reader: row.get(2),
                    wal_status: row.get(3),
                    confirmed,
                })
            })
            .transpose()
    }

    /// Somebody else's, whatever a state says.
    pub(crate) fn check_ours(&self, name: &str) -> Result<()> {
        let got = match (self.plugin.as_str(), self.is_here) {
            ("pgoutput", true) if self.is_two_phase => "one with `two_phase`",
            ("pgoutput", true) => return Ok(()),
            ("pgoutput", false) => "one of another database",
            (_, _) => "one of another plugin",
        };
        let message = format!(
            "capture-postgres looks at replication slot {name}: expected one with plugin pgoutput of this database, got {got}"
        );
        Err(Error::config("postgres.slot.other", message)
            .at_pointer("/slot")
            .suggest("drop it, or choose another name with `slot`"))
    }

    pub(crate) async fn create(client: &Client, name: &str) -> Result<()> {
        let create = "SELECT pg_create_logical_replication_slot($1, 'pgoutput')::text";
        let done = client.query_one(create, &[&name]).await;
        done.map(drop).map_err(|error| failed(&format!("creating replication slot {name}"), &error))
    }

    pub(crate) async fn drop_it(client: &Client, name: &str) -> Result<()> {
        let done = client.query_one("SELECT pg_drop_replication_slot($1)::text", &[&name]).await;
        done.map(drop).map_err(|error| failed(&format!("dropping replication slot {name}"), &error))
    }
}

impl Publication {
    pub(crate) async fn find(client: &Client, name: &str) -> Result<Option<Publication>> {
        let ask = "SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot, \
                   EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)) \
                   OR EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = p.oid), \
                   ARRAY(SELECT r.prrelid FROM pg_publication_rel r WHERE r.prpubid = p.oid ORDER BY 1) FROM pg_publication p WHERE pubname = $1";
        let found =
            client.query_opt(ask, &[&name]).await.map_err(|error| failed("looking at the publication", &error))?;
        Ok(found.map(|row| Publication {
            has_all_tables: row.get(0),
            has_all_operations: row.get(1),
            via_root: row.get(2),
            has_filters: row.get(3),
            tables: row.get(4),
        }))
    }

    /// It sends all changes of exactly these tables, or of all tables there are.
    pub(crate) fn is_of(&self, tables: &[Table]) -> bool {
        let mut wanted: Vec<u32> = tables.iter().map(|table| table.oid).collect();
        wanted.sort_unstable();
        self.is_sound() && (self.has_all_tables || self.tables == wanted)
    }

    /// It sends all changes of this table.
    pub(crate) fn has(&self, table: &Table) -> bool {
        self.is_sound() && (self.has_all_tables || self.tables.contains(&table.oid))
    }

    fn is_sound(&self) -> bool {
        self.has_all_operations && self.via_root && !self.has_filters
    }

    /// Statements that make it of these tables, whatever there is.
    pub(crate) fn statements(found: Option<&Publication>, name: &str, tables: &[Table]) -> Vec<String> {
        const WITH: &str = "(publish = 'insert, update, delete, truncate', publish_via_partition_root = true)";
        let name = quoted(name);
        let list: Vec<String> = tables.iter().map(Table::sql_from).collect();
        let list = list.join(", ");
        match found {
            // Nothing to publish yet, and a list of none cannot be set.
            _ if tables.is_empty() => match found {
                Some(_) => vec![format!("DROP PUBLICATION {name}"), format!("CREATE PUBLICATION {name} WITH {WITH}")],
                None => vec![format!("CREATE PUBLICATION {name} WITH {WITH}")],
            },
            None => vec![format!("CREATE PUBLICATION {name} FOR TABLE {list} WITH {WITH}")],
            Some(found) if found.has_all_tables => vec![format!("ALTER PUBLICATION {name} SET {WITH}")],
            Some(_) => vec![
                format!("ALTER PUBLICATION {name} SET TABLE {list}"),
                format!("ALTER PUBLICATION {name} SET {WITH}"),
            ],
        }
    }
}

const ASKING: &str = "asking for the end of the log";

/// Behind all that was inserted into the log by now, also what is not on disk yet: a transaction that does not wait for that is seen before.
pub(crate) async fn inserted(client: &Client) -> Result<Lsn> {
    let row = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await;
    end_of_log(row.map_err(|error| failed(ASKING, &error))?.get(0))
}

/// Where the log on disk ends, and the server's time in milliseconds.
pub(crate) async fn end_and_time(client: &Client) -> Result<(Lsn, i64)> {
    let ask = "SELECT pg_current_wal_flush_lsn()::text, (extract(epoch FROM clock_timestamp()) * 1000)::int8";
    let row = client.query_one(ask, &[]).await.map_err(|error| failed(ASKING, &error))?;
    Ok((end_of_log(row.get(0))?, row.get(1)))
}

fn end_of_log(text: &str) -> Result<Lsn> {
    let end: Result<Lsn, String> = text.parse();
    end.map(Lsn::without_page_header).map_err(|fault| Error::internal("postgres.lsn", format!("{ASKING}: {fault}")))
}
