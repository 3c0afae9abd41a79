//! The bindings of a journal: frames name them by a local id that is never reused.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use longshore_proto::name::StateKey;

/// Number of a binding within one journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalId(pub u32);

/// A binding as a capture names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBinding {
    /// Its durable name.
    pub state_key: StateKey,
    /// The collection it writes.
    pub collection: String,
    /// JSON pointers of the collection's key.
    pub key: Vec<String>,
}

/// A binding as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingRow {
    /// Its number here.
    pub local: LocalId,
    /// What it is.
    pub binding: NewBinding,
}

/// All bindings a journal ever had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindingTable {
    rows: BTreeMap<LocalId, NewBinding>,
    locals: BTreeMap<StateKey, LocalId>,
}

/// One version of a binding's schema; versions only widen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaVersion {
    /// From 1.
    pub version: u64,
    /// JSON Schema, as valid JSON.
    pub schema_json: Bytes,
}

/// The newest schema of each binding that has one.
pub type Schemas = BTreeMap<LocalId, SchemaVersion>;

/// What a reader wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Everything.
    All,
    /// What belongs to these collections. Commits are always seen.
    Collections(BTreeSet<String>),
    /// Dead letters and what became of them. Commits and new bindings are seen too; documents are passed over without reading them.
    Letters,
}

impl BindingTable {
    /// The binding with this number.
    #[must_use]
    pub fn row(&self, local: LocalId) -> Option<&NewBinding> {
        self.rows.get(&local)
    }

    pub(super) const fn empty() -> Self {
        Self { rows: BTreeMap::new(), locals: BTreeMap::new() }
    }

    /// The number of the binding with this durable name.
    #[must_use]
    pub fn local(&self, state_key: &StateKey) -> Option<LocalId> {
        self.locals.get(state_key).copied()
    }

    /// All rows, by number.
    pub fn iter(&self) -> impl Iterator<Item = (LocalId, &NewBinding)> {
        self.rows.iter().map(|(local, row)| (*local, row))
    }

    /// A number that was never used.
    pub(super) fn next_local(&self) -> LocalId {
        LocalId(self.rows.last_key_value().map_or(1, |(last, _)| last.0 + 1))
    }

    pub(super) fn insert(&mut self, row: BindingRow) {
        self.locals.insert(row.binding.state_key.clone(), row.local);
        self.rows.insert(row.local, row.binding);
    }

    pub(super) fn remove(&mut self, local: LocalId) {
        if let Some(row) = self.rows.remove(&local) {
            self.locals.remove(&row.state_key);
        }
    }
}

impl Filter {
    /// Whether it lets through what belongs to this binding.
    #[must_use]
    pub fn wants(&self, binding: Option<&NewBinding>) -> bool {
        match self {
            Self::All => true,
            Self::Collections(collections) => binding.is_some_and(|b| collections.contains(&b.collection)),
            Self::Letters => false,
        }
    }

    /// Whether it lets dead letters through: who reads collections passes over them.
    pub(super) fn wants_letters(&self) -> bool {
        match self {
            Self::All | Self::Letters => true,
            Self::Collections(_) => false,
        }
    }
}
