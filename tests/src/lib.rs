//! The whole thing under test, from outside: what the end-to-end tests share.
//!
//! These modules start the shipped binaries in a temporary directory ([`scene`]), lay the committed data beside a catalog ([`nyc`]), read what
//! arrived without any code of ours ([`destination`]), watch the memory of a run ([`memory`]) or limit it ([`memory_limit`]), give it a disk that is soon full ([`small_disk`]), ask the Docker Engine ([`docker`]), start
//! connectors that mean harm ([`hostile`], all at once in a [`siege`]) beside listeners that they must not reach ([`wires`]), look for what must
//! not get out ([`canary`]), write to a database that is captured ([`shop`], [`busy`]) values of [`every_type`], cut the way to a server ([`cable`]), send documents as they are ([`verbatim`]) or from one runtime to
//! another ([`hooks`]), let other programs read Parquet files ([`lake`]), and roll dice ([`dice`]). The tests themselves are in `tests/tests/`.

#![allow(clippy::disallowed_methods, reason = "tests measure, wait with limits and roll dice")]

pub mod busy;
pub mod cable;
pub mod canary;
pub mod carriers;
pub mod catalogs;
pub mod destination;
pub mod dice;
pub mod docker;
pub mod every_type;
pub mod hooks;
pub mod hostile;
pub mod killing;
pub mod killmatrix;
pub mod lake;
pub mod memory;
pub mod memory_limit;
pub mod nyc;
pub mod postgres;
pub mod scene;
pub mod seeds;
pub mod shop;
pub mod siege;
pub mod sim;
pub mod small_disk;
pub mod verbatim;
pub mod wires;
