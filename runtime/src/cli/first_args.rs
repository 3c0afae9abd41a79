//! The words of the first minute: `quickstart`, `init`, `schema` and `completions`, and the help that teaches them.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::secret_args::ValueArgs;

pub(super) const QUICKSTART_HELP: &str = "Examples:\n  \
    longshore quickstart                    in longshore-quickstart/ here\n  \
    longshore quickstart --into /tmp/try    in another new folder\n\n\
    Flights out of New York that come with the binary go from CSV files through a journal into a SQLite database: the same as \
    `longshore run --until caught-up`, with connectors as processes of their own. Some rows of the database are shown, then the catalog. \
    Nothing that is there is ever written over.";

pub(super) const INIT_HELP: &str = "Examples:\n  \
    longshore init ./data                          every CSV, TSV and JSONL file of a folder\n  \
    longshore init data/*.csv --to files:./out     these files, into JSONL files\n  \
    longshore init 'data/2013-*.csv'               all that match, as one collection\n  \
    longshore init --connector generator --config count=100 -o made.yaml\n\n\
    The connector is asked what there is, and each resource gets a binding and a collection. The catalog says what each line means, is \
    checked, and is yours to change. A file that is there is never written over. What the connector calls a secret is written as \
    \"${NAME:?}\" and read from the environment. --to is a path or URL with the name of its connector in front; without it \
    rows go to a SQLite database beside the catalog.";

pub(super) const SCHEMA_HELP: &str = "Examples:\n  \
    longshore schema > longshore.schema.json    for your editor\n  \
    longshore schema --bare                     without the connectors' own settings\n\n\
    With this as the first line of a catalog, editors that use yaml-language-server complete and check it:\n\n  \
    # yaml-language-server: $schema=./longshore.schema.json\n\n\
    The settings are those of the connectors that are found here. `longshore check` remains the judge: it asks the connectors.";

pub(super) const COMPLETIONS_HELP: &str = "Examples:\n  \
    longshore completions bash > ~/.local/share/bash-completion/completions/longshore\n  \
    longshore completions zsh > ~/.zfunc/_longshore\n  \
    longshore completions fish > ~/.config/fish/completions/longshore.fish\n\n\
    For this shell alone: source <(longshore completions bash)";

#[derive(Debug, Args)]
pub(super) struct QuickstartArgs {
    /// The folder to make
    #[arg(long, value_name = "DIR", default_value = "longshore-quickstart")]
    pub(super) into: String,
}

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// This connector, by its short name, instead of the one that SOURCE tells
    #[arg(long, value_name = "NAME")]
    pub(super) connector: Option<String>,
    /// A setting of the capture's config; `longshore connector spec NAME` lists them
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) config: Vec<String>,
    /// Where documents go, such as sqlite:./out.db or files:./out
    #[arg(long, value_name = "NAME:PLACE")]
    pub(super) to: Option<String>,
    /// The catalog to write; not there yet
    #[arg(short, long, value_name = "FILE", default_value = "longshore.yaml")]
    pub(super) output: PathBuf,
    #[command(flatten)]
    pub(super) values: ValueArgs,
    /// Files, a folder, a database file, or a URL
    #[arg(value_name = "SOURCE")]
    pub(super) sources: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Ask no connector: the keys of the catalog alone
    #[arg(long)]
    pub(super) bare: bool,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell that reads them
    #[arg(value_enum)]
    pub(super) shell: Shell,
}
