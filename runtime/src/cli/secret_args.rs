//! The words of the command line that are about secrets: where values may come from, and `longshore secret`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::catalog::{Exec, Values};

/// Where the values of a catalog's `${…}` may come from.
#[derive(Debug, Clone, Args)]
pub(super) struct ValueArgs {
    /// Run the commands that the catalog writes as `${exec:…}`
    #[arg(long)]
    pub(super) allow_exec: bool,
    #[command(flatten)]
    pub(super) identity: IdentityArgs,
}

/// What decrypts.
#[derive(Debug, Clone, Args)]
pub(super) struct IdentityArgs {
    /// Decrypt what the catalog writes as `${age:…}` with the identity in this file
    #[arg(long, value_name = "FILE", env = "LONGSHORE_IDENTITY")]
    pub(super) identity: Option<PathBuf>,
}

impl ValueArgs {
    /// Environment variables and files alone.
    pub(super) fn nothing_more() -> Self {
        Self { allow_exec: false, identity: IdentityArgs { identity: None } }
    }

    /// As the user allows.
    pub(super) fn values(&self) -> Values {
        self.allowed(Values::of_this_process())
    }

    /// The same, with variables that are not in the environment yet.
    pub(super) fn values_with(&self, set: BTreeMap<String, String>) -> Values {
        let variable = move |name: &str| set.get(name).cloned().or_else(|| std::env::var(name).ok());
        self.allowed(Values::new(Arc::new(variable)))
    }

    fn allowed(&self, values: Values) -> Values {
        let exec = if self.allow_exec { Exec::Allowed } else { Exec::Refused };
        values.exec(exec).identity(self.identity.identity.clone())
    }
}

impl IdentityArgs {
    /// For a question: no command is run for it.
    pub(super) fn values(&self) -> Values {
        Values::of_this_process().exec(Exec::Never).identity(self.identity.clone())
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum SecretVerb {
    /// Make an identity and say its recipient, to which one encrypts
    #[command(after_help = "Examples:\n  \
        longshore secret keygen ~/longshore.key    the identity into the file, its recipient on the screen\n\n\
        Whoever has the file can decrypt: it is made readable for you alone. Who only encrypts needs the recipient and no file.")]
    Keygen(KeygenArgs),
    /// Encrypt the value on standard input, as it is written into a catalog
    #[command(after_help = "Examples:\n  \
        longshore secret encrypt --to age1…                     asks for the value and does not show it\n  \
        pass show shop | longshore secret encrypt --to age1…    without the newline at its end\n  \
        longshore secret encrypt --to age1… --to age1…          for several people or machines\n\n\
        Put what it prints into quotes: password: \"${age:…}\". Without --to it is encrypted to the identity itself.")]
    Encrypt(EncryptArgs),
}

#[derive(Debug, Args)]
pub(super) struct KeygenArgs {
    /// Where the identity is to be; not there yet
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct EncryptArgs {
    /// The recipient of who shall decrypt it: age1…
    #[arg(long, value_name = "RECIPIENT")]
    pub(super) to: Vec<String>,
    /// Encrypt to the identity in this file
    #[arg(long, value_name = "FILE", env = "LONGSHORE_IDENTITY")]
    pub(super) identity: Option<PathBuf>,
}
