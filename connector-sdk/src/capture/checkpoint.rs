//! What an author says at a checkpoint: where to resume.

use longshore_proto::capture::message;
use longshore_proto::name::StateKey;
use longshore_proto::state::StatePatch;
use serde::Serialize;

use crate::{Error, Result};

/// Where to resume if everything up to here is durable. All emitted since the last checkpoint commits with it or not at all.
///
/// The state has a part for the task and a part for each binding. What is given here is merged into it as an RFC 7396 merge patch: a struct
/// replaces its fields, a map adds its entries, and `null` (so `None`) removes.
#[derive(Debug, Default)]
#[must_use = "a checkpoint counts when it is given to `Emitter::checkpoint`"]
pub struct Checkpoint {
    parts: Vec<(Part, serde_json::Result<Vec<u8>>)>,
    caught_up: bool,
    partial: bool,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Task,
    Binding(usize),
}

impl Checkpoint {
    /// One that changes no state yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Merges into the task's part.
    pub fn task<T: Serialize + ?Sized>(self, patch: &T) -> Self {
        self.patch(Part::Task, patch)
    }

    /// Merges into the part of a binding.
    pub fn binding<T: Serialize + ?Sized>(self, binding: usize, patch: &T) -> Self {
        self.patch(Part::Binding(binding), patch)
    }

    /// All that existed at the source when this session opened is covered by this and earlier checkpoints. Say it also when nothing
    /// changed.
    pub fn caught_up(mut self) -> Self {
        self.caught_up = true;
        self
    }

    /// A resume point inside a transaction of the source.
    pub fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    fn patch<T: Serialize + ?Sized>(mut self, part: Part, patch: &T) -> Self {
        self.parts.push((part, serde_json::to_vec(patch)));
        self
    }

    pub(crate) fn into_message(self, state_keys: &[StateKey]) -> Result<message::Checkpoint> {
        let mut state_patch = StatePatch::new();
        for (part, json) in self.parts {
            let json = json.map_err(|error| internal(format!("expected a state that is JSON, got {error}")))?;
            state_patch = match part {
                Part::Task => state_patch.with_task(&json)?,
                Part::Binding(index) => {
                    let key = state_keys.get(index);
                    let key = key.ok_or_else(|| {
                        internal(format!("expected a binding below {}, got {index}", state_keys.len()))
                    })?;
                    state_patch.with_part(key.clone(), &json)?
                }
            };
        }
        Ok(message::Checkpoint { state_patch, caught_up: self.caught_up, partial: self.partial })
    }
}

fn internal(what: String) -> Error {
    Error::internal("sdk.checkpoint", format!("the connector made a checkpoint: {what}"))
}
