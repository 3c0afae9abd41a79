//! Images: how they are named, how one gets here, whether it is a connector, and whether it is the one that was written down.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;
use longshore_proto::Error;
use tokio::time::Instant;

use super::engine::{Engine, is_not_found, status};
use crate::connector::Kind;

const PROTOCOL_LABEL: &str = "dev.longshore.protocol";
const PROTOCOL: &str = "v1";
const KIND_LABEL: &str = "dev.longshore.kind";
/// How often the progress of a pull is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A name of an image, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    /// Empty for an image named by its id.
    name: &'a str,
    /// A tag, a digest or an id.
    version: &'a str,
    /// It can never mean another image.
    pub(crate) is_pinned: bool,
}

impl<'a> Reference<'a> {
    /// Takes `name`, `name:tag`, `name@sha256:…` and `sha256:…`; says what is wrong with anything else.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let is_digest = |text: &str| {
            let hex = text.strip_prefix("sha256:").unwrap_or_default();
            hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if text.starts_with("sha256:") {
            return match is_digest(text) {
                true => Ok(Self { name: "", version: text, is_pinned: true }),
                false => Err("an id is `sha256:` and 64 hex digits".into()),
            };
        }
        let (tagged, digest) = match text.split_once('@') {
            Some((_, digest)) if !is_digest(digest) => {
                return Err("behind `@` belongs a digest: `sha256:` and 64 hex digits".into());
            }
            Some((tagged, digest)) => (tagged, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash is a port.
        let (name, tag) = match tagged.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            Some((name, tag)) => (name, tag),
            None => (tagged, "latest"),
        };
        let part_is_good = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.ends_with(|c: char| c.is_ascii_alphanumeric())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c))
        };
        let path = name.rsplit('/').next().unwrap_or_default();
        if !name.split('/').all(part_is_good) || path.contains(|c: char| c.is_ascii_uppercase() || c == ':') {
            return Err("a name is lower-case words with `/` between them, such as `ghcr.io/acme/capture-shop`".into());
        }
        let tag_is_good = !tag.is_empty()
            && tag.len() <= 128
            && !tag.starts_with(['.', '-'])
            && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !tag_is_good {
            return Err("a tag is letters, digits, `.`, `_` and `-`".into());
        }
        Ok(Self { name, version: digest.unwrap_or(tag), is_pinned: digest.is_some() })
    }
}

/// What an image has to be: a digest in its repository, or its id.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Pinned(String);

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What `longshore lock` wrote down: for each image of a catalog, which one it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// By how the catalog names it.
    pub images: BTreeMap<String, Pinned>,
}

impl Pins {
    /// The file beside a catalog.
    #[must_use]
    pub fn path(catalog: &Path) -> PathBuf {
        let mut name = catalog.as_os_str().to_owned();
        name.push(".lock");
        name.into()
    }

    /// What is written beside a catalog; without a file, nothing.
    ///
    /// # Errors
    /// `config` for a file that cannot be read.
    pub fn read(catalog: &Path) -> Result<Self, Error> {
        let path = Self::path(catalog);
        let unreadable = |why: String| {
            Error::config("lock.unreadable", format!("reading {}: {why}", path.display()))
                .suggest("make it again with `longshore lock`, or remove it")
        };
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// Writes the file beside a catalog.
    ///
    /// # Errors
    /// `config` when it cannot be written.
    pub fn write(&self, catalog: &Path) -> Result<PathBuf, Error> {
        let path = Self::path(catalog);
        let aside = path.with_extension("lock.new");
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::internal("lock", error.to_string()))?;
        let written = std::fs::write(&aside, text + "\n").and_then(|()| std::fs::rename(&aside, &path));
        written.map_err(|error| Error::config("lock.unwritable", format!("writing {}: {error}", path.display())))?;
        Ok(path)
    }
}

/// An image that is here and may be run.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// As the catalog names it.
    pub(crate) reference: String,
    pub(crate) id: String,
    /// In the repository it is named after, where it came from one.
    digest: Option<String>,
    /// Directories that it wants to write to.
    pub(super) volumes: Vec<String>,
}

impl Resolved {
    #[cfg(test)]
    pub(super) fn for_tests(reference: &str, id: &str) -> Self {
        Self { reference: reference.into(), id: id.into(), digest: None, volumes: vec![] }
    }

    /// What to write down of it.
    pub(crate) fn pin(&self) -> Pinned {
        Pinned(self.digest.clone().unwrap_or_else(|| self.id.clone()))
    }
}

/// Which image it is that somebody names, pulled if it is not here.
///
/// # Errors
/// As of [`resolve`].
pub async fn look_up(reference: &str, kind: Kind) -> Result<Pinned, Error> {
    let engine = Engine::connect().await?;
    Ok(resolve(&engine, reference, kind, None).await?.pin())
}

/// Sees that the image is here, pulling it if it is not, that it is a connector, and that it is the one that was written down.
pub(crate) async fn resolve(
    engine: &Engine,
    reference: &str,
    kind: Kind,
    pinned: Option<&Pinned>,
) -> Result<Resolved, Error> {
    let parsed =
        Reference::parse(reference).map_err(|why| Error::config("image.name", format!("image {reference}: {why}")))?;
    let here = match find(engine, reference, pinned).await? {
        Some(here) => here,
        None if parsed.name.is_empty() => {
            let message = format!("image {reference}: the Docker Engine has no image of this id");
            return Err(Error::config("image.unknown", message).suggest("load it, or name it by repository and digest"));
        }
        None => {
            // By its digest, if that is known, so that what comes is what was meant.
            let by_digest = pinned.and_then(|pinned| Reference::parse(&pinned.0).ok());
            let wanted = by_digest.filter(|wanted| !wanted.name.is_empty()).unwrap_or(parsed);
            pull(engine, reference, wanted).await?;
            let gone = || Error::unavailable("image.pull", format!("image {reference}: pulled, and gone again"));
            find(engine, reference, pinned).await?.ok_or_else(gone)?
        }
    };
    let id = here.id.clone().unwrap_or_default();
    let digests = here.repo_digests.clone().unwrap_or_default();
    if let Some(pinned) = pinned.filter(|pinned| pinned.0 != id && !digests.contains(&pinned.0)) {
        let message = format!("image {reference} is not the one that was locked: expected {pinned}, got {id}");
        return Err(Error::config("image.locked", message).suggest(
            "if the new one is meant, run `longshore lock` and look at what it changed; else tag the old one again",
        ));
    }
    check_labels(reference, kind, &here)?;
    let of_its_repository = |digest: &&String| digest.split_once('@').is_some_and(|(name, _)| name == parsed.name);
    Ok(Resolved {
        reference: reference.to_owned(),
        id,
        digest: digests.iter().find(of_its_repository).cloned(),
        volumes: here.config.and_then(|config| config.volumes).unwrap_or_default(),
    })
}

/// By its name, or as the one that was written down, which may be here without the name.
async fn find(engine: &Engine, reference: &str, pinned: Option<&Pinned>) -> Result<Option<ImageInspect>, Error> {
    match (inspect(engine, reference).await?, pinned) {
        (None, Some(pinned)) => inspect(engine, &pinned.0).await,
        (found, _) => Ok(found),
    }
}

async fn inspect(engine: &Engine, reference: &str) -> Result<Option<ImageInspect>, Error> {
    match engine.api().inspect_image(reference).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(engine.refused(&format!("looking for image {reference}"), error)),
    }
}

fn check_labels(reference: &str, kind: Kind, image: &ImageInspect) -> Result<(), Error> {
    let labels = image.config.as_ref().and_then(|config| config.labels.as_ref());
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).map_or("", String::as_str);
    let refuse = |message: String, help: &str| Err(Error::config("image.labels", message).suggest(help));
    match (label(PROTOCOL_LABEL), label(KIND_LABEL)) {
        ("", _) => refuse(
            format!("image {reference} is no connector: it has no label {PROTOCOL_LABEL}"),
            "see base-image/README.md for what an image of a connector holds",
        ),
        (PROTOCOL, has) if has == kind.prefix() => Ok(()),
        (PROTOCOL, has) => refuse(
            format!("image {reference}: expected {KIND_LABEL}={}, got {has:?}", kind.prefix()),
            "a capture reads from a system, a materialization writes to one: name the other image",
        ),
        (other, _) => refuse(
            format!("image {reference}: expected {PROTOCOL_LABEL}={PROTOCOL}, got {other:?}"),
            "take a version of it that speaks this protocol",
        ),
    }
}

async fn pull(engine: &Engine, reference: &str, wanted: Reference<'_>) -> Result<(), Error> {
    let options = CreateImageOptionsBuilder::default().from_image(wanted.name).tag(wanted.version).build();
    let mut steps = engine.api().create_image(Some(options), None, None);
    let mut progress = Progress::new();
    tracing::info!(target: "pull", image = reference, "pulling the image: it is not here");
    while let Some(step) = steps.next().await {
        let step = step.map_err(|error| {
            let message = format!("pulling image {reference}: {error}");
            let unknown = matches!(status(&error), Some(400..=499)) || message.contains("not found");
            match unknown {
                true => Error::config("image.pull", message).suggest(
                    "see that its name is right; one that is on this machine only is loaded with `docker load`",
                ),
                false => Error::unavailable("image.pull", message),
            }
        })?;
        progress.step(step);
        if let Some(line) = progress.tell() {
            tracing::info!(target: "pull", image = reference, "{line}");
        }
    }
    tracing::info!(target: "pull", image = reference, "pulled: {}", progress.line());
    Ok(())
}

/// How far a pull has got, over all layers.
#[derive(Debug)]
struct Progress {
    layers: BTreeMap<String, (u64, u64)>,
    told: Instant,
}

impl Progress {
    fn new() -> Self {
        Self { layers: BTreeMap::new(), told: Instant::now() }
    }

    fn step(&mut self, step: CreateImageInfo) {
        let (Some(layer), Some(detail)) = (step.id, step.progress_detail) else { return };
        let bytes = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        // Unpacking counts from the beginning again, and in other bytes.
        if step.status.as_deref() == Some("Downloading")
            && let (Some(current), Some(total)) = (bytes(detail.current), bytes(detail.total))
        {
            self.layers.insert(layer, (current, total));
        } else if step.status.is_some_and(|status| status == "Download complete" || status == "Pull complete")
            && let Some((current, total)) = self.layers.get_mut(&layer)
        {
            *current = *total;
        }
    }

    fn tell(&mut self) -> Option<String> {
        if self.told.elapsed() < TELL_EVERY || self.layers.is_empty() {
            return None;
        }
        self.told = Instant::now();
        Some(self.line())
    }

    fn line(&self) -> String {
        if self.layers.is_empty() {
            return "all of it was here under another name".into();
        }
        let (current, total) = self.layers.values().fold((0, 0), |(a, b), (c, t)| (a + c, b + t));
        format!("{:.1} of {:.1} MB", current as f64 / 1e6, total as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn images_are_named_as_everywhere() {
        let parse =
            |text: &str| Reference::parse(text).map(|one| (one.name.to_owned(), one.version.to_owned(), one.is_pinned));
        let good = |name: &str, version: &str, pinned| Ok((name.to_owned(), version.to_owned(), pinned));
        assert_eq!(parse("longshore/capture-files:dev"), good("longshore/capture-files", "dev", false));
        assert_eq!(parse("capture"), good("capture", "latest", false));
        assert_eq!(parse("127.0.0.1:5000/a/b"), good("127.0.0.1:5000/a/b", "latest", false));
        assert_eq!(parse(&format!("ghcr.io/a/b:1@{DIGEST}")), good("ghcr.io/a/b", DIGEST, true));
        assert_eq!(parse(DIGEST), good("", DIGEST, true));
        for wrong in ["", "a b", "A/B", "/a", "a/", "a//b", "a:", "a:-x", "a@sha256:0a", "sha256:0a", "-a", "a/../b"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_was_locked_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = directory.path().join("flights.yaml");
        assert_eq!(Pins::read(&catalog).unwrap(), Pins::default(), "nothing is locked");
        let pins = Pins { images: BTreeMap::from([("a:b".to_owned(), Pinned(DIGEST.into()))]) };
        assert_eq!(pins.write(&catalog).unwrap(), directory.path().join("flights.yaml.lock"));
        assert_eq!(Pins::read(&catalog).unwrap(), pins);
        std::fs::write(Pins::path(&catalog), "{").unwrap();
        assert_eq!(Pins::read(&catalog).unwrap_err().code, "lock.unreadable");
    }

    #[test]
    fn a_pull_is_told_over_all_layers() {
        let mut progress = Progress::new();
        let step = |layer: &str, status: &str, current| CreateImageInfo {
            id: Some(layer.into()),
            status: Some(status.into()),
            progress_detail: Some(bollard::models::ProgressDetail { current: Some(current), total: Some(4_000_000) }),
            ..CreateImageInfo::default()
        };
        progress.step(step("a", "Downloading", 1_000_000));
        progress.step(step("b", "Downloading", 500_000));
        progress.step(step("b", "Extracting", 4_000));
        assert_eq!(progress.line(), "1.5 of 8.0 MB");
        progress.step(step("a", "Pull complete", 0));
        assert_eq!(progress.line(), "4.5 of 8.0 MB");
    }
}
