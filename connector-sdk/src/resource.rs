//! The resource path of a binding: the values in its resource that stay the same when the binding is moved or edited.

use longshore_proto::Error;
use serde_json::Value;

/// Reads the path out of a resource. What is absent counts as the default that the resource's schema says, else as the empty text.
pub(crate) fn path(pointers: &[String], schema: &Value, resource_json: &[u8]) -> Result<Vec<String>, Error> {
    let resource: Value = serde_json::from_slice(resource_json)
        .map_err(|error| Error::config("sdk.resource.invalid", format!("reading the resource: {error}")))?;
    pointers.iter().map(|pointer| part(&resource, schema, pointer)).collect()
}

fn part(resource: &Value, schema: &Value, pointer: &str) -> Result<String, Error> {
    let written = resource.pointer(pointer).filter(|value| !value.is_null());
    match written.or_else(|| schema.pointer(&format!("{}/default", pointer.replace('/', "/properties/")))) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(number @ (Value::Number(_) | Value::Bool(_))) => Ok(number.to_string()),
        Some(Value::Array(_) | Value::Object(_)) => {
            let message = "reading the resource path: expected a text, a number or a boolean, got a list or an object";
            Err(Error::config("sdk.resource.path", message).at_pointer(pointer))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(resource: &str, expected: [&str; 3]) {
        let pointers = ["/schema", "/table", "/in/part"].map(str::to_owned);
        let schema = json!({ "properties": {
            "schema": { "default": "public" }, "table": {}, "in": { "properties": { "part": { "default": 7 } } },
        } });
        assert_eq!(path(&pointers, &schema, resource.as_bytes()).expect("a path"), expected);
    }

    #[test]
    fn the_path_is_made_of_the_values_the_spec_names() {
        check(r#"{"table": "orders", "schema": "s", "columns": [1], "in": {"part": 8}}"#, ["s", "orders", "8"]);
    }

    #[test]
    fn a_default_is_the_same_written_or_not() {
        check(r#"{"table": "orders"}"#, ["public", "orders", "7"]);
        check(r#"{"table": "orders", "schema": "public", "in": {"part": 7}}"#, ["public", "orders", "7"]);
        check(r#"{"schema": null}"#, ["public", "", "7"]);
    }
}
