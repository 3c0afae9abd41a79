//! Where `run --until caught-up` ends: the journal offsets that captures noted, and who has got there (semantics §8).
//!
//! A capture notes its journal's end when a caught-up checkpoint of it is durable and acknowledged. A materialization drains to the noted
//! ends of the captures it reads. Nothing here runs or stops a task.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// The ends noted so far, by capture task. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    noted: watch::Sender<BTreeMap<String, u64>>,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self { noted: watch::Sender::new(BTreeMap::new()) }
    }

    /// A capture has caught up: its journal ends at this offset. A session that catches up again moves the end on, never back.
    pub(super) fn note(&self, capture: &str, offset: u64) {
        self.noted.send_modify(|noted| {
            let end = noted.entry(capture.to_owned()).or_insert(offset);
            *end = offset.max(*end);
        });
    }

    /// Waits until all of these captures have noted an end, and gives the ends.
    pub(super) async fn of(&self, captures: &[String]) -> BTreeMap<String, u64> {
        let mut noted = self.noted.subscribe();
        let all = noted.wait_for(|noted| captures.iter().all(|capture| noted.contains_key(capture))).await;
        let all = all.expect("the sender is held by this value");
        captures.iter().map(|capture| (capture.clone(), all[capture])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_are_given_when_the_last_one_is_noted_and_never_go_back() {
        let ends = Ends::new();
        let both = ["a".to_owned(), "b".to_owned()];
        ends.note("a", 7);
        let waiting = ends.of(&both);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("b has not caught up"),
            () = std::future::ready(()) => {}
        }
        ends.note("a", 5);
        ends.note("b", 1);
        assert_eq!(waiting.await, BTreeMap::from([("a".to_owned(), 7), ("b".to_owned(), 1)]));
    }
}
