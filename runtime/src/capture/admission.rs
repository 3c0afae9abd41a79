//! Which documents of one binding are admitted: their JSON, their key, and the schema as the collection's policy has it. Knows no journal
//! and no session; [`super::intake`] and the replay of dead letters ask it.

use longshore_proto::Error;
use longshore_proto::document::Scanner;
use longshore_proto::key::KeyPointers;
use longshore_proto::session::Collection;

use crate::document::{INFERRED_PROPERTIES_MAX, NotInferred, Schema, Violation, Widened, admit, widen};
use crate::journal::SchemaVersion;

/// What a collection's schema has to say about its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaPolicy {
    /// The user wrote it and it is enforced as it stands, whatever the source states.
    Written,
    /// The source states it: what it declares is admitted, and only the source widens it.
    Stated,
    /// The source states it or the user wrote it, and both the source and the documents widen it.
    Inferred,
    /// The user wrote it, for destinations; no document is held against it.
    Unchecked,
    /// The source states it, for destinations; no document is held against it.
    UncheckedStated,
}

impl SchemaPolicy {
    /// Whether what the source states counts.
    fn hears_the_source(self) -> bool {
        match self {
            Self::Stated | Self::Inferred | Self::UncheckedStated => true,
            Self::Written | Self::Unchecked => false,
        }
    }

    fn compile(self, version: u64, schema_json: &[u8]) -> Result<Schema, Error> {
        match self {
            Self::Written => Schema::compile(schema_json),
            // Nothing known yet: the source states it before the first document that needs it.
            Self::Stated if version == 0 => Schema::compile(b"{}"),
            Self::Stated => Schema::compile_stated(schema_json),
            Self::Inferred => Schema::compile_inferred(if version == 0 { b"{}" } else { schema_json }),
            Self::Unchecked | Self::UncheckedStated => Schema::compile(b"{}"),
        }
    }
}

/// Admits documents of one binding.
#[derive(Debug)]
pub struct Admission {
    collection: String,
    scanner: Scanner,
    schema: Schema,
    policy: SchemaPolicy,
    /// The newest version, and what it says.
    version: u64,
    schema_json: Vec<u8>,
    /// Documents widened it, and nobody was told yet.
    has_widened: bool,
}

impl Admission {
    /// `newest` is what the journal has.
    pub fn new(collection: &Collection, policy: SchemaPolicy, newest: Option<&SchemaVersion>) -> Result<Self, Error> {
        let (version, schema_json) = match newest {
            Some(newest) if policy.hears_the_source() => (newest.version, newest.schema_json.to_vec()),
            Some(_) | None => (collection.schema_version, collection.schema_json.to_vec()),
        };
        Ok(Self {
            collection: collection.name.clone(),
            scanner: Scanner::new(&KeyPointers::compile(&collection.key)?),
            schema: policy.compile(version, &schema_json)?,
            policy,
            version,
            schema_json,
            has_widened: false,
        })
    }

    /// The collection's name.
    #[must_use]
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The newest version of the schema, and what it says.
    #[must_use]
    pub fn schema(&self) -> (u64, &[u8]) {
        (self.version, &self.schema_json)
    }

    /// One pass: JSON, key and schema. The error is of kind `data` and says what is wrong with the document.
    pub fn check(&mut self, document: &[u8]) -> Result<(), Error> {
        let mut fit = self.schema.begin();
        let scanned = self.scanner.check(document, |name, value| fit.member(name, value));
        scanned.map_err(|error| error.while_doing(&self.collection))?;
        match fit.end(document) {
            Ok(()) => Ok(()),
            Err(violation) => self.violated(document, violation),
        }
    }

    /// The version that documents since the last call made necessary: it has to be known before they are.
    pub fn take_widened(&mut self) -> Option<(u64, Vec<u8>)> {
        if !std::mem::take(&mut self.has_widened) {
            return None;
        }
        self.version += 1;
        Some((self.version, self.schema_json.clone()))
    }

    /// What the source states of the schema: a new version, if it says something new and counts.
    pub fn state(&mut self, stated_json: &[u8]) -> Result<Option<(u64, Vec<u8>)>, Error> {
        if !self.policy.hears_the_source() {
            return Ok(None);
        }
        let named = |error: Error| error.while_doing(&self.collection);
        let wider = match self.version {
            // Nothing was stated before: this is the first version.
            0 if !self.has_widened => stated_json.to_vec(),
            _ => match widen(&self.schema_json, stated_json).map_err(named)? {
                Widened::Same => return Ok(None),
                Widened::Wider(json) => json,
            },
        };
        self.schema = self.policy.compile(self.version + 1, &wider).map_err(named)?;
        self.version += 1;
        self.schema_json = wider;
        Ok(Some((self.version, self.schema_json.clone())))
    }

    /// Off the fast path: only a document that does not fit comes here.
    #[cold]
    fn violated(&mut self, document: &[u8], violation: Violation) -> Result<(), Error> {
        if self.policy != SchemaPolicy::Inferred {
            return Err(self.refuse(document, violation));
        }
        let known: &[u8] = if self.version == 0 && !self.has_widened { b"{}" } else { &self.schema_json };
        let wider = match admit(known, document) {
            Ok(wider) => wider,
            Err(why) => return Err(self.not_inferred(why).unwrap_or_else(|| self.refuse(document, violation))),
        };
        let schema = Schema::compile_inferred(&wider)?;
        let mut fit = schema.begin();
        self.scanner.check(document, |name, value| fit.member(name, value))?;
        fit.end(document).map_err(|still| self.refuse(document, still))?;
        (self.schema, self.schema_json, self.has_widened) = (schema, wider, true);
        Ok(())
    }

    fn refuse(&self, document: &[u8], violation: Violation) -> Error {
        violation.into_error(&self.collection, &self.scanner.key_json(document))
    }

    /// `None`: the violation itself says best what is wrong.
    fn not_inferred(&self, why: NotInferred) -> Option<Error> {
        let collection = &self.collection;
        match why {
            NotInferred::TooWide => Some(
                Error::data(
                    "document.too_many_fields",
                    format!(
                        "a document of {collection} has fields that would make its schema too large: expected at most \
                         {INFERRED_PROPERTIES_MAX} fields and 1 MiB of schema, all documents together"
                    ),
                )
                .suggest("where names of fields are data, put them into one field at the source; or write a schema, or `validation: off`"),
            ),
            NotInferred::References | NotInferred::Unreadable(_) => None,
        }
    }
}
