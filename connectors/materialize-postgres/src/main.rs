//! Materializes into tables of a PostgreSQL database, transactionally: rows, fence and the runtime's checkpoint commit together.
//!
//! A document's way in: [`shape`] says which columns the fields of a binding make, [`convert`] turns a document into a line of `COPY` without
//! changing a value ([`binary`]: into a row of its binary format, where that is cheap), [`session`] sends the lines, and [`merge`] has the SQL that
//! merges them. What a table is made of is [`table`]'s business, how its columns become wider [`widen`]'s; how deleted rows stay, [`deleted`]'s;
//! who may write, [`meta`]'s.

mod apply;
mod aside;
mod behind;
mod binary;
mod canonical;
mod columns;
mod config;
mod convert;
mod copy;
mod decimal;
mod deleted;
mod load;
mod merge;
mod meta;
mod session;
mod shape;
mod sink;
mod table;
#[cfg(test)]
mod tests;
mod value;
mod verify;
mod widen;

use std::process::ExitCode;

use longshore_sdk::materialize::{serve_materialize, transactional};

/// Batches of a megabyte come and go all the time; glibc's allocator gives their pages back and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    serve_materialize(transactional(sink::Postgres))
}
