//! The machines, what happens to the network between them, and what must hold when all is over.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use longshore::journal::JournalId;
use longshore::journal::storage::sim::SimStorage;
use longshore::store::MemoryStore;
use longshore_sdk::materialize::transactional;
use longshore_sdk::testing::network::{serve_capture, serve_materialize};
use tokio::sync::watch;
use turmoil::Sim;
use turmoil::net::TcpListener;

use crate::runtime::{self, Machine, Seen};
use crate::scenario::{Event, Fault, Host, Scenario};
use crate::sink::{Destination, Sink};
use crate::source::{Memory, Source};
use crate::wire::{self, Wire};
use crate::{PORT, Shared, TOKEN, Violation};
use longshore_tests::sim::dice::{Dice, hash};

/// The network's clock goes on by so much at a time, and a message goes no further: what happens on a machine meanwhile takes no time.
const TICK: Duration = Duration::from_millis(40);
/// After the last fault, and what it takes to find out about it, all must be done within this, or it stands still.
const REST_MAX: Duration = Duration::from_secs(1_200);
/// Between the end of a connector's process, and of a runtime's, and the next one.
const RESTART: Duration = Duration::from_millis(300);
/// The machine with the runtime.
const RUNTIME: &str = "runtime";
/// Bytes that pass before a connection breaks are below this.
const BREAKS_BYTES: u64 = 6_000;
/// So many bytes pass a few at a time.
const LITTLE_BYTES: u64 = 3_000;

/// How a run went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How often each fault was there.
    pub fired: BTreeMap<Fault, u64>,
    /// Sessions begun, of both tasks.
    pub sessions: u64,
    /// Transactions of the destination.
    pub transactions: u64,
    /// By the code of their errors, how sessions ended.
    pub ended: BTreeMap<String, u64>,
    /// What it took of the network's time, in milliseconds.
    pub milliseconds: u64,
    /// Keys in a transaction were more than windows and queues hold.
    pub wide: u64,
}

/// A run in which a rule was broken.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The rule.
    pub violation: Violation,
    /// It stood still.
    pub is_stall: bool,
    /// What was to fail.
    pub events: Vec<Event>,
    /// How far it had come.
    pub report: Report,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.violation)?;
        for Event { at, fault, host, lasts } in &self.events {
            writeln!(f, "  {:>6} ms  {fault:?} of {} for {} ms", at.as_millis(), host.name(), lasts.as_millis())?;
        }
        let Report { sessions, transactions, ended, milliseconds, .. } = &self.report;
        write!(
            f,
            "  {sessions} sessions, {transactions} transactions, {milliseconds} ms; sessions ended with {ended:?}"
        )
    }
}

/// Runs a scenario to its end.
pub fn run(scenario: Scenario) -> Result<Report, Box<Failure>> {
    let mut world = World::new(Arc::new(scenario));
    let end = world.run();
    let report = world.report();
    let is_stall = end == Err(End::Stall);
    let violation = match end.and_then(|()| world.verify().map_err(End::Rule)) {
        Ok(()) => return Ok(report),
        Err(End::Rule(violation)) => violation,
        Err(End::Stall) => {
            format!("nothing more happens: it is not done {} s after the last fault", REST_MAX.as_secs())
        }
    };
    let (seed, events) = (world.scenario.seed, world.scenario.events.clone());
    Err(Box::new(Failure { seed, violation, is_stall, events, report }))
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Rule(Violation),
    Stall,
}

/// A machine with a connector, from outside.
#[derive(Debug, Clone)]
struct Outside {
    wires: Shared<wire::State>,
    /// Goes up when whoever serves there shall leave.
    leave: watch::Sender<u64>,
}

struct World<'a> {
    scenario: Arc<Scenario>,
    sim: Sim<'a>,
    hosts: [(Host, Outside); 2],
    seen: Shared<Seen>,
    memory: Shared<Memory>,
    destination: Shared<Destination>,
    dice: Dice,
    /// What ends, and when.
    ends: Vec<(Duration, Event)>,
    fired: BTreeMap<Fault, u64>,
}

impl World<'_> {
    fn new(scenario: Arc<Scenario>) -> Self {
        let mut sim = turmoil::Builder::new()
            .rng_seed(scenario.seed)
            .tick_duration(TICK)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(scenario.latency)
            // The end is looked for here.
            .simulation_duration(Duration::MAX)
            .build();
        let (memory, destination) = (Shared::new(Memory::default()), Shared::new(Destination::default()));
        let outside = || Outside { wires: Shared::default(), leave: watch::Sender::new(0) };
        let hosts = [(Host::Source, outside()), (Host::Sink, outside())];
        for (host, outside) in &hosts {
            let (host, outside, scenario) = (*host, outside.clone(), Arc::clone(&scenario));
            let (memory, destination) = (memory.clone(), destination.clone());
            sim.host(host.name(), move || {
                let (outside, scenario) = (outside.clone(), Arc::clone(&scenario));
                let (memory, destination) = (memory.clone(), destination.clone());
                async move {
                    loop {
                        serve(host, &outside, &scenario, memory.clone(), destination.clone()).await?;
                        tokio::time::sleep(RESTART).await;
                    }
                }
            });
        }
        let seen = Shared::new(Seen::default());
        let mut fresh = [0; 16];
        fresh[..8].copy_from_slice(&hash(&[scenario.seed, 1]).to_le_bytes());
        let machine = Machine {
            disk: SimStorage::default(),
            store: Arc::new(MemoryStore::default()),
            fresh_id: JournalId(fresh),
            seen: seen.clone(),
        };
        sim.host(RUNTIME, move || {
            let machine = machine.clone();
            async move { Ok(runtime::run(machine).await?) }
        });
        let dice = Dice::new(hash(&[scenario.seed, 2]));
        Self { scenario, sim, hosts, seen, memory, destination, dice, ends: Vec::new(), fired: BTreeMap::new() }
    }

    fn run(&mut self) -> Result<(), End> {
        let mut coming = self.scenario.events.clone();
        coming.reverse();
        let mut quiet_since = Duration::ZERO;
        while !self.seen.lock().is_done {
            let now = self.sim.elapsed();
            while let Some(event) = coming.pop_if(|event| event.at <= now) {
                quiet_since = now;
                self.begin(event, now);
            }
            while let Some(at) = self.ends.iter().position(|(end, _)| *end <= now) {
                quiet_since = now;
                let (_, event) = self.ends.swap_remove(at);
                self.end(event);
            }
            self.sim.step().map_err(|error| End::Rule(format!("a machine failed: {error}")))?;
            if let Some(violation) = self.violation() {
                return Err(End::Rule(violation));
            }
            if coming.is_empty() && self.ends.is_empty() && now > quiet_since + REST_MAX {
                return Err(End::Stall);
            }
        }
        Ok(())
    }

    fn outside(&self, host: Host) -> &Outside {
        match host {
            Host::Source => &self.hosts[0].1,
            Host::Sink => &self.hosts[1].1,
        }
    }

    fn begin(&mut self, event: Event, now: Duration) {
        let Event { fault, host, lasts, .. } = event;
        let name = host.name();
        let (breaks, little) = (1 + self.dice.below(BREAKS_BYTES), 1 + self.dice.below(LITTLE_BYTES));
        let wires = self.outside(host).wires.clone();
        let mut lasting = Some(lasts);
        match fault {
            Fault::Cut => self.sim.partition(RUNTIME, name),
            Fault::CutThither => self.sim.partition_oneway(RUNTIME, name),
            Fault::CutHither => self.sim.partition_oneway(name, RUNTIME),
            Fault::Held => self.sim.hold(RUNTIME, name),
            Fault::Frozen => wires.lock().frozen = true,
            Fault::Deaf => wires.lock().deaf = true,
            Fault::Crash => {
                self.sim.crash(name);
                lasting = Some(RESTART);
            }
            Fault::RuntimeCrash => {
                self.sim.crash(RUNTIME);
                lasting = Some(RESTART);
            }
            Fault::Leave => {
                self.outside(host).leave.send_modify(|times| *times += 1);
                lasting = None;
            }
            Fault::Reset => {
                wires.lock().breaks_after = Some(breaks);
                lasting = None;
            }
            Fault::Slow => {
                wires.lock().little = little;
                lasting = None;
            }
        }
        *self.fired.entry(fault).or_default() += 1;
        self.ends.extend(lasting.map(|lasts| (now + lasts, event)));
    }

    /// Two at a time end each other: then what is there longest has less than its time.
    fn end(&mut self, Event { fault, host, .. }: Event) {
        let name = host.name();
        match fault {
            Fault::Cut => self.sim.repair(RUNTIME, name),
            Fault::CutThither => self.sim.repair_oneway(RUNTIME, name),
            Fault::CutHither => self.sim.repair_oneway(name, RUNTIME),
            Fault::Held => self.sim.release(RUNTIME, name),
            Fault::Frozen => self.outside(host).wires.lock().thaw(),
            Fault::Deaf => self.outside(host).wires.lock().listen(),
            Fault::Crash => self.sim.bounce(name),
            Fault::RuntimeCrash => self.sim.bounce(RUNTIME),
            Fault::Leave | Fault::Reset | Fault::Slow => {}
        }
    }

    fn violation(&self) -> Option<Violation> {
        let seen = self.seen.lock().violation.clone();
        seen.or_else(|| self.memory.lock().violation.clone()).or_else(|| self.destination.lock().violation.clone())
    }

    /// Every document once in the log, in order, and the last one of each key in the rows.
    fn verify(&self) -> Result<(), Violation> {
        let destination = self.destination.lock();
        let all: Vec<_> = (1..=self.scenario.transactions()).flat_map(|t| self.scenario.documents(t)).collect();
        let differs = destination.log.iter().zip(&all).position(|(got, expected)| got != expected.json.as_bytes());
        if let Some(at) = differs {
            return Err(format!("the log has another document than the source at {at}"));
        }
        if destination.log.len() != all.len() {
            return Err(format!("the log has {} documents, the source {}", destination.log.len(), all.len()));
        }
        let rows: BTreeMap<Vec<u8>, Bytes> =
            all.into_iter().map(|document| (document.key.into_bytes(), Bytes::from(document.json))).collect();
        if destination.rows != rows {
            return Err(format!("{} rows are not the {} expected", destination.rows.len(), rows.len()));
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let seen = self.seen.lock();
        Report {
            fired: self.fired.clone(),
            sessions: seen.sessions,
            transactions: self.destination.lock().transactions,
            ended: seen.ended.clone(),
            milliseconds: u64::try_from(self.sim.elapsed().as_millis()).unwrap_or(u64::MAX),
            wide: self.scenario.is_wide().into(),
        }
    }
}

/// One process of a connector: until it is asked to leave.
async fn serve(
    host: Host,
    outside: &Outside,
    scenario: &Arc<Scenario>,
    memory: Shared<Memory>,
    destination: Shared<Destination>,
) -> turmoil::Result {
    let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT)).await?;
    let wires = outside.wires.clone();
    let incoming = unfold((listener, wires), |(listener, wires)| async move {
        let stream = listener.accept().await.map(|(stream, _)| Wire::new(stream, wires.clone()));
        Some((stream, (listener, wires)))
    });
    let mut asked = outside.leave.subscribe();
    asked.mark_unchanged();
    let leave = async move {
        if asked.changed().await.is_err() {
            std::future::pending().await
        }
    };
    match host {
        Host::Source => {
            let source = Arc::new(Source::new(Arc::clone(scenario), memory));
            serve_capture(source, TOKEN, incoming, leave).await?;
        }
        Host::Sink => {
            let sink = Sink::new(Arc::clone(scenario), destination);
            serve_materialize(transactional(sink), TOKEN, incoming, leave).await?;
        }
    }
    Ok(())
}
