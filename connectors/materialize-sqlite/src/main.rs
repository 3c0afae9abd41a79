//! Materializes into tables of a SQLite database, transactionally: rows, fence and the runtime's checkpoint commit together.
//!
//! A document's way in: [`shape`] says which columns the fields of a binding make, [`convert`] turns a document into their values without
//! changing one, [`session`] writes them. What a table is made of and how it grows is [`table`]'s business; who may write, [`meta`]'s.

mod apply;
mod aside;
mod columns;
mod config;
mod convert;
mod database;
mod identifier;
mod load;
mod meta;
mod session;
mod shape;
mod sink;
mod table;
#[cfg(test)]
mod tests;
mod verify;

use std::process::ExitCode;

use longshore_sdk::materialize::{serve_materialize, transactional};

/// Batches of a megabyte come and go all the time; glibc's allocator gives their pages back and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    serve_materialize(transactional(sink::Sqlite))
}
