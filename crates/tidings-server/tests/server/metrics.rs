//! What a node counts, against a count made from outside: the JSON, the Prometheus text and what was
//! really sent and received must agree.

mod connection_metrics;
mod error_metrics;
mod event_metrics;
mod exposition;
mod performance_metrics;
mod view;
