//! What comes from the connector, checked before the machine hears of it: JSON, keys, schemas; and turned into what the journal takes.

use longshore_proto::Error;
use longshore_proto::batch::Batch;
use longshore_proto::document::Scanner;
use longshore_proto::key::KeyPointers;
use longshore_proto::session::Binding;

use super::scribe::Command;
use super::transaction::Event;
use crate::document::{Schema, Widened, widen};
use crate::journal::{LocalId, NewBinding, Writer};

/// Where the schema of a binding's collection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaPolicy {
    /// The user wrote it into the catalog: it is enforced as it stands, whatever the source states.
    Written,
    /// The source states it: what it declares is admitted, and it widens.
    Stated,
}

/// Checks and translates, binding by binding.
#[derive(Debug)]
pub(super) struct Intake {
    connector: String,
    bindings: Vec<Known>,
}

/// A binding as this session sees it.
#[derive(Debug)]
struct Known {
    local: LocalId,
    collection: String,
    scanner: Scanner,
    schema: Schema,
    policy: SchemaPolicy,
    /// The newest version, and what it says.
    version: u64,
    schema_json: Vec<u8>,
}

impl Intake {
    /// Finds the bindings in the journal's table; new ones get their rows with the first transaction.
    pub(super) fn new(
        connector: &str,
        bindings: &[(Binding, SchemaPolicy)],
        writer: &mut dyn Writer,
    ) -> Result<Self, Error> {
        let known = bindings
            .iter()
            .map(|(binding, policy)| Known::new(binding, *policy, writer))
            .collect::<Result<_, Error>>()?;
        Ok(Self { connector: connector.to_owned(), bindings: known })
    }

    /// The bindings with the schemas that are known by now, for Open.
    pub(super) fn as_known(&self, bindings: impl Iterator<Item = Binding>) -> Vec<Binding> {
        let update = |(mut binding, known): (Binding, &Known)| {
            binding.collection.schema_version = known.version;
            binding.collection.schema_json = known.schema_json.clone().into();
            binding
        };
        bindings.zip(&self.bindings).map(update).collect()
    }

    /// Documents, each looked at once.
    pub(super) fn documents(&mut self, batch: Batch) -> Result<(Event, Command), Error> {
        let index = batch.binding();
        let known = self.bindings.get_mut(index).ok_or_else(|| no_binding(index))?;
        for document in batch.documents() {
            known.check(index, document)?;
        }
        let event = Event::Documents { count: batch.len() as u64, bytes: batch.byte_len() as u64 };
        Ok((event, Command::Documents { local: known.local, batch }))
    }

    /// The source's statement of a schema; nothing to do if it says nothing new.
    pub(super) fn schema(&mut self, index: usize, stated_json: &[u8]) -> Result<Option<(Event, Command)>, Error> {
        let known = self.bindings.get_mut(index).ok_or_else(|| no_binding(index))?;
        if known.policy == SchemaPolicy::Written {
            return Ok(None);
        }
        let wider = match known.version {
            // Nothing was stated before: this is the first version.
            0 => stated_json.to_vec(),
            _ => match widen(&known.schema_json, stated_json).map_err(|error| known.name(index, error))? {
                Widened::Same => return Ok(None),
                Widened::Wider(json) => json,
            },
        };
        known.schema = Schema::compile_stated(&wider).map_err(|error| known.name(index, error))?;
        known.version += 1;
        known.schema_json.clone_from(&wider);
        let event = Event::WiderSchema { bytes: wider.len() as u64 };
        Ok(Some((event, Command::Schema { local: known.local, version: known.version, schema_json: wider })))
    }

    /// What the protocol has and this version of the runtime does not do yet: nothing is dropped silently.
    pub(super) fn not_supported(&self, message: &str, index: usize) -> Error {
        let collection = self.bindings.get(index).map_or("", |known| &known.collection);
        let text =
            format!("{} sent {message} for {collection}, which is not supported by this version", self.connector);
        Error::config("capture.not_supported", text)
            .at_binding(index)
            .suggest("leave the binding out, or set the connector up so that it does not do this")
    }
}

impl Known {
    fn new(binding: &Binding, policy: SchemaPolicy, writer: &mut dyn Writer) -> Result<Self, Error> {
        let collection = &binding.collection;
        let new = NewBinding {
            state_key: binding.state_key.clone(),
            collection: collection.name.clone(),
            key: collection.key.clone(),
        };
        let local = writer.bind(&new).map_err(Error::from)?;
        let (version, schema_json) = match (policy, writer.schemas().get(&local)) {
            (SchemaPolicy::Stated, Some(newest)) => (newest.version, newest.schema_json.to_vec()),
            (SchemaPolicy::Stated | SchemaPolicy::Written, _) => {
                (collection.schema_version, collection.schema_json.to_vec())
            }
        };
        let schema = match policy {
            SchemaPolicy::Written => Schema::compile(&schema_json)?,
            // Nothing known yet: the source states it before the first document that needs it.
            SchemaPolicy::Stated if version == 0 => Schema::compile(b"{}")?,
            SchemaPolicy::Stated => Schema::compile_stated(&schema_json)?,
        };
        let scanner = Scanner::new(&KeyPointers::compile(&collection.key)?);
        Ok(Self { local, collection: collection.name.clone(), scanner, schema, policy, version, schema_json })
    }

    /// One pass: JSON, key and schema.
    fn check(&mut self, index: usize, document: &[u8]) -> Result<(), Error> {
        let mut fit = self.schema.begin();
        let scanned = self.scanner.check(document, |name, value| fit.member(name, value));
        scanned.map_err(|error| error.while_doing(&self.collection).at_binding(index))?;
        let ended = fit.end(document);
        ended.map_err(|violation| violation.into_error(&self.collection, index, &self.scanner.key_json(document)))
    }

    fn name(&self, index: usize, error: Error) -> Error {
        error.while_doing(&self.collection).at_binding(index)
    }
}

/// The protocol's parser has checked every index.
fn no_binding(index: usize) -> Error {
    Error::internal("capture.binding", format!("binding {index} is not one of this session"))
}
