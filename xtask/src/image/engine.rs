//! The Docker Engine as the commands here need it: over its Unix socket, one request after the other.

use std::sync::OnceLock;
use std::time::Duration;

use bollard::query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder, RemoveImageOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::TryStreamExt as _;
use tokio::runtime::Runtime;

use super::archive::Image;
use crate::Problem;

const DEFAULT: &str = "unix:///var/run/docker.sock";
/// Loading an image takes seconds; an Engine that says nothing for this long is stuck.
const ANSWER: Duration = Duration::from_secs(300);

/// The one that was started for this command, if one was.
static PRIVATE: OnceLock<String> = OnceLock::new();

/// From here on the Engine is this one.
pub(crate) fn use_private(host: String) {
    // The first one stays: there is never a second.
    PRIVATE.get_or_init(|| host);
}

/// The one that was started for this command: what it starts has to be told.
pub(crate) fn private() -> Option<&'static str> {
    PRIVATE.get().map(String::as_str)
}

/// A connection to an Engine that answers.
#[derive(Debug)]
pub(crate) struct Engine {
    docker: Docker,
    runtime: Runtime,
}

impl Engine {
    /// The private one if there is one, else that of `DOCKER_HOST`, else the usual one.
    pub(crate) fn connect() -> Result<Self, Problem> {
        let usual = || std::env::var("DOCKER_HOST").unwrap_or_else(|_| DEFAULT.into());
        let host = private().map_or_else(usual, str::to_owned);
        let no_engine = |why: String| {
            Problem(format!(
                "no Docker Engine at {host}: {why}; `apt-get install -y docker.io` gets one, DOCKER_HOST=unix:///path names another"
            ))
        };
        let path = host.strip_prefix("unix://").ok_or_else(|| no_engine("it is no unix:// address".into()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Problem(format!("cannot start: {error}")))?;
        let docker = Docker::connect_with_unix(path, ANSWER.as_secs(), API_DEFAULT_VERSION)
            .map_err(|error| no_engine(error.to_string()))?;
        let docker = runtime.block_on(docker.negotiate_version()).map_err(|error| no_engine(error.to_string()))?;
        Ok(Self { docker, runtime })
    }

    /// Loads an image and sees that it is there under its tag and the id that was expected.
    pub(crate) fn load(&self, image: &Image) -> Result<(), Problem> {
        let failed = |error: bollard::errors::Error| Problem(format!("loading {}: {error}", image.tag));
        let before = self.runtime.block_on(self.docker.inspect_image(&image.tag)).ok().and_then(|before| before.id);
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let body = bollard::body_full(image.archive.clone().into());
        let loading = self.docker.import_image(options, body, None).try_collect::<Vec<_>>();
        let said = self.runtime.block_on(loading).map_err(failed)?;
        let loaded = self.runtime.block_on(self.docker.inspect_image(&image.tag)).map_err(failed)?;
        // An Engine with containerd's store counts the manifest instead of the config.
        let id = loaded.id.unwrap_or_default();
        if id != image.id && loaded.repo_digests.unwrap_or_default().is_empty() {
            let said: Vec<String> = said.into_iter().filter_map(|line| line.stream).collect();
            return Err(Problem(format!(
                "loading {}: expected {}, the Engine has {id} ({})",
                image.tag,
                image.id,
                said.join(" ")
            )));
        }
        // The one of the last build has no name any more. Where it still runs, it stays.
        if let Some(before) = before.filter(|before| *before != id) {
            self.runtime.block_on(self.docker.remove_image(&before, None::<RemoveImageOptions>, None)).ok();
        }
        Ok(())
    }

    /// Makes an image of one layer out of an archive of its files; gives its id.
    pub(crate) fn import(&self, repository: &str, tag: &str, files: Vec<u8>) -> Result<String, Problem> {
        let name = format!("{repository}:{tag}");
        let failed = |error: bollard::errors::Error| Problem(format!("importing {name}: {error}"));
        let options = CreateImageOptionsBuilder::default().from_src("-").repo(repository).tag(tag).build();
        let importing = self.docker.create_image(Some(options), Some(bollard::body_full(files.into())), None);
        self.runtime.block_on(importing.try_collect::<Vec<_>>()).map_err(failed)?;
        let loaded = self.runtime.block_on(self.docker.inspect_image(&name)).map_err(failed)?;
        Ok(loaded.id.unwrap_or_default())
    }
}
