//! Who was writing to a table when a session began. The walk of the table begins when all of them have ended.
//!
//! Two kinds of transactions would else be lost, as their changes are not in the log behind our position, and not in a snapshot either:
//!
//! * One that is committed in the log before the position, emitted by a session before or older than the slot, and not yet seen by snapshots
//!   (it waits for a synchronous standby, say). It holds its lock on the table until it is seen.
//! * One that wrote to the table before this was in the publication, and is committed later: what it wrote by then is not published. It holds
//!   its lock on the table as well. Who comes behind it writes to a table that is published, so all their changes are in the log; this is
//!   why a binding that is added later needs nothing but its walk: rows as they were before are in its snapshots, changes in the log.

use std::collections::HashSet;

use longshore_postgres::{Client, failed};
use longshore_sdk::Result;

use crate::window::Snapshot;

/// Those that have not ended yet.
#[derive(Debug)]
pub(crate) struct Writers {
    oid: u32,
    running: HashSet<String>,
    /// Transactions with a number from here on began later.
    next: Snapshot,
}

/// By virtual number, which all have; one that is prepared for two-phase commit has `-1/` and its number.
const LOCKS: &str = "SELECT DISTINCT l.virtualtransaction FROM pg_locks l WHERE l.locktype = 'relation' AND l.granted \
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
    AND (l.relation = $1 OR l.relation IN (SELECT relid FROM pg_partition_tree($1))) \
    AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')";

impl Writers {
    pub(crate) async fn of(client: &Client, oid: u32) -> Result<Writers> {
        let next = snapshot(client).await?;
        let running = locks(client, oid).await?.into_iter().collect();
        Ok(Writers { oid, running, next })
    }

    /// Looks again; true: all have ended.
    pub(crate) async fn have_ended(&mut self, client: &Client) -> Result<bool> {
        if self.running.is_empty() {
            return Ok(true);
        }
        let still: HashSet<String> = locks(client, self.oid).await?.into_iter().collect();
        let is_old = |holder: &String| {
            // Prepared meanwhile, it goes on under another name.
            let prepared = holder.strip_prefix("-1/").and_then(|xid| xid.parse().ok());
            prepared.is_some_and(|xid| self.next.whole(xid) < self.next.xmax)
        };
        let running = still.iter().filter(|holder| self.running.contains(*holder) || is_old(holder)).cloned().collect();
        self.running = running;
        Ok(self.running.is_empty())
    }

    pub(crate) fn count(&self) -> usize {
        self.running.len()
    }
}

async fn locks(client: &Client, oid: u32) -> Result<Vec<String>> {
    let rows =
        client.query(LOCKS, &[&oid]).await.map_err(|error| failed("looking at who writes to a table", &error))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// The current snapshot.
pub(crate) async fn snapshot(client: &Client) -> Result<Snapshot> {
    let doing = |error: &_| failed("asking for the snapshot", error);
    let row = client.query_one("SELECT pg_current_snapshot()::text", &[]).await.map_err(|error| doing(&error))?;
    let text: String = row.get(0);
    Snapshot::parse(&text).ok_or_else(|| {
        let message = format!("capture-postgres asks for the snapshot: expected one such as 10:12:10, got {text:?}");
        longshore_sdk::Error::internal("postgres.snapshot", message)
    })
}
