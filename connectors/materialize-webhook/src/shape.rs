//! Bodies: what of a document is sent, whole as it came or the fields that the user chose, and how documents of a batch are put together.

use std::borrow::Cow;

use longshore_sdk::materialize::{Field, META_FIELD, Projector, Selection};
use longshore_sdk::{Error, Result};

use crate::config::Format;

/// What of each document is sent.
#[derive(Debug)]
pub(crate) enum Shape {
    /// All of it.
    Whole,
    /// An object of these fields, by their names.
    Chosen(Box<Chosen>),
}

/// Fields of one binding.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// As JSON strings.
    names: Vec<String>,
    document_name: Option<String>,
    projector: Projector,
    /// Something that is kept tells a delete.
    tells_deletes: bool,
}

impl Shape {
    pub(crate) fn of(selection: &Selection) -> Self {
        if !selection.chosen {
            return Self::Whole;
        }
        let quoted = |name: &String| serde_json::Value::from(name.as_str()).to_string();
        let mut fields = selection.fields.clone();
        let names = fields.iter().map(|field| quoted(&field.name)).collect();
        let told = |field: &Field| matches!(field.pointer.as_str(), "/_meta" | "/_meta/op");
        let tells_deletes = selection.document.is_some() || fields.iter().any(told);
        if !tells_deletes {
            // Looked at and not sent.
            fields.push(Field { pointer: format!("/{META_FIELD}"), name: String::new(), types: Vec::new() });
        }
        let document_name = selection.document.as_ref().map(quoted);
        Self::Chosen(Box::new(Chosen { names, document_name, projector: Projector::new(&fields), tells_deletes }))
    }

    /// Whether it can be sent: a delete is not, where nothing that is kept would tell it.
    pub(crate) fn check(&self, document: &[u8]) -> Result<()> {
        match self {
            Self::Whole => Ok(()),
            Self::Chosen(chosen) => chosen.write(document, &mut Vec::new()),
        }
    }

    fn write(&self, document: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Whole => {
                out.extend_from_slice(document);
                Ok(())
            }
            Self::Chosen(chosen) => chosen.write(document, out),
        }
    }
}

impl Chosen {
    fn write(&self, document: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut values = Vec::new();
        self.projector.project(document, &mut values)?;
        if !self.tells_deletes && values.pop().flatten().is_some_and(is_delete) {
            let message =
                "writing a document: expected one that is there, got a delete, which no field that is kept would tell";
            return Err(Error::data("webhook.delete", message)
                .suggest("keep `_meta` or `/_meta/op`, with `include` of the binding's `fields`"));
        }
        let document = self.document_name.iter().map(|name| (name, document));
        let fields = self.names.iter().zip(&values).filter_map(|(name, value)| Some((name, (*value)?.as_bytes())));
        out.push(b'{');
        for (at, (name, value)) in fields.chain(document).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            out.extend_from_slice(value);
        }
        out.push(b'}');
        Ok(())
    }
}

fn is_delete(meta: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Meta<'d> {
        #[serde(borrow)]
        op: Option<Cow<'d, str>>,
    }
    serde_json::from_str::<Meta<'_>>(meta).is_ok_and(|meta| meta.op.as_deref() == Some("d"))
}

/// What the body of a format is called.
pub(crate) fn content_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Jsonl => "application/x-ndjson",
        Format::Cloudevents => "application/cloudevents-batch+json",
    }
}

/// What all events of a binding say alike.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    /// From `specversion` to before the id, and behind it up to the data.
    before_id: String,
    behind_id: String,
}

impl Envelope {
    pub(crate) fn new(source: &str, kind: &str, collection: &str) -> Self {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let (source, kind, subject) = (quoted(source), quoted(kind), quoted(collection));
        Self {
            before_id: r#"{"specversion":"1.0","id":""#.to_owned(),
            behind_id: format!(
                r#"","source":{source},"type":{kind},"subject":{subject},"datacontenttype":"application/json","data":"#
            ),
        }
    }
}

/// The body of a request with these documents; `ids` are asked for events alone.
pub(crate) fn body<'d>(
    format: Format,
    shape: &Shape,
    envelope: &Envelope,
    documents: impl Iterator<Item = &'d [u8]>,
    mut id: impl FnMut(usize, &[u8]) -> String,
) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let is_list = format != Format::Jsonl;
    if is_list {
        out.push(b'[');
    }
    for (at, document) in documents.enumerate() {
        if is_list && at > 0 {
            out.push(b',');
        }
        if format == Format::Cloudevents {
            out.extend_from_slice(envelope.before_id.as_bytes());
            out.extend_from_slice(id(at, document).as_bytes());
            out.extend_from_slice(envelope.behind_id.as_bytes());
        }
        shape.write(document, &mut out)?;
        match format {
            Format::Json => {}
            Format::Jsonl => out.push(b'\n'),
            Format::Cloudevents => out.push(b'}'),
        }
    }
    if is_list {
        out.push(b']');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DOCUMENTS: [&[u8]; 2] = [br#"{"id":1,"n":1.50e300}"#, br#"{"id":2,"_meta":{"op":"u"}}"#];

    fn written(format: Format, shape: &Shape) -> String {
        let envelope = Envelope::new("/here", "made", "a/b");
        let body = body(format, shape, &envelope, DOCUMENTS.into_iter(), |at, _| format!("id-{at}"));
        String::from_utf8(body.unwrap()).unwrap()
    }

    fn chosen(pointers: &[(&str, &str)], document: Option<&str>) -> Shape {
        let field = |(pointer, name): &(&str, &str)| Field {
            pointer: (*pointer).to_owned(),
            name: (*name).to_owned(),
            types: vec![],
        };
        let fields = pointers.iter().map(field).collect();
        Shape::of(&Selection { fields, document: document.map(str::to_owned), chosen: true })
    }

    #[test]
    fn documents_are_sent_byte_for_byte() {
        assert_eq!(written(Format::Json, &Shape::Whole), r#"[{"id":1,"n":1.50e300},{"id":2,"_meta":{"op":"u"}}]"#);
        assert_eq!(
            written(Format::Jsonl, &Shape::Whole),
            "{\"id\":1,\"n\":1.50e300}\n{\"id\":2,\"_meta\":{\"op\":\"u\"}}\n"
        );
    }

    #[test]
    fn an_event_has_all_that_cloudevents_asks_for() {
        let shape = chosen(&[("/id", "id")], None);
        let events: serde_json::Value = serde_json::from_str(&written(Format::Cloudevents, &shape)).unwrap();
        let expected = json!({
            "specversion": "1.0", "id": "id-1", "source": "/here", "type": "made", "subject": "a/b",
            "datacontenttype": "application/json", "data": { "id": 2 },
        });
        assert_eq!((events.as_array().unwrap().len(), &events[1]), (2, &expected));
    }

    #[test]
    fn of_chosen_fields_an_object_is_made() {
        let shape = chosen(&[("/n", "N\""), ("/id", "id")], Some("doc"));
        let expected = r#"{"N\"":1.50e300,"id":1,"doc":{"id":1,"n":1.50e300}}"#;
        assert_eq!(written(Format::Jsonl, &shape).lines().next(), Some(expected));
    }

    #[test]
    fn a_delete_that_nothing_tells_is_refused() {
        let delete = br#"{"id":1,"_meta":{"op":"d"}}"#;
        assert_eq!(chosen(&[("/id", "id")], None).check(delete).unwrap_err().code, "webhook.delete");
        for telling in [Shape::Whole, chosen(&[("/_meta/op", "op")], None), chosen(&[], Some("doc"))] {
            telling.check(delete).unwrap();
        }
    }
}
