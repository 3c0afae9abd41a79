//! The words of `longshore dlq`, and the help that teaches them.

use clap::{Args, Subcommand};

use super::secret_args::ValueArgs;

#[derive(Debug, Subcommand)]
pub(super) enum DlqVerb {
    /// Each letter that waits: where it is, and what is wrong with it
    #[command(after_help = "Examples:\n  \
        longshore dlq list                      of all tasks, beside longshore.yaml\n  \
        longshore dlq list shop flights.yaml    of one task\n  \
        longshore dlq list --json | jq -c '{position, reason, document}'\n\n\
        Those of a capture did not fit their schema, those of a materialization were refused by its destination.\n\n\
        With --json a line holds task, reason, code, collection, binding, position and document. A document that is not JSON as the rules\n\
        have it stands there as text. A running `longshore run` is not disturbed.")]
    List(DlqListArgs),
    /// Print one letter: its document byte for byte on standard output, the rest on standard error
    #[command(after_help = "Examples:\n  \
        longshore dlq show shop 1048                   the letter at position 1048\n  \
        longshore dlq show shop 1048 --json a.yaml     as an object")]
    Show(DlqShowArgs),
    /// Admit letters after all: those that fit now become documents, each exactly once
    #[command(after_help = "Examples:\n  \
        longshore dlq replay shop                      all that wait\n  \
        longshore dlq replay shop --position 1048      this one\n  \
        longshore dlq replay shop --binding shop/orders flights.yaml\n  \
        longshore dlq replay lake                      to the destination that refused them\n\n\
        Change the collection's schema in the catalog first, or `on_conflict` of the materialization's binding, if it was that. Those that\n\
        still do not fit stay letters, and it says so. The documents of a capture come after all that was captured so far: where a newer\n\
        document has the same key, the replayed one wins. Those of a materialization go to their binding alone; where the last document\n\
        counts and a newer one of the key came since, only with --force. Nothing may run meanwhile; the next `longshore run` stores them.")]
    Replay(DlqReplayArgs),
    /// Mark letters as not wanted any more
    #[command(after_help = "Examples:\n  \
        longshore dlq drop shop --position 1048        this one\n  \
        longshore dlq drop shop --all                  all that wait\n\n\
        They do not wait any more and cannot be replayed; `longshore dlq list --all` still shows them. Nothing may run meanwhile.")]
    Drop(DlqDropArgs),
}

#[derive(Debug, Args)]
pub(super) struct DlqListArgs {
    /// Those too that were replayed or dropped
    #[arg(long)]
    pub(super) all: bool,
    /// A task, if only one is meant, then the catalog, which only says where the state is
    #[arg(value_name = "[TASK] [CATALOG]")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct DlqShowArgs {
    /// The task, the letter's position, then the catalog, which only says where the state is
    #[arg(value_name = "TASK POSITION [CATALOG]", required = true)]
    pub(super) words: Vec<String>,
}

/// Which letters are meant; several of one kind: any of them.
#[derive(Debug, Args)]
pub(super) struct DlqSelectArgs {
    /// Only letters of this binding: its collection, its resource path, or its name in the journal
    #[arg(long, value_name = "BINDING")]
    pub(super) binding: Vec<String>,
    /// Only the letter at this position
    #[arg(long, value_name = "POSITION")]
    pub(super) position: Vec<u64>,
}

#[derive(Debug, Args)]
pub(super) struct DlqReplayArgs {
    #[command(flatten)]
    pub(super) select: DlqSelectArgs,
    #[command(flatten)]
    pub(super) values: ValueArgs,
    /// Of a materialization: those too whose key has a newer document, which they replace
    #[arg(long)]
    pub(super) force: bool,
    /// The task, then the catalog
    #[arg(value_name = "TASK [CATALOG]", required = true)]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct DlqDropArgs {
    #[command(flatten)]
    pub(super) select: DlqSelectArgs,
    /// All that wait
    #[arg(long)]
    pub(super) all: bool,
    /// The task, then the catalog, which only says where the state is
    #[arg(value_name = "TASK [CATALOG]", required = true)]
    pub(super) words: Vec<String>,
}
