//! The codes of what can be wrong in a catalog. They are stable: scripts may depend on them. The README's table is this list, compared by
//! a test. Connectors have codes of their own, which are not listed here.

macro_rules! codes {
    ($($variant:ident = $text:literal, $meaning:literal;)*) => {
        /// What kind of mistake it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As printed.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    Unreadable = "file.unreadable", "the catalog, or a file it names, cannot be read";
    Encoding = "file.encoding", "the catalog is not UTF-8 text";
    Empty = "file.empty", "the catalog says nothing";
    Syntax = "yaml.syntax", "the text is not YAML";
    Tab = "yaml.tab", "a tab stands where YAML wants spaces";
    Unquoted = "yaml.unquoted-variable", "`${…}` stands unquoted inside `{ }` or `[ ]`, where YAML reads its braces";
    Alias = "yaml.alias", "`*name` without an `&name` before it, or an anchor that contains itself";
    Tag = "yaml.tag", "a `!tag`, which a catalog has no use for";
    DuplicateKey = "yaml.duplicate-key", "a key stands twice in one mapping";
    ComplexKey = "yaml.key", "a key that is not a word";
    Documents = "yaml.documents", "more than one document in the file";
    UnknownKey = "catalog.unknown-key", "a key that does not exist there";
    MissingKey = "catalog.missing-key", "a key that must be there is not";
    WrongType = "catalog.wrong-type", "a value of the wrong shape: text, list or mapping";
    Name = "catalog.name", "a name that breaks the rule for names";
    DuplicateTask = "catalog.duplicate-task", "a capture and a materialization share a name";
    Endpoint = "catalog.endpoint", "not exactly one way to reach the connector, or one that cannot work";
    Image = "catalog.image", "what is named as an image cannot be one";
    ImageTag = "catalog.image-tag", "an image is named by a tag in a catalog with `production: true`";
    Lock = "catalog.lock", "what `longshore lock` wrote beside the catalog cannot be read";
    Mount = "catalog.mount", "a mount at a place in the container that cannot be one";
    Limit = "catalog.limit", "a limit that is no size with a unit, or no number in range";
    Network = "catalog.network", "an entry of an allow list that no relay can carry";
    UnknownCollection = "catalog.unknown-collection", "a binding names a collection that the catalog does not have";
    TwoWriters = "catalog.two-writers", "two captures write one collection";
    NoWriter = "catalog.no-writer", "a collection is read, but no capture writes it";
    DuplicateBinding = "catalog.duplicate-binding", "two bindings of a task name the same resource";
    Connection = "catalog.connection", "a task names a connection that the catalog does not have";
    Columns = "catalog.columns", "`columns` of a capture's binding is no list of names, each once, or its connector takes none";
    Time = "catalog.time", "a time without its unit, or a cron pattern that cannot be read";
    NoBindings = "catalog.no-bindings", "a task without bindings";
    Choice = "catalog.choice", "a key of the catalog has a value that is none of its choices";
    FieldsPointer = "fields.pointer", "what is to be a field is neither a name nor a JSON pointer, or lies inside of one";
    FieldsTwice = "fields.twice", "a field, or a name for one, stands twice, or is kept and excluded";
    FieldsUnknown = "fields.unknown", "a field that the collection's schema does not have";
    FieldsKey = "fields.key", "a part of the key is excluded";
    FieldsName = "fields.name", "a name for a field that the destination does not take";
    Key = "collection.key", "a collection's key is not a list of JSON pointers, each once";
    KeyNotInSchema = "collection.key-not-in-schema", "a key pointer leads to nothing in the collection's schema";
    Schema = "collection.schema", "a collection's schema is not a JSON Schema";
    Reduce = "collection.reduce", "a `reduce` in a collection's schema is none, would never count, or is for another type";
    Retention = "collection.retention", "collections of one capture say different things of `retention`";
    VariableSyntax = "variable.syntax", "`${…}` is not written as one of its forms";
    VariableUnset = "variable.unset", "an environment variable that is needed is not set";
    VariableAge = "variable.age", "an `${age:…}` cannot be decrypted";
    VariablePlace = "variable.place", "an `${exec:…}` or `${age:…}` stands where others can read it";
    VariableExec = "variable.exec", "the command of a `${exec:…}` may not be run, or gives no value";
    VariableNotRun = "variable.not-run", "a `${exec:…}`, where no command is ever run: the task was not asked";
    VariableFile = "variable.file", "the file of a `${file:…}` cannot be used";
    ConfigUnknownKey = "config.unknown-key", "the connector has no such setting";
    ConfigMissingKey = "config.missing-key", "a setting the connector needs is missing";
    ConfigType = "config.wrong-type", "a setting has a value of another type than the connector's schema says";
    ConfigChoice = "config.choice", "a setting is none of the values the connector allows";
    ConfigSecret = "config.secret", "a secret in a resource, which the state directory remembers";
    ConfigValue = "config.value", "a setting breaks another rule of the connector's schema";
    ConnectorSchema = "connector.schema", "the connector's own schema cannot be used";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_table_of_all_codes() {
        let table: String = Code::ALL.iter().map(|code| format!("| `{code}` | {} |\n", code.meaning())).collect();
        let readme = include_str!("README.md");
        assert!(readme.contains(&table), "put this table into runtime/src/catalog/README.md:\n{table}");
    }

    #[test]
    fn no_two_codes_are_the_same() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
