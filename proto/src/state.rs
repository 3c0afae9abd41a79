//! A connector's state and its patches (RFC 7396): a task part and a part by state key, patched separately, so that the runtime can drop
//! or reset one binding without understanding it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::document::check_object;
use crate::error::Error;
use crate::limits::{STATE_MAX_BYTES, STATE_WARN_BYTES};
use crate::name::StateKey;
use crate::parse::Sent;
use crate::pb::common::v1 as pb;
use crate::rules;

mod tree;

use tree::Tree;

/// A connector's whole state. Parts are canonical JSON objects: names ascending at every level outside of arrays, no whitespace, no
/// member that is null; numbers and strings keep the text they were written with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    task: Option<Bytes>,
    parts: BTreeMap<StateKey, Bytes>,
}

/// What changes in a [`State`]: merge patches. A patch cannot store null; a part patched with `null` is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatePatch {
    task: Option<Bytes>,
    parts: BTreeMap<StateKey, Bytes>,
}

impl State {
    /// No state.
    pub fn new() -> Self {
        Self::default()
    }

    /// From parts as they were stored. Each is a JSON object.
    pub fn from_parts(task: Option<Bytes>, parts: impl IntoIterator<Item = (StateKey, Bytes)>) -> Result<Self, Error> {
        let patch = StatePatch::from_parts(task, parts)?;
        let mut state = Self::default();
        state.apply(&patch)?;
        Ok(state)
    }

    /// The task's own part; none: it never wrote one.
    pub fn task_json(&self) -> Option<&Bytes> {
        self.task.as_ref()
    }

    /// The part of a binding.
    pub fn part(&self, key: &StateKey) -> Option<&Bytes> {
        self.parts.get(key)
    }

    /// All parts of bindings, by ascending key.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = (&StateKey, &Bytes)> {
        self.parts.iter()
    }

    /// Nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.task.is_none() && self.parts.is_empty()
    }

    /// Bytes of all parts and their keys.
    pub fn byte_len(&self) -> usize {
        byte_len(self.task.as_ref(), &self.parts)
    }

    /// So large that the user should know.
    pub fn is_large(&self) -> bool {
        self.byte_len() > STATE_WARN_BYTES
    }

    /// Merges a patch in. Refused, and nothing changed, if the state would become too large.
    pub fn apply(&mut self, patch: &StatePatch) -> Result<(), Error> {
        let task = match &patch.task {
            Some(change) => merge(self.task.as_ref(), change)?,
            None => self.task.clone(),
        };
        let mut bytes = byte_len(task.as_ref(), &self.parts);
        let mut changed = Vec::with_capacity(patch.parts.len());
        for (key, change) in &patch.parts {
            let old = self.parts.get(key);
            let new = merge(old, change)?;
            let part_bytes = |json: Option<&Bytes>| json.map_or(0, |json| key.as_str().len() + json.len());
            bytes = bytes - part_bytes(old) + part_bytes(new.as_ref());
            changed.push((key, new));
        }
        within_limit(bytes)?;
        self.task = task;
        for (key, new) in changed {
            match new {
                Some(json) => self.parts.insert(key.clone(), json),
                None => self.parts.remove(key),
            };
        }
        Ok(())
    }

    /// The state without the parts whose key `keep` refuses: what a removed binding leaves behind.
    #[must_use]
    pub fn retain(mut self, mut keep: impl FnMut(&StateKey) -> bool) -> Self {
        self.parts.retain(|key, _| keep(key));
        self
    }

    pub(crate) fn parse(pb: Option<pb::State>, sent: Sent) -> Result<Self, Error> {
        let (task, parts) = parse_parts(pb, sent)?;
        Self::from_parts(task, parts).map_err(|fault| sent.broke(rules::STATE_SHAPE, "a state", fault.message.as_str()))
    }
}

impl StatePatch {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// From merge patches: each is a JSON object, or `null` to drop the part.
    pub fn from_parts(task: Option<Bytes>, parts: impl IntoIterator<Item = (StateKey, Bytes)>) -> Result<Self, Error> {
        let task = task.map(|json| canonical_patch(&json)).transpose()?;
        let parts =
            parts.into_iter().map(|(key, json)| Ok((key, canonical_patch(&json)?))).collect::<Result<_, Error>>()?;
        let patch = Self { task, parts };
        within_limit(patch.byte_len())?;
        Ok(patch)
    }

    /// Also patches the task's part.
    pub fn with_task(mut self, patch_json: &[u8]) -> Result<Self, Error> {
        self.task = Some(canonical_patch(patch_json)?);
        Ok(self)
    }

    /// Also patches the part of a binding.
    pub fn with_part(mut self, key: StateKey, patch_json: &[u8]) -> Result<Self, Error> {
        self.parts.insert(key, canonical_patch(patch_json)?);
        Ok(self)
    }

    /// Also drops the part of a binding.
    #[must_use]
    pub fn with_dropped(mut self, key: StateKey) -> Self {
        self.parts.insert(key, Bytes::from_static(b"null"));
        self
    }

    /// What leads from `before` to `after`. Merge patches cannot in general be joined into one that does the same; a state can always be
    /// reached from another by one.
    pub fn between(before: &State, after: &State) -> Self {
        let mut parts = BTreeMap::new();
        for key in before.parts.keys().chain(after.parts.keys()) {
            if let Some(change) = difference(before.parts.get(key), after.parts.get(key)) {
                parts.insert(key.clone(), change);
            }
        }
        Self { task: difference(before.task.as_ref(), after.task.as_ref()), parts }
    }

    /// The patch of the task's part.
    pub fn task_json(&self) -> Option<&Bytes> {
        self.task.as_ref()
    }

    /// The patch of a binding's part; `null` drops it.
    pub fn part(&self, key: &StateKey) -> Option<&Bytes> {
        self.parts.get(key)
    }

    /// All patches of bindings' parts, by ascending key.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = (&StateKey, &Bytes)> {
        self.parts.iter()
    }

    /// Changes nothing.
    pub fn is_empty(&self) -> bool {
        self.task.is_none() && self.parts.is_empty()
    }

    /// Bytes of all patches and their keys.
    pub fn byte_len(&self) -> usize {
        byte_len(self.task.as_ref(), &self.parts)
    }

    pub(crate) fn parse(pb: Option<pb::State>, sent: Sent) -> Result<Self, Error> {
        let (task, parts) = parse_parts(pb, sent)?;
        Self::from_parts(task, parts)
            .map_err(|fault| sent.broke(rules::STATE_SHAPE, "a state patch", fault.message.as_str()))
    }
}

impl From<State> for pb::State {
    fn from(state: State) -> Self {
        wire(state.task, state.parts)
    }
}

impl From<StatePatch> for pb::State {
    fn from(patch: StatePatch) -> Self {
        wire(patch.task, patch.parts)
    }
}

fn wire(task: Option<Bytes>, parts: BTreeMap<StateKey, Bytes>) -> pb::State {
    let parts =
        parts.into_iter().map(|(key, json)| pb::StatePart { state_key: key.as_str().to_owned(), json }).collect();
    pb::State { task_json: task.unwrap_or_default(), parts }
}

type Parts = (Option<Bytes>, Vec<(StateKey, Bytes)>);

fn parse_parts(pb: Option<pb::State>, sent: Sent) -> Result<Parts, Error> {
    let pb = pb.unwrap_or_default();
    let mut parts: Vec<(StateKey, Bytes)> = Vec::with_capacity(pb.parts.len());
    for part in pb.parts {
        let key = sent.state_key(&part.state_key)?;
        if let Some((last, _)) = parts.last().filter(|(last, _)| *last >= key) {
            return Err(sent.broke(
                rules::STATE_SHAPE,
                format_args!("a state key above `{last}`"),
                format_args!("`{key}`"),
            ));
        }
        parts.push((key, part.json));
    }
    Ok(((!pb.task_json.is_empty()).then_some(pb.task_json), parts))
}

fn byte_len(task: Option<&Bytes>, parts: &BTreeMap<StateKey, Bytes>) -> usize {
    task.map_or(0, Bytes::len) + parts.iter().map(|(key, json)| key.as_str().len() + json.len()).sum::<usize>()
}

fn within_limit(bytes: usize) -> Result<(), Error> {
    if bytes <= STATE_MAX_BYTES {
        return Ok(());
    }
    let message = format!("a connector state is refused: expected at most {STATE_MAX_BYTES} bytes, got {bytes}");
    Err(Error::protocol(rules::STATE_SHAPE, message).suggest("keep what can be derived out of the state"))
}

fn canonical_patch(json: &[u8]) -> Result<Bytes, Error> {
    if json == b"null" {
        return Ok(Bytes::from_static(b"null"));
    }
    let fault = |got: String| {
        Error::protocol(rules::STATE_SHAPE, format!("a part of a state: expected a JSON object or null, got {got}"))
    };
    check_object(json).map_err(|error| fault(error.to_string()))?;
    let tree = Tree::parse(json).map_err(|error| fault(error.to_string()))?;
    Ok(tree.to_json(json.len()))
}

/// `None`: the part is dropped. Both texts were checked when they became part of a state or patch.
fn merge(target: Option<&Bytes>, patch: &Bytes) -> Result<Option<Bytes>, Error> {
    let broken = |error: serde_json::Error| {
        Error::internal("state.json", format!("merging a state that was checked before: {error}"))
    };
    let bytes = patch.len().max(target.map_or(0, Bytes::len));
    let target = target.map(|json| Tree::parse(json)).transpose().map_err(broken)?;
    let merged = Tree::parse(patch).map_err(broken)?.merge_into(target);
    Ok(merged.map(|tree| tree.to_json(bytes)))
}

fn parsed(json: &Bytes) -> Option<Tree<'_>> {
    Tree::parse(json).ok()
}

fn difference(before: Option<&Bytes>, after: Option<&Bytes>) -> Option<Bytes> {
    if before == after {
        return None;
    }
    let bytes = after.map_or(0, Bytes::len);
    match (before.and_then(parsed), after.and_then(parsed)) {
        (_, None) => Some(Bytes::from_static(b"null")),
        (None, Some(after)) => Some(after.to_json(bytes)),
        (Some(before), Some(after)) => after.difference_from(&before).map(|tree| tree.to_json(bytes)),
    }
}

#[cfg(test)]
mod tests;
