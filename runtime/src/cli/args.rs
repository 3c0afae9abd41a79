//! The words of the command line, and the help that teaches them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::dlq_args::DlqVerb;
use super::first_args::{self, CompletionsArgs, InitArgs, QuickstartArgs, SchemaArgs};
use super::output::Failure;
use super::secret_args::{IdentityArgs, SecretVerb, ValueArgs};

/// What the runtime looks for when no catalog is named.
const DEFAULT_CATALOG: &str = "longshore.yaml";

/// Moves documents from captures through a durable journal into materializations, exactly once.
#[derive(Debug, Parser)]
#[command(
    name = "longshore",
    version = crate::VERSION,
    max_term_width = 120,
    after_help = "Examples:\n  \
        longshore quickstart             see it work, with data of its own\n  \
        longshore init ./data            write a catalog for files of yours\n  \
        longshore run                    move what longshore.yaml says, until Ctrl-C\n\n\
        The catalog comes last and is `longshore.yaml` when it is left out. State lives in `.longshore/` beside it.\n\n\
        Exit codes: 0 ok, 1 failed while running, 2 configuration, 3 something outside cannot be reached."
)]
pub struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// What every verb understands.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Keep the state here instead of in `.longshore/` beside the catalog
    #[arg(long, global = true, value_name = "DIR", env = "LONGSHORE_STATE_DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Say more (-v debug, -vv trace)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(super) verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// How log lines are written on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    /// Print one JSON object a line, each with a `type`
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// One object a line: ts, level, msg, fields.
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// From nothing to rows in a second: a catalog, its data, and what came of them
    #[command(after_help = first_args::QUICKSTART_HELP)]
    Quickstart(QuickstartArgs),
    /// Write a catalog for files, a database or a URL
    #[command(after_help = first_args::INIT_HELP)]
    Init(InitArgs),
    /// Move documents until told to stop
    #[command(after_help = "Examples:\n  \
        longshore run                                 what longshore.yaml says, until Ctrl-C\n  \
        longshore run --until caught-up flights.yaml  what is there now, then end\n  \
        longshore run --only lake flights.yaml        one task alone\n\n\
        Ctrl-C (or SIGTERM) finishes the transactions under way and ends with 0; twice ends at once, and nothing is lost.")]
    Run(RunArgs),
    /// Ask every connector whether the catalog will work; nothing is changed
    #[command(after_help = "Examples:\n  \
        longshore check                  longshore.yaml in this directory\n  \
        longshore check flights.yaml     another catalog\n  \
        longshore check --json           findings as objects: file, line, column, code, message, help\n\n\
        Connectors are started and asked what they take (Spec), what is there (Discover, where a collection has no schema) and whether\n\
        it will work (Validate). Nothing is created, stored or moved. No command of an `${exec:…}` is run: a task\n\
        that needs one is not asked.")]
    Check(CheckArgs),
    /// Show what a capture's source has, as lines for the catalog
    #[command(after_help = "Examples:\n  \
        longshore discover nyc flights.yaml            collections with key and schema, to read or to paste\n  \
        longshore discover nyc --write flights.yaml    adds the missing ones to the file\n\n\
        A capture with bindings has just those described; one without lists all that the source has. `--write` only adds lines:\n\
        whatever a person wrote, comments too, stays as it is.")]
    Discover(DiscoverArgs),
    /// Show the first documents of a capture; nothing is stored and nothing acknowledged
    #[command(after_help = "Examples:\n  \
        longshore preview nyc flights.yaml             ten documents\n  \
        longshore preview nyc --documents 100          a hundred, of longshore.yaml\n  \
        longshore preview nyc --json | jq .document    only what is in them\n\n\
        The source is read from its beginning. It is told nothing, so it forgets nothing, and the next run starts where it would have.")]
    Preview(PreviewArgs),
    /// Write down which images the catalog means today; run and check compare
    #[command(after_help = "Examples:\n  \
        longshore lock                   the images of longshore.yaml, in longshore.yaml.lock\n  \
        longshore lock flights.yaml      of another catalog, in flights.yaml.lock\n\n\
        For each image: its digest in its repository, where it came from one, else its id. Images that are not here are pulled. Remove the\n\
        file to go back to whatever the names mean.")]
    Lock(LockArgs),
    /// How a running `longshore run` is doing
    #[command(after_help = "Examples:\n  \
        longshore status                     the runtime of longshore.yaml\n  \
        longshore status flights.yaml        of another catalog; --state-dir names its state where that is elsewhere\n  \
        longshore status --json | jq -r 'select(.type == \"task\") | [.task, .phase, .restarts] | @tsv'\n\n\
        Shows each task with its phase, what it moved in this run, how often it was started again and why, how its connector runs (as a\n\
        process, in a container, or somewhere else) and which parts of a sandbox hold it. Only the user who runs it, and root, may ask.\n\
        Where nothing runs, status says so and exits with 3.")]
    Status(StatusArgs),
    /// End a running `longshore run` in order, and wait until it is gone
    #[command(after_help = "Examples:\n  \
        longshore stop                       the runtime of longshore.yaml\n  \
        longshore stop --timeout 10m         wait longer for the transactions under way\n\n\
        The same as Ctrl-C or SIGTERM: what is under way is finished, connectors end, and the run exits with 0. Stop returns when the\n\
        process is gone, so the next command finds the state directory free. Where nothing runs there is nothing to do: it says so and\n\
        exits with 0. If the time is over first it exits with 1; the run goes on ending.")]
    Stop(StopArgs),
    /// Capture what a source has in full again, or store again what was captured, without emptying what was stored
    #[command(after_help = "Examples:\n  \
        longshore backfill shop                  all bindings of a capture of longshore.yaml\n  \
        longshore backfill shop/shop/orders      the binding of collection shop/orders\n  \
        longshore backfill lake                  of a materialization: what the journals hold is stored again\n\n\
        It is noted, and the next `longshore run` does it; nothing may run meanwhile. Changes are captured all the time. Destinations that can\n\
        (postgres, sqlite) store all rows aside, and exchange them for those that are there in the transaction in which they are complete: what\n\
        should not be there is gone then, and nobody sees half of it. Elsewhere they are stored over what is there. Of a capture, that is so\n\
        where the connector says when it is complete (postgres, sqlite). The source is not asked where a materialization is backfilled.")]
    Backfill(BackfillArgs),
    /// Compare what destinations have with their sources, and explain what differs
    #[command(after_help = "Examples:\n  \
        longshore verify                         all that can be compared, of longshore.yaml\n  \
        longshore verify copy/shop/orders        one binding of a materialization: its collection or resource\n  \
        longshore verify --json | jq -c 'select(.type == \"difference\")'\n\n\
        The flow is first run until it is caught up. Then both ends give checksums by key range, so no rows are moved where they are the\n\
        same; where they are not, rows are looked at one by one, and the journal tells on which side a difference came about. The source\n\
        may change meanwhile: what is on its way is looked at again. Compared are the fields that the destination keeps. Destinations\n\
        that can answer: postgres, sqlite. Where a source cannot (files, say), the last document of each key in the journal stands for it.\n\
        Nothing else may run meanwhile: `longshore stop` first.\n\n\
        Exit code 0: all is the same. 1: something differs, or could not be compared to its end.")]
    Verify(VerifyArgs),
    /// Take away what a task made at its source or destination: slots, publications, checkpoints
    #[command(after_help = "Examples:\n  \
        longshore remove shop                  the replication slot and publication of a capture, of longshore.yaml\n  \
        longshore remove lake --yes            the checkpoint of a materialization, without being asked\n\n\
        Do it before a task goes out of the catalog: its config says where things are. It shows what will be done, and asks. The task\n\
        forgets where it was. Documents stay in the journal: run again, a capture captures everything anew. Rows and files stay and are\n\
        yours: to store there again, start over with `run --fresh`. Nothing may run meanwhile.")]
    Remove(RemoveArgs),
    /// Encrypt values for the catalog
    #[command(after_help = "Examples:\n  \
        longshore secret keygen longshore.key           once: an identity, and its recipient\n  \
        longshore secret encrypt --to age1…             a value for the catalog\n\n\
        A value that stands as `${age:…}` in a config is decrypted with the identity of --identity or\n\
        LONGSHORE_IDENTITY. The format is age's own, so its tools can read it too.")]
    Secret {
        #[command(subcommand)]
        verb: SecretVerb,
    },
    /// What connectors there are and what they take
    #[command(after_help = "Examples:\n  \
        longshore connector list            what a catalog can name here\n  \
        longshore connector spec files      the settings of one")]
    Connector {
        #[command(subcommand)]
        verb: ConnectorVerb,
    },
    /// Documents that were not admitted: dead letters
    #[command(after_help = "Examples:\n  \
        longshore dlq list                  each letter that waits\n  \
        longshore dlq replay shop           those of a task that fit now\n\n\
        A capture binding with `on_violation: dead_letter` keeps what does not fit its collection in the journal, in the transaction of\n\
        the checkpoint that passes it, and goes on. Such a letter waits until it is replayed or dropped; even then its bytes stay.")]
    Dlq {
        #[command(subcommand)]
        verb: DlqVerb,
    },
    /// Look into the durable log of a capture
    #[command(after_help = "Examples:\n  \
        longshore journal list              what there is\n  \
        longshore journal read nyc -n 3     some of it\n\n\
        A running `longshore run` is not disturbed: nothing is locked and, but for `release`, nothing is written.")]
    Journal {
        #[command(subcommand)]
        verb: JournalVerb,
    },
    /// Look into what is remembered of each task
    #[command(after_help = "Examples:\n  \
        longshore state show                all tasks, beside longshore.yaml\n\n\
        A running `longshore run` is not disturbed: nothing is locked and nothing is written.")]
    State {
        #[command(subcommand)]
        verb: StateVerb,
    },
    /// Print the JSON Schema of catalogs, for editors
    #[command(after_help = first_args::SCHEMA_HELP)]
    Schema(SchemaArgs),
    /// Let a shell complete verbs and options
    #[command(after_help = first_args::COMPLETIONS_HELP)]
    Completions(CompletionsArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) identity: IdentityArgs,
    /// The catalog
    #[arg(value_name = "CATALOG")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct LockArgs {
    /// The catalog
    #[arg(value_name = "CATALOG")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The catalog, which only says where the state is
    #[arg(value_name = "CATALOG")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// Wait no longer than this for it to end: a number with ms, s, m or h
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = crate::catalog::duration)]
    pub(super) timeout: Duration,
    /// The catalog, which only says where the state is
    #[arg(value_name = "CATALOG")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct DiscoverArgs {
    /// Add what is missing to the catalog
    #[arg(long)]
    pub(super) write: bool,
    #[command(flatten)]
    pub(super) values: ValueArgs,
    /// The capture, then the catalog
    #[arg(value_name = "TASK [CATALOG]", required = true)]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct PreviewArgs {
    /// End after so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) documents: u64,
    #[command(flatten)]
    pub(super) values: ValueArgs,
    /// The capture, then the catalog
    #[arg(value_name = "TASK [CATALOG]", required = true)]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConnectorVerb {
    /// Every connector that a catalog can name
    #[command(after_help = "Examples:\n  \
        longshore connector list            kind, name and path\n  \
        longshore connector list --json     as objects\n\n\
        Looked for beside longshore itself, then in the directories of LONGSHORE_CONNECTORS, then on PATH.\n\
        A catalog writes `connector: files`: in a capture that is capture-files, in a materialization materialize-files.")]
    List,
    /// What a connector promises, and the settings of its config and resources
    #[command(after_help = "Examples:\n  \
        longshore connector spec files                   both capture-files and materialize-files\n  \
        longshore connector spec materialize-sqlite      one of them\n  \
        longshore connector spec sqlite --json           with the whole JSON Schemas")]
    Spec {
        /// Such as files or capture-files
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum JournalVerb {
    /// Each journal: its size, where it ends, and the bindings in it
    #[command(after_help = "Examples:\n  \
        longshore journal list                     all of them, beside longshore.yaml\n  \
        longshore journal list nyc flights.yaml    the one of capture nyc\n\n\
        Offsets are dense: each document takes one, and each new version of a schema. The end is the offset that comes next.")]
    List(LookArgs),
    /// Read every byte of each journal and hold it against its checksums
    #[command(after_help = "Examples:\n  \
        longshore journal check                    all of them, beside longshore.yaml\n  \
        longshore journal check nyc flights.yaml   the one of capture nyc\n\n\
        Says `ok`, or names file, byte and reason and exits with 1. What a crash tore off after the last commit is no damage: it never\n\
        counted, and the next run captures it again.")]
    Check(LookArgs),
    /// Print the documents of a journal, as lines of JSON
    #[command(after_help = "Examples:\n  \
        longshore journal read nyc --limit 3                  the first three\n  \
        longshore journal read nyc --from 1000 flights.yaml   from an offset on\n  \
        longshore journal read nyc --json | jq -c 'select(.type == \"commit\")'\n\n\
        Documents go to standard output as they are stored. With --json each is an object with offset, binding and collection, and the\n\
        other entries are there too: bindings, schema, control, commit. Only what is committed is shown.")]
    Read(JournalReadArgs),
    /// Who reads each journal, and how far they are: what a trimmed journal is held back by
    #[command(after_help = "Examples:\n  \
        longshore journal readers                     of all of them, beside longshore.yaml\n  \
        longshore journal readers nyc flights.yaml    of the one of capture nyc\n\n\
        A journal whose collections say `retention: consumed` is trimmed up to the reader that is farthest behind. Paused and failing readers\n\
        count, and those that are not in the catalog any more.")]
    Readers(LookArgs),
    /// Let a materialization hold no journal back any more
    #[command(after_help = "Examples:\n  \
        longshore journal release lake                  it is gone for good, beside longshore.yaml\n  \
        longshore journal release lake flights.yaml\n\n\
        What it has not read may be trimmed then. Put back into the catalog and run, it holds journals back again; if something it still\n\
        needs is gone by then, it stops and says so. Nothing may run meanwhile.")]
    Release(JournalReleaseArgs),
}

#[derive(Debug, Args)]
pub(super) struct JournalReleaseArgs {
    /// The materialization, then the catalog, which only says where the state is
    #[arg(value_name = "TASK [CATALOG]", required = true)]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum StateVerb {
    /// Each task: its epoch, checkpoint, what is under way, its bindings and the connector's state
    #[command(after_help = "Examples:\n  \
        longshore state show                     all tasks, beside longshore.yaml\n  \
        longshore state show lake flights.yaml   one task\n  \
        longshore state show nyc -v              with the connector's state itself\n\n\
        A connector's state is kept byte for byte, because that is where it goes on. With -v the catalog is read and the connectors\n\
        are asked which of their settings are secrets, so that none is shown: what cannot be asked is not shown.")]
    Show(StateShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct StateShowArgs {
    #[command(flatten)]
    pub(super) values: ValueArgs,
    /// A task, if only one is meant, then the catalog
    #[arg(value_name = "[TASK] [CATALOG]")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct LookArgs {
    /// A task, if only one is meant, then the catalog, which only says where the state is
    #[arg(value_name = "[TASK] [CATALOG]")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct JournalReadArgs {
    /// Begin at this offset
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    pub(super) from: u64,
    /// End after so many documents
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
    /// The capture, then the catalog, which only says where the state is
    #[arg(value_name = "TASK [CATALOG]", required = true)]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct BackfillArgs {
    #[command(flatten)]
    pub(super) values: ValueArgs,
    /// The capture, or one of its bindings, then the catalog
    #[arg(value_name = "TASK[/BINDING] [CATALOG]", required = true)]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Show so many differences of each binding
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(super) limit: usize,
    #[command(flatten)]
    pub(super) values: ValueArgs,
    /// A materialization or one of its bindings, if only that is meant, then the catalog
    #[arg(value_name = "[TASK[/BINDING]] [CATALOG]")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// Do it without being asked
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) values: ValueArgs,
    /// The task, then the catalog
    #[arg(value_name = "TASK [CATALOG]", required = true)]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// End when all that existed at the sources at the start is published everywhere
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(super) until: Option<Until>,
    /// Run this task alone
    #[arg(long, value_name = "TASK")]
    pub(super) only: Option<String>,
    /// Start a task, or one of its bindings, over: its resources in the destination are dropped and made again
    #[arg(long, value_name = "TASK[/BINDING]")]
    pub(super) fresh: Vec<String>,
    /// This installation now owns the destination of a task; its rows stay
    #[arg(long, value_name = "TASK")]
    pub(super) take_over: Vec<String>,
    /// Answer yes to what `--fresh` and `--take-over` ask
    #[arg(long)]
    pub(super) yes: bool,
    /// Kill the process that holds the state directory
    #[arg(long)]
    pub(super) break_lock: bool,
    #[command(flatten)]
    pub(super) values: ValueArgs,
    /// The catalog
    #[arg(value_name = "CATALOG")]
    pub(super) words: Vec<String>,
}

impl RunArgs {
    /// As `longshore run --until caught-up CATALOG`.
    pub(super) fn until_caught_up(catalog: &Path) -> Self {
        Self {
            until: Some(Until::CaughtUp),
            only: None,
            fresh: Vec::new(),
            take_over: Vec::new(),
            yes: false,
            break_lock: false,
            values: ValueArgs::nothing_more(),
            words: vec![catalog.display().to_string()],
        }
    }
}

/// When `run` ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Until {
    /// When every source's present end is published everywhere.
    CaughtUp,
}

/// A verb's words and its catalog, which comes last: a last word that ends in .yaml or .yml, or names a file.
///
/// # Errors
/// More or fewer words than the verb takes.
pub(super) fn split_words<const N: usize>(
    mut words: Vec<String>,
    names: [&str; N],
) -> Result<([String; N], PathBuf), Failure> {
    let catalog = if words.len() > N || words.last().is_some_and(|word| is_catalog(word)) { words.pop() } else { None };
    let given = words.len();
    let words = words.try_into().map_err(|_| {
        let wanted = if N == 0 { "no words".to_owned() } else { names.join(" ") };
        Failure::configuration(format!("expected {wanted} and then the catalog, got {given} words before it"))
    })?;
    Ok((words, catalog.map_or_else(|| PathBuf::from(DEFAULT_CATALOG), PathBuf::from)))
}

/// The same for a verb whose one word may be left out.
///
/// # Errors
/// More words than that.
pub(super) fn split_word(words: Vec<String>) -> Result<(Option<String>, PathBuf), Failure> {
    if let Ok(([], catalog)) = split_words(words.clone(), []) {
        let names_a_task = words.first().is_some_and(|word| !is_catalog(word));
        // A single word that is no catalog is the task.
        return Ok(match words.into_iter().next().filter(|_| names_a_task) {
            Some(task) => (Some(task), PathBuf::from(DEFAULT_CATALOG)),
            None => (None, catalog),
        });
    }
    split_words(words, ["[TASK]"]).map(|([task], catalog)| (Some(task), catalog))
}

fn is_catalog(word: &str) -> bool {
    word.ends_with(".yaml") || word.ends_with(".yml") || Path::new(word).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(of: &[&str]) -> Vec<String> {
        of.iter().map(|&w| w.to_owned()).collect()
    }

    #[test]
    fn the_catalog_is_the_last_word() {
        let (_, catalog) = split_words::<0>(words(&["flights.yaml"]), []).expect("a catalog");
        assert_eq!(catalog, PathBuf::from("flights.yaml"));
        let ([task], catalog) = split_words(words(&["nyc", "flights.yml"]), ["TASK"]).expect("a task and a catalog");
        assert_eq!((task.as_str(), catalog), ("nyc", PathBuf::from("flights.yml")));
    }

    #[test]
    fn without_one_it_is_the_default() {
        let ([task], catalog) = split_words(words(&["nyc"]), ["TASK"]).expect("a task");
        assert_eq!((task.as_str(), catalog), ("nyc", PathBuf::from(DEFAULT_CATALOG)));
    }

    #[test]
    fn a_missing_word_is_told_by_its_name() {
        let failure = split_words(words(&["flights.yaml"]), ["TASK"]).expect_err("no task");
        assert!(failure.to_string().contains("TASK"), "{failure}");
    }

    #[test]
    fn a_task_may_be_left_out() {
        let split = |of: &[&str]| split_word(words(of)).expect("well-formed");
        let default = PathBuf::from(DEFAULT_CATALOG);
        assert_eq!(split(&[]), (None, default.clone()));
        assert_eq!(split(&["flights.yaml"]), (None, PathBuf::from("flights.yaml")));
        assert_eq!(split(&["nyc"]), (Some("nyc".to_owned()), default));
        assert_eq!(split(&["nyc", "flights.yaml"]), (Some("nyc".to_owned()), PathBuf::from("flights.yaml")));
        split_word(words(&["nyc", "lake", "flights.yaml"])).expect_err("too many");
    }

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
