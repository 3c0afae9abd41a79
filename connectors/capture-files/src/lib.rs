//! Captures CSV, TSV and JSONL files: each record once, however often it is stopped, and types that are never guessed narrower.
//!
//! The way of a document: `listing` finds files, `binding` decides what is new in one, `open` enters it, `input` decompresses, `records`
//! cuts, `row` or `object` makes documents through `writer`, `outbox` hands them to `pull`, which speaks to the SDK. `kind` and `shape` know
//! types, `state` what is remembered. What it promises is in README.md.

#![allow(dead_code)]

mod binding;
mod config;
mod faults;
mod input;
mod kind;
mod listing;
mod nearby;
mod object;
mod open;
mod outbox;
mod records;
mod row;
mod sample;
mod shape;
mod state;
mod validate;
mod writer;

pub use config::{Compression, Config, Format, OnReplaced, Resource};
