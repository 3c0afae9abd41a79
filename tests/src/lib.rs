//! The whole thing under test, from outside: what the end-to-end tests share.
//!
//! These modules start the shipped binaries in a temporary directory ([`scene`]), lay the committed data
//! beside a catalog ([`nyc`]), read what arrived without any code of ours ([`destination`]), watch the memory of a run ([`memory`]), ask the
//! Docker Engine ([`docker`]) and roll dice ([`dice`]). The tests themselves are in `tests/tests/`.

#![allow(clippy::disallowed_methods, reason = "tests measure, wait with limits and roll dice")]

pub mod catalogs;
pub mod destination;
pub mod dice;
pub mod docker;
pub mod memory;
pub mod nyc;
pub mod scene;
pub mod sim;
