//! The process's side of it. Only in a build with debug assertions.

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::process::{Signal, getpid, kill_process};

use crate::order::{self, Deed, Order};
use crate::{Plant, Step, VARIABLE};

static HEARD: LazyLock<Mutex<Heard>> = LazyLock::new(|| {
    let directory = std::env::var_os(VARIABLE).map(PathBuf::from);
    Mutex::new(directory.as_deref().map(Heard::of).unwrap_or_default())
});

/// The orders there were when this process passed its first step.
#[derive(Debug, Default)]
struct Heard {
    /// Where each is written, and how often its step was passed here.
    orders: Vec<(PathBuf, Order, u32)>,
    planted: Option<String>,
}

pub(crate) fn reached(step: Step) {
    // Held while it obeys: no other thread passes a step then.
    let mut heard = heard();
    match heard.due(step) {
        None => {}
        Some(Deed::Die) => {
            kill_process(getpid(), Signal::KILL).ok();
            // It comes at once.
            loop {
                std::thread::park();
            }
        }
        Some(Deed::Freeze) => {
            kill_process(getpid(), Signal::STOP).ok();
        }
    }
}

pub(crate) fn is_planted(plant: Plant) -> bool {
    heard().planted.as_deref() == Some(plant.name())
}

pub(crate) fn plant_here(plant: Option<Plant>) {
    heard().planted = plant.map(|plant| plant.name().to_owned());
}

fn heard() -> MutexGuard<'static, Heard> {
    HEARD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heard {
    fn of(directory: &Path) -> Self {
        let orders = order::waiting(directory).into_iter().map(|(path, order)| (path, order, 0)).collect();
        Self { orders, planted: order::planted(directory) }
    }

    /// What is to be done, if this pass of a step is the one that an order is for. Of several processes that come to it, one takes the order.
    fn due(&mut self, step: Step) -> Option<Deed> {
        for (path, order, passes) in &mut self.orders {
            if order.step == step {
                *passes += 1;
                if *passes == order.pass && order::take(path, &program()) {
                    return Some(order.deed);
                }
            }
        }
        None
    }
}

fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{give, obeyed};

    #[test]
    fn an_order_is_obeyed_at_its_pass_by_one_process_and_never_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let (first, second) = (Step::CaptureDurable, Step::MaterializePersisted);
        let order = |step, pass, deed| Order { step, pass, deed };
        give(path, &[order(first, 2, Deed::Die), order(second, 1, Deed::Freeze)]).expect("to write");
        let (mut one, mut other) = (Heard::of(path), Heard::of(path));
        assert_eq!([one.due(first), other.due(first)], [None, None], "the first pass of each");
        assert_eq!(one.due(first), Some(Deed::Die));
        assert_eq!(other.due(first), None, "another one took it");
        let mut successor = Heard::of(path);
        assert_eq!([successor.due(first), successor.due(first)], [None, None], "nobody dies of it twice");
        assert_eq!(successor.due(second), Some(Deed::Freeze));
        let steps: Vec<Step> = obeyed(path).into_iter().map(|obeyed| obeyed.order.step).collect();
        assert_eq!(steps, [first, second]);
        let is_of_us = |obeyed: &crate::Obeyed| (&obeyed.program, obeyed.process) == (&program(), std::process::id());
        assert!(obeyed(path).iter().all(is_of_us), "{:?}", obeyed(path));
    }
}
