//! The connector that asks: what it sees by a cursor and what by a full refresh, whatever is committed when, and whenever a session breaks.

mod chaos;
mod columns;
mod cursors;
mod discover;
mod late;
mod refresh;
mod rights;
mod story;
mod walk;
