//! S1 and S3: all rows of a table into one of another database, exactly once, beside `COPY | COPY` in binary by `psql` into a table with
//! primary key. Every run begins with nothing.

use std::path::PathBuf;

use super::super::{Bins, Figure, remove, scratch};
use super::{
    BENCH_SQL, Contest, Server, Told, Who, alternate, catch_up, columns, contents, copy_bench, forget_ours,
    into_postgres, lay_catalog,
};
use crate::Problem;

/// A key and 1 kB of JSON.
const WIDE_SQL: &str = "
CREATE TABLE bench (id bigint PRIMARY KEY, doc jsonb NOT NULL);
CREATE FUNCTION rows_of(first bigint, last bigint) RETURNS SETOF bench LANGUAGE sql STABLE AS $$
  SELECT n, jsonb_build_object(
      'customer', jsonb_build_object('name', 'customer ' || n % 9973, 'mail', md5(n::text) || '@shop.example', 'since', 2000 + n % 25),
      'state', (ARRAY['open', 'paid', 'sent', 'lost'])[1 + n % 4], 'total', n * 37 % 10000000, 'gift', n % 5 = 0, 'note', NULL,
      'lines', (SELECT jsonb_agg(jsonb_build_object('item', md5(n || ' ' || line), 'price', round(n * line % 99991 / 100.0, 2),
                                                    'pieces', 1 + (n + line) % 9, 'words', jsonb_build_array('size ' || line, 'colour ' || n % 17)))
                FROM generate_series(1, 8) line))
  FROM generate_series(first, last) n
$$;";

/// S1: ten columns of the usual types.
pub(in super::super) fn mixed_rows(bins: &Bins, rows: u64) -> Result<Figure, Problem> {
    snapshot(bins, BENCH_SQL, rows, (0.5, 0.95))
}

/// S3: 1 kB of `jsonb`.
pub(in super::super) fn wide_json(bins: &Bins, rows: u64) -> Result<Figure, Problem> {
    snapshot(bins, WIDE_SQL, rows, (0.6, 0.95))
}

fn snapshot(bins: &Bins, table: &str, rows: u64, (floor, goal): (f64, f64)) -> Result<Figure, Problem> {
    let server = Server::start("")?;
    server.run("postgres", ["CREATE DATABASE source", "CREATE DATABASE theirs", "CREATE DATABASE ours"])?;
    let fill = format!("INSERT INTO bench SELECT * FROM rows_of(1, {rows})");
    server.run("source", [table, &fill, "VACUUM (FREEZE, ANALYZE) bench"])?;
    server.run("theirs", [table])?;
    let row_bytes = server.run("source", ["SELECT round(avg(pg_column_size(r))) FROM bench r"])?;
    println!("{rows} rows of {row_bytes} bytes");
    let directory = scratch()?;
    lay_catalog(&server, &directory, &into_postgres(&server, "ours"))?;
    let columns = columns(&server)?;
    let source = contents(&server, "source", &columns)?;
    let mut contest = Snapshot { bins, server: &server, directory, columns, source };
    let told = Told {
        yardstick: "COPY | COPY",
        of: "rows a second; the figure of longshore holds its start and end",
        rows,
        floor,
        goal,
    };
    let figure = alternate(&server, &told, &mut contest)?;
    remove(&contest.directory)?;
    Ok(figure)
}

struct Snapshot<'a> {
    bins: &'a Bins,
    server: &'a Server,
    directory: PathBuf,
    columns: String,
    /// What the source has.
    source: String,
}

impl Contest for Snapshot<'_> {
    fn begin(&mut self) -> Result<(), Problem> {
        Ok(())
    }

    fn prepare(&mut self, _: Who) -> Result<(), Problem> {
        self.server.run("theirs", ["TRUNCATE bench"])?;
        forget_ours(self.server, &self.directory)
    }

    fn run(&mut self, who: Who) -> Result<(), Problem> {
        match who {
            Who::Ours => catch_up(self.bins, &self.directory).map(drop),
            Who::Yardstick | Who::Again => copy_bench(self.server, "theirs"),
        }
    }

    fn check(&mut self, who: Who) -> Result<(), Problem> {
        let database = match who {
            Who::Ours => "ours",
            Who::Yardstick | Who::Again => "theirs",
        };
        let got = contents(self.server, database, &self.columns)?;
        match got == self.source {
            true => Ok(()),
            false => Err(Problem(format!("expected in {database} (rows|digest) {}, got {got}", self.source))),
        }
    }
}
