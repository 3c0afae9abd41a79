//! What the user pointed at: which connector reads it, and where it is. Nothing is asked of a connector here.

use std::path::{Path, PathBuf};

use super::known;
use super::paths::{self, above_all, is_pattern, stem};
use super::url::Url;
use crate::cli::output::Failure;
use crate::connector::Kind;

/// A connector and a place that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) connector: String,
    pub(super) at: At,
}

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// One path: a folder, or a file that is a database.
    Path(PathBuf),
    /// Files below a folder, each a resource; the names are patterns.
    Files {
        below: PathBuf,
        patterns: Vec<String>,
    },
    Url(Url, String),
    /// The settings say it.
    Settings,
}

impl Origin {
    /// Of the words of the command line.
    pub(super) fn of(sources: &[String], connector: Option<&str>) -> Result<Self, Failure> {
        let with = |connector: &str, at| Ok(Self { connector: connector.to_owned(), at });
        match (sources, connector) {
            ([], Some(connector)) => with(connector, At::Settings),
            ([], None) => Err(Failure::configuration("expected something to capture from, got neither a SOURCE nor --connector")
                .help("name files, a folder, a database file or a URL, such as `longshore init ./data`\n  `longshore connector list` shows the connectors that are here")),
            ([one], _) if one.contains("://") => {
                let url = url(one)?;
                let connector = match connector {
                    Some(connector) => connector,
                    None => known::of_scheme(Kind::Capture, &url.scheme).ok_or_else(|| unknown_scheme(&url.scheme, Kind::Capture))?,
                };
                with(connector, At::Url(url, one.clone()))
            }
            (several, _) if several.iter().any(|one| one.contains("://")) => {
                Err(Failure::configuration(format!("expected one URL or files, got {} words", several.len())))
            }
            (files, connector) => of_paths(files, connector),
        }
    }

    /// What it is, without a secret that may be in it.
    pub(super) fn what(&self) -> String {
        match &self.at {
            At::Path(path) => format!("reading {}", path.display()),
            At::Files { below, .. } => format!("reading files of {}", below.display()),
            At::Url(url, _) => format!("reading {}://", url.scheme),
            At::Settings => format!("--connector {}", self.connector),
        }
    }

    /// A name for the task that captures it.
    pub(super) fn name(&self, here: &Path) -> String {
        let of_path = |path: &Path| {
            let path = paths::normal(&here.join(path));
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() { name } else { stem(&name).to_owned() }
        };
        let text = match &self.at {
            At::Path(path) => of_path(path),
            At::Files { below, .. } => of_path(below),
            At::Url(url, _) => url.path.split('/').find(|part| !part.is_empty()).unwrap_or(&url.host).to_owned(),
            At::Settings => self.connector.clone(),
        };
        paths::name_of(&text).unwrap_or_else(|| self.connector.clone()).replace('/', "-")
    }
}

/// The text as a URL, with which nothing is done but to be taken apart. Its password is known from here on, so that nobody prints it.
pub(super) fn url(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok_or_else(|| {
        Failure::configuration(
            "expected a URL such as postgres://user@host/database, got something else with `://` in it",
        )
    })?;
    crate::secret::learn(url.password.clone());
    Ok(url)
}

pub(super) fn unknown_scheme(scheme: &str, kind: Kind) -> Failure {
    let flag = if kind == Kind::Capture { "--connector NAME" } else { "--to NAME:PLACE" };
    Failure::configuration(format!("no connector is known for {scheme}://"))
        .help(format!("known are {}; another one is named with {flag}", known::told(kind)))
}

fn of_paths(sources: &[String], connector: Option<&str>) -> Result<Origin, Failure> {
    let mut files = Vec::new();
    let mut told: Option<(String, String)> = None;
    for source in sources {
        let path = PathBuf::from(source);
        let exists = path.exists();
        if !exists && !is_pattern(source) {
            return Err(Failure::configuration(format!("there is no {source}"))
                .help("name a file or a folder that is there, or a pattern in quotes, such as 'data/*.csv'"));
        }
        let found = if path.is_dir() { Some(known::FILES) } else { known::of_file(&path) };
        let Some(connector) = connector.or(found) else {
            return Err(Failure::configuration(format!("nothing tells which connector reads {source}")).help(format!(
                "known are {}; another one is named with --connector NAME",
                known::told(Kind::Capture)
            )));
        };
        match &told {
            Some((other, first)) if other != connector => {
                return Err(Failure::configuration(format!(
                    "{first} is for the connector {other} and {source} for {connector}: expected those of one"
                ))
                .help("write a catalog for each, and put the second one's tasks into the first"));
            }
            Some(_) => {}
            None => told = Some((connector.to_owned(), source.clone())),
        }
        files.push((path, exists));
    }
    let (connector, _) = told.unwrap_or_else(|| (known::FILES.to_owned(), String::new()));
    let whole = |(path, exists): &(PathBuf, bool)| *exists && (connector != known::FILES || path.is_dir());
    let at = match files.as_slice() {
        [one] if whole(one) => At::Path(one.0.clone()),
        several if connector != known::FILES => {
            return Err(Failure::configuration(format!(
                "expected one file for the connector {connector}, got {}",
                several.len()
            )));
        }
        several if several.iter().any(whole) => {
            return Err(Failure::configuration("expected one folder, or files, got both")
                .help("a folder means every data file in it; name it alone"));
        }
        several => files_below(several),
    };
    Ok(Origin { connector, at })
}

fn files_below(files: &[(PathBuf, bool)]) -> At {
    // Of a pattern, the folders in front of its first special letter.
    let plain: Vec<PathBuf> = files
        .iter()
        .map(|(path, exists)| match exists {
            true => path.clone(),
            false => path.iter().take_while(|part| !is_pattern(&part.to_string_lossy())).collect::<PathBuf>().join("x"),
        })
        .collect();
    let below = above_all(&plain);
    let patterns = files.iter().map(|(path, exists)| {
        let name = path.strip_prefix(&below).unwrap_or(path).to_string_lossy().into_owned();
        if *exists { paths::escaped(&name) } else { name }
    });
    let patterns = patterns.collect();
    At::Files { below: if below.as_os_str().is_empty() { PathBuf::from(".") } else { below }, patterns }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Origin, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Origin::of(&words, None).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_url_means_the_connector_of_its_scheme() {
        let origin = of(&["postgres://ada@db.example/shop"]).unwrap();
        assert_eq!((origin.connector.as_str(), origin.name(Path::new("/w"))), ("postgres", "shop".to_owned()));
        assert_eq!(of(&["s3://bucket"]).unwrap().name(Path::new("/w")), "bucket");
        assert!(of(&["gopher://x"]).unwrap_err().contains("gopher://"));
        assert!(of(&["s3://a", "s3://b"]).unwrap_err().contains("one URL"));
    }

    #[test]
    fn files_are_resources_below_the_folder_they_share() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["a.csv", "b[1].jsonl", "shop.db", "note.txt"] {
            std::fs::write(path(name), "x").unwrap();
        }
        let below = folder.path().to_path_buf();
        let files = |patterns: &[&str]| At::Files {
            below: below.clone(),
            patterns: patterns.iter().map(|one| (*one).to_owned()).collect(),
        };
        assert_eq!(of(&[&path("a.csv"), &path("b[1].jsonl")]).unwrap().at, files(&["a.csv", "b[[]1[]].jsonl"]));
        assert_eq!(
            of(&[&path("2013/*.csv")]).unwrap().at,
            At::Files { below: below.join("2013"), patterns: vec!["*.csv".into()] }
        );
        assert_eq!(of(&[&path("")]).unwrap().connector, "files");
        assert_eq!(of(&[&path("shop.db")]).unwrap().at, At::Path(below.join("shop.db")));
        assert!(of(&[&path("a.csv"), &path("shop.db")]).unwrap_err().contains("expected those of one"));
        assert!(of(&[&path("note.txt")]).unwrap_err().contains("nothing tells"));
        assert!(of(&[&path("gone.csv")]).unwrap_err().contains("there is no"));
        assert!(of(&[]).unwrap_err().contains("SOURCE"));
    }
}
