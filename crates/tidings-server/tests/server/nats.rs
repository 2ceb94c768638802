//! Nodes that share a NATS: what one of them knows all of them know, and what becomes of streams and
//! publishes when NATS is away, comes back without its data, or is not let in to.

mod outages;
mod setup;
mod sharing;
