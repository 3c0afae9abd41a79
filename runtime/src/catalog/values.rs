//! Where the values of `${…}` come from, and what the user allows for it. How they are written is in [`super::variables`].

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// How the value of an environment variable is asked for.
pub type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Whether the commands of `${exec:…}` are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exec {
    /// The user has not allowed it: one is a mistake.
    Refused,
    /// The user has.
    Allowed,
    /// A question that runs none, whoever allows it: one is left out.
    Never,
}

/// Where the values of `${…}` come from.
#[derive(Clone)]
pub struct Values {
    environment: Arc<Environment>,
    pub(super) exec: Exec,
    pub(super) identity: Option<PathBuf>,
}

impl Values {
    /// Environment variables are asked for there; no command is run, and nothing can be decrypted.
    #[must_use]
    pub fn new(environment: Arc<Environment>) -> Self {
        Self { environment, exec: Exec::Refused, identity: None }
    }

    /// The environment of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::new(Arc::new(|name: &str| std::env::var(name).ok()))
    }

    /// Whether commands are run.
    #[must_use]
    pub fn exec(self, exec: Exec) -> Self {
        Self { exec, ..self }
    }

    /// The file with the identities that decrypt.
    #[must_use]
    pub fn identity(self, identity: Option<PathBuf>) -> Self {
        Self { identity, ..self }
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("exec", &self.exec).field("identity", &self.identity).finish_non_exhaustive()
    }
}
