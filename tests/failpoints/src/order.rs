//! Orders: a directory with a file for each. Who obeys one renames its file before it does so, and writes into it who it was: so that whoever
//! gave the orders knows, and no successor obeys the same one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Plant, Step};

/// Behind the number of an order that was obeyed.
const OBEYED: &str = "obeyed";
/// Names the mistake that is to be made.
const PLANTED: &str = "planted";

/// What a process does at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It is killed: SIGKILL.
    Die,
    /// It stands still, with all of its threads, until somebody sends SIGCONT.
    Freeze,
}

/// Do it at a step, when a process passes it for the so manieth time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Where.
    pub step: Step,
    /// Counted from 1, in each process.
    pub pass: u32,
    /// What.
    pub deed: Deed,
}

/// An order that was obeyed.
#[derive(Debug, Clone)]
pub struct Obeyed {
    /// Which.
    pub order: Order,
    /// By which program,
    pub program: String,
    /// and which process.
    pub process: u32,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deed = match self.deed {
            Deed::Die => "die",
            Deed::Freeze => "freeze",
        };
        write!(f, "{deed} {} {}", self.step.name(), self.pass)
    }
}

impl Order {
    fn parse(text: &str) -> Option<Self> {
        let (deed, rest) = text.split_once(' ')?;
        let (step, pass) = rest.split_once(' ')?;
        let deed = [("die", Deed::Die), ("freeze", Deed::Freeze)].into_iter().find(|(word, _)| *word == deed)?.1;
        Some(Self { step: Step::named(step)?, pass: pass.parse().ok()?, deed })
    }
}

/// Writes orders into a directory, which is made.
///
/// # Errors
/// When it cannot be written to.
pub fn give(directory: &Path, orders: &[Order]) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut numbered = orders.iter().enumerate();
    numbered.try_for_each(|(number, order)| std::fs::write(directory.join(number.to_string()), order.to_string()))
}

/// Has all processes make a mistake.
///
/// # Errors
/// When the directory cannot be written to.
pub fn plant(directory: &Path, plant: Plant) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join(PLANTED), plant.name())
}

#[cfg(debug_assertions)]
pub(crate) fn planted(directory: &Path) -> Option<String> {
    std::fs::read_to_string(directory.join(PLANTED)).ok()
}

/// Those that were obeyed.
#[must_use]
pub fn obeyed(directory: &Path) -> Vec<Obeyed> {
    let of_file = |path: PathBuf| {
        path.extension().filter(|extension| *extension == OBEYED)?;
        let text = std::fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        let order = Order::parse(lines.next()?)?;
        let (process, program) = lines.next()?.split_once(' ')?;
        Some(Obeyed { order, program: program.to_owned(), process: process.parse().ok()? })
    };
    files(directory).into_iter().filter_map(of_file).collect()
}

/// Those that nobody obeyed yet, and where they are written.
#[cfg(debug_assertions)]
pub(crate) fn waiting(directory: &Path) -> Vec<(PathBuf, Order)> {
    let of_file = |path: PathBuf| {
        let order = Order::parse(&std::fs::read_to_string(&path).ok()?)?;
        Some((path, order))
    };
    files(directory).into_iter().filter_map(of_file).collect()
}

/// Takes an order as this program's to obey; false: somebody else has.
#[cfg(debug_assertions)]
pub(crate) fn take(path: &Path, program: &str) -> bool {
    let taken = path.with_extension(OBEYED);
    let order = std::fs::read_to_string(path).unwrap_or_default();
    let whole = format!("{order}\n{} {program}\n", std::process::id());
    std::fs::rename(path, &taken).is_ok() && std::fs::write(taken, whole).is_ok()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_is_written() {
        for &step in Step::ALL {
            for deed in [Deed::Die, Deed::Freeze] {
                let order = Order { step, pass: 7, deed };
                assert_eq!(Order::parse(&order.to_string()), Some(order));
            }
            assert_eq!(Step::named(step.name()), Some(step), "names are different");
        }
        assert_eq!(Order::parse("die nowhere 1"), None);
    }
}
