//! `cargo xtask test --long`: the same tests with full counts, in slices that can be stopped and taken up again.
//!
//! A long test reads how much to do and its seed from the environment and prints one line `ledger: {…}` when it is through. Each becomes a
//! line of `tests/ledger.jsonl` with the commit; a slice that is in there already is not run again. Commit the ledger.
//!
//! The binaries under test are those that users get (release), so that many kills fit into an hour.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::ledger::{self, Ledger};
use crate::test::{build, cargo};
use crate::{Problem, peers, release_binaries};

/// A test that does more when asked to.
struct Long {
    /// Its file in `tests/tests/`.
    file: &'static str,
    /// The test in that file.
    test: &'static str,
    /// Name in the ledger.
    name: &'static str,
    /// The variable that says how much a slice does, and how much that is.
    amount: (&'static str, u64),
    slices: u64,
}

const LONG: &[Long] = &[
    Long {
        file: "kills",
        test: "runtime_killed_at_random_moments",
        name: "runtime-kills",
        amount: ("LONGSHORE_KILLS", 10),
        slices: 5,
    },
    Long {
        file: "kills",
        test: "connectors_killed_at_random_moments_are_started_again",
        name: "connector-kills",
        amount: ("LONGSHORE_KILLS", 10),
        slices: 5,
    },
    Long {
        file: "kills",
        test: "sums_killed_at_random_moments",
        name: "sum-kills",
        amount: ("LONGSHORE_KILLS", 10),
        slices: 2,
    },
    Long {
        file: "kills",
        test: "letters_and_their_replay_killed_at_random_moments",
        name: "letter-kills",
        amount: ("LONGSHORE_KILLS", 10),
        slices: 2,
    },
    Long {
        file: "kills",
        test: "what_a_destination_refuses_killed_at_random_moments",
        name: "refused-kills",
        amount: ("LONGSHORE_KILLS", 10),
        slices: 2,
    },
    Long {
        file: "kills",
        test: "bindings_and_materializations_that_come_and_go_killed_at_random_moments",
        name: "binding-kills",
        amount: ("LONGSHORE_KILLS", 20),
        slices: 1,
    },
    Long {
        file: "retention",
        test: "trimmed_journals_killed_at_random_moments",
        name: "retention-kills",
        amount: ("LONGSHORE_KILLS", 20),
        slices: 1,
    },
    Long {
        file: "capture_sqlite",
        test: "a_database_that_is_written_to_all_the_while_killed_at_random_moments",
        name: "capture-sqlite-kills",
        amount: ("LONGSHORE_KILLS", 20),
        slices: 1,
    },
    Long {
        file: "growth",
        test: "schemas_grow_while_the_runtime_is_killed",
        name: "growth-runtime-kills",
        amount: ("LONGSHORE_KILLS", 20),
        slices: 1,
    },
    Long {
        file: "growth",
        test: "schemas_grow_while_connectors_are_killed",
        name: "growth-connector-kills",
        amount: ("LONGSHORE_KILLS", 20),
        slices: 1,
    },
    Long {
        file: "webhooks",
        test: "rows_posted_from_runtime_to_runtime_killed_at_random_moments",
        name: "webhook-kills",
        amount: ("LONGSHORE_KILLS", 20),
        slices: 2,
    },
    Long {
        file: "pairs",
        test: "from_files_to_every_destination",
        name: "pairs-from-files",
        amount: ("LONGSHORE_KILLS", 20),
        slices: 1,
    },
    Long {
        file: "pairs",
        test: "from_sqlite_to_every_destination",
        name: "pairs-from-sqlite",
        amount: ("LONGSHORE_KILLS", 20),
        slices: 1,
    },
    Long {
        file: "pairs",
        test: "by_way_of_webhooks_to_every_destination",
        name: "pairs-by-webhook",
        amount: ("LONGSHORE_KILLS", 20),
        slices: 1,
    },
    Long {
        file: "postgres",
        test: "what_is_killed_on_the_way_into_postgresql_loses_and_doubles_nothing",
        name: "materialize-postgres-kills",
        amount: ("LONGSHORE_KILLS", 30),
        slices: 1,
    },
    Long {
        file: "postgres_pair",
        test: "a_copy_is_equal_whoever_is_killed_while_it_is_made_and_kept",
        name: "postgres-pair-kills",
        amount: ("LONGSHORE_KILLS", 30),
        slices: 1,
    },
    Long {
        file: "postgres_values",
        test: "every_value_of_every_type_is_in_the_copy_as_it_is",
        name: "postgres-values",
        amount: ("LONGSHORE_VALUES", 1_000_000),
        slices: 1,
    },
    Long {
        file: "recovery",
        test: "who_was_killed_is_soon_back_however_much_there_is_in_the_journal",
        name: "recovery",
        amount: ("LONGSHORE_JOURNAL_MIB", 1_024),
        slices: 1,
    },
    Long {
        file: "many",
        test: "ten_thousand_bindings_of_one_task_are_moved_within_the_memory",
        name: "bindings",
        amount: ("LONGSHORE_BINDINGS", 10_000),
        slices: 1,
    },
    Long {
        file: "many",
        test: "a_thousand_tasks_of_one_catalog_come_to_their_end_and_stop_in_order",
        name: "tasks",
        amount: ("LONGSHORE_TASKS", 1_000),
        slices: 1,
    },
    Long {
        file: "deaths",
        test: "who_ends_at_once_is_waited_for_longer_and_longer_and_all_else_goes_on",
        name: "deaths",
        amount: ("LONGSHORE_DEATHS", 1_000),
        slices: 1,
    },
    Long {
        file: "bounds",
        test: "a_destination_a_hundred_times_slower_neither_stalls_nor_fills_the_memory",
        name: "slower",
        amount: ("LONGSHORE_SLOW_SECONDS", 300),
        slices: 1,
    },
    Long {
        file: "parquet",
        test: "a_lake_in_a_directory_killed_at_random_moments",
        name: "parquet-kills",
        amount: ("LONGSHORE_KILLS", 20),
        slices: 1,
    },
    Long {
        file: "parquet",
        test: "a_lake_in_a_bucket_killed_at_random_moments",
        name: "parquet-s3-kills",
        amount: ("LONGSHORE_KILLS", 20),
        slices: 1,
    },
];

pub(crate) fn test(name: Option<&str>) -> Result<ExitCode, Problem> {
    build()?;
    peers::make()?;
    let bins = release_binaries()?;
    let ledger = Ledger::open()?;
    let mut failed = 0;
    let mut passed = 0;
    for long in LONG.iter().filter(|long| name.is_none_or(|name| long.name.contains(name))) {
        for slice in 1..=long.slices {
            if ledger.entries(long.name).any(|entry| entry["slice"] == slice) {
                println!("{} slice {slice}: in the ledger already", long.name);
                continue;
            }
            println!("{} slice {slice} of {}", long.name, long.slices);
            match run(long, slice, &bins)? {
                Some(mut entry) => {
                    passed += 1;
                    entry["slice"] = json!(slice);
                    ledger.add(long.name, entry)?;
                }
                None => failed += 1,
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one slice; what it wants in the ledger, if it passed.
fn run(long: &Long, slice: u64, bins: &Path) -> Result<Option<Value>, Problem> {
    let (variable, amount) = long.amount;
    let mut command = cargo(&["test", "--workspace", "--test", long.file]);
    command.arg(long.test).args(["--", "--nocapture", "--test-threads=1"]);
    command.env("LONGSHORE_BIN_DIR", bins);
    // Seeds of slices lie far apart: a slice may use as many as it does things.
    command.env(variable, amount.to_string()).env("LONGSHORE_SEED", (slice * 1_000_000).to_string());
    Ok(ledger::told(command)?.filter(|(_, counts)| counts.passed > 0).map(|(entry, _)| entry))
}
