//! `longshore secret keygen` and `longshore secret encrypt`: values that stand encrypted in a catalog. The value comes from standard input,
//! never from the command line, which others can read.

use std::io::{IsTerminal as _, Read as _};

use serde_json::json;

use super::output::{Failure, Output};
use super::secret_args::{EncryptArgs, KeygenArgs, SecretVerb};
use crate::secret::age::{self, Identities};

/// What is encrypted is a password or a certificate.
const VALUE_MAX_BYTES: u64 = 1 << 20;

pub(super) fn secret(verb: SecretVerb, output: &Output) -> Result<(), Failure> {
    match verb {
        SecretVerb::Keygen(args) => keygen(&args, output),
        SecretVerb::Encrypt(args) => encrypt(&args, output),
    }
}

fn keygen(args: &KeygenArgs, output: &Output) -> Result<(), Failure> {
    let recipient = age::keygen(&args.file).map_err(|why| {
        Failure::configuration(why).help("name a file that is not there yet; an identity is never overwritten")
    })?;
    let file = args.file.display().to_string();
    output.object("identity", json!({ "file": file, "recipient": recipient }));
    output.line(&recipient);
    super::catalogs::note(
        format_args!(
            "{file} holds the identity: keep it, and keep it to yourself\nencrypt to it with `longshore secret encrypt --to {recipient}`"
        ),
        output,
    );
    Ok(())
}

fn encrypt(args: &EncryptArgs, output: &Output) -> Result<(), Failure> {
    let mut recipients = Vec::new();
    for to in &args.to {
        recipients.push(age::recipient(to).map_err(Failure::configuration)?);
    }
    if recipients.is_empty() {
        let Some(path) = &args.identity else {
            return Err(Failure::configuration(
                "expected to whom the value is to be encrypted, got neither --to nor --identity",
            )
            .help("`longshore secret keygen FILE` makes an identity and says its recipient, age1…"));
        };
        recipients = Identities::read(path).map_err(Failure::configuration)?.recipients();
    }
    let value = value().map_err(|error| Failure::running(format!("reading the value: {error}")))?;
    if value.is_empty() {
        return Err(Failure::configuration("expected a value on standard input, got none"));
    }
    let encrypted = age::encrypt(&value, &recipients).map_err(Failure::running)?;
    output.object("encrypted", json!({ "value": encrypted }));
    output.line(&encrypted);
    Ok(())
}

/// From a person without showing it, else all of standard input without the newline at its end.
fn value() -> std::io::Result<String> {
    if std::io::stdin().is_terminal() {
        let terminal = console::Term::stderr();
        terminal.write_str("the value, which is not shown: ")?;
        return terminal.read_secure_line();
    }
    let mut bytes = Vec::new();
    std::io::stdin().take(VALUE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > VALUE_MAX_BYTES {
        return Err(std::io::Error::other(format!("it has more than {VALUE_MAX_BYTES} bytes")));
    }
    let value = String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is no UTF-8 text"))?;
    let value = value.strip_suffix('\n').unwrap_or(&value);
    Ok(value.strip_suffix('\r').unwrap_or(value).to_owned())
}
