//! Apply: directories are made, and what was published before is looked at: nobody else's, and nothing of an older generation.

use std::path::{Path, PathBuf};

use longshore_sdk::materialize::{ApplyRequest, Bound, Fence, Owner};
use longshore_sdk::{Error, Result};

use crate::config::{Config, Resource};
use crate::disk;
use crate::name::Published;
use crate::owner::Places;
use crate::publish::begin_again;

/// Returns what was done, or with `dry_run` would be.
pub(crate) fn apply(request: &ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
    let places = Places::new(&request.config.path, &request.owner);
    let fence = Fence::new(request.owner.clone());
    let recorded = places.read()?;
    let begins_again = request.take_over || request.all_fresh();
    if let Some(recorded) = recorded.as_ref().filter(|_| !begins_again) {
        fence.may_alter(recorded)?;
    }
    let mut steps = Vec::new();
    for (index, binding) in request.bindings.iter().enumerate() {
        plan(request, binding, &mut steps).map_err(|error| error.at_binding(index))?;
    }
    if begins_again && (recorded.is_some() || request.all_fresh()) {
        steps.push(Step::BeginAgain);
    }
    if request.remove && request.bindings.is_empty() && recorded.is_some() {
        steps.push(Step::Forget);
    }
    if !request.dry_run && !steps.is_empty() {
        let _lock = places.locked()?;
        if let Some(recorded) = places.read()?.filter(|_| !begins_again) {
            fence.may_alter(&recorded)?;
        }
        steps.iter().try_for_each(|step| step.run(&places, &fence))?;
    }
    Ok(steps.iter().map(|step| step.say(&request.owner.task)).collect())
}

/// One thing that Apply does.
enum Step {
    Make(PathBuf),
    Empty { directory: PathBuf, names: Vec<String> },
    BeginAgain,
    Forget,
}

impl Step {
    fn run(&self, places: &Places, fence: &Fence) -> Result<()> {
        match self {
            Step::Make(directory) => disk::make_directory(directory).map(drop),
            Step::Empty { directory, names } => {
                names.iter().try_for_each(|name| disk::remove(&directory.join(name)))?;
                disk::sync_directory(directory)
            }
            Step::BeginAgain => begin_again(places, fence),
            Step::Forget => places.remove_record(),
        }
    }

    fn say(&self, task: &str) -> String {
        match self {
            Step::Make(directory) => format!("make directory {}", directory.display()),
            Step::Empty { directory, names } => {
                format!("remove {} published files from {}", names.len(), directory.display())
            }
            Step::BeginAgain => format!("write the owner record of task {task} anew, at the beginning"),
            Step::Forget => format!("forget the owner record of task {task}; published files stay"),
        }
    }
}

/// What one binding needs, or why it may not be.
fn plan(request: &ApplyRequest<Config, Resource>, binding: &Bound<Resource>, steps: &mut Vec<Step>) -> Result<()> {
    let directory = request.config.path.join(&binding.resource.name);
    let names = disk::names_in(&directory)?;
    let published = names.into_iter().filter_map(|name| Some((Published::parse(&name)?, name)));
    if request.is_fresh(binding) {
        let names: Vec<String> = published.map(|(_, name)| name).collect();
        if !names.is_empty() {
            steps.push(Step::Empty { directory: directory.clone(), names });
        }
    } else {
        published.into_iter().try_for_each(|(published, name)| may_stay(request, binding, &published, &name))?;
    }
    if !directory.is_dir() {
        steps.push(Step::Make(directory));
    }
    Ok(())
}

/// Files of somebody else that would be added to; of which generation they are only Apply can know.
pub(crate) fn in_the_way(owner: &Owner, directory: &Path) -> Result<Option<String>> {
    for name in disk::names_in(directory)? {
        let Some(published) = Published::parse(&name) else { continue };
        let whose = match (published.is_of_task(&owner.task), published.installation == owner.installation) {
            (true, true) => continue,
            (false, _) => format!("a file of another task than {}", owner.task),
            (true, false) => format!("a file of installation {}", published.installation),
        };
        return Ok(Some(format!(
            "directory {}: expected no files of somebody else, got {whose}: {name}",
            directory.display()
        )));
    }
    Ok(None)
}

/// Files that are there are of this task, this installation and this generation, or all documents would be there twice.
fn may_stay(
    request: &ApplyRequest<Config, Resource>,
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
