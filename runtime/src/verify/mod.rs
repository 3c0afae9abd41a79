//! Whether a destination has what its source has: what `longshore verify` compares, and what it makes of it.
//!
//! Source and destination never stand still together, so both are looked at around a **common checkpoint**: the run is brought up to date, and
//! both ends give checksums by key range ([`longshore_proto::verify`]). Ranges that differ are looked at row by row: rows of the source, then
//! the run is brought up to date once more, then rows of the destination. A key of which the journal got a document between the two moments
//! was on its way, and says nothing ([`history::touched`]); it is looked at again. Every other key stands at both ends as of one checkpoint:
//! before the source was read, all that had happened there was captured, and what has happened since would be in the journal. So a row that
//! differs there differs for good ([`compare`]), and what the journal has of its key tells on which side of it that came about ([`explain`]).
//!
//! Which bindings can be compared, and what of their rows, is found in [`subject`]. The verb itself is [`crate::cli`]'s.

pub mod compare;
pub mod explain;
pub mod history;
pub mod subject;

#[cfg(test)]
mod tests;
