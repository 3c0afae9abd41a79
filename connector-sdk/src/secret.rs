//! A value that a user keeps to themselves: it can be used, and that is all.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de};
use zeroize::{Zeroize, Zeroizing};

/// A password, token or key of the config. It has no `Debug`, `Display` or `Serialize`, so that it cannot slip into a log, an error or a
/// state; its bytes are zeroed when it is dropped; its schema says `"secret": true`.
///
/// ```compile_fail
/// # use longshore_sdk::Secret;
/// fn log(password: Secret<String>) -> String {
///     format!("{password:?}")
/// }
/// ```
#[allow(missing_debug_implementations, reason = "having none is its purpose")]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value, at the one place where it is needed.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + Clone> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Self::new(T::clone(&self.0))
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own message would quote the value.
        T::deserialize(deserializer)
            .map(Self::new)
            .map_err(|_| de::Error::custom("a secret of another type was expected"))
    }
}

impl<T: Zeroize + JsonSchema> JsonSchema for Secret<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Secret_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        schema.insert("secret".to_owned(), true.into());
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_the_wrong_type_is_not_quoted() {
        let error = serde_json::from_str::<Secret<Vec<u8>>>("\"hunter2\"").err().expect("a string is no list");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_secret_is_marked_in_the_schema() {
        let schema = SchemaGenerator::default().into_root_schema_for::<Secret<String>>();
        assert_eq!(schema.get("secret"), Some(&serde_json::Value::Bool(true)));
        assert_eq!(schema.get("type"), Some(&serde_json::Value::from("string")));
    }
}
