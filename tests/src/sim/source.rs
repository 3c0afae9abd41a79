//! The model source: transactions computed from the seed, of which it forgets what it was told is durable.

use std::collections::VecDeque;
use std::sync::LazyLock;

use bytes::Bytes;
use longshore_proto::batch::BatchBuilder;
use longshore_proto::capture::message::{Checkpoint, ToRuntime};
use longshore_proto::capture::order::Session as Order;
use longshore_proto::state::{State, StatePatch};
use memchr::memmem::Finder;

use super::Violation;
use super::dice::hash;

/// How its collection is reduced, where it is by more than the last write.
pub const REDUCED: &str = r#"{"type":"object","reduce":{"strategy":"merge"},"properties":{
    "n":{"type":"integer","reduce":{"strategy":"sum"}},
    "seen":{"type":"array","reduce":{"strategy":"append"}}}}"#;
/// What fills documents, to one length or another.
const BODY: &str = match std::str::from_utf8(&[b'x'; 400]) {
    Ok(body) => body,
    Err(_) => "",
};
/// Keys of the model's rows are below this.
pub const KEYS: u64 = 7;

/// What is in a document that is not admitted.
const BAD: &str = r#""bad":true,"#;
/// What is in a document that the destination refuses until it is mended, and in what is reduced from one.
const POISON: &str = r#""poison":true"#;

/// Whether a document is not admitted.
#[must_use]
pub fn is_bad(document: &[u8]) -> bool {
    static MARK: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(BAD));
    MARK.find(document).is_some()
}

/// Whether the destination refuses a document until it is mended.
#[must_use]
pub fn is_poison(document: &[u8]) -> bool {
    static MARK: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(POISON));
    MARK.find(document).is_some()
}

/// The key of a document, as a JSON array.
#[must_use]
pub fn key_in(document: &[u8]) -> Bytes {
    static NAME: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(r#""id":"#));
    let behind = NAME.find(document).map_or(&[][..], |at| &document[at + r#""id":"#.len()..]);
    let id = behind.split(|byte| *byte == b',').next().unwrap_or_default();
    [b"[", id, b"]"].concat().into()
}

/// What survives the source's connector.
#[derive(Debug, Clone)]
pub struct Source {
    seed: u64,
    /// It has this many transactions.
    pub transactions: u64,
    /// Their documents.
    documents: Vec<Vec<Document>>,
    /// All before this one is forgotten.
    forgotten_before: u64,
}

/// A document of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its key.
    pub id: u64,
    /// It deletes its row.
    pub delete: bool,
    /// What is summed, where it is there.
    pub n: Option<i64>,
    /// What is appended.
    pub seen: String,
    /// The destination refuses it until it is mended.
    pub poison: bool,
    /// It is not admitted.
    pub bad: bool,
    /// As it is captured.
    pub json: Bytes,
}

impl Document {
    /// Those of transaction `t`.
    fn of(seed: u64, t: u64) -> Vec<Self> {
        let count = 1 + hash(&[seed, t]) % 3;
        let document = |i| {
            let chance = hash(&[seed, t, i]);
            let bad = (chance >> 32).is_multiple_of(6);
            // Replayed, it comes at any time later: nothing else has its key.
            let id = if bad { KEYS + 10 * t + i } else { chance % KEYS };
            let delete = !bad && (chance >> 8).is_multiple_of(5);
            let poison = !bad && (chance >> 20).is_multiple_of(11);
            let (mark, comma) = match (bad, poison) {
                (true, _) => (BAD, ""),
                (false, true) => (POISON, ","),
                (false, false) => ("", ""),
            };
            let op = if delete { "d" } else { "u" };
            // Most are short, some go over a sector's border or two.
            let longest = if (chance >> 28).is_multiple_of(4) { BODY.len() as u64 } else { 40 };
            let body = &BODY[..((chance >> 16) % longest) as usize];
            let n = Some((chance >> 40) as i64 % 1000 - 500).filter(|n| n % 4 != 0);
            let [id_text, t_text, i_text] = [id, t, i].map(|number| number.to_string());
            let seen = [&*t_text, ".", &*i_text].concat();
            let (comma_n, n_text) = n.map_or(("", String::new()), |n| (r#","n":"#, n.to_string()));
            // Of parts, and not by a format: there are very many.
            let meta = [r#"{"_meta":{"op":""#, op, r#""},"id":"#, &id_text, r#","txn":"#, &t_text, r#","i":"#, &i_text];
            let rest = [",", mark, comma, r#""seen":[""#, &seen, r#""],"body":""#, body, "\"", comma_n, &n_text, "}"];
            let json = [meta.concat(), rest.concat()].concat();
            Self { id, delete, n, seen, poison, bad, json: json.into() }
        };
        (0..count).map(document).collect()
    }
}

impl Source {
    /// Of this seed.
    #[must_use]
    pub fn new(seed: u64, transactions: u64) -> Self {
        let documents = (1..=transactions).map(|t| Document::of(seed, t)).collect();
        Self { seed, transactions, documents, forgotten_before: 1 }
    }

    /// Everything it ever had.
    pub fn all(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().flatten()
    }

    /// Whether its schema is stated anew before transaction `t`.
    fn widens_before(&self, t: u64) -> bool {
        hash(&[self.seed, t, 77]).is_multiple_of(9)
    }

    /// What it says of its collection as a whole before transaction `t`, and behind it. Every refresh comes to its end.
    #[must_use]
    pub fn controls(&self, t: u64) -> (Vec<ToRuntime>, Vec<ToRuntime>) {
        let binding = 0;
        let happens = |t: u64, what: u64, one_in: u64| hash(&[self.seed, t, what]).is_multiple_of(one_in);
        let begins = |t: &u64| happens(*t, 79, 12);
        let completes = |t: &u64| *t == self.transactions || happens(*t, 80, 4);
        let begun = (1..=t).rev().find(begins);
        let is_open = begun.is_some_and(|begun| !(begun..t).any(|t| completes(&t)));
        let mut before = Vec::new();
        before.extend(happens(t, 78, 14).then_some(ToRuntime::Truncated { binding }));
        before.extend(begins(&t).then_some(ToRuntime::BackfillBegin { binding }));
        let behind = (is_open && completes(&t)).then_some(ToRuntime::BackfillComplete { binding });
        (before, behind.into_iter().collect())
    }

    /// A session of its connector. The state acknowledges all it covers.
    pub fn open(&mut self, state: &State) -> Result<Connector, Violation> {
        let next = match state.task_json() {
            None => 1,
            Some(json) => number(json).ok_or_else(|| format!("the source got a state it never gave: {json:?}"))?,
        };
        if next < self.forgotten_before {
            return Err(format!(
                "loss: the runtime comes back at transaction {next}, but said that all before {} is durable",
                self.forgotten_before
            ));
        }
        self.forgotten_before = next;
        let to_runtime = VecDeque::from([ToRuntime::Opened]);
        Ok(Connector {
            next,
            to_runtime,
            outstanding: VecDeque::new(),
            stopped: false,
            caught_up: false,
            order: Order::new(),
        })
    }
}

/// A session of the source's connector.
#[derive(Debug)]
pub struct Connector {
    next: u64,
    /// Said, and not heard yet.
    pub to_runtime: VecDeque<ToRuntime>,
    /// For each checkpoint that is not acknowledged, what it covers.
    outstanding: VecDeque<u64>,
    stopped: bool,
    caught_up: bool,
    /// Both sides' messages are checked against the protocol.
    pub order: Order,
}

impl Connector {
    /// Whether it has something to say, and room.
    #[must_use]
    pub fn wants_to_speak(&self) -> bool {
        !self.stopped && !self.caught_up && self.to_runtime.len() < 6
    }

    /// Says its next transaction, and a checkpoint.
    pub fn speak(&mut self, source: &Source) {
        let last = source.transactions;
        if self.next > last {
            self.caught_up = true;
            self.outstanding.push_back(self.next);
            self.to_runtime.push_back(ToRuntime::Checkpoint(Checkpoint { caught_up: true, ..Checkpoint::default() }));
            return;
        }
        let t = self.next;
        if source.widens_before(t) {
            let schema_json = Bytes::from(format!(r#"{{"type":"object","title":"before {t}"}}"#));
            self.to_runtime.push_back(ToRuntime::SourcedSchema { binding: 0, schema_json });
        }
        let (before, behind) = source.controls(t);
        self.to_runtime.extend(before);
        let mut batch = BatchBuilder::new(0);
        for (i, document) in source.documents[t as usize - 1].iter().enumerate() {
            if i == 2 {
                self.to_runtime.extend(batch.finish().map(ToRuntime::Captured));
            }
            batch.push(&document.json);
        }
        self.to_runtime.extend(batch.finish().map(ToRuntime::Captured));
        self.to_runtime.extend(behind);
        self.next += 1;
        self.outstanding.push_back(self.next);
        let patch = StatePatch::new().with_task(format!(r#"{{"next":{}}}"#, self.next).as_bytes()).unwrap_or_default();
        self.to_runtime.push_back(ToRuntime::Checkpoint(Checkpoint {
            state_patch: patch,
            caught_up: false,
            partial: false,
        }));
    }

    /// So many further checkpoints are durable, it is told.
    pub fn acknowledged(&mut self, checkpoints: u32, source: &mut Source) -> Result<(), Violation> {
        for _ in 0..checkpoints {
            let covered = self
                .outstanding
                .pop_front()
                .ok_or("the source got an acknowledgement of a checkpoint it never sent")?;
            source.forgotten_before = source.forgotten_before.max(covered);
        }
        Ok(())
    }

    /// Starts nothing new.
    pub fn stop(&mut self) {
        self.stopped = true;
    }
}

fn number(json: &[u8]) -> Option<u64> {
    std::str::from_utf8(json).ok()?.strip_prefix(r#"{"next":"#)?.strip_suffix('}')?.parse().ok()
}
