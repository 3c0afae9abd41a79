//! The capture protocol: its messages as typed values, and their order.

mod encode;
pub mod message;
pub mod order;
mod parse;
