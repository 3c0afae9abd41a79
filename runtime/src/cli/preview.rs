//! `longshore preview TASK`: the first documents of a capture. A session without a journal: nothing is stored, applied or acknowledged, so
//! the source forgets nothing.

use std::time::Duration;

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::batch::{Batch, too_large};
use longshore_proto::capture::message::{Open, ToRuntime};
use longshore_proto::name::StateKey;
use longshore_proto::session::Owner;
use longshore_proto::state::State;
use serde_json::json;
use tokio::time::timeout;

use super::args::{Global, PreviewArgs, split_words};
use super::catalogs;
use super::logs;
use super::output::{Failure, Output};
use super::visit::{Visited, somebody_new};
use crate::catalog::{CaptureTask, Catalog};
use crate::connector::{PullReceiver, PullSender};
use crate::supervise::Problem;
use crate::supervise::prepare::{self, CapturePlan, Collections};

/// How long a source may have nothing to say before the preview ends.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the connector may take to end the session in order before it is stopped anyway.
const GOOD_BYE: Duration = Duration::from_secs(5);

/// Why a preview ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Enough,
    CaughtUp,
    Silent,
}

pub(super) async fn preview(global: &Global, args: PreviewArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let ([name], path) = split_words(args.words, ["TASK"])?;
    let catalog = catalogs::load(&path, args.values.values(), output)?;
    let task = catalogs::capture(&catalog, &name)?;
    let mut shown = Shown { output, collections: Vec::new(), documents: 0, at_most: args.documents };
    let ended = look(&catalog, task, &mut shown).await.map_err(|problem| catalogs::failure(problem, output))?;
    let why = match ended {
        Ended::Enough => "enough",
        Ended::CaughtUp => "caught_up",
        Ended::Silent => "silent",
    };
    output.object("summary", json!({"task": name, "documents": shown.documents, "ended": why}));
    let why = match ended {
        Ended::Enough => "there may be more (--documents N)".to_owned(),
        Ended::CaughtUp => "that is all there is now".to_owned(),
        Ended::Silent => format!("the source said nothing more for {} s", SILENCE.as_secs()),
    };
    catalogs::note(format_args!("{} documents, {why}; nothing was stored or acknowledged", shown.documents), output);
    Ok(())
}

async fn look(catalog: &Catalog, task: &CaptureTask, shown: &mut Shown<'_>) -> Result<Ended, Problem> {
    let owner = somebody_new(&task.name)?;
    let visited = Visited::capture(catalog, task);
    visited
        .ask(async |launched| {
            let client = launched.capture();
            let plan = prepare::capture(catalog, task, &client, owner.clone(), &Collections::new()).await?;
            shown.collections = plan.bindings.iter().map(|one| one.collection.name.clone()).collect();
            let (sender, receiver) = client.pull(open(plan, owner)).await?;
            Ok(session(sender, receiver, shown).await?)
        })
        .await
}

/// From the beginning. The random installation has no other session, so the lowest epoch is new.
fn open(plan: CapturePlan, owner: Owner) -> Open {
    let bindings = plan.bindings.iter().map(|one| one.named(StateKey::new(&one.resource_path, 0))).collect();
    Open { owner: Owner { epoch: 1, ..owner }, config_json: plan.config_json, bindings, state: State::new() }
}

async fn session(sender: PullSender, mut receiver: PullReceiver, shown: &mut Shown<'_>) -> Result<Ended, Error> {
    let ended = loop {
        let Ok(message) = timeout(SILENCE, receiver.recv()).await else { break Ended::Silent };
        match message? {
            Some(ToRuntime::Captured(batch)) => {
                if shown.batch(&batch) {
                    break Ended::Enough;
                }
            }
            Some(ToRuntime::TooLarge { binding, document }) => {
                return Err(too_large(document.len()).at_binding(binding));
            }
            Some(ToRuntime::Checkpoint(checkpoint)) if checkpoint.caught_up => break Ended::CaughtUp,
            None => return Ok(Ended::CaughtUp),
            Some(
                ToRuntime::Opened
                | ToRuntime::SourcedSchema { .. }
                | ToRuntime::BackfillBegin { .. }
                | ToRuntime::BackfillComplete { .. }
                | ToRuntime::Truncated { .. }
                | ToRuntime::Checkpoint(_)
                | ToRuntime::Progress(_),
            ) => {}
        }
    };
    farewell(sender, receiver).await;
    Ok(ended)
}

/// Stop, then our half closes, then what is under way is dropped. All that was wanted is shown, so nothing can go wrong any more.
async fn farewell(sender: PullSender, mut receiver: PullReceiver) {
    if sender.stop().is_err() || sender.half_close().is_err() {
        return;
    }
    // Late or broken, it is stopped next.
    drop(timeout(GOOD_BYE, async { while let Ok(Some(_)) = receiver.recv().await {} }).await);
}

struct Shown<'a> {
    output: &'a Output,
    collections: Vec<String>,
    documents: u64,
    at_most: u64,
}

impl Shown<'_> {
    /// Prints its documents; true when that is enough.
    fn batch(&mut self, batch: &Batch) -> bool {
        let collection = self.collections.get(batch.binding()).map_or("", String::as_str);
        for document in batch.documents() {
            if self.documents >= self.at_most {
                return true;
            }
            self.documents += 1;
            let document = Bytes::copy_from_slice(document);
            let text = String::from_utf8_lossy(&document);
            // The document's own bytes: through a parsed value, numbers could change.
            self.output.documents(&if self.output.json() {
                format!("{{\"type\":\"document\",\"collection\":{},\"document\":{text}}}\n", json!(collection))
            } else {
                format!("{collection} {text}\n")
            });
        }
        self.documents >= self.at_most
    }
}
