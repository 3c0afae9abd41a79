//! Stories of what happens to a table as a whole: it is emptied, or all of it comes anew. For a binding with the key `/id` and a field `v`.

use std::collections::BTreeMap;

use super::materialize::Session;
use crate::Result;

/// One transaction.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// The table is emptied.
    pub truncates: bool,
    /// A full refresh begins.
    pub begins: bool,
    /// One is complete.
    pub completes: bool,
    /// Keys with their value; none: the row goes.
    pub rows: Vec<(i64, Option<i64>)>,
    /// It is first stored by a session that dies before its commit.
    pub dies: bool,
}

impl Step {
    /// One in which nothing but this happens.
    #[must_use]
    pub fn rows(rows: &[(i64, Option<i64>)]) -> Self {
        Self { rows: rows.to_vec(), ..Self::default() }
    }

    /// All but the commit.
    pub async fn store(&self, session: &mut Session) -> Result<()> {
        session.flush().await?;
        if self.truncates {
            session.truncate(0).await?;
        }
        if self.begins || self.completes {
            session.backfill(0, self.begins, self.completes).await?;
        }
        let document = |(id, v): &(i64, Option<i64>)| match v {
            Some(v) => format!(r#"{{"id":{id},"v":{v}}}"#),
            None => format!(r#"{{"id":{id},"_meta":{{"op":"d"}}}}"#),
        };
        let documents: Vec<String> = self.rows.iter().map(document).collect();
        session.store(0, &documents.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// The whole.
    pub async fn transact(&self, session: &mut Session) -> Result<()> {
        self.store(session).await?;
        session.commit().await?;
        session.acknowledge().await
    }
}

/// The same for the same seed.
#[must_use]
pub fn story(seed: u64) -> Vec<Step> {
    let mut state = seed;
    // SplitMix64.
    let mut below = move |n: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    };
    let mut steps = Vec::new();
    for _ in 0..=below(13) {
        let mut one_in = |n| below(n) == 0;
        let (truncates, begins, completes, dies) = (one_in(7), one_in(7), one_in(7), one_in(5));
        let mut rows = Vec::new();
        for _ in 0..below(6) {
            let id = i64::try_from(below(8)).unwrap_or_default();
            let v = i64::try_from(below(100)).ok().filter(|v| v % 5 > 0);
            rows.push((id, v));
        }
        steps.push(Step { truncates, begins, completes, rows, dies });
    }
    steps
}

/// What the table has, and what is stored aside.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Model {
    /// By key.
    pub rows: BTreeMap<i64, i64>,
    aside: Option<BTreeMap<i64, i64>>,
}

impl Model {
    /// A transaction was committed.
    pub fn take(&mut self, step: &Step) {
        if step.truncates {
            self.current().clear();
        }
        if step.begins {
            self.aside = Some(BTreeMap::new());
        }
        for (id, v) in &step.rows {
            match v {
                Some(v) => drop(self.current().insert(*id, *v)),
                None => drop(self.current().remove(id)),
            }
        }
        if let Some(aside) = self.aside.take_if(|_| step.completes) {
            self.rows = aside;
        }
    }

    fn current(&mut self) -> &mut BTreeMap<i64, i64> {
        self.aside.as_mut().unwrap_or(&mut self.rows)
    }
}
