//! A URL taken apart, as far as settings of connectors are made of it.

use percent_encoding::percent_decode_str;

/// `scheme://user:password@host:port/path?query`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<String>,
    /// Without its first slash.
    pub(super) path: String,
    /// Behind the question mark.
    pub(super) query: Option<String>,
    /// The whole without the password.
    pub(super) without_password: String,
}

/// Parts of names of parameters that hold what nobody else should read.
const SECRET_PARAMETERS: [&str; 5] = ["password", "secret", "token", "key", "sig"];

impl Url {
    /// `None`: it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if scheme.is_empty() || !scheme.chars().all(is_scheme) {
            return None;
        }
        let (rest_of_it, query) = match rest.split_once('?') {
            Some((front, query)) => (front, Some(query.to_owned())),
            None => (rest, None),
        };
        let (authority, path) = rest_of_it.split_once('/').unwrap_or((rest_of_it, ""));
        let (who, place) = authority.rsplit_once('@').map_or((None, authority), |(who, place)| (Some(who), place));
        let (user, password) = match who.map(|who| who.split_once(':').map_or((who, None), |(u, p)| (u, Some(p)))) {
            Some((user, password)) => (Some(user), password),
            None => (None, None),
        };
        // An address in brackets has colons of its own.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port.to_owned())),
            Some(_) | None => (place, None),
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let without_password = match (password, user) {
            (Some(password), Some(user)) => text.replacen(&format!("{user}:{password}@"), &format!("{user}@"), 1),
            _ => text.to_owned(),
        };
        Some(Self {
            scheme: scheme.to_ascii_lowercase(),
            user: user.filter(|user| !user.is_empty()).map(decoded),
            password: password.filter(|password| !password.is_empty()).map(decoded),
            host: host.to_owned(),
            port,
            path: path.to_owned(),
            query,
            without_password,
        })
    }

    /// Something in the query is named like a secret.
    pub(super) fn has_secret_parameter(&self) -> bool {
        let query = self.query.as_deref().unwrap_or_default();
        query.split('&').any(|one| {
            let name = one.split('=').next().unwrap_or_default().to_ascii_lowercase();
            SECRET_PARAMETERS.iter().any(|part| name.contains(part))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = Url::parse("postgres://ada:p%40ss@db.example:5432/shop?sslmode=require").unwrap();
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("ada"), Some("p@ss")));
        assert_eq!((url.host.as_str(), url.port.as_deref(), url.path.as_str()), ("db.example", Some("5432"), "shop"));
        assert_eq!(url.without_password, "postgres://ada@db.example:5432/shop?sslmode=require");
        assert!(!url.has_secret_parameter());
        assert!(Url::parse("https://a.example/x?api_token=7").unwrap().has_secret_parameter());
        let bare = Url::parse("s3://bucket/some/prefix").unwrap();
        assert_eq!((bare.host.as_str(), bare.path.as_str(), bare.user), ("bucket", "some/prefix", None));
        assert_eq!(Url::parse("http://[::1]:80/").unwrap().host, "[::1]");
        assert_eq!(Url::parse("http://[::1]/").unwrap().port, None);
        assert_eq!(Url::parse("./data"), None);
    }
}
