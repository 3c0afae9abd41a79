//! C1: changes in transactions of a thousand into a sink that counts them, with durable checkpoints, beside `pg_recvlogical` of a copy of our
//! slot into /dev/null. The table was captured before; what is timed is the run that finds all changes waiting.

use std::path::PathBuf;
use std::process::Stdio;

use super::super::{Bins, Figure, moved, remove, scratch};
use super::{
    BENCH_SQL, Contest, IN_TRANSACTION, SLOT, Server, Told, Who, alternate, catch_up, lay_catalog, transactions_of,
};
use crate::Problem;

/// As in R1 and K1.
const INTO_NOTHING: &str = "    connector: \"null\"
    config: { path: ./null.checkpoint }
    bindings: [{ collection: bench/rows, resource: { name: bench }, delta_updates: true }]
";
/// Documents of a transaction of `change`: a row that gets another key is a deletion and a creation.
const DOCUMENTS_IN_TRANSACTION: u64 = IN_TRANSACTION + 10;

pub(in super::super) fn changes_into_nothing(bins: &Bins, changes: u64) -> Result<Figure, Problem> {
    let transactions = transactions_of(changes)?;
    let server = Server::start("")?;
    server.run("postgres", ["CREATE DATABASE source"])?;
    let fill = format!("INSERT INTO bench SELECT * FROM rows_of(1, {changes})");
    server.run("source", [BENCH_SQL, &fill, "VACUUM (FREEZE, ANALYZE) bench"])?;
    let directory = scratch()?;
    lay_catalog(&server, &directory, INTO_NOTHING)?;
    let mut contest =
        Drain { bins, server: &server, directory, transactions, end: String::new(), summary: String::new() };
    let told = Told {
        yardstick: "pg_recvlogical",
        of: "changes a second; the figure of longshore holds its start and end",
        rows: transactions * IN_TRANSACTION,
        floor: 0.6,
        goal: 0.95,
    };
    let figure = alternate(&server, &told, &mut contest)?;
    remove(&contest.directory)?;
    Ok(figure)
}

struct Drain<'a> {
    bins: &'a Bins,
    server: &'a Server,
    directory: PathBuf,
    transactions: u64,
    /// Where the changes of this turn end in the log.
    end: String,
    /// Of our last run.
    summary: String,
}

impl Contest for Drain<'_> {
    fn begin(&mut self) -> Result<(), Problem> {
        // The first one walks the table, each later one lets the slot go up to here.
        self.server.run("postgres", ["CHECKPOINT"])?;
        catch_up(self.bins, &self.directory)?;
        let copy = |who| format!("SELECT pg_copy_logical_replication_slot('{SLOT}', '{}')", slot_of(who));
        self.server.run("source", [&copy(Who::Yardstick), &copy(Who::Again), "VACUUM bench"])?;
        let change = format!("CALL change({})", self.transactions);
        self.end = self.server.run("source", [&change, "SELECT pg_current_wal_flush_lsn()"])?;
        Ok(())
    }

    fn prepare(&mut self, _: Who) -> Result<(), Problem> {
        Ok(())
    }

    fn run(&mut self, who: Who) -> Result<(), Problem> {
        if who == Who::Ours {
            self.summary = catch_up(self.bins, &self.directory)?;
            return Ok(());
        }
        let mut command = self.server.client("pg_recvlogical", "source");
        command.args(["--start", "--no-loop", "-f", "/dev/null", "-S", slot_of(who), "--endpos", &self.end]);
        // What the capture asks for.
        command.args(["-o", "proto_version=1", "-o", "messages=true", "-o"]).arg(format!("publication_names={SLOT}"));
        crate::run(command.stdin(Stdio::null()))
    }

    fn check(&mut self, who: Who) -> Result<(), Problem> {
        if who != Who::Ours {
            let drop = format!("SELECT pg_drop_replication_slot('{}')", slot_of(who));
            return self.server.run("source", [&drop]).map(|_| ());
        }
        let expected = self.transactions * DOCUMENTS_IN_TRANSACTION;
        match moved(&self.summary, "sink") {
            Some(rows) if rows == expected => Ok(()),
            rows => Err(Problem(format!("expected {expected} documents in the sink, the summary says {rows:?}"))),
        }
    }
}

fn slot_of(who: Who) -> &'static str {
    match who {
        Who::Yardstick => "yardstick",
        Who::Ours => SLOT,
        Who::Again => "again",
    }
}
