//! The JSON pointers of a collection's key, compiled so that a document is walked once for all of them.

use crate::error::Error;

/// The pointers of a key, in order. They go through objects only: an array on the way is as good as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPointers {
    pointers: Vec<String>,
    tokens: Vec<Vec<String>>,
}

impl KeyPointers {
    /// At least one pointer, each once, each to a member of the document.
    pub fn compile(pointers: &[String]) -> Result<Self, Error> {
        let fault = |code: &str, expected: &str, got: &str| {
            Error::config(format!("key.{code}"), format!("compiling a key: expected {expected}, got {got}"))
        };
        if pointers.is_empty() {
            return Err(fault("empty", "at least one JSON pointer", "none")
                .suggest("name the members that identify a document"));
        }
        let mut tokens = Vec::with_capacity(pointers.len());
        for (i, pointer) in pointers.iter().enumerate() {
            if pointers[..i].contains(pointer) {
                return Err(fault("twice", "each pointer once", &format!("`{pointer}` twice")));
            }
            let parsed = parse(pointer).ok_or_else(|| {
                fault("pointer", "a JSON pointer such as `/id`", &format!("`{pointer}`"))
                    .suggest(format!("write `/{}`", pointer.trim_matches('/')))
            })?;
            tokens.push(parsed);
        }
        Ok(Self { pointers: pointers.to_vec(), tokens })
    }

    /// As they were written.
    pub fn pointers(&self) -> &[String] {
        &self.pointers
    }

    /// Number of parts of the key.
    pub fn len(&self) -> usize {
        self.pointers.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.pointers.is_empty()
    }

    /// The names each pointer goes through, unescaped.
    pub fn tokens(&self) -> &[Vec<String>] {
        &self.tokens
    }
}

/// RFC 6901: the names a pointer goes through, unescaped. `None`: it is none, or the empty one, which is the whole document.
pub fn parse(pointer: &str) -> Option<Vec<String>> {
    let names = pointer.strip_prefix('/')?.split('/').map(|token| {
        let tilde_is_escape = token.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        tilde_is_escape.then(|| token.replace("~1", "/").replace("~0", "~"))
    });
    names.collect()
}
