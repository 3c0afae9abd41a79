//! C3: inserts, updates, deletes and changes of keys into a table of another database, exactly once, beside a SQL script that stages what became of
//! each row by COPY and merges it. The script is handed its batch: it neither decodes nor reduces.

use std::fs;
use std::path::PathBuf;

use super::super::{Bins, Figure, remove, scratch};
use super::{
    BENCH_SQL, Contest, IN_TRANSACTION, Server, Told, Who, alternate, catch_up, columns, copy_bench, forget_ours,
    into_postgres, lay_catalog, same_contents, transactions_of,
};
use crate::Problem;

/// File of the rows that are new or changed, and of the keys of those that are gone.
const BATCH: &str = "batch.copy";

pub(in super::super) fn changes_into_postgres(bins: &Bins, changes: u64) -> Result<Figure, Problem> {
    let transactions = transactions_of(changes)?;
    let server = Server::start("")?;
    server.run("postgres", ["CREATE DATABASE source", "CREATE DATABASE theirs", "CREATE DATABASE again"])?;
    let fill = format!("INSERT INTO bench SELECT * FROM rows_of(1, {changes})");
    server.run("source", [BENCH_SQL, &fill, "VACUUM (FREEZE, ANALYZE) bench"])?;
    for database in ["theirs", "again"] {
        server.run(database, [BENCH_SQL])?;
        copy_bench(&server, database)?;
    }
    let directory = scratch()?;
    lay_catalog(&server, &directory, &into_postgres(&server, "ours"))?;
    forget_ours(&server, &directory)?;
    let columns = columns(&server)?;
    let mut contest = Merge { bins, server: &server, directory, columns, transactions };
    let told = Told {
        yardstick: "COPY, MERGE",
        of: "changes a second; the figure of longshore holds its start and end",
        rows: transactions * IN_TRANSACTION,
        floor: 0.4,
        goal: 0.8,
    };
    let figure = alternate(&server, &told, &mut contest)?;
    remove(&contest.directory)?;
    Ok(figure)
}

struct Merge<'a> {
    bins: &'a Bins,
    server: &'a Server,
    directory: PathBuf,
    columns: String,
    transactions: u64,
}

impl Contest for Merge<'_> {
    fn begin(&mut self) -> Result<(), Problem> {
        self.server.run("postgres", ["CHECKPOINT"])?;
        catch_up(self.bins, &self.directory)?;
        let keep = ["DROP TABLE IF EXISTS before", "CREATE UNLOGGED TABLE before AS TABLE bench"];
        self.server.run("source", keep)?;
        // What autovacuum would have done.
        for database in ["source", "ours", "theirs", "again"] {
            self.server.run(database, ["VACUUM (ANALYZE)"])?;
        }
        self.server.run("source", [&format!("CALL change({})", self.transactions)])?;
        self.write_batch()
    }

    fn prepare(&mut self, _: Who) -> Result<(), Problem> {
        Ok(())
    }

    fn run(&mut self, who: Who) -> Result<(), Problem> {
        match who {
            Who::Ours => catch_up(self.bins, &self.directory).map(drop),
            Who::Yardstick | Who::Again => self.merge_batch(database_of(who)),
        }
    }

    fn check(&mut self, who: Who) -> Result<(), Problem> {
        same_contents(self.server, database_of(who), &self.columns)
    }
}

impl Merge<'_> {
    fn write_batch(&self) -> Result<(), Problem> {
        let path = self.directory.join(BATCH);
        let file =
            fs::File::create(&path).map_err(|error| Problem(format!("cannot make {}: {error}", path.display())))?;
        let others: String = self.others().map(|name| format!(", now.{name}")).collect();
        let batch = format!(
            "COPY (SELECT coalesce(now.id, before.id){others}, now.id IS NULL FROM before FULL JOIN bench now ON now.id = before.id \
             WHERE now IS DISTINCT FROM before) TO STDOUT (FORMAT binary)"
        );
        crate::run(self.server.psql("source").args(["-c", &batch]).stdout(file))
    }

    fn merge_batch(&self, database: &str) -> Result<(), Problem> {
        let path = self.directory.join(BATCH);
        let batch =
            fs::File::open(&path).map_err(|error| Problem(format!("cannot open {}: {error}", path.display())))?;
        let set = self.others().map(|name| format!("{name} = staged.{name}")).collect::<Vec<_>>().join(", ");
        let values: String = self.others().map(|name| format!(", staged.{name}")).collect();
        let merge = format!(
            "MERGE INTO bench USING staged ON bench.id = staged.id WHEN MATCHED AND gone THEN DELETE WHEN MATCHED THEN UPDATE SET {set} \
             WHEN NOT MATCHED AND NOT gone THEN INSERT ({}) VALUES (staged.id{values})",
            self.columns
        );
        let script = [
            "BEGIN",
            "CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT *, false AS gone FROM bench WITH NO DATA",
            "COPY staged FROM STDIN (FORMAT binary)",
            "ANALYZE staged",
            &merge,
            "COMMIT",
        ];
        let mut command = self.server.psql(database);
        for statement in script {
            command.args(["-c", statement]);
        }
        crate::run(command.stdin(batch))
    }

    fn others(&self) -> impl Iterator<Item = &str> {
        self.columns.split(", ").filter(|name| *name != "id")
    }
}

fn database_of(who: Who) -> &'static str {
    match who {
        Who::Yardstick => "theirs",
        Who::Ours => "ours",
        Who::Again => "again",
    }
}
