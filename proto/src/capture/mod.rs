//! The capture protocol: its messages as typed values, and their order.

pub mod message;
pub mod order;
