//! In work.
#[derive(Debug)]
pub struct Error;
#[derive(Debug)]
pub struct ErrorKind;
