//! A document as it goes to the runtime: checked by the runtime's own reader, so that nothing that passes here is refused there, on one line,
//! and with where it came from at `/_meta/source`. Its other bytes stay as they are.

use longshore_sdk::document::{Scanner, check_object};
use longshore_sdk::key::KeyPointers;
use longshore_sdk::limits::DOCUMENT_MAX_BYTES;
use longshore_sdk::{Error, Result};

/// A place that no document has anything at; a scanner wants to look for something.
const NOTHING: &str = "/_meta/source/nothing is here";

/// Prepares the documents of one binding.
#[derive(Debug, Clone)]
pub(crate) struct Preparer {
    /// `{"path":"/orders","id":"`
    source_lead: Vec<u8>,
    finder: Scanner,
    /// Looks at the key too.
    checker: Scanner,
}

impl Preparer {
    pub(crate) fn new(path: &str, key: &[String]) -> Result<Self> {
        let path = serde_json::Value::from(path);
        Ok(Self {
            source_lead: format!(r#"{{"path":{path},"id":""#).into_bytes(),
            finder: Scanner::new(&KeyPointers::compile(&[NOTHING.to_owned()])?),
            checker: Scanner::new(&KeyPointers::compile(key)?),
        })
    }

    /// The document with its source in it, or why the runtime would refuse it.
    pub(crate) fn prepare(&mut self, document: &[u8], id: &str) -> Result<Vec<u8>> {
        let on_one_line;
        let document = match memchr::memchr2(b'\n', b'\r', document) {
            None => document,
            Some(_) => {
                // In a JSON text they stand between tokens only, where a space says the same.
                check_object(document)?;
                on_one_line = document
                    .iter()
                    .map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte })
                    .collect::<Vec<_>>();
                &on_one_line[..]
            }
        };
        let mut meta = None;
        self.finder.check(document, |name, value| {
            if name == b"_meta" {
                let start = value.as_ptr().addr() - document.as_ptr().addr();
                meta = Some(start..start + value.len());
            }
        })?;
        let mut out = Vec::with_capacity(document.len() + self.source_lead.len() + id.len() + 30);
        match meta {
            None => self.write_new(document, id, &mut out),
            Some(place) => {
                out.extend_from_slice(&document[..place.start]);
                self.write_into(&document[place.clone()], id, &mut out)?;
                out.extend_from_slice(&document[place.end..]);
            }
        }
        if out.len() > DOCUMENT_MAX_BYTES {
            let message =
                format!("expected a document of at most {DOCUMENT_MAX_BYTES} bytes with its source, got {}", out.len());
            return Err(Error::data("document.size", message));
        }
        self.checker.check(&out, |_, _| {})?;
        Ok(out)
    }

    /// Behind the last member; the document is an object.
    fn write_new(&self, document: &[u8], id: &str, out: &mut Vec<u8>) {
        let members = document[..document.len() - 1].trim_ascii_end();
        out.extend_from_slice(members);
        if members != b"{" {
            out.push(b',');
        }
        out.extend_from_slice(br#""_meta":{"#);
        self.write_source(id, out);
        out.extend_from_slice(b"}}");
    }

    /// What the sender says in `_meta` stays, such as `op`; where it came from is for us to say.
    fn write_into(&mut self, meta: &[u8], id: &str, out: &mut Vec<u8>) -> Result<()> {
        if meta.first() != Some(&b'{') {
            return Err(Error::data("document.meta", "expected an object at /_meta, or nothing, got another value"));
        }
        out.push(b'{');
        let mut kept = Vec::new();
        self.finder.check(meta, |name, value| {
            if name != b"source" {
                let name = serde_json::Value::from(String::from_utf8_lossy(name));
                kept.extend_from_slice(format!("{name}:").as_bytes());
                kept.extend_from_slice(value);
                kept.push(b',');
            }
        })?;
        out.extend_from_slice(&kept);
        self.write_source(id, out);
        out.push(b'}');
        Ok(())
    }

    fn write_source(&self, id: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(br#""source":"#);
        out.extend_from_slice(&self.source_lead);
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(br#""}"#);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(document: &str) -> Result<String> {
        let key = ["/id".to_owned()];
        let prepared = Preparer::new("/o", &key).unwrap().prepare(document.as_bytes(), "7-1")?;
        Ok(String::from_utf8(prepared).unwrap())
    }

    #[test]
    fn a_document_says_where_it_came_from() {
        const META: &str = r#""_meta":{"source":{"path":"/o","id":"7-1"}}"#;
        for (given, stored) in [
            ("{}", format!("{{{META}}}")),
            ("{ }", format!("{{{META}}}")),
            (r#"{"id":1.10 }"#, format!(r#"{{"id":1.10,{META}}}"#)),
            ("{\"id\":\n1,\r\n\"a\":\"\\n\"}", format!("{{\"id\": 1,  \"a\":\"\\n\",{META}}}")),
            (r#"{"_meta":{},"id":1}"#, format!(r#"{{{META},"id":1}}"#)),
            (
                r#"{"_meta": {"source":{"file":"a"}},"id":1}"#,
                r#"{"_meta": {"source":{"path":"/o","id":"7-1"}},"id":1}"#.to_owned(),
            ),
        ] {
            assert_eq!(prepared(given).unwrap(), stored, "{given}");
        }
        let kept = prepared(r#"{"id":1,"_meta":{"op":"d","source":1,"a\"b":[1, 2]}}"#).unwrap();
        assert_eq!(kept, r#"{"id":1,"_meta":{"op":"d","a\"b":[1, 2],"source":{"path":"/o","id":"7-1"}}}"#);
    }

    #[test]
    fn what_the_runtime_would_refuse_is_refused_here() {
        let deep = format!("{{\"id\":1,\"a\":{}{}}}", "[".repeat(127), "]".repeat(127));
        let large = format!("{{\"id\":1,\"a\":\"{}\"}}", "a".repeat(DOCUMENT_MAX_BYTES - 40));
        for wrong in [
            "",
            "1",
            "[]",
            "null",
            "{",
            "{}{}",
            r#"{"a":1,"a":2}"#,
            r#"{"a":1e400}"#,
            r#"{"a":"\ud800"}"#,
            "{\"a\":\"x\ny\"}",
            r#"{"id":{}}"#,
            r#"{"id":[1]}"#,
            r#"{"_meta":1}"#,
            r#"{"_meta":{"op":"x"}}"#,
            r#"{"_meta":{"op":"c","op":"c"}}"#,
            &deep,
            &large,
        ] {
            let error = prepared(wrong).unwrap_err();
            assert_eq!(error.kind, longshore_sdk::ErrorKind::Data, "{wrong:.40}: {error}");
        }
    }
}
