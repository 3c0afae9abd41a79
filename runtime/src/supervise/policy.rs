//! What the catalog says of a collection's schema: which one it begins with, and what it has to say about documents.

use bytes::Bytes;
use longshore_proto::Error;

use crate::capture::admission::SchemaPolicy;
use crate::catalog::{CollectionDecl, Validation};

use super::prepare::union;

/// What the schema has to say about documents.
pub(super) fn of(written: Option<&CollectionDecl>) -> SchemaPolicy {
    let has_schema = written.is_some_and(|written| written.schema.is_some());
    match (written.map_or(Validation::Infer, CollectionDecl::validation), has_schema) {
        (Validation::Enforce, true) => SchemaPolicy::Written,
        (Validation::Enforce, false) => SchemaPolicy::Stated,
        (Validation::Infer, _) => SchemaPolicy::Inferred,
        (Validation::Off, true) => SchemaPolicy::Unchecked,
        (Validation::Off, false) => SchemaPolicy::UncheckedStated,
    }
}

/// The schema a session begins with, where catalog or journal have one: as written, else as the journal knows it. Where documents widen it, what
/// the journal knows is never taken back.
///
/// # Errors
/// `config` when one of the two is none.
pub(super) fn schema(written: Option<&CollectionDecl>, known: Option<&Bytes>) -> Result<Option<Bytes>, Error> {
    let text = written.and_then(|written| written.schema.as_ref()).map(|schema| Bytes::from(schema.to_string()));
    Ok(match (text, known) {
        (Some(text), Some(known)) if of(written) == SchemaPolicy::Inferred => Some(union(known, &text)?),
        (Some(text), _) => Some(text),
        (None, known) => known.cloned(),
    })
}
