//! The server behind the binary `tidings`: publish over HTTP, subscribe over SSE or polling.
//!
//! Arrows point one way: `main → cli → app → http → {identity, delivery, broker} → metrics → tidings-hub`;
//! `config` is a leaf.

mod accept;
mod alerts;
mod app;
mod broker;
pub mod cli;
mod clock;
pub mod config;
mod delivery;
mod dev;
mod guarded;
mod head;
mod http;
pub mod identity;
mod limits;
mod logging;
mod metrics;
mod outbound;
mod readiness;
mod revocations;
mod rewound;
mod stats;
mod tls;
mod traces;
