//! The process's side of it. Only in a build with debug assertions.

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::process::{Signal, getpid, kill_process};

use crate::order::{self, Order};
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
    // Held while it dies: no other thread passes a step then.
    let mut heard = heard();
    if heard.must_die(step) {
        kill_process(getpid(), Signal::KILL).ok();
        // It comes at once.
        loop {
            std::thread::park();
        }
    }
}

pub(crate) fn is_planted(plant: Plant) -> bool {
    heard().planted.as_deref() == Some(plant.name())
}

fn heard() -> MutexGuard<'static, Heard> {
    HEARD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heard {
    fn of(directory: &Path) -> Self {
        let orders = order::waiting(directory).into_iter().map(|(path, order)| (path, order, 0)).collect();
        Self { orders, planted: order::planted(directory) }
    }

    /// Whether this pass of a step is the one that an order is for. Of several processes that come to it, one takes the order.
    fn must_die(&mut self, step: Step) -> bool {
        for (path, order, passes) in &mut self.orders {
            if order.step == step {
                *passes += 1;
                if *passes == order.pass && order::take(path, &program()) {
                    return true;
                }
            }
        }
        false
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
        give(path, &[Order { step: first, pass: 2 }, Order { step: second, pass: 1 }]).expect("to write");
        let (mut one, mut other) = (Heard::of(path), Heard::of(path));
        assert!(!one.must_die(first) && !other.must_die(first), "the first pass of each");
        assert!(one.must_die(first));
        assert!(!other.must_die(first), "another one took it");
        let mut successor = Heard::of(path);
        assert!(!successor.must_die(first) && !successor.must_die(first), "nobody dies of it twice");
        assert!(successor.must_die(second));
        let steps: Vec<Step> = obeyed(path).into_iter().map(|(order, _)| order.step).collect();
        assert_eq!(steps, [first, second]);
        assert!(obeyed(path).iter().all(|(_, who)| *who == program()), "{:?}", obeyed(path));
    }
}
