//! `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `${file:path}`, `${exec:command}` and `${age:…}`: filled in after the YAML is parsed and
//! only inside scalars, so that no value can ever become a key, a list or a comment. `$${` writes a literal `${`.
//!
//! What comes from outside may be a secret: it is never part of a message, and [`Filled::outside`] lists it so that what others say can be
//! cleaned of it. What is asked of a command or encrypted never stands where others could read it: a command line, an address, a mount.

use std::fmt;
use std::path::{Path, PathBuf};

use super::code::Code;
use super::diagnostic::Diagnostic;
use super::source::{Source, Span};
use super::values::{Exec, Values};
use crate::secret::age::Identities;
use crate::secret::exec;

/// A `${file:…}` holds a password or a certificate, nothing larger.
const FILE_AT_MOST_BYTES: u64 = 1 << 20;

const FORMS: &str = "write \"${NAME}\", \"${NAME:-default}\", \"${NAME:?message}\", \"${file:path}\", \"${exec:command}\" or \"${age:…}\"; \
    \"$${\" is a literal ${";

/// The values of one catalog.
#[derive(Debug, Clone)]
pub(super) struct Variables {
    values: Values,
    directory: PathBuf,
}

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a config or a resource: told to the connector and to nobody else.
    Private,
    /// Where other users of the machine, and whoever looks at a container, can read it.
    Open,
}

/// A value from outside.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Outside {
    /// As the user wrote it, such as `${PASSWORD}`.
    pub(super) placeholder: String,
    /// Possibly a secret.
    pub(super) value: String,
    /// Surely one: it comes from where people put nothing else.
    pub(super) secret: bool,
}

/// A text with its values filled in.
pub(super) struct Filled {
    pub(super) text: String,
    pub(super) outside: Vec<Outside>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outside({})", self.placeholder)
    }
}

/// What is wrong with a placeholder.
struct Wrong {
    code: Code,
    message: String,
    help: String,
}

impl Wrong {
    fn new(code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: help.into() }
    }
}

/// A value, and where it is from.
enum Value {
    /// The user's own words.
    Written(String),
    /// Perhaps a secret.
    Outside(String),
    /// A secret.
    Secret(String),
}

impl Variables {
    /// Relative paths start at `directory`.
    pub(super) fn new(values: Values, directory: &Path) -> Self {
        Self { values, directory: directory.to_path_buf() }
    }

    /// Fills a text that stands at `span`. Its mistakes go to `findings`; what could not be filled stays as written.
    pub(super) fn fill(
        &self,
        text: &str,
        (span, place): (Span, Place),
        source: &Source,
        findings: &mut Vec<Diagnostic>,
    ) -> Filled {
        let mut filled = Filled { text: String::with_capacity(text.len()), outside: Vec::new() };
        let mut rest = text;
        while let Some(dollar) = rest.find("${") {
            if rest[..dollar].ends_with('$') {
                filled.text.push_str(&rest[..dollar - 1]);
                filled.text.push_str("${");
                rest = &rest[dollar + 2..];
                continue;
            }
            filled.text.push_str(&rest[..dollar]);
            let placeholder = match rest[dollar..].find('}') {
                Some(close) => &rest[dollar..=dollar + close],
                None => &rest[dollar..],
            };
            rest = &rest[dollar + placeholder.len()..];
            let (value, is_outside, secret) = match self.value(placeholder, place) {
                Ok(Value::Written(value)) => (value, false, false),
                Ok(Value::Outside(value)) => (value, true, false),
                Ok(Value::Secret(value)) => (value, true, true),
                Err(Wrong { code, message, help }) => {
                    let at = place_of(source, span, placeholder);
                    // Where no command is ever run, one is no mistake.
                    let told = if code == Code::VariableNotRun { Diagnostic::warning } else { Diagnostic::error };
                    findings.push(told(code, at, message, help));
                    filled.text.push_str(placeholder);
                    continue;
                }
            };
            filled.text.push_str(&value);
            if is_outside && !value.is_empty() {
                filled.outside.push(Outside { placeholder: placeholder.to_owned(), value, secret });
            }
        }
        filled.text.push_str(rest);
        filled
    }

    fn value(&self, placeholder: &str, place: Place) -> Result<Value, Wrong> {
        let inner = placeholder[2..].strip_suffix('}');
        let Some(inner) = inner else {
            return Err(Wrong::new(Code::VariableSyntax, "`${` is opened and never closed by `}`", FORMS));
        };
        if let Some(path) = inner.strip_prefix("file:") {
            return self.file(path).map(Value::Secret);
        }
        if let Some(command) = inner.strip_prefix("exec:") {
            private(placeholder, place)?;
            return self.exec(command.trim()).map(Value::Secret);
        }
        if let Some(encrypted) = inner.strip_prefix("age:") {
            private(placeholder, place)?;
            return self.age(encrypted).map(Value::Secret);
        }
        self.variable(placeholder, inner)
    }

    fn variable(&self, placeholder: &str, inner: &str) -> Result<Value, Wrong> {
        let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
        let (name, operator) = inner.split_at(end);
        let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let nested = operator.contains("${");
        let wrong = |message: String| Err(Wrong::new(Code::VariableSyntax, message, FORMS));
        if !named {
            return wrong(format!("`{placeholder}` does not begin with the name of a variable"));
        }
        if nested {
            return wrong(format!("a default or message cannot hold another `${{…}}`, as in `{placeholder}`"));
        }
        let found = self.values.variable(name);
        match (found, operator.get(..2), operator) {
            (Some(value), _, "") => Ok(Value::Outside(value)),
            (None, _, "") => {
                let help = format!("set it: export {name}=…, or give a default: \"${{{name}:-default}}\"");
                Err(Wrong::new(Code::VariableUnset, format!("the environment variable {name} is not set"), help))
            }
            (Some(value), Some(":-" | ":?"), _) if !value.is_empty() => Ok(Value::Outside(value)),
            (_, Some(":-"), _) => Ok(Value::Written(operator[2..].to_owned())),
            (_, Some(":?"), _) => {
                let message = format!("the environment variable {name} is not set: {}", operator[2..].trim());
                Err(Wrong::new(Code::VariableUnset, message, format!("set it: export {name}=…")))
            }
            _ => wrong(format!("`{placeholder}` has something else than `:-` or `:?` behind the name")),
        }
    }

    fn exec(&self, command: &str) -> Result<String, Wrong> {
        if command.is_empty() {
            let help = "write \"${exec:command}\": its standard output, without the newline at the end, is the value";
            return Err(Wrong::new(Code::VariableExec, "`${exec:}` names no command", help));
        }
        match self.values.exec {
            Exec::Refused => {
                let help = "if you trust this catalog, say so with --allow-exec";
                Err(Wrong::new(Code::VariableExec, "`${exec:…}` runs a command, and that was not allowed", help))
            }
            Exec::Never => {
                let message = "no command is run here, so what needs `${exec:…}` was not asked";
                let help = "`longshore run --allow-exec` runs it; to try the rest, put the value into a variable or a file for a while";
                Err(Wrong::new(Code::VariableNotRun, message, help))
            }
            Exec::Allowed => exec::output_of(command, &self.directory).map_err(|why| {
                let message = format!("the command of `${{exec:…}}` gave no value: {why}");
                let help = format!("try it by itself: cd {} && {command}", self.directory.display());
                Wrong::new(Code::VariableExec, message, help)
            }),
        }
    }

    fn age(&self, encrypted: &str) -> Result<String, Wrong> {
        let wrong = |message: String, help: &str| Err(Wrong::new(Code::VariableAge, message, help));
        if encrypted.trim().is_empty() {
            return wrong("`${age:}` holds nothing".into(), "`longshore secret encrypt` makes one of a value");
        }
        let Some(path) = &self.values.identity else {
            let help = "name the file with the identity: --identity FILE, or LONGSHORE_IDENTITY";
            return wrong("this is encrypted, and there is no identity that could decrypt it".into(), help);
        };
        let identities = match Identities::read(path) {
            Ok(identities) => identities,
            Err(why) => return wrong(why, "`longshore secret keygen FILE` makes one, and says to whom to encrypt"),
        };
        identities.decrypt(encrypted).or_else(|why| {
            let help = "encrypt the value again: `longshore secret encrypt --identity FILE`, with this identity";
            wrong(format!("this cannot be decrypted with {}: {why}", path.display()), help)
        })
    }

    fn file(&self, path: &str) -> Result<String, Wrong> {
        let refuse = |why: String, help: &str| Err(Wrong::new(Code::VariableFile, why, help));
        if path.is_empty() {
            return refuse("`${file:}` names no file".into(), "write \"${file:path}\", relative to the catalog");
        }
        let full = self.directory.join(path);
        match std::fs::metadata(&full) {
            Ok(found) if !found.is_file() => {
                return refuse(format!("`{path}` is not a file"), "name a file that holds the value");
            }
            Ok(found) if found.len() > FILE_AT_MOST_BYTES => {
                let why = format!("`{path}` has {} bytes, expected at most {FILE_AT_MOST_BYTES}", found.len());
                return refuse(why, "name the file that holds just this value");
            }
            Ok(_) | Err(_) => {}
        }
        match std::fs::read(&full).map(String::from_utf8) {
            Ok(Ok(text)) => {
                // Editors and `echo` end a file with a newline that is no part of the secret.
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
            }
            Ok(Err(_)) => refuse(format!("`{path}` is not UTF-8 text"), "name a text file"),
            Err(error) => refuse(
                format!("cannot read `{path}`: {error}"),
                "make the file, readable for you; the path is relative to the catalog",
            ),
        }
    }
}

/// What only a connector should get must not stand where others read it.
fn private(placeholder: &str, place: Place) -> Result<(), Wrong> {
    if place == Place::Private {
        return Ok(());
    }
    let what = if placeholder.starts_with("${age:") { "${age:…}" } else { placeholder };
    let message = format!("`{what}` is a secret, and what is written here can be read by others");
    let help = "command lines, addresses and mounts are no place for secrets: they belong into `config`, which only the connector gets";
    Err(Wrong::new(Code::VariablePlace, message, help))
}

/// The placeholder itself where it can be found, else the whole scalar (escapes may have changed its text).
fn place_of(source: &Source, span: Span, placeholder: &str) -> Span {
    match source.slice(span).find(placeholder) {
        Some(at) => Span::new(span.start + at, span.start + at + placeholder.len()),
        None => span,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn fill(text: &str) -> (String, Vec<Diagnostic>, Vec<Outside>) {
        fill_as(text, Exec::Refused, Place::Private)
    }

    fn fill_as(text: &str, exec: Exec, place: Place) -> (String, Vec<Diagnostic>, Vec<Outside>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), "s3cret\n").unwrap();
        std::fs::write(directory.path().join("bytes"), [0xff]).unwrap();
        let environment = |name: &str| match name {
            "SET" => Some("value: {not: yaml} ${OTHER}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let variables = Variables::new(Values::new(Arc::new(environment)).exec(exec), directory.path());
        let source = Source::new(Path::new("a.yaml"), text.to_owned());
        let mut findings = Vec::new();
        let filled = variables.fill(text, (Span::new(0, text.len()), place), &source, &mut findings);
        (filled.text, findings, filled.outside)
    }

    #[test]
    fn the_four_forms_are_filled_once_and_never_again() {
        let cases = [
            ("a ${SET} b", "a value: {not: yaml} ${OTHER} b"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}${UNSET:-e}${UNSET:-}", "de"),
            ("${SET:?must}", "value: {not: yaml} ${OTHER}"),
            ("${file:secret}!", "s3cret!"),
            ("$${SET} $5 $ {x}", "${SET} $5 $ {x}"),
        ];
        for (text, expected) in cases {
            let (filled, findings, _) = fill(text);
            assert_eq!((filled.as_str(), findings.len()), (expected, 0), "{text}: {findings:?}");
        }
    }

    #[test]
    fn what_comes_from_outside_is_remembered_and_defaults_are_not() {
        let (_, _, outside) = fill("${SET}${UNSET:-default}${file:secret}");
        assert_eq!(
            outside.iter().map(|one| one.placeholder.as_str()).collect::<Vec<_>>(),
            ["${SET}", "${file:secret}"]
        );
        assert!(!format!("{outside:?}").contains("s3cret"));
    }

    #[test]
    fn each_mistake_is_shown_at_its_own_place_with_a_way_out() {
        let cases = [
            ("x ${UNSET}", Code::VariableUnset, "not set"),
            ("x ${EMPTY:?say it}", Code::VariableUnset, "say it"),
            ("x ${UNSET", Code::VariableSyntax, "never closed"),
            ("x ${}", Code::VariableSyntax, "does not begin"),
            ("x ${1A}", Code::VariableSyntax, "does not begin"),
            ("x ${A-b}", Code::VariableSyntax, "something else"),
            ("x ${A:+b}", Code::VariableSyntax, "something else"),
            ("x ${A:-${B}}", Code::VariableSyntax, "another"),
            ("x ${age:}", Code::VariableAge, "holds nothing"),
            ("x ${age:YWdl}", Code::VariableAge, "no identity"),
            ("x ${exec:}", Code::VariableExec, "names no command"),
            ("x ${exec:true}", Code::VariableExec, "not allowed"),
            ("x ${file:}", Code::VariableFile, "names no file"),
            ("x ${file:none}", Code::VariableFile, "cannot read"),
            ("x ${file:.}", Code::VariableFile, "not a file"),
            ("x ${file:bytes}", Code::VariableFile, "UTF-8"),
        ];
        for (text, code, part) in cases {
            let (_, findings, _) = fill(text);
            let [finding] = findings.as_slice() else { panic!("{text}: {findings:?}") };
            assert_eq!((finding.code.as_ref(), finding.span.start), (code.as_str(), 2), "{text}");
            assert!(finding.message.contains(part) && !finding.help.is_empty(), "{finding:?}");
        }
    }

    #[test]
    fn a_command_is_run_only_where_that_is_allowed() {
        let (text, findings, outside) =
            fill_as("a ${exec: echo hunter | sed s/$/2/ } b", Exec::Allowed, Place::Private);
        assert_eq!((text.as_str(), findings.len()), ("a hunter2 b", 0));
        assert!(outside[0].secret && !format!("{outside:?}").contains("hunter2"));
        let run = "x ${exec:touch ran}";
        for (exec, place, code) in [
            (Exec::Refused, Place::Private, Code::VariableExec),
            (Exec::Never, Place::Private, Code::VariableNotRun),
            (Exec::Allowed, Place::Open, Code::VariablePlace),
        ] {
            let (text, findings, outside) = fill_as(run, exec, place);
            assert_eq!((text.as_str(), findings[0].code.as_ref(), outside.len()), (run, code.as_str(), 0), "{exec:?}");
        }
        let (_, findings, _) = fill_as("${exec:echo hunter2; echo no key >&2; exit 1}", Exec::Allowed, Place::Private);
        assert!(findings[0].message.contains("exit status: 1: no key"), "{findings:?}");
    }
}
