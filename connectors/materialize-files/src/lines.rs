//! What of a document goes into a file, and how: whole as it came, or the fields that are kept, as an object or a record.
//!
//! What a line cannot say is an error of its document: a delete, where nothing that is kept tells it.

use std::borrow::Cow;

use longshore_sdk::Result;
use longshore_sdk::materialize::Bound;
use longshore_sdk::materialize::whole_files::{Kept, Resource};

use crate::config::Format;
use crate::csv::{record, text};

/// How the documents of one binding become lines.
#[derive(Debug)]
pub(crate) enum Lines {
    /// JSONL where nobody chose: a document stands on one line (rule X-6).
    Whole,
    /// JSONL of the fields that the user chose, by their names.
    Objects(Kept),
    /// CSV.
    Records(Kept),
}

impl Lines {
    pub(crate) fn of(format: Format, binding: &Bound<Resource>) -> Self {
        match format {
            Format::Jsonl if binding.selection.chosen => Self::Objects(Kept::new(&binding.selection)),
            Format::Jsonl => Self::Whole,
            Format::Csv => Self::Records(Kept::new(&binding.selection)),
        }
    }

    /// What a file begins with.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Self::Records(kept) = self {
            record(kept.names().iter().map(|name| Some(Cow::Borrowed(name.as_str()))), &mut out);
        }
        out
    }

    /// Appends the line of a document.
    pub(crate) fn write(&self, document: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Whole => {
                out.extend_from_slice(document);
                out.push(b'\n');
            }
            Self::Objects(kept) => object(kept.names(), &values(kept, document)?, out),
            Self::Records(kept) => record(values(kept, document)?.into_iter().map(|raw| raw.and_then(text)), out),
        }
        Ok(())
    }
}

fn values<'d>(kept: &Kept, document: &'d [u8]) -> Result<Vec<Option<&'d str>>> {
    let mut values = Vec::new();
    kept.values(document, &mut values)?;
    Ok(values)
}

/// An object on a line; what is absent is left out.
fn object(names: &[String], values: &[Option<&str>], out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (name, raw) in names.iter().zip(values) {
        let Some(raw) = raw else { continue };
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        out.extend_from_slice(serde_json::Value::from(name.as_str()).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(raw.as_bytes());
    }
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use longshore_sdk::materialize::{Collection, Selection, StateKey};
    use serde_json::json;

    use super::*;

    fn lines(format: Format, selection: Selection) -> Lines {
        let path = vec!["f".to_owned()];
        let collection = Collection {
            name: "a/b".to_owned(),
            key: vec!["/id".to_owned()],
            schema_json: "{}".into(),
            schema_version: 1,
        };
        Lines::of(
            format,
            &Bound {
                state_key: StateKey::new(&path, 0),
                resource: Resource { name: "f".to_owned() },
                resource_path: path,
                collection,
                delta_updates: true,
                selection,
            },
        )
    }

    fn plain() -> Selection {
        let schema = json!({ "properties": { "id": {}, "a,b": {}, "c": {} } });
        Selection::plain(&schema, &["/id".to_owned()], false)
    }

    fn write(lines: &Lines, document: &str) -> String {
        let mut out = Vec::new();
        lines.write(document.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_has_the_fields_that_are_kept_under_their_names() {
        let lines = lines(Format::Csv, Selection { document: Some("doc".to_owned()), ..plain() });
        assert_eq!(lines.header(), b"id,\"a,b\",c,doc\n");
        assert_eq!(
            write(&lines, r#"{"c": 1.10,"x":2,"id":"i"}"#),
            "i,,1.10,\"{\"\"c\"\": 1.10,\"\"x\"\":2,\"\"id\"\":\"\"i\"\"}\"\n"
        );
    }

    #[test]
    fn an_object_is_written_only_where_somebody_chose() {
        let document = r#"{"c": 1.10,"x":2,"id":null,"a,b":"\u00e9"}"#;
        assert_eq!(write(&lines(Format::Jsonl, plain()), document), format!("{document}\n"));
        let mut chosen = Selection { chosen: true, document: Some("do\"c".to_owned()), ..plain() };
        chosen.fields[2].name = "C".to_owned();
        let expected = format!(r#"{{"id":null,"a,b":"\u00e9","C":1.10,"do\"c":{document}}}"#);
        assert_eq!(write(&lines(Format::Jsonl, chosen), document), expected + "\n");
    }

    #[test]
    fn a_delete_that_nothing_tells_is_refused() {
        let delete = r#"{"id":1,"_meta":{"op":"d"}}"#;
        for format in [Format::Csv, Format::Jsonl] {
            let silent = lines(format, Selection { chosen: true, ..plain() });
            let error = silent.write(delete.as_bytes(), &mut Vec::new()).unwrap_err();
            assert_eq!(error.code, "files.delete");
            assert!(write(&silent, r#"{"id":1,"_meta":{"op":"u"}}"#).contains('1'));
        }
        let telling = Selection::plain(&json!({}), &["/id".to_owned()], true);
        assert_eq!(write(&lines(Format::Csv, telling), delete), "1,\"{\"\"op\"\":\"\"d\"\"}\"\n");
    }
}
