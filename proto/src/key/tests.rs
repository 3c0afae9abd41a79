//! Key encoding against an oracle.
