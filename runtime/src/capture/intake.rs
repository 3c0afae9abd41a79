//! What comes from the connector, checked before the machine hears of it ([`super::admission`]); and turned into what the journal takes.

use longshore_proto::Error;
use longshore_proto::batch::Batch;
use longshore_proto::session::Binding;

use super::admission::{Admission, SchemaPolicy};
use super::scribe::Command;
use super::transaction::Event;
use crate::journal::{LocalId, NewBinding, Writer};

/// For each thing to write, what the machine hears of it; in order.
pub(super) type Entries = Vec<(Event, Command)>;

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
    admission: Admission,
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
            let (version, schema_json) = known.admission.schema();
            binding.collection.schema_version = version;
            binding.collection.schema_json = schema_json.to_vec().into();
            binding
        };
        bindings.zip(&self.bindings).map(update).collect()
    }

    /// Documents, each looked at once; before them the schema, if they have widened it.
    pub(super) fn documents(&mut self, batch: Batch) -> Result<Entries, Error> {
        let index = batch.binding();
        let known = self.binding(index)?;
        for document in batch.documents() {
            known.admission.check(document).map_err(|error| error.at_binding(index))?;
        }
        let mut entries: Entries = known.widened().into_iter().collect();
        let event = Event::Documents { count: batch.len() as u64, bytes: batch.byte_len() as u64 };
        entries.push((event, Command::Documents { local: known.local, batch }));
        Ok(entries)
    }

    /// The source's statement of a schema; nothing to do if it says nothing new.
    pub(super) fn schema(&mut self, index: usize, stated_json: &[u8]) -> Result<Entries, Error> {
        let known = self.binding(index)?;
        let stated = known.admission.state(stated_json).map_err(|error| error.at_binding(index))?;
        Ok(stated.map(|version| known.schema(version)).into_iter().collect())
    }

    /// What the protocol has and this version of the runtime does not do yet: nothing is dropped silently.
    pub(super) fn not_supported(&self, message: &str, index: usize) -> Error {
        let collection = self.bindings.get(index).map_or("", |known| known.admission.collection());
        let text =
            format!("{} sent {message} for {collection}, which is not supported by this version", self.connector);
        Error::config("capture.not_supported", text)
            .at_binding(index)
            .suggest("leave the binding out, or set the connector up so that it does not do this")
    }

    /// The protocol's parser has checked every index.
    fn binding(&mut self, index: usize) -> Result<&mut Known, Error> {
        let missing = || Error::internal("capture.binding", format!("binding {index} is not one of this session"));
        self.bindings.get_mut(index).ok_or_else(missing)
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
        Ok(Self { local, admission: Admission::new(collection, policy, writer.schemas().get(&local))? })
    }

    #[inline]
    fn widened(&mut self) -> Option<(Event, Command)> {
        self.admission.take_widened().map(|version| self.schema(version))
    }

    fn schema(&self, (version, schema_json): (u64, Vec<u8>)) -> (Event, Command) {
        let event = Event::WiderSchema { bytes: schema_json.len() as u64 };
        (event, Command::Schema { local: self.local, version, schema_json })
    }
}
