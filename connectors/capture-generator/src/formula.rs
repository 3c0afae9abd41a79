//! What transaction `txn` of a stream holds. Pure: a verifier calls it too, and needs nothing else.
//!
//! Documents of a stream are numbered on and on. Each round of `keys` documents touches every account once, in an order of its own, so the
//! `seq` of an account is the number of the round plus one, and nothing has to be stored to know it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A movement of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// The account: the key.
    pub id: u64,
    /// Counts the documents of this account from 1, without a gap.
    pub seq: u64,
    /// What happens to the account's set.
    pub op: SetOp,
    /// With which elements, ascending.
    pub set: Vec<u8>,
    /// What moves into the account; the deltas of a transaction sum to 0.
    pub delta: i64,
    /// Number of the transaction, from 1.
    pub txn: u64,
    /// Place in the transaction: `i/k`.
    pub n: String,
    /// Filling.
    pub body: String,
    /// Checksum of all the other fields, 16 hex digits.
    pub sum: String,
}

/// Operations on a set that do not commute, so that a wrong order shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum SetOp {
    Add,
    Remove,
    Intersect,
}

/// A stream: everything its documents depend on.
#[derive(Debug, Clone)]
pub struct Stream {
    seed: u64,
    keys: u64,
    documents_max: u64,
    body_bytes: Vec<u32>,
}

/// Deltas lie between -DELTA_MAX and DELTA_MAX, the last one of a transaction excepted.
const DELTA_MAX: u64 = 1_000;
const SET_ELEMENTS: u64 = 16;

impl Stream {
    /// The stream `name` of a generator. `keys`, `documents_max` and `body_bytes` are not empty.
    pub fn new(seed: u64, name: &str, keys: u32, documents_max: u32, body_bytes: &[u32]) -> Self {
        Self {
            seed: mix(seed ^ fnv(FNV_START, name.as_bytes())),
            keys: u64::from(keys.max(1)),
            documents_max: u64::from(documents_max.max(1)),
            body_bytes: body_bytes.to_vec(),
        }
    }

    /// The documents of transaction `txn`, from 1, in order.
    pub fn transaction(&self, txn: u64) -> Vec<Document> {
        let k = self.documents_in(txn);
        let first = self.documents_before(txn);
        let mut balance = 0;
        (1..=k).map(|i| self.document(txn, (i, k), first + i - 1, &mut balance)).collect()
    }

    /// How many documents a transaction has: 1, 2, … up to the most, and again.
    pub fn documents_in(&self, txn: u64) -> u64 {
        (txn - 1) % self.documents_max + 1
    }

    /// How many documents all transactions before this one have.
    pub fn documents_before(&self, txn: u64) -> u64 {
        let (cycles, rest) = ((txn - 1) / self.documents_max, (txn - 1) % self.documents_max);
        cycles * (self.documents_max * (self.documents_max + 1) / 2) + rest * (rest + 1) / 2
    }

    /// The document with this number in the stream, from 0.
    fn document(&self, txn: u64, (i, k): (u64, u64), number: u64, balance: &mut i64) -> Document {
        let chance = mix(self.seed ^ mix(number));
        let (round, place) = (number / self.keys, number % self.keys);
        let delta = match i == k {
            true => -*balance,
            false => (chance % (2 * DELTA_MAX + 1)) as i64 - DELTA_MAX as i64,
        };
        *balance += delta;
        let mut document = Document {
            id: self.account(round, place),
            seq: round + 1,
            op: [SetOp::Add, SetOp::Add, SetOp::Remove, SetOp::Intersect][(chance >> 16) as usize % 4],
            set: elements(chance >> 20),
            delta,
            txn,
            n: format!("{i}/{k}"),
            body: self.body(chance),
            sum: String::new(),
        };
        document.sum = document.expected_sum();
        document
    }

    /// Accounts in the order of a round: a rotation and a stride that meets each of them once.
    fn account(&self, round: u64, place: u64) -> u64 {
        let chance = mix(self.seed ^ mix(!round));
        let strides = (chance % self.keys.max(2)..).filter(|stride| greatest_common_divisor(*stride, self.keys) == 1);
        let stride = strides.take(1).next().unwrap_or(1);
        let start = (chance >> 32) % self.keys;
        let product = u128::from(stride) * u128::from(place) + u128::from(start);
        (product % u128::from(self.keys)) as u64
    }

    fn body(&self, chance: u64) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let bytes = self.body_bytes.get((chance >> 40) as usize % self.body_bytes.len().max(1)).copied().unwrap_or(0);
        let mut state = chance;
        let mut body = String::with_capacity(bytes as usize + 12);
        while body.len() < bytes as usize {
            state = mix(state);
            body.extend((0..12).map(|letter| char::from(LETTERS[(state >> (5 * letter)) as usize % 32])));
        }
        body.truncate(bytes as usize);
        body
    }
}

impl Document {
    /// What `sum` must be.
    pub fn expected_sum(&self) -> String {
        let Self { id, seq, op, set, delta, txn, n, body, sum: _ } = self;
        let head = format!("{id} {seq} {op:?} {set:?} {delta} {txn} {n} ");
        format!("{:016x}", fnv(fnv(FNV_START, head.as_bytes()), body.as_bytes()))
    }
}

/// One to three elements, ascending.
fn elements(chance: u64) -> Vec<u8> {
    let mut set: Vec<u8> = (0..=chance % 3).map(|n| ((chance >> (4 * n + 2)) % SET_ELEMENTS) as u8).collect();
    set.sort_unstable();
    set.dedup();
    set
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// SplitMix64: every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: short to write in any language a verifier may be in.
fn fnv(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const TRANSACTIONS: u64 = 2_000;

    fn streams() -> impl Iterator<Item = Stream> {
        let shapes = [(1, 1, 1), (7, 10, 3), (42, 100, 5), (3, 4, 9), (9, 97, 1)];
        shapes.into_iter().map(|(seed, keys, documents_max)| Stream::new(seed, "a", keys, documents_max, &[0, 20, 333]))
    }

    #[test]
    fn the_deltas_of_a_transaction_sum_to_zero() {
        for stream in streams() {
            for txn in 1..=TRANSACTIONS {
                let transaction = stream.transaction(txn);
                assert_eq!(transaction.iter().map(|document| document.delta).sum::<i64>(), 0);
                assert_eq!(transaction.len() as u64, stream.documents_in(txn));
            }
        }
    }

    #[test]
    fn the_seq_of_an_account_has_no_gap() {
        for stream in streams() {
            let mut last: HashMap<u64, u64> = HashMap::new();
            for txn in 1..=TRANSACTIONS {
                for document in stream.transaction(txn) {
                    assert!(document.id < stream.keys);
                    let last = last.entry(document.id).or_default();
                    assert_eq!(document.seq, *last + 1, "{document:?}");
                    *last = document.seq;
                }
            }
        }
    }

    #[test]
    fn a_transaction_depends_on_nothing_but_seed_stream_and_number() {
        let stream = |seed, name| Stream::new(seed, name, 100, 3, &[20]);
        let documents = stream(7, "a").transaction(1_000_000_007);
        assert_eq!(documents, stream(7, "a").transaction(1_000_000_007));
        assert_ne!(documents, stream(8, "a").transaction(1_000_000_007));
        assert_ne!(documents, stream(7, "b").transaction(1_000_000_007));
        for document in &documents {
            assert_eq!(document.sum, document.expected_sum());
            assert_eq!(document.body.len(), 20);
        }
    }
}
