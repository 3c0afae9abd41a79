//! Values of the server in documents: what a column's type is to one ([`types`]), what a value becomes in it ([`value`]), and which JSON types
//! that gives ([`kinds`]). A capture reads tables by it, and whoever compares a table with one.

pub mod kinds;
pub mod types;
pub mod value;
