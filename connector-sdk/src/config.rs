//! From JSON to an author's types, with errors that point at the place.
//!
//! The runtime has checked config and resources against the schema already; what is left are the rules a schema cannot say, and other
//! runtimes.

use longshore_proto::Error;
use serde::de::DeserializeOwned;

/// Reads a config. What does not fit is a `config` error with the JSON pointer of the place.
pub fn parse<T: DeserializeOwned>(config_json: &[u8]) -> Result<T, Error> {
    parse_as("config", config_json)
}

/// Reads the resource of a binding, in the same way.
pub fn parse_resource<T: DeserializeOwned>(binding: usize, resource_json: &[u8]) -> Result<T, Error> {
    parse_as("resource", resource_json).map_err(|error| error.at_binding(binding))
}

fn parse_as<T: DeserializeOwned>(what: &str, json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| {
        let pointer = pointer_at(json, offset_of(json, error.line(), error.column()));
        let reason = error.to_string();
        // The place within one line of JSON that the user never saw says nothing to them; the pointer does.
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
        Error::config(format!("sdk.{what}.invalid"), format!("reading the {what}: {reason}")).at_pointer(pointer)
    })
}

/// Byte offset of a 1-based line and column, as serde_json counts them.
fn offset_of(json: &[u8], line: usize, column: usize) -> usize {
    let line_starts = json.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len);
    (line_starts.sum::<usize>() + column).min(json.len())
}

/// Where one is in an object or array.
enum Step {
    Key(Option<String>),
    Index(usize),
}

/// JSON pointer of the innermost value that reaches to `offset`. serde_json stops right behind the value that it could not use, or behind
/// the brace of an object that lacked something.
fn pointer_at(json: &[u8], offset: usize) -> String {
    let mut path: Vec<Step> = Vec::new();
    let mut at = 0;
    let mut last_closed_at = None;
    while at < offset {
        match json[at] {
            b'{' => path.push(Step::Key(None)),
            b'[' => path.push(Step::Index(0)),
            b'}' | b']' => {
                last_closed_at = Some(at);
                if at + 1 == offset {
                    break;
                }
                path.pop();
            }
            b',' => match path.last_mut() {
                Some(Step::Key(key)) => *key = None,
                Some(Step::Index(index)) => *index += 1,
                None => {}
            },
            b'"' => {
                let end = string_end(json, at);
                if let Some(Step::Key(key @ None)) = path.last_mut() {
                    *key = serde_json::from_slice(&json[at..end]).ok();
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    if last_closed_at.is_some_and(|closed_at| closed_at + 1 == offset) {
        path.pop();
    }
    path.iter().map_while(segment).collect()
}

/// Offset behind the string that begins at `start`.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < json.len() {
        match json[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    json.len()
}

fn segment(step: &Step) -> Option<String> {
    match step {
        Step::Key(key) => key.as_ref().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
        Step::Index(index) => Some(format!("/{index}")),
    }
}

#[cfg(test)]
mod tests {
    use longshore_proto::ErrorKind;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Config {
        path: String,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Part {
        size: u32,
    }

    fn check(json: &str, pointer: &str, says: &str) {
        let error = parse::<Config>(json.as_bytes()).expect_err(json);
        assert_eq!(error.kind, ErrorKind::Config);
        assert_eq!(error.pointer, pointer, "{json}: {error}");
        assert!(error.message.contains(says), "{json}: {error}");
        assert!(!error.message.contains(" line "), "{error}");
    }

    #[test]
    fn an_error_points_at_the_place() {
        check(r#"{"path": 7}"#, "/path", "invalid type: integer `7`");
        check(r#"{"path": "a", "parts": [{"size": 1}, {"size": "b"}]}"#, "/parts/1/size", "invalid type: string");
        check(r#"{"path": "a", "parts": [{"size": -1}]}"#, "/parts/0/size", "invalid value");
        check(r#"{"path": "a", "parts": [{}]}"#, "/parts/0", "missing field `size`");
        check(r#"{"parts": []}"#, "", "missing field `path`");
        check("{\"path\": \"a\",\n \"p~/ths\": 1}", "/p~0~1ths", "unknown field");
    }

    #[test]
    fn an_error_in_a_resource_names_its_binding() {
        let error = parse_resource::<Part>(3, b"{}").expect_err("size is missing");
        assert_eq!(error.binding, Some(3));
    }
}
