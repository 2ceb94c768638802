//! What a node counts, against a count made from outside: the JSON, the Prometheus text and what was
//! really sent and received must agree.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(unreachable_pub, reason = "the parts of this test share what is public in them")]

mod support;

#[path = "metrics/connection_metrics.rs"]
mod connection_metrics;
#[path = "metrics/error_metrics.rs"]
mod error_metrics;
#[path = "metrics/event_metrics.rs"]
mod event_metrics;
#[path = "metrics/exposition.rs"]
mod exposition;
#[path = "metrics/performance_metrics.rs"]
mod performance_metrics;
#[path = "metrics/view.rs"]
mod view;
