//! One entry of an allow list: `db.example:5432`, or `db=10.0.0.7:5432` for a host that has an address and no name.

use std::fmt;
use std::net::IpAddr;

use crate::address::never;

/// A host and a port that a connector may reach, and the name by which it does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    name: String,
    /// Where that is, if the name is not looked up.
    address: Option<IpAddr>,
    port: u16,
}

/// Why something is no pair, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong with it.
    pub why: String,
    /// What to do about it.
    pub help: String,
}

impl Pair {
    /// Reads `NAME:PORT` or `NAME=ADDRESS:PORT`. Names are taken in lower case.
    ///
    /// # Errors
    /// Anything else, addresses that no relay carries to, and addresses without a name.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let refuse = |why: &str, help: String| Err(Refused { why: why.to_owned(), help });
        if let Some((_, rest)) = text.split_once("://") {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = host.rsplit('@').next().unwrap_or_default();
            let shown = if host.rsplit_once(':').is_some_and(|(_, port)| is_number(port)) {
                host.to_owned()
            } else {
                format!("{host}:443")
            };
            return refuse("it is a URL", format!("write the host and its port alone: `\"{shown}\"`"));
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| is_number(port)) else {
            return refuse(
                "it has no port",
                format!("write `\"{}:5432\"`, with the port that is meant", text.trim_end_matches(':')),
            );
        };
        let Some(port) = port.parse().ok().filter(|port| *port != 0) else {
            return refuse("its port is none", "a port is a number from 1 to 65535".into());
        };
        let (name, address) = match host.split_once('=') {
            Some((name, address)) => (name, Some(address)),
            None => (host, None),
        };
        let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        if let Some(address) = bare(name) {
            if let Some(why) = never(address) {
                return refuse(&format!("{address} is {why}"), NEVER.into());
            }
            let shown = bracketed(address);
            return refuse(
                "a connector reaches hosts by name",
                format!("give the address one, `\"db.internal={shown}:{port}\"`, and use that name in the config"),
            );
        }
        let name = name.to_ascii_lowercase();
        check_name(&name)?;
        let address = match address {
            None => None,
            Some(written) => match bare(written) {
                None => {
                    return refuse(
                        "behind `=` belongs an address",
                        format!(
                            "write `\"{name}=10.0.0.7:{port}\"`, or `\"{name}:{port}\"` to have the name looked up"
                        ),
                    );
                }
                Some(address) => match never(address) {
                    Some(why) => return refuse(&format!("{address} is {why}"), NEVER.into()),
                    None => Some(address),
                },
            },
        };
        Ok(Self { name, address, port })
    }

    /// What the connector calls the host.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host's address, if it was written down.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{}={}:{}", self.name, bracketed(address), self.port),
            None => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

const NEVER: &str = "no connector reaches it: remove it";

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A name that is looked up as one: what a resolver might take for an address, such as `0x7f.1`, is none.
fn check_name(name: &str) -> Result<(), Refused> {
    let refuse = |why: &str, help: &str| Err(Refused { why: why.to_owned(), help: help.to_owned() });
    if name.contains('*') {
        return refuse("a relay carries to hosts it knows by name", "name each host of its own");
    }
    if name == "localhost" || name.ends_with(".localhost") {
        return refuse(
            "there, that is the container itself",
            "name this machine by an address that it has on a network: `\"db.internal=172.17.0.1:5432\"`",
        );
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_a_word =
        name.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()));
    if name.len() <= 253 && name.split('.').all(label) && last_is_a_word {
        return Ok(());
    }
    refuse(
        "that is not the name of a host",
        "a name is words of letters, digits and `-` with dots between them: `\"db.example:5432\"`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_a_name_and_a_port_perhaps_with_the_address() {
        for (text, shown) in [
            ("db.example:5432", "db.example:5432"),
            ("DB.Example:5432", "db.example:5432"),
            ("db:1", "db:1"),
            ("db=10.0.0.7:5432", "db=10.0.0.7:5432"),
            ("db=[fd00::7]:5432", "db=[fd00::7]:5432"),
        ] {
            assert_eq!(Pair::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_to_write() {
        for (text, why) in [
            ("", "no port"),
            ("db.example", "no port"),
            ("db.example:", "no port"),
            ("db.example:x", "no port"),
            ("db.example:0", "its port"),
            ("db.example:65536", "its port"),
            ("https://db.example/x", "URL"),
            ("*.example:443", "by name"),
            ("10.0.0.7:5432", "by name"),
            ("[2001:db8::1]:5432", "by name"),
            ("169.254.169.254:80", "link-local"),
            ("[fd00:ec2::254]:80", "metadata"),
            ("meta=169.254.169.254:80", "link-local"),
            ("meta=[::ffff:169.254.169.254]:80", "link-local"),
            ("db=other:80", "belongs an address"),
            ("localhost:5432", "the container itself"),
            ("0x7f.1:80", "not the name"),
            ("2852039166:80", "not the name"),
            ("a b:80", "not the name"),
            ("-a:80", "not the name"),
            ("a..b:80", "not the name"),
        ] {
            let refused = Pair::parse(text).unwrap_err();
            assert!(refused.why.contains(why) && !refused.help.is_empty(), "{text}: {refused:?}");
        }
        assert!(Pair::parse("postgres://me:x@db.example:5432/shop").unwrap_err().help.contains("\"db.example:5432\""));
    }
}
