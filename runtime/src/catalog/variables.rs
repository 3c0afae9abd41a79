//! `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `${file:path}`: filled in after the YAML is parsed and only inside scalars, so that no
//! value can ever become a key, a list or a comment. `$${` writes a literal `${`.
//!
//! What comes from outside may be a secret: it is never part of a message, and [`Filled::outside`] lists it so that what others say can be
//! cleaned of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::code::Code;
use super::diagnostic::Diagnostic;
use super::source::{Source, Span};

/// A `${file:…}` holds a password or a certificate, nothing larger.
const FILE_AT_MOST_BYTES: u64 = 1 << 20;

const FORMS: &str =
    "write \"${NAME}\", \"${NAME:-default}\", \"${NAME:?message}\" or \"${file:path}\"; \"$${\" is a literal ${";

/// How the value of an environment variable is asked for.
pub type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Where values come from.
#[derive(Clone)]
pub(super) struct Variables {
    environment: Arc<Environment>,
    directory: PathBuf,
}

/// A value from outside.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Outside {
    /// As the user wrote it, such as `${PASSWORD}`.
    pub(super) placeholder: String,
    /// Possibly a secret.
    pub(super) value: String,
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

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Variables {
    /// Relative paths start at `directory`.
    pub(super) fn new(environment: Arc<Environment>, directory: &Path) -> Self {
        Self { environment, directory: directory.to_path_buf() }
    }

    /// Fills a text that stands at `span`. Its mistakes go to `findings`; what could not be filled stays as written.
    pub(super) fn fill(&self, text: &str, span: Span, source: &Source, findings: &mut Vec<Diagnostic>) -> Filled {
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
            match self.value(placeholder) {
                Ok((value, from_outside)) => {
                    filled.text.push_str(&value);
                    if from_outside && !value.is_empty() {
                        filled.outside.push(Outside { placeholder: placeholder.to_owned(), value });
                    }
                }
                Err((code, message, help)) => {
                    findings.push(Diagnostic::error(code, place(source, span, placeholder), message, help));
                    filled.text.push_str(placeholder);
                }
            }
        }
        filled.text.push_str(rest);
        filled
    }

    fn value(&self, placeholder: &str) -> Result<(String, bool), (Code, String, String)> {
        let inner = placeholder[2..].strip_suffix('}');
        let Some(inner) = inner else {
            return Err((Code::VariableSyntax, "`${` is opened and never closed by `}`".into(), FORMS.into()));
        };
        if let Some(path) = inner.strip_prefix("file:") {
            return self.file(path).map(|text| (text, true));
        }
        let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
        let (name, operator) = inner.split_at(end);
        let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let nested = operator.contains("${");
        let wrong = |message: String| Err((Code::VariableSyntax, message, FORMS.into()));
        if !named {
            return wrong(format!("`{placeholder}` does not begin with the name of a variable"));
        }
        if nested {
            return wrong(format!("a default or message cannot hold another `${{…}}`, as in `{placeholder}`"));
        }
        let found = (self.environment)(name);
        match (found, operator.get(..2), operator) {
            (Some(value), _, "") => Ok((value, true)),
            (None, _, "") => {
                let help = format!("set it: export {name}=…, or give a default: \"${{{name}:-default}}\"");
                Err((Code::VariableUnset, format!("the environment variable {name} is not set"), help))
            }
            (Some(value), Some(":-" | ":?"), _) if !value.is_empty() => Ok((value, true)),
            (_, Some(":-"), _) => Ok((operator[2..].to_owned(), false)),
            (_, Some(":?"), _) => {
                let message = format!("the environment variable {name} is not set: {}", operator[2..].trim());
                Err((Code::VariableUnset, message, format!("set it: export {name}=…")))
            }
            _ => wrong(format!("`{placeholder}` has something else than `:-` or `:?` behind the name")),
        }
    }

    fn file(&self, path: &str) -> Result<String, (Code, String, String)> {
        let refuse = |why: String, help: &str| Err((Code::VariableFile, why, help.to_owned()));
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

/// The placeholder itself where it can be found, else the whole scalar (escapes may have changed its text).
fn place(source: &Source, span: Span, placeholder: &str) -> Span {
    match source.slice(span).find(placeholder) {
        Some(at) => Span::new(span.start + at, span.start + at + placeholder.len()),
        None => span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> (String, Vec<Diagnostic>, Vec<Outside>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), "s3cret\n").unwrap();
        std::fs::write(directory.path().join("bytes"), [0xff]).unwrap();
        let environment = |name: &str| match name {
            "SET" => Some("value: {not: yaml} ${OTHER}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let variables = Variables::new(Arc::new(environment), directory.path());
        let source = Source::new(Path::new("a.yaml"), text.to_owned());
        let mut findings = Vec::new();
        let filled = variables.fill(text, Span::new(0, text.len()), &source, &mut findings);
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
}
