//! Where a materialization is: checkpoints, and the extent of the transaction under way. Both have one canonical text, so that equal ones
//! are equal bytes wherever they are kept: in the task store, in a destination's fence row, in an owner record.
//!
//! A position is kept for each binding and journal, by names that last. Bindings at equal positions are written as one group. Where to go
//! on from what two sides remember is decided in [`super::resume`].

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::materialize::message::Guarantee;
use longshore_proto::name::{InstallationId, StateKey};
use serde::Deserialize;

use crate::journal::{JournalId, Position, hex};
use crate::store::{self, TaskRecord};

/// The format that this version writes and reads.
const FORMAT: u32 = 1;

/// What a position belongs to: a binding and the journal it reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The journal first: an extent is read journal by journal.
    pub journal: JournalId,
    /// The binding's durable name.
    pub binding: StateKey,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "binding {} in journal {}", self.binding, self.journal)
    }
}

/// Everything before these positions is in the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose checkpoint it is.
    pub installation: InstallationId,
    /// The last transaction that is in it; 0: none.
    pub transaction: u64,
    /// A place that is not here is at the beginning.
    pub places: BTreeMap<Place, Position>,
}

/// What one transaction covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Its number.
    pub transaction: u64,
    /// The spec it was begun under.
    pub spec_version: u64,
    /// Flushed brought state, which counts on the Stores that follow: it must be run to its end.
    pub flushed_state: bool,
    /// Every place that moves.
    pub spans: BTreeMap<Place, Span>,
}

/// From where to where a transaction reads for one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first document it takes is here.
    pub from: Position,
    /// The first it does not take.
    pub to: Position,
}

impl Checkpoint {
    /// Of a task that has committed nothing.
    #[must_use]
    pub fn beginning(installation: InstallationId) -> Self {
        Self { installation, transaction: 0, places: BTreeMap::new() }
    }

    /// What a task of this installation committed last.
    pub fn of_record(record: &TaskRecord, installation: &InstallationId) -> Result<Self, Error> {
        match &record.checkpoint.bytes {
            none if none.is_empty() => Ok(Self::beginning(installation.clone())),
            bytes => Self::parse(bytes),
        }
    }

    /// Where a place is.
    #[must_use]
    pub fn position(&self, place: &Place) -> Position {
        self.places.get(place).copied().unwrap_or(Position::BEGINNING)
    }

    /// What is committed, by resource.
    #[must_use]
    pub fn lives(&self) -> Lives<'_> {
        let mut lives = Lives::default();
        for (place, position) in self.places.iter().filter(|(_, position)| **position != Position::BEGINNING) {
            lives.0.entry(place.binding.resource_path()).or_default().push((place, *position));
        }
        lives
    }

    /// After this transaction.
    #[must_use]
    pub fn overlaid(&self, extent: &Extent) -> Self {
        let mut after = Self { transaction: extent.transaction, ..self.clone() };
        after.places.extend(extent.spans.iter().map(|(place, span)| (place.clone(), span.to)));
        after
    }

    /// Its canonical text.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let Self { installation, transaction, places } = self;
        let (format, transaction) = (FORMAT.to_string(), transaction.to_string());
        let (installation, rest) = (installation.as_str(), r#"","transaction":"#);
        let head = [r#"{"format":"#, &format, r#","installation":""#, installation, rest, &transaction].concat();
        text(head, places.iter().map(|(place, position)| (place, *position)), |out, at| put(out, "at", at))
    }

    /// Reads what [`Checkpoint::encode`] wrote; anything else is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let read: CheckpointText<'_> = from_text("checkpoint", bytes)?;
        let fault = |what: &str| unreadable("checkpoint", what);
        let installation = InstallationId::parse(read.installation).ok_or_else(|| fault("its installation id"))?;
        let mut places = BTreeMap::new();
        for group in &read.groups {
            let at = group.at.position().ok_or_else(|| fault("a position"))?;
            for place in places_of(group.journal, &group.bindings).ok_or_else(|| fault("a group"))? {
                places.insert(place, at);
            }
        }
        let parsed = Self { installation, transaction: read.transaction, places };
        canonical("checkpoint", bytes, &parsed.encode())?;
        Ok(parsed)
    }
}

/// What is committed of each resource, in whichever lives of its binding.
#[derive(Debug, Default)]
pub struct Lives<'a>(BTreeMap<Vec<String>, Vec<(&'a Place, Position)>>);

impl Lives<'_> {
    /// Something of this resource is committed.
    #[must_use]
    pub fn has_read(&self, resource_path: &[String]) -> bool {
        self.0.contains_key(resource_path)
    }

    /// How far an older life of the binding has read this journal: the same resource, in an older generation. If it has read another one, what
    /// there was of this one is nothing. None: it has read nothing at all.
    #[must_use]
    pub fn older_life(&self, journal: JournalId, binding: &StateKey) -> Option<Position> {
        let lives = self.0.get(&binding.resource_path())?.iter();
        let older = lives.filter(|(place, _)| place.binding.generation() < binding.generation());
        let here = |(place, position): &(&Place, Position)| {
            if place.journal == journal { *position } else { Position::BEGINNING }
        };
        older.map(here).max_by_key(|position| position.offset)
    }
}

impl Extent {
    /// What lies between two checkpoints.
    #[must_use]
    pub fn between(before: &Checkpoint, after: &BTreeMap<Place, Position>) -> BTreeMap<Place, Span> {
        let moved = after.iter().filter_map(|(place, to)| {
            let from = before.position(place);
            (from != *to).then(|| (place.clone(), Span { from, to: *to }))
        });
        moved.collect()
    }

    /// What a task has begun and not committed.
    pub fn of_record(record: &TaskRecord) -> Result<Option<Self>, Error> {
        record.extent.as_ref().map(|extent| Self::parse(&extent.bytes)).transpose()
    }

    /// It must be run to its end as it was begun, under the spec it names: what of it has arrived nobody can tell, or the connector's state
    /// counts on it.
    #[must_use]
    pub fn must_be_finished(&self, guarantee: Guarantee) -> bool {
        !self.spans.is_empty() && (guarantee == Guarantee::AtLeastOnce || self.flushed_state)
    }

    /// What is left of one that is given up: its number, which is never used again.
    #[must_use]
    pub fn given_up(self) -> Self {
        Self { flushed_state: false, spans: BTreeMap::new(), ..self }
    }

    /// As the task store keeps it.
    #[must_use]
    pub fn stored(&self) -> store::Extent {
        store::Extent { transaction: self.transaction, spec_version: self.spec_version, bytes: self.encode() }
    }

    /// Its canonical text.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let Self { transaction, spec_version, flushed_state, spans } = self;
        let (format, transaction) = (FORMAT.to_string(), transaction.to_string());
        let head = [r#"{"format":"#, &format, r#","transaction":"#, &transaction].concat();
        let (spec_version, flushed_state) = (spec_version.to_string(), flushed_state.to_string());
        let head = [&head, r#","spec_version":"#, &spec_version, r#","flushed_state":"#, &flushed_state].concat();
        text(head, spans.iter().map(|(place, span)| (place, *span)), |out, span| {
            put(out, "from", span.from);
            out.push(',');
            put(out, "to", span.to);
        })
    }

    /// Reads what [`Extent::encode`] wrote; anything else is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let read: ExtentText<'_> = from_text("extent", bytes)?;
        let fault = |what: &str| unreadable("extent", what);
        let mut spans = BTreeMap::new();
        for group in &read.groups {
            let from = group.from.position().ok_or_else(|| fault("a position"))?;
            let to = group.to.position().ok_or_else(|| fault("a position"))?;
            for place in places_of(group.journal, &group.bindings).ok_or_else(|| fault("a group"))? {
                spans.insert(place, Span { from, to });
            }
        }
        let ExtentText { transaction, spec_version, flushed_state, .. } = read;
        let parsed = Self { transaction, spec_version, flushed_state, spans };
        canonical("extent", bytes, &parsed.encode())?;
        Ok(parsed)
    }
}

// No escape stands in the canonical text: it is written without a look at what it holds, and read without a copy.

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointText<'t> {
    #[serde(rename = "format")]
    _format: u32,
    installation: &'t str,
    transaction: u64,
    #[serde(borrow)]
    groups: Vec<Group<'t>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group<'t> {
    journal: &'t str,
    #[serde(borrow)]
    at: At<'t>,
    #[serde(borrow)]
    bindings: Vec<&'t str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtentText<'t> {
    #[serde(rename = "format")]
    _format: u32,
    transaction: u64,
    spec_version: u64,
    flushed_state: bool,
    #[serde(borrow)]
    groups: Vec<SpanGroup<'t>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpanGroup<'t> {
    journal: &'t str,
    #[serde(borrow)]
    from: At<'t>,
    #[serde(borrow)]
    to: At<'t>,
    #[serde(borrow)]
    bindings: Vec<&'t str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct At<'t> {
    offset: u64,
    chain: &'t str,
}

impl At<'_> {
    fn position(&self) -> Option<Position> {
        Some(Position { offset: self.offset, chain_crc: u32::from_str_radix(self.chain, 16).ok()? })
    }
}

/// Behind a head the bindings of a journal at one value, as one group each; in a fixed order, so that equal maps are equal texts.
fn text<'a, T: Copy + Ord>(
    head: String,
    places: impl Iterator<Item = (&'a Place, T)>,
    put: impl Fn(&mut String, T),
) -> Bytes {
    let mut groups: BTreeMap<(JournalId, T), Vec<&str>> = BTreeMap::new();
    for (place, value) in places {
        groups.entry((place.journal, value)).or_default().push(place.binding.as_str());
    }
    let mut out = head;
    out.push_str(r#","groups":["#);
    for (i, ((journal, value), bindings)) in groups.into_iter().enumerate() {
        out.push_str(if i == 0 { r#"{"journal":""# } else { r#",{"journal":""# });
        out.push_str(&hex(&journal.0));
        out.push_str(r#"","#);
        put(&mut out, value);
        out.push_str(r#","bindings":[""#);
        out.push_str(&bindings.join(r#"",""#));
        out.push_str(r#""]}"#);
    }
    out.push_str("]}");
    out.into()
}

fn put(out: &mut String, name: &str, at: Position) {
    let (offset, chain) = (at.offset.to_string(), hex(&at.chain_crc.to_be_bytes()));
    out.extend(["\"", name, r#"":{"offset":"#, &offset, r#","chain":""#, &chain, r#""}"#]);
}

fn places_of(journal: &str, bindings: &[&str]) -> Option<Vec<Place>> {
    let journal = JournalId::parse(journal)?;
    bindings.iter().map(|binding| Some(Place { journal, binding: StateKey::parse(binding)? })).collect()
}

fn from_text<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, Error> {
    // As a whole, and not string by string.
    let text = std::str::from_utf8(bytes).map_err(|error| unreadable(what, &error.to_string()))?;
    serde_json::from_str(text).map_err(|error| unreadable(what, &error.to_string()))
}

/// One text for one value: what says the same in other words was not written by us.
fn canonical(what: &str, got: &[u8], expected: &[u8]) -> Result<(), Error> {
    if got == expected { Ok(()) } else { Err(unreadable(what, "it is not in its canonical form")) }
}

fn unreadable(what: &str, reason: &str) -> Error {
    let message = format!(
        "reading a {what}: expected one that this version wrote (format {FORMAT}), got something else: {reason}"
    );
    Error::config(format!("state.{what}"), message)
        .suggest("use the version of longshore that wrote it, or restore the state directory and the destination from one backup")
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
