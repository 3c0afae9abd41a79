//! What a seed says: what is moved, how the network is, and what fails when.

use std::time::Duration;

use serde_json::json;

use longshore_tests::sim::dice::{Dice, hash};

/// A machine with a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Host {
    /// Of the capture.
    Source,
    /// Of the materialization.
    Sink,
}

impl Host {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Source, Self::Sink];

    /// Its name in the network.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
        }
    }
}

/// What fails. Those of a connector are between it and the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// What is sent is lost, both ways.
    Cut,
    /// What the runtime sends is lost.
    CutThither,
    /// What the connector sends is lost: half-open.
    CutHither,
    /// What is sent waits, and nothing is lost.
    Held,
    /// The connector's process stands still: it takes nothing and says nothing.
    Frozen,
    /// The connector's process answers pings, and reads nothing of any call.
    Deaf,
    /// The connector's process dies, and another one starts.
    Crash,
    /// The runtime's process dies, and another one starts.
    RuntimeCrash,
    /// The connector is asked to leave: GOAWAY. Another one starts.
    Leave,
    /// The connection breaks, somewhere in a frame.
    Reset,
    /// Little goes through, and slowly.
    Slow,
}

impl Fault {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::Cut,
        Self::CutThither,
        Self::CutHither,
        Self::Held,
        Self::Frozen,
        Self::Deaf,
        Self::Crash,
        Self::RuntimeCrash,
        Self::Leave,
        Self::Reset,
        Self::Slow,
    ];
}

/// One of them, with its time.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// From the beginning.
    pub at: Duration,
    /// What.
    pub fault: Fault,
    /// To whom.
    pub host: Host,
    /// Until it is over.
    pub lasts: Duration,
}

/// How large bodies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    body_bytes: u64,
    key_bytes: u64,
    documents: u64,
    transactions: u64,
}

/// All that follows from a seed.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    size: Size,
    /// Messages take up to so long.
    pub latency: Duration,
    /// A transaction of the source takes so long.
    pub pace: Duration,
    /// A call of the destination takes up to so long.
    pub work: Duration,
    /// In the order of their times.
    pub events: Vec<Event>,
}

/// Bodies of each kind, and how many documents and transactions there are of it, so that a run stays short.
const SIZES: [(u64, Size); 6] = [
    (500, Size { body_bytes: 20, key_bytes: 8, documents: 6, transactions: 24 }),
    (350, Size { body_bytes: 200, key_bytes: 8, documents: 20, transactions: 12 }),
    (130, Size { body_bytes: 64 << 10, key_bytes: 8, documents: 4, transactions: 12 }),
    (12, Size { body_bytes: 1 << 20, key_bytes: 8, documents: 2, transactions: 6 }),
    (4, Size { body_bytes: 8 << 20, key_bytes: 8, documents: 1, transactions: 4 }),
    // More keys in a transaction than windows and queues hold, one way and back: who does not listen while it speaks stands still.
    (4, Size { body_bytes: 20, key_bytes: 1 << 20, documents: 44, transactions: 2 }),
];
const LATENCIES_MS: [u64; 4] = [0, 60, 200, 900];
/// Shorter and longer than it takes until somebody notices.
const LASTS_MS: [u64; 6] = [100, 1_500, 4_000, 8_000, 45_000, 150_000];
/// Documents have so many keys.
const KEYS: u64 = 9;

impl Scenario {
    /// Of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut dice = Dice::new(hash(&[seed, 40]));
        let size = size(&mut dice);
        let latency = Duration::from_millis(pick(&mut dice, &LATENCIES_MS));
        // The time in which something fails, and in which the source has something to say.
        let span_ms = pick(&mut dice, &[1_500, 8_000, 30_000]);
        let pace = Duration::from_millis(span_ms / size.transactions);
        let work = Duration::from_millis(pick(&mut dice, &[0, 50, 300, 6_000]));
        let mut events: Vec<Event> = (0..1 + dice.below(4)).map(|_| event(&mut dice, span_ms)).collect();
        events.sort_by_key(|event| event.at);
        Self { seed, size, latency, pace, work, events }
    }

    /// Keys are more than windows and queues hold.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.size.key_bytes > self.size.body_bytes
    }

    /// Transactions of the source, from 1.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.size.transactions
    }

    /// The documents of transaction `t`.
    #[must_use]
    pub fn documents(&self, t: u64) -> Vec<Document> {
        let keys = if self.is_wide() { self.size.documents } else { KEYS };
        let document = |i: u64| {
            let chance = hash(&[self.seed, t, i]);
            let key = if self.is_wide() { i } else { chance % keys };
            let (key_bytes, body_bytes) = (self.size.key_bytes as usize, self.size.body_bytes as usize);
            let id = format!("{key}-{}", "k".repeat(key_bytes));
            let body = char::from(b'a' + (chance % 26) as u8).to_string().repeat(body_bytes);
            let json = json!({ "id": id, "t": t, "i": i, "body": body }).to_string();
            Document { key: json!([id]).to_string(), json }
        };
        (0..self.size.documents).map(document).collect()
    }
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its key, as the runtime says it.
    pub key: String,
    /// As it is captured.
    pub json: String,
}

fn size(dice: &mut Dice) -> Size {
    let mut chance = dice.below(SIZES.iter().map(|(times, _)| times).sum());
    for (times, size) in SIZES {
        if chance < times {
            return size;
        }
        chance -= times;
    }
    SIZES[0].1
}

fn event(dice: &mut Dice, span_ms: u64) -> Event {
    let fault = Fault::ALL[dice.below(Fault::ALL.len() as u64) as usize];
    let host = Host::ALL[dice.below(2) as usize];
    let at = Duration::from_millis(dice.below(span_ms));
    Event { at, fault, host, lasts: Duration::from_millis(pick(dice, &LASTS_MS)) }
}

fn pick(dice: &mut Dice, among: &[u64]) -> u64 {
    among[dice.below(among.len() as u64) as usize]
}
