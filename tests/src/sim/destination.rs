//! The model destinations, one for each guarantee. What they hold survives their connectors; a connector of an earlier session may go on
//! as a zombie.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::batch::{BatchBuilder, KeysBuilder};
use longshore_proto::key::encode_json_key_into;
use longshore_proto::materialize::message::{
    Backfill, Committed, Exists, Guarantee, Load, Loaded, Open, Opened, Rejected, Store, ToConnector, ToRuntime,
};
use longshore_proto::materialize::order::Session as Order;
use longshore_proto::session::{Binding, ClosePolicy, Recorded};
use longshore_proto::state::StatePatch;

use super::source::{is_poison, key_in};
use super::{Mistake, Violation};

/// Rows by key, of one binding.
pub type Rows = BTreeMap<Bytes, Bytes>;
/// The durable name of a binding.
type Name = Rc<str>;

/// What survives its connectors.
#[derive(Debug)]
pub struct Destination {
    /// What it promises.
    pub guarantee: Guarantee,
    /// A mistake it makes.
    pub mistake: Mistake,
    /// Its Flushed carries state, which counts on the Stores that follow.
    pub flushes_state: bool,
    /// The fence row or owner record.
    pub owner: Option<Recorded>,
    /// Standard bindings, by durable name.
    pub rows: BTreeMap<Name, Rows>,
    /// Standard bindings that are backfilled: the rows that will take their place.
    aside: BTreeMap<Name, Rows>,
    /// What each row was before it was last stored, where a mistake needs it.
    before: BTreeMap<(Name, Bytes), Bytes>,
    /// Delta bindings, by durable name.
    pub logs: BTreeMap<Name, Vec<Bytes>>,
    /// Staged documents by name.
    staged: BTreeMap<(u64, u64), Vec<Change>>,
    /// Transactions that were applied: epoch and number.
    marks: Vec<(u64, u64)>,
    /// What was stored under each number, where a replay has to say the same.
    said: BTreeMap<u64, Vec<Store>>,
    /// It takes what it refused before.
    pub is_mended: bool,
}

/// What a transaction changes.
#[derive(Debug, Clone)]
enum Change {
    Put(Name, Bytes, Bytes),
    Remove(Name, Bytes),
    Append(Name, Bytes),
    Empty(Name),
    Begin(Name),
    Complete(Name),
}

/// A session of its connector.
#[derive(Debug)]
pub struct Connector {
    /// Said to it, and not heard yet.
    pub from_runtime: VecDeque<ToConnector>,
    /// The runtime ended its half, behind all that is in the queue.
    pub half_closed: bool,
    /// Said by it, and not heard yet; an error or the end is the last.
    pub to_runtime: VecDeque<Result<Option<ToRuntime>, Error>>,
    /// Both sides' messages are checked against the protocol.
    pub order: Order,
    epoch: u64,
    bindings: Vec<Bound>,
    committed: u64,
    plan: Bytes,
    acknowledged: bool,
    loads: Vec<Load>,
    transaction: u64,
    changes: Vec<Change>,
    /// What is done behind them.
    completes: Vec<Change>,
    stored: usize,
    /// Of each binding that was stored, in order, the last key.
    order_of_stores: Vec<(usize, Vec<u8>)>,
    /// Keys of documents that it refuses, all of one binding.
    refused: Option<(usize, BTreeSet<Bytes>)>,
    /// It has said so.
    has_rejected: bool,
}

/// What it keeps of a binding.
#[derive(Debug, Clone)]
struct Bound {
    name: Name,
    is_delta: bool,
}

impl Connector {
    /// A stream with Open in it.
    pub fn open(open: Open) -> Result<Self, Error> {
        let (open, mut order) = (ToConnector::Open(Box::new(open)), Order::new());
        order.runtime(&open)?;
        Ok(Self {
            from_runtime: VecDeque::from([open]),
            half_closed: false,
            to_runtime: VecDeque::new(),
            order,
            epoch: 0,
            bindings: Vec::new(),
            committed: 0,
            plan: Bytes::new(),
            acknowledged: false,
            loads: Vec::new(),
            transaction: 0,
            changes: Vec::new(),
            completes: Vec::new(),
            stored: 0,
            order_of_stores: Vec::new(),
            refused: None,
            has_rejected: false,
        })
    }

    /// Whether it has something to do.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let over = matches!(self.to_runtime.back(), Some(Err(_) | Ok(None)));
        !over && (!self.from_runtime.is_empty() || self.half_closed)
    }

    /// Does what the next message asks.
    pub fn hear(&mut self, destination: &mut Destination) -> Result<(), Violation> {
        let Some(message) = self.from_runtime.pop_front() else {
            self.to_runtime.push_back(Ok(None));
            return Ok(());
        };
        if self.has_rejected {
            // What was under way is dropped.
            return Ok(());
        }
        let answer = match message {
            ToConnector::Open(open) => destination.opened(self, *open).map(Some),
            ToConnector::Acknowledge { transaction } => {
                destination.acknowledge(self, transaction)?;
                self.acknowledged = true;
                self.answer(ToRuntime::Acknowledged { state_patch: StatePatch::new() });
                // No Load is answered before.
                for load in std::mem::take(&mut self.loads) {
                    self.to_runtime.extend(destination.load(self, &load).map(|loaded| Ok(Some(loaded))));
                }
                Ok(None)
            }
            ToConnector::Load(load) if self.acknowledged => Ok(destination.load(self, &load)),
            ToConnector::Load(load) => {
                self.loads.push(load);
                Ok(None)
            }
            ToConnector::Flush { transaction } => {
                (self.transaction, self.stored) = (transaction, 0);
                self.changes.clear();
                self.completes.clear();
                self.order_of_stores.clear();
                let patch = || format!(r#"{{"flushed":{transaction}}}"#);
                let state_patch = match destination.flushes_state {
                    true => StatePatch::new().with_task(patch().as_bytes()).unwrap_or_default(),
                    false => StatePatch::new(),
                };
                Ok(Some(ToRuntime::Flushed { state_patch }))
            }
            ToConnector::Store(store) => {
                destination.store(self, &store)?;
                // Some say it at once, and some go at once too.
                match transaction_says(self.transaction) {
                    When::AtTheEnd => Ok(None),
                    when @ (When::AtOnce | When::AndGo) => {
                        let rejected = self.rejected(destination);
                        if rejected.is_some() && when == When::AndGo {
                            self.to_runtime.extend(rejected.map(|rejected| Ok(Some(rejected))));
                            self.to_runtime.push_back(Ok(None));
                            return Ok(());
                        }
                        Ok(rejected)
                    }
                }
            }
            ToConnector::Commit { transaction, checkpoint } => match self.rejected(destination) {
                Some(rejected) => Ok(Some(rejected)),
                None => destination.commit(self, transaction, checkpoint).map(Some),
            },
            ToConnector::Truncate { binding } => {
                let name = destination.whole(self, binding)?;
                self.changes.push(Change::Empty(name));
                Ok(None)
            }
            ToConnector::Backfill(Backfill { binding, begins, completes }) => {
                let name = destination.whole(self, binding)?;
                self.changes.extend(begins.then(|| Change::Begin(name.clone())));
                self.completes.extend(completes.then_some(Change::Complete(name)));
                Ok(None)
            }
        };
        match answer {
            Ok(message) => self.to_runtime.extend(message.map(|message| Ok(Some(message)))),
            Err(error) => self.to_runtime.push_back(Err(error)),
        }
        Ok(())
    }

    /// Nothing of the transaction stays where the destination has transactions; the next one under its number may be another.
    fn rejected(&mut self, destination: &mut Destination) -> Option<ToRuntime> {
        let (binding, refused) = self.refused.take()?;
        self.has_rejected = true;
        self.changes.clear();
        destination.said.remove(&self.transaction);
        let mut keys = KeysBuilder::new();
        refused.iter().for_each(|key| keys.push(key));
        let (code, reason, reasons) = ("model.poison".to_owned(), "it is poison".to_owned(), Vec::new());
        Some(ToRuntime::Rejected(Rejected { binding, keys: keys.finish()?, code, reason, reasons }))
    }

    fn answer(&mut self, message: ToRuntime) {
        self.to_runtime.push_back(Ok(Some(message)));
    }
}

impl Destination {
    /// An empty one.
    #[must_use]
    pub fn new(guarantee: Guarantee, mistake: Mistake, flushes_state: bool) -> Self {
        Self {
            guarantee,
            mistake,
            flushes_state,
            owner: None,
            rows: BTreeMap::new(),
            aside: BTreeMap::new(),
            before: BTreeMap::new(),
            logs: BTreeMap::new(),
            staged: BTreeMap::new(),
            marks: Vec::new(),
            said: BTreeMap::new(),
            is_mended: false,
        }
    }

    /// As it is now. What it was told is no part of it: who compares replays remembers it.
    #[must_use]
    pub fn backup(&self) -> Self {
        Self {
            owner: self.owner.clone(),
            rows: self.rows.clone(),
            aside: self.aside.clone(),
            before: self.before.clone(),
            logs: self.logs.clone(),
            staged: self.staged.clone(),
            marks: self.marks.clone(),
            is_mended: self.is_mended,
            ..Self::new(self.guarantee, self.mistake, self.flushes_state)
        }
    }

    /// Becomes what it was.
    pub fn restore(&mut self, backup: &Self) {
        *self = Self { said: std::mem::take(&mut self.said), ..backup.backup() };
    }

    fn opened(&mut self, connector: &mut Connector, open: Open) -> Result<ToRuntime, Error> {
        let Open { owner, bindings, transaction, plan, .. } = open;
        let bound =
            |binding: Binding| Bound { name: binding.state_key.as_str().into(), is_delta: binding.delta_updates };
        (connector.epoch, connector.bindings) = (owner.epoch, bindings.into_iter().map(bound).collect());
        (connector.committed, connector.plan) = (transaction, plan);
        let before = self.owner.clone();
        let ignores = self.mistake == Mistake::IgnoreTheFence;
        if let Some(held) = before.as_ref().filter(|held| held.epoch >= owner.epoch && !ignores) {
            return Err(Error::fenced("fence.epoch", "a newer session holds the destination").held_by(held.clone()));
        }
        let (transaction, checkpoint) =
            before.as_ref().map_or((0, Bytes::new()), |o| (o.transaction, o.checkpoint.clone()));
        self.owner = Some(Recorded { installation: owner.installation, epoch: owner.epoch, transaction, checkpoint });
        if self.mistake == Mistake::ForgetWhatIsAside {
            self.aside.clear();
        }
        let recorded = match self.guarantee {
            Guarantee::Transactional => before,
            Guarantee::Idempotent => self.owner.clone(),
            Guarantee::AtLeastOnce => None,
        };
        Ok(ToRuntime::Opened(Opened { recorded, close_policy: ClosePolicy::default() }))
    }

    /// The runtime has committed this transaction: an idempotent destination applies its plan, at most once.
    fn acknowledge(&mut self, connector: &mut Connector, transaction: u64) -> Result<(), Violation> {
        let plan = std::mem::take(&mut connector.plan);
        if self.guarantee != Guarantee::Idempotent || plan.is_empty() {
            return Ok(());
        }
        let name = parse_plan(&plan).ok_or("the destination got a plan it never gave")?;
        if name.1 != transaction {
            return Err(format!("the plan of transaction {} was acknowledged as {transaction}", name.1));
        }
        let marked = self.marks.contains(&name) && self.mistake != Mistake::NoAppliedMark;
        if marked {
            return Ok(());
        }
        let mut changes = self.staged.get(&name).cloned().ok_or_else(|| format!("nothing is staged as {name:?}"))?;
        if self.mistake == Mistake::LoseTheLastOfAPlan {
            changes.pop();
        }
        changes.into_iter().for_each(|change| self.apply(change));
        self.marks.push(name);
        if let Some(owner) = &mut self.owner {
            owner.transaction = owner.transaction.max(transaction);
        }
        Ok(())
    }

    fn load(&self, connector: &Connector, load: &Load) -> Option<ToRuntime> {
        let name = &connector.bindings.get(load.binding)?.name;
        let (mut keys, mut documents) = (KeysBuilder::new(), BatchBuilder::new(load.binding));
        let lies = self.mistake == Mistake::ExistsOfAnotherRow;
        for key in load.keys.keys() {
            let row = self.current(name).and_then(|rows| rows.get(key));
            let row = match self.mistake == Mistake::LoadAnOlderRow {
                true => self.before.get(&(Rc::clone(name), Bytes::copy_from_slice(key))).or(row),
                false => row,
            };
            if !lies && row.is_none() {
                continue;
            }
            keys.push(key);
            match row {
                Some(document) if !load.keys_only => documents.push(document),
                // One that lies has to have the key that was asked for.
                None if !load.keys_only => documents.push(format!(r#"{{"id":{}}}"#, id_of(key)).as_bytes()),
                Some(_) | None => documents.push(b"{}"),
            }
        }
        Some(ToRuntime::Loaded(Loaded { keys: keys.finish()?, documents: documents.finish()? }))
    }

    fn store(&mut self, connector: &mut Connector, store: &Store) -> Result<(), Violation> {
        let index = store.documents.binding();
        let bound = connector.bindings.get(index).ok_or("a Store for a binding that is not there")?;
        let Bound { name, is_delta } = bound.clone();
        self.same_as_before(connector, store)?;
        if store.keys.is_some() == is_delta {
            return Err(format!("binding {name}: keys go with standard bindings and with no others"));
        }
        let arena = store.documents.arena();
        for (i, document) in store.documents.documents().enumerate() {
            let key = store.keys.as_ref().and_then(|keys| Some(keys.arena().slice_ref(keys.key(i)?)));
            // Reduced, one that merges is poison still: so is every document that has the mark.
            if is_poison(document) && !self.is_mended {
                let key = key.unwrap_or_else(|| key_in(document));
                let refused = connector.refused.get_or_insert_with(|| (index, BTreeSet::new()));
                if refused.0 == index {
                    refused.1.insert(key);
                }
                continue;
            }
            if connector.refused.is_some() && self.guarantee == Guarantee::AtLeastOnce {
                // Stored now, it would be there before what comes again.
                continue;
            }
            let document = arena.slice_ref(document);
            let change = match key {
                None => Change::Append(Rc::clone(&name), document),
                Some(key) => {
                    ascending(connector, index, &key)?;
                    let exists = store.exists.get(i).copied().unwrap_or(Exists::Unknown);
                    self.is_true(connector, &name, &key, exists)?;
                    match store.deletes.get(i).copied().unwrap_or(false) {
                        true => Change::Remove(Rc::clone(&name), key),
                        false => Change::Put(Rc::clone(&name), key, document),
                    }
                }
            };
            match self.guarantee {
                Guarantee::AtLeastOnce => self.apply(change),
                Guarantee::Transactional if self.mistake == Mistake::ApplyBeforeCommit => self.apply(change),
                Guarantee::Transactional | Guarantee::Idempotent => connector.changes.push(change),
            }
        }
        Ok(())
    }

    /// Where rows are stored and looked up.
    fn current(&self, name: &str) -> Option<&Rows> {
        self.aside.get(name).or_else(|| self.rows.get(name))
    }

    /// The durable name of a binding of which something is said as a whole; in the model only databases hear of that.
    fn whole(&self, connector: &Connector, binding: usize) -> Result<Name, Violation> {
        let Bound { name, is_delta } = connector.bindings.get(binding).ok_or("a binding that is not there")?;
        match *is_delta || self.guarantee != Guarantee::Transactional {
            true => Err(format!("{name}: it did not say that it takes that")),
            false => Ok(Rc::clone(name)),
        }
    }

    /// What `exists` says is so.
    fn is_true(&self, connector: &Connector, name: &str, key: &[u8], exists: Exists) -> Result<(), Violation> {
        // A destination that stores at once has what a replay brings already.
        if self.guarantee == Guarantee::AtLeastOnce {
            return Ok(());
        }
        let goes = |change: &Change| matches!(change, Change::Empty(of) | Change::Begin(of) if **of == *name);
        let there =
            !connector.changes.iter().any(goes) && self.current(name).is_some_and(|rows| rows.contains_key(key));
        let key = || text(key);
        match exists {
            Exists::Unknown => Err(format!("{name} {}: it asked to know what exists and was not told", key())),
            Exists::Present if !there => Err(format!("{name} {}: said to exist and does not", key())),
            Exists::Absent if there => Err(format!("{name} {}: said not to exist and does", key())),
            Exists::Present | Exists::Absent => Ok(()),
        }
    }

    /// Where the runtime promises it, the same transaction is the same Stores.
    fn same_as_before(&mut self, connector: &mut Connector, store: &Store) -> Result<(), Violation> {
        if self.guarantee != Guarantee::AtLeastOnce && !self.flushes_state {
            return Ok(());
        }
        let said = self.said.entry(connector.transaction).or_default();
        match said.get(connector.stored) {
            Some(before) if !alike(before, store) => {
                return Err(format!(
                    "transaction {}: its Store {} is not what it was",
                    connector.transaction, connector.stored
                ));
            }
            Some(_) => {}
            None => said.push(store.clone()),
        }
        connector.stored += 1;
        Ok(())
    }

    fn commit(&mut self, connector: &mut Connector, transaction: u64, checkpoint: Bytes) -> Result<ToRuntime, Error> {
        let changes = std::mem::take(&mut connector.changes);
        let mut committed = Committed::default();
        match self.guarantee {
            Guarantee::Transactional => {
                let mistake = self.mistake;
                let passes = |owner: &&mut Recorded| match mistake == Mistake::FenceByNumber {
                    true => owner.transaction < transaction,
                    false => owner.epoch == connector.epoch || mistake == Mistake::IgnoreTheFence,
                };
                let Some(owner) = self.owner.as_mut().filter(passes) else {
                    return Err(Error::fenced("fence.commit", "a newer session holds the destination"));
                };
                owner.transaction = transaction;
                if mistake != Mistake::CommitAnOlderCheckpoint || !transaction.is_multiple_of(3) {
                    owner.checkpoint = checkpoint;
                }
                let completes = std::mem::take(&mut connector.completes);
                let (first, then) = match mistake == Mistake::CompleteBeforeTheRows {
                    true => (completes, changes),
                    false => (changes, completes),
                };
                first.into_iter().chain(then).for_each(|change| self.apply(change));
            }
            Guarantee::Idempotent => {
                let epoch = if self.mistake == Mistake::StagedNamesWithoutEpoch { 0 } else { connector.epoch };
                self.staged.entry((epoch, transaction)).or_default().extend(changes);
                committed.plan = Bytes::from(format!("{epoch} {transaction}"));
                connector.plan = committed.plan.clone();
            }
            Guarantee::AtLeastOnce => {}
        }
        connector.acknowledged = false;
        connector.committed = transaction;
        Ok(ToRuntime::Committed(committed))
    }

    fn current_mut(&mut self, name: &Name) -> &mut Rows {
        match self.aside.get_mut(name) {
            Some(aside) => aside,
            None => self.rows.entry(Rc::clone(name)).or_default(),
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Put(name, key, document) if self.mistake == Mistake::LoadAnOlderRow => {
                let before = self.current_mut(&name).insert(key.clone(), document);
                self.before.extend(before.map(|before| ((name, key), before)));
            }
            Change::Put(name, key, document) => drop(self.current_mut(&name).insert(key, document)),
            Change::Remove(..) if self.mistake == Mistake::LoseDeletes => {}
            Change::Remove(name, key) => drop(self.current_mut(&name).remove(&key)),
            Change::Empty(_) if self.mistake == Mistake::LoseTruncates => {}
            Change::Empty(name) => self.current_mut(&name).clear(),
            Change::Begin(name) => drop(self.aside.insert(name, Rows::new())),
            Change::Complete(name) => {
                if let Some(rows) = self.aside.remove(&name) {
                    self.rows.insert(name, rows);
                }
            }
            Change::Append(name, document) => {
                let log = self.logs.entry(name).or_default();
                log.extend((self.mistake == Mistake::StoreTwice).then(|| document.clone()));
                log.push(document);
            }
        }
    }
}

/// When a connector says that it refuses something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    AtTheEnd,
    AtOnce,
    AndGo,
}

fn transaction_says(transaction: u64) -> When {
    match transaction % 3 {
        0 => When::AtTheEnd,
        1 => When::AtOnce,
        2.. => When::AndGo,
    }
}

/// What stands in a key of one part.
fn id_of(key: &[u8]) -> String {
    text(key).trim_matches(['[', ']']).to_owned()
}

/// Bindings together, keys ascending, each once.
fn ascending(connector: &mut Connector, binding: usize, key: &[u8]) -> Result<(), Violation> {
    let mut encoded = Vec::new();
    encode_json_key_into(key, &mut encoded).map_err(|error| error.to_string())?;
    let stored = &mut connector.order_of_stores;
    let ascends = match stored.last_mut() {
        Some((last, before)) if *last == binding => {
            let ascends = *before < encoded;
            *before = encoded;
            ascends
        }
        Some(_) | None => {
            let is_new = stored.iter().all(|(other, _)| *other != binding);
            stored.push((binding, encoded));
            is_new
        }
    };
    match ascends {
        true => Ok(()),
        false => {
            let key = text(key);
            Err(format!("binding {binding}: key {key} does not ascend, or the binding's Stores are apart"))
        }
    }
}

/// Indexes live in one session: what counts is what is stored. `exists` may have changed with a Store that was not undone.
fn alike(a: &Store, b: &Store) -> bool {
    let same_documents = a.documents.arena() == b.documents.arena() && a.documents.ends() == b.documents.ends();
    same_documents && a.keys == b.keys && a.deletes == b.deletes
}

fn parse_plan(plan: &[u8]) -> Option<(u64, u64)> {
    let (epoch, transaction) = std::str::from_utf8(plan).ok()?.split_once(' ')?;
    Some((epoch.parse().ok()?, transaction.parse().ok()?))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
