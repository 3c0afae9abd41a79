//! The resource path of a binding: the values in its resource that stay the same when the binding is moved or edited.

use longshore_proto::Error;
use serde_json::Value;

/// Reads the path out of a resource. What is absent counts as the empty text, so name fields that are required.
pub(crate) fn path(pointers: &[String], resource_json: &[u8]) -> Result<Vec<String>, Error> {
    let resource: Value = serde_json::from_slice(resource_json)
        .map_err(|error| Error::config("sdk.resource.invalid", format!("reading the resource: {error}")))?;
    pointers.iter().map(|pointer| part(&resource, pointer)).collect()
}

fn part(resource: &Value, pointer: &str) -> Result<String, Error> {
    match resource.pointer(pointer) {
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
    use super::*;

    #[test]
    fn the_path_is_made_of_the_values_the_spec_names() {
        let pointers = ["/schema".to_owned(), "/table".to_owned(), "/part".to_owned()];
        let path = path(&pointers, br#"{"table": "orders", "schema": "public", "columns": [1], "part": 7}"#);
        assert_eq!(path.expect("a path"), ["public", "orders", "7"]);
    }
}
