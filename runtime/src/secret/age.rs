//! Values that stand encrypted in the catalog as `${age:…}`: base64 around what [age](https://age-encryption.org) writes, so any
//! tool that speaks it can make and read them. The identities that decrypt them lie in a file of their own.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use age::secrecy::ExposeSecret as _;
use age::x25519::{Identity, Recipient};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::learn;

/// An identity file holds a few lines.
const FILE_MAX_BYTES: u64 = 64 << 10;

/// The identities of a file: whoever has them can decrypt what was encrypted to their recipients.
pub(crate) struct Identities(Vec<Identity>);

impl Identities {
    /// Reads a file as `longshore secret keygen` and `age-keygen` write it, which only its owner may read.
    ///
    /// # Errors
    /// Why it is of no use; never what is in it.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let why = |why: String| format!("the identity file {}: {why}", path.display());
        let found = path.metadata().map_err(|error| why(error.to_string()))?;
        if found.permissions().mode() & 0o077 != 0 {
            return Err(why(format!("others may read it: chmod 600 {}", path.display())));
        }
        if found.len() > FILE_MAX_BYTES {
            return Err(why(format!("it has {} bytes, expected at most {FILE_MAX_BYTES}", found.len())));
        }
        let text = std::fs::read_to_string(path).map_err(|error| why(error.to_string()))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut identities = Vec::new();
        for line in lines {
            let identity = line.parse().map_err(|_| why("a line is no AGE-SECRET-KEY-1…".into()))?;
            learn([line.to_owned()]);
            identities.push(identity);
        }
        if identities.is_empty() { Err(why("it holds no AGE-SECRET-KEY-1…".into())) } else { Ok(Self(identities)) }
    }

    /// To whom one encrypts so that these can decrypt it.
    pub(crate) fn recipients(&self) -> Vec<Recipient> {
        self.0.iter().map(Identity::to_public).collect()
    }

    /// The value that stands in an `${age:…}`.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn decrypt(&self, encrypted: &str) -> Result<String, String> {
        // Where YAML folds a long line it puts a space.
        let letters: String = encrypted.split_whitespace().collect();
        let bytes = STANDARD.decode(letters).map_err(|error| format!("it is not base64: {error}"))?;
        let decryptor =
            age::Decryptor::new_buffered(bytes.as_slice()).map_err(|error| format!("it is not age: {error}"))?;
        let identities = self.0.iter().map(|identity| identity as &dyn age::Identity);
        let opened = decryptor.decrypt(identities);
        let mut opened =
            opened.map_err(|error| format!("it was not encrypted to this identity, or is damaged: {error}"))?;
        let mut value = String::new();
        opened.read_to_string(&mut value).map_err(|error| format!("it is damaged, or no text: {error}"))?;
        Ok(value)
    }
}

/// A value as it is written into a catalog.
///
/// # Errors
/// A recipient that is none.
pub(crate) fn encrypt(value: &str, recipients: &[Recipient]) -> Result<String, String> {
    let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let mut writer = encryptor.wrap_output(&mut bytes).map_err(|error| error.to_string())?;
    writer.write_all(value.as_bytes()).and_then(|()| writer.finish()).map_err(|error| error.to_string())?;
    Ok(format!("${{age:{}}}", STANDARD.encode(bytes)))
}

/// What `age1…` stands for.
///
/// # Errors
/// It is none.
pub(crate) fn recipient(text: &str) -> Result<Recipient, String> {
    text.parse().map_err(|why| format!("`{text}` is no recipient, which begins with age1: {why}"))
}

/// Makes an identity and writes it to a file that is not there yet and that only this user can read. Gives its recipient.
///
/// # Errors
/// The file cannot be made.
pub(crate) fn keygen(path: &Path) -> Result<String, String> {
    let identity = Identity::generate();
    let recipient = identity.to_public().to_string();
    let text = format!(
        "# An identity of age. Whoever has this file can read what was encrypted to it.\n# public key: {recipient}\n{}\n",
        identity.to_string().expose_secret()
    );
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map(|()| recipient).map_err(|error| format!("writing {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encrypted_to_an_identity_is_decrypted_with_it_and_with_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let (mine, other) = (directory.path().join("mine"), directory.path().join("other"));
        let to = recipient(&keygen(&mine).unwrap()).unwrap();
        keygen(&other).unwrap();
        let (mine, other) = (Identities::read(&mine).unwrap(), Identities::read(&other).unwrap());
        let written = encrypt("pä$$ word\n", &[to]).unwrap();
        let inner = written.strip_prefix("${age:").and_then(|rest| rest.strip_suffix('}')).unwrap();
        assert!(!inner.contains(['}', ' ', '\n', '"']), "{inner}");
        assert_eq!(mine.decrypt(inner).as_deref(), Ok("pä$$ word\n"));
        let folded = format!("{} {}", &inner[..40], &inner[40..]);
        assert_eq!(mine.decrypt(&folded).as_deref(), Ok("pä$$ word\n"));
        assert!(other.decrypt(inner).unwrap_err().contains("not encrypted to this identity"));
        let both: Vec<Recipient> = [&mine, &other].into_iter().flat_map(Identities::recipients).collect();
        let written = encrypt("x", &both).unwrap();
        for identities in [&mine, &other] {
            assert_eq!(identities.decrypt(&written[6..written.len() - 1]).as_deref(), Ok("x"));
        }
        for wrong in ["", "!", "aGVsbG8=", &inner[..inner.len() / 8 * 4]] {
            mine.decrypt(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn an_identity_file_is_made_once_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        keygen(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(keygen(&path).unwrap_err().contains("exists"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Identities::read(&path).err().unwrap().contains("chmod 600"));
        for (text, part) in [("# nothing\n", "holds no"), ("hunter2\n", "is no AGE-SECRET-KEY-1")] {
            let path = directory.path().join(part.len().to_string());
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let why = Identities::read(&path).err().unwrap();
            assert!(why.contains(part) && !why.contains("hunter2"), "{why}");
        }
        assert!(Identities::read(&directory.path().join("none")).is_err());
        assert!(recipient("age1x").is_err());
    }
}
