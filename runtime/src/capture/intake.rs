//! What comes from the connector, checked before the machine hears of it ([`super::admission`]); and turned into what the journal takes. A
//! document that is not admitted ends the session, or becomes a dead letter at its place among the others ([`super::letters`]).

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::batch::{Batch, too_large};
use longshore_proto::session::Binding;

use super::admission::{Admission, SchemaPolicy};
use super::letters::{Letters, OnViolation, Refusal};
use super::scribe::{Command, Piece};
use super::transaction::Event;
use crate::journal::{Control, Letter, LocalId, NewBinding, Writer};

/// For each thing to write, what the machine hears of it; in order.
pub(super) type Entries = Vec<(Event, Command)>;

/// Checks and translates, binding by binding.
#[derive(Debug)]
pub(super) struct Intake {
    connector: String,
    bindings: Vec<Known>,
}

/// A binding that a session is begun with, and what the user wants of its documents.
#[derive(Debug, Clone)]
pub struct Intended {
    /// The binding.
    pub binding: Binding,
    /// What its collection's schema has to say.
    pub policy: SchemaPolicy,
    /// What becomes of a document that is not admitted.
    pub on_violation: OnViolation,
}

/// A binding as this session sees it.
#[derive(Debug)]
struct Known {
    local: LocalId,
    admission: Admission,
    letters: Letters,
}

impl Intake {
    /// Finds the bindings in the journal's table; new ones get their rows with the first transaction.
    pub(super) fn new(connector: &str, bindings: &[Intended], writer: &mut dyn Writer) -> Result<Self, Error> {
        let known = bindings.iter().map(|intended| Known::new(intended, writer)).collect::<Result<_, Error>>()?;
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
        let mut refused = Vec::new();
        for (place, document) in batch.documents().enumerate() {
            match known.admission.check(document) {
                Ok(()) => known.letters.admitted(),
                Err(error) => {
                    let error = error.at_binding(index);
                    refused.push((place, known.letters.refused(known.admission.collection(), error, document.len())?));
                }
            }
        }
        let mut entries: Entries = known.widened().into_iter().collect();
        let (count, bytes) = (batch.len() as u64, batch.byte_len() as u64);
        let local = known.local;
        let command = match refused.is_empty() {
            true => Command::Documents { local, batch },
            false => Command::Sorted { local, binding: index, pieces: sorted(&batch, refused)?, bytes },
        };
        entries.push((Event::Documents { count, bytes }, command));
        Ok(entries)
    }

    /// A document over the limit: as one that is not admitted.
    pub(super) fn too_large(&mut self, index: usize, document: Bytes) -> Result<Entries, Error> {
        let known = self.binding(index)?;
        let collection = known.admission.collection();
        let error = too_large(document.len()).while_doing(collection).at_binding(index);
        let Refusal { code, message } = known.letters.refused(collection, error, document.len())?;
        let (local, bytes) = (known.local, document.len() as u64);
        let pieces = vec![Piece::Letter(Letter { code, message, document })];
        let command = Command::Sorted { local, binding: index, pieces, bytes };
        Ok(vec![(Event::Documents { count: 1, bytes }, command)])
    }

    /// The source's statement of a schema; nothing to do if it says nothing new.
    pub(super) fn schema(&mut self, index: usize, stated_json: &[u8]) -> Result<Entries, Error> {
        let known = self.binding(index)?;
        let stated = known.admission.state(stated_json).map_err(|error| error.at_binding(index))?;
        Ok(stated.map(|version| known.schema(version)).into_iter().collect())
    }

    /// Something happened to a binding as a whole. Of a collection that another binding writes too, nobody can tell afterwards which rows were
    /// of which, so it cannot be emptied for one of them; a full refresh of one is then written over what is there.
    pub(super) fn control(&mut self, index: usize, control: Control) -> Result<Entries, Error> {
        let known = self.binding(index)?;
        let (local, collection) = (known.local, known.admission.collection().to_owned());
        let writes_it = |known: &&Known| known.admission.collection() == collection;
        match (self.bindings.iter().filter(writes_it).count(), control) {
            (0 | 1, _) => Ok(vec![(Event::Control, Command::Control { local, control })]),
            (_, Control::BackfillBegin | Control::BackfillComplete) => Ok(Entries::new()),
            (writers, Control::Truncated) => {
                let message = format!(
                    "{} says that the source emptied a binding of {collection}: expected one binding to write that collection, got {writers}, and \
                     nobody can tell which rows were of which",
                    self.connector
                );
                Err(Error::config("capture.truncated", message).at_binding(index).suggest(
                    "give each binding a collection of its own, or set the connector up so that it ignores it",
                ))
            }
        }
    }

    /// The protocol's parser has checked every index.
    fn binding(&mut self, index: usize) -> Result<&mut Known, Error> {
        let missing = || Error::internal("capture.binding", format!("binding {index} is not one of this session"));
        self.bindings.get_mut(index).ok_or_else(missing)
    }
}

/// A batch without the documents that were refused, and those as letters at their places.
fn sorted(batch: &Batch, refused: Vec<(usize, Refusal)>) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::with_capacity(2 * refused.len() + 1);
    let (arena, ends) = (batch.arena(), batch.ends());
    let starts_at = |place: usize| if place == 0 { 0 } else { ends[place - 1] };
    let admitted = |from: usize, to: usize| {
        let start = starts_at(from);
        let between = arena.slice(start as usize..starts_at(to) as usize);
        Batch::from_parts(batch.binding(), between, ends[from..to].iter().map(|end| end - start).collect())
    };
    let mut from = 0;
    for (place, Refusal { code, message }) in refused {
        if from < place {
            pieces.push(Piece::Documents(admitted(from, place)?));
        }
        let document = arena.slice(starts_at(place) as usize..ends[place] as usize);
        pieces.push(Piece::Letter(Letter { code, message, document }));
        from = place + 1;
    }
    if from < batch.len() {
        pieces.push(Piece::Documents(admitted(from, batch.len())?));
    }
    Ok(pieces)
}

impl Known {
    fn new(intended: &Intended, writer: &mut dyn Writer) -> Result<Self, Error> {
        let Intended { binding, policy, on_violation } = intended;
        let collection = &binding.collection;
        let new = NewBinding {
            state_key: binding.state_key.clone(),
            collection: collection.name.clone(),
            key: collection.key.clone(),
        };
        let local = writer.bind(&new).map_err(Error::from)?;
        let admission = Admission::new(collection, *policy, writer.schemas().get(&local))?;
        Ok(Self { local, admission, letters: Letters::new(*on_violation) })
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
