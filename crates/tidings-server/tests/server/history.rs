//! The promise, checked from outside: what publishers were answered and what readers were sent is
//! recorded, whatever happens to nodes and brokers meanwhile, and held against the rules.

pub mod account;
pub mod checker;
mod known;
pub mod made;
mod planted;
pub mod publisher;
pub mod reader;
pub mod recorder;
mod runs;
mod walk;
