//! What a relay may carry: the pairs of an allow list, and the addresses that none of them ever means.
//!
//! The runtime reads catalogs with it, the relay its arguments, so there is one rule for both. Does no IO; the relay itself is `main.rs`.

pub mod address;
pub mod pair;

pub use pair::{Pair, Refused};
