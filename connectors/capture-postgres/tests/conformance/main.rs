//! What PostgreSQL can do to a table, case by case: each is a named row of a list, with SQL before and during a capture by a real server, and is
//! right if the captured documents are the table as the server itself prints it, or if the capture stops and says why.
//!
//! The list is printed into README.md; with `UPDATE=1` it is printed anew. With `LONGSHORE_CASE=words` only cases with these words are run.

#![allow(
    clippy::unwrap_used,
    reason = "in a story whatever fails fails the test; only test functions themselves are exempt"
)]

#[path = "../postgres/base.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod base;
mod case;
mod columns;
mod doubts;
mod keys;
mod large;
mod names;
mod partitions;
mod rights;
mod run;
mod transactions;
mod truncate;
mod types;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;

use base::Base;
use case::Case;
use longshore_postgres::testing::Database;

const GROUPS: [(&str, &[Case]); 11] = [
    ("large values", large::CASES),
    ("keys", keys::CASES),
    ("keys of many types", keys::WALKED),
    ("TRUNCATE", truncate::CASES),
    ("tables that change", columns::CASES),
    ("types", types::CASES),
    ("names", names::CASES),
    ("partitions", partitions::CASES),
    ("rights", rights::CASES),
    ("transactions and the log", transactions::CASES),
    ("doubts", doubts::CASES),
];
/// They wait for the server most of the time.
const THREADS: usize = 10;
const CASE_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn each_case_is_as_the_server_has_it_or_stops() {
    let words = std::env::var("LONGSHORE_CASE").unwrap_or_default();
    let mut all = Vec::new();
    for (group, cases) in GROUPS {
        for case in cases.iter().filter(|case| format!("{group}: {}", case.name).contains(&words)) {
            all.extend(case.moments.iter().map(|moment| (group, *case, *moment)));
        }
    }
    let server = run::server();
    let next = AtomicUsize::new(0);
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut failures = Vec::new();
        let mut kept: Option<Base> = None;
        while let Some((group, case, moment)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let base = kept.take().unwrap_or_else(|| Base { db: Database::on(&server) });
            let running = async { tokio::time::timeout(CASE_WITHIN, run::run(*case, *moment, &base)).await };
            let ended = runtime.block_on(AssertUnwindSafe(running).catch_unwind());
            let fault = match ended {
                Ok(Ok(Ok(()))) => {
                    let cleaned = runtime.block_on(run::clean(&base));
                    kept = cleaned.map(|()| base).inspect_err(|error| println!("{}: {error}", case.name)).ok();
                    continue;
                }
                Ok(Ok(Err(fault))) => fault,
                Ok(Err(_)) => format!("it does not end within {} s", CASE_WITHIN.as_secs()),
                Err(panic) => panic.downcast().map_or_else(|_| "it panicked, see above".to_owned(), |text| *text),
            };
            failures.push(format!("{group}: {}, {moment:?}: {fault}", case.name));
        }
        failures
    };
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        failures.extend(threads.into_iter().flat_map(|thread| thread.join().unwrap()));
    });
    println!("{} runs", all.len());
    assert!(failures.is_empty(), "{} of {} runs fail:\n{}", failures.len(), all.len(), failures.join("\n"));
}

#[test]
fn the_readme_lists_the_cases() {
    let mut names = HashSet::new();
    let mut table = String::from("| group | cases | |\n|---|--:|---|\n");
    for (group, cases) in GROUPS {
        let doubled: Vec<_> =
            cases.iter().filter(|case| !names.insert((group, case.name))).map(|case| case.name).collect();
        assert!(doubled.is_empty(), "two cases have one name: {doubled:?}");
        let list: Vec<&str> = cases.iter().map(|case| case.name).collect();
        writeln!(table, "| {group} | {} | {} |", cases.len(), list.join(" · ")).unwrap();
    }
    writeln!(table, "| all | {} | |", names.len()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- printed CONFORMANCE -->\n", "<!-- end CONFORMANCE -->");
    let from = text.find(begin).expect("README.md has a place for CONFORMANCE") + begin.len();
    let to = from + text[from..].find(end).expect("README.md has an end of CONFORMANCE");
    let mut fresh = text.clone();
    fresh.replace_range(from..to, &table);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, fresh).unwrap();
    } else {
        assert!(
            fresh == text,
            "README.md is out of date; run: UPDATE=1 cargo test -p capture-postgres the_readme_lists"
        );
    }
}
