//! What a column's type is to a document: the form of its values and the keyword `format`, which tells a destination of the same kind the
//! SQL type. Asked of the catalog by number, as the log names types by number, and remembered for the session.

use std::collections::HashMap;

use crate::{Client, failed};
use longshore_sdk::Result;

use super::value::Form;

/// A column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// How its values are read.
    pub form: Form,
    /// None for those that JSON Schema alone tells apart (`bigint`, `text`, `boolean`), and those of an extension or a user.
    pub format: Option<String>,
}

/// Those asked for so far.
#[derive(Debug, Default)]
pub struct Types(HashMap<(u32, i32), Type>);

const ASK: &str = "SELECT format_type(t.oid, $2), t.typtype = 'd', t.typbasetype, t.typtypmod, coalesce(e.oid, 0), \
                   coalesce(e.typdelim::text, ','), n.nspname = 'pg_catalog', coalesce(m.nspname = 'pg_catalog', false) \
                   FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
                   LEFT JOIN pg_type e ON e.typarray = t.oid LEFT JOIN pg_namespace m ON m.oid = e.typnamespace WHERE t.oid = $1";
/// Domains over domains, and arrays of them, end sooner.
const DEPTH_MAX: usize = 16;

impl Types {
    /// The type of this number and modifier.
    pub async fn of(&mut self, client: &Client, oid: u32, typmod: i32) -> Result<Type> {
        if let Some(known) = self.0.get(&(oid, typmod)) {
            return Ok(known.clone());
        }
        let found = find(client, oid, typmod).await?;
        self.0.insert((oid, typmod), found.clone());
        Ok(found)
    }
}

async fn find(client: &Client, oid: u32, typmod: i32) -> Result<Type> {
    let (mut oid, mut typmod) = (oid, typmod);
    // What stands around the innermost type: a domain changes nothing, an array its form; the outermost that is built in names the format.
    let mut arrays: Vec<char> = Vec::new();
    let mut format = None;
    for _ in 0..DEPTH_MAX {
        let asked =
            client.query_opt(ASK, &[&oid, &typmod]).await.map_err(|error| failed("looking up a type", &error))?;
        // A type that was dropped since: its values are what they are.
        let Some(row) = asked else { break };
        let (name, is_domain, base, base_typmod): (String, bool, u32, i32) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let (element, between, is_ours, is_element_ours): (u32, String, bool, bool) =
            (row.get(4), row.get(5), row.get(6), row.get(7));
        if is_domain {
            (oid, typmod) = (base, base_typmod);
        } else if element != 0 {
            if arrays.is_empty() && is_ours && is_element_ours {
                format = Some(format!("pg:{name}"));
            }
            arrays.push(between.chars().next().unwrap_or(','));
            oid = element;
        } else {
            let plain = plain(oid, &name, is_ours);
            return Ok(match arrays.is_empty() {
                true => plain,
                false => Type { form: wrapped(plain.form, arrays), format },
            });
        }
    }
    Ok(Type { form: wrapped(Form::Text, arrays), format: None })
}

fn wrapped(form: Form, arrays: Vec<char>) -> Form {
    // An array of a domain over an array is one text in another: only the outermost is taken apart.
    match arrays[..] {
        [] => form,
        [between] => Form::Array(Box::new(form), between),
        [between, ..] => Form::Array(Box::new(Form::Text), between),
    }
}

/// By the numbers that `pg_type.dat` gives to what is built in.
fn plain(oid: u32, name: &str, is_built_in: bool) -> Type {
    let named = || is_built_in.then(|| format!("pg:{name}"));
    let (form, format) = match oid {
        16 => (Form::Boolean, None),
        17 => (Form::Bytes, named()),
        20 => (Form::Integer, None),
        21 | 23 => (Form::Integer, named()),
        25 => (Form::Text, None),
        114 | 3802 => (Form::Json, named()),
        700 | 701 | 1700 => (Form::Number, named()),
        1082 => (Form::Text, Some("date".to_owned())),
        1184 => (Form::Timestamp, Some("date-time".to_owned())),
        2950 => (Form::Text, Some("uuid".to_owned())),
        _ => (Form::Text, named()),
    };
    Type { form, format }
}
