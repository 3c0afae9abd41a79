//! Fail points: the steps of the protocol at which a test may kill a process, and mistakes that it may have one make.
//!
//! The runtime and the SDK say [`reached`] where they pass a [`Step`], and ask [`is_planted`] where they could make a mistake. In a build with
//! debug assertions, and there alone, a process that finds [`VARIABLE`] in its environment looks into that directory, and dies or stands still
//! where an [`Order`] says so. A release build has none of this: nothing is done, nothing is planted. Which steps and mistakes there are is said here and
//! nowhere else; `cargo xtask killmatrix` goes through all of them, but for the mistakes that
//! a network shows: `cargo xtask netsim` does.

#[cfg(debug_assertions)]
mod obey;
mod order;
mod plant;
mod step;

pub use order::{Deed, Obeyed, Order, give, obeyed, plant};
pub use plant::Plant;
pub use step::{Often, Step};

/// Names the directory with the orders. The runtime passes it on to its connectors, which get nothing else of its environment that they
/// could do without.
pub const VARIABLE: &str = "LONGSHORE_FAILPOINTS";

/// A process passes a step, and may die there.
#[inline]
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "nobody dies in a release build"))]
pub fn reached(step: Step) {
    #[cfg(debug_assertions)]
    obey::reached(step);
}

/// Whether this process makes a mistake on purpose.
#[inline]
#[must_use]
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "nothing is planted in a release build"))]
pub fn is_planted(plant: Plant) -> bool {
    #[cfg(debug_assertions)]
    return obey::is_planted(plant);
    #[cfg(not(debug_assertions))]
    false
}

/// Has this process make a mistake from now on, or none. In a release build it never does.
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "nothing is planted in a release build"))]
pub fn plant_here(plant: Option<Plant>) {
    #[cfg(debug_assertions)]
    obey::plant_here(plant);
}

/// What a process that starts another one gives it to know.
#[must_use]
pub fn passed_on() -> Option<(&'static str, std::ffi::OsString)> {
    if cfg!(debug_assertions) { Some((VARIABLE, std::env::var_os(VARIABLE)?)) } else { None }
}
