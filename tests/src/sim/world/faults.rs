//! What fails, and how: each fault strikes between two steps, or inside the next operation of the disk or the store.

use longshore::journal::storage::sim::Plan;
use longshore::store::TaskStore;
use longshore_proto::materialize::message::Guarantee;

use super::{Noted, SESSIONS_MIN, World, bindings};
use crate::sim::Violation;
use crate::sim::destination::Connector;
use crate::sim::dice::Dice;
use crate::sim::materialize::MaterializeTask;

/// What goes wrong, and when.
#[derive(Debug, Clone)]
pub enum Faults {
    /// Nothing.
    None,
    /// Anything, as the dice say, until they have calmed down.
    Random,
    /// This, once, before this step.
    At(u64, Fault),
    /// The runtime ends at this operation of the disk; with a power cut or without.
    Disk(u64, bool),
    /// These, each before its step: what was left of a run that failed.
    These {
        /// In order.
        faults: Vec<(u64, Fault)>,
        /// The run calms down here.
        calm_from: u64,
    },
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Fault {
    /// Everything on the machine ends, what was not synced is lost or not.
    PowerCut,
    /// The runtime ends; a connector may go on for a while.
    RuntimeKill,
    SourceKill,
    DestinationKill,
    /// The stream to the destination's connector breaks, and it goes on with what it has.
    Zombie,
    StopCapture,
    StopMaterialization,
    /// A commit of the task store fails, and nobody knows whether it was done.
    StoreFails,
    SyncFails,
    ShortWrite,
    /// The runtime ends inside an operation of the disk.
    DiskStops,
    /// The destination is restored from an older backup.
    Restore,
    /// The user adds a binding.
    AddBinding,
}

impl Fault {
    /// Every one.
    pub const ALL: [Self; 13] = [
        Self::PowerCut,
        Self::RuntimeKill,
        Self::SourceKill,
        Self::DestinationKill,
        Self::Zombie,
        Self::StopCapture,
        Self::StopMaterialization,
        Self::StoreFails,
        Self::SyncFails,
        Self::ShortWrite,
        Self::DiskStops,
        Self::Restore,
        Self::AddBinding,
    ];
    /// Those that end a session whenever they strike.
    const ENDS: [Self; 4] = [Self::PowerCut, Self::RuntimeKill, Self::SourceKill, Self::DestinationKill];

    /// Some of them, and at least one that ends a session.
    pub(super) fn swarm(chance: &mut Dice) -> Vec<Self> {
        let mut some: Vec<Self> = Self::ALL.into_iter().filter(|_| chance.once_in(2)).collect();
        let end = Self::ENDS[chance.below(Self::ENDS.len() as u64) as usize];
        if !some.contains(&end) {
            some.push(end);
        }
        some
    }
}

impl World {
    /// Faults end when it is time, and enough has happened for the run to count.
    pub(super) fn calm_down(&mut self) {
        let is_enough = match &self.options.faults {
            Faults::Random => self.report.sessions >= SESSIONS_MIN && !self.report.fired.is_empty(),
            Faults::None | Faults::At(..) | Faults::Disk(..) | Faults::These { .. } => true,
        };
        if self.calm_since.is_none() && self.report.steps >= self.calm_from && is_enough {
            self.calm_since = Some(self.report.steps);
        }
    }

    /// What strikes before this step.
    pub(super) fn due_faults(&mut self) -> Vec<Fault> {
        let now = self.report.steps;
        match &self.options.faults {
            Faults::Random if self.calm_since.is_none() && self.chance.once_in(self.rarely) => {
                vec![self.swarm[self.chance.below(self.swarm.len() as u64) as usize]]
            }
            Faults::At(step, fault) if *step == now => vec![*fault],
            Faults::These { faults, .. } => {
                faults.iter().filter(|(step, _)| *step == now).map(|(_, fault)| *fault).collect()
            }
            Faults::None | Faults::Random | Faults::At(..) | Faults::Disk(..) => Vec::new(),
        }
    }

    /// The disk's plan stopped the runtime.
    pub(super) fn end_of_process(&mut self) {
        *self.report.fired.entry(Fault::DiskStops).or_default() += 1;
        let power = match &self.options.faults {
            Faults::Disk(_, power) => *power,
            Faults::None | Faults::Random | Faults::At(..) | Faults::These { .. } => self.dice.once_in(2),
        };
        self.runtime_over(power);
    }

    pub(super) fn runtime_over(&mut self, power: bool) {
        let connector = self.materialization_over();
        self.runtime = None;
        if power {
            self.zombies.clear();
            let dice = &mut self.dice;
            self.disk.power_cut(&mut |bound| dice.below(bound));
        } else {
            self.disk.restart();
            if self.dice.once_in(2) {
                self.leave_behind(connector);
            }
        }
    }

    /// A connector that nobody killed. An at-least-once destination has nothing against it: its supervisor reaps it first.
    fn leave_behind(&mut self, connector: Option<Connector>) {
        if self.options.guarantee != Guarantee::AtLeastOnce {
            self.zombies.extend(connector);
        }
    }

    pub(super) fn strike(&mut self, fault: Fault) -> Result<(), Violation> {
        self.note(Noted::Fault(fault));
        let soon = self.dice.below(8);
        let Some(runtime) = &mut self.runtime else { return Ok(()) };
        let mut fired = true;
        match fault {
            Fault::PowerCut => self.runtime_over(true),
            Fault::RuntimeKill => self.runtime_over(false),
            Fault::SourceKill => runtime.capture = None,
            Fault::DestinationKill => drop(self.materialization_over()),
            Fault::Zombie => {
                let connector = self.materialization_over();
                fired = connector.is_some() && self.options.guarantee != Guarantee::AtLeastOnce;
                self.leave_behind(connector);
            }
            Fault::StopCapture => {
                let stopped = runtime.capture.as_mut().map(|task| task.stop(&mut self.source));
                match stopped {
                    Some(Ok(Some(end))) => self.capture_ended(end),
                    Some(Err(broken)) => self.session_ended(broken, false)?,
                    Some(Ok(None)) => {}
                    None => fired = false,
                }
            }
            Fault::StopMaterialization => match runtime.materialization.as_mut().map(MaterializeTask::stop) {
                Some(done) => self.materialized(done)?,
                None => fired = false,
            },
            Fault::StoreFails => self.store.stop_at(Some(soon % 3)),
            Fault::SyncFails => self.disk.plan(Plan { sync_error_at: Some(soon), ..Plan::default() }),
            Fault::ShortWrite => self.disk.plan(Plan { short_write_at: Some(soon), ..Plan::default() }),
            Fault::DiskStops => {
                self.disk.plan(Plan { stop_at: Some(soon), ..Plan::default() });
                // It counts when it strikes.
                fired = false;
            }
            Fault::Restore => fired = self.restore(),
            Fault::AddBinding => {
                // On a trimmed journal it would be refused.
                let of_capture = self.store.load("capture");
                let is_trimmed = !of_capture.is_ok_and(|of| of.is_none_or(|of| of.trimmed.is_none()));
                fired = !self.has_late && !is_trimmed;
                self.has_late |= fired;
                self.bindings = bindings(self.reduces, self.has_late);
                // The user's change comes with a new session.
                drop(self.materialization_over());
            }
        }
        if fired {
            *self.report.fired.entry(fault).or_default() += 1;
        }
        Ok(())
    }

    /// A transactional destination holds its own checkpoint: what it was, it may be again.
    fn restore(&mut self) -> bool {
        if self.options.guarantee != Guarantee::Transactional || self.backups.is_empty() {
            return false;
        }
        // Newer ones are of a history that is no more: restored later, they would be a destination that knows more than we, a stop.
        self.backups.truncate(self.dice.below(self.backups.len() as u64) as usize + 1);
        drop(self.materialization_over());
        self.zombies.clear();
        let Some(backup) = self.backups.last() else { return false };
        self.destination.restore(backup);
        true
    }

    /// A transactional destination that has something: an empty one is a destination that was lost, which is a stop.
    pub(super) fn may_be_backed_up(&self) -> bool {
        let has_some = self.destination.owner.as_ref().is_some_and(|owner| owner.transaction > 0);
        self.options.guarantee == Guarantee::Transactional && has_some && self.report.steps.is_multiple_of(16)
    }
}
