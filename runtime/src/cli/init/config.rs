//! The config of a task, as it is written: from a place and from `KEY=VALUE` to settings that the connector's schema has. A secret never
//! becomes a part of it: a variable of the environment stands in its place.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::origin::At;
use super::paths::from_catalog;
use super::url::Url;
use crate::catalog::{Setting, did_you_mean, settings};
use crate::cli::output::Failure;
use crate::cli::specs::Described;

/// Settings that a path goes into, and those that a URL does; the first that the connector has.
const FOR_PATHS: [&str; 2] = ["path", "directory"];
const FOR_URLS: [&str; 5] = ["url", "uri", "dsn", "connection", "address"];

/// What is written.
#[derive(Debug, Clone, Default)]
pub(super) struct Config {
    /// In the order of the settings.
    pub(super) entries: Vec<(String, Value)>,
    /// Variables that stand in the catalog in place of what was given, and what was given.
    pub(super) variables: BTreeMap<String, String>,
}

/// What settings are made with.
pub(super) struct Settings<'a> {
    /// Such as `capture-files`.
    who: String,
    connector: &'a str,
    known: Vec<Setting>,
}

impl<'a> Settings<'a> {
    pub(super) fn of(described: &'a Described) -> Self {
        let who = format!("{}-{}", described.kind.prefix(), described.name);
        Self { who, connector: &described.name, known: settings(&described.config) }
    }

    pub(super) fn known(&self) -> &[Setting] {
        &self.known
    }

    /// The config for a place; `directory` is where the catalog will lie.
    pub(super) fn place(&self, at: &At, directory: &Path, here: &Path) -> Result<Config, Failure> {
        let mut config = Config::default();
        match at {
            At::Path(path) | At::Files { below: path, .. } => {
                let key = self.first(&FOR_PATHS).ok_or_else(|| self.no_place("a path", &path.display().to_string()))?;
                self.set(&mut config, key, &from_catalog(path, directory, here));
            }
            At::Url(url, text) => self.url(&mut config, url, text)?,
            At::Settings => {}
        }
        Ok(config)
    }

    /// Adds what the user says.
    pub(super) fn add(&self, config: &mut Config, pairs: &[String]) -> Result<(), Failure> {
        for pair in pairs {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Failure::configuration("--config: expected KEY=VALUE, got no `=`")
                    .help("write it as in `--config path=./data`")
            })?;
            if self.setting(key).is_none() {
                let names = || self.known.iter().map(|one| one.name.as_str());
                let help = did_you_mean(key, names()).map_or_else(
                    || format!("it takes {}", names().collect::<Vec<_>>().join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(Failure::configuration(format!("{} has no setting `{key}`", self.who)).help(help));
            }
            self.set(config, key, value);
        }
        Ok(())
    }

    /// What must be there and is not.
    pub(super) fn complete(&self, config: &Config) -> Result<(), Failure> {
        let is_set = |name: &str| config.entries.iter().any(|(key, _)| key == name);
        let missing: Vec<&Setting> = self.known.iter().filter(|one| one.required && !is_set(&one.name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = missing.iter().map(|one| format!("`{}`", one.name)).collect();
        let help: Vec<String> =
            missing.iter().map(|one| format!("--config {}=…    {}", one.name, one.description)).collect();
        Err(Failure::configuration(format!("{} needs {}", self.who, names.join(" and ")))
            .help(format!("add {}", help.join("\n  add "))))
    }

    fn setting(&self, name: &str) -> Option<&Setting> {
        self.known.iter().find(|one| one.name == name)
    }

    fn first(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.setting(name).is_some())
    }

    fn is_secret(&self, name: &str) -> bool {
        self.setting(name).is_some_and(|one| one.secret)
    }

    fn no_place(&self, what: &str, got: &str) -> Failure {
        let names: Vec<&str> = self.known.iter().map(|one| one.name.as_str()).collect();
        Failure::configuration(format!("{} has no setting for {what} such as {got}", self.who)).help(format!(
            "say it with --connector {} and --config KEY=VALUE; it takes {}",
            self.connector,
            names.join(", ")
        ))
    }

    fn set(&self, config: &mut Config, key: &str, text: &str) {
        // Where a variable stands already, the user has decided.
        let value = if self.is_secret(key) && !text.contains("${") {
            self.variable(config, key, text)
        } else {
            self.typed(key, text)
        };
        config.entries.retain(|(other, _)| other != key);
        config.entries.push((key.to_owned(), value));
    }

    /// As it reads best; what the connector gets is typed by its schema anyway.
    fn typed(&self, key: &str, text: &str) -> Value {
        let kind = self.setting(key).map_or("", |one| one.kind.as_str());
        let is_more_than_text = ["number", "true or false", "list", "mapping"].iter().any(|word| kind.contains(word));
        match serde_json::from_str(text) {
            Ok(value) if is_more_than_text => value,
            Ok(_) | Err(_) => Value::String(text.to_owned()),
        }
    }

    fn variable(&self, config: &mut Config, key: &str, value: &str) -> Value {
        let letters = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let name: String = format!("{}_{key}", self.connector).chars().map(letters).collect();
        crate::secret::learn([value.to_owned()]);
        config.variables.insert(name.clone(), value.to_owned());
        Value::String(format!("${{{name}:?set it}}"))
    }

    fn url(&self, config: &mut Config, url: &Url, text: &str) -> Result<(), Failure> {
        let secret =
            self.known.iter().find(|one| one.secret && one.name.contains("password")).map(|one| one.name.as_str());
        let shown = format!("{}://…", url.scheme);
        let Some(key) = self.first(&FOR_URLS) else { return self.parts(config, url, secret, &shown) };
        match (&url.password, secret) {
            // Somebody who reads the catalog reads the URL.
            _ if self.is_secret(key) || url.has_secret_parameter() => {
                let value = self.variable(config, key, text);
                config.entries.push((key.to_owned(), value));
            }
            (Some(password), Some(secret)) => {
                self.set(config, key, &url.without_password);
                self.set(config, secret, password);
            }
            (Some(_), None) => {
                let value = self.variable(config, key, text);
                config.entries.push((key.to_owned(), value));
            }
            (None, _) => self.set(config, key, text),
        }
        Ok(())
    }

    /// For a connector that has a setting for each part.
    fn parts(&self, config: &mut Config, url: &Url, secret: Option<&str>, shown: &str) -> Result<(), Failure> {
        let parts: [(&[&'static str], Option<&str>); 4] = [
            (&["host", "bucket"], Some(url.host.as_str())),
            (&["port"], url.port.as_deref()),
            (&["user", "username"], url.user.as_deref()),
            (&["database", "dbname", "prefix"], Some(url.path.as_str()).filter(|path| !path.is_empty())),
        ];
        for (names, value) in parts {
            let Some(value) = value else { continue };
            let key = self.first(names).ok_or_else(|| self.no_place("a URL", shown))?;
            self.set(config, key, value);
        }
        match (&url.password, secret) {
            (Some(password), Some(secret)) => self.set(config, secret, password),
            (Some(_), None) => return Err(self.no_place("the password of a URL", shown)),
            (None, _) => {}
        }
        match &url.query {
            Some(_) => Err(self.no_place("what stands behind the `?` of a URL", shown)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::connector::Kind;

    fn described(properties: &Value) -> Described {
        Described {
            kind: Kind::Capture,
            name: "postgres".into(),
            config: json!({"type": "object", "properties": properties, "required": []}),
            resource: json!({}),
            path_pointers: Vec::new(),
            endless: false,
        }
    }

    fn of_url(properties: &Value, text: &str) -> Result<(Value, BTreeMap<String, String>), String> {
        let described = described(properties);
        let at = At::Url(Url::parse(text).unwrap(), text.to_owned());
        let config =
            Settings::of(&described).place(&at, Path::new(""), Path::new("/w")).map_err(|no| no.to_string())?;
        Ok((config.entries.into_iter().collect::<serde_json::Map<_, _>>().into(), config.variables))
    }

    const URL: &str = "postgres://ada:pw-4711@db/shop";

    #[test]
    fn a_password_leaves_the_url_for_the_setting_that_is_a_secret() {
        let schema = json!({"url": {"type": "string"}, "password": {"type": "string", "secret": true}});
        let (config, variables) = of_url(&schema, URL).unwrap();
        assert_eq!(config, json!({"url": "postgres://ada@db/shop", "password": "${POSTGRES_PASSWORD:?set it}"}));
        assert_eq!(variables["POSTGRES_PASSWORD"], "pw-4711");
    }

    #[test]
    fn without_such_a_setting_the_whole_url_is_a_variable() {
        for (schema, url) in [
            (json!({"url": {"type": "string"}}), URL),
            (json!({"url": {"type": "string", "secret": true}}), "postgres://ada@db/shop"),
            (json!({"url": {"type": "string"}}), "https://db/hook?token=pw-4711"),
        ] {
            let (config, variables) = of_url(&schema, url).unwrap();
            assert_eq!((config, variables["POSTGRES_URL"].as_str()), (json!({"url": "${POSTGRES_URL:?set it}"}), url));
        }
    }

    #[test]
    fn parts_go_where_the_connector_has_them_and_nothing_is_dropped() {
        let text = json!({"type": "string"});
        let schema = json!({"host": text, "port": {"type": "integer"}, "user": text, "database": text,
            "password": {"type": "string", "secret": true}});
        let (config, _) = of_url(&schema, "postgres://ada:pw-4711@db:5432/shop").unwrap();
        let expected = json!({"host": "db", "port": 5432, "user": "ada", "database": "shop", "password": "${POSTGRES_PASSWORD:?set it}"});
        assert_eq!(config, expected);
        assert!(of_url(&schema, "postgres://db/shop?sslmode=require").unwrap_err().contains("`?`"));
        let refused = of_url(&json!({"host": text, "user": text, "database": text}), URL).unwrap_err();
        assert!(refused.contains("password") && !refused.contains("pw-4711"), "{refused}");
    }
}
