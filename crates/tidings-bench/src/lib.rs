//! A load generator for servers of event streams, and the floor to measure them against: the least
//! that any server could do with the same bytes. `tidings bench` is this crate.
//!
//! It knows HTTP and `/proc`; of Tidings only how to start one and the defaults of its options, so
//! that it measures other servers just as well.
//!
//! ```text
//! args → run → scenario → swarm → {publisher, stamp, http, timer}
//!              run → {target, process, machine, floor, report → figures}
//! ```
#![cfg(target_os = "linux")]

mod args;
mod figures;
mod floor;
mod http;
mod machine;
mod process;
mod publisher;
mod report;
mod run;
mod scenario;
mod stamp;
mod swarm;
mod target;
mod tidings;
mod timer;
mod token;

pub use args::BenchArgs;
pub use process::Program;
pub use run::{Host, OwnServer, run};
