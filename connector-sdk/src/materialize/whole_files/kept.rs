//! What of a document a file keeps: the values of the fields, and perhaps the whole document. A delete that nothing kept would tell is an
//! error of its document.

use std::borrow::Cow;

use crate::materialize::{Collection, Field, META_FIELD, Projector, Selection};
use crate::{Error, Result};

/// The fields of one binding.
#[derive(Debug)]
pub struct Kept {
    names: Vec<String>,
    projector: Projector,
    has_document: bool,
    /// Something that is kept tells a delete.
    tells_deletes: bool,
}

impl Kept {
    /// Of a binding's selection.
    pub fn new(selection: &Selection) -> Self {
        let mut fields = selection.fields.clone();
        let names = fields.iter().map(|field| &field.name).chain(&selection.document).cloned().collect();
        let has_document = selection.document.is_some();
        let told = |pointer: &str| matches!(pointer, "/_meta" | "/_meta/op");
        let tells_deletes = has_document || fields.iter().any(|field| told(&field.pointer));
        if !tells_deletes {
            // Looked at and not written.
            let meta = Field { pointer: format!("/{META_FIELD}"), name: String::new(), types: Vec::new() };
            fields.push(meta);
        }
        Self { names, projector: Projector::new(&fields), has_document, tells_deletes }
    }

    /// Of the fields, and last of the document where it is kept.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A value for each name, as it is written in the document; `None`: absent. `values` is room that is used again.
    pub fn values<'d>(&self, document: &'d [u8], values: &mut Vec<Option<&'d str>>) -> Result<()> {
        self.projector.project(document, values)?;
        if !self.tells_deletes && values.pop().flatten().is_some_and(is_delete) {
            let message =
                "writing a document: expected one that is there, got a delete, which no field that is kept would tell";
            return Err(Error::data("files.delete", message)
                .suggest("keep `_meta` or `/_meta/op`, with `include` of the binding's `fields`"));
        }
        if self.has_document {
            let text = std::str::from_utf8(document)
                .map_err(|error| Error::data("files.document", format!("reading a document: {error}")))?;
            values.push(Some(text));
        }
        Ok(())
    }
}

/// The collection admits fields that its schema does not declare, and nobody chose what is kept: those are not.
pub fn leaves_out(collection: &Collection, selection: &Selection) -> bool {
    let schema: serde_json::Value = serde_json::from_slice(&collection.schema_json).unwrap_or_default();
    !selection.chosen && schema.get("additionalProperties") != Some(&serde_json::Value::Bool(false))
}

fn is_delete(meta: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Meta<'d> {
        #[serde(borrow)]
        op: Option<Cow<'d, str>>,
    }
    serde_json::from_str::<Meta<'_>>(meta).is_ok_and(|meta| meta.op.as_deref() == Some("d"))
}
