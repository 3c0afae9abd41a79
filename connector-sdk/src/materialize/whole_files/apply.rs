//! Apply: directories are made, and what was published before is looked at: nobody else's, and nothing of an older generation.

use std::sync::Arc;

use super::name::Published;
use super::owner::Places;
use super::resource::Resource;
use super::storage::Storage;
use crate::materialize::{ApplyRequest, Bound, Fence, Owner, Recorded};
use crate::{Error, Result};

/// Returns what was done, or with `dry_run` would be.
pub fn apply<C>(storage: Arc<dyn Storage>, request: &ApplyRequest<C, Resource>) -> Result<Vec<String>> {
    let places = Places::new(Arc::clone(&storage), &request.owner);
    let fence = Fence::new(request.owner.clone());
    let recorded = places.read()?;
    let begins_again = request.take_over || request.all_fresh();
    if let Some(recorded) = recorded.as_ref().filter(|_| !begins_again) {
        fence.may_alter(recorded)?;
    }
    let mut steps = Vec::new();
    for (index, binding) in request.bindings.iter().enumerate() {
        plan(&*storage, request, binding, &mut steps).map_err(|error| error.at_binding(index))?;
    }
    if begins_again && (recorded.is_some() || request.all_fresh()) {
        steps.push(Step::BeginAgain);
    }
    if request.remove && request.bindings.is_empty() && recorded.is_some() {
        steps.push(Step::Forget);
    }
    if !request.dry_run && !steps.is_empty() {
        places.change(|before| {
            if let Some(recorded) = before.filter(|_| !begins_again) {
                fence.may_alter(recorded)?;
            }
            if begins_again {
                // What is staged belongs to what is given up: nobody shall publish it later.
                places.discard_staged()?;
            }
            let mut after = None;
            for step in &steps {
                after = step.run(&places, before, &request.owner)?.or(after);
            }
            Ok(after)
        })?;
    }
    Ok(steps.iter().map(|step| step.say(&*storage, &request.owner.task)).collect())
}

/// One thing that Apply does.
enum Step {
    Make(String),
    Empty { directory: String, names: Vec<String> },
    BeginAgain,
    Forget,
}

impl Step {
    /// Returns what then is to be recorded, if it is to change.
    fn run(&self, places: &Places, before: Option<&Recorded>, owner: &Owner) -> Result<Option<Recorded>> {
        match self {
            Step::Make(directory) => places.storage.make(directory)?,
            Step::Empty { directory, names } => places.storage.remove(directory, names)?,
            Step::BeginAgain => return places.begin_again(before, owner).map(Some),
            Step::Forget => places.remove_record()?,
        }
        Ok(None)
    }

    fn say(&self, storage: &dyn Storage, task: &str) -> String {
        let shown = |directory: &String| format!("{}/{directory}", storage.shown());
        match self {
            Step::Make(directory) => format!("make directory {}", shown(directory)),
            Step::Empty { directory, names } => {
                format!("remove {} published files from {}", names.len(), shown(directory))
            }
            Step::BeginAgain => format!("write the owner record of task {task} anew, at the beginning"),
            Step::Forget => format!("forget the owner record of task {task}; published files stay"),
        }
    }
}

/// What one binding needs, or why it may not be.
fn plan<C>(
    storage: &dyn Storage,
    request: &ApplyRequest<C, Resource>,
    binding: &Bound<Resource>,
    steps: &mut Vec<Step>,
) -> Result<()> {
    let directory = &binding.resource.name;
    let names = storage.names(directory)?;
    let published = names.into_iter().filter_map(|name| Some((Published::parse(&name)?, name)));
    if request.is_fresh(binding) {
        let names: Vec<String> = published.map(|(_, name)| name).collect();
        if !names.is_empty() {
            steps.push(Step::Empty { directory: directory.clone(), names });
        }
    } else {
        published.into_iter().try_for_each(|(published, name)| may_stay(request, binding, &published, &name))?;
    }
    if !storage.has_directory(directory) {
        steps.push(Step::Make(directory.clone()));
    }
    Ok(())
}

/// Files of somebody else that would be added to; of which generation they are only Apply can know.
pub(super) fn in_the_way(owner: &Owner, storage: &dyn Storage, directory: &str) -> Result<Option<String>> {
    for name in storage.names(directory)? {
        let Some(published) = Published::parse(&name) else { continue };
        let whose = match (published.is_of_task(&owner.task), published.installation == owner.installation) {
            (true, true) => continue,
            (false, _) => format!("a file of another task than {}", owner.task),
            (true, false) => format!("a file of installation {}", published.installation),
        };
        return Ok(Some(format!(
            "directory {directory} of {}: expected no files of somebody else, got {whose}: {name}",
            storage.shown()
        )));
    }
    Ok(None)
}

/// Files that are there are of this task, this installation and this generation, or all documents would be there twice.
fn may_stay<C>(
    request: &ApplyRequest<C, Resource>,
    binding: &Bound<Resource>,
    published: &Published,
    name: &str,
) -> Result<()> {
    let (task, resource) = (&request.owner.task, &binding.resource.name);
    let refused = |code: &str, expected: String, got: &str| {
        let message = format!("directory {resource}: expected {expected}, got {got}: {name}");
        let way = format!(
            "name another directory, or remove what is published with `run --fresh {task}/{}`",
            binding.collection.name
        );
        Err(Error::config(code, message).at_pointer("/name").suggest(way))
    };
    if !published.is_of_task(task) {
        return refused("files.resource.task", format!("files of task {task}"), "one of another task");
    }
    if published.installation != request.owner.installation || request.take_over {
        return refused(
            "files.resource.installation",
            format!("nothing before installation {}", request.owner.installation),
            "files of another",
        );
    }
    if published.generation != binding.state_key.generation() {
        let expected = format!("files of generation {}", binding.state_key.generation());
        return refused("files.resource.generation", expected, "one of another");
    }
    Ok(())
}
